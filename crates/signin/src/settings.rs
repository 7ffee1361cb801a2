//! What the administrator says of signing in.
use http::HeaderValue;
use reqwest::Url;
use std::{net::IpAddr, time::Duration};

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// A browser's session that is not used for so long is over.
    pub idle: Duration,
    /// A browser's session is over after so long, whatever happens.
    pub absolute: Duration,
    /// How long the credential of `doorward login` is good for.
    pub cli: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        Self { idle: hours(1), absolute: hours(12), cli: hours(8) }
    }
}

/// Where people reach the gateway, and how long they stay signed in.
#[derive(Clone, Debug)]
pub struct Settings {
    public_url: Url,
    pub(crate) limits: SessionLimits,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The URL cannot be used.
    #[error("public_url `{url}` {problem}")]
    PublicUrl {
        /// As configured.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A limit makes no sense.
    #[error("[server.sessions] {0}")]
    Limits(&'static str),
}

impl Settings {
    /// Checks and keeps them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(public_url: &str, limits: SessionLimits) -> Result<Self, SettingsError> {
        let refuse = |problem| SettingsError::PublicUrl { url: public_url.to_owned(), problem };
        let url = Url::parse(public_url).map_err(|_| refuse("is not a URL"))?;
        let plain = url.username().is_empty() && url.password().is_none();
        if !plain || url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
            return Err(refuse("has to be scheme, host and port alone"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            _ => return Err(refuse("has to be https: cookies would travel in clear text")),
        }
        let day = Duration::from_secs(24 * 3600);
        if limits.idle.is_zero() || limits.absolute.is_zero() || limits.cli.is_zero() {
            return Err(SettingsError::Limits("a session of no length cannot be used"));
        }
        if limits.idle > limits.absolute {
            return Err(SettingsError::Limits("`idle` is longer than `absolute`"));
        }
        if limits.absolute > day.saturating_mul(31) || limits.cli > day.saturating_mul(31) {
            return Err(SettingsError::Limits("a session may last 31 days at most"));
        }
        Ok(Self { public_url: url, limits })
    }

    /// How long sessions last.
    pub const fn limits(&self) -> SessionLimits {
        self.limits
    }

    /// Whether cookies can be kept from clear text. They can, but on a developer's own machine.
    pub fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// Whether a header `Origin` is ours.
    pub(crate) fn is_our_origin(&self, origin: &HeaderValue) -> bool {
        origin.as_bytes() == self.public_url.origin().ascii_serialization().as_bytes()
    }

    /// A page of ours, by its absolute path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.origin().ascii_serialization())
    }

    /// Where to go after signing in: a place of this gateway's, or its front page. Whoever makes the link to the sign-in
    /// chooses it, so it is never another site (CWE-601).
    pub fn return_to(&self, wanted: Option<&str>) -> String {
        // What takes answers of providers is no place to go to.
        let answers = ["/auth/callback", "/auth/saml"];
        let ours = |path: &&str| {
            let printable = path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
            let inside =
                path.starts_with('/') && !path.starts_with("//") && !answers.iter().any(|a| path.starts_with(a));
            let joined = self.public_url.join(path).ok();
            printable && inside && joined.is_some_and(|u| u.origin() == self.public_url.origin())
        };
        wanted.filter(ours).unwrap_or("/").to_owned()
    }
}

/// Whether a URL's host can only be this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Result<Settings, SettingsError> {
        Settings::new(url, SessionLimits::default())
    }

    #[test]
    fn only_places_of_ours_are_returned_to() {
        let s = settings("https://doors.example.com").unwrap();
        for ok in ["/", "/approvals/1?x=y#z", "/auth/cli?port=1", "/a//b"] {
            assert_eq!(s.return_to(Some(ok)), ok);
        }
        for bad in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "javascript:alert(1)",
            "evil.example",
            "/a\r\nSet-Cookie: x=y",
            "/\u{e9}",
            "/auth/callback/corp?code=1",
            "/auth/saml/corp/continue?ticket=1",
            &format!("/{}", "a".repeat(1024)),
        ] {
            assert_eq!(s.return_to(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(s.return_to(None), "/");
    }

    #[test]
    fn addresses_in_clear_text_are_for_one_machine() {
        for ok in ["https://a.example", "https://a.example:8443/", "http://127.0.0.1:8443", "http://localhost:1"] {
            settings(ok).unwrap();
        }
        for bad in [
            "http://a.example",
            "http://127.0.0.1.example",
            "https://a.example/path",
            "https://u@a.example",
            "https://a.example/?q",
            "ftp://a",
            "a",
        ] {
            assert!(settings(bad).is_err(), "{bad}");
        }
        let limits = SessionLimits { idle: Duration::from_secs(9), absolute: Duration::from_secs(8), ..<_>::default() };
        assert!(Settings::new("https://a.example", limits).is_err());
    }
}
