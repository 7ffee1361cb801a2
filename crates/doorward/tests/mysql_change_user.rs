//! `COM_CHANGE_USER`: the same caller logs in anew in the middle of its session, as pools of drivers do, and nobody else does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;

use common::mysql_credentials::{Lent, MySqlWorld, Raw, proof};
use doorward_testkit::MySqlRelease;

const POLICY: &str = include_str!("../../../policies/orders.cedar");
const SCHEMA: &str = "create table products(id int primary key); insert into products values (1);";
const NATIVE: &str = "mysql_native_password";
const CLEAR: &str = "mysql_clear_password";

fn logged_in(w: &MySqlWorld, lent: &Lent) -> Raw {
    let mut raw = Raw::connect(w.port);
    assert_eq!(raw.log_in(lent)[0], 0);
    assert_eq!(raw.value("select id from products"), Ok("1".into()));
    raw
}

/// The scramble of a switch to another method.
fn switched<'a>(packet: &'a [u8], method: &str) -> &'a [u8] {
    let rest = packet.strip_prefix(&[&[0xfe], method.as_bytes(), &[0]].concat()[..]);
    rest.unwrap_or_else(|| panic!("no switch to {method}: {}", packet.escape_ascii()))
        .strip_suffix(b"\0")
        .unwrap_or_default()
}

/// That it was turned away, and the session ended.
fn assert_turned_away(raw: &mut Raw, said: &[u8], why: &str) {
    assert_eq!(said[..3], [0xff, 0x15, 0x04], "1045: {}", said.escape_ascii());
    assert!(String::from_utf8_lossy(said).contains(why), "{}", said.escape_ascii());
    assert!(raw.is_closed(), "it goes on");
}

fn the_same_caller_begins_anew(w: &MySqlWorld, token: &str) {
    let lent = w.lend(token, &[]);
    let mut raw = logged_in(w, &lent);
    for sql in ["start transaction", "set time_zone = '+05:00'"] {
        assert_ne!(raw.command(&raw.text(sql))[0], 0xff, "{sql}");
    }
    let said = raw.change_user(&lent.user, NATIVE, &proof(&lent.password, &raw.greeting.nonce));
    let nonce = switched(&said, NATIVE).to_vec();
    assert_ne!(nonce, raw.greeting.nonce, "the scramble that was used is not used again");
    let said = raw.answer(&proof(&lent.password, &nonce));
    assert_eq!(said[0], 0, "{}", said.escape_ascii());
    assert_eq!(said[3] & 1, 0, "no transaction is open: {}", said.escape_ascii());
    assert_eq!(raw.value("select @@time_zone").map(|z| z.contains("05:00")), Ok(false), "it was reset");
    // By the token itself, in the packet where it is short, and behind it.
    for _ in 0..2 {
        let said = raw.change_user("anybody", NATIVE, b"");
        assert_eq!(switched(&said, CLEAR), b"");
        let said = raw.answer(&[token.as_bytes(), b"\0"].concat());
        assert_eq!(said[0], 0, "{}", said.escape_ascii());
        assert_eq!(raw.value("select id from products"), Ok("1".into()));
    }
    let said = raw.change_user(&lent.user, CLEAR, &[lent.password.as_bytes(), b"\0"].concat());
    assert_eq!(said[0], 0, "{}", said.escape_ascii());
    assert_eq!(raw.value("select id from products"), Ok("1".into()));
    drop(raw);
    w.assert_audited("authenticated", &["ci-bot", "\"user\":\"anybody\""]);
}

fn nobody_else_takes_a_session_over(w: &MySqlWorld, token: &str) {
    let (lent, ann) = (w.lend(token, &[]), w.token("ann", "analysts"));
    let mut raw = logged_in(w, &lent);
    raw.change_user("ann", CLEAR, b"");
    let said = raw.answer(ann.as_bytes());
    assert_turned_away(&mut raw, &said, "another caller's");
    w.assert_audited("authentication_failed", &["another caller, dev/ann, in a session of dev/ci-bot"]);

    let theirs = w.lend(&ann, &[]);
    let mut raw = logged_in(w, &lent);
    let said = raw.change_user(&theirs.user, NATIVE, b"");
    let answer = proof(&theirs.password, switched(&said, NATIVE));
    let said = raw.answer(&answer);
    assert_turned_away(&mut raw, &said, "another caller's");

    let mut raw = logged_in(w, &lent);
    let said = raw.change_user(&lent.user, NATIVE, b"");
    switched(&said, NATIVE);
    let said = raw.answer(&proof(&lent.password, &raw.greeting.nonce));
    assert_turned_away(&mut raw, &said, "the credential is wrong");

    let mut raw = logged_in(w, &lent);
    raw.change_user("anybody", CLEAR, b"");
    let said = raw.answer(b"nonsense");
    assert_turned_away(&mut raw, &said, "valid identity token");
}

#[test]
fn a_caller_logs_in_anew_and_nobody_else_does() {
    for release in MySqlRelease::ALL {
        let w = MySqlWorld::start(release, POLICY, SCHEMA);
        let token = w.token("ci-bot", "agents");
        the_same_caller_begins_anew(&w, &token);
        nobody_else_takes_a_session_over(&w, &token);
        w.assert_kept_nowhere(&token);
        let parts = w.recorded();
        let shown = parts.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect::<Vec<_>>().join("\n");
        assert!(shown.contains("select id from products") && shown.contains("identity token or proof]"), "{shown}");
        let (ok, said) = w.doorward("", &["audit", "verify"]);
        assert!(ok, "{said}");
    }
}
