//! What people are shown of a held statement besides its text and its parameters.
use crate::Meaning;
use doorward_enforce::Shown;

/// What it names, what is sent in place of its text, and what comes with it that is not decided value by value.
///
/// `sent`: the text that the upstream gets, where that is not the caller's own.
pub fn besides(meaning: &Meaning, sent: Option<&str>) -> Shown {
    let mut shown = Shown::default();
    if let Some(sent) = sent.filter(|sent| is_other(sent, &meaning.text)) {
        shown.add("Sent in its place", sent);
    }
    for part in &meaning.parts {
        for (name, text) in &part.names {
            match text {
                Some(text) => shown.add(format!("What `{name}` stands for"), &**text),
                None => shown.unseen.push(format!("what `{name}` stands for: it was begun earlier in the session")),
            }
        }
        if part.copy.as_ref().is_some_and(|copy| !copy.out) {
            shown.unseen.push("the rows that the caller copies in: they follow once it runs".into());
        }
        if part.upload.is_some() {
            shown.unseen.push("the file of the caller's that is loaded: it follows once it runs".into());
        }
    }
    shown
}

/// Whether a text differs from another one in more than the space around it.
fn is_other(sent: &str, text: &str) -> bool {
    sent.trim() != text.trim().trim_end_matches(';').trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_model::{Access, Action, Facts, Resource};
    use std::sync::Arc;

    #[test]
    fn what_a_name_stands_for_is_shown() {
        let facts = Arc::new(Facts::new("X", 1, vec![Access::new(Action::Connect, Resource::Connection)]));
        let mut meaning = Meaning::without_text("EXECUTE p ; ", facts);
        assert_eq!(besides(&meaning, Some("EXECUTE p")), Shown::default(), "the same");
        meaning.parts[0].names = vec![("p".into(), Some("DELETE FROM t".into())), ("c".into(), None)];
        meaning.parts[0].upload = Some("f".into());
        let shown = besides(&meaning, Some("EXECUTE `p`"));
        let parts: Vec<_> = shown.parts.iter().map(|p| (p.name.as_str(), p.text.as_str())).collect();
        assert_eq!(parts, [("Sent in its place", "EXECUTE `p`"), ("What `p` stands for", "DELETE FROM t")]);
        assert!(shown.unseen.len() == 2 && !shown.is_whole());
    }
}
