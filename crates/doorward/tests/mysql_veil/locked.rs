//! What waits for a lock of another session, and what does not: ranges of indexes over hidden columns are not locked by anything
//! that goes through the gateway, or whoever inserts would learn where values are.
use super::*;
use crate::{veiled::wire::How, wire::Wire};

/// What takes locks in one session of somebody who may not see everything.
const LOCKING: &[&str] = &[
    "select id from customers limit 2 for update",
    "update customers set name = name where name = 'Name 2'",
    "update customers c set name = 'y' where c.name = 'Name 2' order by id",
    "insert into orders (id) select id + 500 from customers where name = 'Name 2'",
    "delete o from orders o, customers c where c.name = 'Name 2' and o.id = c.id",
    "update orders set contact = (select max(id) from customers where name = 'Name 2') where id = 1",
];

/// What another session of theirs inserts meanwhile.
const PROBING: &[&str] = &[
    "insert into customers (id, name, ssn, score) values (1000, 'Name 2', '000', 0)",
    "insert into customers (id, name, ssn, score) values (1001, 'Name 2', '078-05-1124', 4)",
    "insert into customers (id, name, ssn, score) values (1002, 'Name 1', 'zzz', 100)",
];

fn asks(wire: &mut Wire, statements: &[&str]) -> Option<String> {
    let all: Vec<_> = statements.iter().map(|text| ((*text).to_owned(), How::Simple)).collect();
    wire.ask(&all).into_iter().find_map(|answer| answer.error)
}

fn locks_do_not_tell(release: MySqlRelease) {
    let w = world(release);
    w.server.exec("set global innodb_stats_auto_recalc = off").unwrap();
    let token = w.token("ci-bot", &["agents"], &[]);
    let patience =
        if release.is_mariadb() { "set innodb_lock_wait_timeout = 0" } else { "set innodb_lock_wait_timeout = 1" };
    let waits = || {
        // The optimiser goes by samples that are taken at any time; here they are taken now.
        w.server.exec("use public; analyze table customers, orders").unwrap();
        let mut out = Vec::new();
        for locking in LOCKING {
            let (mut one, mut other) = (Wire::new(&w, &token), Wire::new(&w, &token));
            assert_eq!(asks(&mut one, &["begin", locking]), None, "{release:?}: {locking}");
            assert_eq!(asks(&mut other, &[patience]), None);
            for probing in PROBING {
                let said = asks(&mut other, &["begin", probing, "rollback"]);
                assert!(said.as_ref().is_none_or(|said| said.contains("Lock wait timeout")), "{probing}: {said:?}");
                out.push((locking, probing, said.is_some()));
            }
            assert_eq!(asks(&mut one, &["rollback"]), None);
        }
        out
    };
    let before = waits();
    w.server.exec(&format!("use public;\n{SCHEMA}\n{OTHERWISE}")).unwrap();
    let after = waits();
    let told: Vec<_> = before.iter().zip(&after).filter(|(one, other)| one != other).collect();
    assert!(told.is_empty(), "{release:?}: {told:#?}");
    assert!(before.iter().any(|(.., waits)| !waits), "{release:?}: everything waits");
}

#[test]
fn nor_do_locks_in_mariadb() {
    locks_do_not_tell(MySqlRelease::DebianMariaDb);
}

#[test]
fn nor_do_locks_in_mysql() {
    locks_do_not_tell(MySqlRelease::MySql9);
}

/// What looks for a place in an index over a hidden column, and would hold it.
const HOLDING: &[&str] = &[
    "insert into codes values (1000, 'm')",
    "insert ignore into codes (id, code) values (1000, 'm')",
    "update codes set id = 2000 where id = 3",
    // By what is computed of what is given, and by defaults.
    "insert into soft (id, email) values (1000, 'm')",
    "insert into slugs (id, name) values (1000, 'm')",
];

