//! Accounts of a chat: whose they are, and whether that person may speak through them now.
use crate::{By, Caller, SignIn, secret};
use doorward_model::{Principal, Secret, Timestamp};
use doorward_store::{ChatAccount, StoreError};
use std::time::Duration;

/// How long somebody has to say that an account is theirs.
const OFFER_TTL: Duration = Duration::from_secs(600);
/// Accounts of one principal.
const MOST_ACCOUNTS: u32 = 10;

/// An account that somebody may say is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The workspace's identifier.
    pub team: String,
    /// The account's identifier there.
    pub user: String,
    /// What it is called, for people.
    pub name: String,
}

/// Who speaks through an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Nobody has said that it is theirs.
    Unknown,
    /// Its owner is signed in nowhere: nothing they said some time ago counts now.
    SignedOut,
    /// Its owner, as they were known when they last signed in.
    Known(Box<Caller>),
}

impl SignIn {
    /// A code with which one person may say, once and within ten minutes, that this account is theirs. It is for that account's
    /// eyes alone.
    pub fn offer_chat_account(&self, account: Offered, now: Timestamp) -> Secret<String> {
        let code = secret::fresh("");
        self.chat_offers.put(code.expose(), now.after(OFFER_TTL), account);
        code
    }

    /// The account that a code is for.
    pub fn offered_chat_account(&self, code: &str, now: Timestamp) -> Option<Offered> {
        self.chat_offers.with(code, now, |offered| offered.clone())
    }

    /// The account that a code is for; the code is used up.
    pub fn take_chat_account(&self, code: &str, now: Timestamp) -> Option<Offered> {
        self.chat_offers.take(code, now)
    }

    /// Keeps that an account is somebody's. False where it is somebody's already, or they have too many.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn link_chat_account(&self, of: Offered, who: &Principal, now: Timestamp) -> Result<bool, StoreError> {
        let Offered { team, user, name } = of;
        let (issuer, subject) = (who.issuer.clone(), who.subject.clone());
        let account = ChatAccount { team, user, name, issuer, subject, created: now };
        self.store.chat_account_linked(&account, MOST_ACCOUNTS).await
    }

    /// Forgets that an account is somebody's. False where it is not theirs.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn unlink_chat_account(&self, team: &str, user: &str, who: &Principal) -> Result<bool, StoreError> {
        self.store.chat_account_unlinked(team, user, &who.issuer, &who.subject).await
    }

    /// The accounts of somebody.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn chat_accounts_of(&self, who: &Principal) -> Result<Vec<ChatAccount>, StoreError> {
        self.store.chat_accounts_of(&who.issuer, &who.subject).await
    }

    /// Who speaks through an account: its owner with the groups of their latest sign-in, as long as a session of that sign-in
    /// is not over: neither its absolute limit, nor signed out, nor ended by the provider. That a browser was idle meanwhile
    /// does not count: they are not at it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn chat_speaker(&self, team: &str, user: &str, now: Timestamp) -> Result<Speaker, StoreError> {
        let Some(account) = self.store.chat_account(team, user).await? else { return Ok(Speaker::Unknown) };
        let sessions = self.store.web_sessions_of(&account.issuer, &account.subject).await?;
        // The newest first: who has left a group since is not in it by an older session.
        let Some(latest) = sessions.into_iter().next().filter(|s| s.principal.expires_at > now) else {
            return Ok(Speaker::SignedOut);
        };
        let by = By::Session {
            id: latest.id,
            purpose: latest.purpose,
            auth: latest.auth,
            provider_session: latest.provider_session,
            provider_ends: latest.provider_ends,
        };
        Ok(Speaker::Known(Box::new(Caller { principal: latest.principal, by })))
    }
}
