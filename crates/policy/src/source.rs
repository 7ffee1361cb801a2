//! Policy texts and their places: files, patterns, lines and columns.
use std::{fmt, ops::Range, path::Path};

/// The longest text of one policy, in bytes.
const LONGEST_POLICY: usize = 32 * 1024;
/// The deepest nesting of brackets in a policy.
const DEEPEST_POLICY: usize = 64;

/// One policy file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What is wrong, or looks wrong, with a policy file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LoadError {
    /// The file.
    pub file: String,
    /// Line and column from 1, where known.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// The line it is about, with a mark under the place.
    pub snippet: Option<String>,
}

impl LoadError {
    pub(crate) fn of_file(file: &str, message: String) -> Self {
        Self { file: file.to_owned(), at: None, message, snippet: None }
    }

    pub(crate) fn at(source: &Source, offset: usize, message: String) -> Self {
        let (line, column) = place(&source.text, offset);
        let snippet = source.text.lines().nth(line - 1).map(|text| {
            let margin = line.to_string();
            let pad = " ".repeat(margin.len());
            let mark: String = text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            format!("{margin} | {text}\n{pad} | {mark}^")
        });
        Self { file: source.name.clone(), at: Some((line, column)), message, snippet }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message)?,
            None => write!(f, "{}: {}", self.file, self.message)?,
        }
        match &self.snippet {
            Some(snippet) => write!(f, "\n{snippet}"),
            None => Ok(()),
        }
    }
}

/// Line and column from 1; columns count characters.
pub(crate) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or_default();
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

/// Cuts a file into its policies, each with its `;`. White space and comments before a policy are left out.
/// A rest without a `;` is a piece too, for the parser to say what is missing.
///
/// # Errors
/// Where a policy is too long or nested too deeply to be parsed on any stack: its place and why.
pub(crate) fn pieces(text: &str) -> Result<Vec<Range<usize>>, (usize, String)> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut start = None;
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        let from = at;
        at += 1;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'/' if bytes.get(at) == Some(&b'/') => {
                at = end_of_line(bytes, at);
                continue;
            }
            b'"' => at = end_of_string(bytes, at),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let begin = *start.get_or_insert(from);
        if depth > DEEPEST_POLICY {
            return Err((from, format!("brackets are nested more than {DEEPEST_POLICY} deep")));
        }
        if at - begin > LONGEST_POLICY {
            return Err((begin, format!("a policy is longer than {LONGEST_POLICY} bytes")));
        }
        if *byte == b';' {
            out.push(begin..at);
            (start, depth) = (None, 0);
        }
    }
    out.extend(start.map(|begin| begin..bytes.len()));
    Ok(out)
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    bytes.get(from..).and_then(|rest| rest.iter().position(|b| *b == b'\n')).map_or(bytes.len(), |n| from + n)
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\\' => 2,
            b'"' => return at + 1,
            _ => 1,
        };
    }
    bytes.len()
}

/// Reads policy files, in the order given.
///
/// # Errors
/// A file that cannot be read, or is not UTF-8.
pub fn read_files<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Source>, Vec<LoadError>> {
    let mut sources = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        let name = path.as_ref().display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => sources.push(Source { name, text }),
            Err(e) => errors.push(LoadError::of_file(&name, format!("cannot be read: {e}"))),
        }
    }
    if errors.is_empty() { Ok(sources) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_at_the_end_of_each_policy_only() {
        let text = "// a; b\npermit(x) when { \"; \\\" ;\" };\n\n  forbid(y); // c;\nrest";
        let cut: Vec<&str> = pieces(text).unwrap().into_iter().filter_map(|r| text.get(r)).collect();
        assert_eq!(cut, ["permit(x) when { \"; \\\" ;\" };", "forbid(y);", "rest"]);
        assert!(pieces("// only a comment").unwrap().is_empty());
        assert_eq!(pieces("permit \"never ends;").unwrap().len(), 1);
        assert_eq!(pieces("\"\\").unwrap().len(), 1);
    }

    #[test]
    fn deep_and_long_texts_are_turned_away() {
        let deep = format!("permit(principal,action,resource) when {{ {}true{} }};", "(".repeat(70), ")".repeat(70));
        assert!(pieces(&deep).is_err());
        let long = format!("permit(principal,action,resource) when {{ true{} }};", " && true".repeat(5000));
        assert!(pieces(&long).is_err());
    }

    #[test]
    fn places_count_from_one() {
        assert_eq!(place("a\nbé!", 0), (1, 1));
        assert_eq!(place("a\nbé!", 5), (2, 3));
        assert_eq!(place("a", 99), (1, 2));
    }
}
