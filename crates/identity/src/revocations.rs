//! Whose tokens of before are no longer taken, because their provider said that their sessions are over.
//!
//! What is known is bounded: of the people of an issuer beyond the bound, those whom it was said of longest ago are no longer
//! told apart, and tokens of anybody at that issuer that are as old are refused. So nothing that was refused once comes back.
use crate::SessionRevoked;
use doorward_model::{Principal, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;

/// People of one issuer that are told apart. A subject has 1 KiB at the most.
const MOST: usize = 16 * 1024;

/// Whose sessions are over, until when they had begun. In memory: who starts a gateway says what was kept of it.
#[derive(Debug, Default)]
pub struct Revocations(Mutex<HashMap<String, OfIssuer>>);

#[derive(Debug, Default)]
struct OfIssuer {
    people: HashMap<String, Over>,
    /// Of those who are no longer told apart.
    everybody: Option<Over>,
}

/// What is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Over {
    /// Tokens that were issued by then.
    until: Timestamp,
    /// What the gateway made for such tokens: it was told then, and made nothing for them afterwards.
    heard: Timestamp,
}

impl Over {
    fn or_later(self, other: Option<Self>) -> Self {
        other.map_or(self, |o| Self { until: self.until.max(o.until), heard: self.heard.max(o.heard) })
    }
}

impl Revocations {
    /// Takes note of an event. False where it says nothing new, as when it is sent again.
    pub fn note(&self, revoked: &SessionRevoked, heard: Timestamp) -> bool {
        let mut all = self.0.lock();
        let of = all.entry(revoked.issuer.clone()).or_default();
        let known = of.people.get(&revoked.subject).copied();
        if known.is_some_and(|k| k.until >= revoked.until) {
            return false;
        }
        of.people.insert(revoked.subject.clone(), Over { until: revoked.until, heard }.or_later(known));
        if of.people.len() > MOST
            && let Some((oldest, over)) = of.people.iter().min_by_key(|(_, over)| **over).map(|(s, o)| (s.clone(), *o))
        {
            of.people.remove(&oldest);
            of.everybody = Some(over.or_later(of.everybody));
        }
        true
    }

    /// Whether a token of theirs is no longer taken. One that does not say when it was issued may be of before.
    pub(crate) fn refuse_token(&self, who: &Principal, issued: Option<Timestamp>) -> bool {
        self.is_over(who, |over| issued.is_none_or(|at| at <= over.until))
    }

    /// Whether what the gateway made for them at a time, for a token that was good then, is no longer taken: a certificate, a
    /// short-lived credential, a session that was on its way in.
    pub fn is_revoked(&self, who: &Principal, made: Timestamp) -> bool {
        self.is_over(who, |over| made <= over.heard)
    }

    fn is_over(&self, who: &Principal, is_so: impl Fn(&Over) -> bool) -> bool {
        let all = self.0.lock();
        std::iter::once(who).chain(who.person()).any(|party| {
            let Some(of) = all.get(&party.issuer) else { return false };
            of.everybody.iter().chain(of.people.get(&party.subject)).any(&is_so)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_model::{Delegation, PrincipalKind};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn event(subject: &str, until: u64) -> SessionRevoked {
        SessionRevoked { issuer: "corp".into(), subject: subject.into(), until: at(until), id: "e".into() }
    }

    fn who(subject: &str, person: Option<&str>) -> Principal {
        Principal {
            kind: PrincipalKind::User,
            issuer: "corp".into(),
            subject: subject.into(),
            groups: [].into(),
            tags: [].into(),
            token_id: None,
            expires_at: at(9_999),
            on_behalf_of: person.map(|p| Box::new(Delegation { person: who(p, None), prior_actors: Vec::new() })),
        }
    }

    #[test]
    fn what_was_issued_by_then_and_what_was_made_for_it_is_over() {
        let all = Revocations::default();
        assert!(!all.refuse_token(&who("alice", None), None));
        assert!(all.note(&event("alice", 100), at(110)));
        for (person, issued, refused) in [
            (who("alice", None), Some(at(100)), true),
            (who("alice", None), Some(at(101)), false),
            (who("alice", None), None, true),
            (who("bob", None), Some(at(1)), false),
            (who("bot", Some("alice")), Some(at(100)), true),
            (who("alice", Some("bob")), Some(at(100)), true),
            (Principal { issuer: "other".into(), ..who("alice", None) }, Some(at(1)), false),
        ] {
            assert_eq!(all.refuse_token(&person, issued), refused, "{person} {issued:?}");
        }
        // A certificate that was made for a token of before, between the end and the word of it.
        assert!(all.is_revoked(&who("alice", None), at(110)) && !all.is_revoked(&who("alice", None), at(111)));
        // Sent again, or later than a newer one, it says nothing.
        assert!(!all.note(&event("alice", 100), at(500)) && !all.note(&event("alice", 50), at(500)));
        assert!(!all.is_revoked(&who("alice", None), at(111)));
        assert!(all.note(&event("alice", 200), at(500)) && all.is_revoked(&who("alice", None), at(500)));
    }

    #[test]
    fn what_is_known_is_bounded_and_nothing_that_was_refused_comes_back() {
        let all = Revocations::default();
        let most = u64::try_from(MOST).unwrap();
        for n in 0..most + 10 {
            all.note(&event(&n.to_string(), 1_000 + n), at(1_000 + n));
        }
        assert_eq!(all.0.lock().get("corp").unwrap().people.len(), MOST);
        for n in 0..most + 10 {
            assert!(all.refuse_token(&who(&n.to_string(), None), Some(at(1_000 + n))), "{n}");
        }
        // The price: others of that issuer with tokens as old as the ten that are no longer told apart.
        assert!(
            all.refuse_token(&who("x", None), Some(at(1_009))) && !all.refuse_token(&who("x", None), Some(at(1_010)))
        );
    }
}
