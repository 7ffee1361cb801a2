//! What the seed policies promise, seen by psql through a real gateway in front of a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use common::World;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

const SECRETS: [&str; 3] = ["@example.", "078-05-1120", "4111111111111111"];

fn no_secret(shown: &str) {
    for secret in SECRETS {
        assert!(!shown.contains(secret), "`{secret}` shows in:\n{shown}");
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain for {what}");
}

/// How often policies were loaded anew.
fn reloads(w: &World) -> usize {
    let log = std::fs::read_to_string(w.gateway.directory().join("doorward.log")).unwrap();
    log.matches("policies reloaded").count()
}

#[test]
fn what_is_allowed_masked_and_blocked() {
    let w = World::demo();
    let agent = w.token("ci-bot", &["agents", "analysts"], &[]);
    assert_eq!(w.psql(&agent, &["-c", "select name from products where id = 2"]).trim(), "thing 2");

    // Masked in every channel.
    for sql in [
        "select * from customers",
        "select upper(email), reverse(card), ssn||'' from customers",
        "select c from customers c",
        "select row_to_json(c) from customers c",
        "select json_agg(email) from customers",
        "select contact from contacts",
        "select x.y from (select email as y from customers) x",
        "with q as (select card c from customers) select c || 'x' from q",
        "select email from customers union select ssn from customers",
        "copy customers to stdout",
        "copy customers (id, email) to stdout with (format csv, header)",
        "copy (select ssn, lower(email) from customers) to stdout",
        "select 1/(length(email) - length(email)) from customers",
        "select email::int from customers",
        "insert into customers select * from customers where id = 1",
        "begin; declare c cursor for select email, ssn from customers; fetch all from c; commit",
        "prepare p as select email from customers; execute p",
        "explain analyze select * from customers where email = 'x'",
        "notify news, 'ada@example.com'",
    ] {
        no_secret(&w.psql(&agent, &["-c", sql]));
    }
    let unmasked = w.token("auditor", &["agents", "analysts", "pii-readers"], &[]);
    assert!(w.psql(&unmasked, &["-c", "select email from customers where id = 1"]).contains("user1@example.com"));
    let plain = w.token("plain", &["agents"], &[]);
    let shown = w.psql(&plain, &["-c", "select * from customers"]);
    assert!(shown.contains("no policy allows select"), "{shown}");

    // Blocked, in the protocol's own words, and the session lives on.
    let shown = w.psql(&agent, &["-v", "VERBOSITY=verbose", "-c", "drop database orders", "-c", "select 42"]);
    assert!(shown.contains("ERROR:  42501: DROP DATABASE refused by policy `no-ddl`"), "{shown}");
    assert!(shown.contains("schema changes go through migrations") && shown.contains("42\n"), "{shown}");
    for sql in [
        "create table x(i int)",
        "alter table orders add y int",
        "truncate orders",
        "grant all on orders to public",
        "do $$ begin execute 'drop table orders'; end $$",
        "select 1; drop table orders",
        "delete from orders /* where */",
        "delete from orders where true",
        "select dblink('', 'delete from orders')",
        "select query_to_xml('select * from customers', true, false, '')",
        "select pg_read_file('/etc/passwd')",
        "copy orders to program 'cat'",
        "copy orders to '/tmp/x'",
        "set role postgres",
        "select lo_unlink(1)",
        "select setval('s', 1)",
        "create view leak as select email from customers",
        "select email into leak from customers",
        "with d as (delete from orders returning 1) select * from d",
        "set standard_conforming_strings = off",
        "vacuum orders",
    ] {
        let shown = w.psql(&agent, &["-c", sql]);
        assert!(shown.contains("ERROR:") && shown.contains("refused"), "{sql}: {shown}");
    }
    assert_eq!(w.postgres.query("select count(*) from orders").unwrap().trim(), "5");
}

#[test]
fn partitions_and_children_are_what_the_tables_above_them_are() {
    let w = World::demo();
    w.postgres
        .query(
            "create table customers_old () inherits (customers);
             insert into customers_old select * from only customers where id = 1;
             create table mails (id int, contact text) partition by range (id);
             create table mails_1 partition of mails for values from (0) to (10);
             insert into mails values (1, reverse('user1@example.com'));
             create table notes (id int, note text);
             create table private_notes (email text) inherits (customers, notes);
             insert into private_notes (id, email, note) values (7, 'x', 'secret of user7');
             grant select on all tables in schema public to public",
        )
        .unwrap();
    let policy = std::fs::read_to_string(w.gateway.directory().join("policy.cedar")).unwrap();
    let more = "@id(\"mails\") forbid(principal, action == Action::\"reveal\", resource == Column::\"orders/public.mails.contact\");\n\
         @id(\"notes\") forbid(principal, action == Action::\"reveal\", resource == Column::\"orders/public.private_notes.note\");\n\
         @id(\"no-mails\") forbid(principal in Group::\"limited\", action == Action::\"select\", resource == Table::\"orders/public.mails\");\n";
    let loaded = reloads(&w);
    w.gateway.write("policy.cedar", &format!("{policy}\n{more}")).unwrap();
    wait_for("the policies", || (reloads(&w) > loaded).then_some(()));
    let agent = w.token("ci-bot", &["agents", "analysts"], &[]);
    for sql in [
        "select email, ssn, card from customers_old",
        "select reverse(ssn), email || '' from customers_old",
        "copy customers_old to stdout",
        "select * from private_notes",
        "select note from notes where id = 7",
        "select note || '' from notes where id = 7",
        "select contact from mails",
        "select contact from mails_1",
        "copy mails_1 (contact) to stdout",
    ] {
        let shown = w.psql(&agent, &["-c", sql]);
        no_secret(&shown);
        for secret in ["moc.elpmaxe", "secret of", "0211-50-870"] {
            assert!(!shown.contains(secret) && !shown.contains("ERROR"), "{sql}: {shown}");
        }
    }
    let limited = w.token("limited", &["agents", "analysts", "limited"], &[]);
    let shown = w.psql(&limited, &["-c", "select id from mails_1"]);
    assert!(shown.contains("refused by policy `no-mails`"), "{shown}");
}

#[test]
fn a_refusal_in_a_transaction_aborts_it_as_the_server_would() {
    let w = World::demo();
    let agent = w.token("ci-bot", &["agents"], &[]);
    let script = "begin;\ninsert into products values (99, 'x');\ndrop table orders;\nselect 1;\ncommit;\nselect count(*) from products;\n";
    let mut child =
        w.psql_command(&agent).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned());
    assert!(err.contains("refused by policy `no-ddl`"), "{err}");
    assert!(err.contains("current transaction is aborted"), "{err}");
    assert!(out.contains("ROLLBACK") && out.trim_end().ends_with('5'), "{out}");
}

