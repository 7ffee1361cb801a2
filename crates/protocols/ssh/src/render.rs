//! Outcomes, in words on the caller's standard error.
use doorward_enforce::{ApprovalRequest, Refusal};

/// The exit status of a command that was refused: "found, but not to be run" (POSIX.1-2024 §2.8.2).
pub const REFUSED: u32 = 126;

/// How lines end: a terminal in raw mode needs the carriage return.
fn lines(lines: &[String], terminal: bool) -> String {
    let end = if terminal { "\r\n" } else { "\n" };
    lines.iter().map(|l| format!("doorward: {}{end}", plain(l))).collect()
}

/// No text of a peer's reaches the terminal as more than text.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A refusal: what, by which policy, what to do next.
pub fn refusal(refusal: &Refusal, terminal: bool) -> String {
    let detail = refusal.detail.clone();
    let hint = refusal.hint.as_ref().map(|h| format!("hint: {h}"));
    let all: Vec<String> = std::iter::once(refusal.message.clone()).chain(detail).chain(hint).collect();
    lines(&all, terminal)
}

/// A refusal in one line, where there is room for no more.
pub fn refusal_line(refusal: &Refusal) -> String {
    plain(&refusal.message)
}

/// A request is held: who decides, where, until when.
pub fn held(request: &ApprovalRequest, link: &str, minutes: u64, terminal: bool) -> String {
    let who: Vec<String> = request.requirements.iter().map(|r| r.groups.join(" or ")).collect();
    let why = request.requirements.iter().find_map(|r| r.reason.clone());
    let mut all = vec![format!("held for approval by {} (at most {minutes} min)", who.join(" and "))];
    all.extend(why.map(|why| format!("reason: {why}")));
    all.push(format!("approval {}: {link}", request.id));
    lines(&all, terminal)
}

/// A held request goes on.
pub fn approved(terminal: bool) -> String {
    lines(&["approved".to_owned()], terminal)
}

/// Anything else that has to be said.
pub fn notice(text: &str, terminal: bool) -> String {
    lines(&[text.to_owned()], terminal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_enforce::RefusalKind;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let refused = Refusal {
            kind: RefusalKind::Policy,
            message: "`\u{1b}]0;x\u{7}` refused".into(),
            detail: None,
            hint: Some("ask".into()),
        };
        assert_eq!(refusal(&refused, false), "doorward: `\u{fffd}]0;x\u{fffd}` refused\ndoorward: hint: ask\n");
        assert!(refusal(&refused, true).ends_with("ask\r\n"));
    }
}
