//! Accounts of a chat.
use doorward_model::{ChatAccountId, Timestamp};
use doorward_store::ChatAccount;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An account of a chat, by what the chat itself knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatAccountIdView {
    /// Which chat: `slack`.
    pub chat: String,
    /// The workspace's identifier.
    pub team: String,
    /// The account's identifier there.
    pub user: String,
}

impl From<ChatAccountId> for ChatAccountIdView {
    fn from(a: ChatAccountId) -> Self {
        Self { chat: a.chat, team: a.team, user: a.user }
    }
}

/// An account of a chat that somebody has made theirs: its buttons decide in their name, while they are signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatAccountView {
    /// Which chat: `slack`.
    pub chat: String,
    /// The workspace's identifier.
    pub team: String,
    /// The account's identifier there.
    pub user: String,
    /// What it was called when it was linked, in the chat's words.
    pub name: String,
    /// Whose it is (`issuer/subject`).
    pub principal: String,
    /// Since when.
    #[schema(value_type = u64)]
    pub since: Timestamp,
}

/// `GET /chat-accounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatAccountList {
    /// By workspace and account.
    pub accounts: Vec<ChatAccountView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

impl From<ChatAccount> for ChatAccountView {
    fn from(a: ChatAccount) -> Self {
        let principal = format!("{}/{}", a.issuer, a.subject);
        Self { chat: "slack".into(), team: a.team, user: a.user, name: a.name, principal, since: a.created }
    }
}
