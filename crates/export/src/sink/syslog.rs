//! RFC 5424 messages in octet-counted frames: RFC 5425 over TLS, RFC 6587 §3.4.1 over TCP.
//!
//! Neither has acknowledgements, and what is written to a socket may never be read. So a batch is a connection: we write
//! it, end our side, and wait until the receiver, having read up to that end, closes its own. A receiver that dies
//! before resets the connection, and the batch is sent again.
use super::SendError;
use crate::{
    config::{Misconfigured, TlsFiles},
    format::{Item, rfc3339},
    reader::Batch,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use std::{fmt::Write as _, io, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

const CONNECT: Duration = Duration::from_secs(10);
/// Facility 13, "log audit" (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;
/// A receiver has nothing to say; what it says nevertheless is read up to here.
const MOST_REPLY: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct SyslogSink {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    own_name: String,
}

impl SyslogSink {
    pub(crate) fn new(host: &str, port: u16, tls: Option<&TlsFiles>) -> Result<Self, Misconfigured> {
        let tls = match tls {
            Some(files) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| Misconfigured(format!("`{host}` is no name or address of a host")))?;
                Some((client_config(files)?, name))
            }
            None if host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) => None,
            None => {
                return Err(Misconfigured(format!(
                    "syslog to `{host}` needs TLS: plain TCP is for loopback addresses"
                )));
            }
        };
        Ok(Self { host: host.to_owned(), port, tls, own_name: header_value(&super::host(), 255) })
    }

    pub(crate) async fn send(&self, batch: &Batch) -> Result<u64, SendError> {
        let mut bytes = Vec::with_capacity(batch.bytes.saturating_add(batch.items.len().saturating_mul(200)));
        for item in &batch.items {
            let message = message(&self.own_name, item);
            bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
            bytes.extend_from_slice(message.as_bytes());
        }
        let place = format!("{}:{}", self.host, self.port);
        let fail = |what: &str, e: &dyn std::fmt::Display| SendError::new(format!("{place}: {what}: {e}"));
        let tcp = timeout(CONNECT, TcpStream::connect((self.host.as_str(), self.port)))
            .await
            .map_err(|_| fail("connecting", &"no answer"))?
            .map_err(|e| fail("connecting", &e))?;
        match &self.tls {
            Some((config, name)) => {
                let tls = timeout(CONNECT, TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp))
                    .await
                    .map_err(|_| fail("TLS", &"no answer"))?
                    .map_err(|e| fail("TLS", &e))?;
                deliver(tls, &bytes).await
            }
            None => deliver(tcp, &bytes).await,
        }
        .map_err(|e| fail("sending", &e))?;
        Ok(0)
    }
}

async fn deliver(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    stream.shutdown().await?;
    let mut reply = [0u8; 1024];
    let mut said = 0usize;
    loop {
        match stream.read(&mut reply).await {
            Ok(0) => return Ok(()),
            Ok(n) => said = said.saturating_add(n),
            // Many receivers close the connection without a word of TLS.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e),
        }
        if said > MOST_REPLY {
            return Err(io::Error::other("the receiver talks instead of closing the connection"));
        }
    }
}

/// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG` (RFC 5424 §6).
fn message(own_name: &str, item: &Item) -> String {
    let priority = FACILITY.saturating_mul(8).saturating_add(item.severity.syslog());
    let mut out = format!("<{priority}>1 {} {own_name} doorward - {} ", rfc3339(item.time), item.kind);
    // 32473 is the enterprise number for examples (RFC 5612): Doorward has none of its own.
    // Writing to a String does not fail.
    let _ = write!(out, "[doorward@32473 seq=\"{}\"", item.seq);
    if let Some(session) = item.session {
        let _ = write!(out, " session=\"{session}\"");
    }
    out.push_str("] ");
    out.push_str(&item.text);
    out
}

/// Printable ASCII without blanks, of bounded length; `-` for nothing.
fn header_value(text: &str, longest: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

fn client_config(files: &TlsFiles) -> Result<Arc<ClientConfig>, Misconfigured> {
    let bad = |what: &str, e: &dyn std::fmt::Display| Misconfigured(format!("TLS: {what}: {e}"));
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(path) => {
            for cert in certificates(path)? {
                roots.add(cert).map_err(|e| bad(&path.display().to_string(), &e))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Misconfigured("TLS: there is no authority to trust: give tls_ca".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad("versions", &e))?
        .with_root_certificates(roots);
    let config = match &files.client {
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(&key.display().to_string(), &e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| bad("tls_cert and tls_key", &e))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Misconfigured> {
    let bad = |e: rustls_pki_types::pem::Error| Misconfigured(format!("TLS: {}: {e}", path.display()));
    CertificateDer::pem_file_iter(path).map_err(bad)?.collect::<Result<_, _>>().map_err(bad)
}
