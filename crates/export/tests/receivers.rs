//! HTTP sinks against receivers of the test's own that speak the documented interface, and say no when they should.
//! Splunk itself is not to be had here: the collector below follows its documentation.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod common;
use axum::{
    Router,
    body::Bytes,
    extract::State as Shared,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{World, export, until};
use doorward_export::{Format, State, Target, TlsFiles};
use doorward_model::Secret;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

type Answer = fn(&[Call], &Call) -> Response;

#[derive(Clone)]
struct Call {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
    fn lines(&self) -> Vec<Value> {
        self.body.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
    }
}

#[derive(Clone)]
struct Receiver {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    async fn start(answer: Answer) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let handler = move |Shared(calls): Shared<Arc<Mutex<Vec<Call>>>>, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let call = Call { path: uri.to_string(), headers, body: body.to_vec() };
            let mut calls = calls.lock();
            let answer = answer(&calls, &call);
            calls.push(call);
            answer
        };
        let app = Router::new().fallback(handler).with_state(Arc::clone(&calls));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, calls }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }
}

fn ok(_: &[Call], _: &Call) -> Response {
    StatusCode::OK.into_response()
}

fn secret() -> Secret<String> {
    Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_are_signed() {
    let w = World::new().await;
    let r = Receiver::start(ok).await;
    let target = Target::Http { url: format!("{}/in?x=1", r.url), secret: Some(secret()), tls: TlsFiles::default() };
    let exporters = w.start(vec![export("hook", target, Format::Json)]).await;
    let n = w.traffic(1, 1500);
    until(&exporters, |s| s[0].acknowledged == n as u64).await;
    let calls = r.calls();
    let lines: usize = calls.iter().map(|c| c.lines().len()).sum();
    assert_eq!(lines, n);
    assert!(calls.len() >= 2, "batches have at most a thousand entries");
    let key = aws_lc_rs::hmac::Key::new(
        aws_lc_rs::hmac::HMAC_SHA256,
        &STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
    );
    for c in &calls {
        assert_eq!(c.path, "/in?x=1");
        let mut signed = format!("{}.{}.", c.header("webhook-id"), c.header("webhook-timestamp")).into_bytes();
        signed.extend(&c.body);
        let signature = STANDARD.decode(c.header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        aws_lc_rs::hmac::verify(&key, &signed, &signature).unwrap();
        let first = c.lines()[0]["seq"].as_u64().unwrap();
        assert!(c.header("webhook-id").starts_with(&format!("hook-{first}-")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_is_sent_again_and_no_payload_shows() {
    fn moody(calls: &[Call], _: &Call) -> Response {
        match calls.len() {
            0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
            2 => (StatusCode::FOUND, [("location", "http://192.0.2.1/elsewhere")]).into_response(),
            3 => (StatusCode::BAD_REQUEST, "select 1 is not wanted").into_response(),
            _ => StatusCode::NO_CONTENT.into_response(),
        }
    }
    let w = World::new().await;
    let r = Receiver::start(moody).await;
    let target = Target::Http { url: r.url.clone(), secret: None, tls: TlsFiles::default() };
    let exporters = w.start(vec![export("hook", target, Format::Json)]).await;
    w.append(&common::opened(1, "orders"));
    let s = until(&exporters, |s| s[0].failures == 4 || s[0].acknowledged == 1).await;
    assert!(s[0].acknowledged == 1 || s[0].state == State::Retrying);
    let s = until(&exporters, |s| s[0].acknowledged == 1).await;
    let why = s[0].last_error.clone().unwrap().1;
    assert!(why.contains("answered 400") && !why.contains("select"), "{why}");
    let calls = r.calls();
    assert_eq!(calls.len(), 5);
    assert!(calls.iter().all(|c| c.body == calls[0].body && c.header("webhook-id") == calls[0].header("webhook-id")));
}

#[tokio::test(flavor = "multi_thread")]
async fn splunk_has_it_when_the_indexers_say_so() {
    fn collector(calls: &[Call], c: &Call) -> Response {
        assert_eq!(c.header("authorization"), "Splunk hec-token");
        if c.path.starts_with("/services/collector/ack?channel=") {
            let asked = calls.iter().filter(|c| c.path.contains("/ack")).count();
            let id = c.lines()[0]["acks"][0].as_u64().unwrap();
            return axum::Json(json!({ "acks": { id.to_string(): asked > 0 } })).into_response();
        }
        assert_eq!(c.path, "/services/collector/event");
        let posts = calls.iter().filter(|c| !c.path.contains("/ack")).count();
        if posts == 0 {
            return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({ "text": "Server is busy", "code": 9 })))
                .into_response();
        }
        axum::Json(json!({ "text": "Success", "code": 0, "ackId": posts })).into_response()
    }
    let w = World::new().await;
    let r = Receiver::start(collector).await;
    let target = |acknowledge| Target::SplunkHec {
        url: r.url.clone(),
        token: Secret::new("hec-token".to_owned()),
        acknowledge,
        index: Some("audit".to_owned()),
        tls: TlsFiles::default(),
    };
    let exporters = w.start(vec![export("splunk", target(true), Format::Ocsf)]).await;
    let n = w.traffic(1, 20);
    let s = until(&exporters, |s| s[0].acknowledged == n as u64).await;
    assert!(s[0].last_error.clone().unwrap().1.contains("answered 503"));
    let calls = r.calls();
    let asked: Vec<&Call> = calls.iter().filter(|c| c.path.contains("/ack")).collect();
    assert!(asked.len() >= 2 && asked[0].path.contains(asked[0].header("x-splunk-request-channel")));
    let events: Vec<Value> = calls.iter().filter(|c| !c.path.contains("/ack")).skip(1).flat_map(Call::lines).collect();
    let seqs: BTreeSet<u64> = events.iter().map(|e| e["fields"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs.len(), n);
    let e = &events[0];
    assert_eq!(
        (&e["index"], &e["sourcetype"], &e["event"]["class_uid"]),
        (&"audit".into(), &"doorward:audit".into(), &4001.into())
    );
    assert!(e["time"].as_str().unwrap().parse::<f64>().unwrap() > 1e9);
    exporters.stop(Duration::from_secs(5)).await;

    // A token without acknowledgements is a mistake that shows, not a batch that counts.
    let r = Receiver::start(|_, _| axum::Json(json!({ "text": "Success", "code": 0 })).into_response()).await;
    let target = Target::SplunkHec {
        url: r.url.clone(),
        token: Secret::new("t".to_owned()),
        acknowledge: true,
        index: None,
        tls: TlsFiles::default(),
    };
    let exporters = w.start(vec![export("no acks", target, Format::Json)]).await;
    let s = until(&exporters, |s| s[0].failures > 0).await;
    assert_eq!(s[0].acknowledged, 0);
    assert!(s[0].last_error.clone().unwrap().1.contains("ackId"));
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_reads_its_own_types() {
    fn collector(calls: &[Call], c: &Call) -> Response {
        assert_eq!((c.path.as_str(), c.header("content-type")), ("/v1/logs", "application/json"));
        assert_eq!(c.header("authorization"), "Bearer otlp-token");
        let rejected =
            if calls.is_empty() { json!({ "partialSuccess": { "rejectedLogRecords": "2" } }) } else { json!({}) };
        axum::Json(rejected).into_response()
    }
    let w = World::new().await;
    let r = Receiver::start(collector).await;
    let token = Some(Secret::new("otlp-token".to_owned()));
    let target = Target::Otlp { url: r.url.clone(), token, tls: TlsFiles::default() };
    let exporters = w.start(vec![export("otel", target, Format::Json)]).await;
    let events = common::every_kind();
    for event in &events {
        w.append(event);
    }
    let s = until(&exporters, |s| s[0].acknowledged == events.len() as u64).await;
    assert_eq!(s[0].rejected, 2);
    assert!(s[0].last_error.clone().unwrap().1.contains("refuses to keep 2"));
    let file = w.path("requests");
    let bodies: Vec<String> = r.calls().into_iter().map(|c| String::from_utf8(c.body).unwrap()).collect();
    fs::write(&file, bodies.join("\n")).unwrap();
    let python = doorward_testkit::cache_dir().join("venv-siem/bin/python");
    let script = doorward_testkit::repo_root().join("e2e/clients/siem-python/check.py");
    let run = std::process::Command::new(python).arg(script).arg("otlp").arg(&file).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let read: Vec<Value> =
        String::from_utf8(run.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(read.len(), events.len());
    assert!(read.iter().all(|r| r["service"] == "doorward" && r["time"].as_u64().unwrap() > 1_700_000_000_000_000_000));
    assert!(read.iter().any(|r| r["event"] == "doorward.request" && r["severity"] == 13));
    assert!(read.iter().all(|r| r["body"].as_array().unwrap().contains(&"entry".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_holds_up_nobody() {
    let w = World::new().await;
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let target = Target::Http { url, secret: None, tls: TlsFiles::default() };
    let pace = doorward_export::Pace { send_limit: Duration::from_millis(300), ..common::pace() };
    let configs = vec![export("deaf", target, Format::Json), common::to_file("file", &w.path("out"))];
    let exporters = doorward_export::Exporters::start(&w.source(), configs, &pace).await.unwrap();
    let n = w.traffic(1, 100);
    let s = until(&exporters, |s| s[1].acknowledged == n as u64 && s[0].failures > 1).await;
    assert!(s[0].last_error.clone().unwrap().1.contains("no acknowledgement within"), "{s:?}");
    assert_eq!(s[0].acknowledged, 0);
    // Ending does not wait for it.
    let begun = std::time::Instant::now();
    exporters.stop(Duration::from_millis(500)).await;
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_goes_in_parts() {
    fn small(_: &[Call], c: &Call) -> Response {
        let many = c.lines().len() > 100;
        (if many { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::OK }).into_response()
    }
    let w = World::new().await;
    let r = Receiver::start(small).await;
    let n = w.traffic(1, 900);
    let target = Target::Http { url: r.url.clone(), secret: None, tls: TlsFiles::default() };
    let exporters = w.start(vec![export("hook", target, Format::Json)]).await;
    until(&exporters, |s| s[0].acknowledged == n as u64).await;
    let taken = r.calls().into_iter().filter(|c| c.lines().len() <= 100);
    let seqs: BTreeSet<u64> = taken.flat_map(|c| c.lines()).map(|l| l["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs.len(), n);
}
