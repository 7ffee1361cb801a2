//! XML signatures as SAML has them (SAML Core, section 5.4), and nothing else that XML Signature can say.
//!
//! What comes back of a verification is the text that was signed, never a place in the document that came: whoever reads
//! claims reads them from these bytes alone, so that there is nothing to wrap around them.
use crate::{
    canonical::Canonical,
    certificate::{Algorithm, Certificate},
    xml,
};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use roxmltree::Node;

/// The namespace of XML Signature.
pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// The most elements of a signature with its `KeyInfo`; a dozen is usual.
const MAX_PARTS: usize = 128;
/// The most prefixes of a `PrefixList`: each is looked for at each element.
const MAX_PREFIXES: usize = 32;

/// Why a signature is not believed. Nothing of the document is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not of the form that SAML has.
    #[error("the signature is not of the form that SAML has: {0}")]
    Form(&'static str),
    /// Something that is not, or no longer, good enough.
    #[error("the signature uses {0}, which is not accepted")]
    Algorithm(&'static str),
    /// It is of something else than the element that it is in.
    #[error("the signature is not about the element that it is in")]
    Reference,
    /// The content is not what was signed.
    #[error("the content was changed after it was signed")]
    Digest,
    /// No configured certificate fits.
    #[error("the signature is by none of the configured certificates")]
    Key,
}

/// The text of `element` that one of `certificates` has signed, in canonical form and without the signature. A key that
/// the document brings along (`KeyInfo`) is never looked at.
pub(crate) fn signed_text(element: Node<'_, '_>, certificates: &[Certificate]) -> Result<String, SignatureError> {
    let form = SignatureError::Form;
    let signature = xml::only(element, DS, "Signature").ok_or(form("not exactly one Signature"))?;
    // What follows is done before anybody is known to have signed anything.
    if signature.descendants().filter(Node::is_element).count() > MAX_PARTS {
        return Err(form("too many parts"));
    }
    if signature.descendants().any(|n| n.is_comment()) {
        return Err(form("a comment in it"));
    }
    let parts: Vec<Node<'_, '_>> = xml::children(signature).collect();
    let names: Vec<&str> =
        parts.iter().filter(|n| n.tag_name().namespace() == Some(DS)).map(|n| n.tag_name().name()).collect();
    let (info, value) = match (names.as_slice(), parts.as_slice()) {
        (["SignedInfo", "SignatureValue"] | ["SignedInfo", "SignatureValue", "KeyInfo"], [info, value, ..])
            if names.len() == parts.len() =>
        {
            (*info, *value)
        }
        _ => return Err(form("its parts")),
    };
    let value = decoded(value).ok_or(form("SignatureValue"))?;
    let method = xml::only(info, DS, "CanonicalizationMethod").ok_or(form("CanonicalizationMethod"))?;
    let inclusive = exclusive(method)?;
    let info = Canonical { without: None, inclusive: &inclusive }.of(info).map_err(|_| form("SignedInfo"))?;
    // From here on it is read as it was signed.
    let tree = xml::parse(&info).map_err(|_| form("SignedInfo"))?;
    let info_node = tree.root_element();
    let algorithm = signature_method(info_node)?;
    if !certificates.iter().any(|c| c.verifies(algorithm, info.as_bytes(), &value)) {
        return Err(SignatureError::Key);
    }
    let reference = Reference::of(info_node)?;
    let id = element.attribute("ID").filter(|id| !id.is_empty()).ok_or(SignatureError::Reference)?;
    if reference.uri.strip_prefix('#') != Some(id) {
        return Err(SignatureError::Reference);
    }
    let text = Canonical { without: Some(signature.id()), inclusive: &reference.inclusive }.of(element);
    let text = text.map_err(|_| form("what it is about is too large"))?;
    if digest::digest(reference.digest, text.as_bytes()).as_ref() != reference.value.as_slice() {
        return Err(SignatureError::Digest);
    }
    Ok(text)
}

/// What a signature says that it is about.
struct Reference<'a> {
    uri: &'a str,
    inclusive: Vec<&'a str>,
    digest: &'static digest::Algorithm,
    value: Vec<u8>,
}

