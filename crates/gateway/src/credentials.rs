//! Short-lived user names and passwords, for drivers that cannot send a token.
//!
//! A caller shows its token to the API and gets a pair that is good on one connection, for a while, and never longer than
//! the token. Who logs in with it is who the token was of, under the policies of that moment, until the token ends.
//! They are in memory alone: a gateway that starts anew knows none.
use doorward_model::{ConnectionName, Principal, Secret, Timestamp};
use doorward_mysql::KeptPassword;
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

/// How user names of credentials begin. Who has such a name is never asked for a token.
const PREFIX: &str = "dw_";
/// How many one caller may have at a time: the next one makes its oldest worthless.
const MOST_OF_ONE: usize = 64;
/// How many there may be at a time; a principal is at most as large as a token.
const MOST: usize = 4096;

/// A credential, as its caller gets it.
#[derive(Debug)]
pub struct Credential {
    /// The user name; it is no secret, and stands in the audit log.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
    /// When it is forgotten.
    pub expires: Timestamp,
}

/// Why a caller gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many short-lived credentials are in use: try again later")]
pub struct TooMany;

/// What is kept of a credential.
struct Kept {
    principal: Arc<Principal>,
    connection: ConnectionName,
    password: KeptPassword,
    issued: Timestamp,
    expires: Timestamp,
}

/// Who somebody would be that proves a password.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) password: KeptPassword,
    /// When it was made.
    pub(crate) issued: Timestamp,
    /// The principal, or for the audit log why there is none.
    pub(crate) principal: Result<Arc<Principal>, &'static str>,
}

/// The credentials that are good now, of all callers.
#[derive(Default)]
pub struct Credentials(Mutex<HashMap<String, Kept>>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.0.lock().len())
    }
}

impl Credentials {
    /// A new one for a caller, on one connection, for at most so long.
    ///
    /// # Errors
    /// Where too many callers have too many.
    pub fn issue(
        &self,
        who: &Principal,
        connection: &ConnectionName,
        longest: Duration,
        now: Timestamp,
    ) -> Result<Credential, TooMany> {
        let user = format!("{PREFIX}{}", hex::encode(rand::random::<[u8; 12]>()));
        let password = Secret::new(hex::encode(rand::random::<[u8; 20]>()));
        let expires = now.after(longest).min(who.expires_at);
        let kept = Kept {
            principal: Arc::new(who.clone()),
            connection: connection.clone(),
            password: KeptPassword::of(&password),
            issued: now,
            expires,
        };
        let mut all = self.0.lock();
        all.retain(|_, kept| kept.expires > now);
        let own = || all.iter().filter(|(_, kept)| kept.principal.is_same_caller(who));
        let oldest = own().min_by_key(|(_, kept)| kept.issued).map(|(user, _)| user.clone());
        if own().count() >= MOST_OF_ONE
            && let Some(oldest) = oldest
        {
            all.remove(&oldest);
        }
        if all.len() >= MOST {
            return Err(TooMany);
        }
        all.insert(user.clone(), kept);
        Ok(Credential { user, password, expires })
    }

    /// What somebody with this user name has to prove on a connection. `None` for names that are of no credential, whose
    /// callers show a token.
    pub(crate) fn claim(&self, user: &str, connection: &ConnectionName, now: Timestamp) -> Option<Claim> {
        user.starts_with(PREFIX).then(|| {
            self.find(user, connection, now).unwrap_or_else(|why| Claim {
                password: KeptPassword::of_nobody(),
                issued: now,
                principal: Err(why),
            })
        })
    }

