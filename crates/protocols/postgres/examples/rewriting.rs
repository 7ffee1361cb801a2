//! What a session spends on a statement: read, decided, rewritten where columns are hidden, and its answer masked. No sockets,
//! no TLS, no audit log, and no Cedar, which is not asked twice of what stays: the same statement by somebody who may see
//! everything, and by somebody who may not, in turns.
//! `cargo run --release -p doorward-postgres --example rewriting [ROUNDS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "an example"
)]
use doorward_detect::{Detector, Masker};
use doorward_enforce::{
    AuditSink, AuditUnavailable, Circumstances, DecisionPoint, Enforcer, EnforcerParts, Party, ProtocolSession as _,
    SessionDecisions, Subject, Ticket, Verdict,
};
use doorward_model::{
    Access, Action, AuditEvent, ConnectionInfo, ConnectionName, DataType, Principal, PrincipalKind, Resource,
    SessionId, Timestamp,
};
use doorward_postgres::{Limits, Session, SessionParts};
use doorward_sql::{Catalogue, Column, Orders, Relation, RelationKind, postgres::AnalysisCache};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
/// Few enough that on a busy machine some batches are not interrupted.
const BATCH: u32 = 100;

#[derive(Debug)]
struct Nowhere;

impl AuditSink for Nowhere {
    fn append(&self, _: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        Ok(Ticket(1))
    }
    fn committed(&self) -> Ticket {
        Ticket(1)
    }
    fn poll_committed(&self, _: Ticket, _: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        Poll::Ready(Ok(()))
    }
}

/// The tables of bench/run-masking, and two hundred others.
fn catalogue() -> Arc<Catalogue> {
    let table = |oid: u32, name: &str, columns: &[(&str, u32)]| Relation {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind: RelationKind::Table,
        columns: (1..)
            .zip(columns)
            .map(|(number, (name, type_oid))| Column { number, name: (*name).into(), type_oid: *type_oid })
            .collect(),
    };
    let person = [("id", 23), ("name", 25), ("ssn", 25), ("email", 25), ("city", 25), ("credit", 23), ("since", 1082)];
    let names: Vec<String> = (1..=20).map(|n| format!("c{n}")).collect();
    let wide: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 25)).collect();
    let mut tables = vec![
        table(1, "customers", &person),
        table(2, "customers_sorted", &person),
        table(3, "orders", &[("id", 23), ("customer_id", 23), ("amount", 1700), ("placed", 1082)]),
        table(4, "wide", &wide),
        table(5, "wide_2_redact", &wide),
        table(6, "wide_10_redact", &wide),
        table(7, "wide_2_hash", &wide),
        table(8, "wide_10_hash", &wide),
    ];
    for n in 0..200 {
        tables.push(table(100 + n, &format!("other_{n}"), &person));
    }
    let named = |type_oid| match type_oid {
        23 => "integer",
        1700 => "numeric",
        1082 => "date",
        _ => "text",
    };
    let types: Vec<_> =
        tables.iter().flat_map(|r| r.columns.iter().map(|c| ((r.oid, c.number), named(c.type_oid).into()))).collect();
    let key = |indexes: &[&[i16]]| Orders {
        key: vec![1],
        indexes: indexes.iter().map(|columns| columns.iter().copied().collect()).collect(),
        indexed: Default::default(),
        stored: BTreeSet::new(),
    };
    let orders = [(1, key(&[&[1], &[5]])), (2, key(&[&[1], &[5], &[5, 3]])), (3, key(&[&[1], &[2]]))];
    Arc::new(Catalogue::new(1, tables, []).with_type_names(types).with_orders(orders))
}

/// Allows everything, but hides columns from whom it is told to, and e-mail addresses and card numbers from everybody.
#[derive(Clone, Copy, Debug)]
struct Rules {
    hides: bool,
    /// Whether its verdicts stay as they are, which those of policies that read the clock do not.
    lasting: bool,
}

