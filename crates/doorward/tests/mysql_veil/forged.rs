//! What a caller makes up does not pass for what the server says, nor a part of one thing for a part of another.
use crate::{mysql_veiled::world, veiled::wire::How, wire::Wire};
use doorward_mysql::Capabilities;
use doorward_testkit::MySqlRelease;

/// An OK packet that says that the database is `other` now, as the row of one text is written in the binary protocol.
const FORGED: &str = "create procedure forges() begin declare c cursor for select 1; open c; \
    select x'0a40000000080106056f74686572' as a union all select (select 1 union select 2 from orders); end";

/// The rows of a program are read as rows, whatever cursors it has open.
#[test]
fn a_programs_cursor_is_none_of_the_callers() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        let w = world(release);
        let token = w.token("ci-bot", &["agents"], &[]);
        w.server.exec("create table other.customers (id int, ssn varchar(20))").unwrap();
        let mut wire = Wire::that_can(&w, &token, |usual| {
            let results = Capabilities::MULTI_RESULTS.0 | Capabilities::PS_MULTI_RESULTS.0;
            Capabilities((usual.0 | results) & !Capabilities::DEPRECATE_EOF.0)
        });
        assert_eq!(wire.ask(&[(FORGED.to_owned(), How::Simple)])[0].error, None, "{release:?}");
        let id = wire.prepares("call forges()");
        let said = wire.says(&[&b"\x17"[..], &id, b"\x01\x01\0\0\0"].concat());
        assert!(said.error.as_ref().is_some_and(|said| said.contains("more than 1 row")), "{release:?}: {said:?}");
        let said = wire.ask(&[("select id, lower(ssn) from customers".to_owned(), How::Simple)]);
        assert!(!format!("{said:?}").contains("078-"), "{release:?}: {said:?}");
    }
}

/// A value beside a text is as long as the server takes it for, or the text would begin elsewhere.
#[test]
fn a_text_begins_where_the_server_has_it_begin() {
    let w = world(MySqlRelease::MySql9);
    let token = w.token("ci-bot", &["agents"], &[]);
    let wire = || Wire::that_can(&w, &token, |usual| Capabilities(usual.0 | Capabilities::QUERY_ATTRIBUTES.0));
    let text = b"select 'select concat(ssn, '''') from customers -- '";
    // YEAR, INT24 and NULL: as long as in rows, and then what MySQL takes for the length of a string.
    for (kind, value) in [(13, &b"\x09 "[..]), (9, b"\x0b   "), (6, b"")] {
        let said = wire().says(&[&b"\x03\x01\x01\0\x01"[..], &[kind, 0], b"\x01a", value, text].concat());
        assert!(said.error.is_some() && !format!("{said:?}").contains("078-"), "{kind}: {said:?}");
    }
    let said = wire().says(b"\x03\x01\x01\0\x01\x03\0\x01a\x01\0\0\0select 1");
    assert_eq!(said.error, None);
}
