//! What somebody makes that is too long to be read costs the others nothing, at real servers: it counts as not known.
use super::{POLICY, Staying, client, postgres};
use crate::common::mysql::MySqlWorld;
use doorward_testkit::{MySql, MySqlRelease};

/// Longer than a packet of any answer that is read, in bytes.
const LONG: usize = 20 << 20;
/// The same of MySQL and MariaDB, and short enough for a statement.
const MYSQL_LONG: usize = 6 << 20;

#[test]
fn a_long_body_in_postgres_refuses_no_statement_of_others() {
    let w = postgres();
    w.postgres
        .exec(&format!(
            "set role {};
             do $do$ declare long text := repeat('x', {LONG}); begin
               execute format('create function longp() returns int language plpgsql as %L', 'begin return 1; /*' || long || '*/ end');
               execute format('create function longs() returns int language sql as %L', 'select length(''' || long || ''')');
               execute format('create view longv as select id, %L as it from people', long);
               execute format('comment on table cards is %L', 'doorward: shut ' || long);
             end $do$;",
            w.postgres.user()
        ))
        .unwrap();
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let mut psql = w.psql_command(&agent);
    psql.arg("-q");
    let mut one = Staying::start(psql);
    assert_eq!(one.ask("select name, ssn from people"), "Ada|[ssn]");
    let said = one.ask("select * from cards");
    assert!(said.contains("refused by policy `shut`"), "{said}");
    for unknown in ["select longp()", "select longs()", "select id from longv"] {
        let said = one.ask(unknown);
        assert!(said.contains("refused"), "{unknown}: {said}");
    }
    let mut psql = w.psql_command(&owner);
    psql.arg("-q");
    let mut other = Staying::start(psql);
    assert_eq!(other.ask("select longp(), ssn from people"), "1|078-05-1120");
    assert_eq!(other.ask("select id from longv"), "1");
}

fn mysql(release: MySqlRelease) {
    let server = MySql::options().release(release).database("public").start().unwrap();
    server.exec(&format!("grant all on *.* to '{}'@'%'", server.user())).unwrap();
    server
        .exec(
            "use public;
             create table people(id int primary key, ssn varchar(12) comment 'doorward: pii, ssn');
             insert into people values (1, '078-05-1120');",
        )
        .unwrap();
    let w = MySqlWorld::over(server, POLICY, "tls = \"disable\"");
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let (mut one, mut other) = (client(&w, &agent), client(&w, &owner));
    assert_eq!(one.ask("select ssn from people"), "[ssn]");
    let long = "x".repeat(MYSQL_LONG);
    for made in [
        format!("create procedure longp() select length('{long}')"),
        format!("create view longv as select id, ssn, length('{long}') as it from people"),
    ] {
        assert_eq!(other.ask(&made), "", "{release:?}");
    }
    // What nobody has read, nobody calls who may not see everything; views show nothing.
    assert_eq!(one.ask("select ssn from people"), "[ssn]", "{release:?}");
    let said = one.ask("call longp()");
    assert!(said.contains("may read columns that you may not see"), "{release:?}: {said}");
    let said = one.ask("select ssn from longv");
    assert!(!said.contains("078"), "{release:?}: {said}");
    assert_eq!(other.ask("call longp()"), MYSQL_LONG.to_string(), "{release:?}");
    assert_eq!(other.ask("select ssn from longv"), "078-05-1120", "{release:?}");
    assert_eq!(client(&w, &agent).ask("select ssn from public.people"), "[ssn]", "{release:?}");
}

#[test]
fn a_long_body_in_mariadb_or_mysql_refuses_no_statement_of_others() {
    mysql(MySqlRelease::DebianMariaDb);
    mysql(MySqlRelease::MySql9);
}
