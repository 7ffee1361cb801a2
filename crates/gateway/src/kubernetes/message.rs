//! A request as it is decided and sent.
use bytes::Bytes;
use doorward_enforce::{NotShown, Shown};
use doorward_kubernetes::{
    Impersonation, Malformed, Naming, Target, Verb,
    facts::Meaning,
    impersonate,
    shown::{Sent, shown},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::fmt::Write as _;

/// Headers of callers that go on. All others are dropped: credentials, `X-Remote-*`, `X-Forwarded-*`, and whatever else
/// nobody thought of. `Impersonate-*` are read, decided and written anew.
const PASSED: [HeaderName; 8] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("kubectl-command"),
    HeaderName::from_static("kubectl-session"),
    HeaderName::from_static("traceparent"),
];

/// Those that differ each time that the same command is run.
const OF_A_RUN: [&str; 2] = ["kubectl-session", "traceparent"];

/// Headers that ask for something that this version does not do. To drop them would change what the request means.
const REFUSED: [(&str, &str); 1] =
    [("content-encoding", "compressed bodies are not taken: the API server takes them as they are")];

/// A request: method, path and query, headers, body.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whom the caller wants it to be of (`kubectl --as`).
    asked: Option<Impersonation>,
    /// Whether the API server takes it for somebody else's than the gateway's.
    pub(crate) is_of_another: bool,
    /// Whether it may be sent once more, where the API server has not accepted the gateway's credential: see [`repeats`].
    pub(super) repeats: bool,
}

/// Whether a request may be sent once more after the API server did not accept who sent it: it has no effect, and the answer
/// is the API server's own. What changes something is never sent twice, as a webhook that was asked about it may have done
/// something and answered 401; nor is what goes on to a program (`exec`, `proxy`), or a subresource that nobody knows.
fn repeats(target: &Target) -> bool {
    let known = ["status", "scale", "log", "resize", "ephemeralcontainers"];
    let is_own = target.resource().is_none_or(|p| p.subresource.as_deref().is_none_or(|s| known.contains(&s)));
    is_own && matches!(target.verb, Verb::Get | Verb::List | Verb::Watch)
}

