//! How a statement would be decided, and what would become of it.
use doorward_policy::{Deciding, Explanation, Step};
use doorward_sql_session::explained::{Explained, Shown};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};
use utoipa::ToSchema;

/// `POST /connections/{name}/explain`: a statement of somebody made up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewExplanation {
    /// The statement.
    pub statement: String,
    /// The database, where the connection leads to any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Who asks: `issuer/subject`.
    pub principal: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// A person rather than an agent.
    pub user: bool,
    /// The person that the agent acts for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// That person's groups.
    pub person_groups: Vec<String>,
}

/// How a statement would be decided, and what would become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplanationView {
    /// `forward`, `hold` or `refuse`. What may not be revealed is masked and refuses nothing.
    pub outcome: String,
    /// The policies in force.
    pub policy_version: String,
    /// The command; empty where the statement could not be read.
    pub command: String,
    /// The decision on each right that it asks for.
    pub steps: Vec<ExplainedStep>,
    /// Why it is refused, whatever policies say of those rights.
    pub refusal: Option<ExplainedRefusal>,
    /// What would be sent. None where it is refused for the reason above, and where the schema is not known.
    pub sent: Option<String>,
    /// Whether that was written otherwise than it came, because of hidden columns.
    pub rewritten: bool,
    /// What its results are made of, column by column.
    pub columns: Vec<ExplainedColumn>,
    /// Kinds of values that are looked for in columns that are not masked, and what replaces them.
    pub scanned: BTreeMap<String, String>,
    /// Whether the schema of the database was known: without it, views and `*` are not taken apart, and nothing is rewritten.
    pub schema_known: bool,
}

/// The decision on one right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedStep {
    /// Whom it is asked about, where an agent acts for a person and both are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// What is asked.
    pub action: String,
    /// On what.
    pub resource: String,
    /// `allowed`, `allowed, but not if approved`, `needs an approval`, `denied`; of reveals `clear` or `masked`.
    pub verdict: String,
    /// Allowed as it is.
    pub allowed: bool,
    /// Allowed if it were approved.
    pub allowed_if_approved: bool,
    /// The policies that decided.
    pub policies: Vec<ExplainedPolicy>,
    /// From whom an approval is needed.
    pub approvals: Vec<ExplainedApproval>,
    /// An error in evaluating a policy.
    pub error: Option<String>,
}

/// A policy that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedPolicy {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: Option<String>,
}

/// What a policy asks for before it lets a request through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedApproval {
    /// The policy.
    pub policy: String,
    /// A member of any of these groups may decide.
    pub approvers: Vec<String>,
    /// How many different people.
    pub quorum: u32,
    /// How long the request waits, in seconds.
    pub expires_seconds: u64,
}

/// Why a statement is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedRefusal {
    /// What is refused, and why.
    pub message: String,
    /// Which right is missing.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedColumn {
    /// Which statement of the text, from 1.
    pub statement: usize,
    /// Its place in the result, from 1. None: one or more columns, of a `*` or behind one, of which the schema is not known.
    pub place: Option<usize>,
    /// The base columns that it is made of (`public.customers.ssn`, `….*` for any of a table); empty: of none.
    pub made_of: Vec<String>,
    /// What masks it; none: it is not masked.
    pub mask: Option<String>,
    /// What masks it where it is computed of those columns rather than one of them, if that is another mask.
    pub mask_if_computed: Option<String>,
}

impl ExplanationView {
    /// What the policies say, with what becomes of the statement.
    pub fn new(decided: Explanation, explained: &Explained, schema_known: bool) -> Self {
        let refusal = explained.sent.as_ref().err().map(ExplainedRefusal::from);
        let sent = explained.sent.as_ref().ok();
        Self {
            outcome: if refusal.is_some() { "refuse".to_owned() } else { decided.outcome.to_owned() },
            policy_version: decided.policy_version,
            command: decided.command,
            steps: decided.steps.into_iter().map(ExplainedStep::from).collect(),
            refusal,
            sent: sent.filter(|_| schema_known).map(|sent| sent.text.clone()),
            rewritten: sent.is_some_and(|sent| sent.is_rewritten),
            columns: explained.columns.iter().map(ExplainedColumn::from).collect(),
            scanned: explained.scans.iter().map(|(kind, mask)| (kind.clone(), mask.to_string())).collect(),
            schema_known,
        }
    }

    /// Of a statement that could not be read.
    pub fn unread(refusal: &doorward_enforce::Refusal, policy_version: &str, schema_known: bool) -> Self {
        let (outcome, policy_version) = ("refuse".to_owned(), policy_version.to_owned());
        Self { outcome, policy_version, refusal: Some(refusal.into()), schema_known, ..Self::default() }
    }
}

