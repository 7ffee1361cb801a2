//! What a method, a path and a query mean: `RequestInfo` of the API server
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/>, `apiserver/pkg/endpoints/request/requestinfo.go`).
//!
//! Stricter than the server, so that no two readings are possible: a segment is decoded once, and one that holds a slash,
//! a percent sign, a backslash, a control character, or is `.` or `..` is refused, as are empty ones. What is forwarded
//! is [`Target::canonical`], written anew from what was read.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt;

/// The longest path and query, in bytes.
const LONGEST: usize = 16 * 1024;
/// The most parameters of a query.
const MOST_PARAMETERS: usize = 256;
/// What stands in a segment as it is (RFC 3986 §3.3, without what has a meaning to some).
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@').remove(b'$');

/// Why a request has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(what.into()))
}

/// What is done, as RBAC names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Read all, and be told of changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change some of one.
    Patch,
    /// Remove one.
    Delete,
    /// Remove all.
    DeleteCollection,
}

impl Verb {
    /// As in RBAC.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it changes an object that it names.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Patch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a resource is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// Its group; empty for the core group.
    pub group: String,
    /// The version of the API.
    pub version: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its resource.
    pub resource: String,
    /// The object; none for a collection.
    pub name: Option<String>,
    /// What of the object.
    pub subresource: Option<String>,
    /// What is behind the subresource: for `proxy`, where to.
    pub tail: Vec<String>,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// An object, or a collection.
    Resource(ResourcePath),
    /// A path beside the resources: `/version`, `/openapi/v3`.
    Path(Vec<String>),
}

/// A request's target, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is done.
    pub verb: Verb,
    /// What to.
    pub about: About,
    segments: Vec<String>,
    ends_in_slash: bool,
    query: Vec<(String, String)>,
}

/// Parameters that may be given more than once: words of a command, ports, `dryRun`.
const REPEATABLE: [&str; 3] = ["command", "ports", "dryRun"];

impl Target {
    /// Reads the target of a request: `GET`, `/api/v1/pods?watch=1`.
    ///
    /// # Errors
    /// Where it has no meaning, or more than one.
    pub fn parse(method: &str, path_and_query: &str) -> Result<Self, Malformed> {
        if path_and_query.len() > LONGEST {
            return malformed("the path is too long");
        }
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let (segments, ends_in_slash) = segments(path)?;
        let query = parameters(query)?;
        let verb = verb_of(method)?;
        let about = match resource_path(&segments)? {
            // What is behind a proxy has paths of its own.
            Some(resource) if ends_in_slash && resource.subresource.as_deref() != Some("proxy") => {
                return malformed("a resource's path ends in a slash");
            }
            Some(resource) => About::Resource(resource),
            None => About::Path(segments.clone()),
        };
        let mut target = Self { verb, about, segments, ends_in_slash, query };
        target.verb = target.whole_verb(verb)?;
        Ok(target)
    }

    /// `get` of a collection is `list` or `watch`, `delete` of one `deletecollection`.
    fn whole_verb(&self, verb: Verb) -> Result<Verb, Malformed> {
        let About::Resource(path) = &self.about else {
            return if verb == Verb::Get { Ok(verb) } else { malformed("this path can only be read") };
        };
        let watches = match self.parameter("watch") {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            // The API server takes `?watch=` for true.
            Some(_) => return malformed("the parameter `watch` is neither true nor false"),
        };
        Ok(match (verb, &path.name) {
            (Verb::Get, None) if watches => Verb::Watch,
            (Verb::Get, None) => Verb::List,
            // Older servers watch a single object so; as of 1.10 they do not.
            (Verb::Get, Some(_)) if watches => return malformed("`watch` of a single object: use fieldSelector"),
            (Verb::Delete, None) => Verb::DeleteCollection,
            (Verb::Update | Verb::Patch, None) => return malformed("a collection cannot be changed"),
            (Verb::Create, Some(_)) if path.subresource.is_none() => {
                return malformed("an object is created in its collection");
            }
            (verb, _) => verb,
        })
    }

