//! A provider's answer, and what of it is believed (SAML Core, section 3.2 and 2; SAML Profiles, section 4.1.4).
//!
//! | attack | what stands against it |
//! |---|---|
//! | signature wrapping | claims are read from the bytes that were signed, as [`signed_text`] gives them; one assertion, one place |
//! | no signature, or by a key that the document brings | the assertion or the answer is signed by a configured certificate |
//! | an answer for somebody else | `Destination`, `Recipient`, `Audience` are ours |
//! | an answer that nobody asked for, or another browser did | `InResponseTo`, which the caller binds to the browser |
//! | an old answer | `NotBefore`, `NotOnOrAfter`; the caller remembers assertions ([`Assertion::remember_until`]) |
//! | a name that is cut by a comment | texts are whole, and signed texts have no comments |
use crate::{
    IdentityProvider, ServiceProvider, SignatureError, XmlError,
    names::{BEARER, ENTITY, SAML, SAMLP, SUCCESS, TRANSIENT},
    signature::{DS, signed_text},
    time, xml,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::Timestamp;
use roxmltree::Node;
use std::{collections::BTreeMap, time::Duration};

/// How far the clocks of a provider and ours may be apart.
pub const SKEW: Duration = Duration::from_secs(60);
/// The longest value of an attribute, name of a subject or of an assertion, in bytes.
const MAX_VALUE: usize = 4096;

/// What an answer has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who has been asked.
    pub provider: &'a IdentityProvider,
    /// Who has asked.
    pub service: &'a ServiceProvider,
    /// The name of the request, of this browser and not used before.
    pub request: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// What the provider says of somebody who signed in: all of it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Its own name.
    pub id: String,
    /// The subject's name.
    pub name_id: String,
    /// Whether the name is another one the next time.
    pub is_transient: bool,
    /// The provider's name for its session.
    pub session: Option<String>,
    /// When the provider wants the session to be over, whatever happens.
    pub session_ends: Option<Timestamp>,
    /// Until when its name has to be remembered: it is refused from then on anyway.
    pub remember_until: Timestamp,
    attributes: BTreeMap<String, Vec<Option<String>>>,
}

