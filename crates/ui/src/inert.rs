//! Texts of callers.
use doorward_model::is_invisible;
use std::fmt;

/// A text that somebody else wrote, shown as it is: no markup of it counts, and characters that cannot be seen, steer
/// something or turn the direction of writing are shown by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inert(String);

impl Inert {
    /// Takes a text, whatever is in it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For attributes: the same without markup of ours. Templates escape it.
    pub fn plain(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if is_hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
        }
        out
    }

    /// As it was written, for the value of a field that comes back to us. Templates escape it; it is not for eyes.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// For one line: line ends as signs, no longer than `most` characters.
    pub fn line(&self, most: usize) -> String {
        let mut out = String::new();
        let words = self.plain();
        let mut characters = 0_usize;
        for word in words.split_whitespace() {
            if !out.is_empty() {
                out.push(' ');
            }
            for c in word.chars() {
                characters += 1;
                if characters > most {
                    out.push('…');
                    return out;
                }
                out.push(c);
            }
        }
        out
    }

    /// Another line of the same text.
    pub fn add_line(&mut self, line: &Self) {
        self.0.push('\n');
        self.0.push_str(&line.0);
    }

    /// Whether it is too long to be read at a glance.
    pub fn is_long(&self) -> bool {
        self.0.len() > 600 || self.0.lines().count() > 8
    }

    /// How long it is, in words.
    pub fn extent(&self) -> String {
        let (lines, characters) = (self.0.lines().count(), self.0.chars().count());
        format!("{lines} lines, {characters} characters")
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>> From<T> for Inert {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// Controls but line feed and tab, and what people do not see.
fn is_hidden(c: char) -> bool {
    !matches!(c, '\n' | '\t') && (c.is_control() || is_invisible(c))
}

impl fmt::Display for Inert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<bdi>")?;
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if is_hidden(c) => write!(f, "<span class=\"esc\">{}</span>", c.escape_unicode())?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        f.write_str("</bdi>")
    }
}

impl askama::filters::HtmlSafe for Inert {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_what_cannot_be_seen_are_shown() {
        let text = Inert::new("<script>alert('1')</script>&\u{202e}x\u{1b}[31m\u{200b}\n\ty");
        assert_eq!(
            text.to_string(),
            "<bdi>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;<span class=\"esc\">\\u{202e}</span>x\
             <span class=\"esc\">\\u{1b}</span>[31m<span class=\"esc\">\\u{200b}</span>\n\ty</bdi>"
        );
        assert_eq!(text.plain(), "<script>alert('1')</script>&\\u{202e}x\\u{1b}[31m\\u{200b}\n\ty");
        assert_eq!(Inert::new("a\n  b\tc").line(80), "a b c");
        assert_eq!(Inert::new("abc def").line(4), "abc d…");
    }
}
