//! Accounts of a chat: whose they are, and whether that person may speak through them now.
use crate::{
    By, Caller, SignIn,
    chat_codes::{NotTaken, Whose},
};
use doorward_model::{Principal, Secret, Timestamp};
use doorward_store::{ChatAccount, SessionPurpose, StoreError};

/// Accounts of one principal.
const MOST_ACCOUNTS: u32 = 10;

/// An account of a chat, as the chat itself says who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatUser {
    /// The workspace's identifier.
    pub team: String,
    /// The account's identifier there.
    pub user: String,
    /// What it is called, for people.
    pub name: String,
}

/// What came of a code that was typed in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It was given to this person, who is signed in still. It is used up.
    By(Box<Principal>),
    /// The account is somebody's already: no code was looked at.
    Before,
    /// No code, one that was used, or one that is too old.
    Wrong,
    /// Too many wrong ones came: none is looked at for ten minutes.
    TooOften,
    /// Who it was given to has signed out since. It is used up.
    SignedOut,
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
    /// A code with which the caller may say in a chat, once and within [`CHAT_CODE_TTL`](crate::CHAT_CODE_TTL), that an account is
    /// theirs: for who has signed in by browser, and for their eyes alone. The one that they had before is good for nothing any more.
    /// None for others, and where too many wait.
    pub fn chat_code(&self, caller: &Caller, now: Timestamp) -> Option<Secret<String>> {
        let By::Session { id, purpose: SessionPurpose::Browser, .. } = &caller.by else { return None };
        let Principal { issuer, subject, .. } = &caller.principal;
        let whose = Whose { issuer: issuer.clone(), subject: subject.clone(), session: id.clone() };
        self.chat_codes.lock().give(whose, now)
    }

    /// Whose a code is that an account has typed.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn claim_chat_account(&self, code: &str, by: &ChatUser, now: Timestamp) -> Result<Claimed, StoreError> {
        if self.store.chat_account(&by.team, &by.user).await?.is_some() {
            return Ok(Claimed::Before);
        }
        // No identifier of a chat holds a slash.
        let taken = self.chat_codes.lock().take(code, &format!("{}/{}", by.team, by.user), now);
        let whose = match taken {
            Ok(whose) => whose,
            Err(NotTaken::Wrong) => return Ok(Claimed::Wrong),
            Err(NotTaken::TooOften) => return Ok(Claimed::TooOften),
        };
        let sessions = self.store.web_sessions_of(&whose.issuer, &whose.subject).await?;
        let found = sessions.into_iter().find(|s| s.id == whose.session && s.principal.expires_at > now);
        Ok(found.map_or(Claimed::SignedOut, |s| Claimed::By(Box::new(s.principal))))
    }

    /// Keeps that an account is somebody's. False where it is somebody's already, or they have too many.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn link_chat_account(&self, of: ChatUser, who: &Principal, now: Timestamp) -> Result<bool, StoreError> {
        let ChatUser { team, user, name } = of;
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
