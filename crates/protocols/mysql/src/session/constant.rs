//! What stands in the place of a hidden column, as the reader prints it.
use doorward_enforce::MaskRule;
use doorward_model::Operator;

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
pub(super) fn constant(type_name: &str, rule: &MaskRule) -> String {
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
                    let read = analyse(text.as_bytes(), &environment);
                    let printed = read.statements.first().and_then(|s| s.text.clone()).unwrap();
                    assert_eq!(String::from_utf8_lossy(&printed), text, "{version}");
                }
            }
        }
    }
}