/// A real driver, with parameters in binary.
fn values_are_shown_by_their_types(w: &World, agent: &str, dana: &str) {
    let program = "import psycopg, sys, datetime, uuid, decimal\n\
        with psycopg.connect(autocommit=True) as c:\n    \
        c.execute('update orders set total = total where id = %b and %b::text <> %b::text and %b::numeric > 0 \
        and %b::uuid is not null and %b::timestamp > %b::date and %b::int8[] is not null and %b::bytea is not null', \
        (-1, 'a', 'NULL', decimal.Decimal('12.50'), uuid.UUID(int=7), datetime.datetime(2026, 11, 27, 8, 30), \
        datetime.date(2026, 1, 2), [70000, 80000], bytes(range(100)) * 3))\n";
    let mut child = std::process::Command::new(doorward_testkit::cache_dir().join("venv/bin/python"))
        .args(["-c", program])
        .envs([("PGHOST", "localhost"), ("PGUSER", "anybody"), ("PGDATABASE", "orders"), ("PGPASSWORD", agent)])
        .envs([("PGPORT", w.port.to_string().as_str()), ("PGSSLMODE", "verify-full")])
        .env("PGSSLROOTCERT", w.ca())
        .spawn()
        .unwrap();
    let id = wait_for("the approval", || {
        let (_, text) = w.doorward(dana, &["approvals", "list", "--output", "json"]);
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        found.get(0).map(|a| a["id"].as_str().unwrap().to_owned())
    });
    let (_, text) = w.doorward(dana, &["approvals", "show", &id, "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    let bytes: String = (0..100).map(|b| format!("{b:02x}")).collect::<String>().repeat(3);
    let expected = [
        "-1",
        "a",
        "'NULL'",
        "12.50",
        "00000000-0000-0000-0000-000000000007",
        "2026-11-27 08:30:00",
        "2026-01-02",
        "{70000, 80000}",
        &format!("binary \\x{bytes}"),
    ];
    assert_eq!(shown["parameters"], serde_json::json!(expected), "{text}");
    assert_eq!((&shown["unseen"], &shown["abridged"]), (&serde_json::json!([]), &serde_json::json!(false)));
    assert!(w.doorward(dana, &["approvals", "approve", &id]).0);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_update_waits_for_another_person_and_runs_once_on_the_same_connection() {
    let w = World::demo();
    let agent = w.token("ci-bot", &["agents", "dba"], &[]);
    let dana = w.token("dana", &["dba"], &[]);
    let sql = "select pg_backend_pid();\nupdate orders set total = total + 1 where id = 1;\nselect pg_backend_pid();\n";
    let ask = || {
        let mut child =
            w.psql_command(&agent).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let id = wait_for("the approval", || {
            let (ok, text) = w.doorward(&dana, &["approvals", "list", "--output", "json"]);
            assert!(ok, "{text}");
            let found: serde_json::Value = serde_json::from_str(&text).unwrap();
            found.get(0).map(|a| a["id"].as_str().unwrap().to_owned())
        });
        (child, id)
    };
    let (child, id) = ask();
    let (ok, text) = w.doorward(&dana, &["approvals", "show", &id]);
    assert!(ok && text.contains("update orders set total") && text.contains("orders-update-approved"), "{text}");
    let (ok, text) = w.doorward(&agent, &["approvals", "approve", &id]);
    assert!(!ok, "the requester approved it himself: {text}");
    let stranger = w.token("eve", &["agents"], &[]);
    assert!(!w.doorward(&stranger, &["approvals", "approve", &id]).0);
    assert_eq!(w.postgres.query("select total from orders where id = 1").unwrap().trim(), "10", "nothing ran yet");
    let (ok, text) = w.doorward(&dana, &["approvals", "approve", &id, "--comment", "fine"]);
    assert!(ok, "{text}");
    let out = child.wait_with_output().unwrap();
    let (shown, told) =
        (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned());
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown} {told}");
    assert_eq!(lines[0], lines[2], "the same connection");
    assert_eq!(lines[1], "UPDATE 1");
    assert!(told.contains("NOTICE") && told.contains(&id), "{told}");
    assert_eq!(w.postgres.query("select total from orders where id = 1").unwrap().trim(), "11", "once");
    assert!(!w.doorward(&dana, &["approvals", "approve", &id]).0, "an approval is used once");

    values_are_shown_by_their_types(&w, &agent, &dana);

    let (child, id) = ask();
    assert!(w.doorward(&dana, &["approvals", "deny", &id, "--comment", "not today"]).0);
    let out = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(told.contains("was denied by dev/dana") && told.contains("not today"), "{told}");

    let (mut child, id) = ask();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the withdrawal", || {
        let (_, text) = w.doorward(&dana, &["approvals", "show", &id]);
        text.contains("withdrawn").then_some(())
    });
    assert!(!w.doorward(&dana, &["approvals", "approve", &id]).0);
    assert_eq!(w.postgres.query("select total from orders where id = 1").unwrap().trim(), "11");
}

