//! Facts to outcome, for one session.
use crate::{
    ApprovalRequest, ApprovalVerdict, AuditSink, DecisionPoint, Detail, NotShown, Party, Permit, Requirement, Shown,
    StreamPermit, Subject, Ticket,
    permit::{Grant, PayloadDigest, digest},
    refusals::{self, Refusal, RefusalKind, denied, expired, withdrawn},
};
pub use at_once::AtOnce;

mod admissible;
mod at_once;
mod judging;
mod parties;
mod tags;

use judging::Judgement;
use parties::Decisions;
use tags::Tags;

use ahash::AHashMap;
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, AuditKind, AuditOutcome, Facts, Operator, Parties, RequestId, Resource,
    Timestamp,
};
use std::{fmt, sync::Arc, time::Duration};

/// How many decisions and rights to reveal a session remembers before it starts afresh.
const REMEMBERED: usize = 2048;

/// What is to be decided, besides its facts.
pub struct Request<'a> {
    /// How it reached us: `query`, `execute`, …
    pub via: &'static str,
    /// The statement, for people and the audit log (cut to a bounded length there).
    pub statement: &'a Arc<str>,
    /// What else would run, readable: asked for only if the request is held.
    pub shown: &'a dyn Fn() -> Result<Shown, NotShown>,
    /// Everything the decision binds: what was prepared, its parameters, the message itself.
    pub bound: &'a [&'a [u8]],
    /// The bytes to be forwarded.
    pub payload: &'a [u8],
}

/// Of a request that is its statement and nothing else.
pub const fn nothing_else() -> Result<Shown, NotShown> {
    Ok(Shown { parameters: Vec::new(), rows: Vec::new(), parts: Vec::new(), unseen: Vec::new(), notes: Vec::new() })
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("via", &self.via).field("bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

/// What the enforcement point does with a request.
#[derive(Debug)]
#[must_use]
pub enum Outcome {
    /// These bytes may go.
    Forward(Permit),
    /// A human decides.
    Hold(Box<Held>),
    /// They may not.
    Refuse(Refusal),
}

/// A request that waits for a verdict. Settled once, by value.
#[derive(Debug)]
pub struct Held {
    approval: ApprovalRequest,
    facts: Arc<Facts>,
    payload: PayloadDigest,
    via: &'static str,
}

impl Held {
    /// What the approvers see.
    pub const fn approval(&self) -> &ApprovalRequest {
        &self.approval
    }
}

/// How a hidden value is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskRule {
    /// What replaces it.
    pub operator: Operator,
    /// What it is called in the replacement.
    pub label: String,
    /// Whether no policy speaks of it: hidden for lack of a permit, not by a forbid.
    pub by_default: bool,
}

/// Whether a value may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reveal {
    /// As it is.
    Clear,
    /// Masked.
    Masked(Arc<MaskRule>),
}

/// What an enforcer is made of.
pub struct EnforcerParts {
    /// Who asks, through what.
    pub subject: Arc<Subject>,
    /// The policies.
    pub pdp: Arc<dyn DecisionPoint>,
    /// The audit log.
    pub audit: Arc<dyn AuditSink>,
    /// Whether a request waits until its audit entry is durable (the default), or is only handed
    /// to the log before it goes (`audit = "best-effort"`).
    pub strict_audit: bool,
    /// Where the connection leads to. An approval that outlives its session is for there, not for whatever has the
    /// connection's name later.
    pub place: Arc<str>,
    /// Draws approval identifiers.
    pub new_approval: Box<dyn FnMut() -> ApprovalId + Send>,
}

impl fmt::Debug for EnforcerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnforcerParts").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// The enforcement point of one session.
#[derive(Debug)]
pub struct Enforcer {
    parts: EnforcerParts,
    decisions: Decisions,
    /// What each audit entry says of whose session it is, where that is two.
    both: Option<Arc<Parties>>,
    policy_version: Arc<str>,
    last_request: RequestId,
    last_ticket: Ticket,
    suspended: Option<String>,
    /// Decisions that last, by what they were made on.
    remembered: AHashMap<Arc<Facts>, Judgement>,
    reveals: AHashMap<Resource, Reveal>,
    /// The tags of the connection itself.
    own_tags: Tags,
    /// How often other tags of the upstream's were taken up.
    retagged: u64,
    /// How many verdicts were given that may be other ones without a change of the policies.
    passing: u64,
    connect: Arc<Facts>,
}

