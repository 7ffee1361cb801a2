//! The API, described for people.
use crate::Shell;
use askama::Template;
use std::fmt;

/// A text of ours in which what stands in backticks is code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prose(pub String);

impl fmt::Display for Prose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A backtick that nothing closes is one.
        let whole = self.0.matches('`').count().is_multiple_of(2);
        for (n, part) in self.0.split('`').enumerate() {
            let is_code = whole && n % 2 == 1;
            if !whole && n > 0 {
                f.write_str("`")?;
            }
            if is_code {
                f.write_str("<code>")?;
            }
            for c in part.chars() {
                match c {
                    '&' => f.write_str("&amp;")?,
                    '<' => f.write_str("&lt;")?,
                    '>' => f.write_str("&gt;")?,
                    '"' => f.write_str("&quot;")?,
                    '\'' => f.write_str("&#39;")?,
                    c => fmt::Write::write_char(f, c)?,
                }
            }
            if is_code {
                f.write_str("</code>")?;
            }
        }
        Ok(())
    }
}

impl askama::filters::HtmlSafe for Prose {}

/// A part of what a value is: words, or the name of a shape that is described on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Words(String),
    /// A shape.
    Shape(String),
}

/// A parameter, a header, or a property.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Where it is: `path`, `query`, `header`; of a property empty.
    pub place: String,
    /// Whether it has to be there.
    pub required: bool,
    /// What it is.
    pub kind: Vec<Kind>,
    /// What it means.
    pub about: Prose,
}

/// An answer that is not an error.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: String,
    /// What it means.
    pub about: Prose,
    /// What is in it.
    pub kind: Vec<Kind>,
    /// The media type of that.
    pub media: String,
    /// Headers that it has.
    pub headers: Vec<Field>,
}

/// An endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// For links.
    pub anchor: String,
    /// `GET`, …
    pub method: String,
    /// Its path.
    pub path: String,
    /// What it does.
    pub about: Prose,
    /// Whether it needs no identity.
    pub open: bool,
    /// Parameters.
    pub parameters: Vec<Field>,
    /// What is sent.
    pub body: Vec<Kind>,
    /// Answers that are no errors.
    pub replies: Vec<Reply>,
    /// Statuses of errors.
    pub errors: Vec<String>,
}

/// A shape of values.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// What it means.
    pub about: Prose,
    /// What it is, where it has no properties.
    pub kind: Vec<Kind>,
    /// Its properties.
    pub fields: Vec<Field>,
}

/// The API as it is described.
#[derive(Clone, Debug, Default)]
pub struct ApiDescription {
    /// What holds everywhere.
    pub about: Prose,
    /// What it is about, and its endpoints.
    pub groups: Vec<(String, Vec<Endpoint>)>,
    /// What errors mean: statuses and words.
    pub errors: Vec<(String, Prose)>,
    /// Shapes of values, by name.
    pub shapes: Vec<Shape>,
}

/// The API, described for people.
#[derive(Debug, Template)]
#[template(path = "docs.html")]
pub struct DocsPage {
    /// The frame.
    pub shell: Shell,
    /// The API.
    pub api: &'static ApiDescription,
    /// Where the gateway is.
    pub public_url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_marked_and_nothing_else_counts() {
        assert_eq!(Prose("a `<b>` & 'c'".into()).to_string(), "a <code>&lt;b&gt;</code> &amp; &#39;c&#39;");
        assert_eq!(Prose("one ` alone".into()).to_string(), "one ` alone");
    }
}
