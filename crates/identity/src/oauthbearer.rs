//! SASL OAUTHBEARER (RFC 7628): the client's first response and the server's error, as bytes. No I/O.
use crate::jwt::MAX_TOKEN_BYTES;
use doorward_model::Secret;
use thiserror::Error;

/// The name of the mechanism.
pub const MECHANISM: &str = "OAUTHBEARER";

/// The longest response that is looked at: a token and some room for the rest.
pub const MAX_RESPONSE_BYTES: usize = MAX_TOKEN_BYTES + 2048;

/// What separates the parts (`kvsep`). Alone it is the client's answer to an error (section 3.2.3).
const KVSEP: u8 = 0x01;

/// What the client asks.
#[derive(Clone, Debug)]
pub enum Auth {
    /// To be let in by this token.
    Token(Secret<String>),
    /// Where to get a token: an empty `auth` (section 4.3). Answer with [`error_challenge`].
    Discovery,
}

/// The client's first response, taken apart.
#[derive(Clone, Debug)]
pub struct InitialResponse {
    /// Whom the client wants to act as, if it says (`a=`).
    pub authzid: Option<String>,
    /// The host that the client believes it talks to.
    pub host: Option<String>,
    /// The port that the client believes it talks to.
    pub port: Option<u16>,
    /// The token, or the question where to get one.
    pub auth: Auth,
}

/// Why a first response is refused. Holds nothing of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// Longer than [`MAX_RESPONSE_BYTES`].
    #[error("the OAUTHBEARER response is larger than {MAX_RESPONSE_BYTES} bytes")]
    TooLarge,
    /// The client wants channel binding, which the mechanism does not have.
    #[error("the client asks for channel binding, which OAUTHBEARER does not have")]
    ChannelBinding,
    /// Not of the form of RFC 7628 section 3.1.
    #[error("the OAUTHBEARER response is malformed: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// `auth` holds another scheme than `Bearer`.
    #[error("the OAUTHBEARER response has another authorization scheme than Bearer")]
    Scheme,
}

const fn malformed(what: &'static str) -> ResponseError {
    ResponseError::Malformed { what }
}

impl InitialResponse {
    /// Reads `gs2-header kvsep *(key "=" value kvsep) kvsep`, to the last byte.
    ///
    /// # Errors
    /// See [`ResponseError`]. A key that occurs twice is malformed; keys that are not known are skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self, ResponseError> {
        if bytes.len() > MAX_RESPONSE_BYTES {
            return Err(ResponseError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("not UTF-8"))?;
        let (header, rest) = text.split_once('\x01').ok_or(malformed("no separator after the GS2 header"))?;
        let authzid = parse_gs2_header(header)?;
        let pairs = rest.strip_suffix("\x01").ok_or(malformed("no separator at the end"))?;
        let (mut auth, mut host, mut port) = (None, None, None);
        for pair in split_pairs(pairs)? {
            let (key, value) = pair.split_once('=').ok_or(malformed("a pair without `=`"))?;
            check_pair(key, value)?;
            let slot = match key {
                "auth" => &mut auth,
                "host" => &mut host,
                "port" => &mut port,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(malformed("a repeated key"));
            }
        }
        let port = port.map(|p| p.parse::<u16>().map_err(|_| malformed("`port`"))).transpose()?;
        let auth = parse_auth(auth.ok_or(malformed("no `auth`"))?)?;
        Ok(Self { authzid, host: host.map(str::to_owned), port, auth })
    }
}

/// The pairs, each ended by a separator of its own.
fn split_pairs(pairs: &str) -> Result<impl Iterator<Item = &str>, ResponseError> {
    let pairs = pairs.strip_suffix('\x01').ok_or(malformed("no separator after the last pair"))?;
    Ok(pairs.split('\x01'))
}

/// RFC 5801 section 4, without the non-standard flag: `n` or `y`, then an optional `a=` name.
fn parse_gs2_header(header: &str) -> Result<Option<String>, ResponseError> {
    let (flag, rest) = header.split_once(',').ok_or(malformed("GS2 header"))?;
    match flag {
        "n" | "y" => {}
        _ if flag.starts_with("p=") => return Err(ResponseError::ChannelBinding),
        _ => return Err(malformed("GS2 channel binding flag")),
    }
    let name = rest.strip_suffix(',').ok_or(malformed("GS2 header"))?;
    if name.is_empty() {
        return Ok(None);
    }
    let name = name.strip_prefix("a=").filter(|n| !n.is_empty()).ok_or(malformed("GS2 authzid"))?;
    unescape_saslname(name).map(Some)
}

/// `=2C` is a comma, `=3D` an equals sign, and neither occurs otherwise.
fn unescape_saslname(name: &str) -> Result<String, ResponseError> {
    if name.contains([',', '\0']) {
        return Err(malformed("GS2 authzid"));
    }
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(rest) = part.strip_prefix("2C") {
            out.push(',');
            out.push_str(rest);
        } else if let Some(rest) = part.strip_prefix("3D") {
            out.push('=');
            out.push_str(rest);
        } else {
            return Err(malformed("GS2 authzid"));
        }
    }
    Ok(out)
}

fn check_pair(key: &str, value: &str) -> Result<(), ResponseError> {
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(malformed("a key that is not letters"));
    }
    let allowed = |b: u8| matches!(b, 0x20..=0x7e | b'\t' | b'\r' | b'\n');
    if value.bytes().all(allowed) { Ok(()) } else { Err(malformed("a value with other characters")) }
}

