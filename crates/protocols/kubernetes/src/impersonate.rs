//! Speaking in the name of somebody else: `Impersonate-*` headers, as callers send them (`kubectl --as`) and as they are
//! written towards the API server.
//!
//! They are read as the API server reads them (`k8s.io/apiserver/pkg/endpoints/filters/impersonation`), but what it takes
//! silently (a second user, an empty value, an escape that is none) is refused. What goes on is written anew.
use crate::{facts::Meaning, facts::quoted, target::Malformed};
use doorward_model::{Access, Action, ApiObject, Facts, Principal, Resource};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::{collections::BTreeSet, sync::Arc};

/// All of these headers begin so.
pub const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// Keys of extras that are the gateway's own.
const OWN: &str = "doorward.dev/";
/// The group of the resources `uids` and `userextras`.
const AUTHENTICATION: &str = "authentication.k8s.io";
/// What Kubernetes keeps for itself: `system:masters` may do everything.
const RESERVED: &str = "system:";
const LONGEST: usize = 1024;
const MOST: usize = 256;

/// What stands in a key as it is; upper case would be lost, because header names have no case.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// What stands in a caller's name as it is, in an extra.
const ID: &AsciiSet = &KEY.remove(b'/').remove(b':').remove(b'@');

/// Who a request is to be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    user: String,
    uid: Option<String>,
    groups: BTreeSet<String>,
    extra: BTreeSet<(String, String)>,
}

/// Whose name callers have in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// Stands before users and groups.
    pub prefix: String,
    /// The tag of the principal that is the user's name; `issuer/subject` where there is none.
    pub tag: Option<String>,
}

impl Naming {
    /// Who a caller is in the cluster (of an agent that acts for a person the agent: the API server asks its own rules about
    /// one user, and the policies here ask about both); in words, why he cannot be anybody there. `session` goes into the cluster's audit log.
    ///
    /// # Errors
    /// Where the name or a group is one that Kubernetes keeps for itself, or cannot be written.
    pub fn of(&self, principal: &Principal, session: &str) -> Result<Impersonation, String> {
        let id = principal.id();
        let user = match &self.tag {
            None => &id,
            Some(tag) => principal.tags.get(tag).ok_or_else(|| {
                format!("the token has no claim for the tag `{tag}`, which names callers in this cluster")
            })?,
        };
        let named = |what: &str, name: &str| {
            let name = format!("{}{name}", self.prefix);
            if let Err(why) = check(&name) {
                return Err(format!(
                    "the {what} `{}` of the token cannot be one of the cluster: {why}",
                    name.escape_debug()
                ));
            }
            if name.starts_with(RESERVED) {
                return Err(format!("the {what} `{name}` of the token is one that Kubernetes keeps for itself"));
            }
            Ok(name)
        };
        Ok(Impersonation {
            user: named("name", user)?,
            uid: None,
            groups: principal.groups.iter().map(|g| named("group", g)).collect::<Result<_, _>>()?,
            extra: Self::own(principal, session).collect(),
        })
    }

    /// What the cluster's audit log has besides: whose session it is.
    fn own(principal: &Principal, session: &str) -> impl Iterator<Item = (String, String)> {
        // A subject may hold what no header can.
        let written = |id: String| utf8_percent_encode(&id, ID).to_string();
        let person = principal.person().map(|p| ("on-behalf-of", written(p.id())));
        let own = [("principal", written(principal.id())), ("session", session.to_owned())];
        own.into_iter().chain(person).map(|(k, v)| (format!("{OWN}{k}"), v))
    }

    /// The same for who speaks in the name of another one.
    #[must_use]
    pub fn beside(mut asked: Impersonation, own: &Impersonation) -> Impersonation {
        asked.extra.extend(own.extra.iter().filter(|(key, _)| key.starts_with(OWN)).cloned());
        asked
    }
}

/// A value that the API server reads as it was written: it takes blanks off, and so would take ` system:masters` for another.
fn check(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("it is empty");
    }
    if value.len() > LONGEST {
        return Err("it is too long");
    }
    if value.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    if value.trim() != value { Err("it begins or ends with a blank") } else { Ok(()) }
}

fn malformed<T>(header: &str, why: &str) -> Result<T, Malformed> {
    Err(Malformed(format!("the header `{}`: {why}", header.escape_debug())))
}

