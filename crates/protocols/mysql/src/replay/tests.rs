//! Sessions as they are shown.
use super::*;
use proptest::prelude::*;

const RECORDED: [&str; 3] = [
    include_str!("../../tests/testdata/mysql-9.txt"),
    include_str!("../../tests/testdata/mariadb-10.11.txt"),
    include_str!("../../tests/testdata/mariadb-11.txt"),
];

/// What a recording shows if its pieces are cut after `cut` bytes: `C` came from the client, `c` went there.
fn shown(recording: &str, cut: usize) -> String {
    let mut lines = recording.lines();
    let capabilities = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut replayer = Replayer::new(Options { rows: 1 });
    replayer.agreed(capabilities);
    let mut out = Vec::new();
    for line in lines {
        let (kind, hex) = line.split_once(' ').unwrap();
        let side = match kind {
            "C" => Side::Client,
            "c" => Side::Upstream,
            _ => continue,
        };
        for piece in hex::decode(hex).unwrap().chunks(cut) {
            out.extend(replayer.feed(side, piece).iter().map(ToString::to_string));
        }
    }
    out.join("\n")
}

#[test]
fn prepared_statements_cursors_and_errors_are_shown() {
    for recording in RECORDED {
        let whole = shown(recording, usize::MAX);
        for line in [
            "> USE `orders`",
            "> SELECT id, ssn, note, born, n FROM people WHERE id < ? OR note = ?   [2, (sent ahead)]",
            " id | ssn   | note             | born       | n",
            " 1  | [ssn] | write to [email] | 1999-02-03 | 7",
            "< (a cursor is open)",
            "> (fetch 10 rows)",
            "> (statement 4294967295)",
            "> (ResetConnection)",
            "> (change of user to bot)",
            "> (Ping)",
        ] {
            assert!(whole.contains(line), "{line}\nin\n{whole}");
        }
        assert!(whole.contains("< ERROR 1142 (42000): ") && whole.contains("< ERROR 1243 (HY000): "), "{whole}");
        assert_eq!(whole, shown(recording, 1), "however its bytes are cut");
        assert_eq!(whole, shown(recording, 7));
    }
}

proptest! {
    #[test]
    fn random_bytes_show_something_or_nothing(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..20), capabilities: u64) {
        let mut replayer = Replayer::new(Options { rows: 3 });
        replayer.agreed(capabilities);
        for (client, bytes) in pieces {
            let mut framed = Vec::new();
            codec::put_message(&mut framed, 0, &bytes);
            let side = if client { Side::Client } else { Side::Upstream };
            for line in replayer.feed(side, &framed) {
                let obeyed = line.to_string().contains(char::from(27));
                prop_assert!(!obeyed);
            }
        }
    }
}

/// What is left out of a log-in within a session leaves the rest where it was.
#[test]
fn a_log_in_that_is_not_recorded_is_named_and_followed() {
    let mut replayer = Replayer::new(Options { rows: 1 });
    replayer.agreed((1_u64 << 9) | (1 << 15) | (1 << 19) | 1);
    let mut said = Vec::new();
    replayer.skip(300);
    said.extend(replayer.feed(Side::Client, b"\x28\0\0\0\x11"));
    said.extend(replayer.skip(39));
    said.extend(replayer.feed(Side::Upstream, b"\x16\0\0\x01\xfemysql_clear_password\0"));
    said.extend(replayer.feed(Side::Client, b"\x2c\x01\0\x02"));
    said.extend(replayer.skip(300));
    said.extend(replayer.feed(Side::Upstream, b"\x07\0\0\x03\0\0\0\x02\0\0\0"));
    said.extend(replayer.feed(Side::Client, b"\x09\0\0\0\x03SELECT 1"));
    let at = |line: &str| {
        said.iter().position(|s| s.to_string().contains(line)).unwrap_or_else(|| panic!("{line} in {said:?}"))
    };
    assert!(at("> (change of user)") < at("> SELECT 1"), "{said:?}");
}
