//! Requests and what came of them.
use super::{
    Access, Action, Attributes, AuditKind, Class, Facts, Family, Outcome, Resource, View, class, control, family,
    success, who_and_where,
};
use serde_json::{Value, json};

/// So many resources and policies of one request are listed; all are in `unmapped`.
const MOST: usize = 64;

/// A request was decided.
pub(super) fn decided(view: &View<'_>, kind: &AuditKind, out: &mut Attributes) -> Class {
    let AuditKind::Request {
        request,
        outcome,
        statement,
        digest,
        facts,
        policies,
        policy_version,
        reason,
        approval,
        ..
    } = kind
    else {
        return class(6003, "API Activity", 0, "Unknown");
    };
    who_and_where(view, out);
    match outcome {
        Outcome::Forward => {
            success(out, true);
            let waited = approval.is_some();
            control(out, if waited { (1, "Allowed", 8, "Approved") } else { (1, "Allowed", 1, "Allowed") });
        }
        Outcome::Hold => {
            out.insert("status_id".into(), json!(99));
            out.insert("status".into(), json!("Held"));
            control(out, (99, "Held", 14, "Delayed"));
        }
        Outcome::Refuse => {
            success(out, false);
            control(out, (2, "Denied", 2, "Blocked"));
        }
    }
    if let Some(why) = reason {
        out.insert("status_detail".into(), json!(why));
    }
    let decision = if *outcome == Outcome::Forward { "allow" } else { "deny" };
    let named = policies
        .iter()
        .take(MOST)
        .map(|p| json!({ "decision": decision, "policy": { "name": p, "version": &**policy_version } }));
    out.insert("authorizations".into(), named.collect());
    match family(view) {
        Family::Database => {
            database(view, facts, out);
            out.insert("query_info".into(), json!({ "query_string": &**statement, "uid": digest }));
            let (activity, name) = datastore_activity(facts);
            class(6005, "Datastore Activity", activity, name)
        }
        Family::Shell => ssh(*outcome),
        Family::Cluster | Family::Unknown => {
            let call = json!({
                "operation": &*facts.command,
                "request": { "uid": request.0.to_string(), "data": { "text": &**statement, "digest": digest } },
                "service": { "name": view.connection().unwrap_or("unknown") },
            });
            out.insert("api".into(), call);
            out.insert("resources".into(), resources(facts));
            let (activity, name) = api_activity(facts);
            class(6003, "API Activity", activity, name)
        }
    }
}

/// The upstream has answered one.
pub(super) fn completed(view: &View<'_>, kind: &AuditKind, out: &mut Attributes) -> Class {
    let AuditKind::Completed { request, result, rows, masked } = kind else {
        return class(6003, "API Activity", 0, "Unknown");
    };
    who_and_where(view, out);
    out.insert("status_code".into(), json!(result));
    let masks = *masked > 0;
    control(out, if masks { (4, "Modified", 11, "Corrected") } else { (1, "Allowed", 1, "Allowed") });
    match family(view) {
        Family::Database => {
            let name = view.connection().unwrap_or("unknown");
            out.insert("database".into(), json!({ "name": name, "type_id": 1, "type": "Relational" }));
            class(6005, "Datastore Activity", 99, "Completed")
        }
        Family::Shell => class(4007, "SSH Activity", 99, "Completed"),
        Family::Cluster | Family::Unknown => {
            let call = json!({
                "operation": "completed",
                "request": { "uid": request.0.to_string() },
                "response": { "message": result, "data": { "rows": rows, "masked": masked } },
                "service": { "name": view.connection().unwrap_or("unknown") },
            });
            out.insert("api".into(), call);
            class(6003, "API Activity", 99, "Completed")
        }
    }
}

const fn ssh(outcome: Outcome) -> Class {
    match outcome {
        Outcome::Forward => class(4007, "SSH Activity", 6, "Traffic"),
        Outcome::Hold => class(4007, "SSH Activity", 99, "Hold"),
        Outcome::Refuse => class(4007, "SSH Activity", 5, "Refuse"),
    }
}

fn database(view: &View<'_>, facts: &Facts, out: &mut Attributes) {
    let named = facts.accesses.iter().find_map(|a| {
        let Resource::Database { name } = &a.resource else { return None };
        Some(&**name)
    });
    let name = named.or_else(|| view.connection()).unwrap_or("unknown");
    out.insert("database".into(), json!({ "name": name, "type_id": 1, "type": "Relational" }));
    let table = facts.accesses.iter().find(|a| matches!(a.resource, Resource::Table { .. }));
    if let Some(table) = table {
        out.insert("table".into(), json!({ "name": table.resource.local_id() }));
    }
    out.insert("type_id".into(), json!(1));
}

fn resources(facts: &Facts) -> Value {
    let of = |a: &Access| {
        let id = a.resource.local_id();
        let kind = a.resource.entity_type();
        json!({ "name": if id.is_empty() { kind } else { &id }, "type": kind })
    };
    facts.accesses.iter().take(MOST).map(of).collect()
}

fn has(facts: &Facts, actions: &[Action]) -> bool {
    facts.accesses.iter().any(|a| actions.contains(&a.action))
}

/// A statement may do several things: the gravest names it.
fn datastore_activity(facts: &Facts) -> (u32, &'static str) {
    if has(facts, &[Action::Delete, Action::Truncate, Action::Drop]) {
        (7, "Delete")
    } else if has(facts, &[Action::Create]) {
        (6, "Create")
    } else if has(facts, &[Action::Update, Action::Alter, Action::Grant, Action::Configure]) {
        (2, "Update")
    } else if has(facts, &[Action::Insert]) {
        (5, "Write")
    } else if has(facts, &[Action::Select]) {
        (4, "Query")
    } else if facts.accesses.iter().all(|a| a.action == Action::Connect) {
        (3, "Connect")
    } else {
        (99, "Other")
    }
}

fn api_activity(facts: &Facts) -> (u32, &'static str) {
    if has(facts, &[Action::Delete, Action::DeleteCollection, Action::Evict]) {
        (4, "Delete")
    } else if has(facts, &[Action::Create]) {
        (1, "Create")
    } else if has(facts, &[Action::Update, Action::Patch, Action::Scale, Action::Bind, Action::Escalate]) {
        (3, "Update")
    } else if has(facts, &[Action::Get, Action::List, Action::Watch, Action::Log]) {
        (2, "Read")
    } else {
        (99, "Other")
    }
}
