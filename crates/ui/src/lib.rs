//! The web pages of the control room: view models, templates and assets.
//!
//! Purpose: a page is a struct with a template; what fills it is given by `control`. Assets are compiled in, and their
//! URLs hold the beginning of their hash, so that browsers may keep them for good.
//!
//! Invariants:
//! - No script and no style within a page: [`POLICY`] forbids both, so stored markup could not run even if it got in.
//! - What callers wrote is [`Inert`]: escaped, and what cannot be seen or turns the direction of writing shown by number.
//! - Pages work without script; script adds what changes live, keys and copying.
//!
//! Deliberately absent: HTTP, who may see what, the store, policies.
//!
//! Known limits: English only. Times are in UTC without script.
mod approvals;
mod assets;
mod audit;
mod cedar;
mod connections;
mod docs;
mod inert;
mod moment;
mod overview;
mod policies;
mod sessions;
mod settings;
mod shell;
mod tags;

pub use approvals::{Approval, ApprovalPage, Inbox, InboxList, Requirement, Shown, State, Status, Verdict};
pub use askama::Template;
pub use assets::{Asset, asset, find};
pub use audit::{Again, AuditEntryPage, AuditLine, AuditPage, AuditSearch, AuditVerified, AuditVerifyPage};
pub use cedar::Cedar;
pub use connections::{
    ClientLine, Connection, ConnectionFields, ConnectionForm, ConnectionPage, ConnectionsPage, Trial,
};
pub use docs::{ApiDescription, DocsPage, Endpoint, Field, Kind as FieldKind, Prose, Reply, Shape};
pub use inert::Inert;
pub use moment::Moment;
pub use overview::{Chart, Overview, Refused};
pub use policies::{
    Activation, BackTest, BackTestGroup, Checked, DiffLine, Explained, Explanation, PoliciesPage, PolicyEditPage,
    PolicyError, PolicySource, PolicyVersionPage, Question, Version,
};
pub use sessions::{
    Decision, LiveList, LiveSession, Recorded, RecordedRequest, RequestPage, Search, SessionBody, SessionPage,
    SessionSummary, SessionsPage, Step, TerminalPage, Timed,
};
pub use settings::{
    ChatAccount, Exporter, ExportersPage, GatewayPage, Hold, HoldsPage, Issuer, Key, KeyFields, KeysPage, NewKey,
    Notifier, OwnSession, SettingsPage, SettingsTab, SettingsTabs,
};
pub use shell::{ErrorPage, Notice, Section, Shell, SignIn};
pub use tags::{Meaning, Naming, Tagged, TaggedConnection, TagsPage};

/// The Content-Security-Policy of every page.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The same for a replayed terminal, whose player is WebAssembly.
pub const PLAYER_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