/// Why an answer is not believed. Nothing of the document is in it, but the words of a status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not base64, or not a document.
    #[error("the answer is not read: {0}")]
    Xml(#[from] XmlError),
    /// Not base64.
    #[error("the answer is not base64")]
    NotBase64,
    /// Of another form than SAML's.
    #[error("the answer is not of the form that SAML has: {0}")]
    Form(&'static str),
    /// The provider did not sign anybody in.
    #[error("the provider refused: {0}")]
    Status(String),
    /// Encrypted, which is not understood here.
    #[error(
        "the assertion is encrypted, which is not supported: turn encryption off for Doorward at the provider (it comes over TLS)"
    )]
    Encrypted,
    /// Nobody vouches for it.
    #[error("neither the assertion nor the answer is signed")]
    Unsigned,
    /// Not signed as it should be.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is for, or from, somebody else.
    #[error("{0} is not what was expected")]
    NotOurs(&'static str),
    /// Too early or too late.
    #[error("{0}")]
    Time(&'static str),
    /// A condition that is not known here, and so cannot be met.
    #[error("the assertion has a condition that is not known")]
    Condition,
    /// An attribute that is needed is not a text.
    #[error("attribute `{0}` is not plain text, or too long")]
    Attribute(String),
}

const fn form(what: &'static str) -> ResponseError {
    ResponseError::Form(what)
}

impl Assertion {
    /// The values of an attribute, by its `Name`.
    ///
    /// # Errors
    /// Where one of them is not a text.
    pub fn attribute(&self, name: &str) -> Result<Vec<&str>, ResponseError> {
        let values = self.attributes.get(name).into_iter().flatten();
        let values: Option<Vec<&str>> = values.map(Option::as_deref).collect();
        values.ok_or_else(|| ResponseError::Attribute(name.to_owned()))
    }
}

impl Expected<'_> {
    /// What the answer says, in base64 as a form brings it (HTTP-POST binding).
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn read(&self, encoded: &str) -> Result<Assertion, ResponseError> {
        // Bounded before anything is made of it: four characters for three bytes, and line ends.
        if encoded.len() > xml::MAX_DOCUMENT / 3 * 4 + xml::MAX_DOCUMENT / 16 {
            return Err(XmlError::TooLarge.into());
        }
        let bare: String = encoded.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(bare).map_err(|_| ResponseError::NotBase64)?;
        self.read_document(xml::text(&bytes)?)
    }

    fn read_document(&self, text: &str) -> Result<Assertion, ResponseError> {
        let tree = xml::parse(text)?;
        let response = tree.root_element();
        one_assertion(response)?;
        let certificates = &self.provider.certificates;
        let is_signed = |node: Node<'_, '_>| xml::named(node, DS, "Signature").next().is_some();
        // Before who is who: that an answer says of itself what was asked, so that a refusal is told from an attack.
        self.envelope(response)?;
        let signed_response = is_signed(response).then(|| signed_text(response, certificates)).transpose()?;
        let assertion = xml::only(response, SAML, "Assertion").ok_or(form("not exactly one Assertion"))?;
        if is_signed(assertion) {
            let signed = signed_text(assertion, certificates)?;
            let signed = xml::parse(&signed)?;
            return self.assertion(signed.root_element());
        }
        let signed = signed_response.ok_or(ResponseError::Unsigned)?;
        let signed = xml::parse(&signed)?;
        // INVARIANT: from here on nothing is read but what was signed.
        self.envelope(signed.root_element())?;
        let assertion = xml::only(signed.root_element(), SAML, "Assertion").ok_or(form("not exactly one Assertion"))?;
        self.assertion(assertion)
    }

    /// What the answer says around the assertion.
    fn envelope(&self, response: Node<'_, '_>) -> Result<(), ResponseError> {
        if !response.has_tag_name((SAMLP, "Response")) || response.attribute("Version") != Some("2.0") {
            return Err(form("no Response of version 2.0"));
        }
        if response.attribute("Destination") != Some(&self.service.acs_url) {
            return Err(ResponseError::NotOurs("Destination"));
        }
        if response.attribute("InResponseTo") != Some(self.request) {
            return Err(ResponseError::NotOurs("InResponseTo of the answer"));
        }
        if xml::named(response, SAML, "Issuer").next().is_some() {
            self.issuer(response)?;
        }
        let status = xml::only(response, SAMLP, "Status").and_then(|s| xml::only(s, SAMLP, "StatusCode"));
        let status = status.ok_or(form("no Status"))?;
        if status.attribute("Value") != Some(SUCCESS) {
            let codes = status.descendants().filter_map(|n| n.attribute("Value"));
            return Err(ResponseError::Status(codes.map(word).collect::<Vec<_>>().join(", ")));
        }
        Ok(())
    }

    fn issuer(&self, node: Node<'_, '_>) -> Result<(), ResponseError> {
        let issuer = xml::only(node, SAML, "Issuer").ok_or(form("not exactly one Issuer"))?;
        let usual = matches!(issuer.attribute("Format"), None | Some(ENTITY));
        if !usual || xml::content(issuer).as_deref() != Some(&self.provider.entity_id) {
            return Err(ResponseError::NotOurs("Issuer"));
        }
        Ok(())
    }

    fn assertion(&self, node: Node<'_, '_>) -> Result<Assertion, ResponseError> {
        if !node.has_tag_name((SAML, "Assertion")) || node.attribute("Version") != Some("2.0") {
            return Err(form("no Assertion of version 2.0"));
        }
        let id = node.attribute("ID").filter(|id| !id.is_empty() && id.len() <= MAX_VALUE);
        let id = id.ok_or(form("an Assertion without ID"))?;
        self.issuer(node)?;
        let conditions_end = self.conditions(node)?;
        let subject = xml::only(node, SAML, "Subject").ok_or(form("not exactly one Subject"))?;
        let confirmed_until = self.confirmed(subject)?;
        let name = xml::only(subject, SAML, "NameID").ok_or(form("not exactly one NameID"))?;
        let name_id = xml::content(name).filter(|n| n.len() <= MAX_VALUE).ok_or(form("NameID"))?;
        let name_id = name_id.trim_matches(BLANKS).to_owned();
        if name_id.is_empty() {
            return Err(form("an empty NameID"));
        }
        // Blanks of other kinds would make one name of two.
        if name_id.trim() != name_id {
            return Err(form("a NameID with blanks around it"));
        }
        let qualified = |attribute, by: &str| name.attribute(attribute).is_none_or(|q| q == by);
        if !qualified("NameQualifier", &self.provider.entity_id)
            || !qualified("SPNameQualifier", &self.service.entity_id)
        {
            return Err(ResponseError::NotOurs("qualifier of the NameID"));
        }
        let (session, session_ends) = self.session(node)?;
        Ok(Assertion {
            id: id.to_owned(),
            name_id,
            is_transient: name.attribute("Format") == Some(TRANSIENT),
            session,
            session_ends,
            remember_until: confirmed_until.max(conditions_end.unwrap_or(confirmed_until)).after(SKEW),
            attributes: attributes(node)?,
        })
    }

    /// Not before its time, not after, and for us; gives when it ends.
    fn conditions(&self, assertion: Node<'_, '_>) -> Result<Option<Timestamp>, ResponseError> {
        let conditions = xml::only(assertion, SAML, "Conditions").ok_or(form("not exactly one Conditions"))?;
        let end = self.within(conditions)?;
        let mut audiences = 0_usize;
        for condition in xml::children(conditions) {
            if condition.has_tag_name((SAML, "AudienceRestriction")) {
                audiences = audiences.saturating_add(1);
                let mut names = xml::named(condition, SAML, "Audience");
                // Of each restriction one has to be us.
                if !names.any(|a| xml::content(a).as_deref().map(str::trim) == Some(&self.service.entity_id)) {
                    return Err(ResponseError::NotOurs("Audience"));
                }
            } else if !condition.has_tag_name((SAML, "OneTimeUse"))
                && !condition.has_tag_name((SAML, "ProxyRestriction"))
            {
                return Err(ResponseError::Condition);
            }
        }
        if audiences == 0 { Err(ResponseError::NotOurs("Audience, of which there is none,")) } else { Ok(end) }
    }

    /// The times of an element, where it has any; gives when it ends.
    fn within(&self, node: Node<'_, '_>) -> Result<Option<Timestamp>, ResponseError> {
        let time = |name| match node.attribute(name) {
            Some(text) => time::read(text).map(Some).ok_or(form("a time that is not one in UTC")),
            None => Ok(None),
        };
        if time("NotBefore")?.is_some_and(|t| t > self.now.after(SKEW)) {
            return Err(ResponseError::Time("the assertion is not good yet"));
        }
        let end = time("NotOnOrAfter")?;
        if end.is_some_and(|t| t.after(SKEW) <= self.now) {
            return Err(ResponseError::Time("the assertion is no longer good"));
        }
        Ok(end)
    }

    /// That whoever brings it now is meant (SAML Profiles, section 4.1.4.2); gives until when.
    fn confirmed(&self, subject: Node<'_, '_>) -> Result<Timestamp, ResponseError> {
        let mut why = form("no bearer SubjectConfirmation");
        for confirmation in xml::named(subject, SAML, "SubjectConfirmation") {
            if confirmation.attribute("Method") != Some(BEARER) {
                continue;
            }
            match self.confirmation(confirmation) {
                Ok(until) => return Ok(until),
                Err(e) => why = e,
            }
        }
        Err(why)
    }

    fn confirmation(&self, confirmation: Node<'_, '_>) -> Result<Timestamp, ResponseError> {
        let data =
            xml::only(confirmation, SAML, "SubjectConfirmationData").ok_or(form("no SubjectConfirmationData"))?;
        if data.attribute("Recipient") != Some(&self.service.acs_url) {
            return Err(ResponseError::NotOurs("Recipient"));
        }
        if data.attribute("InResponseTo") != Some(self.request) {
            return Err(ResponseError::NotOurs("InResponseTo of the assertion"));
        }
        self.within(data)?.ok_or(form("a SubjectConfirmationData without NotOnOrAfter"))
    }

    /// The provider's session, and when it ends.
    fn session(&self, assertion: Node<'_, '_>) -> Result<(Option<String>, Option<Timestamp>), ResponseError> {
        let statement = xml::named(assertion, SAML, "AuthnStatement").next().ok_or(form("no AuthnStatement"))?;
        // The earliest of all.
        let all = xml::named(assertion, SAML, "AuthnStatement").filter_map(|s| s.attribute("SessionNotOnOrAfter"));
        let all: Vec<Timestamp> =
            all.map(|t| time::read(t).ok_or(form("SessionNotOnOrAfter"))).collect::<Result<_, _>>()?;
        let ends = all.into_iter().min();
        if ends.is_some_and(|t| t <= self.now) {
            return Err(ResponseError::Time("the session is over at the provider"));
        }
        let index = statement.attribute("SessionIndex").filter(|i| i.len() <= MAX_VALUE);
        Ok((index.map(str::to_owned), ends))
    }
}