impl DecisionPoint for Rules {
    fn generation(&self) -> u64 {
        1
    }
    fn open(&self, _: &Arc<Subject>, _: Party) -> Box<dyn SessionDecisions> {
        Box::new(*self)
    }
}

impl SessionDecisions for Rules {
    fn generation(&self) -> u64 {
        1
    }
    fn policy_version(&self) -> Arc<str> {
        "example".into()
    }
    fn decide(&mut self, access: &Access, _: &Circumstances<'_>) -> Verdict {
        let is_hidden = match &access.resource {
            Resource::Column { table, name, .. } => self.hides && is_hidden(table, name),
            Resource::DataType { data_type } => matches!(data_type, DataType::Email | DataType::CreditCard),
            _ => false,
        };
        let allowed = access.action != Action::Reveal || !is_hidden;
        Verdict { allowed, policies: Vec::new(), error: None, lasting: self.lasting || access.action != Action::Reveal }
    }
    fn tags(&self, resource: &Resource) -> Vec<String> {
        match resource {
            Resource::Column { table, .. } if table.ends_with("_hash") => vec!["mask:hash".to_owned()],
            _ => Vec::new(),
        }
    }
}

fn is_hidden(table: &str, column: &str) -> bool {
    let among_first = |count: u32| {
        let number = column.strip_prefix('c').and_then(|n| n.parse::<u32>().ok());
        number.is_some_and(|n| n % 2 == 0 && n <= 2 * count)
    };
    match table {
        "customers" | "customers_sorted" => matches!(column, "ssn" | "email"),
        "wide_2_redact" | "wide_2_hash" => among_first(2),
        "wide_10_redact" | "wide_10_hash" => among_first(10),
        _ => false,
    }
}

fn session(rules: Rules, cache: &Arc<AnalysisCache>, catalogue: &Arc<Catalogue>) -> Session {
    let principal = Principal {
        kind: PrincipalKind::Agent,
        issuer: "dev".into(),
        subject: "bot".into(),
        groups: Default::default(),
        tags: Default::default(),
        token_id: None,
        expires_at: Timestamp::from_micros(u64::MAX),
        on_behalf_of: None,
    };
    let connection = ConnectionInfo {
        name: ConnectionName::new("bench"),
        kind: "postgres".into(),
        database: None,
        labels: Default::default(),
        tags: Default::default(),
    };
    let subject = Subject {
        session: SessionId::from_uuid(Default::default()),
        principal,
        connection,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        tls: true,
    };
    Session::new(SessionParts {
        heard: Default::default(),
        enforcer: Enforcer::new(EnforcerParts {
            subject: Arc::new(subject),
            pdp: Arc::new(rules),
            audit: Arc::new(Nowhere),
            strict_audit: true,
            place: "here:1".into(),
            new_approval: Box::new(|| unreachable!("nothing is held here")),
        }),
        detector: Arc::new(Detector::new()),
        masker: Arc::new(Masker::new([1; 32])),
        cache: Arc::clone(cache),
        catalogue: Arc::clone(catalogue),
        search_path: "public".into(),
        user: "app".into(),
        role: None,
        limits: Limits::default(),
        names_are_utf8: true,
    })
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((u32::try_from(body.len()).unwrap() + 4).to_be_bytes());
    out.extend(body);
    out
}

