//! What policies compare and people read: groups and tags, as issuers and providers write them.
use crate::IdentityError;

/// Of groups, and of a group or a tag in bytes. A token is small anyhow; other answers of a provider may be larger.
const MOST_GROUPS: usize = 1024;
const MAX_BYTES: usize = 1024;

/// Whether groups are few, short and can be shown as they are. None is left out or cut: a group that is quietly lost could
/// be one that a `forbid` asks for.
///
/// # Errors
/// What is wrong with them.
pub fn check_groups<'a>(groups: impl IntoIterator<Item = &'a String>) -> Result<(), IdentityError> {
    let mut count = 0;
    for group in groups {
        count += 1;
        if count > MOST_GROUPS {
            return Err(IdentityError::Malformed { what: "more than 1024 groups" });
        }
        fit(group, "a group that is too long or has control characters")?;
    }
    Ok(())
}

/// The same for the values of tags.
///
/// # Errors
/// What is wrong with them.
pub fn check_tags<'a>(tags: impl IntoIterator<Item = &'a String>) -> Result<(), IdentityError> {
    tags.into_iter().try_for_each(|tag| fit(tag, "a tag that is too long or has control characters"))
}

fn fit(word: &str, what: &'static str) -> Result<(), IdentityError> {
    if word.len() <= MAX_BYTES && !word.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(IdentityError::Malformed { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_tags_are_taken_whole_or_not_at_all() {
        let many = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(check_groups(&many(MOST_GROUPS)), Ok(()));
        assert!(check_groups(&many(MOST_GROUPS + 1)).unwrap_err().to_string().contains("more than 1024 groups"));
        for (word, good) in [("häuser & söhne", true), ("a\nb", false), ("a\u{1b}[2J", false), ("\0", false)] {
            assert_eq!(check_groups(&[word.to_owned()]).is_ok(), good, "{word:?}");
            assert_eq!(check_tags(&[word.to_owned()]).is_ok(), good, "{word:?}");
        }
        assert!(check_tags(&["x".repeat(MAX_BYTES)]).is_ok() && check_tags(&["x".repeat(MAX_BYTES + 1)]).is_err());
    }
}
