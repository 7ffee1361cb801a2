//! What a caller may not see does not show in what a query finds, counts, sorts, joins or fails by, in MySQL and MariaDB: the
//! same statements over tables that differ in hidden values alone have the same answers, and their innocent neighbours pass
//! unchanged. The statements are in `mysql_veil/`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
#[path = "mysql_veil/forged.rs"]
mod forged;
#[path = "mysql_veil/locked.rs"]
mod locked;
#[path = "mysql_veil/moved.rs"]
mod moved;
mod mysql_veiled;
#[path = "mysql_veil/partly.rs"]
mod partly;
mod veiled;
#[path = "mysql_veiled/wire.rs"]
mod wire;

use common::mysql::MySqlWorld;
use doorward_testkit::{MySqlRelease, cache_dir};
use mysql_veiled::{Asked, OTHERWISE, SCHEMA, world};
use std::process::Command;

const HOSTILE: &str = include_str!("mysql_veil/hostile.txt");
const WAYS: &str = include_str!("mysql_veil/ways.txt");
const INNOCENT: &str = include_str!("mysql_veil/innocent.txt");

/// Statements, one a line; `maria: ` and `mysql: ` before those of one make.
fn statements(text: &'static str, release: MySqlRelease) -> Vec<&'static str> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    let (own, other) = if release.is_mariadb() { ("maria: ", "mysql: ") } else { ("mysql: ", "maria: ") };
    lines.filter(|line| !line.starts_with(other)).map(|line| line.strip_prefix(own).unwrap_or(line)).collect()
}

/// Texts so long that they must not be sent as they are for it.
fn long() -> [String; 3] {
    let padding = "x".repeat(66_000);
    let appended = vec!["select id from customers force index (by_ssn)"; 200];
    [
        format!(
            "select length('{padding}') l, id, (select c.ssn from (select 1 as one) c) x from customers c order by id"
        ),
        format!("select length('{padding}') l, id from customers force index (by_ssn)"),
        appended.join(" union all "),
    ]
}

fn answers_do_not_depend_on_what_is_hidden(release: MySqlRelease) {
    let w = world(release);
    let (agent, reader) = (w.token("ci-bot", &["agents"], &[]), w.token("eve", &["pii-readers"], &[]));
    let hostile: Vec<String> = statements(HOSTILE, release).into_iter().map(str::to_owned).chain(long()).collect();
    let all = |who: &str| {
        let mut asked = Asked::new(w.client(who));
        hostile.iter().map(|statement| asked.says(statement)).collect::<Vec<_>>()
    };
    let (before, seen_before) = (all(&agent), all(&reader));
    w.server.exec(&format!("use public;\n{SCHEMA}\n{OTHERWISE}")).unwrap();
    let (after, seen_after) = (all(&agent), all(&reader));
    let mut told = Vec::new();
    let mut tells_nobody = Vec::new();
    let (mut refused, mut failed) = (0, 0);
    for (n, statement) in hostile.iter().enumerate() {
        println!("{statement}\n{}", before[n]);
        if before[n] != after[n] {
            told.push(format!("{statement}\n{}\n{}", before[n], after[n]));
        }
        if seen_before[n] == seen_after[n] {
            tells_nobody.push(statement);
        }
        refused += usize::from(before[n].contains("refused"));
        failed += usize::from(before[n].contains("ERROR") && !before[n].contains("refused"));
    }
    println!("{release:?}: {} statements, refused {refused}, failed {failed}", hostile.len());
    assert!(told.is_empty(), "{release:?}: {} tell:\n{}", told.len(), told.join("\n\n"));
    // Who may see it is told, or the statement would be no test.
    assert!(tells_nobody.len() <= hostile.len() / 4, "{release:?}: the same for all: {tells_nobody:#?}");
}

