//! A browser as far as signing in needs one: cookies, redirects, forms. Over plain HTTP on loopback, one host for all
//! ports, as cookies have it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
struct Cookie {
    name: String,
    value: String,
    path: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where from.
    pub url: String,
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Page {
    /// A header, the first of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str())
    }

    /// Where it sends the browser, as an absolute address.
    #[must_use]
    pub fn location(&self) -> Option<String> {
        self.header("location").map(|to| absolute(&self.url, to))
    }
}

/// Somebody's browser.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    jar: Vec<Cookie>,
}

impl Browser {
    /// Gets a page, and goes nowhere from it.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&mut self, url: &str) -> Result<Page> {
        self.exchange("GET", url, &[], "")
    }

    /// Gets a page and follows redirects, until one leads to an address that begins with `stop`.
    ///
    /// # Errors
    /// When there is no answer, or no end to the redirects.
    pub fn visit(&mut self, url: &str, stop: Option<&str>) -> Result<Page> {
        let page = self.get(url)?;
        self.follow(page, stop)
    }

    /// Follows redirects from a page, until one leads to an address that begins with `stop`.
    ///
    /// # Errors
    /// As [`Browser::visit`].
    pub fn follow(&mut self, mut page: Page, stop: Option<&str>) -> Result<Page> {
        for _ in 0..15 {
            let to = match page.location() {
                Some(to) if (300..400).contains(&page.status) && !stop.is_some_and(|s| to.starts_with(s)) => to,
                _ => return Ok(page),
            };
            page = self.get(&to)?;
        }
        anyhow::bail!("no end to redirects at {}", page.url)
    }

    /// Fills in the first form of a page and sends it. Fields that are there keep their values.
    ///
    /// # Errors
    /// When there is no form, or no answer.
    pub fn submit(&mut self, page: &Page, values: &[(&str, &str)]) -> Result<Page> {
        let form = page.body.split_once("<form").context("a page without a form")?.1;
        let form = form.split_once("</form>").map_or(form, |(form, _)| form);
        let action = attribute(form, "action").unwrap_or_default();
        let mut fields: Vec<(String, String)> = Vec::new();
        for input in form.split("<input").skip(1) {
            let input = input.split('>').next().unwrap_or_default();
            if let Some(name) = attribute(input, "name") {
                fields.push((name, attribute(input, "value").unwrap_or_default()));
            }
        }
        fields.retain(|(name, _)| !values.iter().any(|(its, _)| its == name));
        fields.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let headers = [format!("Origin: {}", origin(&page.url)), "Sec-Fetch-Site: same-origin".to_owned()];
        self.post(&absolute(&page.url, &action), &headers, &fields)
    }

    /// Posts a form with these headers, and goes nowhere from what comes back.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn post(&mut self, url: &str, headers: &[String], fields: &[(&str, &str)]) -> Result<Page> {
        let body: Vec<String> = fields.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        let mut headers = headers.to_vec();
        headers.push("Content-Type: application/x-www-form-urlencoded".to_owned());
        self.exchange("POST", url, &headers, &body.join("&"))
    }

    /// A cookie's value.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.jar.iter().find(|c| c.name == name).map(|c| c.value.as_str())
    }

    /// Puts a cookie in by hand.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.take(&format!("{name}={value}; Path=/"));
    }

    /// One request with this browser's cookies.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn exchange(&mut self, method: &str, url: &str, headers: &[String], body: &str) -> Result<Page> {
        let rest = url.strip_prefix("http://").with_context(|| format!("`{url}` does not begin with `http://`"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_once('/').map_or((rest, String::from("/")), |(a, p)| (a, format!("/{p}")));
        let path = target.split('?').next().unwrap_or_default();
        let sent: Vec<String> =
            self.jar.iter().filter(|c| path.starts_with(&c.path)).map(|c| format!("{}={}", c.name, c.value)).collect();
        let cookie = if sent.is_empty() { String::new() } else { format!("Cookie: {}\r\n", sent.join("; ")) };
        let extra: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let mut stream = TcpStream::connect(authority).with_context(|| format!("cannot reach {authority}"))?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(
            stream,
            "{method} {target} HTTP/1.0\r\nHost: {authority}\r\n{cookie}{extra}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its headers")?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("an answer without a status")?;
        let headers: Vec<(String, String)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        for (_, set) in headers.iter().filter(|(name, _)| name == "set-cookie") {
            self.take(set);
        }
        ensure!(status >= 200, "an answer that is none: {head}");
        Ok(Page { url: url.to_owned(), status, headers, body: body.to_owned() })
    }

    fn take(&mut self, set: &str) {
        let mut parts = set.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (mut path, mut gone) = (String::from("/"), value.is_empty());
        for (attribute, its) in parts.filter_map(|part| part.split_once('=')) {
            match attribute.to_ascii_lowercase().as_str() {
                "path" => its.clone_into(&mut path),
                "max-age" => gone |= its == "0",
                "expires" => gone |= its.contains("1970"),
                _ => {}
            }
        }
        self.jar.retain(|c| c.name != name || c.path != path);
        if !gone {
            self.jar.push(Cookie { name: name.to_owned(), value: value.to_owned(), path });
        }
    }
}

fn origin(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

fn absolute(base: &str, to: &str) -> String {
    if to.contains("://") {
        to.to_owned()
    } else if to.starts_with('/') {
        format!("{}{to}", origin(base))
    } else {
        let here = base.split('?').next().unwrap_or_default();
        format!("{}{to}", here.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned() + "/")
    }
}

/// The value of an attribute in quotes, with what forms escape put back.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!("{name}=\""))?.1.split('"').next()?;
    let plain = value.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">");
    Some(plain.replace("&amp;", "&"))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
