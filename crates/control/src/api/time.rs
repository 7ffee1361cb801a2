//! Times as people type them.
use crate::problem::Problem;
use axum::http::StatusCode;
use doorward_model::Timestamp;

/// RFC 3339, without seconds, or a date; in UTC. None where nothing was typed.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(text: &str) -> Result<Option<Timestamp>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let shown: String = text.chars().take(40).collect();
    let wrong = || format!("`{shown}` is not a time: use 2026-01-31 or 2026-01-31T12:00Z");
    let read = text.parse::<jiff::Timestamp>().or_else(|_| {
        let plain = text.trim_end_matches('Z');
        let date = plain.parse::<jiff::civil::DateTime>();
        date.and_then(|d| d.to_zoned(jiff::tz::TimeZone::UTC)).map(|z| z.timestamp())
    });
    let micros = read.map_err(|_| wrong())?.as_microsecond();
    Ok(Some(Timestamp::from_micros(u64::try_from(micros).map_err(|_| wrong())?)))
}

/// # Errors
/// 400 where it is not a time.
pub(crate) fn asked(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    read(text.unwrap_or_default()).map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_type_them() {
        let secs = |text: &str| read(text).unwrap().map(Timestamp::as_secs);
        assert_eq!(secs(""), None);
        assert_eq!(secs("1970-01-02"), Some(86_400));
        assert_eq!(secs("1970-01-01T01:00Z"), Some(3600));
        assert_eq!(secs("1970-01-01T01:00:01.5Z"), Some(3601));
        assert_eq!(secs("1970-01-01T01:00:00+01:00"), Some(0));
        for bad in ["yesterday", "1969-12-31", "1970-13-01"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