impl Impersonation {
    /// Reads a caller's headers; names are in lower case, as `http` has them. None where no header asks for it.
    ///
    /// # Errors
    /// What the API server might take otherwise.
    pub fn asked<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Option<Self>, Malformed> {
        let (mut user, mut out) =
            (None, Self { user: String::new(), uid: None, groups: BTreeSet::new(), extra: BTreeSet::new() });
        let mut count = 0;
        for (name, value) in headers.filter(|(name, _)| name.starts_with(PREFIX)) {
            count += 1;
            if count > MOST {
                return malformed(name, "there are too many of them");
            }
            let Ok(value) = std::str::from_utf8(value) else { return malformed(name, "it is not UTF-8") };
            if let Err(why) = check(value) {
                return malformed(name, why);
            }
            let value = value.to_owned();
            let is_new = match name {
                USER => user.replace(value).is_none(),
                UID => out.uid.replace(value).is_none(),
                GROUP => out.groups.insert(value),
                _ => out.extra.insert((key(name)?, value)),
            };
            if !is_new {
                return malformed(name, "it is given twice");
            }
        }
        match user {
            Some(user) => Ok(Some(Self { user, ..out })),
            None if count == 0 => Ok(None),
            None => malformed(USER, "it is missing, and others say more of a user (`--as`)"),
        }
    }

    /// The headers towards the API server: names in lower case, in an order of their own.
    pub fn headers(&self) -> impl Iterator<Item = (String, &str)> {
        let plain = |name: &str| name.to_owned();
        let extra = self.extra.iter().map(|(key, value)| (format!("{EXTRA}{}", escaped(key)), value.as_str()));
        std::iter::once((plain(USER), self.user.as_str()))
            .chain(self.uid.iter().map(move |uid| (plain(UID), uid.as_str())))
            .chain(self.groups.iter().map(move |group| (plain(GROUP), group.as_str())))
            .chain(extra)
    }

    /// What a caller asks for besides, who wants a request to be of somebody else.
    pub fn asked_besides(&self, meaning: Meaning) -> Meaning {
        let mut accesses = meaning.facts.accesses.clone();
        accesses.extend(self.objects().map(|o| Access::new(Action::Impersonate, Resource::ApiObject(Arc::new(o)))));
        let facts = Facts::new(&meaning.facts.command, meaning.facts.statements, accesses);
        // Before what is after `--`, which is a command's.
        let told = format!("{} {}", self.told(), meaning.statement);
        Meaning { facts: Arc::new(facts), statement: told.into() }
    }

    /// As kubectl has it.
    fn told(&self) -> String {
        let mut out = format!("--as={}", quoted(&self.user));
        for group in &self.groups {
            out.push_str(&format!(" --as-group={}", quoted(group)));
        }
        if let Some(uid) = &self.uid {
            out.push_str(&format!(" --as-uid={}", quoted(uid)));
        }
        for (key, value) in &self.extra {
            out.push_str(&format!(" --as-user-extra={}", quoted(&format!("{key}={value}"))));
        }
        out
    }

    /// The objects that RBAC asks `impersonate` on (Kubernetes, "User impersonation").
    fn objects(&self) -> impl Iterator<Item = ApiObject> {
        let of = |group: &str, resource: &str, name: &str| ApiObject {
            group: group.into(),
            resource: resource.into(),
            name: name.into(),
            ..ApiObject::default()
        };
        let user = match service_account(&self.user) {
            Some((namespace, name)) => {
                ApiObject { namespace: Some(namespace.into()), ..of("", "serviceaccounts", name) }
            }
            None => of("", "users", &self.user),
        };
        std::iter::once(user)
            .chain(self.groups.iter().map(move |group| of("", "groups", group)))
            .chain(self.uid.iter().map(move |uid| of(AUTHENTICATION, "uids", uid)))
            .chain(self.extra.iter().map(move |(key, value)| of(AUTHENTICATION, &format!("userextras/{key}"), value)))
    }
}

/// Namespace and name in `system:serviceaccount:NAMESPACE:NAME` (`serviceaccount.SplitUsername`).
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let is_name = |text: &str| !text.is_empty() && text.chars().all(plain);
    (is_name(namespace) && is_name(name)).then_some((namespace, name))
}

/// The key of an extra: percent-encoded once, after the name has lost its case.
fn key(header: &str) -> Result<String, Malformed> {
    let Some(raw) = header.strip_prefix(EXTRA) else {
        return malformed(header, "it is none that the API server knows");
    };
    let mut parts = raw.split('%');
    let _plain = parts.next();
    if parts.any(|part| part.bytes().take(2).filter(u8::is_ascii_hexdigit).count() < 2) {
        return malformed(header, "its key is not properly encoded");
    }
    let Ok(key) = percent_decode_str(raw).decode_utf8() else { return malformed(header, "its key is not UTF-8") };
    if let Err(why) = check(&key) {
        return malformed(header, why);
    }
    if key.to_ascii_lowercase().starts_with(OWN) {
        return malformed(header, "its key is the gateway's own");
    }
    Ok(key.into_owned())
}

