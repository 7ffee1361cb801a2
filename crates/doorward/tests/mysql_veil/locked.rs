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
