//! What lies behind a MySQL connection: TLS with the server by every log-in method, approvals that nobody waits for, and
//! sessions that others end.
#![allow(clippy::unwrap_used, reason = "tests")]
mod common;
use common::mysql::MySqlWorld;
use doorward_testkit::{MySql, MySqlAuth, MySqlOptions, MySqlRelease, cache_dir, repo_root};
use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const TOUR: &str = include_str!("../../../policies/orders.cedar");
const PLAIN: &str = "tls = \"disable\"";

fn server(release: MySqlRelease) -> MySqlOptions {
    MySql::options().release(release).database("public")
}

fn shown(server: MySql, connection: &str) -> String {
    let world = MySqlWorld::over(server, TOUR, connection);
    let token = world.token("ci-bot", &["agents"], &[]);
    world.run(&token, "select 'in'")
}

fn ca(server: &MySql) -> String {
    server.authority().unwrap().ca_file().display().to_string()
}

#[test]
fn every_log_in_method_works_through_tls() {
    for (release, auth) in [
        (MySqlRelease::DebianMariaDb, MySqlAuth::Native),
        (MySqlRelease::MariaDb11, MySqlAuth::Ed25519),
        (MySqlRelease::MariaDb11, MySqlAuth::Parsec),
        (MySqlRelease::MySql9, MySqlAuth::CachingSha2),
        (MySqlRelease::MySql9, MySqlAuth::Sha256),
    ] {
        let server = server(release).auth(auth).tls_required().start().unwrap();
        let connection = format!("tls = \"verify-full\"\ntls_ca = \"{}\"", ca(&server));
        assert_eq!(shown(server, &connection).trim(), "in", "{release:?} {auth:?}");
    }
}

#[test]
fn a_server_without_tls_or_with_a_stranger_s_certificate_is_not_trusted() {
    // MySQL's client: MariaDB's believes nothing that it hears before TLS, not even that there is no session.
    let said = shown(server(MySqlRelease::MySql9).start().unwrap(), "tls = \"require\"");
    assert!(said.contains("does not offer TLS"), "{said}");
    let said = shown(server(MySqlRelease::MySql9).tls_required().start().unwrap(), "tls = \"verify-full\"");
    assert!(said.contains("TLS with the database server failed"), "{said}");
    // 127.0.0.2 is this machine as well, but not what the certificate says.
    let server = server(MySqlRelease::MySql9).tls_required().start().unwrap();
    let connection = format!("tls = \"verify-full\"\ntls_ca = \"{}\"", ca(&server));
    let forward = common::forward(&format!("127.0.0.2:{}", server.address().port()), server.address());
    let world = MySqlWorld::behind(server, &forward, TOUR, &connection);
    let said = world.run(&world.token("ci-bot", &["agents"], &[]), "select 'in'");
    assert!(said.contains("TLS with the database server failed"), "{said}");
}