    /// A parameter of the query; the first one where it may be repeated.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All parameters, in order.
    pub fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Gives a parameter another value.
    pub fn set_parameter(&mut self, name: &str, value: String) {
        for (_, old) in self.query.iter_mut().filter(|(n, _)| n == name) {
            old.clone_from(&value);
        }
    }

    /// All parameters of this name.
    pub fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The resource it is about.
    pub const fn resource(&self) -> Option<&ResourcePath> {
        match &self.about {
            About::Resource(path) => Some(path),
            About::Path(_) => None,
        }
    }

    /// Path and query as they are forwarded, with these parameters, and none of the same names that were there.
    pub fn canonical_with(&self, more: &[(&str, &str)]) -> String {
        let mut out = path_of(self.segments.iter().map(String::as_str));
        if self.ends_in_slash && !self.segments.is_empty() {
            out.push('/');
        }
        if !self.query.is_empty() || !more.is_empty() {
            let mut query = form_urlencoded::Serializer::new(String::new());
            let is_new = |name: &str| more.iter().any(|(other, _)| *other == name);
            query.extend_pairs(self.query.iter().filter(|(name, _)| !is_new(name)));
            query.extend_pairs(more.iter());
            out.push('?');
            out.push_str(&query.finish());
        }
        out
    }

    /// Path and query as they are forwarded.
    pub fn canonical(&self) -> String {
        self.canonical_with(&[])
    }
}

impl ResourcePath {
    /// The resource with its group, as in RBAC: `deployments.apps`, `pods`.
    pub fn kind(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// The path of the object itself, or of the collection: without subresource.
    pub fn object(&self) -> String {
        let mut all = if self.group.is_empty() { vec!["api"] } else { vec!["apis", &self.group] };
        all.push(&self.version);
        if let Some(namespace) = &self.namespace {
            all.extend(["namespaces", namespace]);
        }
        all.push(&self.resource);
        all.extend(self.name.as_deref());
        path_of(all.into_iter())
    }
}

/// A path of these segments.
pub fn path_of<'a>(segments: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for segment in segments {
        out.push('/');
        out.extend(utf8_percent_encode(segment, SEGMENT));
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

fn verb_of(method: &str) -> Result<Verb, Malformed> {
    Ok(match method {
        "GET" | "HEAD" => Verb::Get,
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" => Verb::Patch,
        "DELETE" => Verb::Delete,
        _ => return malformed("the method is not one of the API"),
    })
}

/// The decoded segments of a path, and whether it ends in a slash.
fn segments(path: &str) -> Result<(Vec<String>, bool), Malformed> {
    let Some(rest) = path.strip_prefix('/') else { return malformed("the path does not begin with a slash") };
    let (rest, ends_in_slash) = rest.strip_suffix('/').map_or((rest, false), |rest| (rest, true));
    if rest.is_empty() {
        return if ends_in_slash { malformed("the path has an empty segment") } else { Ok((Vec::new(), true)) };
    }
    let decoded = rest.split('/').map(|raw| {
        let text = percent_decode_str(raw).decode_utf8().map_err(|_| Malformed("the path is not UTF-8".into()))?;
        let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | '%' | '?' | '#');
        match text.as_ref() {
            "" => malformed("the path has an empty segment"),
            "." | ".." => malformed("the path has a segment `.` or `..`"),
            text if text.contains(odd) => malformed("the path has an encoded slash, percent sign or control character"),
            text => Ok(text.to_owned()),
        }
    });
    Ok((decoded.collect::<Result<_, _>>()?, ends_in_slash))
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, Malformed> {
    // Go's server drops what has a semicolon in it.
    if query.contains(';') || query.contains('#') {
        return malformed("the query has a semicolon or a hash sign");
    }
    for part in query.split('&') {
        let broken = |text: &str| percent_decode_str(text).decode_utf8().is_err() || has_broken_escape(text);
        if broken(part) {
            return malformed("the query is not properly encoded");
        }
    }
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if pairs.len() > MOST_PARAMETERS {
        return malformed("the query has too many parameters");
    }
    for (n, (name, _)) in pairs.iter().enumerate() {
        let repeated = pairs.iter().skip(n + 1).any(|(other, _)| other == name);
        if repeated && !REPEATABLE.contains(&name.as_str()) {
            return malformed(format!("the parameter `{}` is given more than once", name.escape_debug()));
        }
    }
    Ok(pairs)
}

/// A percent sign that no two hexadecimal digits follow.
fn has_broken_escape(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit).count();
        if digits < 2 {
            return true;
        }
        rest = after;
    }
    false
}

