//! The session between real clients and the real servers, with a gateway of threads around it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr, reason = "tests")]
mod support;

use doorward_mysql::{Capabilities, codec::upstream};
use doorward_testkit::{MySql, MySqlRelease, Unavailable};
use std::net::{SocketAddr, TcpStream};
use support::{Peer, TOKEN, gateway, greeting, log_in};

const PEOPLE: &str = "CREATE TABLE people (id INT PRIMARY KEY, ssn VARCHAR(20), note TEXT, born DATE, n BIGINT); \
    INSERT INTO people VALUES (1, '078-05-1120', 'write to ada@example.org', '1999-02-03', 7), (2, NULL, '', NULL, -1)";

fn servers() -> Vec<MySql> {
    let start = |release| match MySql::options().release(release).start() {
        Ok(server) => Some(server),
        Err(e) if e.is::<Unavailable>() => {
            eprintln!("skipped: {e}");
            None
        }
        Err(e) => panic!("{e:?}"),
    };
    MySqlRelease::ALL.into_iter().filter_map(start).collect()
}

/// Runs statements with the server's own client through the gateway; what it printed.
fn cli(server: &MySql, address: SocketAddr, args: &[&str], sql: &str) -> String {
    let mut command = server.client_of(address, "bot", TOKEN);
    if server.release().is_mariadb() {
        command.arg("--skip-ssl");
    } else {
        command.args(["--ssl-mode=DISABLED", "--enable-cleartext-plugin"]);
    }
    let output = command.args(args).args(["-D", "orders", "-e", sql]).output().unwrap();
    let text = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    text.trim_end().to_owned()
}

#[test]
fn the_servers_own_clients_work_and_are_governed() {
    for server in servers() {
        let (address, release) = (gateway(&server), server.release());
        server.exec(PEOPLE).unwrap();
        let run = |sql: &str| cli(&server, address, &[], sql);
        assert_eq!(run("SELECT 1; SELECT 'a'"), "1\na", "{release:?}");
        assert_eq!(run("SELECT DATABASE()"), "orders", "{release:?}");
        let rows = run("SELECT * FROM people ORDER BY id");
        // The catalogue knows no types here, so that the table is read as it is: whether there is a value is not told.
        assert_eq!(rows, "1\t[ssn]\twrite to [email]\t1999-02-03\t7\n2\t[ssn]\t\tNULL\t-1", "{release:?}");
        // One packet with two statements, one of which is refused: neither is run, and the session goes on.
        let refused = cli(&server, address, &["--force", "--delimiter=//"], "SELECT 1; DROP TABLE people// SELECT 2//");
        assert!(
            refused.contains("ERROR 1142 (42000)") && refused.contains("no policy allows"),
            "{release:?}: {refused}"
        );
        assert!(refused.contains('2') && !refused.contains("\n1"), "{release:?}: {refused}");
        assert_eq!(server.query("SELECT COUNT(*) FROM people").unwrap(), "2");
        assert!(run("SELEKT unreadable").contains("ERROR 1227 (42000)"), "{release:?}");
        // Errors over hidden columns quote nothing.
        let duplicate = run("INSERT INTO people VALUES (1, 'x', '', NULL, 0)");
        assert!(duplicate.contains("ERROR 1062") && duplicate.contains("details hidden"), "{release:?}: {duplicate}");
        // Approved by the test gateway.
        assert_eq!(run("DELETE FROM people WHERE id = 2; SELECT COUNT(*) FROM people"), "1", "{release:?}");
        // Modes, character sets and schemas are followed.
        let mode = run(
            "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'; SELECT 1; SET sql_mode = ''; USE information_schema; SELECT DATABASE()",
        );
        assert_eq!(mode, "1\ninformation_schema", "{release:?}");
        assert_eq!(run("KILL QUERY 4242"), "", "{release:?}");
        assert!(run("KILL 7").contains("Unknown thread id: 7"), "{release:?}");
        let prepared = run("PREPARE p FROM 'SELECT ssn FROM people'; EXECUTE p");
        assert_eq!(prepared, "[ssn]", "{release:?}");
        assert!(run("PREPARE p FROM 'DROP TABLE people'; EXECUTE p").contains("ERROR 1142"), "{release:?}");
        let wrong = server.client_of(address, "bot", "wrong").args(["--skip-ssl", "-e", "SELECT 1"]).output().unwrap();
        assert!(!wrong.status.success());
    }
}

