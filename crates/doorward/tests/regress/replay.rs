//! The same again through the gateway, as somebody who may not see some columns of another table; and what came of it.
use super::{Exchange, Listener, SETTINGS, server, session::Session};
use crate::{common::World, veiled};

/// What nobody may see, beside the tables of the tests.
const HIDDEN: &str = "
create schema hidden;
create table hidden.people(id int primary key, name text, ssn text, email text);
create view hidden.contacts as select id, email from hidden.people;
insert into hidden.people select g, 'n' || g, 's' || g, 'e' || g from generate_series(1, 8) g;
";
const CONNECTION: &str = r#"audit = "best-effort"
tags = { "hidden.people.ssn" = ["pii"], "hidden.people.email" = ["pii"] }"#;

/// What is other at each server: psql's `\d` asks for OIDs, and then by them.
fn is_own(text: &str) -> bool {
    let has_oid = |text: &str| text.split('\'').any(|part| part.len() > 4 && part.bytes().all(|b| b.is_ascii_digit()));
    OWN.iter().any(|own| text.contains(own)) || (text.contains("pg_catalog.") && has_oid(text))
}

/// What tells of the server, the session or the moment.
const OWN: &[&str] = &["SELECT c.oid,"];

/// What came of statements.
#[derive(Default)]
pub(crate) struct Tally {
    /// Reads that the server answers.
    pub(crate) reads: usize,
    /// Of these, refused by Doorward.
    pub(crate) refused: Vec<String>,
    /// Of these, with an error, since something that they need was refused before.
    pub(crate) lost: Vec<String>,
    /// Of these, answered otherwise than by the server.
    pub(crate) differ: Vec<String>,
    /// What is no read, or fails at the server.
    pub(crate) others: usize,
    pub(crate) others_refused: Vec<String>,
    /// Sessions that ended, by what.
    pub(crate) ended: Vec<String>,
}

/// Two servers that are the same, one of them behind a gateway.
pub(crate) struct Replay {
    world: World,
    listener: Listener,
    _plain: doorward_testkit::Postgres,
    token: String,
}

impl Replay {
    /// Both with what these tests leave behind.
    pub(crate) fn begun(tests: &str) -> Self {
        let (plain, behind) = (server(), server());
        for server in [&plain, &behind] {
            server.exec(&format!("{SETTINGS} set role {};\n{HIDDEN}", server.user())).unwrap();
            let listener = Listener::before(server);
            tests.split_whitespace().for_each(|test| drop(listener.runs(test)));
        }
        let listener = Listener::before(&plain);
        let world = veiled::over(behind, CONNECTION);
        let token = world.token("ci-bot", &["agents"], &[]);
        Self { world, listener, _plain: plain, token }
    }

    /// Runs a test at the one server, and what was asked there through the gateway at the other. What is refused there is
    /// done past the gateway, so that what comes after it finds what it needs.
    pub(crate) fn run(&self, test: &str, tally: &mut Tally) {
        let mut through = Session::through(&self.world, &self.token);
        let mut past = Session::at(&self.world.postgres);
        let mut another = Session::through(&self.world, &self.token);
        // What the other session holds, it holds until it is asked again.
        past.says("set lock_timeout = '500ms'").unwrap();
        for exchange in self.listener.runs(test) {
            let named = || format!("{test}: {}", exchange.text.replace('\n', " "));
            let Some(reply) = through.ask(&exchange) else {
                tally.ended.push(named());
                through = Session::through(&self.world, &self.token);
                continue;
            };
            let is_read = is_read(&exchange);
            if is_read {
                tally.reads += 1
            } else {
                tally.others += 1
            }
            if reply.is_refused() {
                let refused = if is_read { &mut tally.refused } else { &mut tally.others_refused };
                refused.push(format!("{}\n        {}", named(), reply.error.unwrap_or_default()));
                if past.ask(&exchange).is_none() {
                    past = Session::at(&self.world.postgres);
                }
                // What is changed past the gateway counts within a minute, what is changed through it at once.
                if !is_read {
                    another.says("comment on schema hidden is 'read again'").unwrap();
                }
            } else if is_read && reply != exchange.reply && !is_own(&exchange.text) {
                let kind = if reply.error.is_some() { &mut tally.lost } else { &mut tally.differ };
                kind.push(format!(
                    "{}\n        {:?}\n        {:?}",
                    named(),
                    reply.error,
                    (reply.beginning, &exchange.reply.beginning)
                ));
            }
        }
    }

    /// What the audit log has as refused, once it is as much as it was (answers do not wait for the log); syntax errors, which are not forwarded either, are in the server's words.
    pub(crate) fn refused_in_the_log(&self, expected: usize) -> Vec<String> {
        let mut log = self.refused();
        for _ in 0..600 {
            if log.len() >= expected {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            log = self.refused();
        }
        log
    }

    fn refused(&self) -> Vec<String> {
        let all = self.world.audit("request");
        all.iter()
            .filter(|r| r["outcome"] != "forward")
            .map(|r| format!("{} {}", r["statement"], r["reason"]))
            .filter(|r| r.contains(" refused: "))
            .collect()
    }
}

/// Whether a statement only reads, and the server answers it.
fn is_read(exchange: &Exchange) -> bool {
    let words = exchange.text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    let first = words.and_then(|line| line.split(|c: char| !c.is_alphabetic()).next()).unwrap_or_default();
    let reads = ["select", "with", "values", "table", ""].iter().any(|word| first.eq_ignore_ascii_case(word));
    exchange.reply.selects && exchange.reply.error.is_none() && reads
}
