//! Dates and times of PostgreSQL, in ISO style and in binary, cut to a unit.
use doorward_model::DateUnit;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
/// 2000-01-01, from which PostgreSQL counts, in days from the first of March of the year 0.
const EPOCH: i64 = 730_425;

/// Days from 2000-01-01 of a date of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - EPOCH
}

/// Year and month of a day counted from 2000-01-01.
fn year_month(days: i64) -> (i64, i64) {
    let days = days + EPOCH;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let year = year + era * 400;
    if month < 10 { (year, month + 3) } else { (year + 1, month - 9) }
}

fn truncate_days(day: i64, unit: DateUnit) -> i64 {
    let (year, month) = year_month(day);
    match unit {
        DateUnit::Year => days(year, 1, 1),
        DateUnit::Month => days(year, month, 1),
        DateUnit::Day => day,
    }
}

/// A `date` (four bytes, days) or `timestamp` (eight bytes, microseconds), cut to its unit; times with
/// zones are cut in UTC. `None` for infinities and other lengths.
pub(crate) fn truncate_binary(value: &[u8], unit: DateUnit) -> Option<Vec<u8>> {
    if let Ok(date) = <[u8; 4]>::try_from(value) {
        let day = i32::from_be_bytes(date);
        let cut = i32::try_from(truncate_days(i64::from(day), unit)).ok()?;
        return (day != i32::MAX && day != i32::MIN).then(|| cut.to_be_bytes().to_vec());
    }
    let time = i64::from_be_bytes(<[u8; 8]>::try_from(value).ok()?);
    let cut = truncate_days(time.div_euclid(MICROSECONDS_PER_DAY), unit).checked_mul(MICROSECONDS_PER_DAY)?;
    (time != i64::MAX && time != i64::MIN).then(|| cut.to_be_bytes().to_vec())
}

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |acc, b| b.is_ascii_digit().then(|| acc * 10 + i64::from(b - b'0')))
}

/// Days from 2000-01-01 of the ISO date that a text begins with.
pub(crate) fn date(text: &[u8]) -> Option<i64> {
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text.first_chunk::<10>()? else { return None };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let first = days(year, month, 1);
    let length = if month == 12 { 31 } else { days(year, month + 1, 1) - first };
    (year > 0 && (1..=12).contains(&month) && (1..=length).contains(&day)).then(|| first + day - 1)
}

/// Microseconds from 2000-01-01 of `2024-05-17` or `2024-05-17 10:11:12`.
pub(crate) fn timestamp(text: &[u8]) -> Option<i64> {
    let midnight = date(text)? * MICROSECONDS_PER_DAY;
    match text.get(10..)? {
        [] => Some(midnight),
        &[b' ' | b'T', h0, h1, b':', m0, m1, b':', s0, s1] => {
            let (h, m, s) = (number(&[h0, h1])?, number(&[m0, m1])?, number(&[s0, s1])?);
            (h < 24 && m < 60 && s < 60).then(|| midnight + (h * 3600 + m * 60 + s) * 1_000_000)
        }
        _ => None,
    }
}

/// Seconds of `+05`, `-05:30` and `+05:30:15`.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, rest) = zone.split_first()?;
    let mut seconds = 0;
    for (part, unit) in rest.split(|b| *b == b':').zip([3600, 60, 1]) {
        seconds += number(part).filter(|_| part.len() == 2)? * unit;
    }
    (rest.len() <= 8).then_some(if *sign == b'-' { -seconds } else { seconds })
}

/// A moment with its zone, cut in UTC, as it is in binary: the zone of a moment may depend on the moment, as a session sets it.
fn truncate_moment(value: &[u8], zone: &[u8], unit: DateUnit) -> Option<Vec<u8>> {
    let moment = timestamp(value.get(..19)?)? - offset(zone)? * 1_000_000;
    let (year, month) = year_month(truncate_days(moment.div_euclid(MICROSECONDS_PER_DAY), unit));
    let day = match unit {
        DateUnit::Year | DateUnit::Month => 1,
        DateUnit::Day => moment.div_euclid(MICROSECONDS_PER_DAY) - days(year, month, 1) + 1,
    };
    (1..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02} 00:00:00+00").into_bytes())
}

/// `2024-05-17…` cut to its unit; a date in any other style, before Christ or after 9999 is `None`.
pub(crate) fn truncate_text(value: &[u8], unit: DateUnit, time: bool) -> Option<Vec<u8>> {
    date(value)?;
    let rest = value.get(10..)?;
    let zone = match rest.split_first() {
        None => &[][..],
        Some((b' ', clock)) => {
            let zone = clock.iter().position(|b| matches!(b, b'+' | b'-')).unwrap_or(clock.len());
            let (clock, zone) = clock.split_at_checked(zone)?;
            // What is copied is looked at: a zone is a few digits, and nothing else hides behind it.
            let digits = |text: &[u8], others: &[u8]| text.iter().all(|b| b.is_ascii_digit() || others.contains(b));
            (digits(clock, b":.") && digits(zone, b"+-:") && zone.len() <= 9).then_some(zone)?
        }
        Some(_) => return None,
    };
    if !zone.is_empty() {
        return truncate_moment(value, zone, unit).filter(|_| time);
    }
    let keep = match unit {
        DateUnit::Year => 4,
        DateUnit::Month => 7,
        DateUnit::Day => 10,
    };
    let mut out = value.get(..keep)?.to_vec();
    out.extend_from_slice(b"-01-01".get(keep.saturating_sub(4)..).unwrap_or_default());
    if time {
        out.extend_from_slice(b" 00:00:00");
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_thousand_years_comes_back() {
        let (mut year, mut month, mut day) = (1600, 1, 1);
        for n in days(1600, 1, 1)..days(2600, 1, 1) {
            assert_eq!((days(year, month, day), year_month(n)), (n, (year, month)), "{year}-{month}-{day}");
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
            (year, month, day) = match (day < length, month < 12) {
                (true, _) => (year, month, day + 1),
                (false, true) => (year, month + 1, 1),
                (false, false) => (year + 1, 1, 1),
            };
        }
        assert_eq!(days(2000, 1, 1), 0);
        assert_eq!(days(1970, 1, 1), -10_957);
    }

    #[test]
    fn binary_values_are_cut() {
        let day = |y, m, d| i32::try_from(days(y, m, d)).unwrap().to_be_bytes().to_vec();
        assert_eq!(truncate_binary(&day(2024, 5, 17), DateUnit::Month), Some(day(2024, 5, 1)));
        assert_eq!(truncate_binary(&day(1999, 12, 31), DateUnit::Year), Some(day(1999, 1, 1)));
        assert_eq!(truncate_binary(&day(-44, 3, 15), DateUnit::Year), Some(day(-44, 1, 1)));
        let time = |d: i64, s: i64| (d * MICROSECONDS_PER_DAY + s).to_be_bytes().to_vec();
        assert_eq!(truncate_binary(&time(-1, 5), DateUnit::Day), Some(time(-1, 0)));
        for infinity in [i32::MAX.to_be_bytes(), i32::MIN.to_be_bytes()] {
            assert_eq!(truncate_binary(&infinity, DateUnit::Day), None);
        }
        for odd in [i64::MAX, i64::MIN] {
            assert_eq!(truncate_binary(&odd.to_be_bytes(), DateUnit::Day), None);
        }
        for edge in [i64::MAX - 1, i64::MIN + 1, 0] {
            let _ = truncate_binary(&edge.to_be_bytes(), DateUnit::Year);
        }
        assert_eq!(truncate_binary(b"123", DateUnit::Day), None);
    }
}