#[test]
fn a_held_statement_is_let_through_by_who_breaks_the_glass() {
    let policy = "@id(\"all\") permit (principal, action, resource in Connection::\"orders\");\n\
         @id(\"decide\") permit (principal, action in [Action::\"decide_approval\", Action::\"break_glass\"], resource);\n\
         @id(\"two\") @approvers(\"sre\") @quorum(\"2\") @escalate(\"leads after 1s\") @break_glass(\"oncall\")\n\
         forbid (principal, action == Action::\"create\", resource) unless { context.approved };";
    let w = World::with(policy, "");
    let agent = w.token("ci-bot", &["agents", "oncall"], &[]);
    let ona = w.token("ona", &["oncall"], &[]);
    let child = w.psql_command(&agent).args(["-c", "create table t(i int)"]).stderr(Stdio::piped()).spawn().unwrap();
    let id = wait_for("the approval", || {
        let (ok, text) = w.doorward(&ona, &["approvals", "list", "--output", "json"]);
        assert!(ok, "{text}");
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        found.get(0).map(|a| a["id"].as_str().unwrap().to_owned())
    });
    let (ok, text) = w.doorward(&ona, &["approvals", "approve", &id]);
    assert!(!ok && text.contains("no such approval"), "one of her would not be enough, and she is not asked: {text}");
    let (ok, text) = w.doorward(&agent, &["approvals", "break-glass", &id, "--reason", "me"]);
    assert!(!ok && text.contains("nobody decides their own request"), "{text}");
    wait_for("the escalation", || (!w.audit("approval_escalated").is_empty()).then_some(()));
    let (ok, text) = w.doorward(&ona, &["approvals", "break-glass", &id, "--reason", ""]);
    assert!(!ok && text.contains("needs a reason"), "{text}");
    let (ok, text) = w.doorward(&ona, &["approvals", "break-glass", &id, "--reason", "INC-4711"]);
    assert!(ok, "{text}");
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(w.postgres.query("select count(*) from t").unwrap().trim(), "0");
    let decided = w.audit("approval_decided");
    assert!(
        decided[0].to_string().contains("INC-4711") && decided[0].to_string().contains("\"break_glass\":true"),
        "{decided:?}"
    );
}

