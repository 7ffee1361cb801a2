//! That a request comes from a page of ours, and not from one that abuses the visitor's cookie (CSRF).
//!
//! Browsers say so themselves, in headers that no page can set: `Sec-Fetch-Site` (Fetch Metadata), or `Origin` where
//! they are older. A request that changes something and says neither is refused, so that nothing depends on tokens in
//! forms. `SameSite=Lax` stands before this.
use crate::Settings;
use http::{HeaderMap, Method, header};

/// Whether a request by cookie may go on.
pub(crate) fn is_ours(settings: &Settings, headers: &HeaderMap, method: &Method) -> bool {
    // What these do changes nothing: a rule for the routes.
    if matches!(*method, Method::GET | Method::HEAD) {
        return true;
    }
    comes_from_us(settings, headers)
}

/// Whether a browser says that a page of ours sent the request.
pub(crate) fn comes_from_us(settings: &Settings, headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if let Some(site) = sites.next() {
        return sites.next().is_none() && site.as_bytes() == b"same-origin";
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.next().is_some_and(|o| settings.is_our_origin(o)) && origins.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionLimits;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn what_changes_something_comes_from_a_page_of_ours() {
        let s = Settings::new("https://a.example:8443", SessionLimits::default()).unwrap();
        for (headers, ok) in [
            (vec![], false),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (vec![("origin", "https://a.example:8443")], true),
            (vec![("sec-fetch-site", "same-site"), ("origin", "https://a.example:8443")], false),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "https://a.example:8443")], false),
            (vec![("sec-fetch-site", "none"), ("origin", "https://a.example:8443")], false),
            (vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "")], false),
            (vec![("origin", "null")], false),
            (vec![("origin", "https://a.example")], false),
            (vec![("origin", "http://a.example:8443")], false),
            (vec![("origin", "https://evil.example")], false),
            (vec![("origin", "https://a.example:8443.evil.example")], false),
            (vec![("origin", "https://a.example:8443"), ("origin", "https://evil.example")], false),
            (vec![("referer", "https://a.example:8443/")], false),
        ] {
            let map: HeaderMap = headers.iter().fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
                map
            });
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
                assert_eq!(is_ours(&s, &map, &method), ok, "{method} {headers:?}");
            }
            assert!(is_ours(&s, &map, &Method::GET));
        }
    }
}
