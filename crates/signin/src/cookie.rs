//! Cookies, as far as they are needed here (RFC 6265bis).
use crate::Settings;
use http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

/// A cookie of ours. `__Host-` makes browsers take it over TLS alone, for this host alone: no neighbour sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The session.
    Session,
    /// What binds a sign-in to the browser that it was begun in.
    SignIn,
}

impl Cookie {
    /// Its name.
    pub fn name(self, settings: &Settings) -> &'static str {
        match (self, settings.is_secure()) {
            (Self::Session, true) => "__Host-doorward",
            (Self::Session, false) => "doorward",
            (Self::SignIn, true) => "__Host-doorward-signin",
            (Self::SignIn, false) => "doorward-signin",
        }
    }

    /// Its value in a request. One that is there twice with different values is none.
    ///
    /// # Errors
    /// Where it is there twice.
    pub fn find<'a>(self, settings: &Settings, headers: &'a HeaderMap) -> Result<Option<&'a str>, CookieTwice> {
        let name = self.name(settings);
        let pairs = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
        let mut found = None;
        for (its, value) in pairs.filter_map(|pair| pair.trim().split_once('=')) {
            if its == name && found.replace(value).is_some_and(|before| before != value) {
                return Err(CookieTwice);
            }
        }
        Ok(found)
    }

    /// The header that sets it, until the browser is closed or `for_` is over.
    pub fn set(self, settings: &Settings, value: &str, for_: Option<Duration>) -> Option<HeaderValue> {
        let secure = if settings.is_secure() { "; Secure" } else { "" };
        let age = for_.map_or_else(String::new, |d| format!("; Max-Age={}", d.as_secs()));
        let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}", self.name(settings));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The header that takes it away.
    pub fn clear(self, settings: &Settings) -> Option<HeaderValue> {
        self.set(settings, "", Some(Duration::ZERO))
    }
}

/// Two values under one name: somebody else may have set one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieTwice;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionLimits;

    #[test]
    fn a_cookie_is_for_this_host_and_for_no_script() {
        let s = Settings::new("https://a.example", SessionLimits::default()).unwrap();
        let set = Cookie::Session.set(&s, "v", None).unwrap();
        assert_eq!(set, "__Host-doorward=v; Path=/; HttpOnly; SameSite=Lax; Secure");
        let local = Settings::new("http://127.0.0.1:1", SessionLimits::default()).unwrap();
        let set = Cookie::SignIn.set(&local, "v", Some(Duration::from_secs(600))).unwrap();
        assert_eq!(set, "doorward-signin=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=600");
        assert!(Cookie::Session.set(&s, "a\r\nb", None).is_none());
    }

    #[test]
    fn of_two_values_neither_is_taken() {
        let s = Settings::new("https://a.example", SessionLimits::default()).unwrap();
        let mut headers = HeaderMap::new();
        let find = |h: &HeaderMap| Cookie::Session.find(&s, h).map(|v| v.map(str::to_owned));
        assert_eq!(find(&headers), Ok(None));
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; __Host-doorward=x; doorward=y"));
        assert_eq!(find(&headers), Ok(Some("x".into())));
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-doorward=x"));
        assert_eq!(find(&headers), Ok(Some("x".into())));
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-doorward=z"));
        assert_eq!(find(&headers), Err(CookieTwice));
    }
}