/// What the segments say of a resource; none for paths beside the resources.
fn resource_path(segments: &[String]) -> Result<Option<ResourcePath>, Malformed> {
    let all: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match all.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(None),
    };
    // The old spellings of watch and proxy (`/api/v1/watch/pods`) mean what others say better.
    if matches!(rest, ["watch" | "proxy", _, ..]) {
        return malformed("the old path of `watch` or `proxy`: use the parameter, or the subresource");
    }
    let (namespace, rest) = match rest {
        // These two are of the namespace itself.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, inside @ ..] if !inside.is_empty() => (Some(*namespace), inside),
        _ => (None, rest),
    };
    let owned = |text: &&str| (*text).to_owned();
    let [resource, rest @ ..] = rest else { return Ok(None) };
    let path = ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.map(str::to_owned),
        resource: owned(resource),
        name: rest.first().map(owned),
        subresource: rest.get(1).map(owned),
        tail: rest.iter().skip(2).map(owned).collect(),
    };
    if !path.tail.is_empty() && path.subresource.as_deref() != Some("proxy") {
        return malformed("the path has more segments than a resource has");
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(method: &str, path: &str) -> String {
        match Target::parse(method, path) {
            Err(Malformed(why)) => format!("refused: {why}"),
            Ok(target) => match &target.about {
                About::Path(all) => format!("{} path {}", target.verb, all.join("/")),
                About::Resource(r) => format!(
                    "{} {}|{}|{}|{}|{}{}",
                    target.verb,
                    r.group,
                    r.namespace.as_deref().unwrap_or("-"),
                    r.resource,
                    r.name.as_deref().unwrap_or("*"),
                    r.subresource.as_deref().unwrap_or("-"),
                    r.tail.iter().map(|t| format!("/{t}")).collect::<String>()
                ),
            },
        }
    }

    #[test]
    fn paths_mean_what_the_api_server_takes_them_for() {
        for (method, path, meaning) in [
            ("GET", "/api/v1/pods", "list |-|pods|*|-"),
            ("GET", "/api/v1/namespaces/a/pods?watch=true", "watch |a|pods|*|-"),
            ("GET", "/api/v1/namespaces/a/pods/x", "get |a|pods|x|-"),
            ("HEAD", "/api/v1/namespaces/a/pods/x", "get |a|pods|x|-"),
            ("GET", "/api/v1/namespaces/a/pods/x/log?follow=true", "get |a|pods|x|log"),
            ("POST", "/api/v1/namespaces/a/pods/x/exec?command=a&command=b", "create |a|pods|x|exec"),
            ("GET", "/api/v1/namespaces/a/pods/x:80/proxy/a/b", "get |a|pods|x:80|proxy/a/b"),
            ("GET", "/api/v1/namespaces/a/pods/x:80/proxy/", "get |a|pods|x:80|proxy"),
            ("GET", "/api/v1/namespaces/a/services/x/proxy/a/", "get |a|services|x|proxy/a"),
            ("GET", "/api/v1/namespaces", "list |-|namespaces|*|-"),
            ("DELETE", "/api/v1/namespaces/a", "delete |-|namespaces|a|-"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update |-|namespaces|a|finalize"),
            ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection |a|pods|*|-"),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d", "patch apps|a|deployments|d|-"),
            ("PUT", "/apis/apps/v1/namespaces/a/deployments/d/scale", "update apps|a|deployments|d|scale"),
            (
                "GET",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                "get rbac.authorization.k8s.io|-|clusterroles|system:node|-",
            ),
            ("GET", "/", "get path "),
            ("GET", "/api", "get path api"),
            ("GET", "/apis/apps/v1", "get path apis/apps/v1"),
            ("GET", "/openapi/v3/apis/apps/v1?hash=1", "get path openapi/v3/apis/apps/v1"),
            ("GET", "/apis/", "get path apis"),
        ] {
            assert_eq!(read(method, path), meaning, "{method} {path}");
        }
    }

    #[test]
    fn what_has_two_readings_has_none() {
        for (method, path) in [
            ("GET", "/api/v1/namespaces/a/pods/../secrets/x"),
            ("GET", "/api/v1/namespaces/a/pods/%2e%2e/secrets/x"),
            ("GET", "/api/v1/namespaces/a%2fpods/x"),
            ("GET", "/api/v1/namespaces/a%252fpods/x"),
            ("GET", "/api/v1//pods"),
            ("GET", "//api/v1/pods"),
            ("GET", "api/v1/pods"),
            ("GET", "/api/v1/pods/"),
            ("GET", "/api/v1/pods\\x"),
            ("GET", "/api/v1/pods%00"),
            ("GET", "/api/v1/pods%ff"),
            ("GET", "/api/v1/watch/pods"),
            ("GET", "/api/v1/proxy/namespaces/a/pods/x"),
            ("GET", "/api/v1/pods?watch=true&watch=false"),
            ("GET", "/api/v1/pods?watch=TRUE"),
            ("GET", "/api/v1/pods?watch"),
            ("GET", "/api/v1/pods?watch="),
            ("GET", "/api/v1/pods?a=1;watch=true"),
            ("GET", "/api/v1/pods?watch=%zz"),
            ("GET", "/api/v1/namespaces/a/pods/x?watch=true"),
            ("GET", "/api/v1/namespaces/a/pods/x/log/more"),
            ("PUT", "/api/v1/namespaces/a/pods"),
            ("POST", "/api/v1/namespaces/a/pods/x"),
            ("POST", "/version"),
            ("CONNECT", "/api/v1/pods"),
            ("get", "/api/v1/pods"),
        ] {
            assert!(read(method, path).starts_with("refused: "), "{method} {path}: {}", read(method, path));
        }
    }

    #[test]
    fn what_is_forwarded_is_written_anew() {
        for (path, canonical) in [
            ("/api/v1/namespaces/%61/pods?labelSelector=a%3Db", "/api/v1/namespaces/a/pods?labelSelector=a%3Db"),
            ("/apis/x/v1/y/system:z", "/apis/x/v1/y/system:z"),
            ("/apis/", "/apis/"),
            ("/", "/"),
        ] {
            assert_eq!(Target::parse("GET", path).unwrap().canonical(), canonical);
        }
        let target = Target::parse("POST", "/api/v1/namespaces/a/pods").unwrap();
        assert_eq!(target.canonical_with(&[("dryRun", "All")]), "/api/v1/namespaces/a/pods?dryRun=All");
        let Some(path) = Target::parse("GET", "/api/v1/namespaces/a/pods/x/log").unwrap().resource().cloned() else {
            panic!("a resource")
        };
        assert_eq!(path.object(), "/api/v1/namespaces/a/pods/x");
    }

    proptest! {
        /// What was written anew is read as what it was written from.
        #[test]
        fn reading_and_writing_agree(path in "(/[a-z%0-9A-F.:~\\\\ ]{0,8}){0,8}(\\?([a-z]{1,3}=[a-z%&;0-9]{0,4}){0,3})?") {
            if let Ok(target) = Target::parse("GET", &path) {
                let again = Target::parse("GET", &target.canonical());
                prop_assert_eq!(again, Ok(target));
            }
        }

        #[test]
        fn any_text_is_taken(method in ".{0,8}", path in ".{0,60}") {
            let _read = Target::parse(&method, &path);
        }
    }
}
