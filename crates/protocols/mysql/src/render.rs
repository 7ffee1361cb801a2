//! What the gateway itself says, in the protocol's own bytes.
use crate::{
    capabilities::Capabilities,
    codec::{
        put_length, put_string,
        upstream::{OkPacket, status},
    },
};
use doorward_enforce::{Refusal, RefusalKind};

/// An error for the caller, in the place of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its number.
    pub code: u16,
    /// Its SQLSTATE.
    pub sqlstate: &'static str,
    /// What was refused, by what, and what to do next. The protocol has one text.
    pub message: String,
}

/// The longest text of an error that clients make room for (`MYSQL_ERRMSG_SIZE`).
const LONGEST: usize = 511;

impl Rejection {
    /// An error with a number of its own.
    pub fn new(code: u16, sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { code, sqlstate, message: message.into() }
    }

    /// `ER_UNKNOWN_STMT_HANDLER`.
    pub fn no_such_statement(id: u32, command: &str) -> Self {
        Self::new(1243, "HY000", format!("Unknown prepared statement handler ({id}) given to {command}"))
    }

    /// `ER_NOT_SUPPORTED_YET`.
    pub fn not_offered(what: &str) -> Self {
        Self::new(1235, "42000", format!("{what} refused by Doorward: it is not offered"))
    }
}

impl From<&Refusal> for Rejection {
    fn from(r: &Refusal) -> Self {
        let (code, sqlstate) = match r.kind {
            // ER_TABLEACCESS_DENIED_ERROR: a right is missing
            RefusalKind::Policy | RefusalKind::PolicyError => (1142, "42000"),
            // ER_SPECIFIC_ACCESS_DENIED_ERROR: no right of this caller could allow it
            RefusalKind::NotUnderstood | RefusalKind::Denied | RefusalKind::Expired => (1227, "42000"),
            // ER_DISK_FULL would name a table; ER_OPTION_PREVENTS_STATEMENT says what it is
            RefusalKind::Unavailable => (1290, "HY000"),
            // ER_QUERY_INTERRUPTED
            RefusalKind::Withdrawn => (1317, "70100"),
        };
        let mut message = r.message.clone();
        for more in [&r.detail, &r.hint].into_iter().flatten() {
            message.push_str("; ");
            message.push_str(more);
        }
        Self { code, sqlstate, message }
    }
}

/// ERR.
pub fn error(code: u16, sqlstate: &str, message: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff];
    out.extend(code.to_le_bytes());
    out.push(b'#');
    let mut state = *b"HY000";
    for (to, from) in state.iter_mut().zip(sqlstate.bytes()) {
        *to = from;
    }
    out.extend(state);
    out.extend_from_slice(cut(message));
    out
}

/// ERR for a refused request.
pub fn rejection(r: &Rejection) -> Vec<u8> {
    error(r.code, r.sqlstate, r.message.as_bytes())
}

/// A text that clients have room for, cut between characters.
fn cut(message: &[u8]) -> &[u8] {
    if message.len() <= LONGEST {
        return message;
    }
    let is_inside = |b: Option<&u8>| b.is_some_and(|b| b & 0xc0 == 0x80);
    let end = (0..=LONGEST).rev().find(|i| !is_inside(message.get(*i))).unwrap_or(0);
    message.get(..end).unwrap_or(message)
}

/// OK, as the client has agreed to read it: without changes of state where it does not track them.
pub fn ok(packet: &OkPacket<'_>, client: Capabilities) -> Vec<u8> {
    let mut out = vec![packet.header];
    put_length(&mut out, packet.affected);
    put_length(&mut out, packet.last_insert);
    let tracks = client.has(Capabilities::SESSION_TRACK);
    let shown = if tracks { packet.status } else { packet.status & !status::STATE_CHANGED };
    out.extend(shown.to_le_bytes());
    out.extend(packet.warnings.to_le_bytes());
    let changed = tracks && packet.status & status::STATE_CHANGED != 0;
    // With its length, whatever the manual says of clients that do not track: servers write it so, and clients read it so.
    if !packet.info.is_empty() || changed {
        put_string(&mut out, packet.info);
    }
    if changed {
        put_string(&mut out, packet.state);
    }
    out
}

/// EOF of before `DEPRECATE_EOF`.
pub fn eof(status: u16, warnings: u16) -> Vec<u8> {
    let mut out = vec![0xfe];
    out.extend(warnings.to_le_bytes());
    out.extend(status.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::upstream;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_is_an_error_in_the_policys_words() {
        let refusal = Refusal {
            kind: RefusalKind::Policy,
            message: "DELETE refused by policy `no-deletes`".into(),
            detail: Some("it asks for delete".into()),
            hint: None,
        };
        let bytes = rejection(&Rejection::from(&refusal));
        let read = upstream::error(&bytes, Capabilities(0)).unwrap().unwrap();
        assert_eq!((read.code, read.sqlstate), (1142, &b"42000"[..]));
        assert_eq!(read.message, b"DELETE refused by policy `no-deletes`; it asks for delete");
    }

    /// `Records: 2` with its length before it, as stock clients read it whether or not they track the session.
    #[test]
    fn the_text_of_an_ok_packet_has_its_length() {
        let packet = OkPacket { affected: 2, info: b"Records: 2", ..OkPacket::default() };
        for client in [Capabilities(0), Capabilities::SESSION_TRACK] {
            assert_eq!(ok(&packet, client), b"\0\x02\0\0\0\0\0\x0aRecords: 2");
        }
        assert_eq!(ok(&OkPacket::default(), Capabilities(0)), b"\0\0\0\0\0\0\0");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ä".repeat(400);
        let bytes = error(1142, "42000", text.as_bytes());
        assert!(std::str::from_utf8(&bytes[9..]).is_ok_and(|t| t.len() == 510));
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(affected: u64, info: Vec<u8>, state: Vec<u8>, status: u16, tracks: bool) {
            let changed = status & status::STATE_CHANGED != 0;
            let state: &[u8] = if changed { &state } else { b"" };
            let packet = OkPacket { header: 0, affected, last_insert: 1, status, warnings: 2, info: &info, state };
            let client = if tracks { Capabilities::SESSION_TRACK } else { Capabilities(0) };
            let out = ok(&packet, client);
            let read = upstream::ok(&out, client).unwrap();
            prop_assert_eq!((read.affected, read.info), (affected, &info[..]));
            prop_assert_eq!(read.state, if tracks { state } else { b"" });
        }
    }
}