/// A row description without origins, as a derived table has it, and rows of these cells.
fn rows(cells: &[&str], count: usize) -> (Vec<u8>, Vec<u8>) {
    let count_of = u16::try_from(cells.len()).unwrap().to_be_bytes();
    let mut body = count_of.to_vec();
    for n in 1..=cells.len() {
        body.extend(format!("c{n}\0").into_bytes());
        body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    let mut row = count_of.to_vec();
    for cell in cells {
        row.extend(u32::try_from(cell.len()).unwrap().to_be_bytes());
        row.extend(cell.as_bytes());
    }
    (frame(b'T', &body), frame(b'D', &row).repeat(count))
}

/// What a session is asked, and how it is answered.
struct Exchange {
    name: &'static str,
    asked: Vec<u8>,
    answered: Vec<u8>,
}

fn done() -> Vec<u8> {
    [frame(b'C', b"SELECT 1\0"), frame(b'Z', b"I")].concat()
}

fn simple(name: &'static str, sql: &str, cells: &[&str]) -> Exchange {
    let (described, row) = rows(cells, 1);
    let asked = frame(b'Q', &[sql.as_bytes(), b"\0"].concat());
    Exchange { name, asked, answered: [described, row, done()].concat() }
}

/// Bind, Describe, Execute, Sync of what was prepared as `s`.
fn prepared(name: &'static str, cells: &[&str]) -> Exchange {
    let (described, row) = rows(cells, 1);
    let bind = frame(b'B', b"\0s\0\0\0\0\x01\0\0\0\x044711\0\0");
    let asked = [bind, frame(b'D', b"P\0"), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")].concat();
    Exchange { name, asked, answered: [frame(b'2', b""), described, row, done()].concat() }
}

/// What a session sends upstream.
fn sent(s: &mut Session) -> Vec<u8> {
    let queue = s.to_upstream();
    let ready = queue.ready(Ticket(1)).to_vec();
    queue.sent(ready.len());
    assert!(!ready.is_empty(), "refused: {}", String::from_utf8_lossy(s.to_client()));
    ready
}

fn prepare(s: &mut Session, sql: &str) {
    let parse = frame(b'P', &[b"s\0", sql.as_bytes(), b"\0\0\0"].concat());
    s.handle_client(&[parse, frame(b'S', b"")].concat(), NOW);
    sent(s);
    s.handle_upstream(&[frame(b'1', b""), frame(b'Z', b"I")].concat(), NOW);
    s.to_client().clear();
}

fn once(s: &mut Session, exchange: &Exchange) {
    s.handle_client(&exchange.asked, NOW);
    let queue = s.to_upstream();
    let n = queue.ready(Ticket(1)).len();
    assert!(n > 0);
    queue.sent(n);
    s.handle_upstream(&exchange.answered, NOW);
    s.to_client().clear();
}

fn batch(s: &mut Session, exchange: &Exchange) -> Duration {
    let begun = Instant::now();
    for _ in 0..BATCH {
        once(s, exchange);
    }
    begun.elapsed() / BATCH
}

fn micros(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    micros(times[times.len() / 2])
}

struct Bench {
    lasting: bool,
    catalogue: Arc<Catalogue>,
    rounds: usize,
}

impl Bench {
    fn session(&self, cache: &Arc<AnalysisCache>, hides: bool) -> Session {
        session(Rules { hides, lasting: self.lasting }, cache, &self.catalogue)
    }

    /// One statement whose text was seen before, by both in turns.
    fn warm(&self, exchange: &Exchange, prepares: Option<&str>) {
        let cache = Arc::new(AnalysisCache::new(1024, 1 << 22));
        let mut sessions = [false, true].map(|hides| self.session(&cache, hides));
        for s in &mut sessions {
            prepares.into_iter().for_each(|sql| prepare(s, sql));
            batch(s, exchange);
        }
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..self.rounds {
            for (s, times) in sessions.iter_mut().zip(&mut times) {
                times.push(batch(s, exchange));
            }
        }
        let [clear, hidden] = times.each_mut().map(|t| median(t));
        let [least_clear, least_hidden] = times.map(|t| micros(t[0]));
        println!(
            "{:32} {clear:7.2} {hidden:7.2} {:+7.2} {least_clear:9.2} {least_hidden:7.2} {:+7.2}",
            exchange.name,
            hidden - clear,
            least_hidden - least_clear
        );
    }

    /// A text that was never seen: read, rewritten, read again. By somebody who has asked others before.
    fn new_texts(&self, name: &'static str, sql: impl Fn(usize) -> String, cells: &[&str]) {
        let mut times = [Vec::new(), Vec::new()];
        for (hides, times) in [false, true].into_iter().zip(&mut times) {
            let cache = Arc::new(AnalysisCache::new(64, 1 << 20));
            let mut s = self.session(&cache, hides);
            for n in 0..self.rounds * 50 {
                let exchange = simple(name, &sql(n), cells);
                let begun = Instant::now();
                once(&mut s, &exchange);
                times.push(begun.elapsed());
            }
        }
        let [clear, hidden] = times.each_mut().map(|t| median(t));
        let [least_clear, least_hidden] = times.map(|t| micros(t[0]));
        println!(
            "{name:32} {clear:7.2} {hidden:7.2} {:+7.2} {least_clear:9.2} {least_hidden:7.2} {:+7.2}",
            hidden - clear,
            least_hidden - least_clear
        );
    }

    /// Rows of 20 columns, in runs of 32 KiB as they come from a socket.
    fn wide(&self) {
        println!("\n20 columns of about 15 bytes, MB/s that come of the upstream, in runs of 32 KiB: median, best");
        let cells: Vec<String> = (0..20).map(|n| format!("value {n} of a row")).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let (described, row) = rows(&cells, 1);
        let run = row.repeat((32 << 10) / row.len());
        let tables = ["wide", "wide_2_redact", "wide_10_redact", "wide_2_hash", "wide_10_hash"];
        let cache = Arc::new(AnalysisCache::new(1024, 1 << 22));
        let mut sessions: Vec<Session> = tables.iter().map(|_| self.session(&cache, true)).collect();
        let mut times = tables.map(|_| Vec::new());
        for (s, table) in sessions.iter_mut().zip(tables) {
            s.handle_client(&frame(b'Q', format!("select * from {table}\0").as_bytes()), NOW);
            sent(s);
            s.handle_upstream(&described, NOW);
        }
        for _ in 0..self.rounds * 5 {
            for (s, times) in sessions.iter_mut().zip(&mut times) {
                let begun = Instant::now();
                s.handle_upstream(&run, NOW);
                times.push(begun.elapsed());
                s.to_client().clear();
            }
        }
        for (table, times) in tables.iter().zip(&mut times) {
            times.sort();
            let rate = |t: Duration| run.len() as f64 / 1e6 / t.as_secs_f64();
            println!("{table:32} {:7.0} {:7.0}", rate(times[times.len() / 2]), rate(times[0]));
        }
    }
}

const POINT: &str = "select id, name, ssn, email from customers where id = 4711";
const JOIN: &str =
    "select o.id, o.amount, c.name, c.ssn from orders o join customers c on c.id = o.customer_id where o.id = 4711";
const PLAIN: &str = "select id, amount from orders where id = 4711";

fn main() {
    let rounds = std::env::args().nth(1).map_or(200, |n| n.parse().unwrap());
    let bench = Bench { lasting: true, catalogue: catalogue(), rounds };
    let clock = Bench { lasting: false, catalogue: catalogue(), rounds: 3 };
    println!("a statement and its one row, µs: median of {rounds} rounds (sees all, hidden, difference), least");
    bench.warm(&simple("no hidden column, simple", PLAIN, &["4711", "12.50"]), None);
    let four = ["4711", "Ada", "[pii]", "[pii]"];
    bench.warm(&simple("by key, simple", POINT, &four), None);
    bench.warm(&simple("by key, sorted table", &POINT.replace("customers", "customers_sorted"), &four), None);
    bench.warm(&simple("join, simple", JOIN, &four), None);
    bench.warm(&prepared("by key, prepared", &four), Some(&POINT.replace("4711", "$1")));
    bench.warm(&prepared("join, prepared", &four), Some(&JOIN.replace("4711", "$1")));
    clock.warm(&simple("by key, a policy by the clock", POINT, &four), None);
    println!("a text that is new each time");
    bench.new_texts("by key", |n| POINT.replace("4711", &n.to_string()), &four);
    bench.new_texts("join", |n| JOIN.replace("4711", &n.to_string()), &four);
    bench.new_texts("no hidden column", |n| PLAIN.replace("4711", &n.to_string()), &["4711", "12.50"]);
    bench.wide();
}
