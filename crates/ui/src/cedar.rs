//! The text of policies, coloured.
use crate::Inert;
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
