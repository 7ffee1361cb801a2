//! What people do every day passes, also where a database has columns that they may not see: the tools themselves, through the
//! gateway, as somebody who may not see some columns of some tables; of all that they ask, what share is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
mod veiled;

use common::World;
use doorward_testkit::cache_dir;
use std::process::Command;

/// `psql`'s words that describe things; those with `+` that show sizes ask for what is refused (docs/masking.md).
const DESCRIBED: &str = r"
\d
\dt
\dv
\di
\ds
\dm
\df
\df+ now
\dn+
\du
\dg
\l
\dT
\dD
\dx
\dp
\dy
\dO
\do + int4 int4
\da
\db
\dc
\dC
\dd
\ddp
\des
\det
\deu
\dew
\dF
\dFd
\dFp
\dFt
\dL
\dP
\dRp
\dRs
\dX
\drds
\dconfig work_mem
\d orders
\d customers
\d contacts
\d people
\d other.*
\sv contacts
\sf now
\conninfo
";

struct Asked {
    tool: &'static str,
    all: usize,
    refused: Vec<String>,
}

/// The tool, as somebody who may not see all.
fn through(w: &World, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("PGHOST", "localhost")
        .env("PGPORT", w.port.to_string())
        .env("PGUSER", "anybody")
        .env("PGDATABASE", "orders")
        .env("PGPASSWORD", w.token("ci-bot", &["agents"], &[]))
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", w.ca());
    command
}

/// What a run of a tool asked.
fn asked(w: &World, tool: &'static str, mut command: Command) -> Asked {
    let before = w.audit("request").len();
    let out = command.output().unwrap();
    println!("{tool}: {}", String::from_utf8_lossy(&out.stderr));
    let all = w.audit("request").split_off(before);
    let refused: Vec<String> = all
        .iter()
        .filter(|request| request["outcome"] != "forward")
        .map(|request| format!("{} {}", request["statement"], request["reason"]))
        .collect();
    assert!(out.status.success() || !refused.is_empty(), "{tool}: {}", String::from_utf8_lossy(&out.stderr));
    Asked { tool, all: all.len(), refused }
}

fn tools(w: &World) -> Vec<Asked> {
    let mut described = through(w, "psql");
    described.args(["-X", "-c", "\\pset pager off"]);
    DESCRIBED.lines().filter(|l| !l.is_empty()).for_each(|line| {
        described.args(["-c", line]);
    });
    let mut made = through(w, "pgbench");
    made.args(["-i", "-q", "-s", "1"]);
    let benched = ["simple", "extended", "prepared"].map(|mode| {
        let mut pgbench = through(w, "pgbench");
        pgbench.args(["-n", "-c", "2", "-t", "50", "-M", mode]);
        for script in ["tpcb-like", "simple-update", "select-only"] {
            pgbench.args(["-b", script]);
        }
        pgbench
    });
    let [mut schema, mut data] = [through(w, "pg_dump"), through(w, "pg_dump")];
    schema.arg("--schema-only");
    data.args(["--data-only", "-t", "orders"]);
    let python = cache_dir().join("venv/bin/python");
    let [alchemy, django] = ["alchemy.py", "django_app.py"].map(|script| {
        let mut python = through(w, python.to_str().unwrap());
        python.arg(format!("{}/tests/useful/{script}", env!("CARGO_MANIFEST_DIR")));
        python
    });
    let [simple, extended, prepared] = benched;
    let all = [
        ("psql's \\d and its kin", described),
        ("pgbench -i", made),
        ("pgbench -M simple", simple),
        ("pgbench -M extended", extended),
        ("pgbench -M prepared", prepared),
        ("pg_dump --schema-only", schema),
        ("pg_dump --data-only", data),
        ("SQLAlchemy", alchemy),
        ("Django", django),
    ];
    all.into_iter().map(|(tool, command)| asked(w, tool, command)).collect()
}

#[test]
fn everyday_statements_pass() {
    let w = veiled::world();
    let asked = tools(&w);
    for Asked { tool, all, refused } in &asked {
        println!("{tool}: {all} requests, {} refused", refused.len());
        refused.iter().for_each(|what| println!("    {what}"));
    }
    let (all, refused) = asked.iter().fold((0, 0), |(a, r), tool| (a + tool.all, r + tool.refused.len()));
    println!("{all} requests, {refused} refused");
    assert!(asked.iter().all(|tool| tool.all > 5), "a tool asked nothing");
    assert!(refused * 100 < all, "{refused} of {all} are refused");
}
