//! ArcSight Common Event Format, version 0 (Micro Focus, "Implementing ArcSight Common Event Format", version 26).
use crate::{
    describe,
    format::{View, rfc3339},
};
use doorward_model::AuditKind;
use std::{fmt::Write as _, net::SocketAddr};

/// Custom strings have 4000 characters at most.
const LONGEST: usize = 4000;

/// `CEF:0|vendor|product|version|class|name|severity|key=value …` on one line.
pub(crate) fn line(view: &View<'_>) -> String {
    let event = &view.entry.event;
    let kind = event.kind.name();
    let mut out = format!(
        "CEF:0|Doorward|Doorward|{}|{kind}|{}|{}|",
        env!("CARGO_PKG_VERSION"),
        header(&kind.replace('_', " ")),
        describe::severity(&event.kind).cef()
    );
    let mut ext = Extension { out: &mut out, first: true };
    ext.put("rt", &event.time.as_micros().checked_div(1000).unwrap_or_default().to_string());
    ext.put("externalId", &view.entry.seq.to_string());
    ext.put("msg", &describe::message(&event.kind));
    if let Some(session) = event.session {
        ext.custom(1, "session", &session.to_string());
    }
    if let Some(who) = view.principal() {
        ext.put("suser", &who);
    }
    if let Some(connection) = view.connection() {
        ext.put("destinationServiceName", connection);
    }
    if let Some(kind) = view.known.and_then(|k| k.kind.as_deref()) {
        ext.put("app", kind);
    }
    if let Some(client) = view.known.and_then(|k| k.client.as_deref()) {
        match client.parse::<SocketAddr>() {
            Ok(address) => {
                ext.put(if address.is_ipv4() { "src" } else { "c6a2" }, &address.ip().to_string());
                if address.is_ipv6() {
                    ext.put("c6a2Label", "source address");
                }
                ext.put("spt", &address.port().to_string());
            }
            Err(_) => ext.put("shost", client),
        }
    }
    of_kind(&mut ext, &event.kind);
    out
}

fn of_kind(ext: &mut Extension<'_>, kind: &AuditKind) {
    match kind {
        AuditKind::GatewayStarted { version, policy_version } => {
            ext.put("deviceProcessName", "doorward");
            ext.custom(2, "version", version);
            ext.custom(6, "policyVersion", policy_version);
        }
        AuditKind::GatewayStopped {} => ext.put("deviceProcessName", "doorward"),
        AuditKind::SessionOpened { .. } => {}
        AuditKind::Authenticated { user, by, .. } => {
            ext.put("outcome", "success");
            ext.put("duser", user);
            by.iter().for_each(|by| ext.custom(2, "by", by));
        }
        AuditKind::AuthenticationFailed { user, reason } => {
            ext.put("outcome", "failure");
            ext.put("duser", user);
            ext.put("reason", reason);
        }
        AuditKind::SessionEnded { reason, client_bytes, upstream_bytes } => {
            ext.put("reason", reason);
            ext.put("in", &client_bytes.to_string());
            ext.put("out", &upstream_bytes.to_string());
        }
        AuditKind::Request { .. } => request(ext, kind),
        AuditKind::Completed { request, result, rows, masked } => {
            ext.put("outcome", result);
            ext.number(1, "request", request.0);
            ext.number(2, "rows", *rows);
            ext.number(3, "masked", *masked);
        }
        AuditKind::FileCopied { path, direction, bytes, sha256 } => {
            ext.put("act", direction);
            ext.put("filePath", path);
            ext.put("fsize", &bytes.to_string());
            sha256.iter().for_each(|hash| ext.put("fileHash", hash));
        }
        AuditKind::ApprovalRequested { approval, request, approvers, expires } => {
            ext.custom(5, "approval", &approval.to_string());
            ext.number(1, "request", request.0);
            let approvers: Vec<String> = approvers.iter().map(|any| any.join(" or ")).collect();
            ext.custom(2, "approvers", &approvers.join(" and "));
            ext.put("end", &rfc3339(*expires));
        }
        AuditKind::ApprovalDecided { approval, approved, by, comment, break_glass, via } => {
            if *break_glass {
                ext.put("reason", "glass broken");
            }
            ext.custom(5, "approval", &approval.to_string());
            ext.put("outcome", if *approved { "approved" } else { "denied" });
            ext.put("suser", by);
            ext.custom(2, "comment", comment);
            if let Some(via) = via {
                ext.custom(3, "via", &via.to_string());
            }
        }
        AuditKind::ApprovalEscalated { approval, groups } => {
            ext.custom(5, "approval", &approval.to_string());
            ext.put("reason", &groups.join(", "));
        }
        AuditKind::ApprovalEnded { approval, reason } => {
            ext.custom(5, "approval", &approval.to_string());
            ext.put("reason", reason);
        }
        AuditKind::Fault { at_fault, what } => {
            ext.custom(2, "atFault", at_fault);
            ext.put("reason", what);
        }
        AuditKind::Cancel { known } => ext.put("outcome", if *known { "success" } else { "failure" }),
        AuditKind::PolicyChanged { policy_version, refused } => {
            ext.custom(6, "policyVersion", policy_version);
            ext.put("outcome", if refused.is_some() { "failure" } else { "success" });
            refused.iter().for_each(|why| ext.put("reason", why));
        }
        AuditKind::Administration { by, what } => {
            ext.put("suser", by);
            ext.put("act", what);
        }
    }
}

fn request(ext: &mut Extension<'_>, kind: &AuditKind) {
    let AuditKind::Request {
        request,
        outcome,
        via,
        statement,
        digest,
        facts,
        policies,
        policy_version,
        reason,
        approval,
    } = kind
    else {
        return;
    };
    ext.put("act", describe::outcome(*outcome));
    ext.put("requestMethod", &facts.command);
    ext.put("requestContext", via);
    ext.number(1, "request", request.0);
    ext.custom(2, "statement", statement);
    ext.custom(3, "policies", &policies.join(" "));
    ext.custom(4, "digest", digest);
    approval.iter().for_each(|id| ext.custom(5, "approval", &id.to_string()));
    ext.custom(6, "policyVersion", policy_version);
    reason.iter().for_each(|why| ext.put("reason", why));
}

struct Extension<'a> {
    out: &'a mut String,
    first: bool,
}

impl Extension<'_> {
    fn put(&mut self, key: &str, value: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(' ');
        }
        // Writing to a String does not fail.
        let _ = write!(self.out, "{key}=");
        for c in value.chars().take(LONGEST) {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '=' => self.out.push_str("\\="),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                // Nothing else that could end a line or a frame somewhere.
                c if c.is_control() => self.out.push(' '),
                c => self.out.push(c),
            }
        }
    }

    fn custom(&mut self, number: u8, label: &str, value: &str) {
        self.put(&format!("cs{number}Label"), label);
        self.put(&format!("cs{number}"), value);
    }

    fn number(&mut self, number: u8, label: &str, value: u64) {
        self.put(&format!("cn{number}Label"), label);
        self.put(&format!("cn{number}"), &value.to_string());
    }
}

fn header(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}