/// What looks for none.
const FREE: &[&str] = &[
    "insert into codes (id) values (1000)",
    "update codes set id = id where id = 1000 and 1 = 0",
    "insert into customers (id, name) values (1000, 'x')",
    "insert into children (id, pid) values (1000, 1)",
    "delete from codes where id = 1000",
];

fn places_are_not_held(release: MySqlRelease) {
    let w = world(release);
    let token = w.token("ci-bot", &["agents"], &[]);
    let is_refused =
        |said: &Option<String>| said.as_ref().is_some_and(|said| said.contains("locked, which is over columns"));
    for holding in HOLDING {
        for begun in [&["begin"][..], &["set autocommit = 0"], &["xa start 'x'"], &["begin", "savepoint s"]] {
            let mut wire = Wire::new(&w, &token);
            assert_eq!(asks(&mut wire, begun), None);
            let said = asks(&mut wire, &[holding]);
            assert!(is_refused(&said), "{release:?}: {begun:?} {holding}: {said:?}");
        }
        // Alone it may be made to wait, with what it holds.
        let said = asks(&mut Wire::new(&w, &token), &[holding]);
        assert!(is_refused(&said), "{release:?}: {holding}: {said:?}");
    }
    for slow in ["insert into codes values (1000, sleep(0))", "insert into codes select 1000, 'm'"] {
        let said = asks(&mut Wire::new(&w, &token), &[slow]);
        assert!(is_refused(&said), "{release:?}: {slow}: {said:?}");
    }
    for free in FREE {
        // Of this the key is written, whatever it finds.
        let said = asks(&mut Wire::new(&w, &token), &["begin", free]);
        assert_eq!(is_refused(&said), free.starts_with("update"), "{release:?}: {free}: {said:?}");
        assert!(said.is_none() || is_refused(&said), "{release:?}: {free}: {said:?}");
    }
}

#[test]
fn places_in_hidden_indexes_are_not_held() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        places_are_not_held(release);
    }
}

/// Texts are read by the server as they were read here, or not at all: also those of before, and after a failure half-way.
#[test]
fn texts_are_not_read_under_other_settings() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        let w = world(release);
        let token = w.token("ci-bot", &["agents"], &[]);
        let wire = || Wire::new(&w, &token);
        let charset = ["set @v = 'gbk'", "set character_set_client = @v"];
        for (text, others) in
            [("select id as `ö` from orders", &charset[..]), ("select 1", &["set sql_mode = 'ANSI_QUOTES'"])]
        {
            let said = wire().prepared_before(text, others).error;
            assert!(
                said.as_ref().is_some_and(|said| said.contains("Unknown prepared statement")),
                "{release:?}: {said:?}"
            );
        }
        assert_eq!(wire().prepared_before("select id from orders", &["set autocommit = 1"]).error, None);
        let halfway =
            ["set @v = 'gbk'", "set autocommit = 0", "xa start 'a'", "set character_set_client = @v, autocommit = 1"];
        let said = wire().prepared_before_failing("select id from orders", &halfway).error;
        assert!(said.as_ref().is_some_and(|said| said.contains("Unknown prepared statement")), "{release:?}: {said:?}");
        let mut one = wire();
        assert!(asks(&mut one, &halfway).is_some());
        let said = asks(&mut one, &["select 1"]);
        assert!(
            said.as_ref().is_some_and(|said| said.contains("nobody was told how far it came")),
            "{release:?}: {said:?}"
        );
        // A name that is another's by then.
        let mut one = wire();
        assert_eq!(asks(&mut one, &["create table own9 (k int, hid varchar(20))"]), None);
        let said = one.prepared_before("select k from own9", &["alter table own9 drop column hid"]).error;
        assert!(said.as_ref().is_some_and(|said| said.contains("has other columns than")), "{release:?}: {said:?}");
        assert_eq!(one.prepared_before("select k from own9", &["alter table orders comment = 'x'"]).error, None);
    }
}
