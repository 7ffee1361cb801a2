//! Tags that the upstream itself carries, beside those of the connection.
use super::{Enforcer, parties::Decisions};
use crate::Subject;
use doorward_model::{ConnectionInfo, Operator};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// By local identifier, as in [`ConnectionInfo::tags`].
pub(super) type Tags = BTreeMap<String, BTreeSet<String>>;

impl Enforcer {
    /// Takes up the tags that the upstream carries now: policies see them beside those of the connection. Nothing that was
    /// decided or found out under other tags counts any more.
    ///
    /// INVARIANT: they add to those of the connection and take nothing away, and say nothing of how something is masked of
    /// which the connection itself has tags.
    pub fn know_tags(&mut self, carried: &Tags) {
        let mut all = self.own_tags.clone();
        for (what, tags) in carried {
            let has_own = self.own_tags.contains_key(what);
            let tags = tags.iter().filter(|tag| !(has_own && tag.starts_with("mask:"))).cloned();
            all.entry(what.clone()).or_default().extend(tags);
        }
        if all == self.parts.subject.connection.tags {
            return;
        }
        let before = &self.parts.subject;
        let connection = ConnectionInfo { tags: all, ..before.connection.clone() };
        self.parts.subject = Arc::new(Subject { connection, ..(**before).clone() });
        self.decisions = Decisions::open(&*self.parts.pdp, &self.parts.subject);
        self.policy_version = self.decisions.policy_version();
        self.remembered.clear();
        self.reveals.clear();
        self.retagged = self.retagged.wrapping_add(1);
    }
}

/// What tags say of how to mask: the strictest, where they say more than one thing.
pub(super) fn mask_of(tags: &[String]) -> Option<Operator> {
    let said = tags.iter().filter_map(|t| t.strip_prefix("mask:").and_then(|m| m.parse::<Operator>().ok()));
    said.reduce(|one, other| one.stricter(&other))
}
