//! Where a text has `*`, which column stands where depends on what relations have when the server reads it: also where another
//! session changes them in between.
use crate::veiled::{
    Asked,
    wire::{How, Wire},
    world,
};
use std::{process::Command, time::Duration};

const MADE: &str = "create table words(id int primary key, w text); insert into words select g, 'w'||g from generate_series(1, 8) g;
create table plain(id int primary key, t text, n int); insert into plain select g, 't'||g, g from generate_series(1, 8) g";

/// What is asked while another transaction has changed tables and goes on, and what that has changed.
const RACES: &[(&str, &str)] = &[
    (
        "alter table orders add y0 int, add y1 int",
        "copy (update plain set n = 1 from (select id from words) a join (select id from words) b using (id) \
         join customers h using (id) cross join (select * from orders limit 1) o where plain.id = a.id and plain.id < 4 returning *) to stdout",
    ),
    (
        "alter table words drop w; alter table orders add y0 int",
        "copy (select * from words w, U&\"customers\" h, orders o where o.id = h.id and w.id = h.id) to stdout",
    ),
    (
        "alter table words drop w; alter table orders add y0 int",
        "copy (select c8 from (select * from words w, U&\"customers\" h, orders o where o.id = h.id and w.id = h.id) x (c1, c2, c3, c4, c5, c6, c7, c8)) to stdout",
    ),
    (
        "alter table words drop w; alter table orders add y0 int",
        "select * from words w, U&\"customers\" h, orders o where o.id = h.id and w.id = h.id \
         union all select * from words w, U&\"customers\" h, orders o where o.id = h.id and w.id = h.id",
    ),
    (
        "alter table words drop w; alter table orders add y0 int",
        "begin; update plain set n = 1 from words w, (select * from U&\"customers\" union all select * from U&\"customers\") h, orders o \
         where w.id = h.id and plain.id = h.id and o.id = h.id returning *",
    ),
];

#[test]
fn columns_that_come_and_go_show_none() {
    let w = world();
    w.postgres.exec(&format!("set role {};\n{MADE}", w.postgres.user())).unwrap();
    let token = w.token("ci-bot", &["agents"], &[]);
    for (changes, statement) in RACES {
        let mut direct = Command::new("psql");
        direct.args(["-X", "-A", "-t"]).envs(w.postgres.client_env());
        let mut direct = Asked::new(direct);
        let mut wire = Wire::new(&w, &token);
        assert_eq!(wire.ask(&[("select count(*) from customers".to_owned(), How::Simple)])[0].error, None);
        assert!(!direct.says(&format!("begin; {changes}")).contains("ERROR"));
        let said = std::thread::scope(|s| {
            let asked = s.spawn(|| wire.ask(&[((*statement).to_owned(), How::Simple)]));
            std::thread::sleep(Duration::from_secs(1));
            assert!(!direct.says("commit").contains("ERROR"));
            // With another number of columns the connection is closed.
            asked.join().map_or_else(|_closed| "closed".to_owned(), |said| format!("{said:?}"))
        });
        assert_eq!(said == "closed", statement.starts_with("copy (update"), "{statement}: {said}");
        for raw in ["078-05", "@example.com", "41111111"] {
            assert!(!said.contains(raw), "{statement}: {said}");
        }
        w.postgres
            .exec("alter table words add if not exists w text; alter table orders drop if exists y0, drop if exists y1")
            .unwrap();
    }
}

/// What stands by `*` is shown where it is certain what it is, and what is computed beside it.
#[test]
fn neighbours_of_such_columns_are_shown() {
    let w = world();
    w.postgres.exec(&format!("set role {};\n{MADE}", w.postgres.user())).unwrap();
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    for (statement, shown) in [
        ("select c.*, o.id * 2 as twice from customers c join orders o using (id) where c.id = 3", "|6"),
        ("select *, upper(w) from words where id = 2", "2|w2|W2"),
        ("select * from customers where id = 2 union all select * from customers where id = 3", "|Name 2|"),
        ("select * from customers except select * from customers where id > 2", "|Name 2|"),
        ("with c as (table customers) select * from c where id = 2 union all select * from c where id = 3", "|Name 3|"),
        ("select x.*, upper(x.name) from (select * from customers) x where x.id = 2", "NAME 2"),
        ("copy (select * from customers where id = 2) to stdout", "Name 2"),
        ("copy (select id, name from customers where id = 2) to stdout", "2\tName 2"),
        ("copy (select * from words where id = 2) to stdout", "2\tw2"),
        ("copy customers to stdout", "Name 2"),
        ("copy orders to stdout", "user2@example.com"),
        ("update customers set name = name where id = 2 returning *, upper(name)", "NAME 2"),
    ] {
        let said = agent.says(statement);
        assert!(said.contains(shown), "{statement}: {said}");
    }
}