#[test]
fn the_clients_file_goes_up_only_if_the_statement_names_it() {
    for server in servers() {
        let (address, release) = (gateway(&server), server.release());
        server.exec("CREATE TABLE texts (a TEXT)").unwrap();
        let folder = tempfile(&server);
        let file = folder.join("lines.txt");
        std::fs::write(&file, "one\ntwo\n".repeat(50_000)).unwrap();
        let load = format!("LOAD DATA LOCAL INFILE '{}' INTO TABLE texts; SELECT COUNT(*) FROM texts", file.display());
        assert_eq!(cli(&server, address, &["--local-infile=1"], &load), "100000", "{release:?}");
    }
}

/// A folder that is gone with the server.
fn tempfile(server: &MySql) -> std::path::PathBuf {
    server.files()
}

/// A raw client that is let in through the gateway.
fn raw(address: SocketAddr, without: Capabilities) -> (Peer, Capabilities) {
    let mut peer = Peer::new(TcpStream::connect(address).unwrap());
    let hello = greeting(&mut peer);
    let client = hello.capabilities.without(without).without(Capabilities::CONNECT_WITH_DB);
    let asked = log_in_clear(&mut peer, client);
    (peer, asked)
}

fn log_in_clear(peer: &mut Peer, capabilities: Capabilities) -> Capabilities {
    use doorward_mysql::startup::{Login, Response, put_response};
    let login = Login {
        user: b"bot".to_vec(),
        response: format!("{TOKEN}\0").into_bytes(),
        plugin: b"mysql_clear_password".to_vec(),
        ..Login::default()
    };
    let mut out = Vec::new();
    put_response(&mut out, &Response { capabilities, most: 1 << 24, collation: 45, login: Some(login) });
    peer.write(&out);
    assert_eq!(peer.read().unwrap()[0], 0, "let in");
    capabilities
}

fn send(peer: &mut Peer, payload: &[u8]) {
    peer.next = 0;
    peer.write(payload);
}

/// Reads one whole answer to a statement: every packet of every result.
fn answer(peer: &mut Peer, capabilities: Capabilities) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let first = peer.read().unwrap();
        out.push(first.clone());
        if matches!(first[0], 0 | 0xff) {
            let more = first[0] == 0 && upstream::ok(&first, capabilities).unwrap().status & 8 != 0;
            if more {
                continue;
            }
            return out;
        }
        for _ in 0..first[0] {
            out.push(peer.read().unwrap());
        }
        if !capabilities.has(Capabilities::DEPRECATE_EOF) {
            out.push(peer.read().unwrap());
            let end = upstream::end_of_rows(out.last().unwrap(), capabilities).unwrap();
            if end.status & upstream::status::CURSOR_EXISTS != 0 {
                return out;
            }
        }
        if rows(peer, capabilities, &mut out) {
            return out;
        }
    }
}

/// Reads rows up to their end; whether no more results follow.
fn rows(peer: &mut Peer, capabilities: Capabilities, out: &mut Vec<Vec<u8>>) -> bool {
    loop {
        let row = peer.read().unwrap();
        out.push(row.clone());
        if row[0] == 0xff {
            return true;
        }
        if upstream::is_end_of_rows(&row, capabilities) {
            return upstream::end_of_rows(&row, capabilities).unwrap().status & 8 == 0;
        }
    }
}

fn contains(packets: &[Vec<u8>], text: &[u8]) -> bool {
    packets.iter().any(|p| p.windows(text.len()).any(|w| w == text))
}

