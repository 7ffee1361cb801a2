//! What the gateway itself says, in the protocol's own bytes.
use bytes::{BufMut, BytesMut};
use doorward_enforce::{Refusal, RefusalKind};

/// An error for the caller, in the place of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its SQLSTATE.
    pub code: &'static str,
    /// What was refused, and by what.
    pub message: String,
    /// Which right was missing.
    pub detail: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1; 0: nowhere.
    pub position: usize,
}

impl Rejection {
    /// An error with a code of its own.
    pub fn new(code: &'static str, message: &str, hint: Option<&str>) -> Self {
        Self { code, message: message.to_owned(), detail: None, hint: hint.map(str::to_owned), position: 0 }
    }

    /// The same error, pointing into the statement.
    #[must_use]
    pub fn at(mut self, position: usize) -> Self {
        self.position = position;
        self
    }
}

impl From<&Refusal> for Rejection {
    fn from(r: &Refusal) -> Self {
        let code = match r.kind {
            // insufficient_privilege
            RefusalKind::Policy
            | RefusalKind::PolicyError
            | RefusalKind::NotUnderstood
            | RefusalKind::Denied
            | RefusalKind::Expired => "42501",
            // disk_full is one cause of several; io_error covers them
            RefusalKind::Unavailable => "58030",
            // query_canceled
            RefusalKind::Withdrawn => "57014",
        };
        Self { code, message: r.message.clone(), detail: r.detail.clone(), hint: r.hint.clone(), position: 0 }
    }
}

/// Writes one frame. Bodies that the gateway writes are far below the 2 GiB that a length can say.
fn frame(out: &mut impl BufMut, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    out.put_u32(u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX));
    out.put_slice(body);
}

fn cstr(out: &mut Vec<u8>, text: &str) {
    // A NUL would end the text early and shift what follows.
    out.extend(text.bytes().filter(|b| *b != 0));
    out.push(0);
}

fn field(out: &mut Vec<u8>, code: u8, text: &str) {
    out.push(code);
    cstr(out, text);
}

/// ErrorResponse, for the session (`ERROR`) or as its end (`FATAL`).
pub fn error(out: &mut BytesMut, severity: &str, code: &str, message: &str, detail: Option<&str>, hint: Option<&str>) {
    let mut body = report(severity, code, message, detail, hint);
    body.push(0);
    frame(out, b'E', &body);
}

fn report(severity: &str, code: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> Vec<u8> {
    let mut body = Vec::with_capacity(128 + message.len());
    field(&mut body, b'S', severity);
    field(&mut body, b'V', severity);
    field(&mut body, b'C', code);
    field(&mut body, b'M', message);
    if let Some(detail) = detail {
        field(&mut body, b'D', detail);
    }
    if let Some(hint) = hint {
        field(&mut body, b'H', hint);
    }
    body
}

/// ErrorResponse for a refused request.
pub fn rejection(out: &mut BytesMut, r: &Rejection) {
    let mut body = report("ERROR", r.code, &r.message, r.detail.as_deref(), r.hint.as_deref());
    if r.position > 0 {
        field(&mut body, b'P', &r.position.to_string());
    }
    body.push(0);
    frame(out, b'E', &body);
}

/// NoticeResponse.
pub fn notice(out: &mut Vec<u8>, code: &str, message: &str, hint: Option<&str>) {
    let mut body = report("NOTICE", code, message, None, hint);
    body.push(0);
    frame(out, b'N', &body);
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut BytesMut, status: u8) {
    frame(out, b'Z', &[status]);
}

fn authentication(out: &mut BytesMut, code: u32, data: &[u8]) {
    let mut body = code.to_be_bytes().to_vec();
    body.extend_from_slice(data);
    frame(out, b'R', &body);
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut BytesMut) {
    authentication(out, 0, &[]);
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext_password(out: &mut BytesMut) {
    authentication(out, 3, &[]);
}

/// AuthenticationSASL.
pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&str]) {
    let mut data = Vec::new();
    for mechanism in mechanisms {
        cstr(&mut data, mechanism);
    }
    data.push(0);
    authentication(out, 10, &data);
}

/// AuthenticationSASLContinue.
pub fn authentication_sasl_continue(out: &mut BytesMut, data: &[u8]) {
    authentication(out, 11, data);
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut BytesMut, process_id: u32, key: &[u8]) {
    let mut body = process_id.to_be_bytes().to_vec();
    body.extend_from_slice(key);
    frame(out, b'K', &body);
}

/// NegotiateProtocolVersion: the newest minor version and the options that are not known.
pub fn negotiate_protocol_version(out: &mut BytesMut, minor: u16, options: &[&str]) {
    // PostgreSQL sends the whole version (3.minor) here, whatever the field is called.
    let mut body = (u32::from(minor) | 3 << 16).to_be_bytes().to_vec();
    body.extend(u32::try_from(options.len()).unwrap_or(0).to_be_bytes());
    for option in options {
        cstr(&mut body, option);
    }
    frame(out, b'v', &body);
}

