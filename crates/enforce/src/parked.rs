//! Held requests whose callers do not wait: refused at once, and let through when they are asked again.
use crate::{ApprovalRequest, ApprovalVerdict, Approver, MOST_SHOWN, Refusal, shown::weight};
use doorward_model::{ApprovalId, ConnectionName, Facts, Principal, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Approvals of one caller that wait, or may be used.
const MOST_OPEN: usize = 16;
/// Approvals of one caller that are remembered at all; the oldest that ended makes way.
const MOST_OF_CALLER: usize = 32;
/// Approvals of all callers.
const MOST: usize = 10_000;
/// What is kept to be shown of all of them, in bytes.
const MOST_KEPT: usize = 256 * MOST_SHOWN;
/// How long it is remembered how an approval ended that nobody has asked for again.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// How long a denial that was told is told again: clients that are refused try another wire by themselves (kubectl's
/// exec), and would ask people anew without anybody having read what they said.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// What an approval binds where no session waits for it: who, on which connection, these bytes, with this meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bond {
    /// [`Principal::key`]: an agent for one person, for another and for itself are three callers.
    caller: String,
    connection: ConnectionName,
    digest: [u8; 32],
    facts: Arc<Facts>,
}

impl Bond {
    pub(crate) fn new(who: &Principal, connection: &ConnectionName, facts: &Arc<Facts>, same: &[&[u8]]) -> Self {
        let mut h = Sha256::new();
        for part in same {
            h.update((part.len() as u64).to_be_bytes());
            h.update(part);
        }
        Self {
            caller: who.key(),
            connection: connection.clone(),
            digest: h.finalize().into(),
            facts: Arc::clone(facts),
        }
    }

    pub(crate) fn digest(&self) -> String {
        hex::encode(self.digest)
    }

    fn is_of_caller(&self, other: &Self) -> bool {
        self.caller == other.caller
    }
}

/// Where the approval of a request stands that is asked again.
#[derive(Debug)]
pub(crate) enum Found {
    Waits(Waiting),
    /// It ended: taken out, so that nobody else finds it, but for a denial, which may be told again.
    Ended(Arc<ApprovalRequest>, ApprovalVerdict),
    /// One more is not remembered.
    Full(&'static str),
}

/// A request that waits for people while its caller does not.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What they are asked.
    pub approval: Arc<ApprovalRequest>,
    /// Whether they are yet to be asked: it is for the caller of [`crate::Enforcer::decide_at_once`] to do so.
    pub is_new: bool,
    /// The approval that was asked for before, and ended unused.
    pub before: Option<ApprovalId>,
}

#[derive(Debug)]
enum State {
    Waits,
    Approved(Vec<Approver>),
    Denied { by: String, comment: String, told: Option<Timestamp> },
    Failed(String),
    Expired,
}

#[derive(Debug)]
struct Entry {
    approval: Arc<ApprovalRequest>,
    state: State,
    /// Since when it is in this state.
    since: Timestamp,
    before: Option<ApprovalId>,
    /// What its approval takes to be shown, in bytes.
    weight: usize,
}

impl Entry {
    fn new(approval: Arc<ApprovalRequest>, now: Timestamp, before: Option<ApprovalId>) -> Self {
        let weight = weight(&approval.statement).saturating_add(approval.shown.weight());
        Self { approval, state: State::Waits, since: now, before, weight }
    }

    /// Whether people may still decide it, or its caller use it.
    fn is_open(&self, now: Timestamp) -> bool {
        match self.state {
            State::Waits | State::Approved(_) => now < self.approval.expires,
            State::Denied { .. } | State::Failed(_) | State::Expired => false,
        }
    }

