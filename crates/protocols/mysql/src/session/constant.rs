//! What stands in the place of a hidden column, as the reader prints it.
use doorward_enforce::MaskRule;
use doorward_model::{DateUnit, Operator};

/// The most characters of a value that a server is asked to leave as they are: of so few nothing is recognised, of which a mask
/// would show less.
const MOST_SHOWN: u8 = 4;

/// What stands in the place of a hidden column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// A value that is the same in all rows.
    Constant(String),
    /// What its mask makes of it, made by the server.
    Masked(String),
    /// The column itself: only results are masked, so that nothing may be decided by it.
    Raw,
}

/// What stands in the place of a column of this name, as it is written. `may_be_json`: the server may call its values JSON,
/// whatever the type is called.
pub(super) fn stand(name: &str, type_name: Option<&str>, rule: &MaskRule, may_be_json: bool) -> Option<Stand> {
    let is_whole = shows_nothing(rule);
    let Some(type_name) = type_name else { return if is_whole { None } else { Some(Stand::Raw) } };
    let of = Type::of(type_name);
    if is_whole || is_always_null(of.word, &rule.operator) {
        return Some(Stand::Constant(constant(type_name, rule)));
    }
    Some(made(&of, name, rule, may_be_json).map_or(Stand::Raw, Stand::Masked))
}

/// A name in backticks.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// No number.
pub(super) const fn nothing() -> &'static str {
    "CAST(NULL AS UNSIGNED)"
}

/// A type as the catalogue has it: `varchar(12) character set utf8mb4 collate utf8mb4_bin`.
struct Type<'a> {
    word: &'a str,
    /// What stands in parentheses behind it, without blanks.
    size: String,
    unsigned: bool,
    /// Character set and collation.
    text: Option<(&'a str, &'a str)>,
}

impl<'a> Type<'a> {
    fn of(name: &'a str) -> Self {
        let (kind, text) = match name.rsplit_once(" character set ") {
            Some((kind, set)) => (kind, set.split_once(" collate ").filter(|(a, b)| is_plain(a) && is_plain(b))),
            None => (name, None),
        };
        let end = kind.find(['(', ' ']).unwrap_or(kind.len());
        let (word, rest) = kind.split_at(end);
        let size = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(size, _)| size);
        let is_size = size.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' '));
        let size = if is_size { size.replace(' ', "") } else { String::new() };
        Self { word, size, unsigned: rest.contains("unsigned"), text }
    }

    /// `AS CHAR(12)`; nothing in parentheses where nothing is known.
    fn sized(&self, word: &str) -> String {
        if self.size.is_empty() { word.to_owned() } else { format!("{word}({})", self.size) }
    }
}

fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A constant of a column's type, or the nearest that can be written. It is masked on its way out as the value would have
/// been, so it says nothing of its own.
fn constant(type_name: &str, rule: &MaskRule) -> String {
    let of = Type::of(type_name);
    let value = |text: &str| if rule.operator == Operator::Null { "NULL".to_owned() } else { text.to_owned() };
    match of.word {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "year" => {
            let word = if of.unsigned || of.word == "year" { "UNSIGNED" } else { "SIGNED" };
            format!("CAST({} AS {word})", value("0"))
        }
        "decimal" | "numeric" => format!("CAST({} AS {})", value("0"), of.sized("DECIMAL")),
        "float" | "double" | "real" => format!("{} + 0e0", value("0e0")),
        "date" => format!("CAST({} AS DATE)", value("'1970-01-01'")),
        "datetime" | "timestamp" => format!("CAST({} AS {})", value("'1970-01-01 00:00:00'"), of.sized("DATETIME")),
        "time" => format!("CAST({} AS {})", value("'00:00:00'"), of.sized("TIME")),
        "char" | "varchar" => {
            let most = of.size.parse().unwrap_or(usize::MAX);
            text(&of, &value(&quoted(&rule.label, most)), &of.sized("CHAR"))
        }
        "tinytext" | "text" | "mediumtext" | "longtext" => text(&of, &value(&quoted(&rule.label, usize::MAX)), "CHAR"),
        "tinyblob" | "blob" | "mediumblob" | "longblob" | "varbinary" => {
            format!("CAST({} AS BINARY)", value(&quoted(&rule.label, usize::MAX)))
        }
        "json" => format!("CAST({} AS JSON)", value("'null'")),
        "enum" | "set" => text(&of, "NULL", "CHAR"),
        "bit" => nothing().to_owned(),
        _ => "NULL".to_owned(),
    }
}

