//! Refusals in the API's own words: `Status` (`metav1.Status`), which kubectl prints as `Error from server (…)`.
use doorward_enforce::{ApprovalRequest, Refusal, RefusalKind};
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
    let who: Vec<String> = approval.requirements.iter().map(|r| r.groups.join(" or ")).collect();
    let why = approval.requirements.iter().find_map(|r| r.reason.clone());
    let mut all = vec![format!("held for approval by {} (at most {minutes} min)", who.join(" and "))];
    all.extend(why.map(|why| format!("reason: {why}")));
    all.push(format!("approval {}: {link}", approval.id));
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    all.iter().map(|line| format!("doorward: {}\n", plain(line))).collect()
}

/// A path, query or method that means nothing.
pub fn malformed(what: &str) -> Answer {
    status(400, "BadRequest", &format!("doorward: refused: {what}"))
}

/// The token is missing, or was not accepted.
pub fn unauthorized(message: &str) -> Answer {
    status(401, "Unauthorized", &format!("doorward: {message}"))
}

/// The text of a `Warning` header (RFC 9111 §5.5) that tells of an approval: kubectl prints it.
pub fn approved(approval: &ApprovalRequest) -> String {
    let plain: String = format!("doorward: approved ({})", approval.id).chars().filter(|c| !c.is_control()).collect();
    format!("299 - \"{}\"", plain.replace(['"', '\\'], "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
