//! Fields of forms and queries.
use reqwest::Url;
use std::collections::BTreeMap;

/// Fields, each of which is there once.
#[derive(Debug, Default)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Of `application/x-www-form-urlencoded`. None where a name is there twice.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut url = Url::parse("http://localhost/").ok()?;
        url.set_query(Some(std::str::from_utf8(text).ok()?));
        let mut fields = BTreeMap::new();
        for (name, value) in url.query_pairs() {
            if fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// A value in a query.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _never_fails = write!(out, "%{b:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_once() {
        let fields = Fields::parse(b"a=1+2&b=%3Cx%3E&c").unwrap();
        assert_eq!((fields.get("a"), fields.get("b"), fields.get("c")), (Some("1 2"), Some("<x>"), Some("")));
        assert!(Fields::parse(b"a=1&a=2").is_none() && Fields::parse(b"\xff").is_none());
        let whole = "/a b?c=d&e=\u{e9}#+";
        let back = Fields::parse(format!("x={}", encoded(whole)).as_bytes()).unwrap();
        assert_eq!(back.get("x"), Some(whole));
    }
}