fn text(of: &Type<'_>, value: &str, target: &str) -> String {
    match of.text {
        Some((set, collation)) => format!("CAST({value} AS {target} CHARACTER SET {set}) COLLATE {collation}"),
        None => format!("CAST({value} AS {target})"),
    }
}

/// Whether nothing of a value is left in what replaces it.
pub(super) const fn shows_nothing(rule: &MaskRule) -> bool {
    match rule.operator {
        Operator::Redact | Operator::Null | Operator::Fixed(_) => true,
        Operator::Partial(_) | Operator::Hash | Operator::Date(_) => false,
    }
}

/// Whether a mask has no value of a type, so that each is shown as NULL.
fn is_always_null(word: &str, operator: &Operator) -> bool {
    let of_number = matches!(
        word,
        "tinyint"
            | "smallint"
            | "mediumint"
            | "int"
            | "integer"
            | "bigint"
            | "year"
            | "decimal"
            | "numeric"
            | "float"
            | "double"
            | "real"
    );
    let is_day = matches!(word, "date" | "datetime" | "timestamp");
    let is_odd = matches!(word, "time" | "bit" | "geometry" | "point" | "linestring" | "polygon");
    match operator {
        Operator::Partial(_) => of_number || is_day || is_odd,
        Operator::Hash => is_day || is_odd,
        Operator::Date(_) => !is_day,
        Operator::Redact | Operator::Null | Operator::Fixed(_) => false,
    }
}

/// What a mask makes of a column, as the server makes it: it never fails, and shows no more than the mask that is put over it
/// again on its way out.
fn made(of: &Type<'_>, name: &str, rule: &MaskRule, may_be_json: bool) -> Option<String> {
    match (&rule.operator, of.word) {
        (Operator::Partial(n), "char" | "varchar") if *n <= MOST_SHOWN && !may_be_json => {
            of.text.is_some().then(|| text(of, &starred(name, *n), &of.sized("CHAR")))
        }
        (Operator::Partial(n), "tinytext" | "text" | "mediumtext" | "longtext") if *n <= MOST_SHOWN && !may_be_json => {
            of.text.is_some().then(|| text(of, &starred(name, *n), "CHAR"))
        }
        (Operator::Date(unit), "date") => Some(format!("CAST({} AS DATE)", cut(name, name, *unit))),
        (Operator::Date(unit), "datetime") => {
            let day = format!("DATE({name})");
            Some(format!("CAST({} AS {})", cut(name, &day, *unit), of.sized("DATETIME")))
        }
        (Operator::Date(unit), "timestamp") => {
            Some(format!("CAST({} AS {})", cut_in_utc(name, *unit), of.sized("DATETIME")))
        }
        _ => None,
    }
}

/// All but the last `n` characters as stars; no more than twice as many are all stars.
fn starred(name: &str, n: u8) -> String {
    let most = 2 * u16::from(n);
    format!("LPAD(RIGHT({name}, IF(CHAR_LENGTH({name}) > {most}, {n}, 0)), CHAR_LENGTH({name}), '*')")
}

/// The same of a point in time, by the calendar of UTC: in that of the session it would tell of the time, since the caller may
/// set another.
fn cut_in_utc(name: &str, unit: DateUnit) -> String {
    let day = format!("FROM_DAYS(719528 + UNIX_TIMESTAMP({name}) DIV 86400)");
    format!("IF(UNIX_TIMESTAMP({name}) > 0, {}, NULL)", first(&day, &day, unit))
}

fn first(of: &str, day: &str, unit: DateUnit) -> String {
    match unit {
        DateUnit::Year => format!("SUBDATE({day}, DAYOFYEAR({of}) - 1)"),
        DateUnit::Month => format!("SUBDATE({day}, DAYOFMONTH({of}) - 1)"),
        DateUnit::Day => day.to_owned(),
    }
}