    fn find(&self, user: &str, connection: &ConnectionName, now: Timestamp) -> Result<Claim, &'static str> {
        let mut all = self.0.lock();
        let kept = all.get(user).ok_or("no such credential: it has expired, or is of before this gateway started")?;
        if kept.expires <= now {
            all.remove(user);
            return Err("the credential has expired");
        }
        if kept.connection != *connection {
            return Err("the credential is for another connection");
        }
        Ok(Claim { password: kept.password.clone(), issued: kept.issued, principal: Ok(Arc::clone(&kept.principal)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_model::PrincipalKind;
    use std::collections::{BTreeMap, BTreeSet};

    const NOW: Timestamp = Timestamp::from_secs(1_000);
    const LONG: Duration = Duration::from_secs(900);

    fn bot(subject: &str) -> Principal {
        Principal {
            kind: PrincipalKind::Agent,
            issuer: "ci".into(),
            subject: subject.into(),
            groups: BTreeSet::new(),
            tags: BTreeMap::new(),
            token_id: None,
            expires_at: NOW.after(Duration::from_secs(3600)),
            on_behalf_of: None,
        }
    }

    fn whose(all: &Credentials, user: &str, connection: &str, now: Timestamp) -> Result<String, &'static str> {
        let claim = all.claim(user, &ConnectionName::new(connection), now).unwrap();
        claim.principal.map(|p| p.subject.clone())
    }

    fn late_one(all: &Credentials, on: &ConnectionName) -> String {
        all.issue(&bot("late"), on, LONG, NOW).unwrap().user
    }

    #[test]
    fn it_is_good_for_its_caller_its_connection_and_its_time() {
        let all = Credentials::default();
        let orders = ConnectionName::new("orders");
        let one = all.issue(&bot("a"), &orders, LONG, NOW).unwrap();
        assert!(one.password.expose().len() >= 32 && one.user.len() <= 32, "{one:?}");
        assert_eq!(one.expires, NOW.after(LONG));
        assert_eq!(whose(&all, &one.user, "orders", NOW), Ok("a".into()));
        assert!(whose(&all, &one.user, "other", NOW).unwrap_err().contains("another connection"));
        assert!(whose(&all, "dw_00", "orders", NOW).unwrap_err().contains("no such"));
        assert!(whose(&all, &one.user, "orders", one.expires).unwrap_err().contains("has expired"));
        assert!(whose(&all, &one.user, "orders", NOW).is_err(), "it was forgotten");
        assert!(all.claim("anybody", &orders, NOW).is_none());
        assert_eq!(all.claim(&late_one(&all, &orders), &orders, NOW).unwrap().issued, NOW, "by which it may be over");
        assert!(!format!("{all:?} {one:?}").contains(one.password.expose().as_str()));
        let late = all.issue(&bot("a"), &orders, Duration::from_secs(100_000), NOW).unwrap();
        assert_eq!(late.expires, bot("a").expires_at, "never longer than the token");
    }

    #[test]
    fn a_caller_has_so_many_and_takes_nobody_elses_place() {
        let all = Credentials::default();
        let orders = ConnectionName::new("orders");
        let other = all.issue(&bot("b"), &orders, LONG, NOW).unwrap();
        let at = |n: usize| NOW.after(Duration::from_secs(n as u64));
        let own: Vec<_> = (0..=MOST_OF_ONE).map(|n| all.issue(&bot("a"), &orders, LONG, at(n)).unwrap()).collect();
        assert!(whose(&all, &own[0].user, "orders", at(70)).is_err());
        assert!(whose(&all, &own[1].user, "orders", at(70)).is_ok());
        assert!(whose(&all, &other.user, "orders", at(70)).is_ok());
        all.issue(&bot("c"), &orders, LONG, NOW.after(LONG * 2)).unwrap();
        assert_eq!(all.0.lock().len(), 1, "what has expired is forgotten");
    }

    /// An agent that acts for a person, for another, and for itself are three callers.
    #[test]
    fn a_credential_is_of_the_agent_and_the_person() {
        let all = Credentials::default();
        let orders = ConnectionName::new("orders");
        let acting = |person: &str| {
            let delegation = doorward_model::Delegation { person: bot(person), prior_actors: Vec::new() };
            Principal { on_behalf_of: Some(Box::new(delegation)), ..bot("a") }
        };
        let first = [bot("a"), acting("dana"), acting("eve")].map(|p| (all.issue(&p, &orders, LONG, NOW).unwrap(), p));
        for n in 0..MOST_OF_ONE {
            all.issue(&acting("dana"), &orders, LONG, NOW.after(Duration::from_secs(n as u64 + 1))).unwrap();
        }
        let kept =
            first.map(|(issued, who)| all.claim(&issued.user, &orders, NOW).unwrap().principal.map(|p| *p == who));
        assert_eq!(kept.map(|k| k.ok()), [Some(true), None, Some(true)], "one of hers makes way, and nobody else's");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let all = Credentials::default();
        let orders = ConnectionName::new("orders");
        for n in 0..MOST {
            all.issue(&bot(&n.to_string()), &orders, LONG, NOW).unwrap();
        }
        assert_eq!(all.issue(&bot("x"), &orders, LONG, NOW).unwrap_err(), TooMany);
    }
}
