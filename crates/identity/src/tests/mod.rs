//! Tokens good and hostile against a verifier with real issuers on loopback.
mod corpus;
mod development;
mod issuers;
pub(crate) mod support;
mod workloads;
