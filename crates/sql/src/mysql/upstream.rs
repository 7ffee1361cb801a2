//! Which server will read the text, and under which `sql_mode`: both change what a text means.

/// The make of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Oracle's MySQL, and what calls itself so.
    #[default]
    MySql,
    /// MariaDB.
    MariaDb,
}

/// The server that will run what is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// Its make.
    pub flavour: Flavour,
    /// Its version as versioned comments count: 8.4.7 is 80407, 10.11.19 is 101119.
    pub version: u32,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { flavour: Flavour::MySql, version: 80_400 }
    }
}

impl Upstream {
    /// From the version in the greeting: `8.4.7`, `11.4.2-MariaDB`, `5.5.5-10.11.19-MariaDB-0+deb12u1`.
    /// `None` for what is older than we read (MySQL 5.7, MariaDB 10.5) or no version at all.
    pub fn from_greeting(version: &str) -> Option<Self> {
        let maria = version.to_ascii_lowercase().contains("mariadb");
        // Old replicas would not take a major version of two digits: MariaDB puts `5.5.5-` before it.
        let text = if maria { version.strip_prefix("5.5.5-").unwrap_or(version) } else { version };
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        let mut next = || parts.next().and_then(Result::ok).filter(|n| *n < 100);
        let number = next()? * 10_000 + next()? * 100 + next()?;
        let flavour = if maria { Flavour::MariaDb } else { Flavour::MySql };
        let oldest = if maria { 100_500 } else { 50_700 };
        (number >= oldest).then_some(Self { flavour, version: number })
    }

    /// Whether it is MariaDB.
    pub const fn is_mariadb(self) -> bool {
        matches!(self.flavour, Flavour::MariaDb)
    }
}

/// The modes that may be in force while we read, in the order in which `@@sql_mode` lists them.
/// Those that are missing (`ORACLE`, `MSSQL`, `DB2`, …) bring another grammar.
const MODES: &[&str] = &[
    "REAL_AS_FLOAT",
    "PIPES_AS_CONCAT",
    "ANSI_QUOTES",
    "IGNORE_SPACE",
    "IGNORE_BAD_TABLE_OPTIONS",
    "ONLY_FULL_GROUP_BY",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_DIR_IN_CREATE",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "NO_FIELD_OPTIONS",
    "ANSI",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "STRICT_TRANS_TABLES",
    "STRICT_ALL_TABLES",
    "NO_ZERO_IN_DATE",
    "NO_ZERO_DATE",
    "ALLOW_INVALID_DATES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "TRADITIONAL",
    "NO_AUTO_CREATE_USER",
    "HIGH_NOT_PRECEDENCE",
    "NO_ENGINE_SUBSTITUTION",
    "PAD_CHAR_TO_FULL_LENGTH",
    "EMPTY_STRING_IS_NULL",
    "SIMULTANEOUS_ASSIGNMENT",
    "TIME_ROUND_FRACTIONAL",
    "TIME_TRUNCATE_FRACTIONAL",
];

const ANSI: &[&str] = &["REAL_AS_FLOAT", "PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE", "ONLY_FULL_GROUP_BY"];
const TRADITIONAL: &[&str] = &[
    "STRICT_TRANS_TABLES",
    "STRICT_ALL_TABLES",
    "NO_ZERO_IN_DATE",
    "NO_ZERO_DATE",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_ENGINE_SUBSTITUTION",
];

/// A value of `sql_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SqlMode(u32);

impl SqlMode {
    /// The mode of a list of names, as `SET sql_mode` takes it.
    ///
    /// # Errors
    /// The name of a mode that we do not know, or under which we do not read.
    pub fn parse(value: &str) -> Result<Self, String> {
        let mut out = Self::default();
        for name in value.split(',') {
            let name = name.to_ascii_uppercase();
            if name.is_empty() {
                continue;
            }
            out.add(&name).ok_or(name)?;
        }
        Ok(out)
    }

    fn add(&mut self, name: &str) -> Option<()> {
        let bit = MODES.iter().position(|m| *m == name)?;
        self.0 |= 1 << bit;
        let implied = match name {
            "ANSI" => ANSI,
            "TRADITIONAL" => TRADITIONAL,
            _ => &[],
        };
        for other in implied {
            self.add(other)?;
        }
        Some(())
    }

    /// The value as `@@sql_mode` shows it.
    pub fn value(self) -> String {
        let names = MODES.iter().enumerate().filter(|(i, _)| self.0 & (1 << i) != 0);
        names.map(|(_, m)| *m).collect::<Vec<_>>().join(",")
    }

    fn has(self, name: &str) -> bool {
        MODES.iter().position(|m| *m == name).is_some_and(|i| self.0 & (1 << i) != 0)
    }

    /// `"x"` is an identifier, not a string.
    pub fn ansi_quotes(self) -> bool {
        self.has("ANSI_QUOTES")
    }

    /// `\` is a character like any other.
    pub fn no_backslash_escapes(self) -> bool {
        self.has("NO_BACKSLASH_ESCAPES")
    }

    /// A blank may stand between a function's name and `(`.
    pub fn ignore_space(self) -> bool {
        self.has("IGNORE_SPACE")
    }
}

/// Whether a client may speak this character set while we read: no byte of a character in it may look like
/// a quote or a backslash, and ours must be the server's reading of names. `latin1` has to be decoded before.
pub fn readable_charset(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "utf8" | "utf8mb3" | "utf8mb4" | "ascii" | "latin1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings() {
        let version = |s| Upstream::from_greeting(s).map(|u| (u.is_mariadb(), u.version));
        assert_eq!(version("8.4.7"), Some((false, 80_407)));
        assert_eq!(version("9.5.0-commercial"), Some((false, 90_500)));
        assert_eq!(version("5.5.5-10.11.19-MariaDB-0+deb12u1"), Some((true, 101_119)));
        assert_eq!(version("11.4.2-MariaDB"), Some((true, 110_402)));
        for old in ["5.6.51", "10.4.1-MariaDB", "", "x", "8", "5.5.5-10.4.2-MariaDB", "8.400.1"] {
            assert_eq!(version(old), None, "{old}");
        }
    }

    #[test]
    fn modes() {
        let ansi = SqlMode::parse("ansi,NO_ZERO_DATE").unwrap();
        assert!(ansi.ansi_quotes() && ansi.ignore_space() && !ansi.no_backslash_escapes());
        assert_eq!(SqlMode::parse(&ansi.value()), Ok(ansi));
        assert_eq!(SqlMode::parse("STRICT_TRANS_TABLES,ORACLE"), Err("ORACLE".to_owned()));
        assert_eq!(SqlMode::parse(""), Ok(SqlMode::default()));
    }
}
