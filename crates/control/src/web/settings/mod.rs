//! Settings: what is one's own, and how the gateway is set up.
mod chat;
mod gateway;
mod holds;
mod keys;
mod own;

pub(super) use chat::{unlink, unlink_any};
pub(super) use gateway::{exporters, gateway};
pub(super) use holds::{holds, place, release};
pub(super) use keys::{everybodys, revoke};
pub(super) use own::{chat_code, end, make_key, revoke_own, show};

use crate::{rights::Asker, types::ApiKeyView};
use doorward_model::{Administration, PrincipalKind, Timestamp};
use doorward_store::Limit;
use doorward_ui::{Key, SettingsTab, SettingsTabs};

/// An issuer, for people.
#[derive(Clone, Debug)]
pub struct IssuerView {
    /// Its name here.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What its tokens are for.
    pub audience: Vec<String>,
    /// What its principals are.
    pub kind: PrincipalKind,
}

/// Somewhere people are told that something waits for them.
#[derive(Clone, Debug)]
pub struct NotifierView {
    /// Its name: what its cursor is kept under.
    pub name: String,
    /// `webhook`, `slack`, `teams`, `mail`.
    pub kind: &'static str,
    /// Only approvals that one of these groups may decide; all where it is empty.
    pub groups: Vec<String>,
    /// Only approvals on these connections; all where it is empty.
    pub connections: Vec<String>,
}

/// How the gateway is set up, for people.
#[derive(Clone, Debug, Default)]
pub struct SetUp {
    /// Issuers whose tokens are taken.
    pub issuers: Vec<IssuerView>,
    /// Where people are told.
    pub notifiers: Vec<NotifierView>,
    /// How long the audit log is kept, in days; none: for good.
    pub audit_days: Option<u32>,
    /// How long recordings are.
    pub recordings_days: Option<u32>,
    /// How long after its end the text of an approval is.
    pub approvals_days: u32,
}

fn tabs(asker: &Asker, here: SettingsTab) -> SettingsTabs {
    let of = [
        (SettingsTab::You, None),
        (SettingsTab::Gateway, Some(Administration::ViewSettings)),
        (SettingsTab::Exporters, Some(Administration::ViewExports)),
        (SettingsTab::Holds, Some(Administration::ViewHolds)),
        (SettingsTab::Keys, Some(Administration::ViewKeys)),
    ];
    let may = |right: Option<Administration>| right.is_none_or(|right| asker.may(right).is_ok());
    SettingsTabs { here, open: of.into_iter().filter_map(|(tab, right)| may(right).then_some(tab)).collect() }
}

fn limited(limit: &Limit) -> String {
    match limit {
        Limit::All => "all".to_owned(),
        Limit::Only(names) if names.is_empty() => "none".to_owned(),
        Limit::Only(names) => names.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

fn key(k: ApiKeyView, now: Timestamp) -> Key {
    let scope = match (&k.scope.actions, &k.scope.connections) {
        (Limit::All, Limit::All) => "all that its owner may".to_owned(),
        (actions, connections) => format!("actions: {}; connections: {}", limited(actions), limited(connections)),
    };
    Key {
        state: match (k.revoked, k.expires <= now) {
            (Some(_), _) => "revoked",
            (None, true) => "expired",
            (None, false) => "good",
        },
        id: k.id,
        name: k.name.into(),
        owner: k.principal.into(),
        scope: scope.into(),
        created: k.created,
        expires: k.expires,
        used: k.last_used,
    }
}
