//! Policies: read, checked, tried.
use crate::{Inert, Shell};
use askama::Template;
use doorward_model::Timestamp;
use std::fmt;

/// A text of policies, with its words in colour and its lines numbered.
#[derive(Clone, Debug, Default)]
pub struct Cedar(pub String);

const WORDS: [&str; 17] = [
    "permit",
    "forbid",
    "when",
    "unless",
    "principal",
    "action",
    "resource",
    "context",
    "in",
    "is",
    "has",
    "like",
    "if",
    "then",
    "else",
    "true",
    "false",
];

impl Cedar {
    /// The pieces of a line, each with its style; strings and comments end with it.
    fn pieces(line: &str) -> Vec<(&'static str, String)> {
        let mut out: Vec<(&'static str, String)> = Vec::new();
        let mut rest = line.chars().peekable();
        while let Some(c) = rest.next() {
            let mut piece = String::from(c);
            let style = match c {
                '/' if rest.peek() == Some(&'/') => {
                    piece.extend(rest.by_ref());
                    "comment"
                }
                '"' => {
                    let mut escaped = false;
                    for c in rest.by_ref() {
                        piece.push(c);
                        if c == '"' && !escaped {
                            break;
                        }
                        escaped = c == '\\' && !escaped;
                    }
                    "string"
                }
                c if c == '@' || c == '_' || c.is_alphabetic() => {
                    while let Some(c) = rest.next_if(|c| *c == '_' || c.is_alphanumeric()) {
                        piece.push(c);
                    }
                    match piece.as_str() {
                        "forbid" => "bad-word",
                        word if WORDS.contains(&word) => "word",
                        word if word.starts_with('@') => "note",
                        _ => "",
                    }
                }
                _ => "",
            };
            match out.last_mut() {
                Some((last, text)) if last.is_empty() && style.is_empty() => text.push_str(&piece),
                _ => out.push((style, piece)),
            }
        }
        out
    }
}

impl fmt::Display for Cedar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.lines() {
            f.write_str("<span class=\"line\">")?;
            for (style, text) in Self::pieces(line) {
                let text = Inert::new(text);
                if style.is_empty() {
                    write!(f, "{text}")?
                } else {
                    write!(f, "<span class=\"{style}\">{text}</span>")?
                }
            }
            f.write_str("\n</span>")?;
        }
        Ok(())
    }
}

impl askama::filters::HtmlSafe for Cedar {}

/// One text.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// A file, or a version.
    pub name: Inert,
    /// The text.
    pub text: Cedar,
    /// How many policies or lines it has, in words.
    pub about: String,
}

/// What is wrong, and where.
#[derive(Clone, Debug)]
pub struct PolicyError {
    /// `text`, line and column.
    pub place: String,
    /// What.
    pub message: Inert,
    /// The line with a mark under it.
    pub snippet: Option<Inert>,
}

/// What came of a check.
#[derive(Clone, Debug)]
pub struct Checked {
    /// How many policies there would be; none: it is not right.
    pub policies: Option<usize>,
    /// What is wrong.
    pub errors: Vec<PolicyError>,
    /// What looks wrong.
    pub warnings: Vec<PolicyError>,
}

/// A made-up request, as it was typed.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The connection.
    pub connection: String,
    /// The statement.
    pub statement: String,
    /// `issuer/subject`.
    pub principal: String,
    /// Groups, with commas.
    pub groups: String,
    /// Whether it is a person.
    pub user: bool,
}

/// The decision on one access.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What is asked.
    pub access: Inert,
    /// How it comes out: also a style.
    pub verdict: &'static str,
    /// Its style.
    pub class: &'static str,
    /// The policies that decided.
    pub by: Inert,
}

/// How a made-up request comes out.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// `forward`, `hold`, `refuse`.
    pub outcome: &'static str,
    /// The command.
    pub command: Inert,
    /// Each access.
    pub steps: Vec<Explained>,
}

/// A version that was written here.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub author: Inert,
    /// What they said.
    pub comment: Inert,
    /// When.
    pub created: Timestamp,
    /// Whether it is in force.
    pub active: bool,
    /// Whether it is only watched.
    pub monitored: bool,
}

/// The policies.
#[derive(Debug, Template)]
#[template(path = "policies.html")]
pub struct PoliciesPage {
    /// The frame.
    pub shell: Shell,
    /// The digest of what is in force.
    pub version: String,
    /// How many policies there are.
    pub count: usize,
    /// The texts.
    pub sources: Vec<PolicySource>,
    /// Versions, newest first.
    pub versions: Vec<Version>,
    /// The text that is edited.
    pub draft: String,
    /// What came of its check.
    pub checked: Option<Checked>,
    /// Connections whose statements can be tried.
    pub connections: Vec<String>,
    /// What is tried.
    pub question: Question,
    /// How it comes out, or why that cannot be said.
    pub answer: Option<Result<Explanation, Inert>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_strings_and_comments_have_their_colours_and_nothing_is_markup() {
        let shown = Cedar("@id(\"a<b\")\nforbid (principal) // <b>\nwhen { \"x\\\"y\" }".into()).to_string();
        for part in [
            "<span class=\"note\"><bdi>@id</bdi></span>",
            "<span class=\"string\"><bdi>&quot;a&lt;b&quot;</bdi></span>",
            "<span class=\"bad-word\"><bdi>forbid</bdi></span>",
            "<span class=\"comment\"><bdi>// &lt;b&gt;</bdi></span>",
            "<span class=\"string\"><bdi>&quot;x\\&quot;y&quot;</bdi></span>",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert_eq!(shown.matches("class=\"line\"").count(), 3);
    }
}
