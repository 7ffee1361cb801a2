//! What a lock on one view or table costs the others, at a real server: nothing. What it may change meanwhile is not shown by what
//! it was before.
use super::{POLICY, Prepared, Staying, client, postgres};
use crate::common::{World, mysql::MySqlWorld};
use doorward_testkit::{MySql, MySqlRelease};
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// No statement waits longer than this for a lock before it is refused. The product's own bound is 5 s.
const WAITS: Duration = Duration::from_secs(240);

fn quiet(w: &World, token: &str) -> Staying {
    let mut psql = w.psql_command(token);
    psql.arg("-q");
    Staying::start(psql)
}

/// A session at the server itself, behind the gateway's back.
fn direct(w: &World) -> Staying {
    let mut psql = Command::new(w.postgres.bin_directory().join("psql"));
    psql.args(["-X", "-q", "-A", "-t"]).envs(w.postgres.client_env());
    Staying::start(psql)
}

/// All sessions read the schema anew before their next statement.
fn has_all_look(owner: &mut Staying) {
    assert_eq!(owner.ask("comment on table cards is 'looked at'"), "");
}

fn refused_as_locked(said: &str, view: &str) {
    let wanted = format!("what the view `public.{view}` shows cannot be read while it is locked");
    assert!(said.contains(&wanted) && !said.contains("078-"), "{said}");
}

#[test]
fn a_lock_on_one_view_refuses_no_statement_of_others() {
    let w = postgres();
    w.postgres
        .exec(&format!(
            "set role {};
             create view numbers as select number from cards;
             create view above as select it from shown;
             create materialized view stored as select number from cards;
             create function sums() returns bigint language sql stable begin atomic select count(*) from people; end;
             create table made(id int, twice int generated always as (id * 2) stored);
             insert into made values (4);",
            w.postgres.user()
        ))
        .unwrap();
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let (mut one, mut other, mut holder) = (quiet(&w, &agent), quiet(&w, &owner), direct(&w));
    assert_eq!(one.ask("select it from shown"), "Ada");
    assert_eq!(holder.ask("begin; lock table people in access exclusive mode; refresh materialized view stored"), "");
    has_all_look(&mut other);

    // What is not locked is answered, also to sessions that are new.
    assert_eq!(one.ask("select number from numbers"), "4111");
    assert_eq!(one.ask("select twice from made; select count(*) from cards"), "8\n1");
    assert_eq!(one.ask("create temp table mine as select 1 as a; select a from mine"), "1");
    assert_eq!(quiet(&w, &agent).ask("select number from numbers"), "4111");

    // What is locked waits a while, and is refused then; so is what reads it. Who may see everything waits at the server.
    for view in ["shown", "above", "stored"] {
        let begun = Instant::now();
        refused_as_locked(&one.ask(&format!("select count(*) from {view}")), view);
        assert!(begun.elapsed() < WAITS);
    }
    let said = one.ask("select sums()");
    assert!(said.contains("the function `public.sums` may read columns that you may not see"), "{said}");
    let said = other.ask("set lock_timeout = '100ms'; select it from shown");
    assert!(said.contains("canceling statement due to lock timeout"), "{said}");

    // Once the lock is gone, nobody has to wait for anything.
    assert_eq!(holder.ask("rollback"), "");
    assert_eq!(one.ask("select it from shown; select it from above; select number from stored"), "Ada\nAda\n4111");
}

#[test]
fn a_view_that_is_being_changed_is_not_shown_by_what_it_was() {
    let w = postgres();
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let (mut one, mut other, mut holder) = (quiet(&w, &agent), quiet(&w, &owner), direct(&w));
    assert_eq!(one.ask("select it from shown"), "Ada");

    // Through the gateway: others hear of it as soon as it is locked.
    assert_eq!(other.ask("begin; create or replace view shown as select id, ssn as it from people"), "");
    refused_as_locked(&one.ask("select it from shown"), "shown");
    assert_eq!(one.ask("select number from cards"), "4111");
    assert_eq!(other.ask("rollback"), "");
    assert_eq!(one.ask("select it from shown"), "Ada");
    assert_eq!(other.ask("begin; create or replace view shown as select id, ssn as it from people"), "");
    refused_as_locked(&one.ask("select it from shown"), "shown");
    assert_eq!(other.ask("commit"), "");
    assert_eq!(one.ask("select it from shown"), "[ssn]");

    // Behind its back, once it is looked again.
    assert_eq!(other.ask("create or replace view shown as select id, name as it from people"), "");
    assert_eq!(one.ask("select it from shown"), "Ada");
    let own = format!("set role {}", w.postgres.user());
    assert_eq!(
        holder.ask(&format!("begin; {own}; create or replace view shown as select id, ssn as it from people")),
        ""
    );
    has_all_look(&mut other);
    refused_as_locked(&one.ask("select it from shown"), "shown");
    assert_eq!(holder.ask("commit"), "");
    assert_eq!(one.ask("select it from shown"), "[ssn]");
}

