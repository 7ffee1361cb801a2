//! Who a caller is, as it comes and where it logs in anew in the middle of a session (`COM_CHANGE_USER`): what it has to
//! show, and whether that is enough.
use super::{Endpoint, rejected::Rejected};
use crate::{admission::Admission, connection::Connection, credentials::Claim, services::now};
use doorward_model::{Principal, Secret};
use doorward_mysql::{
    Capabilities, ClientLogin,
    login::{Expectation, LoginAsk},
    render::Rejection,
    startup::Login,
};
use std::{sync::Arc, time::Instant};

/// Who a caller says it is.
#[derive(Debug, Default)]
pub(super) struct Introduction {
    pub(super) user: String,
    pub(super) database: Option<Vec<u8>>,
    claim: Option<Claim>,
}

/// What a caller has shown.
#[derive(Debug)]
pub(super) enum Shown {
    Token(Secret<String>),
    /// That it knows the password of a credential, of which it is still to be seen whose it is.
    Credential(Claim),
    /// Too little.
    Nothing(Option<Claim>, Rejection),
}

impl Introduction {
    /// Takes note of a name, and says what has to be shown for it.
    pub(super) fn of(endpoint: &Endpoint, who: Login) -> (Self, Expectation) {
        let user = String::from_utf8_lossy(&who.user).into_owned();
        let claim = endpoint.services.credentials.claim(&user, &endpoint.connection.info.name, now());
        let password = claim.as_ref().map(|c| Expectation::Password(c.password.clone()));
        (Self { user, database: who.database, claim }, password.unwrap_or(Expectation::Token))
    }

    /// That the password was proved.
    pub(super) fn proven(&mut self) -> Shown {
        match self.claim.take() {
            Some(claim) => Shown::Credential(claim),
            None => Shown::Nothing(None, Rejection::new(1045, "28000", "no credential was asked for")),
        }
    }

    /// That the log-in did not go on.
    pub(super) fn refused(&mut self, rejection: Rejection) -> Shown {
        Shown::Nothing(self.claim.take(), rejection)
    }
}

/// Why a credential is not taken whose token is good for nothing any more.
const REVOKED: &str = "a credential of a session that its provider has ended";

/// Whose a token or credential is; nothing is written down yet.
async fn whose(
    endpoint: &Endpoint,
    shown: Shown,
) -> (Option<&'static str>, Result<Principal, String>, Option<Rejection>) {
    match shown {
        Shown::Token(token) => {
            let known = endpoint.services.identity.verify(token.expose(), now()).await;
            (None, known.map_err(|e| e.reason), None)
        }
        Shown::Credential(claim) => {
            let identity = &endpoint.services.identity;
            let is_good = |who: &Arc<Principal>| !identity.is_revoked(who, claim.issued);
            let known = claim.principal.and_then(|p| is_good(&p).then_some(p).ok_or(REVOKED));
            (Some("short-lived credential"), known.map(|p| (*p).clone()).map_err(str::to_owned), None)
        }
        Shown::Nothing(claim, rejection) => {
            let why = match claim {
                Some(claim) => claim.principal.err().unwrap_or("the credential's proof is wrong").to_owned(),
                None => rejection.message.clone(),
            };
            (None, Err(why), Some(rejection))
        }
    }
}

/// Finds out who has come, and writes it down. Guessing gets slower. `same`: who it has to be.
pub(super) async fn identify(
    endpoint: &Endpoint,
    admission: &Admission,
    user: &str,
    shown: Shown,
    same: Option<&Principal>,
) -> Result<Principal, Rejected> {
    let (by, mut checked, mut rejection) = whose(endpoint, shown).await;
    if let (Ok(principal), Some(same)) = (&checked, same)
        && !principal.is_same_caller(same)
    {
        checked = Err(format!("another caller, {}, in a session of {}", principal, same));
        let message = format!("Access denied for user '{user}': this session is another caller's, connect anew");
        rejection = Some(Rejection::new(1045, "28000", message));
    }
    admission.note_identity_by(by, user, &checked)?;
    let reason = match checked {
        Ok(principal) => return Ok(principal),
        Err(reason) => format!("authentication failed: {reason}"),
    };
    tokio::time::sleep(endpoint.services.arrivals.failed(admission.peer.ip(), Instant::now())).await;
    // Unknown, expired and forged tokens look the same from outside.
    let rejection = rejection.unwrap_or_else(|| {
        let message =
            format!("Access denied for user '{user}': the password must be a valid identity token for this gateway");
        Rejection::new(1045, "28000", message)
    });
    Err(Rejected { at_fault: "client", rejection, reason })
}