/// There is one assertion in the whole document, where it belongs, and no signature but there and of the answer.
fn one_assertion(response: Node<'_, '_>) -> Result<(), ResponseError> {
    let all = || response.descendants().filter(Node::is_element);
    if all().any(|n| {
        matches!(n.tag_name().name(), "EncryptedAssertion" | "EncryptedID" | "EncryptedAttribute" | "EncryptedData")
    }) {
        return Err(ResponseError::Encrypted);
    }
    let mut assertions = all().filter(|n| n.tag_name().name() == "Assertion");
    let first = assertions.next();
    if assertions.next().is_some() {
        return Err(form("more than one Assertion"));
    }
    if first.is_some_and(|a| a.parent() != Some(response)) {
        return Err(form("an Assertion in another place"));
    }
    if all().filter(|n| n.tag_name().name() == "Response").count() != 1 {
        return Err(form("more than one Response"));
    }
    if all().filter(|n| n.tag_name().name() == "Signature").any(|s| s.parent() != Some(response) && s.parent() != first)
    {
        return Err(form("a Signature in another place"));
    }
    Ok(())
}

/// What XML calls white space.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// The last word of a status, and nothing that could be more.
fn word(urn: &str) -> String {
    let last = urn.rsplit(':').next().unwrap_or_default();
    last.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

/// All attributes: those of one name together, as some providers write a list as several.
fn attributes(assertion: Node<'_, '_>) -> Result<BTreeMap<String, Vec<Option<String>>>, ResponseError> {
    let mut found: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    let statements = xml::named(assertion, SAML, "AttributeStatement");
    for attribute in statements.flat_map(|s| xml::named(s, SAML, "Attribute")) {
        let name = attribute.attribute("Name").ok_or(form("an Attribute without Name"))?;
        let values = xml::named(attribute, SAML, "AttributeValue");
        let values =
            values.map(|v| xml::content(v).map(|t| t.trim_matches(BLANKS).to_owned()).filter(|t| t.len() <= MAX_VALUE));
        found.entry(name.to_owned()).or_default().extend(values);
    }
    Ok(found)
}
