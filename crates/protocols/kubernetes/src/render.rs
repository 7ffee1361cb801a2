//! Refusals in the API's own words: `Status` (`metav1.Status`), which kubectl prints as `Error from server (…)`.
use doorward_enforce::{ApprovalRequest, Refusal, RefusalKind, Waiting};
use doorward_model::ApprovalId;
use serde_json::{Value, json};

/// An HTTP status, and the body that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status code (RFC 9110 §15).
    pub code: u16,
    /// A `Status`.
    pub body: Value,
}

/// An answer of the gateway's own. `reason`: a `StatusReason` of the API.
pub fn status(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    Answer { code, body }
}

/// A refusal.
pub fn refusal(refusal: &Refusal) -> Answer {
    let (code, reason) = match refusal.kind {
        RefusalKind::Policy
        | RefusalKind::PolicyError
        | RefusalKind::NotUnderstood
        | RefusalKind::Denied
        | RefusalKind::Withdrawn => (403, "Forbidden"),
        RefusalKind::Expired => (504, "Timeout"),
        RefusalKind::Unavailable => (503, "ServiceUnavailable"),
    };
    let mut message = format!("doorward: {}", refusal.message);
    // kubectl shows no details: what an approver said belongs into the message.
    if let (RefusalKind::Denied, Some(detail)) = (refusal.kind, &refusal.detail) {
        message.push_str(&format!(": {detail}"));
    }
    if let Some(hint) = &refusal.hint {
        message.push_str(&format!(" ({hint})"));
    }
    let mut answer = status(code, reason, &message);
    if let (Some(detail), Some(body)) = (&refusal.detail, answer.body.as_object_mut()) {
        let causes = json!({ "causes": [{ "reason": "Doorward", "message": detail }] });
        body.insert("details".to_owned(), causes);
    }
    answer
}

/// A line for standard error: the request waits.
pub fn held(approval: &ApprovalRequest, link: &str, minutes: u64) -> String {
    let why = approval.requirements.iter().find_map(|r| r.reason.clone());
    let mut all = vec![format!("held for approval by {} (at most {minutes} min)", approvers(approval))];
    all.extend(why.map(|why| format!("reason: {why}")));
    all.push(format!("approval {}: {link}", approval.id));
    all.iter().map(|line| format!("doorward: {}\n", plain(line))).collect()
}

/// The request waits, its caller need not: `Forbidden`, in one line, and for programs the approval's id as a cause.
pub fn ask_again(waiting: &Waiting, link: &str, minutes: u64) -> Answer {
    let approval = &waiting.approval;
    let why = approval.requirements.iter().find_map(|r| r.reason.as_ref()).map(|why| format!(": {why}"));
    let before = waiting.before.map(|id| format!("; approval {id} before it ended unused"));
    let message = format!(
        "doorward: {} is held for approval by {} (at most {minutes} min){}; approval {}: {link}{}; ask again, unchanged, \
         once it is approved",
        approval.facts.command,
        approvers(approval),
        why.unwrap_or_default(),
        approval.id,
        before.unwrap_or_default(),
    );
    let mut answer = status(403, "Forbidden", &plain(&message));
    if let Some(body) = answer.body.as_object_mut() {
        let cause = json!({ "reason": "DoorwardApproval", "message": approval.id.to_string() });
        body.insert("details".to_owned(), json!({ "causes": [cause] }));
    }
    answer
}

fn approvers(approval: &ApprovalRequest) -> String {
    let who: Vec<String> = approval.requirements.iter().map(|r| r.groups.join(" or ")).collect();
    who.join(" and ")
}

/// A text that stays in its line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A path, query or method that means nothing.
pub fn malformed(what: &str) -> Answer {
    status(400, "BadRequest", &format!("doorward: refused: {what}"))
}

/// There is no room now: clients of Kubernetes try again by themselves.
pub fn busy(why: &str) -> Answer {
    let mut answer = status(429, "TooManyRequests", &format!("doorward: {why}; try again"));
    if let Some(body) = answer.body.as_object_mut() {
        body.insert("details".to_owned(), json!({ "retryAfterSeconds": 1 }));
    }
    answer
}

/// The token is missing, or was not accepted.
pub fn unauthorized(message: &str) -> Answer {
    status(401, "Unauthorized", &format!("doorward: {message}"))
}

/// The text of a `Warning` header (RFC 9111 §5.5) that tells of an approval: kubectl prints it.
pub fn approved(approval: ApprovalId) -> String {
    format!("299 - \"doorward: approved ({approval})\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_again_is_told_in_one_line() {
        use doorward_enforce::Requirement;
        use doorward_model::{ConnectionName, Facts, Principal, PrincipalKind, RequestId, Timestamp};
        use std::sync::Arc;
        let id = "00000000-0000-0000-0000-000000000007";
        let need = |policy: &str, groups: &[&str], reason: Option<&str>| Requirement {
            policy: policy.into(),
            reason: reason.map(str::to_owned),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            quorum: 1,
            escalation: None,
            break_glass: vec![],
        };
        let approval = ApprovalRequest {
            id: id.parse().unwrap(),
            session: id.parse().unwrap(),
            request: RequestId(1),
            principal: Principal {
                kind: PrincipalKind::Agent,
                issuer: "dev".into(),
                subject: "bot".into(),
                groups: [].into(),
                tags: [].into(),
                token_id: None,
                expires_at: Timestamp::from_secs(0),
                on_behalf_of: None,
            },
            connection: ConnectionName::new("k8s"),
            statement: "delete pods a/b".into(),
            shown: Default::default(),
            facts: Arc::new(Facts::new("delete", 1, Vec::new())),
            digest: String::new(),
            requirements: vec![need("a", &["sre", "dba"], Some("two\nlines")), need("b", &["leads"], None)],
            asked: Timestamp::from_secs(0),
            expires: Timestamp::from_secs(900),
            waits: true,
        };
        let waiting = Waiting { approval: Arc::new(approval), is_new: true, before: None };
        let answer = ask_again(&waiting, "https://g/approvals/7", 15);
        assert_eq!((answer.code, answer.body["reason"].as_str()), (403, Some("Forbidden")));
        assert_eq!(
            answer.body["message"],
            format!(
                "doorward: delete is held for approval by sre or dba and leads (at most 15 min): two\u{fffd}lines; approval {id}: \
                 https://g/approvals/7; ask again, unchanged, once it is approved"
            )
        );
        assert_eq!(answer.body["details"]["causes"][0]["message"], id);
        let waiting = Waiting { before: Some(id.parse().unwrap()), ..waiting };
        let told = ask_again(&waiting, "x", 15).body["message"].as_str().unwrap().to_owned();
        assert!(told.contains("; approval 00000000-0000-0000-0000-000000000007 before it ended unused; ask"), "{told}");
    }

    #[test]
    fn refusals_are_statuses() {
        let refused = Refusal {
            kind: RefusalKind::Policy,
            message: "exec refused by policy `no-prod`: not here".into(),
            detail: Some("it asks for exec on Pod `a/pods/x`".into()),
            hint: None,
        };
        let answer = refusal(&refused);
        assert_eq!((answer.code, answer.body["reason"].as_str()), (403, Some("Forbidden")));
        assert_eq!(answer.body["message"], "doorward: exec refused by policy `no-prod`: not here");
        assert_eq!(answer.body["details"]["causes"][0]["message"], "it asks for exec on Pod `a/pods/x`");
    }
}