/// The schema to begin with: the connection's own, or else the one that was named.
pub(super) fn schema(connection: &Connection, named: Option<&[u8]>) -> Result<Option<String>, Rejected> {
    let named = named.map(|d| String::from_utf8_lossy(d).into_owned()).filter(|d| !d.is_empty());
    if let (Some(pinned), Some(named)) = (&connection.database, &named)
        && pinned != named
    {
        let message = format!("database '{named}' is not offered here: this endpoint leads to '{pinned}'");
        return Err(Rejected::new("client", 1044, "42000", message));
    }
    Ok(connection.database.clone().or(named).filter(|d| !d.is_empty()))
}

/// A session's caller, who may have to show again who it is.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) admission: Admission,
    pub(super) principal: Principal,
    pub(super) agreed: Capabilities,
    pub(super) is_encrypted: bool,
    pub(super) clear_allowed: bool,
}

/// A log-in in the middle of a session.
#[derive(Debug)]
pub(super) struct Again {
    login: ClientLogin,
    introduction: Introduction,
}

/// What comes next in it.
#[derive(Debug)]
pub(super) enum Next {
    /// Say this, and wait for the client's answer.
    Ask(Again, Vec<u8>),
    /// Say this, if there is something, and look at what was shown.
    Look(Introduction, Option<Vec<u8>>, Shown),
}

impl Again {
    /// Begins one.
    pub(super) fn begin(endpoint: &Endpoint, caller: &Caller, login: Login) -> Result<Next, Rejected> {
        let Caller { agreed, is_encrypted, clear_allowed, .. } = *caller;
        let (mut login, ask) = ClientLogin::again(agreed, super::fresh_nonce(), is_encrypted, clear_allowed, login);
        let LoginAsk::Who(who) = ask else { return Err(Rejected::new("gateway", 1045, "28000", "a log-in of nobody")) };
        let (introduction, expectation) = Introduction::of(endpoint, who);
        let ask = login.answer(expectation)?;
        Self { login, introduction }.then(ask)
    }

    /// Takes a packet of the client.
    pub(super) fn handle(mut self, packet: &Secret<Vec<u8>>) -> Result<Next, Rejected> {
        let ask = self.login.handle(packet.expose())?;
        self.then(ask)
    }

    fn then(mut self, ask: LoginAsk) -> Result<Next, Rejected> {
        let (last, shown) = match ask {
            LoginAsk::Send(packet) => return Ok(Next::Ask(self, packet)),
            LoginAsk::Token(token) => (None, Shown::Token(token)),
            LoginAsk::Proven(last) => (last, self.introduction.proven()),
            LoginAsk::Refuse(rejection) => (None, self.introduction.refused(rejection)),
            LoginAsk::Tls | LoginAsk::Who(_) => {
                return Err(Rejected::new("client", 1043, "08S01", "a log-in out of order"));
            }
        };
        Ok(Next::Look(self.introduction, last, shown))
    }
}

/// Whether who has shown this is the caller that the session is of; the schema that it wants.
pub(super) async fn is_same(
    endpoint: &Arc<Endpoint>,
    caller: &Caller,
    introduction: Introduction,
    shown: Shown,
) -> Result<Option<Vec<u8>>, Rejected> {
    let Introduction { user, database, .. } = introduction;
    identify(endpoint, &caller.admission, &user, shown, Some(&caller.principal)).await?;
    Ok(schema(&endpoint.connection, database.as_deref())?.map(String::into_bytes))
}