impl Message {
    /// A caller's request, as it goes on; `own`: who the caller is in the cluster, where the gateway says so.
    pub(crate) fn new(
        method: &Method,
        target: &Target,
        headers: &HeaderMap,
        own: Option<&Impersonation>,
        body: Bytes,
    ) -> Result<Self, Malformed> {
        let mut passed = HeaderMap::new();
        for (name, value) in headers {
            let refused = REFUSED.iter().find(|(prefix, _)| name.as_str().starts_with(prefix));
            if let Some((_, why)) = refused {
                return Err(Malformed(format!("the header `{name}`: {why}")));
            }
            if PASSED.contains(name) {
                if name == header::CONTENT_TYPE && passed.contains_key(name) {
                    return Err(Malformed("two headers say of what type the body is".into()));
                }
                passed.append(name.clone(), value.clone());
            }
        }
        let asked = Impersonation::asked(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))?;
        let speaker = match (&asked, own) {
            (Some(asked), Some(own)) => Some(Naming::beside(asked.clone(), own)),
            (Some(asked), None) => Some(asked.clone()),
            (None, own) => own.cloned(),
        };
        for (name, value) in speaker.iter().flat_map(Impersonation::headers) {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) else {
                return Err(Malformed("a name that no header can hold".into()));
            };
            passed.append(name, value);
        }
        let is_of_another = speaker.is_some();
        let repeats = repeats(target);
        Ok(Self {
            method: method.clone(),
            target: target.canonical(),
            headers: passed,
            body,
            asked,
            is_of_another,
            repeats,
        })
    }

    /// What it means, with the rights that it needs for being of somebody else.
    pub(crate) fn meaning(&self, meaning: Meaning) -> Meaning {
        match &self.asked {
            Some(asked) => asked.asked_besides(meaning),
            None => meaning,
        }
    }

    /// The same speaker's look at an object.
    pub(crate) fn look(&self, at: &str) -> Self {
        let ours = |name: &HeaderName| name.as_str().starts_with(impersonate::PREFIX);
        let mut headers: HeaderMap =
            self.headers.iter().filter(|(name, _)| ours(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Self { method: Method::GET, target: at.to_owned(), headers, body: Bytes::new(), repeats: true, ..self.clone() }
    }

    /// The same as a question: what would come of it.
    pub(crate) fn dry(&self, target: &Target) -> Self {
        let dry = target.parameters("dryRun").any(|v| v == "All");
        let mut out = self.clone();
        if !dry {
            out.target = target.canonical_with(&[("dryRun", "All")]);
        }
        out.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        // It leaves nothing behind.
        out.repeats = true;
        out
    }

    /// As it is sent once people have said yes to it, which is for once.
    pub(crate) fn for_once(&mut self) {
        self.repeats = false;
    }

    /// Asks for text alone, in which values can be masked.
    pub(crate) fn ask_for_text(&mut self) {
        // Where nothing is asked for, the API server answers in JSON, and streams as they are.
        let Some(accept) = self.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()) else { return };
        let is_text = |range: &&str| !range.contains("protobuf") && !range.contains("cbor");
        let kept: Vec<&str> = accept.split(',').map(str::trim).filter(is_text).filter(|r| !r.is_empty()).collect();
        let text = if kept.is_empty() { "application/json".to_owned() } else { kept.join(",") };
        if let Ok(value) = HeaderValue::from_str(&text) {
            self.headers.insert(header::ACCEPT, value);
        }
    }

    /// Whether this text is in the body.
    pub(crate) fn holds(&self, text: &str) -> bool {
        memchr::memmem::find(&self.body, text.as_bytes()).is_some()
    }

    /// What is decided, hashed and recorded: head and body as they are sent, but for the credential.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = self.head().into_bytes();
        out.extend_from_slice(&self.body);
        out
    }

    /// What people are shown of it before they approve it.
    pub(crate) fn shown(&self, target: &Target) -> Result<Shown, NotShown> {
        let mut headers = self.headers.clone();
        OF_A_RUN.iter().for_each(|name| drop(headers.remove(*name)));
        // An empty body costs nothing to copy.
        let head = Self { headers, body: Bytes::new(), ..self.clone() }.head();
        let media_type = self.headers.get(header::CONTENT_TYPE).map_or(b"".as_slice(), HeaderValue::as_bytes);
        let media_type = String::from_utf8_lossy(media_type);
        shown(target, &Sent { head: &head, media_type: &media_type, body: &self.body })
    }

    /// What two requests have in common that are the same to whoever approved one of them: all but what names the run of
    /// a client. Of a stream, what it runs and in whose name: clients that are refused on one wire try the other, with
    /// another method and other headers.
    pub(crate) fn same(&self, is_stream: bool) -> Vec<u8> {
        let is_kept = |name: &str| match is_stream {
            true => name.starts_with(impersonate::PREFIX),
            false => !OF_A_RUN.contains(&name),
        };
        // Go's clients send them over HTTP/2 in a new order each time.
        let mut kept: Vec<_> = self.headers.iter().filter(|(name, _)| is_kept(name.as_str())).collect();
        kept.sort_by_key(|(name, _)| name.as_str());
        let headers = kept.into_iter().fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name.clone(), value.clone());
            all
        });
        let method = if is_stream { Method::CONNECT } else { self.method.clone() };
        Self { method, headers, ..self.clone() }.bytes()
    }

    fn head(&self) -> String {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            let _never_fails = write!(out, "{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
        }
        out.push_str("\r\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, &str)]) -> Result<Message, Malformed> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        let target = Target::parse("POST", "/api/v1/namespaces/a/pods").unwrap();
        Message::new(&Method::POST, &target, &all, None, Bytes::from_static(b"{}"))
    }

    #[test]
    fn headers_that_speak_for_others_do_not_go_on() {
        let m = message(&[
            ("authorization", "Bearer x"),
            ("x-remote-user", "root"),
            ("x-forwarded-for", "1.2.3.4"),
            ("cookie", "a=b"),
            ("accept-encoding", "gzip"),
            ("accept", "application/json"),
            ("content-type", "application/json"),
        ]);
        let text = String::from_utf8(m.unwrap().bytes()).unwrap();
        assert_eq!(
            text,
            "POST /api/v1/namespaces/a/pods HTTP/1.1\r\naccept: application/json\r\ncontent-type: application/json\r\n\r\n{}"
        );
        for name in ["Impersonate-Group", "Impersonate-Extra-scopes", "Impersonate-Other", "content-encoding"] {
            assert!(message(&[(name, "x")]).is_err(), "{name}");
        }
        assert!(message(&[("content-type", "a"), ("content-type", "b")]).is_err());
    }

    #[test]
    fn who_it_is_of_is_written_anew_and_part_of_what_is_decided() {
        let m = message(&[("IMPERSONATE-USER", "eve"), ("Impersonate-Extra-A%2FB", "x"), ("impersonate-group", "b")]);
        let m = m.unwrap();
        let text = String::from_utf8(m.bytes()).unwrap();
        let written = "impersonate-user: eve\r\nimpersonate-group: b\r\nimpersonate-extra-a%2fb: x\r\n";
        assert!(text.contains(written), "{text}");
        let target = Target::parse("POST", "/api/v1/namespaces/a/pods").unwrap();
        assert_eq!(m.dry(&target).headers.get("impersonate-user").unwrap(), "eve");
        let look = m.look("/api/v1/pods");
        assert_eq!((look.headers.get("impersonate-group").unwrap(), look.headers.len()), (&"b".parse().unwrap(), 4));
        assert!(look.body.is_empty());
    }

    #[test]
    fn the_same_request_again_is_the_same() {
        let make = |method: &str, headers: &[(&str, &str)], body: &'static str| {
            let mut all = HeaderMap::new();
            for (name, value) in headers {
                all.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
            }
            let target = Target::parse(method, "/api/v1/namespaces/a/pods/p/exec?command=id").unwrap();
            let method = Method::try_from(method).unwrap();
            Message::new(&method, &target, &all, None, Bytes::from_static(body.as_bytes())).unwrap()
        };
        let first = [("kubectl-session", "1"), ("traceparent", "2"), ("accept", "x")];
        let post = make("POST", &first, "a").same(false);
        assert_eq!(post, make("POST", &[("accept", "x"), ("kubectl-session", "9")], "a").same(false));
        let two = [("user-agent", "k"), ("accept", "x"), ("if-match", "1")];
        let turned = [("if-match", "1"), ("user-agent", "k"), ("accept", "x")];
        assert_eq!(make("POST", &two, "").same(false), make("POST", &turned, "").same(false), "in any order");
        for (method, headers, body) in [
            ("POST", &[("accept", "x")][..], "b"),
            ("POST", &[("accept", "y")], "a"),
            ("GET", &[("accept", "x")], "a"),
            ("POST", &[("accept", "x"), ("impersonate-user", "eve")], "a"),
        ] {
            assert_ne!(post, make(method, headers, body).same(false), "{method} {headers:?} {body}");
        }
        let stream = make("GET", &[("accept", "x")], "").same(true);
        assert_eq!(stream, make("POST", &[], "").same(true), "over either wire");
        assert_ne!(stream, make("GET", &[("impersonate-user", "eve")], "").same(true));
        assert_ne!(stream, make("GET", &[("accept", "x")], "").same(false), "a stream is one");
    }

    #[test]
    fn a_dry_run_asks_for_json_once() {
        let target = Target::parse("POST", "/api/v1/namespaces/a/pods?dryRun=All&fieldManager=k").unwrap();
        let m = Message::new(&Method::POST, &target, &HeaderMap::new(), None, Bytes::new()).unwrap();
        assert_eq!(m.dry(&target).target, m.target);
        let target = Target::parse("POST", "/api/v1/namespaces/a/pods?fieldManager=k").unwrap();
        let m = Message::new(&Method::POST, &target, &HeaderMap::new(), None, Bytes::new()).unwrap();
        assert_eq!(m.dry(&target).target, "/api/v1/namespaces/a/pods?fieldManager=k&dryRun=All");
    }
}
