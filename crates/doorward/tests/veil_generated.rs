//! Statements made by a small grammar, over two databases that differ in hidden values alone: what is answered has to be the
//! same, byte for byte.
//!
//! `DOORWARD_VEIL_STATEMENTS` says how many are tried, `DOORWARD_VEIL_SMITH` how many of SQLsmith's, `DOORWARD_VEIL_SEED`
//! with which the first is made, `DOORWARD_VEIL_REGRESS` how many of SQLsmith's over the schema of PostgreSQL's own tests; `DOORWARD_VEIL_SHOW` prints errors, how often there were such, and a statement that had it.
//! What differs is made smaller by leaving choices out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
mod regress;
mod veiled;

use common::World;
use regress::hidden::{self, Regress};
use veiled::{
    maker::{Dialect, Numbers},
    trial::{Asking, Counts, LIMIT, ROUND, Server, Twins, set},
    wire::{Answer, How, Wire},
    world,
};

impl Server for World {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn fill(&self, random: &mut Numbers) {
        fill(self, random);
    }

    fn ask(&self, groups: &[&str], statements: &[Asking]) -> Vec<Answer> {
        Wire::new(self, &self.token("ci-bot", groups, &[])).ask(statements)
    }
}

fn fill(w: &World, random: &mut Numbers) {
    let mut sql = "truncate customers, people, staff, cards, other.\"Odd t\";".to_owned();
    for id in 1..9 {
        let (email, card, ssn) = (text(random, id), text(random, id), text(random, id));
        let (born, score) = (number(random), number(random));
        sql.push_str(&format!(
            "insert into customers values ({id}, 'Name {id}', {email}, left({card}, 19), {ssn}, date '1970-01-05' + {born}, {score}, 'n{id}', {}, {});
             insert into people values ({id}, {}); insert into other.\"Odd t\" values ({id}, {});
             insert into {} (id, ssn) values ({id}, {}); insert into cards (id, number) values ({id}, {});",
            iban(random, id),
            since(random, id),
            text(random, id),
            text(random, id),
            if id > 5 { "managers" } else { "staff" },
            text(random, id),
            text(random, id),
        ));
    }
    w.postgres.exec(&sql).unwrap();
}

fn text(random: &mut Numbers, id: u64) -> String {
    match random.below(8) {
        0 => "null".to_owned(),
        1 => "''".to_owned(),
        2 => "'same'".to_owned(),
        3 => format!("'x{id}'"),
        4 => format!("'078-05-112{id}'"),
        5 => format!("'{}'", random.below(20)),
        6 => format!("repeat('ö{id}', {})", random.below(200)),
        _ => format!("'user{id}@example.com'"),
    }
}

/// Of which `partial:4` shows the same, whatever stands before the end.
fn iban(random: &mut Numbers, id: u64) -> String {
    match id {
        1 => format!("'{:06}'", random.below(1_000_000)),
        2 => "null".to_owned(),
        3 => "''".to_owned(),
        _ => format!("'{}{:07}-{:04}'", if random.below(2) == 0 { "D" } else { "x" }, random.below(10_000_000), id / 2),
    }
}

/// Of which `date:year` shows the same.
fn since(random: &mut Numbers, id: u64) -> String {
    match id {
        8 => "null".to_owned(),
        _ => format!("date '{}-01-01' + {}", 1990 + id / 2, random.below(365)),
    }
}

fn number(random: &mut Numbers) -> String {
    match random.below(5) {
        0 => "null::int".to_owned(),
        _ => (random.below(20) as i64 - 9).to_string(),
    }
}

/// With indexes that would give rows in the order of what is hidden.
fn twins() -> Twins<World> {
    let twins = Twins([world(), world()]);
    for world in &twins.0 {
        world
            .postgres
            .exec("alter table customers add iban text, add since date; create or replace view everyone as select * from customers")
            .unwrap();
        world.postgres.exec("create index on staff (id, ssn); create index on people (ssn, id)").unwrap();
        let limit = format!("alter role {} set statement_timeout = '{LIMIT}s'", world.postgres.user());
        world.postgres.exec(&limit).unwrap();
    }
    twins
}

#[test]
fn generated_statements_tell_nothing() {
    twins().try_generated();
}

/// What tells of the server itself, and is other on each.
const OF_THE_SERVER: &[&str] = &[
    "pg_postmaster_start_time",
    "pg_conf_load_time",
    "inet_server_port",
    "inet_client_port",
    "pg_backend_pid",
    "_wal_",
    "txid_",
    "_xact_id",
    "_snapshot",
    "pg_stat_",
    "pg_control_",
    "pg_export_",
    "pg_tablespace",
];

/// SQLsmith (Debian's package) reads the schema through the gateway and makes statements for it. Its random samples are left out:
/// what they find is other each time.
fn smith(world: &World, seed: u64, count: u64) -> Vec<Asking> {
    let token = world.token("ci-bot", &["agents"], &[]);
    let target = format!("--target=host=127.0.0.1 port={} user=anybody dbname=orders sslmode=disable", world.port);
    let out = std::process::Command::new("sqlsmith")
        .args(["--dry-run", "--exclude-catalog", &target])
        .args([format!("--seed={seed}"), format!("--max-queries={count}")])
        .env("PGPASSWORD", token)
        .output()
        .unwrap();
    assert!(out.status.success() && !out.stdout.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split(";\n")
        .map(words)
        .filter(|s| !s.is_empty() && !OF_THE_SERVER.iter().any(|name| s.contains(name)))
        .map(|s| (quoted(&without_samples(&s)), How::RolledBack))
        .collect()
}

/// Names that it writes as if they were plain.
fn quoted(statement: &str) -> String {
    statement.replace("other.Odd t", "other.\"Odd t\"").replace(".Id ", ".\"Id\" ").replace(".Id,", ".\"Id\",")
}

fn without_samples(statement: &str) -> String {
    let mut parts = statement.split(" tablesample ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push(' ');
        out.push_str(part.split_once(')').unwrap().1);
    }
    out
}

/// Statements of SQLsmith, which reads the schema through one of the gateways.
fn try_smith<S: Server>(twins: &Twins<S>, count: u64, world: impl Fn(&S) -> &World) {
    let seed = set("DOORWARD_VEIL_SEED").unwrap_or(1);
    let (mut counts, mut told, mut unsteady) = (Counts::default(), Vec::new(), 0);
    while counts.tried < count {
        let first = seed + counts.tried;
        twins.fill(first);
        let statements = smith(world(&twins.0[0]), first, ROUND.min(count - counts.tried));
        for n in twins.round(&statements, &mut counts) {
            // Times, numbers of processes and of transactions are other each time, with the same values, too.
            if twins.is_steady(&statements[n]) {
                told.push(statements[n].0.clone());
            } else {
                unsteady += 1;
            }
        }
    }
    counts.show(told.len());
    println!("{unsteady} were answered otherwise each time");
    assert!(told.is_empty(), "{}", told.join("\n\n"));
    assert!(unsteady * 10 < counts.tried);
}

#[test]
fn statements_of_sqlsmith_tell_nothing() {
    try_smith(&twins(), set("DOORWARD_VEIL_SMITH").unwrap_or(300), |world| world);
}

#[test]
fn statements_of_sqlsmith_over_the_regression_schema_tell_nothing() {
    if !regress::is_there() {
        return;
    }
    let (one, other) = std::thread::scope(|s| {
        let other = s.spawn(Regress::begun);
        (Regress::begun(), other.join().unwrap())
    });
    try_smith(&Twins([one, other]), hidden::count(), |regress| &regress.0);
}
