//! What people are shown of a request besides its statement: whole, or they are not asked.
use doorward_model::is_invisible;
use serde::{Deserialize, Serialize};

/// The most that people are shown of one request, its statement included, in bytes as [`Shown::weight`] counts them. What is
/// longer is refused where it needs an approval: nobody reads more, and a page of it would not open.
pub const MOST_SHOWN: usize = 1 << 20;

/// What stands around each text where it is shown, in bytes.
const AROUND: usize = 32;
/// What a character takes that is shown by its number.
const BY_NUMBER: usize = 30;

/// Everything that would run besides the statement, as people can read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Parameter values, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    /// Sets of parameter values, where the statement runs once for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Vec<String>>,
    /// What else is sent, by what it is: a manifest, the text of what is run by its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ShownPart>,
    /// What has a say in it and cannot be shown, in words. Empty: everything is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// What is no part of it, so that nobody takes it for one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A text that belongs to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPart {
    /// What it is.
    pub name: String,
    /// It, whole.
    pub text: String,
    /// Whether it is for the approver's page alone, and not for messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub page_only: bool,
}

/// Why a request cannot be put before people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotShown {
    /// What of it cannot be shown.
    pub what: String,
    /// What its caller may do.
    pub next: &'static str,
}

impl NotShown {
    /// `what` is longer than anybody is shown.
    pub fn too_long(what: &str, bytes: usize) -> Self {
        let what = format!(
            "{what} would take {bytes} bytes to show, and approvers are shown {MOST_SHOWN} bytes of a request, or nothing"
        );
        Self { what, next: "send it in smaller parts, each of which can be approved" }
    }
}

impl Shown {
    /// Parameter values, and nothing else.
    pub fn of_parameters(parameters: Vec<String>) -> Self {
        Self { parameters, ..Self::default() }
    }

    /// Adds a text that is sent, too.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.parts.push(ShownPart { name: name.into(), text: text.into(), page_only: false });
    }

    /// Whether nothing that would run is kept from who decides.
    pub const fn is_whole(&self) -> bool {
        self.unseen.is_empty()
    }

    /// Whether there is nothing but the statement.
    pub const fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.rows.is_empty() && self.parts.is_empty()
    }

    /// What it takes to show it, in bytes.
    pub fn weight(&self) -> usize {
        let rows = self.rows.iter().flatten();
        let parts = self.parts.iter().flat_map(|p| [&p.name, &p.text]);
        let texts = self.parameters.iter().chain(rows).chain(parts).chain(&self.unseen).chain(&self.notes);
        texts.map(|t| weight(t)).fold(0, usize::saturating_add)
    }

    /// The same, where it can be shown with its statement.
    ///
    /// # Errors
    /// Where both together are longer than [`MOST_SHOWN`].
    pub fn within(self, statement: &str) -> Result<Self, NotShown> {
        let all = weight(statement).saturating_add(self.weight());
        if all > MOST_SHOWN {
            return Err(NotShown::too_long("what would run", all));
        }
        Ok(self)
    }
}

/// What it takes to show a text, in bytes.
pub fn weight(text: &str) -> usize {
    let by_number = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_invisible(c);
    // Markup is escaped.
    let marks = text.bytes().filter(|b| matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'')).count();
    let hidden = text.chars().filter(|c| by_number(*c)).count();
    text.len() + AROUND + marks * 5 + hidden * BY_NUMBER
}

/// A value that is text: as it is, or in quotes where it would look like something else.
pub fn text(value: &str) -> String {
    let imitates = matches!(value, "" | "NULL" | "DEFAULT" | "IGNORE")
        || ["'", "binary", "attribute"].iter().any(|mark| value.starts_with(mark))
        || value.starts_with(char::is_whitespace)
        || value.ends_with(char::is_whitespace);
    if imitates { format!("'{}'", value.replace('\'', "''")) } else { value.to_owned() }
}

/// A value that is no text, whole.
pub fn binary(value: &[u8]) -> String {
    format!("binary \\x{}", hex::encode(value))
}

/// A value that may be text.
pub fn bytes(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| binary(value), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_looks_like_nothing_else() {
        for (value, shown) in [
            (&b"a b"[..], "a b"),
            (b"", "''"),
            (b"NULL", "'NULL'"),
            (b"'x'", "'''x'''"),
            (b"binary \\x00", "'binary \\x00'"),
            (b" x", "' x'"),
            (b"\xff\0", "binary \\xff00"),
            ("\u{202e}".as_bytes(), "\u{202e}"),
        ] {
            assert_eq!(bytes(value), shown);
        }
    }

    #[test]
    fn what_is_shown_has_a_bound() {
        let of = |text: String| Shown::of_parameters(vec![text]).within("DELETE");
        assert!(of("x".repeat(MOST_SHOWN - 200)).is_ok());
        let refused = of("x".repeat(MOST_SHOWN)).unwrap_err();
        assert!(refused.what.contains("1048576"), "{}", refused.what);
        // What is short and long to show, and many of the shortest.
        assert!(of("\u{1}".repeat(MOST_SHOWN / 16)).is_err());
        assert!(of("<".repeat(MOST_SHOWN / 4)).is_err());
        let rows = vec![vec![String::new(); 2]; MOST_SHOWN / 64 + 1];
        assert!(Shown { rows, ..Shown::default() }.within("").is_err());
        assert!(Shown::default().within(&"x".repeat(MOST_SHOWN)).is_err(), "the statement counts, too");
    }
}
