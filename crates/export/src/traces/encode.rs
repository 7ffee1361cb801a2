//! `ExportTraceServiceRequest` in the JSON encoding of OTLP 1.x (opentelemetry-proto, `trace/v1/trace.proto`).
use super::spans::{Kind, Span, Value as Attribute};
use doorward_model::Timestamp;
use serde_json::{Value, json};

/// One request with all spans.
pub(super) fn request(host: &str, spans: &[Span]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "doorward"), text("service.version", version), text("host.name", host),
        ] },
        "scopeSpans": [{ "scope": { "name": "doorward", "version": version }, "spans": spans }],
    }] })
}

fn nanos(time: Timestamp) -> String {
    time.as_micros().saturating_mul(1000).to_string()
}

fn span(s: &Span) -> Value {
    let kind = match s.kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
    };
    let attributes: Vec<Value> =
        s.attributes.iter().map(|(key, value)| json!({ "key": key, "value": attribute(value) })).collect();
    let events: Vec<Value> =
        s.events.iter().map(|(at, name)| json!({ "timeUnixNano": nanos(*at), "name": name })).collect();
    let links: Vec<Value> =
        s.link.iter().map(|l| json!({ "traceId": hex(&l.trace), "spanId": hex(&l.span) })).collect();
    json!({
        "traceId": hex(&s.place.trace), "spanId": hex(&s.place.span),
        "parentSpanId": s.parent.map(|p| hex(&p)).unwrap_or_default(),
        "name": s.name, "kind": kind,
        "startTimeUnixNano": nanos(s.begin), "endTimeUnixNano": nanos(s.end.max(s.begin)),
        "attributes": attributes, "events": events, "links": links,
        "status": if s.is_error { json!({ "code": 2 }) } else { json!({}) },
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn attribute(value: &Attribute) -> Value {
    match value {
        Attribute::Text(text) => json!({ "stringValue": text }),
        // 64-bit integers are strings in this encoding.
        Attribute::Number(n) => json!({ "intValue": n.to_string() }),
        Attribute::Texts(all) => {
            let all: Vec<Value> = all.iter().map(|t| json!({ "stringValue": t })).collect();
            json!({ "arrayValue": { "values": all } })
        }
    }
}
