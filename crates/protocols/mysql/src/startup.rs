//! The handshake, from both sides (manual, "Connection Phase").
//!
//! Towards the client the gateway is a server: its greeting carries the upstream's version, a connection number and a
//! scramble of its own, and promises what [`Capabilities::offered`] says. Towards the upstream it is a client.
use crate::{
    capabilities::Capabilities,
    codec::{WireError, count, put_length, put_string, string},
};
use doorward_wire::Reader;

/// The scramble that a password is proved with.
pub type Nonce = [u8; 20];

/// A greeting of a server (`Protocol::HandshakeV10`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its version: `9.7.4`, `5.5.5-10.11.19-MariaDB`.
    pub version: String,
    /// Its number for the connection.
    pub connection: u32,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its collation; the lower byte of it.
    pub collation: u8,
    /// Status flags.
    pub status: u16,
    /// The scramble.
    pub nonce: Nonce,
    /// The method of log-in that it begins with.
    pub plugin: String,
}

/// What the first packet of a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// A greeting.
    Greeting(Greeting),
    /// Turned away before a greeting: number and words.
    Refused(u16, String),
}

/// Why a server's first packet cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// Malformed.
    #[error("{0}")]
    Malformed(#[from] WireError),
    /// Another version of the protocol.
    #[error("the server speaks protocol version {0}, and only version 10 is spoken here")]
    Version(u8),
    /// Lacks what no session goes without.
    #[error("the server is too old: it lacks the protocol of MySQL 4.1 or log-in by named methods")]
    TooOld,
}

/// Reads a server's first packet.
///
/// # Errors
/// Where it is no greeting that can be answered.
pub fn greeting(payload: &[u8]) -> Result<Hello, GreetingError> {
    let mut r = Reader::new(payload, "greeting");
    match r.u8()? {
        10 => {}
        0xff => {
            let code = r.u16_le()?;
            return Ok(Hello::Refused(code, String::from_utf8_lossy(r.rest()).into_owned()));
        }
        other => return Err(GreetingError::Version(other)),
    }
    let version = String::from_utf8_lossy(r.cstr()?).into_owned();
    let connection = r.u32_le()?;
    let mut nonce = Nonce::default();
    let (first, second) = nonce.split_at_mut(8);
    first.copy_from_slice(r.bytes(8)?);
    r.u8()?;
    let lower = r.u16_le()?;
    let (collation, status, upper) = (r.u8()?, r.u16_le()?, r.u16_le()?);
    let length = usize::from(r.u8()?);
    r.bytes(6)?;
    let maria = r.u32_le()?;
    let low = u32::from(lower) | u32::from(upper) << 16;
    // MySQL leaves MariaDB's bits zero; a server that sets both kinds is believed in its own.
    let capabilities = Capabilities::of(low, if low & 1 == 0 { maria } else { 0 });
    if !capabilities.are_enough() {
        return Err(GreetingError::TooOld);
    }
    let rest = r.bytes(length.saturating_sub(8).max(13))?;
    second.copy_from_slice(rest.get(..12).unwrap_or_default());
    let plugin = String::from_utf8_lossy(r.cstr()?).into_owned();
    r.all()?;
    Ok(Hello::Greeting(Greeting { version, connection, capabilities, collation, status, nonce, plugin }))
}

/// Writes a greeting.
pub fn put_greeting(out: &mut Vec<u8>, g: &Greeting) {
    out.push(10);
    put_cstr(out, g.version.as_bytes());
    out.extend(g.connection.to_le_bytes());
    let (first, second) = g.nonce.split_at(8);
    out.extend_from_slice(first);
    out.push(0);
    let [a, b, c, d] = g.capabilities.low().to_le_bytes();
    out.extend([a, b, g.collation]);
    out.extend(g.status.to_le_bytes());
    out.extend([c, d, 21]);
    out.extend([0; 6]);
    let maria = if g.capabilities.is_mariadb() { g.capabilities.high() } else { 0 };
    out.extend(maria.to_le_bytes());
    out.extend_from_slice(second);
    out.push(0);
    put_cstr(out, g.plugin.as_bytes());
}

/// An answer to a greeting (`Protocol::HandshakeResponse41`), or its beginning that asks for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// What the client can do.
    pub capabilities: Capabilities,
    /// The longest message it wants to send; informative.
    pub most: u32,
    /// Its collation.
    pub collation: u8,
    /// The rest; `None` for a request for TLS.
    pub login: Option<Login>,
}