/// How many entries a session with best-effort audit may be ahead of the disk.
const BEST_EFFORT_LEAD: u64 = 1000;

/// The longest statement text kept in an audit entry, in bytes. The whole is in the recording.
const AUDITED_TEXT: usize = 4096;

impl Enforcer {
    /// An enforcement point for a session.
    pub fn new(parts: EnforcerParts) -> Self {
        let decisions = Decisions::open(&*parts.pdp, &parts.subject);
        let connect = Facts::new("connect", 0, vec![Access::new(Action::Connect, Resource::Connection)]);
        Self {
            policy_version: decisions.policy_version(),
            decisions,
            both: parts.subject.principal.parties().map(Arc::new),
            own_tags: parts.subject.connection.tags.clone(),
            retagged: 0,
            parts,
            last_request: RequestId::default(),
            last_ticket: Ticket::default(),
            suspended: None,
            remembered: AHashMap::new(),
            reveals: AHashMap::new(),
            passing: 0,
            connect: Arc::new(connect),
        }
    }

    /// Who asks, through what.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.parts.subject
    }

    /// The facts of what needs nothing but the session itself.
    pub fn connect_facts(&self) -> &Arc<Facts> {
        &self.connect
    }

    /// While a reason is given, every request is refused with it: the recording cannot be written.
    pub fn suspend(&mut self, reason: Option<String>) {
        self.suspended = reason;
    }

    /// Counts changes of the policies this session is judged by, and of the tags that the upstream carries.
    pub fn generation(&self) -> u64 {
        self.parts.pdp.generation().wrapping_add(self.retagged)
    }

    /// Decides a request, and writes it into the audit log before the outcome is known to anyone.
    pub fn decide(&mut self, facts: &Arc<Facts>, request: &Request<'_>, now: Timestamp) -> Outcome {
        self.last_request = self.last_request.next();
        let bound = bound_digest(request.bound, request.payload);
        let permit = match self.judge(facts, now) {
            Judgement::Allow { policies } => self.allow(facts, request, &bound, policies, now),
            Judgement::Hold { policies, requirements, expires } => {
                let hold = (policies, requirements, expires);
                return match self.hold(facts, request, &bound, hold, now) {
                    Ok(held) => Outcome::Hold(Box::new(held)),
                    Err(refusal) => Outcome::Refuse(refusal),
                };
            }
            Judgement::Refuse { policies, refusal } => {
                let event = self.event(facts, request, &bound, AuditOutcome::Refuse, policies, now);
                Err(self.refused(event, refusal))
            }
        };
        permit.map_or_else(Outcome::Refuse, Outcome::Forward)
    }

    /// Whether a request with these facts would be refused. Nothing is decided, and nothing written down.
    pub fn would_refuse(&mut self, facts: &Arc<Facts>, now: Timestamp) -> bool {
        matches!(self.judge(facts, now), Judgement::Refuse { .. })
    }

    /// Whether a request with these facts would be allowed as it is. Nothing is decided, and nothing written down.
    pub fn would_allow(&mut self, facts: &Arc<Facts>, now: Timestamp) -> bool {
        matches!(self.judge(facts, now), Judgement::Allow { .. })
    }

    /// Decides a message that prepares a request but does not run it (`Parse`): what may be held may be
    /// prepared. Its text goes upstream, so it is written into the audit log all the same.
    ///
    /// # Errors
    /// The refusal, where the request itself would be refused.
    pub fn prepare(&mut self, facts: &Arc<Facts>, request: &Request<'_>, now: Timestamp) -> Result<Permit, Refusal> {
        let (policies, refusal) = match self.judge(facts, now) {
            Judgement::Allow { policies } | Judgement::Hold { policies, .. } => (policies, None),
            Judgement::Refuse { policies, refusal } => (policies, Some(refusal)),
        };
        self.last_request = self.last_request.next();
        let outcome = if refusal.is_some() { AuditOutcome::Refuse } else { AuditOutcome::Forward };
        let bound = bound_digest(request.bound, request.payload);
        let mut event = self.event(facts, request, &bound, outcome, policies, now);
        if let Some(refusal) = &refusal {
            set_reason(&mut event, refusal);
        }
        let ticket = self.append(&event)?;
        match refusal {
            Some(refusal) => Err(refusal),
            None => {
                let grant = Grant { facts: Arc::clone(facts), approved: None };
                Ok(Permit { request: self.last_request, digest: digest(request.payload), ticket, grant })
            }
        }
    }

    /// Refuses a request that did not come as far as a decision, and writes that down.
    pub fn refuse(&mut self, facts: &Arc<Facts>, request: &Request<'_>, refusal: Refusal, now: Timestamp) -> Refusal {
        self.last_request = self.last_request.next();
        let bound = bound_digest(request.bound, request.payload);
        let event = self.event(facts, request, &bound, AuditOutcome::Refuse, Arc::from([]), now);
        self.refused(event, refusal)
    }

    /// Lets through a message that does nothing by itself but belongs to a request with these facts
    /// (describe, bind, sync). What may be held may be prepared.
    ///
    /// # Errors
    /// The refusal, where the request itself would be refused.
    pub fn follow(&mut self, facts: &Arc<Facts>, payload: &[u8], now: Timestamp) -> Result<Permit, Refusal> {
        match self.judge(facts, now) {
            Judgement::Allow { .. } | Judgement::Hold { .. } => {
                let grant = Grant { facts: Arc::clone(facts), approved: None };
                let (request, ticket) = (self.last_request, self.last_ticket);
                Ok(Permit { request, digest: digest(payload), ticket, grant })
            }
            Judgement::Refuse { refusal, .. } => Err(refusal),
        }
    }

    /// Whether what was allowed, and goes on, is still allowed: by the policies of the moment, and where it was
    /// approved, with those who approved it. What was allowed without an approval and now needs one is not.
    ///
    /// # Errors
    /// The refusal.
    pub fn still_allows(&mut self, stream: &StreamPermit, now: Timestamp) -> Result<(), Refusal> {
        let Grant { facts, approved } = &stream.grant;
        if let Some(by) = approved {
            return self.judge_with(facts, by, now).map(drop);
        }
        match self.judge_by_policy(facts, now) {
            Judgement::Allow { .. } => Ok(()),
            Judgement::Hold { policies, .. } => Err(refusals::needs_approval_now(facts, &policies)),
            Judgement::Refuse { refusal, .. } => Err(refusal),
        }
    }

    /// How closely the policies of the moment look at resources of a type.
    pub fn detail(&mut self, action: Action, entity_type: &'static str) -> Detail {
        self.refresh();
        self.decisions.detail(action, entity_type)
    }

    /// Whether a part of what was allowed as a whole (an object of a list) may be passed: by the policies of the moment,
    /// and where the whole was approved, with those who approved it.
    pub fn allows_part(&mut self, whole: &StreamPermit, part: &Arc<Facts>, now: Timestamp) -> bool {
        if let Some(by) = &whole.grant.approved {
            return self.judge_with(part, by, now).is_ok();
        }
        self.refresh();
        // Not remembered: there may be any number of them.
        let parties = self.parts.subject.parties();
        parties.iter().flat_map(|party| part.accesses.iter().map(move |access| (*party, access))).all(|asked| {
            let verdict = self.verdict(asked, part, false, &[], now);
            verdict.allowed && verdict.error.is_none()
        })
    }

    /// Whether what was just judged stays as it is until the policies change: no policy that could bear on it reads
    /// the clock or another changing attribute, and it rests on no approval.
    pub fn is_lasting(&self, stream: &StreamPermit) -> bool {
        stream.grant.approved.is_none() && self.remembered.contains_key(&stream.grant.facts)
    }

    /// Counts verdicts that may become other ones by themselves, because a policy reads the clock. Whoever asked several
    /// things, and finds the count as it was, has answers that last until the policies change.
    pub const fn passing(&self) -> u64 {
        self.passing
    }

    /// Whether `connect` stays allowed until the policies change or the identity ends.
    pub fn is_welcome_lasting(&self) -> bool {
        self.remembered.contains_key(&self.connect)
    }

    /// Settles a held request. A yes leads to an evaluation with the real approvers.
    pub fn settle(&mut self, held: Held, verdict: ApprovalVerdict, now: Timestamp) -> Outcome {
        self.settle_held(held, verdict, now).map_or_else(Outcome::Refuse, Outcome::Forward)
    }

    fn settle_held(&mut self, held: Held, verdict: ApprovalVerdict, now: Timestamp) -> Result<Permit, Refusal> {
        let Held { approval, facts, payload, via } = held;
        let refusal = match verdict {
            ApprovalVerdict::Approved { by } => match self.judge_approved(&facts, &approval, &by, now) {
                Ok(policies) => {
                    let event = self.settled(&approval, &facts, via, AuditOutcome::Forward, policies, now);
                    let request = approval.request;
                    let grant = Grant { facts, approved: Some(by.into()) };
                    return self.forward(&event, request, payload, grant);
                }
                Err(refusal) => refusal,
            },
            ApprovalVerdict::Denied { by, comment } => denied(&approval, &by, &comment),
            ApprovalVerdict::Expired => expired(&approval),
            ApprovalVerdict::Withdrawn => withdrawn(&approval),
            ApprovalVerdict::Unavailable { reason } => refusals::cannot_be_asked(&facts, &reason),
        };
        let event = self.settled(&approval, &facts, via, AuditOutcome::Refuse, Arc::from([]), now);
        Err(self.refused(event, refusal))
    }

    /// Whether the caller may see the values of a column, or values of a kind, as they are.
    /// An error in a policy hides them.
    pub fn reveal(&mut self, resource: &Resource, now: Timestamp) -> Reveal {
        self.refresh();
        if let Some(known) = self.reveals.get(resource) {
            return known.clone();
        }
        let access = Access::new(Action::Reveal, resource.clone());
        let (mut hidden, mut lasting): (Option<MaskRule>, bool) = (None, true);
        for party in self.parts.subject.parties() {
            let verdict = self.verdict((*party, &access), &self.connect.clone(), false, &[], now);
            lasting &= verdict.lasting;
            if !verdict.allowed || verdict.error.is_some() {
                let rule = self.mask_rule(resource, &verdict);
                hidden = Some(match hidden {
                    Some(before) => before.and(rule),
                    None => rule,
                });
            }
        }
        let reveal = hidden.map_or(Reveal::Clear, |rule| Reveal::Masked(Arc::new(rule)));
        if lasting {
            if self.reveals.len() >= REMEMBERED {
                self.reveals.clear();
            }
            self.reveals.insert(resource.clone(), reveal.clone());
        }
        reveal
    }

    /// Whether a statement may decide by a column that is masked: `filter` is permitted on it by name, to everybody who
    /// stands behind the caller.
    pub fn may_filter(&mut self, column: &Resource, now: Timestamp) -> bool {
        self.may(&Access::new(Action::Filter, column.clone()), now)
    }

    /// Whether what could tell of masked columns may be used: `bypass` is permitted on it by name, to everybody who stands
    /// behind the caller.
    pub fn may_bypass(&mut self, what: &Resource, now: Timestamp) -> bool {
        self.may(&Access::new(Action::Bypass, what.clone()), now)
    }

    fn may(&mut self, access: &Access, now: Timestamp) -> bool {
        self.refresh();
        let (connect, parties) = (self.connect.clone(), self.parts.subject.parties().to_vec());
        parties.iter().all(|party| {
            let verdict = self.verdict((*party, access), &connect, false, &[], now);
            verdict.allowed && verdict.error.is_none()
        })
    }

    /// Whether the session may go on: the identity has not ended and `connect` is still allowed.
    ///
    /// # Errors
    /// Why it may not.
    pub fn still_welcome(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let subject = &self.parts.subject;
        let is_over = |party: &Party| subject.party(*party).is_none_or(|p| now >= p.expires_at);
        if subject.parties().iter().any(is_over) {
            return Err(Refusal {
                kind: RefusalKind::Expired,
                message: "the identity token of this session has expired".into(),
                detail: None,
                hint: Some("connect again with a fresh token".into()),
            });
        }
        match self.judge(&self.connect.clone(), now) {
            Judgement::Allow { .. } => Ok(()),
            Judgement::Hold { .. } => Err(Refusal {
                kind: RefusalKind::Policy,
                message: "this session is no longer allowed without an approval".into(),
                detail: None,
                hint: None,
            }),
            Judgement::Refuse { refusal, .. } => Err(refusal),
        }
    }

    /// What has to be durable before anything decided so far takes effect.
    pub const fn last_ticket(&self) -> Ticket {
        self.last_ticket
    }

    /// The number of the request decided last.
    pub const fn last_request(&self) -> RequestId {
        self.last_request
    }

    /// Writes an event of this session into the audit log.
    ///
    /// # Errors
    /// Where it cannot be kept, as a refusal.
    pub fn note(&mut self, kind: AuditKind, now: Timestamp) -> Result<Ticket, Refusal> {
        let event = self.entry(kind, now);
        // Nothing that goes upstream waits for a note.
        let waits_for = self.last_ticket;
        let noted = self.append(&event);
        self.last_ticket = waits_for;
        noted
    }

    fn allow(
        &mut self,
        facts: &Arc<Facts>,
        request: &Request<'_>,
        bound: &str,
        policies: Arc<[String]>,
        now: Timestamp,
    ) -> Result<Permit, Refusal> {
        let event = self.event(facts, request, bound, AuditOutcome::Forward, policies, now);
        let grant = Grant { facts: Arc::clone(facts), approved: None };
        self.forward(&event, self.last_request, digest(request.payload), grant)
    }

    fn forward(
        &mut self,
        event: &AuditEvent,
        request: RequestId,
        digest: PayloadDigest,
        grant: Grant,
    ) -> Result<Permit, Refusal> {
        let ticket = self.append(event)?;
        Ok(Permit { request, digest, ticket, grant })
    }

    /// Writes a refusal down: what the caller is told.
    fn refused(&mut self, mut event: AuditEvent, refusal: Refusal) -> Refusal {
        set_reason(&mut event, &refusal);
        self.append(&event).err().unwrap_or(refusal)
    }

    fn entry(&self, kind: AuditKind, now: Timestamp) -> AuditEvent {
        let (session, parties) = (Some(self.parts.subject.session), self.both.clone());
        AuditEvent { time: now, session, parties, kind }
    }

    fn append(&mut self, event: &AuditEvent) -> Result<Ticket, Refusal> {
        let unavailable = |message: String| Refusal {
            kind: RefusalKind::Unavailable,
            message,
            detail: None,
            hint: Some("nothing was sent to the database; tell the operator of this gateway, then try again".into()),
        };
        match self.parts.audit.append(event) {
            Ok(ticket) if self.parts.strict_audit => {
                self.last_ticket = self.last_ticket.max(ticket);
                Ok(ticket)
            }
            // Not to wait is not to run ahead without end: a log that lags is waited for after all.
            Ok(ticket) if ticket.0.saturating_sub(self.parts.audit.committed().0) > BEST_EFFORT_LEAD => {
                self.last_ticket = self.last_ticket.max(ticket);
                Ok(ticket)
            }
            Ok(_) => Ok(Ticket::default()),
            Err(e) => Err(unavailable(format!("refused: {e}"))),
        }
    }

    fn hold(
        &mut self,
        facts: &Arc<Facts>,
        request: &Request<'_>,
        bound: &str,
        (policies, requirements, expires): (Arc<[String]>, Vec<Requirement>, Duration),
        now: Timestamp,
    ) -> Result<Held, Refusal> {
        // INVARIANT: nobody is asked about what they cannot be shown.
        let shown = match (request.shown)().and_then(|shown| shown.within(request.statement)) {
            Ok(shown) => Arc::new(shown),
            Err(why) => {
                let event = self.event(facts, request, bound, AuditOutcome::Refuse, policies, now);
                return Err(self.refused(event, refusals::cannot_be_shown(facts, &why)));
            }
        };
        let id = (self.parts.new_approval)();
        let approval = ApprovalRequest {
            id,
            session: self.parts.subject.session,
            request: self.last_request,
            principal: self.parts.subject.principal.clone(),
            connection: self.parts.subject.connection.name.clone(),
            statement: Arc::clone(request.statement),
            shown,
            facts: Arc::clone(facts),
            digest: bound.to_owned(),
            requirements,
            asked: now,
            expires: now.after(expires),
            waits: true,
        };
        let event = self.held_event(facts, request, bound, policies, id, now);
        let asked = AuditKind::ApprovalRequested {
            approval: id,
            request: self.last_request,
            approvers: approval.requirements.iter().map(|r| r.groups.clone()).collect(),
            expires: approval.expires,
        };
        self.append(&event).and_then(|_| self.note(asked, now))?;
        let payload = digest(request.payload);
        Ok(Held { approval, facts: Arc::clone(facts), payload, via: request.via })
    }

    fn held_event(
        &self,
        facts: &Arc<Facts>,
        request: &Request<'_>,
        bound: &str,
        policies: Arc<[String]>,
        id: ApprovalId,
        now: Timestamp,
    ) -> AuditEvent {
        let mut event = self.event(facts, request, bound, AuditOutcome::Hold, policies, now);
        if let AuditKind::Request { approval, .. } = &mut event.kind {
            *approval = Some(id);
        }
        event
    }

    fn event(
        &self,
        facts: &Arc<Facts>,
        request: &Request<'_>,
        bound: &str,
        outcome: AuditOutcome,
        policies: Arc<[String]>,
        now: Timestamp,
    ) -> AuditEvent {
        let kind = AuditKind::Request {
            request: self.last_request,
            outcome,
            via: request.via.to_owned(),
            statement: shortened(request.statement),
            digest: bound.to_owned(),
            facts: Arc::clone(facts),
            policies,
            policy_version: Arc::clone(&self.policy_version),
            reason: None,
            approval: None,
        };
        self.entry(kind, now)
    }

    fn settled(
        &self,
        approval: &ApprovalRequest,
        facts: &Arc<Facts>,
        via: &'static str,
        outcome: AuditOutcome,
        policies: Arc<[String]>,
        now: Timestamp,
    ) -> AuditEvent {
        let kind = AuditKind::Request {
            request: approval.request,
            outcome,
            via: via.to_owned(),
            statement: shortened(&approval.statement),
            digest: approval.digest.clone(),
            facts: Arc::clone(facts),
            policies,
            policy_version: Arc::clone(&self.policy_version),
            reason: None,
            approval: Some(approval.id),
        };
        self.entry(kind, now)
    }
}

fn shortened(statement: &Arc<str>) -> Arc<str> {
    if statement.len() <= AUDITED_TEXT {
        return Arc::clone(statement);
    }
    let cut = statement.floor_char_boundary(AUDITED_TEXT);
    let kept = statement.get(..cut).unwrap_or_default();
    Arc::from(format!("{kept}… ({} bytes in all)", statement.len()))
}

fn bound_digest(bound: &[&[u8]], payload: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    let mut h = Sha256::new();
    for part in bound.iter().chain(std::iter::once(&payload)) {
        h.update((part.len() as u64).to_be_bytes());
        h.update(part);
    }
    hex::encode(h.finalize())
}

fn set_reason(event: &mut AuditEvent, refusal: &Refusal) {
    if let AuditKind::Request { reason, .. } = &mut event.kind {
        *reason = Some(match &refusal.detail {
            Some(detail) => format!("{}; {detail}", refusal.message),
            None => refusal.message.clone(),
        });
    }
}
