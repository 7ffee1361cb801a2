//! What people do every day passes, also where a database has columns that they may not see: the tools themselves, through the
//! gateway, as somebody who may not see some columns of some tables; of all that they ask, what share is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
mod regress;
mod veiled;

use common::World;
use doorward_testkit::cache_dir;
use regress::replay::{Replay, Tally};
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
    let [dump, mut schema, mut data] = [through(w, "pg_dump"), through(w, "pg_dump"), through(w, "pg_dump")];
    schema.arg("--schema-only");
    data.args(["--data-only", "-t", "orders"]);
    let python = cache_dir().join("venv/bin/python");
    let [alchemy, django] = ["alchemy.py", "django_app.py"].map(|script| {
        let mut python = through(w, python.to_str().unwrap());
        python.arg(format!("{}/tests/useful/{script}", env!("CARGO_MANIFEST_DIR")));
        python
    });
    let [hibernate, metabase] = [("hibernate", "Shelves"), ("jdbc", "Catalogue")].map(|(folder, class)| {
        let mut java = through(w, "java");
        let folder = cache_dir().join(folder);
        java.args(["-cp", &format!("{0}/lib/*:{0}/classes", folder.display()), class]);
        java
    });
    let [simple, extended, prepared] = benched;
    let all = [
        ("psql's \\d and its kin", described),
        ("pgbench -i", made),
        ("pgbench -M simple", simple),
        ("pgbench -M extended", extended),
        ("pgbench -M prepared", prepared),
        ("pg_dump", dump),
        ("pg_dump --schema-only", schema),
        ("pg_dump --data-only", data),
        ("SQLAlchemy", alchemy),
        ("Django", django),
        ("Hibernate", hibernate),
        ("Metabase's questions", metabase),
    ];
    all.into_iter().map(|(tool, command)| asked(w, tool, command)).collect()
}

/// What pg_dump says, but for what is other each time.
fn dumped(mut pg_dump: Command, args: &[&str]) -> String {
    let out = pg_dump.args(args).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().filter(|line| !line.contains("restrict ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_dump_has_masks_in_the_place_of_values() {
    let w = veiled::world();
    let directly = || {
        let mut pg_dump = Command::new("pg_dump");
        let socket = w.postgres.socket_directory();
        pg_dump.arg("-h").arg(socket).args(["-p", &w.postgres.port().to_string(), "-U", "app", "-d", "orders"]);
        pg_dump
    };
    // The schema, and what has no hidden column, are as without a gateway.
    for args in [["--schema-only", "-b"], ["-t", "orders"]] {
        assert_eq!(dumped(through(&w, "pg_dump"), &args), dumped(directly(), &args));
    }
    let (masked, plain) = (dumped(through(&w, "pg_dump"), &[]), dumped(directly(), &[]));
    assert!(plain.contains("078-05-112") && !masked.contains("078-05-112"), "{masked}");
    assert!(masked.contains("\n1\tName 1\t[masked]\t[masked]\t[masked]\t\\N\t\\N\tn1\n"), "{masked}");
    let lines =
        |dump: &str| dump.lines().filter(|line| line.starts_with("COPY ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&masked), lines(&plain));
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

/// Of PostgreSQL's own regression tests, those that make what others read.
const MAKING: &str = "test_setup create_misc create_index";
/// Those that are tried always: most of what they do is to read, and they take seconds.
const READING: &str = "boolean text int4 select select_distinct select_having union case limit";

/// `DOORWARD_REGRESS=all` tries all of them, a list of names those.
#[test]
fn regression_tests_of_postgres_pass() {
    if !regress::is_there() {
        return;
    }
    let (replay, mut tally) = (Replay::begun(MAKING), Tally::default());
    for name in &regress::wanted(READING) {
        let (reads, refused) = (tally.reads, tally.refused.len());
        replay.run(name, &mut tally);
        println!("{name}: {} reads, {} refused", tally.reads - reads, tally.refused.len() - refused);
    }
    let Tally { reads, refused, lost, differ, others, others_refused, ended } = &tally;
    let listed =
        [("refused", refused), ("lost", lost), ("differ", differ), ("ended", ended), ("other", others_refused)];
    for (what, texts) in listed {
        texts.iter().for_each(|text| println!("{what}: {}", text.chars().take(1500).collect::<String>()));
    }
    println!(
        "{reads} reads, {} refused, {} lost, {} answered otherwise; {others} others, {} refused; {} sessions ended",
        refused.len(),
        lost.len(),
        differ.len(),
        others_refused.len(),
        ended.len(),
    );
    let log = replay.refused_in_the_log(refused.len() + others_refused.len());
    assert_eq!(log.len(), refused.len() + others_refused.len(), "{}", log.join("\n"));
    assert!(*reads > 100 && refused.len() * 100 < *reads, "{} of {reads} reads are refused", refused.len());
    assert!(differ.is_empty() && ended.is_empty());
    assert!(lost.len() * 100 < *reads, "{} of {reads} reads miss what was refused before", lost.len());
}
