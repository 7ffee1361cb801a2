//! Which functions of the server are harmless.
//!
//! The list is data (`data/native-functions.txt`): names of both makes and all versions that we read. A name
//! that the server in use does not have is one of the user's own, and then it is asked for.
use super::words::Words;
use std::sync::LazyLock;

const LIST: &str = include_str!("data/native-functions.txt");

static HARMLESS: LazyLock<Words> = LazyLock::new(|| words('+'));
static EFFECTFUL: LazyLock<Words> = LazyLock::new(|| words('-'));
/// Of one make alone: to the other the name is the user's.
static MARIADB_ONLY: LazyLock<Words> = LazyLock::new(|| words('m'));
static MYSQL_ONLY: LazyLock<Words> = LazyLock::new(|| words('o'));
static GONE_FROM_MYSQL_8: LazyLock<Words> = LazyLock::new(|| words('l'));

fn words(mark: char) -> Words {
    let lines = LIST.lines().filter_map(|l| l.strip_prefix(mark));
    Words::new(&lines.collect::<Vec<_>>().join(" "))
}

/// What is known of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The server's own, without effects.
    Harmless,
    /// The server's own; reads files, waits, locks, or changes something.
    Effectful,
    /// None of the server's.
    No,
}

/// What is known of the function of this name.
pub(super) fn known(name: &[u8], upstream: super::Upstream) -> Known {
    let foreign = if upstream.is_mariadb() { &MYSQL_ONLY } else { &MARIADB_ONLY };
    let gone = !upstream.is_mariadb() && upstream.version >= 80_000;
    if foreign.contains(name) || (gone && GONE_FROM_MYSQL_8.contains(name)) {
        Known::No
    } else if EFFECTFUL.contains(name) {
        Known::Effectful
    } else if HARMLESS.contains(name)
        || MYSQL_ONLY.contains(name)
        || MARIADB_ONLY.contains(name)
        || GONE_FROM_MYSQL_8.contains(name)
    {
        Known::Harmless
    } else {
        Known::No
    }
}

/// Whether a function that is asked for in `mysql`, where libraries' functions are as well, may be one of the server's own
/// that has effects.
pub fn is_native_function(name: &str) -> bool {
    name == "kill" || EFFECTFUL.contains(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::Upstream;

    #[test]
    fn classes() {
        let mysql = Upstream::default();
        let maria = Upstream::from_greeting("10.11.19-MariaDB").unwrap();
        for name in ["load_file", "sleep", "BENCHMARK", "get_lock", "setval", "master_pos_wait"] {
            assert_eq!(known(name.as_bytes(), maria), Known::Effectful, "{name}");
        }
        for name in ["count", "CONCAT", "left", "if", "now", "json_extract", "row_number", "st_distance"] {
            assert_eq!(known(name.as_bytes(), mysql), Known::Harmless, "{name}");
        }
        assert_eq!(known(b"sys_exec", mysql), Known::No);
        assert_eq!(known(b"sformat", mysql), Known::No);
        assert_eq!(known(b"sformat", maria), Known::Harmless);
        assert_eq!(known(b"bin_to_uuid", maria), Known::No);
    }
}
