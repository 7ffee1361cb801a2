//! `ExportLogsServiceRequest` in the JSON encoding of OTLP 1.x (opentelemetry-proto, `logs/v1/logs.proto`).
use crate::format::Item;
use serde_json::{Value, json};

/// One request with all items.
pub(crate) fn request(host: &str, items: &[Item]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let records: Vec<Value> = items.iter().map(record).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": [
            text("service.name", "doorward"), text("service.version", version), text("host.name", host),
        ] },
        "scopeLogs": [{ "scope": { "name": "doorward.audit", "version": version }, "logRecords": records }],
    }] })
}

fn record(item: &Item) -> Value {
    let (number, name) = item.severity.otlp();
    let nanos = item.time.as_micros().saturating_mul(1000).to_string();
    let mut attributes = vec![
        text("event.name", &format!("doorward.{}", item.kind)),
        // 64-bit integers are strings in this encoding.
        json!({ "key": "doorward.audit.seq", "value": { "intValue": item.seq.to_string() } }),
    ];
    if let Some(session) = item.session {
        attributes.push(text("session.id", &session.to_string()));
    }
    let body = serde_json::from_str(&item.text).map_or_else(|_| json!({ "stringValue": item.text }), |v| any(&v));
    json!({
        "timeUnixNano": nanos, "observedTimeUnixNano": nanos,
        "severityNumber": number, "severityText": name,
        "eventName": format!("doorward.{}", item.kind),
        "body": body, "attributes": attributes,
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// JSON as an `AnyValue`.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(b) => json!({ "boolValue": b }),
        Value::Number(n) => match n.as_i64() {
            Some(i) => json!({ "intValue": i.to_string() }),
            None => json!({ "doubleValue": n.as_f64() }),
        },
        Value::String(s) => json!({ "stringValue": s }),
        Value::Array(list) => json!({ "arrayValue": { "values": list.iter().map(any).collect::<Vec<_>>() } }),
        Value::Object(map) => {
            let values: Vec<Value> = map.iter().map(|(k, v)| json!({ "key": k, "value": any(v) })).collect();
            json!({ "kvlistValue": { "values": values } })
        }
    }
}