/// Statements that tell by another way are refused by Doorward to whoever may not see some column, and to nobody else.
fn other_ways_are_closed(release: MySqlRelease) {
    let w = world(release);
    let says_all = |who: &str| {
        let mut asked = Asked::new(w.client(who));
        statements(WAYS, release).into_iter().map(|way| (way, asked.says(way))).collect::<Vec<_>>()
    };
    let is_refused = |(way, said): &(&str, String)| said.contains("refused:").then(|| format!("{way}\n{said}"));
    let agent = says_all(&w.token("ci-bot", &["agents"], &[]));
    let open: Vec<_> = agent.iter().filter(|way| is_refused(way).is_none()).collect();
    assert!(open.is_empty(), "{release:?}: {} ways are open: {open:#?}", open.len());
    let closed: Vec<_> = says_all(&w.token("eve", &["pii-readers"], &[])).iter().filter_map(is_refused).collect();
    assert!(closed.is_empty(), "{release:?}: {} are closed to all:\n{}", closed.len(), closed.join("\n"));
}

fn innocent_neighbours_pass_as_they_are(release: MySqlRelease) {
    let w = world(release);
    let mut agent = Asked::new(w.client(&w.token("ci-bot", &["agents"], &[])));
    let mut direct = w.server.client_of(w.server.address(), w.server.user(), w.server.password());
    direct.args(["--skip-column-names", "--force", "public"]);
    if !release.is_mariadb() {
        // Its way of logging in wants it where there is no TLS.
        direct.arg("--get-server-public-key");
    }
    let mut direct = Asked::new(direct);
    for statement in statements(INNOCENT, release) {
        assert_eq!(agent.says(statement), direct.says(statement), "{release:?}: {statement}");
    }
}

/// What the prepared statements of a driver say.
fn prepared(w: &MySqlWorld, token: &str) -> String {
    program(w, token, "prepared.py")
}

/// What a program of `mysql_veil/` says.
fn program(w: &MySqlWorld, token: &str, name: &str) -> String {
    let python = cache_dir().join("venv-mysql/bin/python");
    let script = format!("{}/tests/mysql_veil/{name}", env!("CARGO_MANIFEST_DIR"));
    let out = Command::new(python).args([&script, &w.port.to_string(), token]).arg(w.ca()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn prepared_statements_tell_nothing() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        let w = world(release);
        let (agent, reader) = (w.token("ci-bot", &["agents"], &[]), w.token("eve", &["pii-readers"], &[]));
        let (before, seen_before) = (prepared(&w, &agent), prepared(&w, &reader));
        w.server.exec(&format!("use public;\n{SCHEMA}\n{OTHERWISE}")).unwrap();
        assert_eq!(before, prepared(&w, &agent), "{release:?}");
        assert_ne!(seen_before, prepared(&w, &reader), "{release:?}");
        println!("{before}");
        assert!(
            before.contains("Name 3") && before.contains("[masked]") && before.contains("UPDATE refused"),
            "{before}"
        );
    }
}

/// Texts that write masks back, and those that do not.
fn a_mask_is_not_written_over_what_it_hides(release: MySqlRelease) {
    const WRITES: &str = "refused: it would write the mask `[masked]` into the masked column `public.customers.ssn`";
    let w = world(release);
    let agent_token = w.token("ci-bot", &["agents"], &[]);
    let mut agent = Asked::new(w.client(&agent_token));
    // Who may decide by it by name may change it, too.
    let mut support = Asked::new(w.client(&w.token("sam", &["support"], &[])));
    for lost in [
        "insert into customers (id, ssn) values (50, 'x'), (51, '[masked]')",
        "insert into customers (id, ssn) values (50, '[mask\\ed]')",
        "insert into customers (id, SSN) select 50, '[masked]'",
        "insert into customers set id = 50, ssn = \"[masked]\"",
        "insert /* ssn */ ignore into public.customers (id, customers.ssn) values (50, upper('[masked]'))",
    ] {
        let refused = agent.says(lost);
        assert!(refused.contains(WRITES), "{release:?}: {lost}: {refused}");
    }
    for lost in [
        "update customers set ssn = '[masked]' where id = 1",
        "update customers c, orders o set c.ssn = '[masked]' where c.id = o.id",
        "insert into customers (id) values (1) on duplicate key update ssn = '[masked]'",
    ] {
        let refused = support.says(lost);
        assert!(refused.contains(WRITES), "{release:?}: {lost}: {refused}");
    }
    for kept in [
        "insert into customers (id, name, ssn) values (50, '[masked]x', 'masked')",
        "insert into customers (id, name) values (51, '[masked]')",
        "insert into orders (id, contact) values (100, '[masked]')",
        "update customers set name = '[masked]' where id = 50",
    ] {
        let done = agent.says(kept);
        assert!(done.contains("1 row affected"), "{release:?}: {kept}: {done}");
    }
    let done = support.says("update customers set ssn = 'masked' where id = 1");
    assert!(done.contains("1 row affected"), "{release:?}: {done}");
    let said = program(&w, &agent_token, "written.py");
    println!("{said}");
    let lines: Vec<&str> = said.lines().collect();
    let refused = |line: &str| line.starts_with("1142 ") && line.contains("write the mask");
    assert_eq!(lines.iter().filter(|line| refused(line)).count(), 5, "{release:?}: {said}");
    for (n, line) in lines.iter().enumerate() {
        // The third has the mask as the value of another column: the statement writes both.
        let is_lost = matches!(n, 0 | 1 | 2 | 5 | 7);
        assert_eq!((refused(line), line.starts_with("done")), (is_lost, !is_lost && n < 9), "{release:?}: {line}");
    }
    assert_eq!(lines.last(), Some(&"True"), "{release:?}");
}