/// The first day of a unit, of what is a day of the calendar since the year 1; else nothing.
fn cut(name: &str, day: &str, unit: DateUnit) -> String {
    let first = first(name, day, unit);
    format!(
        "IF(YEAR({name}) > 0 AND DAYOFMONTH({name}) > 0 AND DAYOFMONTH({name}) <= DAYOFMONTH(LAST_DAY({name})), {first}, NULL)"
    )
}

/// `'[label]'`, without what a server might take for more than it is, and no longer than the column.
fn quoted(label: &str, most: usize) -> String {
    let plain = label.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.'));
    let text: String = format!("[{}]", plain.collect::<String>()).chars().take(most).collect();
    format!("'{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_sql::mysql::{Environment, Upstream, analyse};

    fn of(type_name: &str, operator: Operator) -> String {
        constant(type_name, &MaskRule { operator, label: "s'sn".into(), by_default: false })
    }

    const TYPES: &[(&str, &str)] = &[
        ("int", "CAST(0 AS SIGNED)"),
        ("bigint(20) unsigned", "CAST(0 AS UNSIGNED)"),
        ("decimal(10,2)", "CAST(0 AS DECIMAL(10,2))"),
        ("double", "0e0 + 0e0"),
        ("date", "CAST('1970-01-01' AS DATE)"),
        ("datetime(6)", "CAST('1970-01-01 00:00:00' AS DATETIME(6))"),
        ("timestamp", "CAST('1970-01-01 00:00:00' AS DATETIME)"),
        ("time", "CAST('00:00:00' AS TIME)"),
        (
            "varchar(12) character set utf8mb4 collate utf8mb4_bin",
            "CAST('[ssn]' AS CHAR(12) CHARACTER SET utf8mb4) COLLATE utf8mb4_bin",
        ),
        ("char(3) character set latin1 collate x'y", "CAST('[ss' AS CHAR(3))"),
        (
            "longtext character set utf8mb4 collate utf8mb4_bin",
            "CAST('[ssn]' AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin",
        ),
        ("varbinary(16)", "CAST('[ssn]' AS BINARY)"),
        ("json", "CAST('null' AS JSON)"),
        (
            "enum('a character set b','c') character set utf8mb4 collate utf8mb4_bin",
            "CAST(NULL AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin",
        ),
        ("bit(8)", "CAST(NULL AS UNSIGNED)"),
        ("geometry", "NULL"),
    ];

    #[test]
    fn constants_are_of_the_types_of_columns() {
        for (type_name, expected) in TYPES {
            assert_eq!(of(type_name, Operator::Redact), *expected, "{type_name}");
        }
        assert_eq!(of("int", Operator::Null), "CAST(NULL AS SIGNED)");
        assert_eq!(of("double", Operator::Null), "NULL + 0e0");
    }

    fn stands(type_name: &str, operator: &str, may_be_json: bool) -> Option<Stand> {
        let rule = MaskRule { operator: operator.parse().unwrap(), label: "ssn".into(), by_default: false };
        stand("`x`", Some(type_name), &rule, may_be_json)
    }

    #[test]
    fn a_mask_is_made_by_the_server_where_it_can_be() {
        use doorward_detect::{Masked, Masker, ValueShape};
        let text = "varchar(34) character set utf8mb4 collate utf8mb4_bin";
        let made = |type_name: &str, operator: &str| match stands(type_name, operator, false) {
            Some(Stand::Masked(made)) => made,
            other => panic!("{type_name} {operator}: {other:?}"),
        };
        assert_eq!(
            made(text, "partial:4"),
            "CAST(LPAD(RIGHT(`x`, IF(CHAR_LENGTH(`x`) > 8, 4, 0)), CHAR_LENGTH(`x`), '*') AS CHAR(34) CHARACTER SET utf8mb4) \
             COLLATE utf8mb4_bin"
        );
        assert!(made("longtext character set utf8mb4 collate utf8mb4_bin", "partial:0").contains("> 0, 0, 0))"));
        assert!(made("date", "date:day").contains(", `x`, NULL) AS DATE)"));
        assert!(made("date", "date:month").contains("SUBDATE(`x`, DAYOFMONTH(`x`) - 1)"));
        let utc = made("timestamp(3)", "date:year");
        let days = "FROM_DAYS(719528 + UNIX_TIMESTAMP(`x`) DIV 86400)";
        assert_eq!(
            utc,
            format!("CAST(IF(UNIX_TIMESTAMP(`x`) > 0, SUBDATE({days}, DAYOFYEAR({days}) - 1), NULL) AS DATETIME(3))")
        );
        let year = made("datetime(3)", "date:year");
        assert!(year.contains("SUBDATE(DATE(`x`), DAYOFYEAR(`x`) - 1), NULL) AS DATETIME(3))"), "{year}");
        for (type_name, operator) in [
            (text, "hash"),
            (text, "partial:5"),
            ("varchar(34)", "partial:4"),
            ("varbinary(16)", "partial:4"),
            ("blob", "hash"),
            ("json", "partial:4"),
            ("enum('a') character set utf8mb4 collate utf8mb4_bin", "partial:4"),
            ("int", "hash"),
            ("inet6", "hash"),
            ("vector(3)", "partial:1"),
        ] {
            assert_eq!(stands(type_name, operator, false), Some(Stand::Raw), "{type_name} {operator}");
        }
        assert_eq!(stands("longtext character set utf8mb4 collate utf8mb4_bin", "partial:4", true), Some(Stand::Raw));
        // Where a constant stands, the mask is NULL whatever the value.
        let masker = Masker::new([7; 32]);
        for (type_name, shape) in [
            ("int", ValueShape::Integer(32)),
            ("year", ValueShape::Integer(16)),
            ("decimal(10,2)", ValueShape::Numeric),
            ("double", ValueShape::Float),
            ("date", ValueShape::Date),
            ("datetime", ValueShape::Timestamp),
            ("time", ValueShape::Other),
            ("bit(8)", ValueShape::Other),
            (text, ValueShape::Text),
            ("json", ValueShape::Json),
        ] {
            for operator in ["partial:4", "hash", "date:year"] {
                let Some(Stand::Constant(_)) = stands(type_name, operator, false) else { continue };
                let operator = operator.parse().unwrap();
                for value in ["1", "2024-05-17", "2024-05-17 10:11:12", "12345678901234"] {
                    let masked = masker.apply(&operator, "ssn", value.as_bytes(), shape);
                    assert_eq!(masked, Masked::Null, "{type_name} {operator:?}");
                }
            }
        }
        let unknown =
            |operator| stand("`x`", None, &MaskRule { operator, label: "ssn".into(), by_default: false }, false);
        assert_eq!((unknown(Operator::Redact), unknown(Operator::Hash)), (None, Some(Stand::Raw)));
    }

    fn is_printed(text: &str, environment: &Environment) {
        let read = analyse(text.as_bytes(), environment);
        let printed = read.statements.first().and_then(|s| s.text.clone()).unwrap();
        assert_eq!(String::from_utf8_lossy(&printed), text);
        let calls = |access: &&doorward_model::Access| access.action != doorward_model::Action::Select;
        let others: Vec<_> = read.facts.accesses.iter().filter(calls).collect();
        assert!(others.len() <= 1, "{others:?}");
    }

    /// What is sent is compared with what the reader prints.
    #[test]
    fn constants_are_written_as_they_are_printed() {
        for version in ["8.4.7", "10.11.19-MariaDB"] {
            let upstream = Upstream::from_greeting(version).unwrap();
            let environment = Environment { upstream, ..Environment::default() };
            for (type_name, _) in TYPES {
                for operator in [Operator::Redact, Operator::Null] {
                    let text = format!(
                        "SELECT 1 FROM (SELECT `a`, {} AS `b c` FROM `d`.`t` USE INDEX (`i`) IGNORE INDEX (`i`, `j`)) AS `t`",
                        of(type_name, operator)
                    );
                    is_printed(&text, &environment);
                }
                for operator in ["partial:4", "date:year", "date:month", "date:day"] {
                    if let Some(Stand::Masked(made)) = stands(type_name, operator, false) {
                        let sorted =
                            format!("SELECT {made} AS `x` FROM `d`.`t` ORDER BY `a`, {made}, RANDOM_BYTES(16) LIMIT 9");
                        is_printed(&sorted, &environment);
                    }
                }
            }
        }
    }
}
