//! Times as SAML has them: `xs:dateTime`, always in UTC (SAML Core, section 1.3.3).
use doorward_model::Timestamp;

/// Reads a time; none where it is not one, or not in UTC.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let plain = text.len() <= 40 && text.ends_with('Z') && text.contains('T');
    let found: jiff::Timestamp = text.parse().ok().filter(|_| plain)?;
    u64::try_from(found.as_microsecond()).ok().map(Timestamp::from_micros)
}

/// Writes a time, to the second.
pub(crate) fn write(time: Timestamp) -> String {
    let secs = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        let t = read("2026-11-26T23:40:00.125Z").unwrap();
        assert_eq!((t.as_secs(), t.as_micros() % 1_000_000), (1_795_736_400, 125_000));
        assert_eq!(write(t), "2026-11-26T23:40:00Z");
        for bad in [
            "",
            "2026-11-26T23:40:00",
            "2026-11-26T23:40:00+01:00",
            "2026-11-26",
            "1795736400",
            "1960-01-01T00:00:00Z",
            "x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
