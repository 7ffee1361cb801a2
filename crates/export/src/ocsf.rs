//! Open Cybersecurity Schema Framework 1.5.0: which class an entry is, and its attributes.
//!
//! | entry | class | why |
//! |---|---|---|
//! | session opened, ended, cancel | Network Activity (4001); SSH Activity (4007) on SSH | a client's connection, before and whoever it belongs to |
//! | authenticated, failed | Authentication (3002) | |
//! | request, completed on databases | Datastore Activity (6005) | a query with its database |
//! | … on Kubernetes, and of unknown kind | API Activity (6003) | an operation of an API on resources |
//! | … on SSH | SSH Activity (4007) | the only class of SSH; the host's own processes are not ours to report |
//! | file copied | File Hosting Activity (6006) | an upload or download with its hash |
//! | approval …, policy changed, administration | Entity Management (3004) | something managed is created, changed, ended |
//! | gateway started, stopped | Application Lifecycle (6002) | |
//! | fault | Application Error (6008) | |
//!
//! The actor of what an agent does for a person is the person (`user`) through the agent (`app_uid`, `app_name`).
//!
//! The entry as the log has it is in `unmapped`, whole.
use crate::{describe, format::View};
use doorward_model::{Access, Action, AuditKind, AuditOutcome as Outcome, Facts, Principal, PrincipalKind, Resource};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

mod request;

/// The version of the schema.
pub(crate) const VERSION: &str = "1.5.0";

type Attributes = Map<String, Value>;

/// A class with what is done in it.
struct Class {
    uid: u32,
    name: &'static str,
    activity: u32,
    activity_name: &'static str,
}

const fn class(uid: u32, name: &'static str, activity: u32, activity_name: &'static str) -> Class {
    Class { uid, name, activity, activity_name }
}

/// What kind of upstream a session leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Database,
    Cluster,
    Shell,
    Unknown,
}

fn family(view: &View<'_>) -> Family {
    match view.known.and_then(|k| k.kind.as_deref()) {
        Some("postgres" | "mysql") => Family::Database,
        Some("kubernetes") => Family::Cluster,
        Some("ssh") => Family::Shell,
        Some(_) | None => Family::Unknown,
    }
}

/// The event.
pub(crate) fn event(view: &View<'_>) -> Value {
    let event = &view.entry.event;
    let mut out = Attributes::new();
    let class = of_kind(view, &event.kind, &mut out);
    let severity = describe::severity(&event.kind);
    let mut put = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    put("class_uid", json!(class.uid));
    put("class_name", json!(class.name));
    put("category_uid", json!(class.uid / 1000));
    put("activity_id", json!(class.activity));
    put("activity_name", json!(class.activity_name));
    put("type_uid", json!(u64::from(class.uid).saturating_mul(100).saturating_add(class.activity.into())));
    put("time", json!(event.time.as_micros() / 1000));
    put("severity_id", json!(severity.ocsf()));
    put("message", json!(describe::message(&event.kind)));
    put("metadata", metadata(view, class.uid));
    put("unmapped", serde_json::from_str(&view.entry.json).unwrap_or_default());
    Value::Object(out)
}

fn metadata(view: &View<'_>, class: u32) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    // Classes of network activity have an actor by the profile `host` only.
    let profiles = if class / 1000 == 4 { json!(["security_control", "host"]) } else { json!(["security_control"]) };
    let mut out = json!({
        "version": VERSION,
        "product": { "name": "Doorward", "vendor_name": "Doorward", "version": version },
        // One identifier for one entry, however often it is sent.
        "uid": format!("{}:{}", view.log, view.entry.seq),
        "sequence": view.entry.seq,
        "log_name": "audit",
        "event_code": view.entry.event.kind.name(),
        "profiles": profiles,
    });
    if let (Some(session), Some(map)) = (view.entry.event.session, out.as_object_mut()) {
        map.insert("correlation_uid".into(), json!(session.to_string()));
    }
    out
}