#[test]
fn masks_are_not_written_back() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        a_mask_is_not_written_over_what_it_hides(release);
    }
}

/// KILL goes by the numbers of the gateway: within a text it would go by those of the server.
fn no_kill_goes_upstream_within_a_text(release: MySqlRelease) {
    let w = world(release);
    let mut victim = Asked::new(w.client(&w.token("sam", &["support"], &[])));
    let at_server = victim.says("select connection_id()");
    let number = at_server.lines().rev().find_map(|line| line.trim().parse::<u64>().ok());
    let number = number.unwrap_or_else(|| panic!("{at_server}"));
    let mut reader = Asked::new(w.client(&w.token("eve", &["pii-readers"], &[])));
    let mut ways = vec![
        format!("prepare k from 'kill {number}'"),
        format!("prepare k from 'kill query {number}'"),
        format!("create procedure k9() kill {number}"),
        format!("create procedure k9() begin if 1 then kill connection {number}; end if; end"),
        format!("create event k9 on schedule every 1 day do kill {number}"),
    ];
    if release.is_mariadb() {
        ways.push(format!("execute immediate 'kill {number}'"));
        ways.push(format!("begin not atomic kill {number}; end"));
        ways.push(format!("set statement max_statement_time = 10 for kill hard {number}"));
    }
    for way in ways {
        let said = reader.says(&way);
        assert!(said.contains("refused: KILL goes in a text of its own, and not within"), "{release:?}: {way}: {said}");
    }
    assert!(victim.says("select 'still here'").contains("still here"), "{release:?}");
}

/// What refers to a row, or is referred to, is not named to whoever may not see all.
fn errors_of_foreign_keys_name_nothing(release: MySqlRelease) {
    let w = world(release);
    let (mut agent, mut reader) = (
        Asked::new(w.client(&w.token("ci-bot", &["agents"], &[]))),
        Asked::new(w.client(&w.token("eve", &["pii-readers"], &[]))),
    );
    for (statement, number) in [
        ("delete from mails where email = 'user1@example.com'", "1451"),
        ("insert into mailed values (100, 'nope')", "1452"),
    ] {
        let (hidden, shown) = (agent.says(statement), reader.says(statement));
        // What a hidden column refers to is not deleted: it would be looked for there.
        let is_answered = hidden.contains(number) || hidden.contains("DELETE refused");
        assert!(is_answered && !hidden.contains("CONSTRAINT"), "{release:?}: {hidden}");
        assert!(shown.contains(number) && shown.contains("CONSTRAINT"), "{release:?}: {shown}");
        let warned = agent.says("show warnings");
        assert!(!warned.contains("CONSTRAINT"), "{release:?}: {warned}");
    }
}