/// The caller's own wish: what goes between gateway and server is as without it.
#[test]
fn callers_may_compress() {
    let text = "x".repeat(1_000_000);
    for (release, ways) in [
        (MySqlRelease::DebianMariaDb, &["--compress"][..]),
        (MySqlRelease::MySql9, &["--compression-algorithms=zlib", "--compression-algorithms=zstd"]),
    ] {
        let server = server(release).start().unwrap();
        server.exec("create table orders(id int primary key, status varchar(20))").unwrap();
        let w = MySqlWorld::over(server, TOUR, PLAIN);
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let way_in = common::forward_with("127.0.0.1:0", ([127, 0, 0, 1], w.port).into(), move |_, bytes| {
            counter.fetch_add(bytes.len(), Ordering::Relaxed);
            common::Meddle::Pass
        });
        let port = way_in.rsplit(':').next().unwrap();
        let file = w.gateway.directory().join("orders.tsv");
        let rows: String = (1..20_000).map(|i| format!("{i}\topen\n")).collect();
        std::fs::write(&file, &rows).unwrap();
        for way in ways {
            let mut client = w.client(&w.token("ci-bot", &["agents", "analysts"], &[]));
            client.args([way, &*format!("--port={port}"), "--local-infile=1"]);
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = client.spawn().unwrap();
            let sql = format!(
                "select length('{text}'); drop table orders; delete from orders where id > 0; \
                 load data local infile '{}' into table orders; select count(*) from orders; select repeat('y', 3000000);",
                file.display()
            );
            child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
            let out = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&out.stdout);
            let lines: Vec<&str> = said.lines().filter(|l| l.len() < 10 || l.starts_with("yyy")).collect();
            let expected = ["1000000", "19999", &"y".repeat(3_000_000)];
            assert!(
                lines == expected,
                "{way}: {:.300} {}",
                said,
                String::from_utf8_lossy(&out.stderr).get(..300).unwrap_or_default()
            );
            assert!(String::from_utf8_lossy(&out.stderr).contains("ERROR 1142"), "{way}");
            let sent = sent.swap(0, Ordering::Relaxed);
            assert!(sent < 250_000, "{way}: {sent} bytes");
        }
        let (ok, said) = w.doorward("", &["audit", "verify"]);
        assert!(ok, "{said}");
    }
}

#[test]
fn a_statement_that_waits_for_nobody_passes_once_approved() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        let server = server(release).start().unwrap();
        server.exec("create table orders(id int primary key, status varchar(20)); insert into orders values (1, 'open'), (2, 'open')").unwrap();
        let w = MySqlWorld::over(server, TOUR, &format!("{PLAIN}\nheld = \"retry\""));
        let (agent, other, dba) = (
            w.token("ci-bot", &["agents"], &[]),
            w.token("other-bot", &["agents"], &[]),
            w.token("dana", &["dba"], &[]),
        );
        let close = |id: u8| format!("update orders set status = 'closed' where id = {id}");
        let said = w.run(&agent, &close(1));
        assert!(said.contains("ERROR 1142") && said.contains("waits for approval"), "{said}");
        let id = said.split("waits for approval ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        assert!(w.run(&agent, &close(1)).contains(&id), "asked again, it is the same approval");
        let (ok, said) = w.doorward(&dba, &["approvals", "approve", &id]);
        assert!(ok, "{said}");
        // Not for others, and not for another row.
        assert!(w.run(&other, &close(1)).contains("waits for approval"));
        assert!(w.run(&agent, &close(2)).contains("waits for approval"));
        assert_eq!(w.server.query("select group_concat(status) from orders").unwrap(), "open,open");
        assert_eq!(w.run(&agent, &close(1)), "");
        assert_eq!(w.server.query("select group_concat(status order by id) from orders").unwrap(), "closed,open");
        let said = w.run(&agent, &close(1));
        assert!(said.contains("waits for approval") && !said.contains(&id), "once: {said}");
    }
}

#[test]
fn sessions_are_ended_by_their_own_caller_alone() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        let w = MySqlWorld::over(server(release).start().unwrap(), TOUR, PLAIN);
        let out = Command::new(cache_dir().join("venv-mysql/bin/python"))
            .arg(repo_root().join("e2e/clients/mysql-python/kill.py"))
            .envs([("E2E_MYSQL_HOST", "127.0.0.1"), ("E2E_MYSQL_DATABASE", "public"), ("E2E_MYSQL_USER", "anybody")])
            .env("E2E_MYSQL_PORT", w.port.to_string())
            .envs([("E2E_MYSQL_CA", w.ca()), ("E2E_MYSQL_OTHER_CA", w.ca())])
            .env("E2E_MYSQL_PASSWORD", w.token("ci-bot", &["agents"], &[]))
            .env("E2E_MYSQL_STRANGER", w.token("other-bot", &["agents"], &[]))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && said.contains("ok kill"), "{said}{}", String::from_utf8_lossy(&out.stderr));
    }
}