fn of_kind(view: &View<'_>, kind: &AuditKind, out: &mut Attributes) -> Class {
    match kind {
        AuditKind::GatewayStarted { version, .. } => {
            out.insert("app".into(), product(version));
            class(6002, "Application Lifecycle", 3, "Start")
        }
        AuditKind::GatewayStopped {} => {
            out.insert("app".into(), product(env!("CARGO_PKG_VERSION")));
            class(6002, "Application Lifecycle", 4, "Stop")
        }
        AuditKind::SessionOpened { .. } => network(view, out, 1, "Open"),
        AuditKind::SessionEnded { reason, client_bytes, upstream_bytes } => {
            let bytes = client_bytes.saturating_add(*upstream_bytes);
            let traffic = json!({ "bytes": bytes, "bytes_in": client_bytes, "bytes_out": upstream_bytes });
            out.insert("traffic".into(), traffic);
            out.insert("status_detail".into(), json!(reason));
            network(view, out, 2, "Close")
        }
        AuditKind::Cancel { .. } => network(view, out, 99, "Cancel"),
        AuditKind::Authenticated { principal, user, by } => {
            out.insert("user".into(), self::user(Some(principal.person().unwrap_or(principal))));
            if let Some(agent) = principal.parties() {
                out.insert("actor".into(), json!({ "app_uid": agent.actor, "app_name": principal.subject }));
            }
            let protocol = by.clone().unwrap_or_else(|| "OpenID Connect".to_owned());
            out.insert("auth_protocol_id".into(), json!(if by.is_some() { 99 } else { 4 }));
            out.insert("auth_protocol".into(), json!(protocol));
            logon(view, out, user, true)
        }
        AuditKind::AuthenticationFailed { user, reason } => {
            let name = if user.is_empty() { "unknown" } else { user };
            out.insert("user".into(), json!({ "name": name }));
            out.insert("status_detail".into(), json!(reason));
            logon(view, out, user, false)
        }
        AuditKind::Request { .. } => request::decided(view, kind, out),
        AuditKind::Completed { .. } => request::completed(view, kind, out),
        AuditKind::FileCopied { path, direction, bytes, sha256 } => {
            out.insert("file".into(), file(path, *bytes, sha256.as_deref()));
            who_and_where(view, out);
            match direction.as_str() {
                "uploaded" => class(6006, "File Hosting Activity", 1, "Upload"),
                "downloaded" => class(6006, "File Hosting Activity", 2, "Download"),
                _ => class(6006, "File Hosting Activity", 99, "Other"),
            }
        }
        AuditKind::Fault { .. } => class(6008, "Application Error", 1, "General Error"),
        AuditKind::ApprovalRequested { .. }
        | AuditKind::ApprovalDecided { .. }
        | AuditKind::ApprovalEscalated { .. }
        | AuditKind::ApprovalEnded { .. }
        | AuditKind::PolicyChanged { .. }
        | AuditKind::Administration { .. } => managed(view, kind, out),
    }
}

fn managed(view: &View<'_>, kind: &AuditKind, out: &mut Attributes) -> Class {
    const NAME: &str = "Entity Management";
    let approval =
        |id: &doorward_model::ApprovalId| json!({ "uid": id.to_string(), "type": "approval", "type_id": 99 });
    let (entity, class) = match kind {
        AuditKind::ApprovalRequested { approval: id, .. } => {
            out.insert("actor".into(), actor(view));
            (approval(id), class(3004, NAME, 1, "Create"))
        }
        AuditKind::ApprovalDecided { approval: id, approved, by, comment, via, .. } => {
            let mut user = json!({ "uid": by, "type": "User", "type_id": 1 });
            if let (Some(via), Some(user)) = (via, user.as_object_mut()) {
                user.insert("uid_alt".into(), json!(via.to_string()));
            }
            out.insert("actor".into(), json!({ "user": user }));
            out.insert("comment".into(), json!(comment));
            // What the person did succeeded, also where it was to say no.
            success(out, true);
            control(out, if *approved { (1, "Allowed", 8, "Approved") } else { (2, "Denied", 25, "Rejected") });
            (approval(id), class(3004, NAME, 3, "Update"))
        }
        AuditKind::ApprovalEscalated { approval: id, groups } => {
            out.insert("comment".into(), json!(format!("escalated to {}", groups.join(", "))));
            (approval(id), class(3004, NAME, 3, "Update"))
        }
        AuditKind::ApprovalEnded { approval: id, reason } => {
            out.insert("status_detail".into(), json!(reason));
            (approval(id), class(3004, NAME, 11, "Deactivate"))
        }
        AuditKind::PolicyChanged { policy_version, refused } => {
            success(out, refused.is_none());
            if let Some(why) = refused {
                out.insert("status_detail".into(), json!(why));
            }
            let entity = json!({ "name": "policies", "type": "Policy", "type_id": 5, "version": policy_version });
            (entity, class(3004, NAME, 3, "Update"))
        }
        AuditKind::Administration { by, what } => {
            out.insert("actor".into(), json!({ "user": { "uid": by } }));
            (json!({ "name": what, "type": "administration", "type_id": 99 }), class(3004, NAME, 99, "Administration"))
        }
        AuditKind::GatewayStarted { .. }
        | AuditKind::GatewayStopped {}
        | AuditKind::SessionOpened { .. }
        | AuditKind::Authenticated { .. }
        | AuditKind::AuthenticationFailed { .. }
        | AuditKind::SessionEnded { .. }
        | AuditKind::Request { .. }
        | AuditKind::Completed { .. }
        | AuditKind::FileCopied { .. }
        | AuditKind::Fault { .. }
        | AuditKind::Cancel { .. } => (json!({ "name": "unknown" }), class(3004, NAME, 0, "Unknown")),
    };
    out.insert("entity".into(), entity);
    class
}

