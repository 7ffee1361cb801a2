//! TLS on both sides.
use crate::connection::{Authorities, Upstream, UpstreamTls};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use std::{path::Path, sync::Arc};

/// TLS cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds no PEM of the kind.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate and key do not fit, or are not supported.
    #[error("TLS: {0}")]
    Setup(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn setup(e: impl std::fmt::Display) -> TlsError {
    TlsError::Setup(e.to_string())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |what: String| TlsError::File { path: path.display().to_string(), what };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|e| file(e.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|e| file(e.to_string()))?;
    if found.is_empty() {
        return Err(file("holds no certificate".into()));
    }
    Ok(found)
}

fn authorities(from: &Authorities) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = match from {
        Authorities::File(path) => return certificates(path),
        Authorities::Pem(pem) => pem,
    };
    let wrong = |what: String| setup(format!("the certificate authorities: {what}"));
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e: rustls::pki_types::pem::Error| wrong(e.to_string()))?;
    if found.is_empty() { Err(wrong("there is no certificate in PEM".into())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|e| TlsError::File { path: path.display().to_string(), what: e.to_string() })
}

/// TLS towards callers, from PEM files.
///
/// # Errors
/// Where the files cannot be read or do not fit.
pub fn server(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    server_from(certificates(cert)?, private_key(key)?)
}

fn server_from(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(setup)?;
    // libpq announces this protocol when it starts TLS without SSLRequest; others announce none.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    // The TLS layer keeps at most this much unsent; the session waits instead of buffering more.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A self-signed certificate for `localhost`, kept in `dir` so that clients can pin it.
///
/// # Errors
/// Where it cannot be made or kept.
pub fn self_signed(dir: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let (cert, key) = (dir.join("dev-tls.crt"), dir.join("dev-tls.key"));
    if !(cert.exists() && key.exists()) {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).map_err(setup)?;
        let io = |e: std::io::Error| TlsError::File { path: dir.display().to_string(), what: e.to_string() };
        write_private(&key, made.signing_key.serialize_pem().as_bytes()).map_err(io)?;
        std::fs::write(&cert, made.cert.pem()).map_err(io)?;
    }
    server(&cert, &key)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// Whether the last certificate of a file vouches for itself: whoever is to trust it has to be given it.
///
/// # Errors
/// Where the file cannot be read.
pub fn is_self_signed(path: &Path) -> Result<bool, TlsError> {
    let chain = certificates(path)?;
    let Some(last) = chain.last() else { return Ok(false) };
    let parsed = x509_parser::parse_x509_certificate(last);
    Ok(parsed.is_ok_and(|(_, certificate)| certificate.issuer() == certificate.subject()))
}

/// TLS towards an upstream; none where it is disabled.
///
/// # Errors
/// Where certificates cannot be read.
pub fn client(upstream: &Upstream) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(setup)?;
    let builder = match upstream.tls {
        UpstreamTls::Disable => return Ok(None),
        UpstreamTls::Prefer | UpstreamTls::Require => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider: provider() }))
        }
        UpstreamTls::VerifyFull => builder.with_root_certificates(roots(upstream)?),
        UpstreamTls::VerifyCa => {
            let inner =
                rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots(upstream)?), provider())
                    .build()
                    .map_err(setup)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { inner }))
        }
    };
    let mut config = match &upstream.tls_client {
        Some((cert, key)) => builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(setup)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn roots(upstream: &Upstream) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match &upstream.tls_ca {
        Some(from) => {
            for cert in authorities(from)? {
                roots.add(cert).map_err(setup)?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                return Err(setup("no certificate authorities of the system were found: set tls_ca"));
            }
        }
    }
    Ok(roots)
}

/// The data that bind SCRAM to the TLS channel: `tls-server-end-point` (RFC 5929 §4.1), the hash of
/// the server's certificate by the hash of its signature, SHA-256 where that is weaker.
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use sha2::Digest as _;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let oid = parsed.signature_algorithm.algorithm.to_id_string();
    Some(match oid.as_str() {
        // sha384WithRSAEncryption, ecdsa-with-SHA384
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => sha2::Sha384::digest(certificate).to_vec(),
        // sha512WithRSAEncryption, ecdsa-with-SHA512
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => sha2::Sha512::digest(certificate).to_vec(),
        // RSA-PSS names its hash in its parameters and Ed25519 has none of its own: not defined, no binding.
        "1.2.840.113549.1.1.10" | "1.3.101.112" => return None,
        _ => sha2::Sha256::digest(certificate).to_vec(),
    })
}

/// `sslmode=require`: encrypted, but to whom is not checked.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// `sslmode=verify-ca`: a trusted authority, any name.
#[derive(Debug)]
struct AnyName {
    inner: Arc<rustls::client::WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::{CertificateError, Error};
        match self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