/// SSLRequest.
pub fn ssl_request(out: &mut BytesMut) {
    out.put_u32(8);
    out.put_u32(80_877_103);
}

/// CancelRequest.
pub fn cancel_request(out: &mut BytesMut, process_id: u32, key: &[u8]) {
    out.put_u32(u32::try_from(key.len().saturating_add(12)).unwrap_or(u32::MAX));
    out.put_u32(80_877_102);
    out.put_u32(process_id);
    out.put_slice(key);
}

/// StartupMessage.
pub fn startup_message(out: &mut BytesMut, version: (u16, u16), parameters: &[(&str, &str)]) {
    let mut body = Vec::new();
    body.extend(version.0.to_be_bytes());
    body.extend(version.1.to_be_bytes());
    for (name, value) in parameters {
        cstr(&mut body, name);
        cstr(&mut body, value);
    }
    body.push(0);
    out.put_u32(u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX));
    out.put_slice(&body);
}

/// PasswordMessage.
pub fn password_message(out: &mut impl BufMut, password: &[u8]) {
    let mut body = password.to_vec();
    body.push(0);
    frame(out, b'p', &body);
}

/// SASLInitialResponse.
pub fn sasl_initial_response(out: &mut impl BufMut, mechanism: &str, data: &[u8]) {
    let mut body = Vec::new();
    cstr(&mut body, mechanism);
    body.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(data);
    frame(out, b'p', &body);
}

/// SASLResponse.
pub fn sasl_response(out: &mut impl BufMut, data: &[u8]) {
    frame(out, b'p', data);
}

/// Query.
pub fn query(out: &mut impl BufMut, text: &str) {
    let mut body = Vec::with_capacity(text.len() + 1);
    cstr(&mut body, text);
    frame(out, b'Q', &body);
}

/// Parse, without parameter types.
pub fn parse(out: &mut impl BufMut, name: &str, text: &str) {
    parse_with(out, name, text, &[0, 0]);
}

/// Parse, with the number of parameter types and the types as they stand in the message.
pub fn parse_with(out: &mut impl BufMut, name: &str, text: &str, types: &[u8]) {
    let mut body = Vec::with_capacity(name.len() + text.len() + types.len() + 2);
    cstr(&mut body, name);
    cstr(&mut body, text);
    body.extend_from_slice(types);
    frame(out, b'P', &body);
}

/// Describe of a portal.
pub fn describe_portal(out: &mut impl BufMut, name: &str) {
    let mut body = vec![b'P'];
    cstr(&mut body, name);
    frame(out, b'D', &body);
}

/// Sync.
pub fn sync(out: &mut impl BufMut) {
    frame(out, b'S', &[]);
}

/// Flush.
pub fn flush(out: &mut impl BufMut) {
    frame(out, b'H', &[]);
}

/// CopyFail.
pub fn copy_fail(out: &mut impl BufMut, why: &str) {
    let mut body = Vec::with_capacity(why.len() + 1);
    cstr(&mut body, why);
    frame(out, b'f', &body);
}

/// Terminate.
pub fn terminate(out: &mut impl BufMut) {
    frame(out, b'X', &[]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{ClientMessage, Startup, UpstreamMessage, client_message, startup, upstream_message};

    #[test]
    fn what_is_written_can_be_read() {
        let mut out = BytesMut::new();
        startup_message(&mut out, (3, 0), &[("user", "a\0b"), ("database", "d")]);
        let Ok(Startup::Start { parameters, .. }) = startup(&out) else { panic!("not a StartupMessage") };
        assert_eq!(parameters, [("user", "ab"), ("database", "d")], "a NUL cannot smuggle a parameter in");
        let mut out = BytesMut::new();
        cancel_request(&mut out, 7, b"12345678");
        assert_eq!(startup(&out), Ok(Startup::Cancel { process_id: 7, key: b"12345678" }));
        let mut out = BytesMut::new();
        query(&mut out, "SELECT 1");
        assert_eq!(client_message(&out), Ok(ClientMessage::Query { query: b"SELECT 1" }));
        let mut out = BytesMut::new();
        backend_key_data(&mut out, 7, &[1; 32]);
        assert_eq!(upstream_message(&out), Ok(UpstreamMessage::BackendKeyData { process_id: 7, key: &[1; 32] }));
        let mut out = BytesMut::new();
        error(&mut out, "ERROR", "42501", "no", Some("d"), Some("h"));
        assert_eq!(crate::codec::sqlstate(&out), Some("42501"));
    }
}