/// A view that somebody else makes while a session lives, and one that is made anew, show it no more than what they are made of.
#[test]
fn views_of_others_are_not_trusted() {
    let w = World::demo();
    let mut client = w.psql_command(&w.token("ann", &["analysts"], &[]));
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = client.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"select id from customers where id = 1;\n").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    w.postgres
        .exec("create view late as select id as n, ssn as x from customers; create table fresh as select 7 as n; grant select on late, fresh to public;")
        .unwrap();
    input.write_all(b"select left(x, 3) from public.late;\nselect x from late;\nselect n + 1 from fresh;\n").unwrap();
    drop(input);
    let out = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(said.starts_with("1\n") && said.contains("[") && !said.contains("078"), "{said}");
}

#[test]
fn every_bad_token_gets_the_same_answer() {
    let w = World::demo();
    let expired = w.token("ci-bot", &["agents"], &["--ttl", "1s"]);
    let elsewhere = w.token("ci-bot", &["agents"], &["--audience", "other"]);
    std::thread::sleep(Duration::from_millis(2100));
    let good = w.token("ci-bot", &["agents"], &[]);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let mut answers: Vec<String> = ["nonsense", &expired, &elsewhere, &forged]
        .iter()
        .map(|t| w.psql(t, &["-c", "select 1"]).lines().filter(|l| l.contains("FATAL") || l.contains("HINT")).collect())
        .collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains("authentication failed"), "{answers:?}");
    let reasons: Vec<String> = wait_for("four audit entries", || {
        let entries = w.audit("authentication_failed");
        (entries.len() >= 4).then(|| entries.iter().map(|e| e["reason"].as_str().unwrap().to_owned()).collect())
    });
    assert_eq!(reasons.len(), 4);
    assert_eq!(reasons.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "precise inside: {reasons:?}");
}