/// What a client says about itself: names and values.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// Who wants to be let in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: Vec<u8>,
    /// The proof, or with `mysql_clear_password` the password itself.
    pub response: Vec<u8>,
    /// The schema.
    pub database: Option<Vec<u8>>,
    /// The method that the proof is for.
    pub plugin: Vec<u8>,
    /// What the client says about itself.
    pub attributes: Attributes,
    /// The level of zstd, where that was agreed.
    pub zstd_level: Option<u8>,
}

impl std::fmt::Debug for Login {
    /// Without the proof, which may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        f.debug_struct("Login")
            .field("user", &text(&self.user))
            .field("plugin", &text(&self.plugin))
            .finish_non_exhaustive()
    }
}

/// More attributes than this are no description of a client (the server's own limit is 64 KiB).
const ATTRIBUTES: usize = 65_536;

/// Reads a client's answer to a greeting that offered `offered`.
///
/// # Errors
/// Where it is malformed, or from a client too old for a session.
pub fn response(payload: &[u8], offered: Capabilities) -> Result<Response, WireError> {
    let mut r = Reader::new(payload, "handshake response");
    let low = r.u32_le()?;
    let (most, collation) = (r.u32_le()?, r.u8()?);
    r.bytes(19)?;
    let maria = r.u32_le()?;
    let wanted = Capabilities::of(low, if low & 1 == 0 { maria } else { 0 });
    // INVARIANT: read by what both sides have agreed to, as the server does: never by what the client merely says.
    let capabilities = Capabilities::agreed(offered, wanted);
    if !wanted.has(Capabilities::PROTOCOL_41) || !wanted.has(Capabilities::SECURE_CONNECTION) {
        return Err(r.invalid());
    }
    let mut out = Response { capabilities, most, collation, login: None };
    if r.left() == 0 && capabilities.has(Capabilities::SSL) {
        return Ok(out);
    }
    let mut login = Login { user: r.cstr()?.to_vec(), ..Login::default() };
    let n = if capabilities.has(Capabilities::LENENC_AUTH) { count(&mut r)? } else { usize::from(r.u8()?) };
    login.response = r.bytes(n)?.to_vec();
    if capabilities.has(Capabilities::CONNECT_WITH_DB) && r.left() > 0 {
        login.database = Some(r.cstr()?.to_vec()).filter(|d| !d.is_empty());
    }
    if capabilities.has(Capabilities::PLUGIN_AUTH) && r.left() > 0 {
        login.plugin = r.cstr()?.to_vec();
    }
    if capabilities.has(Capabilities::CONNECT_ATTRS) && r.left() > 0 {
        login.attributes = attributes(&mut r)?;
    }
    if capabilities.has(Capabilities::ZSTD) && r.left() > 0 {
        login.zstd_level = Some(r.u8()?).filter(|level| (1..=22).contains(level));
    }
    r.all()?;
    out.login = Some(login);
    Ok(out)
}

fn attributes(r: &mut Reader<'_>) -> Result<Attributes, WireError> {
    let n = count(r)?;
    if n > ATTRIBUTES {
        return Err(r.invalid());
    }
    let mut r = r.sub(n)?;
    let mut out = Vec::new();
    while r.left() > 0 {
        out.push((string(&mut r)?.to_vec(), string(&mut r)?.to_vec()));
    }
    Ok(out)
}

/// Writes an answer to a greeting, or with no log-in the request for TLS that comes before it.
pub fn put_response(out: &mut Vec<u8>, response: &Response) {
    let c = response.capabilities;
    out.extend(c.low().to_le_bytes());
    out.extend(response.most.to_le_bytes());
    out.push(response.collation);
    out.extend([0; 19]);
    let maria = if c.is_mariadb() { c.high() } else { 0 };
    out.extend(maria.to_le_bytes());
    let Some(login) = &response.login else { return };
    put_cstr(out, &login.user);
    if c.has(Capabilities::LENENC_AUTH) {
        put_string(out, &login.response);
    } else {
        let part = login.response.get(..255).unwrap_or(&login.response);
        out.push(part.len().to_le_bytes()[0]);
        out.extend_from_slice(part);
    }
    if c.has(Capabilities::CONNECT_WITH_DB) {
        put_cstr(out, login.database.as_deref().unwrap_or_default());
    }
    if c.has(Capabilities::PLUGIN_AUTH) {
        put_cstr(out, &login.plugin);
    }
    if c.has(Capabilities::CONNECT_ATTRS) {
        let mut all = Vec::new();
        for (name, value) in &login.attributes {
            put_string(&mut all, name);
            put_string(&mut all, value);
        }
        put_length(out, all.len() as u64);
        out.extend(all);
    }
    if c.has(Capabilities::ZSTD) {
        out.push(login.zstd_level.unwrap_or(3));
    }
}

