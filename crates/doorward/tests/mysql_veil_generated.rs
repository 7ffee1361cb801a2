//! Statements made by a small grammar, at two servers of MySQL or MariaDB that differ in hidden values alone: what is answered
//! has to be the same, byte for byte.
//!
//! `DOORWARD_VEIL_STATEMENTS` says how many are tried, `DOORWARD_VEIL_SEED` with which the first is made; `DOORWARD_VEIL_SHOW`
//! prints errors, how often there were such, and a statement that had it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
mod mysql_veiled;
mod veiled;
#[path = "mysql_veiled/wire.rs"]
mod wire;

use common::mysql::MySqlWorld;
use doorward_testkit::MySqlRelease;
use mysql_veiled::{TAGS, over};
use veiled::{
    maker::{Dialect, Numbers},
    trial::{Asking, LIMIT, Server, Twins},
    wire::Answer,
};
use wire::Wire;

impl Server for MySqlWorld {
    fn dialect(&self) -> Dialect {
        if self.server.release().is_mariadb() { Dialect::MariaDb } else { Dialect::MySql }
    }

    fn fill(&self, random: &mut Numbers) {
        let mut sql = "truncate customers; truncate people; truncate ranks; truncate other.`Odd t`;".to_owned();
        for id in 1..9 {
            let mut text = |length| format!("left({}, {length})", text(random, id));
            let (email, card, ssn, people, odd) = (text(80), text(19), text(12), text(60), text(20));
            let (born, score, balance) = (number(random), number(random), number(random));
            let (iban, since) = (iban(random, id), since(random, id));
            let kind = ["'a'", "'b'", "null"][random.below(3) as usize];
            sql.push_str(&format!(
                "insert into customers values ({id}, 'Name {id}', {email}, {card}, {ssn}, date '1970-02-05' + interval {born} day, {score}, 'n{id}', {balance}, {kind}, {iban}, {since});
                 insert into people values ({id}, {people}); insert into other.`Odd t` values ({id}, {odd});
                 insert into ranks values ({id}, {score});",
            ));
        }
        // The optimiser goes by samples that are taken at any time, and by when; here they are taken now.
        sql.push_str("analyze table customers, people, ranks, orders, other.`Odd t`;");
        self.server.exec(&format!("use public; {sql}")).unwrap();
    }

    fn ask(&self, groups: &[&str], statements: &[Asking]) -> Vec<Answer> {
        Wire::new(self, &self.token("ci-bot", groups, &[])).ask(statements)
    }
}

fn text(random: &mut Numbers, id: u64) -> String {
    match random.below(8) {
        0 => "null".to_owned(),
        1 => "''".to_owned(),
        2 => "'same'".to_owned(),
        3 => format!("'x{id}'"),
        4 => format!("'078-05-112{id}'"),
        5 => format!("'{}'", random.below(20)),
        6 => format!("repeat('ö{id}', {})", random.below(40)),
        _ => format!("'user{id}@example.com'"),
    }
}

/// A text of which length and end are the same with all values, as `partial:4` shows them.
fn iban(random: &mut Numbers, id: u64) -> String {
    match id {
        8 => "null".to_owned(),
        7 => "''".to_owned(),
        _ => format!("'DE{:010}{:02}{:04}'", random.below(10_000_000_000), random.below(100), id % 3),
    }
}

/// Of which `date:year` shows the same.
fn since(random: &mut Numbers, id: u64) -> String {
    match id {
        8 => "null".to_owned(),
        _ => format!("date '{}-01-01' + interval {} day", 1990 + id / 2, random.below(365)),
    }
}

fn number(random: &mut Numbers) -> String {
    match random.below(5) {
        0 => "null".to_owned(),
        _ => (random.below(20) as i64 - 9).to_string(),
    }
}

fn twins(release: MySqlRelease) -> Twins<MySqlWorld> {
    let tags = TAGS.replace("tags = {", "tags = { \"public.customers.iban\" = [\"pii\", \"mask:partial:4\"], \"public.customers.since\" = [\"pii\", \"mask:date:year\"],");
    let twins = Twins([over(release, &tags), over(release, &tags)]);
    for twin in &twins.0 {
        let more = "set global innodb_stats_auto_recalc = off; use public; alter table customers add iban varchar(34), add since date, \
                    add key by_iban(iban); create or replace view everyone as select * from customers";
        twin.server.exec(more).unwrap();
        let limit = match twin.dialect() {
            Dialect::MariaDb => format!("set global max_statement_time = {LIMIT}"),
            _ => format!("set global max_execution_time = {LIMIT}000"),
        };
        twin.server.exec(&limit).unwrap();
    }
    twins
}

#[test]
fn generated_statements_tell_nothing_in_mariadb() {
    twins(MySqlRelease::DebianMariaDb).try_generated();
}

#[test]
fn generated_statements_tell_nothing_in_mysql() {
    twins(MySqlRelease::MySql9).try_generated();
}