const WITHOUT: [Capabilities; 3] = [
    Capabilities(0),
    Capabilities::DEPRECATE_EOF,
    Capabilities(
        Capabilities::DEPRECATE_EOF.0 | Capabilities::SESSION_TRACK.0 | Capabilities::QUERY_ATTRIBUTES.0 | 1 << 35,
    ),
];

#[test]
fn prepared_statements_cursors_and_long_data_are_masked() {
    for server in servers() {
        let (address, release) = (gateway(&server), server.release());
        server.exec(PEOPLE).unwrap();
        for without in WITHOUT {
            let (mut peer, c) = raw(address, without);
            send(&mut peer, b"\x02orders");
            assert_eq!(peer.read().unwrap()[0], 0, "{release:?}: USE");
            send(&mut peer, b"\x16SELECT id, ssn, note, born, n FROM people WHERE id < ? OR note = ?");
            let id = prepared(&mut peer, c, 2, 5);
            for cursor in [0_u8, 1] {
                let mut long = vec![0x18];
                long.extend(id.to_le_bytes());
                long.extend(b"\x01\0nothing");
                send(&mut peer, &long);
                let mut execute = vec![0x17];
                execute.extend(id.to_le_bytes());
                execute.extend([cursor, 1, 0, 0, 0]);
                execute.extend(count(c, 2));
                execute.extend(b"\0\x01");
                execute.extend(kind(c, 3));
                execute.extend(kind(c, 252));
                execute.extend(2_i32.to_le_bytes());
                send(&mut peer, &execute);
                let mut packets = answer(&mut peer, c);
                if cursor == 1 {
                    assert!(!contains(&packets, b"write to"), "{release:?}: rows wait for the fetch");
                    let mut fetch = vec![0x1c];
                    fetch.extend(id.to_le_bytes());
                    fetch.extend(10_u32.to_le_bytes());
                    send(&mut peer, &fetch);
                    rows(&mut peer, c, &mut packets);
                }
                assert!(contains(&packets, b"[ssn]\x10write to [email]\x04"), "{release:?} {without:?}: {packets:?}");
                assert!(!contains(&packets, b"078-05"), "{release:?}");
            }
            // The last statement prepared was refused: nothing else may take its place.
            send(&mut peer, b"\x16DROP TABLE people");
            assert_eq!(peer.read().unwrap()[..3], [0xff, 0x76, 0x04], "1142");
            send(&mut peer, b"\x17\xff\xff\xff\xff\0\x01\0\0\0");
            assert_eq!(peer.read().unwrap()[..3], [0xff, 0xdb, 0x04], "1243");
            reset(&mut peer, c, id);
        }
    }
}

/// A count of parameters, where query attributes were agreed on.
fn count(c: Capabilities, n: u8) -> Vec<u8> {
    if c.has(Capabilities::QUERY_ATTRIBUTES) { vec![n] } else { Vec::new() }
}

fn kind(c: Capabilities, kind: u8) -> Vec<u8> {
    if c.has(Capabilities::QUERY_ATTRIBUTES) { vec![kind, 0, 0] } else { vec![kind, 0] }
}

/// Reads the answer to `COM_STMT_PREPARE`; the number of the statement.
fn prepared(peer: &mut Peer, c: Capabilities, parameters: u16, columns: u16) -> u32 {
    let first = peer.read().unwrap();
    let ok = upstream::prepare_ok(&first).unwrap();
    assert_eq!((ok.parameters, ok.columns), (parameters, columns));
    let ends = if c.has(Capabilities::DEPRECATE_EOF) { 0 } else { 2 };
    for _ in 0..parameters + columns + ends {
        peer.read().unwrap();
    }
    ok.statement
}

