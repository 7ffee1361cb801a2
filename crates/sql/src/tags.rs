//! Tags that a database carries itself: in comments on its tables and columns, and in its security labels.
use std::collections::BTreeSet;

/// What stands before them, in any case.
const BEFORE: &str = "doorward:";
/// How many are taken of one comment, and how long each may be, in bytes.
const MOST: usize = 16;
const LONGEST: usize = 64;

/// The tags in a comment: after `doorward:`, up to the end of the line, words between commas. The first that is no single word
/// ends them, with its first word taken: in `Of the owner. doorward: pii, email, as they typed it` these are `pii`, `email` and `as`.
pub fn of_comment(comment: &str) -> BTreeSet<String> {
    let lower = comment.to_ascii_lowercase();
    let mut out = BTreeSet::new();
    for (at, _) in lower.match_indices(BEFORE) {
        let line = comment.get(at + BEFORE.len()..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        for part in line.split(',') {
            let mut words = part.split_whitespace();
            let word = words.next().unwrap_or_default();
            let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let is_tag = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
            if word.is_empty() || word.len() > LONGEST || !word.chars().all(is_tag) {
                break;
            }
            if out.len() < MOST {
                out.insert(word.to_owned());
            }
            if words.next().is_some() {
                break;
            }
        }
    }
    out
}

/// Whether a text may speak of tags.
pub fn may_speak_of_tags(text: &str) -> bool {
    text.to_ascii_lowercase().contains("doorward")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(comment: &str) -> String {
        of_comment(comment).into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tags_stand_behind_the_word() {
        assert_eq!(of("doorward: pii"), "pii");
        assert_eq!(of("The number.\nDoorward:pii , email,mask:partial:4\nNot: this, that"), "email mask:partial:4 pii");
        assert_eq!(of("as the form has it (doorward: pii)"), "pii");
        assert_eq!(of("doorward: pii."), "pii");
        assert_eq!(of("doorward: a, b; and doorward: c"), "a b c");
        assert_eq!(of("doorward: pii, email is where they read"), "email pii");
        assert_eq!(of("doorward: , x"), "");
        assert_eq!(of("see doorward"), "");
        assert_eq!(of(&format!("doorward: {}", "x".repeat(65))), "");
        let many: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
        assert_eq!(of_comment(&format!("doorward: {}", many.join(","))).len(), MOST);
    }
}
