//! How a value that may not be revealed is shown instead.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The unit to which a date is cut: the coarsest is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DateUnit {
    /// To the first of January.
    Year,
    /// To the first of the month.
    Month,
    /// To midnight.
    Day,
}

/// What replaces a hidden value. The value keeps its type: where an operator cannot produce
/// a value of that type, null is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// `redact`: a marker that says what was there, `[email]`.
    Redact,
    /// `partial:N`: all but the last N characters become `*`.
    Partial(u8),
    /// `hash`: a keyed hash, the same for the same value, so that what several queries show can be joined.
    Hash,
    /// `null`: no value.
    Null,
    /// `fixed:TEXT`: always this text.
    Fixed(String),
    /// `date:year`, `date:month`, `date:day`: a date cut to its unit.
    Date(DateUnit),
}

/// The text of an operator was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mask: use redact, partial:N, hash, null, fixed:TEXT, date:year, date:month or date:day")]
pub struct OperatorParseError(String);

impl Operator {
    /// What shows of a value no more than either of the two would.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        match (self, other) {
            (one, same) if one == same => one.clone(),
            (Self::Null, _) | (_, Self::Null) => Self::Null,
            (fixed @ Self::Fixed(_), _) | (_, fixed @ Self::Fixed(_)) => fixed.clone(),
            (Self::Partial(one), Self::Partial(other)) => Self::Partial(*one.min(other)),
            (Self::Date(one), Self::Date(other)) => Self::Date(*one.min(other)),
            // One shows which values are the same, one their ends, one their time: nothing is in all of them.
            (Self::Redact | Self::Hash | Self::Partial(_) | Self::Date(_), _) => Self::Redact,
        }
    }
}

impl FromStr for Operator {
    type Err = OperatorParseError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let bad = || OperatorParseError(s.to_owned());
        Ok(match s.split_once(':') {
            None if s == "redact" => Self::Redact,
            None if s == "hash" => Self::Hash,
            None if s == "null" => Self::Null,
            None if s == "partial" => Self::Partial(4),
            Some(("partial", n)) => Self::Partial(n.parse().map_err(|_| bad())?),
            Some(("fixed", text)) => Self::Fixed(text.to_owned()),
            Some(("date", "year")) => Self::Date(DateUnit::Year),
            Some(("date", "month")) => Self::Date(DateUnit::Month),
            Some(("date", "day")) => Self::Date(DateUnit::Day),
            _ => return Err(bad()),
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redact => f.write_str("redact"),
            Self::Partial(n) => write!(f, "partial:{n}"),
            Self::Hash => f.write_str("hash"),
            Self::Null => f.write_str("null"),
            Self::Fixed(text) => write!(f, "fixed:{text}"),
            Self::Date(DateUnit::Year) => f.write_str("date:year"),
            Self::Date(DateUnit::Month) => f.write_str("date:month"),
            Self::Date(DateUnit::Day) => f.write_str("date:day"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_shows_no_more_than_either() {
        for (one, other, both) in [
            ("partial:4", "partial:2", "partial:2"),
            ("partial:4", "redact", "redact"),
            ("hash", "partial:4", "redact"),
            ("hash", "date:year", "redact"),
            ("date:day", "date:year", "date:year"),
            ("date:month", "date:day", "date:month"),
            ("hash", "null", "null"),
            ("redact", "null", "null"),
            ("fixed:x", "redact", "fixed:x"),
            ("hash", "hash", "hash"),
        ] {
            let (a, b): (Operator, Operator) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(a.stricter(&b).to_string(), both, "{one} {other}");
            assert_eq!(b.stricter(&a).to_string(), both, "{other} {one}");
        }
    }
}