/// `Bearer` in any case, spaces, and a `b64token` (RFC 6750 section 2.1).
fn parse_auth(value: &str) -> Result<Auth, ResponseError> {
    if value.is_empty() {
        return Ok(Auth::Discovery);
    }
    let (scheme, token) = value.split_once(' ').ok_or(ResponseError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ResponseError::Scheme);
    }
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    if body.is_empty() || !body.bytes().all(allowed) {
        return Err(malformed("the token"));
    }
    Ok(Auth::Token(Secret::new(token.to_owned())))
}

/// The server's answer to a token that was not accepted (section 3.2.2): the same for every reason.
/// The client answers it with [`is_error_acknowledgement`], and then the exchange fails.
pub fn error_challenge(scope: Option<&str>, discovery_url: Option<&str>) -> String {
    let mut error = serde_json::Map::new();
    error.insert("status".into(), "invalid_token".into());
    if let Some(scope) = scope {
        error.insert("scope".into(), scope.into());
    }
    if let Some(url) = discovery_url {
        error.insert("openid-configuration".into(), url.into());
    }
    serde_json::Value::Object(error).to_string()
}

/// Whether these bytes are the client's dummy answer to an error: one separator and nothing else.
pub fn is_error_acknowledgement(bytes: &[u8]) -> bool {
    bytes == [KVSEP]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(text: &str) -> Result<String, ResponseError> {
        match InitialResponse::parse(text.as_bytes())?.auth {
            Auth::Token(t) => Ok(t.expose().clone()),
            Auth::Discovery => Ok("(discovery)".into()),
        }
    }

    #[test]
    fn what_clients_send() {
        assert_eq!(token("n,,\x01auth=Bearer a.b-c_d\x01\x01").unwrap(), "a.b-c_d");
        assert_eq!(token("y,,\x01auth=bEARER  vF9d==\x01\x01").unwrap(), "vF9d==");
        assert_eq!(token("n,,\x01auth=\x01\x01").unwrap(), "(discovery)");
        let r = InitialResponse::parse(
            b"n,a=us=2Cer=3D@x,\x01host=db.example.com\x01port=143\x01mech=x\x01auth=Bearer t\x01\x01",
        )
        .unwrap();
        assert_eq!(
            (r.authzid.as_deref(), r.host.as_deref(), r.port),
            (Some("us,er=@x"), Some("db.example.com"), Some(143))
        );
        assert!(!format!("{r:?}").contains("\"t\""));
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            "\x01",
            "n,,",
            "n,,\x01",
            "n,,\x01\x01",
            "n,,\x01auth=Bearer t",
            "n,,\x01auth=Bearer t\x01",
            "n,,\x01auth=Bearer t\x01\x01\x01",
            "n,,\x01auth=Bearer t\x01\x01x",
            "n,,\x01\x01auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\x01auth=Bearer t\x01\x01",
            "n,,\x01host=a\x01host=a\x01auth=Bearer t\x01\x01",
            "n,,\x01port=65536\x01auth=Bearer t\x01\x01",
            "n,,\x01host=a\x01\x01",
            "n,,\x01auth\x01\x01",
            "n,,\x01auth=Bearer\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Bearer ==\x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "n,,\x01auth=Bearer a=b\x01\x01",
            "n,,\x01auth= Bearer t\x01\x01",
            "n,,\x01au th=Bearer t\x01auth=Bearer t\x01\x01",
            "n,\x01auth=Bearer t\x01\x01",
            "n,x,\x01auth=Bearer t\x01\x01",
            "n,a=,\x01auth=Bearer t\x01\x01",
            "n,a=x=2,\x01auth=Bearer t\x01\x01",
            "n,a=x,y,\x01auth=Bearer t\x01\x01",
            "z,,\x01auth=Bearer t\x01\x01",
            "F,n,,\x01auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\u{e9}\x01\x01",
        ] {
            assert!(matches!(token(bad), Err(ResponseError::Malformed { .. } | ResponseError::Scheme)), "{bad:?}");
        }
        assert_eq!(token("p=tls-unique,,\x01auth=Bearer t\x01\x01"), Err(ResponseError::ChannelBinding));
        assert_eq!(token("n,,\x01auth=Basic dDp0\x01\x01"), Err(ResponseError::Scheme));
        assert_eq!(InitialResponse::parse(&vec![b'n'; MAX_RESPONSE_BYTES + 1]).unwrap_err(), ResponseError::TooLarge);
        assert!(InitialResponse::parse(b"n,,\x01auth=Bearer \xff\x01\x01").is_err());
    }

    #[test]
    fn the_error_says_where_to_get_a_token() {
        let json: serde_json::Value =
            serde_json::from_str(&error_challenge(Some("openid"), Some("https://a/.well-known/x"))).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"status":"invalid_token","scope":"openid","openid-configuration":"https://a/.well-known/x"})
        );
        assert_eq!(error_challenge(None, None), r#"{"status":"invalid_token"}"#);
        assert!(is_error_acknowledgement(b"\x01") && !is_error_acknowledgement(b"\x01\x01"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = InitialResponse::parse(&bytes);
        }

        #[test]
        fn any_value_but_the_token_leaves_the_token(t in "[A-Za-z0-9._~+/-]{1,40}", host in "[ -~]{0,20}") {
            let text = format!("n,,\x01host={host}\x01auth=Bearer {t}\x01\x01");
            prop_assert_eq!(token(&text).unwrap(), t);
        }
    }
}
