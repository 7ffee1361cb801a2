use super::{
    spans::{Assembler, Span, Value},
    *,
};
use doorward_model::ConnectionName;
use uuid::Uuid;

const SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(7));
const PARENT: TraceParent = TraceParent { trace: [1; 16], span: [2; 8], sampled: true };

fn at(n: u64) -> Timestamp {
    Timestamp::from_secs(n)
}

fn assembler(sample: f64) -> Assembler {
    Assembler::new(sample, Arc::default())
}

fn tell(a: &mut Assembler, time: u64, what: What) {
    a.take(Step { time: at(time), session: Some(SESSION), what });
}

fn opened() -> What {
    What::Opened { connection: "orders".into(), client: "127.0.0.1:1".into() }
}

fn decided(request: u64, outcome: AuditOutcome) -> What {
    let policies: Arc<[String]> = ["all".to_owned()].into();
    What::Decided { request: RequestId(request), outcome, via: "query".into(), policies }
}

fn completed(request: u64) -> What {
    What::Completed { request: RequestId(request), result: "SELECT 1".into(), rows: 1, masked: 0 }
}

fn ended() -> What {
    What::Ended { client_bytes: 1, upstream_bytes: 2 }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|s| s.name == name).collect()
}

#[test]
fn a_held_request_is_one_span_with_its_upstream_within() {
    let mut a = assembler(1.0);
    tell(&mut a, 1, opened());
    tell(&mut a, 2, What::Authenticated { principal: "ci/bot".into() });
    tell(&mut a, 3, decided(1, AuditOutcome::Hold));
    tell(&mut a, 9, decided(1, AuditOutcome::Forward));
    tell(&mut a, 10, decided(2, AuditOutcome::Refuse));
    tell(&mut a, 11, completed(1));
    tell(&mut a, 11, decided(3, AuditOutcome::Forward));
    a.settle();
    assert_eq!(named(&a.finished, "request").len(), 2, "the third is under way");
    tell(&mut a, 12, ended());
    let (requests, upstream) = (named(&a.finished, "request"), named(&a.finished, "upstream"));
    let held = requests.iter().find(|s| !s.events.is_empty()).unwrap();
    assert_eq!((held.begin, held.end, held.events.as_slice()), (at(3), at(11), &[(at(3), "held")][..]));
    assert_eq!((upstream.len(), upstream[0].begin, upstream[0].parent), (1, at(9), Some(held.place.span)));
    let session = named(&a.finished, "session")[0];
    assert_eq!((session.begin, session.end, session.place.trace), (at(1), at(12), *SESSION.uuid().as_bytes()));
    assert!(requests.iter().all(|s| s.parent == Some(session.place.span) && s.place.trace == session.place.trace));
    assert_eq!(requests.len(), 3, "what was not answered ends with the session");
    assert!(session.attributes.contains(&("enduser.id", Value::Text("ci/bot".into()))));
    assert_eq!(named(&a.finished, "authenticate")[0].end, at(2));
}

#[test]
fn a_request_is_in_the_trace_of_its_caller_also_if_that_is_told_later() {
    // Whatever is sampled: the caller decides for its own.
    for (sample, sampled, spans) in [(1.0, true, 1), (0.0, true, 1), (1.0, false, 0), (0.0, false, 0)] {
        let mut a = assembler(sample);
        tell(&mut a, 1, opened());
        tell(&mut a, 2, decided(1, AuditOutcome::Refuse));
        tell(&mut a, 0, What::Belongs { request: RequestId(1), parent: TraceParent { sampled, ..PARENT } });
        a.settle();
        let requests = named(&a.finished, "request");
        assert_eq!(requests.len(), spans, "{sample} {sampled}");
        for span in requests {
            assert_eq!((span.place.trace, span.parent), (PARENT.trace, Some(PARENT.span)));
            assert_eq!(span.link.unwrap().trace, *SESSION.uuid().as_bytes());
        }
        a.finished.clear();
        tell(&mut a, 3, ended());
        assert_eq!(a.finished.len(), usize::from(sample > 0.5), "the session's own");
    }
}

#[test]
fn what_is_open_is_bounded_and_forgotten() {
    let counts = Arc::<Counts>::default();
    let mut a = Assembler::new(1.0, Arc::clone(&counts));
    tell(&mut a, 1, opened());
    for n in 0..50_010 {
        tell(&mut a, 2, decided(n, AuditOutcome::Forward));
    }
    assert_eq!(counts.dropped.load(Ordering::Relaxed), 10);
    a.forget(SESSION);
    assert_eq!(counts.dropped.load(Ordering::Relaxed), 50_011);
    tell(&mut a, 3, opened());
    tell(&mut a, 4, decided(1, AuditOutcome::Refuse));
    a.settle();
    assert_eq!(a.finished.len(), 1, "there is room again");
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_says_nothing_delays_nobody_and_costs_spans_that_are_counted() {
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let tracer = Tracer::start(&TraceTarget { url, token: None, tls: TlsFiles::default(), sample: 1.0 }).unwrap();
    let log = tracer.over(Arc::new(Nowhere));
    let event = |kind| AuditEvent { time: at(1), session: Some(SESSION), kind, parties: None };
    let opened = AuditKind::SessionOpened { connection: ConnectionName::new("orders"), client: "c".into() };
    log.append(&event(opened)).unwrap();
    const MANY: u64 = 100_000;
    for n in 0..MANY {
        let end = AuditKind::Completed { request: RequestId(n), result: String::new(), rows: 0, masked: 0 };
        log.append(&event(AuditKind::AuthenticationFailed { user: "u".into(), reason: "the-reason".into() })).unwrap();
        log.append(&event(end)).unwrap();
    }
    // Each was kept in the queue, in a batch, or dropped; all that may be kept is much less.
    tracer.stop(Duration::from_millis(200)).await;
    let (sent, dropped) = tracer.counts();
    let most = (STEPS + BATCH * (BATCHES + 3)) as u64;
    assert!(sent == 0 && dropped >= MANY - most, "{sent} {dropped}");
}

#[test]
fn targets_are_checked() {
    let target = |url: &str, sample| TraceTarget { url: url.into(), token: None, tls: TlsFiles::default(), sample };
    assert!(Tracer::check(&target("http://127.0.0.1:4318", 0.5)).is_ok());
    assert!(Tracer::check(&target("http://collector.example.com", 1.0)).is_err(), "clear text is for loopback");
    assert!(Tracer::check(&target("https://collector.example.com", 1.1)).is_err());
    assert!(Tracer::check(&target("https://collector.example.com", f64::NAN)).is_err());
}