fn escaped(key: &str) -> String {
    let upper = |c: char| c.is_ascii_uppercase();
    key.chars()
        .map(|c| {
            if upper(c) {
                format!("%{:02x}", u32::from(c))
            } else {
                utf8_percent_encode(c.encode_utf8(&mut [0; 4]), KEY).to_string()
            }
        })
        .collect::<String>()
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Target, facts};
    use doorward_model::{PrincipalKind, Timestamp};
    use proptest::prelude::*;

    fn asked(headers: &[(&str, &str)]) -> Result<Option<Impersonation>, String> {
        let all = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        Impersonation::asked(all).map_err(|Malformed(why)| why)
    }

    fn rights(headers: &[(&str, &str)]) -> String {
        let target = Target::parse("GET", "/api/v1/namespaces/a/pods/x").unwrap();
        let meaning = facts::of(&target, &facts::Known::default());
        let meaning = asked(headers).unwrap().unwrap().asked_besides(meaning);
        let all: Vec<String> = meaning.facts.accesses.iter().map(ToString::to_string).collect();
        format!("{}: {}", meaning.statement, all.join(", "))
    }

    #[test]
    fn each_header_asks_for_a_right_of_its_own() {
        assert_eq!(
            rights(&[("impersonate-user", "eve"), ("impersonate-group", "system:masters"), ("impersonate-uid", "1")]),
            "--as=eve --as-group=system:masters --as-uid=1 get pods a/x: \
             get on Pod `a/pods/x`, impersonate on ApiObject `-/groups/system:masters`, \
             impersonate on ApiObject `-/users/eve`, impersonate on ApiObject `-/uids.authentication.k8s.io/1`"
                .to_owned()
        );
        let shown = rights(&[("impersonate-user", "system:serviceaccount:a:s"), ("impersonate-extra-scopes", "view")]);
        assert!(shown.contains("impersonate on ApiObject `a/serviceaccounts/s`"), "{shown}");
        assert!(shown.contains("impersonate on ApiObject `-/userextras/scopes.authentication.k8s.io/view`"), "{shown}");
        // No service account's: a user, as the API server has it.
        for user in ["system:serviceaccount:a", "system:serviceaccount:a:b:c", "system:serviceaccount:A:b"] {
            assert!(rights(&[("impersonate-user", user)]).contains(&format!("`-/users/{user}`")), "{user}");
        }
        // A comma separates nothing: it is one group of that name.
        let shown = rights(&[("impersonate-user", "eve"), ("impersonate-group", "dev,system:masters")]);
        assert!(shown.contains("groups/dev,system:masters"), "{shown}");
        let shown = rights(&[("impersonate-user", "eve\u{202e}")]);
        assert!(shown.starts_with("--as='eve\u{fffd}'"), "{shown}");
    }

    #[test]
    fn what_is_odd_is_refused() {
        let user = ("impersonate-user", "eve");
        for (headers, why) in [
            (&[user, user][..], "given twice"),
            (&[user, ("impersonate-user", "system:admin")], "given twice"),
            (&[user, ("impersonate-group", "system:masters"), ("impersonate-group", "system:masters")], "given twice"),
            (&[user, ("impersonate-uid", "1"), ("impersonate-uid", "2")], "given twice"),
            (&[("impersonate-user", "")], "empty"),
            (&[user, ("impersonate-group", "")], "empty"),
            (&[("impersonate-group", "a")], "missing"),
            (&[user, ("impersonate-groups", "a")], "none that the API server knows"),
            (&[user, ("impersonate-extra-", "a")], "empty"),
            (&[user, ("impersonate-extra-a%2", "a")], "not properly encoded"),
            (&[user, ("impersonate-extra-a%zz", "a")], "not properly encoded"),
            (&[user, ("impersonate-extra-a%ff", "a")], "not UTF-8"),
            (&[user, ("impersonate-extra-a%0a", "a")], "control character"),
            (&[user, ("impersonate-extra-a", "x"), ("impersonate-extra-%61", "x")], "given twice"),
            (&[user, ("impersonate-extra-doorward.dev%2fsession", "x")], "gateway's own"),
            (&[user, ("impersonate-extra-doorward.dev%2Fprincipal", "x")], "gateway's own"),
            (&[user, ("impersonate-extra-%44oorward.dev/session", "x")], "gateway's own"),
            (&[("impersonate-user", "a\nb")], "control character"),
            (&[("impersonate-user", "\u{a0}eve")], "blank"),
        ] {
            let said = asked(headers).unwrap_err();
            assert!(said.contains(why), "{headers:?}: {said}");
        }
        assert_eq!(asked(&[("x-remote-user", "root")]), Ok(None));
    }

    #[test]
    fn keys_are_decoded_once_and_written_anew() {
        let one = |name: &str| {
            let read = asked(&[("impersonate-user", "eve"), (name, "v")]).unwrap().unwrap();
            let key = read.extra.iter().next().unwrap().0.clone();
            (key, read.headers().last().unwrap().0)
        };
        for (name, key, written) in [
            ("impersonate-extra-scopes", "scopes", "impersonate-extra-scopes"),
            ("impersonate-extra-example.com%2fteam", "example.com/team", "impersonate-extra-example.com%2fteam"),
            ("impersonate-extra-%41b", "Ab", "impersonate-extra-%41b"),
            ("impersonate-extra-a%252fb", "a%2fb", "impersonate-extra-a%252fb"),
        ] {
            assert_eq!(one(name), (key.to_owned(), written.to_owned()));
        }
    }

    fn principal(subject: &str, groups: &[&str]) -> Principal {
        Principal {
            kind: PrincipalKind::Agent,
            issuer: "ci".into(),
            subject: subject.into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            tags: [("email".to_owned(), subject.to_owned())].into(),
            token_id: None,
            expires_at: Timestamp::from_secs(1),
            on_behalf_of: None,
        }
    }

    #[test]
    fn a_caller_is_itself_in_the_cluster() {
        let naming = Naming { prefix: "doorward:".into(), tag: None };
        let own = naming.of(&principal("bot", &["agents", "system:masters"]), "S").unwrap();
        let shown: Vec<_> = own.headers().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            shown,
            [
                "impersonate-user: doorward:ci/bot",
                "impersonate-group: doorward:agents",
                "impersonate-group: doorward:system:masters",
                "impersonate-extra-doorward.dev%2fprincipal: ci/bot",
                "impersonate-extra-doorward.dev%2fsession: S",
            ]
        );
        let other = asked(&[("impersonate-user", "eve")]).unwrap().unwrap();
        let other = Naming::beside(other, &own);
        assert_eq!((other.user.as_str(), other.groups.len(), other.extra.len()), ("eve", 0, 2));
    }

    /// The agent is somebody in the cluster, by its own groups; the person is named in the cluster's audit log.
    #[test]
    fn who_acts_for_a_person_is_not_that_person_in_the_cluster() {
        let naming = Naming { prefix: "doorward:".into(), tag: None };
        let person = principal("dana\u{e9}", &["admins"]);
        let on_behalf_of = Some(Box::new(doorward_model::Delegation { person, prior_actors: Vec::new() }));
        let own = naming.of(&Principal { on_behalf_of, ..principal("bot", &["agents"]) }, "S").unwrap();
        let groups: Vec<&str> = own.groups.iter().map(String::as_str).collect();
        assert_eq!((own.user.as_str(), groups), ("doorward:ci/bot", vec!["doorward:agents"]));
        let extra: Vec<_> = own.extra.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let of_person = "doorward.dev/on-behalf-of=ci/dana%C3%A9";
        assert_eq!(extra, [of_person, "doorward.dev/principal=ci/bot", "doorward.dev/session=S"]);
        let asked = asked(&[("impersonate-user", "eve")]).unwrap().unwrap();
        assert_eq!(Naming::beside(asked, &own).extra.len(), 3, "with --as, too");
    }

    /// Whoever can choose a claim must not choose the cluster's own groups with it.
    #[test]
    fn no_claim_makes_anybody_one_of_the_clusters_own() {
        for (prefix, subject, groups, why) in [
            ("", "system:admin", &[][..], "keeps for itself"),
            ("", "bot", &["system:masters"], "keeps for itself"),
            ("", "bot", &[" system:masters"], "blank"),
            ("", "bot", &["\tsystem:masters"], "control character"),
            (" ", "bot", &["system:masters"], "blank"),
            ("sys", "tem:admin", &[], "keeps for itself"),
            ("", "bot", &["a\nb"], "control character"),
            ("", "bot", &[""], "empty"),
            ("system:", "bot", &[], "keeps for itself"),
        ] {
            let naming = Naming { prefix: prefix.into(), tag: Some("email".into()) };
            let said = naming.of(&principal(subject, groups), "S").unwrap_err();
            assert!(said.contains(why), "{prefix}{subject} {groups:?}: {said}");
        }
        let naming = Naming { prefix: "d:".into(), tag: Some("upn".into()) };
        assert!(naming.of(&principal("bot", &[]), "S").unwrap_err().contains("tag `upn`"));
    }

    proptest! {
        /// What was written anew is read as what it was written from.
        #[test]
        fn reading_and_writing_agree(key in "[a-z%0-9A-F.\u{e9}]{1,12}", value in "[ -~\u{e9}]{1,8}") {
            let name = format!("impersonate-extra-{}", key.to_lowercase());
            if let Ok(Some(read)) = asked(&[("impersonate-user", "eve"), (&name, &value)]) {
                let written: Vec<_> = read.headers().map(|(n, v)| (n, v.to_owned())).collect();
                let again: Vec<_> = written.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                prop_assert_eq!(asked(&again), Ok(Some(read)));
            }
        }
    }
}