#[test]
fn policies_and_identities_reach_live_sessions_within_a_second() {
    let w = World::demo();
    let agent = w.token("ci-bot", &["agents"], &["--ttl", "20s"]);
    let folder = tempfile::tempdir().unwrap();
    let (shown_in, told_in) = (folder.path().join("shown"), folder.path().join("told"));
    let (out, err) = (std::fs::File::create(&shown_in).unwrap(), std::fs::File::create(&told_in).unwrap());
    let mut child = w.psql_command(&agent).stdin(Stdio::piped()).stdout(out).stderr(err).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let until = |file: &std::path::Path, what: &str| {
        wait_for(what, || std::fs::read_to_string(file).unwrap().contains(what).then_some(()));
    };
    input.write_all(b"select 'one';\n").unwrap();
    until(&shown_in, "one");
    let policy = std::fs::read_to_string(w.gateway.directory().join("policy.cedar")).unwrap();
    w.gateway.write("policy.cedar", "this is no policy").unwrap();
    let log = || std::fs::read_to_string(w.gateway.directory().join("doorward.log")).unwrap();
    wait_for("the bad file to be seen", || log().contains("policy.cedar:1").then_some(()));
    input.write_all(b"select 'two', count(*) from products;\n").unwrap();
    until(&shown_in, "two|5");
    let loaded = reloads(&w);
    w.gateway
        .write("policy.cedar", &format!("{policy}\n@id(\"frozen\") @reason(\"products are frozen\")\nforbid(principal, action == Action::\"select\", resource == Table::\"orders/public.products\");\n"))
        .unwrap();
    wait_for("the policies", || (reloads(&w) > loaded).then_some(()));
    input.write_all(b"select 'three', count(*) from products;\n").unwrap();
    until(&told_in, "products are frozen");
    // Nothing is sent: the session ends by itself when the token does.
    wait_for("its end", || (!w.audit("session_ended").is_empty()).then_some(()));
    drop(input);
    child.wait().unwrap();
    let (shown, told) = (std::fs::read_to_string(&shown_in).unwrap(), std::fs::read_to_string(&told_in).unwrap());
    assert!(shown.contains("one") && shown.contains("two|5"), "a bad file leaves the old one in force: {shown} {told}");
    assert!(told.contains("products are frozen"), "{told}");
    let ended = w.audit("session_ended");
    assert!(ended.iter().any(|e| e["reason"].as_str().unwrap().contains("expired")), "{ended:?}");
}

#[test]
fn a_killed_gateway_has_lost_no_request_that_reached_the_upstream() {
    let mut w = World::demo();
    let agent = w.token("ci-bot", &["agents"], &[]);
    for round in 0..3 {
        let mut child =
            w.psql_command(&agent).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            for i in 0..20_000 {
                let id = 1000 + round * 100_000 + i;
                if writeln!(input, "insert into products values ({id}, 'r');").is_err() {
                    return;
                }
            }
        });
        // In the middle of it, however fast the machine is.
        let count = || w.postgres.query("select count(*) from products where id >= 1000").unwrap();
        let before: u64 = count().trim().parse().unwrap();
        let begun = std::time::Instant::now();
        while count().trim().parse::<u64>().unwrap() < before + 20 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(50));
        }
        w.gateway.kill9().unwrap();
        child.wait().unwrap();
        writer.join().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        w.gateway.restart().unwrap();
        let reached: u64 =
            w.postgres.query("select count(*) from products where id >= 1000").unwrap().trim().parse().unwrap();
        assert!(reached > before, "{reached} after {before}");
        let written = w
            .audit("request")
            .iter()
            .filter(|e| e["statement"].as_str().unwrap().starts_with("insert into products"))
            .count() as u64;
        assert!(written >= reached, "{written} of {reached} are in the audit log");
    }
    let (ok, text) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{text}");
}

