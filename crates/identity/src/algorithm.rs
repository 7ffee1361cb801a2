//! The signature algorithms that exist here (RFC 7518, RFC 8037, RFC 9864).
use aws_lc_rs::signature::{self as sig, RsaParameters};

/// An algorithm that may sign a token. `none` and the HMAC family are not representable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// The algorithm of a JOSE `alg` value, exactly as registered; `None` for any other.
    pub(crate) fn from_jose(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            // RFC 9864 gives the one curve that is supported a name of its own.
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// Those that an RSA key can be used with.
    pub(crate) const RSA: [(Self, &'static RsaParameters); 6] = [
        (Self::Rs256, &sig::RSA_PKCS1_2048_8192_SHA256),
        (Self::Rs384, &sig::RSA_PKCS1_2048_8192_SHA384),
        (Self::Rs512, &sig::RSA_PKCS1_2048_8192_SHA512),
        (Self::Ps256, &sig::RSA_PSS_2048_8192_SHA256),
        (Self::Ps384, &sig::RSA_PSS_2048_8192_SHA384),
        (Self::Ps512, &sig::RSA_PSS_2048_8192_SHA512),
    ];
}
