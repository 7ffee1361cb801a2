//! SAML 2.0, as far as a service provider needs it to sign people in by browser: the Web Browser SSO profile with
//! requests by HTTP-Redirect and answers by HTTP-POST.
//!
//! Purpose: [`AuthnRequest`] sends a browser to a provider, [`Expected::read`] says what its answer is worth,
//! [`IdentityProvider::of_metadata`] and [`ServiceProvider::metadata`] introduce both sides.
//!
//! Invariants:
//! - Claims are read from the very bytes whose signature was verified, and from nothing else of the document.
//! - Keys come from the configuration, never from a document.
//! - Documents are bounded in size, depth and number of parts before a tree is made of them; DTDs do not exist.
//! - Nothing of a document is in an error, but the words of a status.
//! - No clock, no I/O: time is a parameter. Random is only the padding of signatures.
//!
//! Deliberately absent: encryption, SHA-1, HMAC, other transforms than two, other bindings, artifacts, single logout,
//! unsolicited answers. docs/adr/0017 says why this is our own code.
//!
//! Known limits: what an answer is bound to (`Expected::request`) and that it is used once is for the caller to see to.
//! Metadata is configuration: its own signature and dates are not looked at.
mod canonical;
mod certificate;
mod metadata;
mod names;
mod request;
mod response;
mod signature;
mod time;
mod xml;

pub use certificate::{Certificate, CertificateError};
pub use metadata::{IdentityProvider, MetadataError, ServiceProvider};
pub use request::{AuthnRequest, SigningKey, SigningKeyError};
pub use response::{Assertion, Expected, ResponseError, SKEW};
pub use signature::SignatureError;
pub use xml::XmlError;

#[cfg(test)]
mod tests;