impl<'a> Reference<'a> {
    fn of(info: Node<'a, 'a>) -> Result<Self, SignatureError> {
        let form = SignatureError::Form;
        if xml::children(info).count() != 3 {
            return Err(form("not exactly one Reference"));
        }
        let reference = xml::only(info, DS, "Reference").ok_or(form("not exactly one Reference"))?;
        if xml::children(reference).count() != 3 {
            return Err(form("the parts of Reference"));
        }
        let transforms = xml::only(reference, DS, "Transforms").ok_or(form("no Transforms"))?;
        let transforms: Vec<Node<'_, '_>> = xml::children(transforms).collect();
        let [first, second] = transforms.as_slice() else {
            return Err(SignatureError::Algorithm(
                "other transforms than enveloped-signature and exclusive canonicalization",
            ));
        };
        let transform = |n: &Node<'_, '_>| n.has_tag_name((DS, "Transform"));
        if !transform(first)
            || !transform(second)
            || first.attribute("Algorithm") != Some(ENVELOPED)
            || first.has_children()
        {
            return Err(SignatureError::Algorithm(
                "other transforms than enveloped-signature and exclusive canonicalization",
            ));
        }
        let method = xml::only(reference, DS, "DigestMethod").ok_or(form("no DigestMethod"))?;
        let value = xml::only(reference, DS, "DigestValue").ok_or(form("no DigestValue"))?;
        Ok(Self {
            uri: reference.attribute("URI").ok_or(SignatureError::Reference)?,
            inclusive: exclusive(*second)?,
            digest: digest_method(method)?,
            value: decoded(value).ok_or(form("DigestValue"))?,
        })
    }
}

/// The prefixes to keep of an element that names exclusive canonicalization, or why it names something else.
fn exclusive<'a>(method: Node<'a, 'a>) -> Result<Vec<&'a str>, SignatureError> {
    if method.attribute("Algorithm") != Some(EXCLUSIVE) {
        return Err(SignatureError::Algorithm("another canonicalization than the exclusive one without comments"));
    }
    match xml::children(method).collect::<Vec<_>>().as_slice() {
        [] => Ok(Vec::new()),
        [list] if list.has_tag_name((EXCLUSIVE, "InclusiveNamespaces")) && !list.has_children() => {
            let list = list.attribute("PrefixList").unwrap_or_default();
            let prefixes: Vec<&str> = list.split_ascii_whitespace().take(MAX_PREFIXES + 1).collect();
            if prefixes.len() > MAX_PREFIXES { Err(SignatureError::Form("too many prefixes")) } else { Ok(prefixes) }
        }
        _ => Err(SignatureError::Form("the parameters of the canonicalization")),
    }
}

fn signature_method(info: Node<'_, '_>) -> Result<Algorithm, SignatureError> {
    let method = xml::only(info, DS, "SignatureMethod").ok_or(SignatureError::Form("no SignatureMethod"))?;
    // A truncated HMAC would be said within.
    if xml::children(method).next().is_some() {
        return Err(SignatureError::Form("parameters of SignatureMethod"));
    }
    let name = method.attribute("Algorithm").unwrap_or_default();
    Algorithm::named(name).ok_or_else(|| {
        let name = name.to_ascii_lowercase();
        SignatureError::Algorithm(if name.contains("hmac") {
            "HMAC"
        } else if name.ends_with("sha1") {
            "SHA-1"
        } else {
            "a signature algorithm other than RSA or ECDSA (P-256) with SHA-2"
        })
    })
}

fn digest_method(method: Node<'_, '_>) -> Result<&'static digest::Algorithm, SignatureError> {
    match method.attribute("Algorithm").unwrap_or_default() {
        "http://www.w3.org/2001/04/xmlenc#sha256" => Ok(&digest::SHA256),
        "http://www.w3.org/2001/04/xmlenc#sha512" => Ok(&digest::SHA512),
        "http://www.w3.org/2000/09/xmldsig#sha1" => Err(SignatureError::Algorithm("SHA-1")),
        _ => Err(SignatureError::Algorithm("a digest other than SHA-256 and SHA-512")),
    }
}

fn decoded(node: Node<'_, '_>) -> Option<Vec<u8>> {
    let bare: String = xml::content(node)?.split_ascii_whitespace().collect();
    STANDARD.decode(bare).ok().filter(|v| !v.is_empty())
}
