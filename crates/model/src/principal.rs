//! Who is calling.
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What kind of caller an issuer vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A workload: a CI job, a bot, an assistant.
    Agent,
    /// A person.
    User,
}

/// A validated identity: who is calling, what is known of them, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Agent or user.
    pub kind: PrincipalKind,
    /// The configured name of the issuer (not its URL).
    pub issuer: String,
    /// The `sub` claim: unique within the issuer. Of an agent that acts for a person, that of its `act` claim.
    pub subject: String,
    /// The groups the issuer says the caller is in.
    pub groups: BTreeSet<String>,
    /// Claims exposed to policy under the names that the configuration gives them.
    pub tags: BTreeMap<String, String>,
    /// The `jti` claim, if there was one.
    pub token_id: Option<String>,
    /// When the identity ends (`exp`).
    pub expires_at: Timestamp,
    /// For whom the caller acts (RFC 8693, section 4.1); nobody but themselves where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Box<Delegation>>,
}

/// For whom an agent acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// The person: the `sub` of the token. It acts for nobody itself.
    pub person: Principal,
    /// Who acted before the agent (`issuer/subject`), the latest first. For the record: no right comes of them, and none of them
    /// approves what comes of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prior_actors: Vec<String>,
}

/// An agent and the person that it acts for, by their identifiers: what each audit entry of the two says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parties {
    /// The agent.
    pub actor: String,
    /// The person.
    pub on_behalf_of: String,
}

impl Principal {
    /// The identifier that policies use: `issuer/subject`. Of an agent that acts for a person it names the agent alone:
    /// whoever is shown it is shown [`Display`](fmt::Display), whatever is kept by it is kept by [`Principal::key`].
    pub fn id(&self) -> String {
        format!("{}/{}", self.issuer, self.subject)
    }

    /// The person that the caller acts for.
    pub fn person(&self) -> Option<&Self> {
        self.on_behalf_of.as_ref().map(|d| &d.person)
    }

    /// The agent and the person, where there are two.
    pub fn parties(&self) -> Option<Parties> {
        self.person().map(|person| Parties { actor: self.id(), on_behalf_of: person.id() })
    }

    /// What tells callers apart: no two that are not [the same](Self::is_same_caller) have one. Not to be shown.
    pub fn key(&self) -> String {
        // No subject holds a control character.
        self.person().map_or_else(|| self.id(), |person| format!("{}\0{}", self.id(), person.id()))
    }

    /// Whether both are the same caller, whichever token they came with. An agent that acts for a person is not the same
    /// as the agent alone, or for somebody else.
    pub fn is_same_caller(&self, other: &Self) -> bool {
        self.is_same_subject(other)
            && match (self.person(), other.person()) {
                (None, None) => true,
                (Some(one), Some(other)) => one.is_same_subject(other),
                (Some(_), None) | (None, Some(_)) => false,
            }
    }

    /// The identifiers of all who stand behind the caller: its own, and that of the person that it acts for.
    pub fn ids(&self) -> Vec<String> {
        std::iter::once(self.id()).chain(self.person().map(Self::id)).collect()
    }

    /// Whether the other one has a hand in what this caller asks for: as the caller, as the person that it acts for, or as somebody
    /// who acted before it, however far back. Nobody who has decides about it.
    pub fn has_in_chain(&self, other: &Self) -> bool {
        let others = other.chain();
        self.chain().iter().any(|own| others.contains(own))
    }

    /// The identifiers of all who had a hand in it: [`Principal::ids`] and those who acted before.
    pub fn chain(&self) -> Vec<String> {
        let before = self.on_behalf_of.iter().flat_map(|d| d.prior_actors.iter().cloned());
        self.ids().into_iter().chain(before).collect()
    }

    /// Whether any of those who stand behind the one is any of those who stand behind the other.
    pub fn is_party_with(&self, other: &Self) -> bool {
        let others = other.ids();
        self.ids().iter().any(|own| others.contains(own))
    }

    fn is_same_subject(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}

impl fmt::Display for Principal {
    /// `ci/bot`, or `corp/bot for corp/dana`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.issuer, self.subject)?;
        self.person().map_or(Ok(()), |person| write!(f, " for {}/{}", person.issuer, person.subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(subject: &str, person: Option<&str>) -> Principal {
        Principal {
            kind: PrincipalKind::Agent,
            issuer: "corp".into(),
            subject: subject.into(),
            groups: [].into(),
            tags: [].into(),
            token_id: None,
            expires_at: Timestamp::default(),
            on_behalf_of: person
                .map(|p| Box::new(Delegation { person: who(p, None), prior_actors: vec!["corp/x".into()] })),
        }
    }

    #[test]
    fn who_acts_for_somebody_is_not_who_acts_alone() {
        let all = [
            who("bot", None),
            who("bot", Some("dana")),
            who("bot", Some("eve")),
            who("dana", None),
            who("dana", Some("bot")),
            // What is shown may look the same; what tells them apart does not.
            who("bot for corp/dana", None),
        ];
        for (i, one) in all.iter().enumerate() {
            for (j, other) in all.iter().enumerate() {
                assert_eq!(one.is_same_caller(other), i == j, "{one} {other}");
                assert_eq!(one.key() == other.key(), i == j, "{one} {other}");
            }
        }
        assert_eq!(all[1].to_string(), "corp/bot for corp/dana");
        let dana = who("dana", None);
        assert!(all[1].is_party_with(&dana) && dana.is_party_with(&all[1]) && all[1].is_party_with(&all[0]));
        assert!(!all[2].is_party_with(&dana));
        // Who acted before is no party, and yet has a hand in it.
        let before = who("x", None);
        assert!(all[1].has_in_chain(&before) && before.has_in_chain(&all[1]) && !all[1].is_party_with(&before));
        assert!(all[1].has_in_chain(&dana) && all[1].has_in_chain(&all[0]) && !all[0].has_in_chain(&before));
    }

    #[test]
    fn it_is_written_and_read() {
        let alone = serde_json::to_string(&who("bot", None)).unwrap();
        assert!(!alone.contains("on_behalf_of"), "entries of before have none: {alone}");
        for one in [who("bot", None), who("bot", Some("dana"))] {
            assert_eq!(serde_json::from_str::<Principal>(&serde_json::to_string(&one).unwrap()).unwrap(), one);
        }
    }
}