fn network(view: &View<'_>, out: &mut Attributes, activity: u32, name: &'static str) -> Class {
    who_and_where(view, out);
    if family(view) == Family::Shell {
        class(4007, "SSH Activity", activity, name)
    } else {
        class(4001, "Network Activity", activity, name)
    }
}

fn logon(view: &View<'_>, out: &mut Attributes, login: &str, worked: bool) -> Class {
    out.insert("service".into(), json!({ "name": view.connection().unwrap_or("unknown") }));
    out.insert("src_endpoint".into(), source(view));
    out.insert("dst_endpoint".into(), destination(view));
    out.insert("is_remote".into(), json!(true));
    if let Some(Value::Object(user)) = out.get_mut("user")
        && !login.is_empty()
    {
        // The name that the caller gave to the upstream's protocol.
        user.insert("uid_alt".into(), json!(login));
    }
    success(out, worked);
    class(3002, "Authentication", 1, "Logon")
}

fn success(out: &mut Attributes, worked: bool) {
    out.insert("status_id".into(), json!(if worked { 1 } else { 2 }));
    out.insert("status".into(), json!(if worked { "Success" } else { "Failure" }));
}

/// Action and disposition of the profile `security_control`.
fn control(out: &mut Attributes, (action, name, disposition, said): (u32, &str, u32, &str)) {
    out.insert("action_id".into(), json!(action));
    out.insert("action".into(), json!(name));
    out.insert("disposition_id".into(), json!(disposition));
    out.insert("disposition".into(), json!(said));
}

fn who_and_where(view: &View<'_>, out: &mut Attributes) {
    out.insert("actor".into(), actor(view));
    out.insert("src_endpoint".into(), source(view));
    out.insert("dst_endpoint".into(), destination(view));
}

fn actor(view: &View<'_>) -> Value {
    let known = view.known.and_then(|k| k.principal.as_ref());
    // An application "in conjunction with the user": an agent that acts for a person.
    let mut out = match view.parties() {
        None => json!({ "user": user(known) }),
        Some(parties) => {
            let person = known.and_then(Principal::person);
            let user = person.map_or_else(|| json!({ "uid": parties.on_behalf_of }), |p| user(Some(p)));
            let name = known.map_or(parties.actor.as_str(), |p| p.subject.as_str());
            json!({ "user": user, "app_uid": parties.actor, "app_name": name })
        }
    };
    if let (Some(session), Some(map)) = (view.entry.event.session, out.as_object_mut()) {
        map.insert("session".into(), json!({ "uid": session.to_string(), "is_remote": true }));
    }
    out
}

fn user(principal: Option<&Principal>) -> Value {
    let Some(p) = principal else { return json!({ "name": "unknown", "type_id": 0, "type": "Unknown" }) };
    let (type_id, kind) = match p.kind {
        PrincipalKind::Agent => (99, "Agent"),
        PrincipalKind::User => (1, "User"),
    };
    let groups: Vec<Value> = p.groups.iter().map(|g| json!({ "name": g })).collect();
    json!({
        "uid": p.id(), "name": p.subject, "domain": p.issuer, "type_id": type_id, "type": kind, "groups": groups,
    })
}

fn source(view: &View<'_>) -> Value {
    match view.known.and_then(|k| k.client.as_deref()) {
        Some(client) => match client.parse::<SocketAddr>() {
            Ok(address) => json!({ "ip": address.ip().to_string(), "port": address.port() }),
            Err(_) => json!({ "name": client }),
        },
        None => json!({ "name": "unknown" }),
    }
}

fn destination(view: &View<'_>) -> Value {
    let name = view.connection().unwrap_or("unknown");
    json!({ "name": name, "svc_name": name })
}

fn product(version: &str) -> Value {
    json!({ "name": "Doorward", "vendor_name": "Doorward", "version": version })
}

fn file(path: &str, bytes: u64, sha256: Option<&str>) -> Value {
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/");
    let mut out = json!({ "name": name, "path": path, "size": bytes, "type_id": 0 });
    if let (Some(hash), Some(map)) = (sha256, out.as_object_mut()) {
        map.insert("hashes".into(), json!([{ "algorithm": "SHA-256", "algorithm_id": 3, "value": hash }]));
    }
    out
}