#[test]
fn recordings_replay_and_no_secret_of_the_backend_is_anywhere() {
    let mut w = World::demo();
    let agent = w.token("ci-bot", &["agents", "analysts"], &[]);
    w.psql(&agent, &["-c", "select id, email from customers order by id limit 1"]);
    let password = w.postgres.password().to_owned();
    w.gateway.stop().unwrap();
    let (ok, list) = w.doorward("", &["sessions", "list"]);
    assert!(ok, "{list}");
    let id = list.split_whitespace().next().unwrap().to_owned();
    let (ok, shown) = w.doorward("", &["sessions", "replay", &id, "--speed", "0"]);
    assert!(ok && shown.contains("select id, email from customers") && shown.contains("[email]"), "{shown}");
    no_secret(&shown);
    let (ok, shown) = w.doorward("", &["sessions", "show", &id]);
    assert!(ok && shown.contains("intact"), "{shown}");
    let pcap = w.state().join("x.pcapng");
    let (ok, shown) = w.doorward("", &["sessions", "export", &id, "--format", "pcapng", "-f", pcap.to_str().unwrap()]);
    assert!(ok, "{shown}");
    let (ok, jsonl) = w.doorward("", &["sessions", "export", &id]);
    assert!(ok && jsonl.lines().count() > 3);
    let (ok, verified) = w.doorward("", &["audit", "verify"]);
    assert!(ok && verified.contains("intact"), "{verified}");
    let mut stack = vec![w.state()];
    let mut looked = 0;
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
                continue;
            }
            looked += 1;
            let bytes = std::fs::read(&path).unwrap();
            for secret in [password.as_bytes(), agent.as_bytes()] {
                assert!(!bytes.windows(secret.len()).any(|b| b == secret), "a secret is in {}", path.display());
            }
        }
    }
    assert!(looked > 5);
    assert!(!w.gateway.log().contains(&password));
}

