//! What stands for a hidden column in what is sent to the server.
//!
//! | mask | type | stands there as |
//! |---|---|---|
//! | `redact`, `null`, `fixed` | any | a constant |
//! | `partial:N`, N up to 4 | `text`, `varchar` | what the mask shows, made by the server |
//! | `date` | `date`, `timestamp` | the same |
//! | `partial`, `date`, `hash` | one of which they show nothing | a constant |
//! | `partial`, `date`, `hash` | any other | itself: it may be shown, and nothing may be decided or computed by it |
use super::veil::identifier;
use doorward_enforce::MaskRule;
use doorward_model::{DateUnit, Operator};
use doorward_sql::Column;

/// How long the end that `partial` shows may be, where the server makes it: nothing so short is looked for by recognizers,
/// which hide it whole.
const LONGEST_END: u8 = 4;

/// What stands for a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// A constant, without its type. It is masked on its way out as the value would have been, so it says nothing of its own.
    Constant(String),
    /// An expression that shows what the mask does, without its type.
    Shown(String),
    /// The column as it is.
    Itself,
}

/// Values of a type, as masks see them; by its number in `pg_type.dat`. Of domains and others it is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `text`, `varchar`: what the server computes of them is of the same length.
    Plain,
    /// Other texts, JSON.
    Text,
    /// What `hash` has a value for: `int2`, `int4`, `int8`, `numeric`, `uuid`.
    Number,
    Date,
    Timestamp,
    TimestampTz,
    /// No mask shows anything of it but by its length: `bool`, `bytea`, `float4`, `time`, `inet`, …
    Other,
    Unknown,
}

const fn kind(type_oid: u32) -> Kind {
    match type_oid {
        25 | 1043 => Kind::Plain,
        1042 | 19 | 18 | 142 | 705 | 2275 | 114 | 3802 => Kind::Text,
        20 | 21 | 23 | 1700 | 2950 => Kind::Number,
        1082 => Kind::Date,
        1114 => Kind::Timestamp,
        1184 => Kind::TimestampTz,
        16 | 17 | 26 | 27 | 28 | 29 | 650 | 700 | 701 | 790 | 829 | 869 | 1083 | 1186 | 1266 | 1560 | 1562 => {
            Kind::Other
        }
        _ => Kind::Unknown,
    }
}

/// What stands for a column that is masked so.
pub(super) fn stand(column: &Column, rule: &MaskRule) -> Stand {
    let constant = || Stand::Constant(constant(column, rule));
    match (&rule.operator, kind(column.type_oid)) {
        (Operator::Redact | Operator::Null | Operator::Fixed(_), _) => constant(),
        (Operator::Partial(n), Kind::Plain) if *n <= LONGEST_END => {
            Stand::Shown(partial(&identifier(&column.name), *n))
        }
        (Operator::Date(unit), Kind::Date) => Stand::Shown(cut(&identifier(&column.name), "date", *unit)),
        (Operator::Date(unit), Kind::Timestamp) => Stand::Shown(cut(&identifier(&column.name), "timestamp", *unit)),
        (Operator::Date(_), Kind::TimestampTz) | (Operator::Hash, Kind::Plain | Kind::Text | Kind::Number) => {
            Stand::Itself
        }
        (Operator::Partial(_), Kind::Plain | Kind::Text) | (_, Kind::Unknown) => Stand::Itself,
        (Operator::Partial(_) | Operator::Date(_) | Operator::Hash, _) => constant(),
    }
}

/// As `doorward_detect::Masker` does it: all but the last `n` characters are stars, and all of what is not longer than twice that.
fn partial(name: &str, n: u8) -> String {
    let length = format!("pg_catalog.length({name})");
    let end = format!("CASE WHEN {length} OPERATOR(pg_catalog.>) {} THEN {n} ELSE 0 END", 2 * u16::from(n));
    format!("pg_catalog.lpad(pg_catalog.right({name}, {end}), {length}, '*')")
}

/// Of what is before Christ, after 9999 or infinite the mask shows nothing, and the server may fail.
fn cut(name: &str, type_name: &str, unit: DateUnit) -> String {
    let unit = match unit {
        DateUnit::Year => "year",
        DateUnit::Month => "month",
        DateUnit::Day => "day",
    };
    let bound =
        |operator: &str, day: &str| format!("{name} OPERATOR(pg_catalog.{operator}) '{day}'::pg_catalog.{type_name}");
    format!(
        "CASE WHEN {} AND {} THEN pg_catalog.date_trunc('{unit}', {name}::pg_catalog.timestamp) END",
        bound(">=", "0001-01-01"),
        bound("<", "10000-01-01"),
    )
}

fn constant(column: &Column, rule: &MaskRule) -> String {
    if rule.operator == Operator::Null {
        return "NULL".into();
    }
    match column.type_oid {
        // int8, int4, int2, numeric, float4, float8, oid, interval, money
        20 | 23 | 21 | 1700 | 700 | 701 | 26 | 1186 | 790 => "'0'".into(),
        // date, timestamp, timestamptz
        1082 | 1114 | 1184 => "'1970-01-01'".into(),
        16 => "'false'".into(),
        // text, varchar, name, json, jsonb, uuid
        25 | 1043 | 19 => text(&rule.label),
        114 | 3802 => "'null'".into(),
        2950 => "'00000000-0000-0000-0000-000000000000'".into(),
        _ => "NULL".into(),
    }
}

/// `[label]`, without what a server might take for more than it is.
fn text(label: &str) -> String {
    let plain: String = label.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.')).collect();
    format!("'[{plain}]'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(type_oid: u32, operator: Operator) -> Stand {
        let column = Column { number: 1, name: "a\"b".into(), type_oid };
        stand(&column, &MaskRule { operator, label: "pii".into(), by_default: false })
    }

    #[test]
    fn a_column_stands_as_what_its_mask_shows() {
        assert_eq!(of(25, Operator::Redact), Stand::Constant("'[pii]'".into()));
        assert_eq!(of(23, Operator::Partial(4)), Stand::Constant("'0'".into()));
        assert_eq!(of(25, Operator::Date(DateUnit::Year)), Stand::Constant("'[pii]'".into()));
        assert_eq!(of(1082, Operator::Hash), Stand::Constant("'1970-01-01'".into()));
        for (type_oid, operator) in [
            (25, Operator::Hash),
            (2950, Operator::Hash),
            (25, Operator::Partial(5)),
            (3802, Operator::Partial(1)),
            (1042, Operator::Partial(4)),
            (1184, Operator::Date(DateUnit::Day)),
            (70_000, Operator::Partial(1)),
            (70_000, Operator::Date(DateUnit::Day)),
        ] {
            assert_eq!(of(type_oid, operator.clone()), Stand::Itself, "{type_oid} {operator:?}");
        }
        let Stand::Shown(partial) = of(1043, Operator::Partial(4)) else { panic!() };
        let wanted = "pg_catalog.lpad(pg_catalog.right(\"a\"\"b\", CASE WHEN pg_catalog.length(\"a\"\"b\") OPERATOR(pg_catalog.>) 8 \
                      THEN 4 ELSE 0 END), pg_catalog.length(\"a\"\"b\"), '*')";
        assert_eq!(partial, wanted);
        assert!(matches!(of(1114, Operator::Date(DateUnit::Month)), Stand::Shown(cut) if cut.contains("'month'")));
    }
}