/// What a server says while it finds out who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginStep<'a> {
    /// Let in: an OK packet, raw.
    Ok(&'a [u8]),
    /// Not let in: an ERR packet, raw.
    Error(&'a [u8]),
    /// Another method, with its data.
    Switch {
        /// The method.
        plugin: &'a [u8],
        /// Its data: a scramble, mostly with a NUL behind it.
        data: &'a [u8],
    },
    /// More data of the method.
    More(&'a [u8]),
}

/// Reads a server's packet during log-in.
///
/// # Errors
/// Where it is none.
pub fn login_step(payload: &[u8]) -> Result<LoginStep<'_>, WireError> {
    let mut r = Reader::new(payload, "log-in packet");
    match r.u8()? {
        0x00 => Ok(LoginStep::Ok(payload)),
        0xff => Ok(LoginStep::Error(payload)),
        0x01 => Ok(LoginStep::More(r.rest())),
        // Without a body it asks for the password hash of before 4.1, which is not spoken.
        0xfe if r.left() == 0 => Ok(LoginStep::Switch { plugin: b"mysql_old_password", data: b"" }),
        0xfe => Ok(LoginStep::Switch { plugin: r.cstr()?, data: r.rest() }),
        _ => Err(r.invalid()),
    }
}

/// Writes a switch to another method.
pub fn put_switch(out: &mut Vec<u8>, plugin: &str, data: &[u8]) {
    out.push(0xfe);
    put_cstr(out, plugin.as_bytes());
    out.extend_from_slice(data);
}

pub(crate) fn put_cstr(out: &mut Vec<u8>, text: &[u8]) {
    // A NUL would end the text early and shift what follows.
    out.extend(text.iter().filter(|b| **b != 0));
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Capabilities = Capabilities::offered(Capabilities(0xffff_ffff), true, true);

    #[test]
    fn what_is_written_can_be_read() {
        let sent = Greeting {
            version: "5.5.5-10.11.19-MariaDB".into(),
            connection: 0x0102_0304,
            capabilities: Capabilities::offered(Capabilities(!1), true, false),
            collation: 45,
            status: 2,
            nonce: *b"abcdefghijklmnopqrst",
            plugin: "mysql_clear_password".into(),
        };
        let mut out = Vec::new();
        put_greeting(&mut out, &sent);
        assert_eq!(greeting(&out), Ok(Hello::Greeting(sent)));

        let login = Login {
            user: b"bot".to_vec(),
            response: vec![7; 300],
            database: Some(b"orders".to_vec()),
            plugin: b"mysql_clear_password".to_vec(),
            attributes: vec![(b"_client_name".to_vec(), b"x".to_vec())],
            zstd_level: Some(9),
        };
        let sent = Response { capabilities: ALL, most: 1 << 24, collation: 45, login: Some(login) };
        let mut out = Vec::new();
        put_response(&mut out, &sent);
        assert_eq!(response(&out, ALL), Ok(sent.clone()));
        let mut out = Vec::new();
        put_response(&mut out, &Response { login: None, ..sent.clone() });
        assert_eq!(out.len(), 32);
        assert_eq!(response(&out, ALL), Ok(Response { login: None, ..sent }));
    }

    #[test]
    fn a_request_for_tls_is_none_where_it_was_not_offered() {
        let plain = Capabilities::offered(Capabilities(u64::MAX), false, false);
        let mut out = Vec::new();
        put_response(&mut out, &Response { capabilities: ALL, most: 0, collation: 45, login: None });
        assert!(response(&out, plain).is_err());
    }

    #[test]
    fn nobody_sees_a_password_in_a_debug_print() {
        let login = Login { response: b"secret".to_vec(), ..Login::default() };
        assert!(!format!("{login:?}").contains("115, 101"));
    }

    #[test]
    fn servers_too_old_are_told_from_those_who_refuse() {
        assert_eq!(greeting(b"\x09x"), Err(GreetingError::Version(9)));
        assert_eq!(greeting(b"\xff\x69\x04Host blocked"), Ok(Hello::Refused(1129, "Host blocked".into())));
    }

    proptest! {
        #[test]
        fn random_bytes_are_read_or_refused(bytes: Vec<u8>, bits: u64) {
            drop((greeting(&bytes), response(&bytes, Capabilities(bits)), login_step(&bytes)));
            let mut known = vec![10, 0];
            known.extend(&bytes);
            drop(greeting(&known));
        }
    }
}