/// An index over an expression has no room for what is too large, as a computed column.
fn an_index_over_an_expression_is_computed(release: MySqlRelease) {
    let w = world(release);
    let made = "create table made(id int primary key, factor int, salary int comment 'doorward: pii', note int, key ((factor * salary)));
        insert into made values (1, 1, 5000, 1);";
    w.server.exec(&format!("use public; {made}")).unwrap();
    let mut agent = Asked::new(w.client(&w.token("ci-bot", &["agents"], &[])));
    assert!(agent.says("select id from made").contains('1'));
    let said = agent.says("begin; update made set factor = 2 where id = 1");
    assert!(said.contains("UPDATE refused") && said.contains("`public.made.salary`"), "{release:?}: {said}");
    assert!(agent.says("begin; update made set note = 2 where id = 1").contains("1 row affected"), "{release:?}");
}

/// Dumps set back what was: the server tells what that is, and what follows is read so.
fn settings_are_set_back_by_variables(release: MySqlRelease) {
    let w = world(release);
    let mut agent = Asked::new(w.client(&w.token("ci-bot", &["agents"], &[])));
    for restored in [
        "set @old_sql_mode = @@sql_mode, sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
        "set sql_mode = @old_sql_mode",
        "set sql_mode = default",
        "set @saved_cs_client = @@character_set_client",
        "set @saved_cs_results = @@character_set_results",
        "set character_set_client = utf8mb4",
        "set character_set_client = @saved_cs_client",
        "set character_set_results = @saved_cs_results",
        "set @saved_mode = 'ANSI_QUOTES'",
        "set sql_mode = @saved_mode",
    ] {
        let said = agent.says(restored);
        assert!(said.contains("Query OK") && !said.contains("ERROR"), "{release:?}: {restored}: {said}");
    }
    // In this mode it is a column, as the gateway has to know.
    let said = agent.says("select max(\"ssn\") from customers");
    assert!(said.contains("[masked]") && !said.contains("\nssn\n"), "{release:?}: {said}");
    for unread in [
        "set sql_mode = @old_sql_mode; select 1",
        "set sql_mode = default; select \"ssn\" from customers",
        "set names latin1",
        "set character_set_client = latin1",
        "set names gbk",
        "create procedure m9() set sql_mode = @old_sql_mode",
    ] {
        let said = agent.says(unread);
        assert!(said.contains("refused") && !said.contains("078"), "{release:?}: {unread}: {said}");
    }
    let said = agent.says("set names latin1");
    assert!(
        said.contains("SET refused: character set `latin1` cannot be read safely: use utf8mb4"),
        "{release:?}: {said}"
    );
    assert!(agent.says("set sql_mode = ''").contains("Query OK"), "{release:?}");
    assert!(agent.says("select \"ssn\", count(*) from customers").contains("\nssn\t8\n"), "{release:?}");
    // A mode that is not read shuts the session by itself, and shows nothing.
    if release.is_mariadb() {
        let mut client = w.client(&w.token("ci-bot", &["agents"], &[]));
        client.args(["--force", "-e", "set @saved_mode = 'ORACLE'; set sql_mode = @saved_mode; select 1"]);
        let said = String::from_utf8(client.output().unwrap().stderr).unwrap();
        assert!(said.contains("sql_mode") && said.contains("changes how statements are read"), "{said}");
    }
}

#[test]
fn kills_keys_and_settings() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        no_kill_goes_upstream_within_a_text(release);
        errors_of_foreign_keys_name_nothing(release);
        settings_are_set_back_by_variables(release);
    }
    an_index_over_an_expression_is_computed(MySqlRelease::MySql9);
}

#[test]
fn nothing_tells_in_mariadb() {
    answers_do_not_depend_on_what_is_hidden(MySqlRelease::DebianMariaDb);
}

#[test]
fn nothing_tells_in_mariadb_11() {
    answers_do_not_depend_on_what_is_hidden(MySqlRelease::MariaDb11);
}

#[test]
fn nothing_tells_in_mysql() {
    answers_do_not_depend_on_what_is_hidden(MySqlRelease::MySql9);
}

#[test]
fn other_ways_are_refused() {
    for release in MySqlRelease::ALL {
        other_ways_are_closed(release);
    }
}

#[test]
fn innocent_neighbours_pass() {
    for release in MySqlRelease::ALL {
        innocent_neighbours_pass_as_they_are(release);
    }
}
