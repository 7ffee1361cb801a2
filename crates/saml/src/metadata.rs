//! Metadata (SAML V2.0 Metadata): what a provider says of itself, and what we say of ourselves.
use crate::{
    Certificate, CertificateError, XmlError,
    names::{MD, POST, REDIRECT, SAMLP},
    signature::DS,
    xml::{self, escaped},
};
use roxmltree::Node;

/// An identity provider, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its name, exactly as in its assertions.
    pub entity_id: String,
    /// Where requests go, by HTTP-Redirect.
    pub sso_url: String,
    /// What it signs with: several while keys are changed.
    pub certificates: Vec<Certificate>,
}

/// Why metadata is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not a document.
    #[error("is not read: {0}")]
    Xml(#[from] XmlError),
    /// A document of something else.
    #[error("is not an EntityDescriptor of SAML metadata")]
    NotMetadata,
    /// Nothing, or more than one thing, that signs people in.
    #[error("has not exactly one IDPSSODescriptor for SAML 2.0")]
    NoProvider,
    /// Nowhere to send people to.
    #[error("has no SingleSignOnService for HTTP-Redirect")]
    NoService,
    /// Nothing to check signatures by.
    #[error("has no certificate for signing")]
    NoCertificate,
    /// A key with more than one certificate. Which of them signs cannot be told; the others may be of authorities, whose
    /// keys sign much else (SAML V2.0 Metadata Interoperability Profile, section 2.5.1).
    #[error("has a KeyDescriptor with more than one certificate: leave the one that signs, without those of its chain")]
    Chain,
    /// A certificate that is none.
    #[error("has a certificate that {0}")]
    Certificate(#[from] CertificateError),
}

impl IdentityProvider {
    /// Reads a provider's metadata. It is part of the configuration: whether it is genuine, and still good, is for the
    /// administrator to see to. Signatures and `validUntil` in it are not looked at.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_metadata(text: &str) -> Result<Self, MetadataError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let tree = xml::parse(text)?;
        let entity = tree.root_element();
        let entity_id = entity.attribute("entityID").filter(|id| !id.is_empty());
        if !entity.has_tag_name((MD, "EntityDescriptor")) {
            return Err(MetadataError::NotMetadata);
        }
        let entity_id = entity_id.ok_or(MetadataError::NotMetadata)?.to_owned();
        let mut all = xml::named(entity, MD, "IDPSSODescriptor").filter(speaks_saml_2);
        let provider = all.next().filter(|_| all.next().is_none()).ok_or(MetadataError::NoProvider)?;
        let service = xml::named(provider, MD, "SingleSignOnService")
            .find(|s| s.attribute("Binding") == Some(REDIRECT))
            .and_then(|s| s.attribute("Location"));
        let certificates = certificates(provider)?;
        if certificates.is_empty() {
            return Err(MetadataError::NoCertificate);
        }
        Ok(Self { entity_id, sso_url: service.ok_or(MetadataError::NoService)?.to_owned(), certificates })
    }
}

fn speaks_saml_2(node: &Node<'_, '_>) -> bool {
    node.attribute("protocolSupportEnumeration").unwrap_or_default().split_ascii_whitespace().any(|p| p == SAMLP)
}

/// Those for signing, and those that do not say what for.
fn certificates(provider: Node<'_, '_>) -> Result<Vec<Certificate>, MetadataError> {
    let keys =
        xml::named(provider, MD, "KeyDescriptor").filter(|k| matches!(k.attribute("use"), None | Some("signing")));
    let mut found: Vec<Certificate> = Vec::new();
    for key in keys {
        let mut of_key: Option<Certificate> = None;
        for node in key.descendants().filter(|n| n.has_tag_name((DS, "X509Certificate"))) {
            let certificate = Certificate::read(&xml::content(node).unwrap_or_default())?;
            if of_key.as_ref().is_some_and(|c| *c != certificate) {
                return Err(MetadataError::Chain);
            }
            of_key = Some(certificate);
        }
        found.extend(of_key.filter(|c| !found.contains(c)));
    }
    Ok(found)
}

/// Ourselves, at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceProvider {
    /// Our name: the audience of assertions that are for us.
    pub entity_id: String,
    /// Where browsers bring answers.
    pub acs_url: String,
}

impl ServiceProvider {
    /// What the provider may be given to know us by; with the certificate that our requests are signed with, if they are.
    pub fn metadata(&self, signing: Option<&Certificate>) -> String {
        let key = signing.map_or_else(String::new, |c| {
            format!(
                "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"{DS}\"><ds:X509Data><ds:X509Certificate>{}\
                 </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>",
                c.base64()
            )
        });
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor xmlns:md=\"{MD}\" entityID=\"{}\">\
             <md:SPSSODescriptor protocolSupportEnumeration=\"{SAMLP}\" AuthnRequestsSigned=\"{}\" \
             WantAssertionsSigned=\"true\">{key}<md:AssertionConsumerService Binding=\"{POST}\" Location=\"{}\" index=\"0\" \
             isDefault=\"true\"/></md:SPSSODescriptor></md:EntityDescriptor>\n",
            escaped(&self.entity_id),
            signing.is_some(),
            escaped(&self.acs_url),
        )
    }
}
