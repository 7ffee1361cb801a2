//! One's own sign-ins and keys, and how the gateway is set up.
use crate::{Inert, Notice, Shell};
use askama::Template;
use doorward_model::{Secret, Timestamp};

/// What settings are divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsTab {
    /// What is the person's own.
    You,
    /// Issuers, providers, who is told, how long things are kept.
    Gateway,
    /// Where the audit log goes.
    Exporters,
    /// Sessions of which nothing is removed.
    Holds,
    /// Everybody's API keys.
    Keys,
}

/// Name and address of what settings are divided into.
const TABS: [(SettingsTab, &str, &str); 5] = [
    (SettingsTab::You, "You", "/settings"),
    (SettingsTab::Gateway, "Gateway", "/settings/gateway"),
    (SettingsTab::Exporters, "Exporters", "/settings/exporters"),
    (SettingsTab::Holds, "Legal holds", "/settings/holds"),
    (SettingsTab::Keys, "Everybody's keys", "/settings/keys"),
];

/// The tabs of settings: those that the person may see.
#[derive(Clone, Debug)]
pub struct SettingsTabs {
    /// Which is shown.
    pub here: SettingsTab,
    /// Which there are for this person.
    pub open: Vec<SettingsTab>,
}

impl SettingsTabs {
    pub(crate) fn list(&self) -> impl Iterator<Item = (SettingsTab, &'static str, &'static str)> {
        TABS.into_iter().filter(|(tab, ..)| self.open.contains(tab))
    }
}

/// A session of the person's: a browser, or a command line.
#[derive(Clone, Debug)]
pub struct OwnSession {
    /// Names it, and proves nothing.
    pub id: String,
    /// `browser` or `command line`.
    pub kind: &'static str,
    /// How they signed in.
    pub by: Inert,
    /// When it began.
    pub began: Timestamp,
    /// When it was last used.
    pub used: Timestamp,
    /// When it is over, at the latest.
    pub ends: Timestamp,
    /// Whether it is the one that looks.
    pub this: bool,
}

/// An account of a chat that the person has said is theirs.
#[derive(Clone, Debug)]
pub struct ChatAccount {
    /// The workspace's identifier.
    pub team: String,
    /// The account's identifier there.
    pub user: String,
    /// What it is called.
    pub name: Inert,
    /// Since when it is theirs.
    pub since: Timestamp,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Names it, and proves nothing.
    pub id: String,
    /// What its owner calls it.
    pub name: Inert,
    /// Its owner.
    pub owner: Inert,
    /// What it may be used for.
    pub scope: Inert,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it is good.
    pub expires: Timestamp,
    /// When it was last used.
    pub used: Option<Timestamp>,
    /// `good`, `expired` or `revoked`.
    pub state: &'static str,
}

/// What was typed for a new key.
#[derive(Clone, Debug)]
pub struct KeyFields {
    /// What it is to be called.
    pub name: String,
    /// For how many days it is to be good.
    pub days: String,
    /// Actions by comma, or `all`.
    pub actions: String,
    /// Connections by comma, or `all`.
    pub connections: String,
}

impl Default for KeyFields {
    fn default() -> Self {
        let all = || "all".to_owned();
        Self { name: String::new(), days: "90".into(), actions: String::new(), connections: all() }
    }
}

/// A key that was made just now.
#[derive(Clone)]
pub struct NewKey {
    /// What it is called.
    pub name: Inert,
    /// Its secret, shown this once.
    pub secret: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewKey({:?})", self.name)
    }
}

/// What is the person's own.
#[derive(Debug, Template)]
#[template(path = "settings.html")]
pub struct SettingsPage {
    /// The frame.
    pub shell: Shell,
    /// Where in settings it is.
    pub tabs: SettingsTabs,
    /// What to say first.
    pub notice: Option<Notice>,
    /// The person's groups.
    pub groups: Vec<Inert>,
    /// Their sessions, newest first.
    pub sessions: Vec<OwnSession>,
    /// Accounts of a chat that are theirs; none where there are no buttons in a chat.
    pub chat: Option<Vec<ChatAccount>>,
    /// Whether another may become theirs.
    pub may_link: bool,
    /// A code that was made just now, to be typed in the chat.
    pub code: Option<Secret<String>>,
    /// Their keys, newest first.
    pub keys: Vec<Key>,
    /// Where older ones are.
    pub older: Option<String>,
    /// The key that was made just now.
    pub made: Option<NewKey>,
    /// What was typed for a key.
    pub f: KeyFields,
    /// Why no key was made.
    pub problem: Option<Inert>,
    /// Whether the person may make keys.
    pub may_create: bool,
    /// Names of actions that a key may be limited to.
    pub actions: Vec<&'static str>,
}