    fn ended(&self) -> Timestamp {
        match self.state {
            State::Waits | State::Approved(_) => self.approval.expires,
            State::Denied { .. } | State::Failed(_) | State::Expired => self.since,
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Bond, Entry>,
    bonds: HashMap<ApprovalId, Bond>,
}

/// The held requests of a gateway whose callers do not wait.
///
/// An approval is taken out as it is used: of two that ask at once, one finds it. It knows no clock; what outlasts its time is
/// found expired by whoever looks.
#[derive(Debug, Default)]
pub struct Parked(Mutex<Table>);

impl Parked {
    /// Takes up an approval of a former process, for which people are still asked. False where it is none that could be asked
    /// for again.
    pub fn take_up(&self, approval: &ApprovalRequest, now: Timestamp) -> bool {
        let mut digest = [0; 32];
        if approval.waits || hex::decode_to_slice(&approval.digest, &mut digest).is_err() {
            return false;
        }
        let (connection, facts) = (approval.connection.clone(), Arc::clone(&approval.facts));
        let bond = Bond { caller: approval.principal.key(), connection, digest, facts };
        let mut table = self.0.lock();
        if table.entries.contains_key(&bond) || table.make_room(&bond, now).is_err() {
            return false;
        }
        let approval = Arc::new(approval.clone());
        table.put(bond, Entry::new(approval, now, None));
        true
    }

    /// Takes the end of an approval. One that is not here is nobody's any more.
    pub fn ended(&self, id: ApprovalId, verdict: ApprovalVerdict, now: Timestamp) {
        let mut table = self.0.lock();
        let Some(entry) = table.entry(id) else { return };
        if !matches!(entry.state, State::Waits) {
            return;
        }
        entry.since = now;
        entry.state = match verdict {
            ApprovalVerdict::Approved { by } => State::Approved(by),
            ApprovalVerdict::Denied { by, comment } => State::Denied { by, comment, told: None },
            ApprovalVerdict::Expired => State::Expired,
            ApprovalVerdict::Withdrawn => State::Failed("it was withdrawn".into()),
            ApprovalVerdict::Unavailable { reason } => State::Failed(reason),
        };
    }

    /// Whether an approval was given and its time has passed unused. Said once.
    pub fn lapsed(&self, id: ApprovalId, now: Timestamp) -> bool {
        let mut table = self.0.lock();
        let Some(entry) = table.entry(id) else { return false };
        let lapsed = matches!(entry.state, State::Approved(_)) && now >= entry.approval.expires;
        if lapsed {
            (entry.state, entry.since) = (State::Expired, now);
        }
        lapsed
    }

    /// Where the approval for this stands; `ask` makes one where there is none, and is given the one that ended unused.
    pub(crate) fn find(
        &self,
        bond: Bond,
        now: Timestamp,
        ask: impl FnOnce(Option<&Lapsed>) -> Result<ApprovalRequest, Refusal>,
    ) -> Result<Found, Refusal> {
        let mut table = self.0.lock();
        let lapsed = match table.take(&bond) {
            None => None,
            Some(entry) if entry.is_open(now) && matches!(entry.state, State::Waits) => {
                let waiting = Waiting { approval: Arc::clone(&entry.approval), is_new: false, before: entry.before };
                table.put(bond, entry);
                return Ok(Found::Waits(waiting));
            }
            Some(entry) => match over(entry, now) {
                Over::Told { approval, verdict, again } => {
                    if let Some(again) = again {
                        table.put(bond, again);
                    }
                    return Ok(Found::Ended(approval, verdict));
                }
                Over::Lapsed(lapsed) => Some(lapsed),
                Over::Forgotten => None,
            },
        };
        if let Err(full) = table.make_room(&bond, now) {
            return Ok(Found::Full(full));
        }
        let approval = Arc::new(ask(lapsed.as_ref())?);
        let before = lapsed.map(|l| l.id);
        table.put(bond, Entry::new(Arc::clone(&approval), now, before));
        Ok(Found::Waits(Waiting { approval, is_new: true, before }))
    }
}

/// An approval that ended without a use.
#[derive(Debug)]
pub(crate) struct Lapsed {
    pub(crate) id: ApprovalId,
    /// Whether its end is yet to be written down.
    pub(crate) is_unsaid: bool,
}

/// What becomes of an entry that was found, other than that it waits.
enum Over {
    Told { approval: Arc<ApprovalRequest>, verdict: ApprovalVerdict, again: Option<Entry> },
    Lapsed(Lapsed),
    Forgotten,
}

fn over(entry: Entry, now: Timestamp) -> Over {
    let is_open = entry.is_open(now);
    let Entry { approval, state, since, before, weight } = entry;
    match state {
        State::Approved(by) if is_open => {
            Over::Told { approval, verdict: ApprovalVerdict::Approved { by }, again: None }
        }
        State::Denied { told: Some(told), .. } if now.since(told) >= TOLD_AGAIN => Over::Forgotten,
        State::Denied { by, comment, told } => {
            let verdict = ApprovalVerdict::Denied { by: by.clone(), comment: comment.clone() };
            let state = State::Denied { by, comment, told: Some(told.unwrap_or(now)) };
            let again = Entry { approval: Arc::clone(&approval), state, since, before, weight };
            Over::Told { approval, verdict, again: Some(again) }
        }
        State::Failed(reason) => Over::Told { approval, verdict: ApprovalVerdict::Unavailable { reason }, again: None },
        State::Approved(_) => Over::Lapsed(Lapsed { id: approval.id, is_unsaid: true }),
        // Where it waits, the desk is about to end it.
        State::Waits | State::Expired => Over::Lapsed(Lapsed { id: approval.id, is_unsaid: false }),
    }
}

impl Table {
    fn entry(&mut self, id: ApprovalId) -> Option<&mut Entry> {
        self.entries.get_mut(self.bonds.get(&id)?)
    }

    fn take(&mut self, bond: &Bond) -> Option<Entry> {
        let entry = self.entries.remove(bond)?;
        self.bonds.remove(&entry.approval.id);
        Some(entry)
    }

    fn put(&mut self, bond: Bond, entry: Entry) {
        self.bonds.insert(entry.approval.id, bond.clone());
        self.entries.insert(bond, entry);
    }

    fn make_room(&mut self, bond: &Bond, now: Timestamp) -> Result<(), &'static str> {
        let (entries, bonds) = (&mut self.entries, &mut self.bonds);
        entries.retain(|_, e| {
            let kept = e.is_open(now) || now.since(e.ended()) < REMEMBERED;
            if !kept {
                bonds.remove(&e.approval.id);
            }
            kept
        });
        let own: Vec<(&Bond, &Entry)> = self.entries.iter().filter(|(b, _)| b.is_of_caller(bond)).collect();
        if own.iter().filter(|(_, e)| e.is_open(now)).count() >= MOST_OPEN {
            return Err("16 of your requests wait already");
        }
        if own.len() >= MOST_OF_CALLER {
            let ended = own.iter().filter(|(_, e)| !e.is_open(now));
            if let Some(oldest) = ended.min_by_key(|(_, e)| e.ended()).map(|(b, _)| (*b).clone()) {
                self.take(&oldest);
            }
        }
        let kept = self.entries.values().map(|e| e.weight);
        if self.entries.len() >= MOST || kept.fold(0, usize::saturating_add) > MOST_KEPT {
            return Err("too many requests wait already");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_model::{PrincipalKind, RequestId, SessionId};

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn who(subject: &str) -> Principal {
        Principal {
            kind: PrincipalKind::Agent,
            issuer: "dev".into(),
            subject: subject.into(),
            groups: [].into(),
            tags: [].into(),
            token_id: None,
            expires_at: at(10_000),
            on_behalf_of: None,
        }
    }

    fn bond(subject: &str, bytes: &str) -> Bond {
        let facts = Arc::new(Facts::new("delete", 1, Vec::new()));
        Bond::new(&who(subject), &ConnectionName::new("k8s"), &facts, &[bytes.as_bytes(), b"uid"])
    }

    fn id(n: u32) -> ApprovalId {
        format!("00000000-0000-0000-0000-{n:012}").parse().unwrap()
    }

    fn number(id: ApprovalId) -> u32 {
        id.to_string().rsplit('-').next().unwrap().parse().unwrap()
    }

    fn request(n: u32, now: Timestamp) -> ApprovalRequest {
        ApprovalRequest {
            id: id(n),
            session: "00000000-0000-0000-0000-000000000001".parse::<SessionId>().unwrap(),
            request: RequestId(1),
            principal: who("bot"),
            connection: ConnectionName::new("k8s"),
            statement: "delete pods a/b".into(),
            shown: Arc::default(),
            facts: Arc::new(Facts::new("delete", 1, Vec::new())),
            digest: String::new(),
            requirements: Vec::new(),
            asked: now,
            expires: now.after(Duration::from_secs(900)),
            waits: false,
        }
    }

    /// What is found, with approval `n` for what is new.
    fn found(parked: &Parked, bond: Bond, n: u32, now: Timestamp) -> String {
        match parked.find(bond, now, |_| Ok(request(n, now))).unwrap() {
            Found::Waits(w) => {
                let before = w.before.map(number);
                format!("{} {}{before:?}", number(w.approval.id), if w.is_new { "new " } else { "" })
            }
            Found::Ended(approval, verdict) => format!("{} {verdict:?}", number(approval.id)),
            Found::Full(why) => why.to_owned(),
        }
    }

    fn yes() -> ApprovalVerdict {
        ApprovalVerdict::Approved { by: Vec::new() }
    }

    #[test]
    fn asked_once_and_used_once() {
        let parked = Parked::default();
        assert_eq!(found(&parked, bond("bot", "a"), 1, at(0)), "1 new None");
        assert_eq!(found(&parked, bond("bot", "a"), 2, at(1)), "1 None", "the same again is not asked for again");
        parked.ended(id(1), yes(), at(2));
        for other in [bond("eve", "a"), bond("bot", "b")] {
            assert!(found(&parked, other, 3, at(2)).contains("new"), "others do not profit");
        }
        assert_eq!(found(&parked, bond("bot", "a"), 4, at(3)), "1 Approved { by: [] }");
        assert_eq!(found(&parked, bond("bot", "a"), 5, at(3)), "5 new None", "used up");
        parked.ended(id(1), yes(), at(4));
        assert_eq!(found(&parked, bond("bot", "a"), 6, at(4)), "5 None", "an old verdict is not the new one's");
    }

    #[test]
    fn every_part_of_a_bond_binds() {
        let base = bond("bot", "a");
        let facts = Arc::new(Facts::new("delete", 1, Vec::new()));
        let make = |issuer: &str, connection: &str, same: &[&[u8]]| {
            let who = Principal { issuer: issuer.into(), ..who("bot") };
            Bond::new(&who, &ConnectionName::new(connection), &facts, same)
        };
        assert_eq!(base, make("dev", "k8s", &[b"a", b"uid"]));
        assert_ne!(base, make("dev2", "k8s", &[b"a", b"uid"]));
        assert_ne!(base, make("dev", "k9s", &[b"a", b"uid"]));
        assert_ne!(base, make("dev", "k8s", &[b"a", b"uie"]));
        assert_ne!(base, make("dev", "k8s", &[b"au", b"id"]), "parts do not run into each other");
        assert_ne!(base, Bond { facts: Arc::new(Facts::new("exec", 1, Vec::new())), ..base.clone() });
    }

    #[test]
    fn a_denial_is_told_and_then_it_may_be_asked_anew() {
        let parked = Parked::default();
        found(&parked, bond("bot", "a"), 1, at(0));
        parked.ended(id(1), ApprovalVerdict::Denied { by: "dev/anna".into(), comment: "no".into() }, at(5));
        let told = r#"1 Denied { by: "dev/anna", comment: "no" }"#;
        assert_eq!(found(&parked, bond("bot", "a"), 2, at(1000)), told);
        assert_eq!(found(&parked, bond("bot", "a"), 3, at(1001)), told, "to another wire of the same client");
        assert_eq!(found(&parked, bond("bot", "a"), 4, at(1010)), "4 new None");
    }

    #[test]
    fn time_passes() {
        let parked = Parked::default();
        found(&parked, bond("bot", "a"), 1, at(0));
        assert_eq!(found(&parked, bond("bot", "a"), 2, at(900)), "2 new Some(1)", "before the desk has said so");
        parked.ended(id(2), yes(), at(901));
        assert!(!parked.lapsed(id(2), at(902)));
        let unsaid = std::cell::Cell::new(None);
        let ask = |lapsed: Option<&Lapsed>| {
            unsaid.set(lapsed.map(|l| l.is_unsaid));
            Ok(request(3, at(1800)))
        };
        assert!(matches!(parked.find(bond("bot", "a"), at(1800), ask).unwrap(), Found::Waits(_)), "too late to use it");
        assert_eq!(unsaid.get(), Some(true));
        parked.ended(id(3), yes(), at(1801));
        assert!(parked.lapsed(id(3), at(2700)) && !parked.lapsed(id(3), at(2700)), "said once");
        assert_eq!(found(&parked, bond("bot", "a"), 4, at(2701)), "4 new Some(3)");
        parked.ended(id(4), ApprovalVerdict::Unavailable { reason: "full".into() }, at(2702));
        assert_eq!(found(&parked, bond("bot", "a"), 5, at(2703)), r#"4 Unavailable { reason: "full" }"#);
        assert_eq!(found(&parked, bond("bot", "a"), 6, at(2703)), "6 new None");
    }

    #[test]
    fn a_caller_has_so_many() {
        let parked = Parked::default();
        for n in 0..16 {
            assert!(found(&parked, bond("bot", &n.to_string()), n, at(0)).contains("new"));
        }
        parked.ended(id(3), yes(), at(1));
        assert_eq!(found(&parked, bond("bot", "x"), 99, at(1)), "16 of your requests wait already");
        assert!(found(&parked, bond("eve", "x"), 98, at(1)).contains("new"), "others have room of their own");
        assert!(found(&parked, bond("bot", "3"), 97, at(1)).contains("Approved"), "what is used makes room");
        assert!(found(&parked, bond("bot", "x"), 96, at(1)).contains("new"));
        // What ended is remembered, but not without end.
        for n in 100..200 {
            let name = n.to_string();
            found(&parked, bond("mallory", &name), n, at(2));
            parked.ended(id(n), ApprovalVerdict::Expired, at(2));
        }
        let table = parked.0.lock();
        let own = |subject| table.entries.keys().filter(|b| b.caller == format!("dev/{subject}")).count();
        assert_eq!((own("mallory"), own("bot")), (MOST_OF_CALLER, 16));
        assert_eq!(table.bonds.len(), table.entries.len());
        drop(table);
        found(&parked, bond("bot", "late"), 300, at(2 + 3600));
        assert_eq!(parked.0.lock().entries.len(), 18, "what lapsed lately is remembered");
        found(&parked, bond("bot", "later"), 301, at(901 + 3600));
        let table = parked.0.lock();
        assert_eq!((table.entries.len(), table.bonds.len()), (2, 2));
    }
}