/// The protocol lets a client hear of a COMMIT long before it says that it is through.
#[test]
fn a_commit_counts_from_when_its_caller_hears_of_it() {
    let w = postgres();
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let mut one = quiet(&w, &agent);
    assert_eq!(one.ask("select note from people"), "tall");
    let mut other = Prepared::new(&w, &owner, "select 1");
    for sql in ["begin", "comment on column people.note is 'doorward: pii, note'", "commit"] {
        other.say(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat());
        other.say(b'B', b"\0\0\0\0\0\0\0\0");
        other.say(b'E', b"\0\0\0\0\0");
        // No Sync.
        other.say(b'H', b"");
        loop {
            match other.message() {
                (b'C', _) => break,
                (b'E', body) => panic!("{}", String::from_utf8_lossy(&body)),
                _ => {}
            }
        }
    }
    assert_eq!(one.ask("select note from people"), "[note]");
}

/// MariaDB leaves tables out of `information_schema` while they are locked exclusively, after a wait for each.
fn mariadb(release: MySqlRelease) {
    let server = MySql::options().release(release).database("public").start().unwrap();
    server.exec(&format!("grant all on *.* to '{}'@'%'", server.user())).unwrap();
    server
        .exec(
            "use public;
             create table people(id int primary key, ssn varchar(12) comment 'doorward: pii, ssn');
             create table cards(id int primary key, number varchar(20));
             create view shown as select id, ssn from people;
             insert into people values (1, '078-05-1120'); insert into cards values (1, '4111');",
        )
        .unwrap();
    let w = MySqlWorld::over(server, POLICY, "tls = \"disable\"");
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let (mut one, mut other) = (client(&w, &agent), client(&w, &owner));
    let direct = || {
        let mut client = w.server.client_of(w.server.address(), w.server.user(), w.server.password());
        client.arg("--unbuffered");
        Staying::start(client)
    };
    let (mut holder, mut maker) = (direct(), direct());
    assert_eq!(one.ask("select ssn from people"), "[ssn]");
    assert_eq!(holder.ask("select get_lock('held', 0)"), "1");
    maker.begin("create or replace table public.people as select 1 as id, get_lock('held', 600) as ssn");
    let waits = "select count(*) from information_schema.processlist where state = 'User lock'";
    let begun = Instant::now();
    while w.server.query(waits).unwrap() != "1" {
        assert!(begun.elapsed() < WAITS);
        std::thread::sleep(Duration::from_millis(100));
    }
    // All read the schema anew, and none waits for what is locked.
    let begun = Instant::now();
    assert_eq!(other.ask("alter table cards comment 'looked at'"), "");
    assert_eq!(one.ask("select number from cards"), "4111");
    assert_eq!(client(&w, &agent).ask("select number from public.cards"), "4111");
    for name in ["people", "shown"] {
        let said = one.ask(&format!("select * from {name}"));
        assert!(said.contains(&format!("`public.{name}` cannot be looked into while it is locked")), "{said}");
    }
    let said = one.ask("select * from performance_schema.threads");
    assert!(said.contains("refused"), "whether anything is hidden is not known: {said}");
    assert!(begun.elapsed() < WAITS);
    assert_eq!(holder.ask("select release_lock('held')"), "1");
    assert_eq!(maker.ask("alter table public.people modify ssn int comment 'doorward: pii'"), "");
    assert_eq!(other.ask("alter table cards comment 'looked at again'"), "");
    assert_eq!(one.ask("select id from people where ssn = 1"), "");
    assert_eq!(other.ask("select id from people where ssn = 1"), "1");
}

#[test]
fn a_lock_on_one_table_of_mariadb_refuses_no_statement_of_others() {
    mariadb(MySqlRelease::DebianMariaDb);
}
