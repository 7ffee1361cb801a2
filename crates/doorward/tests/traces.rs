//! Traces by OTLP: what a collector gets of PostgreSQL, Kubernetes and the API, read by OpenTelemetry's own types.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod common;
use common::{DOORWARD, Issuer};
use doorward_testkit::{Gateway, Postgres, cache_dir, free_port, repo_root};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const POLICY: &str = r#"
@id("all") permit (principal in Group::"agents", action, resource);
@id("see") permit (principal in Group::"agents", action == Action::"reveal", resource);
@id("not") forbid (principal, action == Action::"delete", resource);
@id("look") permit (principal in Group::"agents", action in [Action::"view_secrets", Action::"view_metrics"], resource);
"#;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// Heads and bodies of requests.
type Kept = Arc<Mutex<Vec<(String, String)>>>;

/// A server that answers each request with `{}`, and keeps headers and bodies.
fn server() -> (String, Kept) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, kept) = (listener.local_addr().unwrap().to_string(), Kept::default());
    let keep = Arc::clone(&kept);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let keep = Arc::clone(&keep);
            thread::spawn(move || while answered(&stream, &keep).is_some() {});
        }
    });
    (address, kept)
}

fn answered(stream: &TcpStream, keep: &Mutex<Vec<(String, String)>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (reader.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    keep.lock().unwrap().push((head, String::from_utf8(body).ok()?));
    let mut out = stream;
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").ok()
}

/// Spans, by the types of opentelemetry-proto.
fn spans(bodies: &[(String, String)], dir: &std::path::Path) -> Vec<Value> {
    let file = dir.join("requests");
    let lines: Vec<&str> = bodies.iter().map(|(_, body)| body.as_str()).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let python = cache_dir().join("venv-siem/bin/python");
    let script = repo_root().join("e2e/clients/siem-python/check.py");
    let run = Command::new(python).arg(script).arg("traces").arg(&file).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn sessions_requests_and_calls_are_spans_without_a_word_of_what_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, got) = server();
    let (cluster, asked) = server();
    let (postgres, issuer) = (Postgres::start().unwrap(), Issuer::start());
    postgres
        .exec(&format!(
            "create table customers(id int, ssn text); grant all on customers to {};
             insert into customers values (1, '078-05-1120')",
            postgres.user()
        ))
        .unwrap();
    let [port, kubernetes, api] = [free_port().unwrap(), free_port().unwrap(), free_port().unwrap()];
    let config = format!(
        r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
[[identity.issuers]]
name = "dev"
issuer = "{}"
audience = ["doorward"]
principal = "agent"
[[connections]]
name = "orders"
kind = "postgres"
listen = "127.0.0.1:{port}"
upstream = "{}"
database = "orders"
user = "{}"
credential = {{ value = "{}" }}
tls = "disable"
[[connections]]
name = "k8s"
kind = "kubernetes"
listen = "127.0.0.1:{kubernetes}"
upstream = "{cluster}"
credential = {{ value = "token-of-the-gateway" }}
tls = "disable"
[policy]
files = ["policy.cedar"]
[telemetry]
otlp_endpoint = "http://{collector}"
token = {{ value = "token-of-the-collector" }}
"#,
        issuer.url,
        postgres.address(),
        postgres.user(),
        postgres.password()
    );
    let mut gateway = Gateway::options(&config).program(DOORWARD).file("policy.cedar", POLICY).start().unwrap();
    let (token, ca) = (issuer.token("ci-bot", &["agents"], &[]), gateway.directory().join("state/dev-tls.crt"));
    let psql = |sql: &str| {
        let out = Command::new("psql")
            .args([
                "-X",
                "-A",
                "-t",
                "-h",
                "localhost",
                "-U",
                "anybody",
                "-d",
                "orders",
                "-p",
                &port.to_string(),
                "-c",
                sql,
            ])
            .env("PGPASSWORD", &token)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", &ca)
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    assert_eq!(psql("select id from customers where ssn = '078-05-1120'").trim(), "1");
    assert!(psql("delete from customers where ssn = '078-05-1120'").contains("ERROR"));
    let curl = |url: &str| {
        let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01");
        let out = Command::new("curl")
            .args(["-sS", "-o", "-", "-w", " %{http_code}", "--cacert", ca.to_str().unwrap()])
            .args(["-H", &format!("Authorization: Bearer {token}"), "-H", &parent, url])
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    let said = curl(&format!("https://localhost:{kubernetes}/api/v1/namespaces/prod/configmaps/a-name"));
    assert!(said.ends_with("200"), "{said}");
    let said = curl(&format!("http://127.0.0.1:{api}/api/v1/secrets/a-name-of-one"));
    assert!(said.ends_with("404"), "{said}");
    let begun = Instant::now();
    let metrics = loop {
        let said = curl(&format!("http://127.0.0.1:{api}/metrics"));
        let is_there = said.lines().any(|l| l.starts_with("doorward_trace_spans_total") && !l.ends_with(" 0"));
        if is_there || begun.elapsed() > Duration::from_secs(30) {
            break said;
        }
        thread::sleep(Duration::from_millis(100));
    };
    assert!(metrics.contains("doorward_trace_spans_dropped_total 0"), "{metrics}");
    gateway.stop().unwrap();

    let bodies = got.lock().unwrap().clone();
    assert!(bodies.iter().all(|(head, _)| head.starts_with("POST /v1/traces ")));
    assert!(bodies.iter().all(|(head, _)| head.contains("Bearer token-of-the-collector")), "{bodies:?}");
    let all: String = bodies.iter().map(|(_, body)| body.as_str()).collect();
    for word in ["078-05-1120", "customers", "select", "a-name", "token-of", &token, postgres.password()] {
        assert!(!all.contains(word), "`{word}` is in {all}");
    }
    let spans = spans(&bodies, dir.path());
    let of = |name: &str, connection: &str| -> Vec<Value> {
        let is = |s: &&Value| s["name"] == name && s["attributes"]["doorward.connection"] == connection;
        spans.iter().filter(is).cloned().collect()
    };
    let sessions = of("session", "orders");
    assert_eq!(sessions.len(), 2, "{spans:#?}");
    assert!(sessions.iter().all(|s| s["attributes"]["enduser.id"] == "dev/ci-bot" && s["service"] == "doorward"));
    assert_eq!(of("authenticate", "orders").len(), 2);
    let requests = of("request", "orders");
    let query = requests.iter().find(|r| r["attributes"]["doorward.rows"] == 1).unwrap();
    let session = sessions.iter().find(|s| s["trace"] == query["trace"]).unwrap();
    assert_eq!((&query["parent"], &query["attributes"]["doorward.outcome"]), (&session["span"], &"forward".into()));
    assert_eq!(session["trace"], session["attributes"]["doorward.session"].as_str().unwrap().replace('-', ""));
    let upstream = of("upstream", "orders").into_iter().find(|u| u["parent"] == query["span"]).unwrap();
    assert_eq!((&upstream["kind"], &upstream["trace"]), (&3.into(), &query["trace"]));
    assert!(
        upstream["begin"].as_u64() >= query["begin"].as_u64() && upstream["end"].as_u64() <= session["end"].as_u64()
    );
    let refused = requests.iter().find(|r| r["attributes"]["doorward.outcome"] == "refuse").unwrap();
    assert_eq!(refused["attributes"]["doorward.policies"], serde_json::json!(["not"]));

    // A caller's own trace: its header goes on to the cluster as it was, and our spans are under it.
    let request = of("request", "k8s").into_iter().find(|r| r["trace"] == TRACE).unwrap();
    let session = &of("session", "k8s")[0];
    assert_eq!((&request["parent"], &request["links"][0]), (&SPAN.into(), &session["trace"]));
    assert!(asked.lock().unwrap().iter().any(|(head, _)| head.contains(&format!("traceparent: 00-{TRACE}-{SPAN}-01"))));
    let call = spans.iter().find(|s| s["name"] == "GET /api/v1/secrets").unwrap();
    assert_eq!((&call["trace"], &call["parent"]), (&TRACE.into(), &SPAN.into()));
    assert_eq!(call["attributes"]["http.response.status_code"], 404);
}