/// The session is reset, by either command; its statements are gone.
fn reset(peer: &mut Peer, c: Capabilities, id: u32) {
    let mut execute = vec![0x17];
    execute.extend(id.to_le_bytes());
    execute.extend([0, 1, 0, 0, 0]);
    send(peer, b"\x1f");
    assert_eq!(peer.read().unwrap()[0], 0, "reset");
    send(peer, &execute);
    assert_eq!(peer.read().unwrap()[..3], [0xff, 0xdb, 0x04], "1243");
    let mut change = b"\x11bot\0\x07tok.en\0\0\x2d\0mysql_clear_password\0".to_vec();
    if c.has(Capabilities::CONNECT_ATTRS) {
        change.push(0);
    }
    send(peer, &change);
    assert_eq!(peer.read().unwrap()[0], 0, "changed user");
    send(peer, b"\x0e");
    assert_eq!(peer.read().unwrap()[0], 0, "ping");
}

#[test]
fn commands_of_old_are_decided_like_the_statements_that_took_their_place() {
    for server in servers() {
        let (address, release) = (gateway(&server), server.release());
        server.exec(PEOPLE).unwrap();
        let (mut peer, c) = raw(address, Capabilities::DEPRECATE_EOF);
        send(&mut peer, b"\x06orders");
        assert_eq!(peer.read().unwrap()[..3], [0xff, 0x76, 0x04], "{release:?}: DROP DATABASE");
        send(&mut peer, b"\x02orders");
        assert_eq!(peer.read().unwrap()[0], 0, "{release:?}: USE");
        send(&mut peer, b"\x09");
        assert!(peer.read().unwrap().starts_with(b"Uptime"), "{release:?}: STATISTICS");
        send(&mut peer, b"\x0a");
        // What others run is shown to nobody from whom a column is hidden.
        assert_eq!(peer.read().unwrap()[..3], [0xff, 0x76, 0x04], "{release:?}: PROCESS_INFO");
        send(&mut peer, b"\x04people\0");
        let mut list = Vec::new();
        rows(&mut peer, c, &mut list);
        assert!(list.len() == 6 || list[0][0] == 0xff, "{release:?}: FIELD_LIST {list:?}");
        send(&mut peer, b"\x0c\x07\0\0\0");
        assert_eq!(peer.read().unwrap()[..3], [0xff, 0x46, 0x04], "{release:?}: 1094");
        for refused in [&b"\x0d"[..], b"\x12\0\0\0\0\0\0\0\0\0\0", b"\x1e", b"\x15", b"\x14", b"\x44", b"\x0c\x07"] {
            send(&mut peer, refused);
            assert_eq!(peer.read().unwrap()[0], 0xff, "{release:?}: {refused:?}");
        }
        send(&mut peer, b"\x1b\x01\0");
        assert_eq!(peer.read().unwrap()[0], 0xfe, "{release:?}: SET_OPTION");
        send(&mut peer, b"\x0e");
        assert_eq!(peer.read().unwrap()[0], 0, "{release:?}: PING");
    }
}

#[test]
fn the_grammar_stands_between_client_and_server() {
    for server in servers() {
        let (address, release) = (gateway(&server), server.release());
        server.exec(PEOPLE).unwrap();
        let run = |sql: &str| cli(&server, address, &[], sql);
        assert_eq!(run("SELECT id, ssn, REVERSE(ssn) FROM people WHERE id = 1"), "1\t[ssn]\t[ssn]", "{release:?}");
        assert_eq!(
            run("WITH x AS (SELECT ssn AS s FROM people WHERE id = 1) SELECT CONCAT(s, '') FROM x"),
            "[ssn]",
            "{release:?}"
        );
        assert!(
            run("INSERT INTO people (id, note) SELECT id + 10, ssn FROM people").contains("masked column"),
            "{release:?}"
        );
        assert!(run("SELECT 1; DRÖP x").contains("1227"), "{release:?}");
        assert!(run("/*!50000 DROP */ TABLE people").contains("1142"), "{release:?}");
        assert_eq!(run("SET sql_mode = 'ANSI_QUOTES'; SELECT \"id\" FROM people WHERE id = 1"), "1", "{release:?}");
        assert!(run("SET NAMES gbk; SELECT 1").contains("42000"), "{release:?}");
        assert_eq!(server.query("SELECT COUNT(*) FROM people").unwrap(), "2", "{release:?}");
    }
}