#[test]
fn hostile_clients_get_an_error_and_disturb_nobody() {
    let w = World::demo();
    let agent = w.token("ci-bot", &["agents"], &[]);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(("127.0.0.1", w.port)).unwrap());
    }
    let startup = |extra: &[u8]| {
        let mut body = vec![0, 3, 0, 0];
        body.extend_from_slice(b"user\0x\0database\0orders\0");
        body.extend_from_slice(extra);
        body.push(0);
        [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
    };
    let attacks: Vec<Vec<u8>> = vec![
        vec![0, 0, 0, 0],
        vec![0xff; 8],
        vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        startup(b"replication\0true\0"),
        startup(b"client_encoding\0SJIS\0"),
        startup(b"options\0-c standard_conforming_strings=off\0"),
        [startup(b""), startup(b"")].concat(),
        [startup(b""), b"p\x7f\xff\xff\xff".to_vec()].concat(),
        [startup(b""), b"Q\0\0\0\x0dselect 1\0".to_vec()].concat(),
        [vec![0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f], b"plain text injected".to_vec()].concat(),
        [vec![0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e], vec![0, 0, 0, 1, 1, 2, 3, 4]].concat(),
    ];
    for attack in attacks {
        let mut socket = TcpStream::connect(("127.0.0.1", w.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.write_all(&attack).unwrap();
        socket.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = Vec::new();
        let _ended = socket.read_to_end(&mut answer);
        assert!(!answer.windows(5).any(|b| b == b"R\0\0\0\x08\0"), "nobody was let in by {attack:?}");
    }
    let begun = Instant::now();
    assert_eq!(w.psql(&agent, &["-c", "select 7"]).trim(), "7");
    assert!(begun.elapsed() < Duration::from_secs(30), "silent clients delay others");
    assert!(!w.audit("fault").is_empty());
    let deep = format!("select {}1{}", "(".repeat(50_000), ")".repeat(50_000));
    let file = w.state().join("deep.sql");
    std::fs::write(&file, format!("{deep};\nselect 'alive';\nselect '{}';\nselect 'still';\n", "x".repeat(17 << 20)))
        .unwrap();
    let shown = w.psql(&agent, &["-f", file.to_str().unwrap()]);
    assert!(shown.contains("too deep") && shown.contains("alive"), "{}", shown.chars().take(500).collect::<String>());
    assert!(shown.contains("bytes long") && shown.contains("still"), "{}", shown.chars().take(500).collect::<String>());
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    if !common::is_root() {
        println!("skipped: mounting a small file system needs root");
        return;
    }
    let w = World::demo();
    let agent = w.token("ci-bot", &["agents"], &[]);
    // The state directory moves onto a small file system before the gateway is started again.
    let mut w = w;
    w.gateway.stop().unwrap();
    let disk = common::SmallDisk::mount(&w.state());
    w.gateway.restart().unwrap();
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    let heard = tempfile::tempdir().unwrap();
    let (shown_in, told_in) = (heard.path().join("out"), heard.path().join("err"));
    let mut child = w
        .psql_command(&agent)
        .arg("-q")
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&shown_in).unwrap())
        .stderr(std::fs::File::create(&told_in).unwrap())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"select 'before';\n").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let filler = disk.fill();
    // What was set aside in advance is used up first; then requests are refused.
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told_to_stop = std::sync::Arc::clone(&stop);
    let flood = std::thread::spawn(move || {
        while !told_to_stop.load(std::sync::atomic::Ordering::Relaxed) {
            input.write_all(b"insert into products values (10, repeat('x', 20000)) on conflict do nothing;\n").unwrap();
        }
        input
    });
    wait_for("a refusal", || std::fs::read_to_string(&told_in).unwrap().contains("refused").then_some(()));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut input = flood.join().unwrap();
    input.write_all(b"select 'during';\n").unwrap();
    std::fs::remove_file(&filler).unwrap();
    // Once the gateway has noticed: its disk is looked at now and then.
    wait_for("an answer", || {
        input.write_all(b"select 'after';\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        std::fs::read_to_string(&shown_in).unwrap().contains("after").then_some(())
    });
    drop(input);
    child.wait().unwrap();
    let (shown, told) = (std::fs::read_to_string(&shown_in).unwrap(), std::fs::read_to_string(&told_in).unwrap());
    assert!(shown.contains("before") && shown.contains("after"), "{}", told.lines().take(5).collect::<String>());
    assert!(told.contains("refused"), "nothing was refused while the disk was full");
}

#[test]
fn a_log_in_that_stalls_is_ended_and_written_down() {
    let w = World::demo();
    let mut socket = TcpStream::connect(("127.0.0.1", w.port)).unwrap();
    let body = b"\0\x03\0\0user\0bot\0database\0orders\0\0";
    socket.write_all(&[&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()).unwrap();
    let mut told = Vec::new();
    socket.set_read_timeout(Some(Duration::from_secs(45))).unwrap();
    socket.read_to_end(&mut told).unwrap();
    assert!(String::from_utf8_lossy(&told).contains("canceling authentication due to timeout"));
    let opened = w.audit("session_opened");
    let ended = wait_for("the end of the session", || w.audit("session_ended").pop());
    assert_eq!(opened[0]["session"], ended["session"]);
    assert!(ended["reason"].as_str().unwrap().contains("not finished in time"), "{ended}");
    let (ok, text) = w.doorward("", &["audit", "list", "--event", "nosuch"]);
    assert!(!ok && text.contains("`nosuch` is no kind of entry: there are gateway_started"), "{text}");
}