impl From<Step> for ExplainedStep {
    fn from(s: Step) -> Self {
        let verdict = s.verdict().to_owned();
        let approvals = s.approvals.into_iter().map(|a| ExplainedApproval {
            policy: a.policy,
            approvers: a.approvers,
            quorum: a.quorum,
            expires_seconds: a.expires_seconds,
        });
        Self {
            principal: s.principal,
            action: s.access.action.to_string(),
            resource: s.access.resource.to_string(),
            verdict,
            allowed: s.allowed,
            allowed_if_approved: s.allowed_if_approved,
            policies: s.policies.into_iter().map(|Deciding { id, reason }| ExplainedPolicy { id, reason }).collect(),
            approvals: approvals.collect(),
            error: s.error,
        }
    }
}

impl From<&doorward_enforce::Refusal> for ExplainedRefusal {
    fn from(r: &doorward_enforce::Refusal) -> Self {
        Self { message: r.message.clone(), detail: r.detail.clone(), hint: r.hint.clone() }
    }
}

impl From<&Shown> for ExplainedColumn {
    fn from(shown: &Shown) -> Self {
        let computed = shown.mask.clone().map(doorward_sql_session::whole);
        let mask = shown.mask.as_ref().map(|rule| rule.operator.to_string());
        let mask_if_computed = computed.map(|rule| rule.operator.to_string()).filter(|m| mask.as_ref() != Some(m));
        let made_of = shown.made_of.iter().map(ToString::to_string).collect();
        Self { statement: shown.statement, place: shown.place, made_of, mask, mask_if_computed }
    }
}

impl fmt::Display for ExplainedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |p: &ExplainedPolicy| match &p.reason {
            Some(reason) => format!("{} ({reason})", p.id),
            None => p.id.clone(),
        };
        let named: Vec<String> = self.policies.iter().map(named).collect();
        let by = if named.is_empty() { "no policy allows it".to_owned() } else { format!("by {}", named.join(", ")) };
        let about = self.principal.as_ref().map_or_else(String::new, |who| format!("{who}: "));
        writeln!(f, "  {:<18} {about}{} on {}: {by}", self.verdict, self.action, self.resource)?;
        for a in &self.approvals {
            let (quorum, groups, seconds) = (a.quorum, a.approvers.join(" or "), a.expires_seconds);
            writeln!(f, "{:21}`{}` asks for {quorum} of {groups} within {seconds} s", "", a.policy)?;
        }
        self.error.iter().try_for_each(|error| writeln!(f, "{:21}error: {error}", ""))
    }
}

impl fmt::Display for ExplainedColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.map_or_else(|| "*".to_owned(), |place| place.to_string());
        let of = if self.made_of.is_empty() { "no column".to_owned() } else { self.made_of.join(", ") };
        write!(f, "  {place:>4}  of {of}: ")?;
        match (&self.mask, &self.mask_if_computed) {
            (None, _) => f.write_str("clear"),
            (Some(mask), None) => write!(f, "masked by {mask}"),
            (Some(mask), Some(other)) => write!(f, "masked by {mask}, by {other} where it is computed"),
        }
    }
}

impl fmt::Display for ExplanationView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = if self.command.is_empty() { "not read" } else { &self.command };
        writeln!(f, "{command}: {} (policy version {})", self.outcome, self.policy_version)?;
        self.steps.iter().try_for_each(|step| write!(f, "{step}"))?;
        if let Some(refusal) = &self.refusal {
            writeln!(f, "refused, whatever policies say of these rights: {}", refusal.message)?;
            refusal.detail.iter().try_for_each(|detail| writeln!(f, "  {detail}"))?;
            refusal.hint.iter().try_for_each(|hint| writeln!(f, "  {hint}"))?;
        }
        match &self.sent {
            Some(sent) if self.rewritten => writeln!(f, "it would be sent as\n  {sent}")?,
            Some(sent) => writeln!(f, "it would be sent as it was read:\n  {sent}")?,
            None => {}
        }
        if !self.columns.is_empty() {
            writeln!(f, "columns of the result")?;
        }
        let several = self.columns.iter().any(|c| c.statement > 1);
        let mut of = 0;
        for column in &self.columns {
            if several && column.statement != of {
                of = column.statement;
                writeln!(f, "  statement {of}")?;
            }
            writeln!(f, "{column}")?;
        }
        if !self.scanned.is_empty() && !self.columns.is_empty() {
            let kinds: Vec<String> = self.scanned.iter().map(|(kind, mask)| format!("{kind} ({mask})")).collect();
            writeln!(f, "in what is clear, these are looked for: {}", kinds.join(", "))?;
        }
        if !self.schema_known {
            writeln!(
                f,
                "the schema of the database is not known here: names are read as of `public`, `*` and views are not taken \
                 apart, and what would be sent is not known. Ask a running gateway: --live"
            )?;
        }
        Ok(())
    }
}