#[test]
fn bulk_executions_of_mariadb_are_decided_once() {
    for server in servers().into_iter().filter(|s| s.release().is_mariadb()) {
        let (address, release) = (gateway(&server), server.release());
        server.exec("CREATE TABLE texts (a INT, b TEXT)").unwrap();
        let (mut peer, c) = raw(address, Capabilities(0));
        assert!(c.has(Capabilities::BULK_OPERATIONS));
        send(&mut peer, b"\x02orders");
        assert_eq!(peer.read().unwrap()[0], 0, "{release:?}: USE");
        // Sent ahead of the answer to the first, as MariaDB's connectors do.
        send(&mut peer, b"\x16INSERT INTO texts VALUES (?, ?)");
        let rows = b"\xfa\xff\xff\xff\xff\x80\0\x03\0\xfd\0\0\x01\0\0\0\0\x01a\0\x02\0\0\0\x01\0\x03\0\0\0\0\x01c";
        send(&mut peer, rows);
        prepared(&mut peer, c, 2, 0);
        let ok = peer.read().unwrap();
        assert_eq!(ok[..2], [0, 3], "{release:?}: {}", ok.escape_ascii());
        assert_eq!(server.query("SELECT SUM(a), COUNT(b) FROM texts").unwrap(), "6\t2");
    }
}

#[test]
fn what_is_sent_ahead_waits_and_long_messages_pass() {
    for server in servers() {
        let (address, release) = (gateway(&server), server.release());
        server.exec("SET GLOBAL max_allowed_packet = 67108864").unwrap();
        let (mut peer, c) = raw(address, Capabilities(0));
        let head = if c.has(Capabilities::QUERY_ATTRIBUTES) { &b"\x03\0\x01"[..] } else { b"\x03" };
        for sql in ["SELECT 1", "SELECT SLEEP(0.1)", "SELECT 3"] {
            send(&mut peer, &[head, sql.as_bytes()].concat());
        }
        for cell in ["1", "0", "3"] {
            let got = answer(&mut peer, c);
            assert_eq!(got[got.len() - 2], [&[1], cell.as_bytes()].concat(), "{release:?}");
        }
        let long = "x".repeat(17 << 20);
        // A text may not be so long; a parameter may.
        send(&mut peer, b"\x16SELECT LENGTH(?)");
        let id = prepared(&mut peer, c, 1, 1);
        let mut execute = vec![0x17];
        execute.extend(id.to_le_bytes());
        execute.extend([0, 1, 0, 0, 0]);
        execute.extend(count(c, 1));
        execute.extend(b"\0\x01");
        execute.extend(kind(c, 253));
        execute.push(0xfe);
        execute.extend((17_u64 << 20).to_le_bytes());
        execute.extend(long.as_bytes());
        send(&mut peer, &execute);
        let got = answer(&mut peer, c);
        assert!(got.len() > 2, "{release:?}: {}", got.concat().escape_ascii());
        let row = &got[got.len() - 2];
        assert!(row.windows(4).any(|w| w == (17_u32 << 20).to_le_bytes()), "{release:?}: {}", row.escape_ascii());
        // Looking through so much takes its time without optimisation: once will do.
        if release == MySqlRelease::MySql9 {
            send(&mut peer, &[head, b"SELECT REPEAT('x', 17825792)"].concat());
            let got = answer(&mut peer, c);
            assert!(got.len() > 2, "{}", got.concat().escape_ascii());
            assert_eq!(got[got.len() - 2].len(), long.len() + 9);
        }
    }
}

#[test]
fn the_log_in_itself_is_that_of_the_support_code() {
    let Some(server) = servers().into_iter().next() else { return };
    let mut peer = Peer::new(TcpStream::connect(server.address()).unwrap());
    let hello = greeting(&mut peer);
    assert!(log_in(&mut peer, &hello, Capabilities(0), "app", "wrong").is_err());
}
