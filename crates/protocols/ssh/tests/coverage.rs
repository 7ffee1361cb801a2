//! The table of SFTP in docs/protocols/ssh.md is what the code has.
#![allow(clippy::panic, clippy::string_slice, reason = "a test")]
use doorward_ssh::sftp::{COVERAGE, Row};

const PAGE: &str = include_str!("../../../../docs/protocols/ssh.md");

#[test]
fn the_page_says_what_becomes_of_each_packet() {
    let from = PAGE.find("## SFTP\n").unwrap_or_else(|| panic!("no section on SFTP"));
    let section = PAGE[from..].lines().skip(1).take_while(|l| !l.starts_with("## "));
    let rows: Vec<&str> = section.filter(|l| l.starts_with("| `")).collect();
    let number = |row: &Row| match row.version {
        Some(version) => format!("{}, version {version}", row.number),
        None => row.number.to_string(),
    };
    let expected: Vec<String> =
        COVERAGE.iter().map(|r| format!("| `{}` | {} | {} |", r.name, number(r), r.treatment)).collect();
    assert_eq!(rows, expected);
}
