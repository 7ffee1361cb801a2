//! Tags that a database carries itself, and how soon what changes there counts for sessions that live.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
#[path = "tags/large.rs"]
mod large;
#[path = "tags/locks.rs"]
mod locks;
#[path = "tags/long.rs"]
mod long;
use common::{World, mysql::MySqlWorld};
use doorward_testkit::{MySql, MySqlRelease};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

const POLICY: &str = r#"
@id("all") permit (principal in Group::"agents", action, resource) unless { action == Action::"grant" };
@id("owners") permit (principal in Group::"owners", action, resource);
@id("hide") forbid (principal in Group::"agents", action == Action::"reveal", resource is Column)
when { resource.tags.contains("pii") };
@id("shut") forbid (principal in Group::"agents", action == Action::"select", resource is Table)
when { resource.tags.contains("shut") };
"#;
/// What docs/protocols say: a minute. A machine may be busy besides.
const BOUND: Duration = Duration::from_secs(120);

/// A client that stays.
struct Staying {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Staying {
    fn start(client: Command) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(client.get_program()).args(client.get_args());
        shell.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { _child: child, input, output }
    }

    /// All that is answered to one text.
    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql};\nselect '---end' as x;").unwrap();
        let mut out = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the client has ended: {out}");
            if line.trim() == "---end" {
                return out.trim().to_owned();
            }
            out.push_str(&line);
        }
    }

    /// Sends a text that is answered some time later.
    fn begin(&mut self, sql: &str) {
        writeln!(self.input, "{sql};").unwrap();
    }

    /// Asks until the answer is this, and no longer than what happens behind the gateway's back may take to be known.
    fn comes_to(&mut self, sql: &str, wanted: &str) {
        let begun = Instant::now();
        loop {
            let said = self.ask(sql);
            if said == wanted {
                return;
            }
            assert!(begun.elapsed() < BOUND, "{sql}: {said}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// A client with a statement that it has prepared by the protocol.
struct Prepared(TcpStream);

impl Prepared {
    fn new(w: &World, token: &str, sql: &str) -> Self {
        let mut client = Self(TcpStream::connect(("127.0.0.1", w.port)).unwrap());
        let parameters = b"\0\x03\0\0user\0anybody\0database\0orders\0\0";
        let head = (parameters.len() as u32 + 4).to_be_bytes();
        client.0.write_all(&[&head[..], parameters].concat()).unwrap();
        assert_eq!(client.message().0, b'R');
        client.say(b'p', &[token.as_bytes(), b"\0"].concat());
        client.until_ready();
        client.say(b'P', &[b"q\0", sql.as_bytes(), b"\0\0\0"].concat());
        client.say(b'S', b"");
        assert!(!client.until_ready().contains("ERROR"));
        client
    }

    fn say(&mut self, kind: u8, body: &[u8]) {
        let length = (body.len() as u32 + 4).to_be_bytes();
        self.0.write_all(&[&[kind][..], &length, body].concat()).unwrap();
    }

    fn message(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).unwrap();
        let mut body = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        self.0.read_exact(&mut body).unwrap();
        (head[0], body)
    }

    /// Rows and errors.
    fn until_ready(&mut self) -> String {
        let mut out = String::new();
        loop {
            match self.message() {
                (b'Z', _) => return out,
                (b'D' | b'E', body) => out.push_str(&String::from_utf8_lossy(&body)),
                _ => {}
            }
        }
    }

    /// Runs what was prepared.
    fn run(&mut self) -> String {
        self.say(b'B', b"\0q\0\0\0\0\0\0\0");
        self.say(b'E', b"\0\0\0\0\0");
        self.say(b'S', b"");
        self.until_ready()
    }
}

fn postgres() -> World {
    let w = World::with(POLICY, "tags = {}");
    w.postgres
        .exec(&format!(
            "set role {};
             create table people(id int primary key, name text, ssn text, note text);
             create table cards(id int primary key, number text);
             create view shown as select id, name as it from people;
             insert into people values (1, 'Ada', '078-05-1120', 'tall');
             insert into cards values (1, '4111');
             comment on column people.ssn is 'Of the person. doorward: pii, ssn';",
            w.postgres.user()
        ))
        .unwrap();
    w
}

#[test]
fn comments_of_postgres_are_tags_and_nobody_takes_one_away() {
    let w = postgres();
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let mut one = Staying::start({
        let mut psql = w.psql_command(&agent);
        psql.arg("-q");
        psql
    });
    let mut other = Staying::start({
        let mut psql = w.psql_command(&owner);
        psql.arg("-q");
        psql
    });
    assert_eq!(one.ask("select * from people"), "1|Ada|[ssn]|tall");
    assert_eq!(one.ask("select count(*) from people where ssn like '078%'"), "0");
    assert_eq!(other.ask("select ssn from people"), "078-05-1120");

    // Who may not see it says nothing of it, and tags are given by those who may grant.
    for sql in [
        "comment on column people.ssn is 'x'",
        "comment on table people is null",
        "comment on column people.note is 'x'",
    ] {
        let said = one.ask(sql);
        assert!(said.contains("COMMENT refused: it is on a table with columns that you may not see"), "{sql}: {said}");
    }
    for sql in ["comment on column cards.number is 'doorward: pii'", "comment on table cards is E'Door\\x77ard: free'"]
    {
        let said = one.ask(sql);
        assert!(said.contains("no policy allows grant on Table `public.cards`"), "{sql}: {said}");
    }
    assert_eq!(one.ask("comment on column cards.number is 'as printed'"), "");

    // Through the gateway, all that live hear at once, what they have prepared too.
    let mut prepared = Prepared::new(&w, &agent, "select note from people");
    assert_eq!(one.ask("prepare n as select note from people; execute n"), "tall");
    assert!(prepared.run().contains("tall"));
    assert_eq!(other.ask("begin; comment on column people.note is 'doorward: pii, note'"), "");
    assert_eq!(one.ask("select note from people"), "tall", "nothing has come of it yet");
    assert_eq!(other.ask("commit"), "");
    assert_eq!(one.ask("select note from people"), "[note]");
    assert_eq!(one.ask("execute n"), "[note]");
    let said = prepared.run();
    assert!(said.contains("not what it was when the statement was prepared") && !said.contains("tall"), "{said}");
    assert_eq!(other.ask("comment on table cards is 'doorward: shut'"), "");
    let said = one.ask("select * from cards");
    assert!(said.contains("refused by policy `shut`"), "{said}");
    let said = one.ask("comment on table cards is 'open'");
    assert!(said.contains("grant on Table `public.cards`"), "{said}");

    // Another view and a new table are seen at once, too.
    assert_eq!(one.ask("select it from shown"), "Ada");
    assert_eq!(other.ask("create or replace view shown as select id, ssn as it from people"), "");
    assert_eq!(one.ask("select it from shown"), "[ssn]");
    assert_eq!(one.ask("select count(*) from shown where it like '078%'"), "0");
    assert_eq!(other.ask("create table fresh (a text); comment on column fresh.a is 'doorward: pii'"), "");
    assert_eq!(other.ask("insert into fresh values ('new')"), "");
    assert_eq!(one.ask("select a from fresh"), "[masked]");
}

/// What a portal has begun to show it does not go on to show.
#[test]
fn a_portal_that_was_begun_is_judged_again() {
    let w = postgres();
    w.postgres.exec("insert into people values (2, 'Bob', 'x', 'small'), (3, 'Cid', 'y', 'wide')").unwrap();
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let mut one = Prepared::new(&w, &agent, "select note from people order by id");
    let mut owner = Staying::start({
        let mut psql = w.psql_command(&owner);
        psql.arg("-q");
        psql
    });
    one.say(b'Q', b"begin\0");
    one.until_ready();
    one.say(b'B', b"p\0q\0\0\0\0\0\0\0");
    let mut more = || {
        one.say(b'E', b"p\0\0\0\0\x01");
        one.say(b'S', b"");
        one.until_ready()
    };
    assert!(more().contains("tall"));
    assert!(more().contains("small"));
    assert_eq!(owner.ask("comment on column people.note is 'doorward: pii, note'"), "");
    let said = more();
    assert!(said.contains("not what it was when the statement was prepared") && !said.contains("wide"), "{said}");
}

#[test]
fn what_postgres_is_told_behind_the_gateways_back_counts_within_the_bound() {
    let w = postgres();
    let agent = w.token("ci-bot", &["agents"], &[]);
    let mut one = Staying::start({
        let mut psql = w.psql_command(&agent);
        psql.arg("-q");
        psql
    });
    let mut prepared = Prepared::new(&w, &agent, "select note from people");
    assert_eq!(one.ask("prepare n as select note from people; execute n; select it from shown"), "tall\nAda");
    assert!(prepared.run().contains("tall"));
    let own = format!("set role {};", w.postgres.user());
    w.postgres
        .exec(&format!(
            "{own} comment on column people.note is 'doorward: pii, note';
             create or replace view shown as select id, ssn as it from people;
             create table fresh (a text); insert into fresh values ('new'); comment on column fresh.a is 'doorward: pii';"
        ))
        .unwrap();
    // What is new to the gateway is looked up first.
    assert_eq!(one.ask("select a from fresh"), "[masked]");
    one.comes_to("select note from people", "[note]");
    assert_eq!(one.ask("execute n"), "[note]");
    one.comes_to("select it from shown", "[ssn]");
    let begun = Instant::now();
    while prepared.run().contains("tall") {
        assert!(begun.elapsed() < BOUND);
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn client(w: &MySqlWorld, token: &str) -> Staying {
    let mut client = w.client(token);
    client.args(["--unbuffered"]);
    Staying::start(client)
}

fn mysql(release: MySqlRelease) {
    let server = MySql::options().release(release).database("public").start().unwrap();
    server.exec(&format!("grant all on *.* to '{}'@'%'", server.user())).unwrap();
    server
        .exec(
            "use public;
             create table people(id int primary key, name varchar(20), Ssn varchar(12) comment 'Doorward: pii, ssn', note varchar(20));
             create table cards(id int primary key, number varchar(20));
             create view shown as select id, name as it from people;
             insert into people values (1, 'Ada', '078-05-1120', 'tall');
             insert into cards values (1, '4111');",
        )
        .unwrap();
    let w = MySqlWorld::over(server, POLICY, "tls = \"disable\"");
    let (agent, owner) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["owners"], &[]));
    let (mut one, mut other) = (client(&w, &agent), client(&w, &owner));
    assert_eq!(one.ask("select * from people"), "1\tAda\t[ssn]\ttall", "{release:?}");
    assert_eq!(one.ask("select count(*) from people where ssn like '078%'"), "0");

    // Nobody takes a tag away, nor gives one who may not grant.
    let said = one.ask("alter table people modify ssn varchar(12)");
    assert!(said.contains("refused"), "{said}");
    let said = one.ask("alter table cards modify number varchar(20) comment 'doorward: pii'");
    assert!(said.contains("grant on Table `public.cards`"), "{said}");
    assert_eq!(one.ask("alter table cards comment 'plain'"), "");

    // Through the gateway: at once for all that live.
    assert_eq!(one.ask("select note from people"), "tall");
    assert_eq!(other.ask("alter table people modify note varchar(20) comment 'doorward: pii, note'"), "");
    assert_eq!(one.ask("select note from people"), "[note]");
    assert_eq!(other.ask("alter table cards comment 'doorward: shut'"), "");
    let said = one.ask("select * from cards");
    assert!(said.contains("refused by policy `shut`"), "{said}");
    let said = one.ask("alter table cards comment 'open'");
    assert!(said.contains("grant on Table `public.cards`"), "{said}");
    assert_eq!(one.ask("select it from shown"), "Ada");
    assert_eq!(other.ask("create or replace view shown as select id, ssn as it from people"), "");
    assert_eq!(one.ask("select it from shown"), "[ssn]");

    // Behind its back: within the bound.
    w.server
        .exec(
            "use public; alter table people modify name varchar(20) comment 'doorward: pii, name';
             create table fresh (a varchar(9) comment 'doorward: pii'); insert into fresh values ('new');",
        )
        .unwrap();
    assert_eq!(one.ask("select a from fresh"), "[masked]");
    one.comes_to("select name from people", "[name]");
}

#[test]
fn comments_of_mariadb_are_tags() {
    mysql(MySqlRelease::DebianMariaDb);
}

#[test]
fn comments_of_mysql_are_tags() {
    mysql(MySqlRelease::MySql9);
}