/// Everybody's keys.
#[derive(Debug, Template)]
#[template(path = "settings_keys.html")]
pub struct KeysPage {
    /// The frame.
    pub shell: Shell,
    /// Where in settings it is.
    pub tabs: SettingsTabs,
    /// What to say first.
    pub notice: Option<Notice>,
    /// The keys, newest first.
    pub keys: Vec<Key>,
    /// Where older ones are.
    pub older: Option<String>,
    /// Accounts of a chat, and whose they are.
    pub chat: Vec<(ChatAccount, Inert)>,
    /// Where more of them are.
    pub more_chat: Option<String>,
    /// Whether the person may revoke those of others.
    pub may_edit: bool,
}

/// An issuer whose tokens are taken.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name here.
    pub name: Inert,
    /// Its address.
    pub url: Inert,
    /// What its tokens are for.
    pub audience: Inert,
    /// `agent` or `person`.
    pub kind: &'static str,
}

/// Somewhere people are told that something waits for them.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// Its name.
    pub name: Inert,
    /// `webhook`, `slack`, …
    pub kind: &'static str,
    /// Of which approvals it tells, in words.
    pub about: Inert,
    /// Messages that were taken, and when the newest was.
    pub told: Option<(u64, Timestamp)>,
}

/// How the gateway is set up.
#[derive(Debug, Template)]
#[template(path = "settings_gateway.html")]
pub struct GatewayPage {
    /// The frame.
    pub shell: Shell,
    /// Where in settings it is.
    pub tabs: SettingsTabs,
    /// The program's version.
    pub version: &'static str,
    /// The policies' version.
    pub policy_version: String,
    /// Where people reach it.
    pub public_url: Inert,
    /// Issuers.
    pub issuers: Vec<Issuer>,
    /// Where people sign in: names, and `OpenID Connect` or `SAML 2.0`.
    pub providers: Vec<(Inert, &'static str)>,
    /// How long sessions last: unused, at most, of command lines.
    pub limits: [String; 3],
    /// How long the audit log is kept, in days; none: for good.
    pub audit_days: Option<u32>,
    /// How long recordings are.
    pub recordings_days: Option<u32>,
    /// How long after its end the text of an approval is.
    pub approvals_days: u32,
    /// Who is told.
    pub notifiers: Vec<Notifier>,
}

/// An exporter of the audit log.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// Its name.
    pub name: Inert,
    /// The kind of its sink.
    pub kind: Inert,
    /// `idle`, `sending`, `retrying`, …
    pub state: Inert,
    /// Whether it does what it should.
    pub good: bool,
    /// The last line of the log that needs no more work of it.
    pub position: Option<u64>,
    /// Lines behind that.
    pub lag: u64,
    /// When the oldest entry happened that was not taken yet.
    pub oldest: Option<Timestamp>,
    /// Entries that were taken, and that will not be kept.
    pub counts: (u64, u64),
    /// When the sink last took something.
    pub success: Option<Timestamp>,
    /// What failed last, and when.
    pub error: Option<(Inert, Timestamp)>,
}

/// Where the audit log goes.
#[derive(Debug, Template)]
#[template(path = "settings_exporters.html")]
pub struct ExportersPage {
    /// The frame.
    pub shell: Shell,
    /// Where in settings it is.
    pub tabs: SettingsTabs,
    /// All of them.
    pub exporters: Vec<Exporter>,
}

/// A session of which nothing is removed.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The session.
    pub session: String,
    /// Who ordered it.
    pub by: Inert,
    /// Why.
    pub reason: Inert,
    /// Since when.
    pub time: Timestamp,
}

/// Sessions of which nothing is removed.
#[derive(Debug, Template)]
#[template(path = "settings_holds.html")]
pub struct HoldsPage {
    /// The frame.
    pub shell: Shell,
    /// Where in settings it is.
    pub tabs: SettingsTabs,
    /// What to say first.
    pub notice: Option<Notice>,
    /// All of them.
    pub holds: Vec<Hold>,
    /// Whether the person may hold and release.
    pub may_edit: bool,
    /// What was typed: a session, and why.
    pub typed: (String, String),
    /// How long recordings are kept, in days.
    pub recordings_days: Option<u32>,
}
