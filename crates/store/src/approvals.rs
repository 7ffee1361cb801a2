//! Approvals and the verdicts on them.
use crate::{Store, StoreError, json, micros, parse, timestamp};
use doorward_enforce::{ApprovalRequest, Escalation, Requirement};
use doorward_model::{ApprovalId, ChatAccountId, ConnectionName, Principal, RequestId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, sqlite::SqliteRow};
use std::{sync::Arc, time::Duration};

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalState {
    /// Waits for people.
    Pending,
    /// Enough said yes.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// The caller no longer waits.
    Withdrawn,
}

impl ApprovalState {
    /// The word used in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    fn read(word: &str) -> Result<Self, StoreError> {
        [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Withdrawn]
            .into_iter()
            .find(|s| s.as_str() == word)
            .ok_or(StoreError::Unreadable("approval state"))
    }
}

/// One person's verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVerdict {
    /// `issuer/subject`.
    pub by: String,
    /// The groups they were in.
    pub groups: Vec<String>,
    /// Yes or no.
    pub yes: bool,
    /// What they said.
    pub comment: String,
    /// When.
    pub time: Timestamp,
    /// Whether they broke the glass.
    pub break_glass: bool,
    /// The account of a chat that it came from, where it did.
    pub via: Option<ChatAccountId>,
}

/// An approval with everything known of it.
#[derive(Clone, Debug)]
pub struct StoredApproval {
    /// What was asked.
    pub request: ApprovalRequest,
    /// Where it stands.
    pub state: ApprovalState,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub reason: Option<String>,
    /// The verdicts, oldest first.
    pub verdicts: Vec<StoredVerdict>,
    /// Whether it is of a list, which leaves out what is long: the end of the statement, and all that is shown besides it.
    pub abridged: bool,
    /// When its texts were removed: the statement, and what was shown besides it. None: they are there.
    pub forgotten: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct RequirementRow {
    policy: String,
    reason: Option<String>,
    groups: Vec<String>,
    quorum: u32,
    /// Groups, and after how many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    escalation: Option<(Vec<String>, u64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    break_glass: Vec<String>,
}

impl From<&Requirement> for RequirementRow {
    fn from(q: &Requirement) -> Self {
        Self {
            policy: q.policy.clone(),
            reason: q.reason.clone(),
            groups: q.groups.clone(),
            quorum: q.quorum,
            escalation: q.escalation.as_ref().map(|e| (e.groups.clone(), e.after.as_secs())),
            break_glass: q.break_glass.clone(),
        }
    }
}

impl From<RequirementRow> for Requirement {
    fn from(q: RequirementRow) -> Self {
        let escalation = q.escalation.map(|(groups, after)| Escalation { groups, after: Duration::from_secs(after) });
        let RequirementRow { policy, reason, groups, quorum, break_glass, .. } = q;
        Self { policy, reason, groups, quorum, escalation, break_glass }
    }
}

const SELECT: &str = "SELECT id, session, request, principal, connection, statement, shown, facts, digest, \
     requirements, asked, expires, state, ended, reason, waits, 0, forgotten FROM approvals WHERE id = ?";
/// In lists what is long is left out: five hundred of the longest would be half a gigabyte.
const LIST: &str = "SELECT id, session, request, principal, connection, substr(statement, 1, 16384), \
     CASE WHEN length(CAST(shown AS BLOB)) <= 16384 THEN shown ELSE '{}' END, facts, digest, \
     requirements, asked, expires, state, ended, reason, waits, \
     length(CAST(statement AS BLOB)) > 16384 OR length(CAST(shown AS BLOB)) > 16384, forgotten FROM approvals \
     WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3";

const LEFT_OVER: &str = "SELECT id, session, request, principal, connection, statement, shown, facts, digest, \
     requirements, asked, expires, state, ended, reason, waits, 0, forgotten FROM approvals WHERE state = 'pending' ORDER BY id";

impl Store {
    pub(crate) async fn withdraw_left_over(&self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE approvals SET state = 'withdrawn', ended = ?1, reason = 'gateway restarted' \
             WHERE state = 'pending' AND (waits OR expires <= ?1)",
        )
        .bind(micros(now))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// What a former process left pending for callers who do not wait, oldest first.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn approvals_left_over(&self) -> Result<Vec<StoredApproval>, StoreError> {
        let rows = sqlx::query(LEFT_OVER).fetch_all(&self.readers).await?;
        let mut out = Vec::with_capacity(rows.len());
        for row in &rows {
            out.push(self.with_verdicts(read(row)?).await?);
        }
        Ok(out)
    }

    /// Keeps a pending approval.
    ///
    /// # Errors
    /// Where the database fails, or the identifier is taken.
    pub async fn approval_asked(&self, r: &ApprovalRequest) -> Result<(), StoreError> {
        let requirements: Vec<RequirementRow> = r.requirements.iter().map(RequirementRow::from).collect();
        let (shown, facts) = (json(&*r.shown)?, json(&*r.facts)?);
        let bytes = r.statement.len().saturating_add(shown.len()).saturating_add(facts.len());
        sqlx::query(
            "INSERT INTO approvals (id, session, request, principal, connection, statement, shown, facts, \
             digest, requirements, asked, expires, waits, caller, person, bytes, state) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')",
        )
        .bind(r.id.to_string())
        .bind(r.session.to_string())
        .bind(i64::try_from(r.request.0).unwrap_or(i64::MAX))
        .bind(json(&r.principal)?)
        .bind(r.connection.as_str())
        .bind(&*r.statement)
        .bind(&shown)
        .bind(&facts)
        .bind(&r.digest)
        .bind(json(&requirements)?)
        .bind(micros(r.asked))
        .bind(micros(r.expires))
        .bind(r.waits)
        .bind(r.principal.id())
        .bind(r.principal.person().map_or_else(String::new, Principal::id))
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Keeps a verdict. The second one of the same person fails; but who said yes may break the glass, which stands for the yes then.
    ///
    /// # Errors
    /// Where the database fails, or the person has decided before.
    pub async fn verdict(&self, id: ApprovalId, v: &StoredVerdict) -> Result<(), StoreError> {
        let mut tx = self.writer.begin().await?;
        if v.break_glass {
            sqlx::query("DELETE FROM verdicts WHERE approval = ? AND by = ? AND yes AND NOT break_glass")
                .bind(id.to_string())
                .bind(&v.by)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "INSERT INTO verdicts (approval, by, groups, yes, comment, time, break_glass, via) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(&v.by)
        .bind(json(&v.groups)?)
        .bind(v.yes)
        .bind(&v.comment)
        .bind(micros(v.time))
        .bind(v.break_glass)
        .bind(v.via.as_ref().map(json).transpose()?)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Ends a pending approval. False where it had ended before.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn approval_ended(
        &self,
        id: ApprovalId,
        state: ApprovalState,
        reason: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE approvals SET state = ?, reason = ?, ended = ? WHERE id = ? AND state = 'pending'")
                .bind(state.as_str())
                .bind(reason)
                .bind(micros(at))
                .bind(id.to_string())
                .execute(&self.writer)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// One approval.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<StoredApproval>, StoreError> {
        let Some(row) = sqlx::query(SELECT).bind(id.to_string()).fetch_optional(&self.readers).await? else {
            return Ok(None);
        };
        Ok(Some(self.with_verdicts(read(&row)?).await?))
    }

    /// The newest approvals, at most `limit` (500 at most), in one state and older than `before` where given.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn approvals(
        &self,
        state: Option<ApprovalState>,
        before: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<StoredApproval>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(state.map(ApprovalState::as_str))
            .bind(before.map(|b| b.to_string()))
            .bind(i64::from(limit.min(500)))
            .fetch_all(&self.readers)
            .await?;
        let mut out = Vec::with_capacity(rows.len());
        for row in &rows {
            out.push(self.with_verdicts(read(row)?).await?);
        }
        Ok(out)
    }

    async fn with_verdicts(&self, mut a: StoredApproval) -> Result<StoredApproval, StoreError> {
        let rows = sqlx::query(
            "SELECT by, groups, yes, comment, time, break_glass, via FROM verdicts WHERE approval = ? ORDER BY time",
        )
        .bind(a.request.id.to_string())
        .fetch_all(&self.readers)
        .await?;
        for r in rows {
            a.verdicts.push(StoredVerdict {
                by: r.try_get(0)?,
                groups: parse(r.try_get(1)?, "groups")?,
                yes: r.try_get(2)?,
                comment: r.try_get(3)?,
                time: timestamp(r.try_get(4)?),
                break_glass: r.try_get(5)?,
                via: r.try_get::<Option<&str>, _>(6)?.map(|text| parse(text, "via")).transpose()?,
            });
        }
        Ok(a)
    }
}

fn read(r: &SqliteRow) -> Result<StoredApproval, StoreError> {
    let id = |i: usize| r.try_get::<&str, _>(i);
    let requirements: Vec<RequirementRow> = parse(r.try_get(9)?, "requirements")?;
    Ok(StoredApproval {
        request: ApprovalRequest {
            id: id(0)?.parse().map_err(|_| StoreError::Unreadable("approval id"))?,
            session: id(1)?.parse().map_err(|_| StoreError::Unreadable("session id"))?,
            request: RequestId(u64::try_from(r.try_get::<i64, _>(2)?).unwrap_or(0)),
            principal: parse(r.try_get(3)?, "principal")?,
            connection: ConnectionName::new(r.try_get(4)?),
            statement: Arc::from(r.try_get::<&str, _>(5)?),
            shown: Arc::new(parse(r.try_get(6)?, "what approvers are shown")?),
            facts: Arc::new(parse(r.try_get(7)?, "facts")?),
            digest: r.try_get(8)?,
            requirements: requirements.into_iter().map(Requirement::from).collect(),
            asked: timestamp(r.try_get(10)?),
            expires: timestamp(r.try_get(11)?),
            waits: r.try_get(15)?,
        },
        state: ApprovalState::read(r.try_get(12)?)?,
        ended: r.try_get::<Option<i64>, _>(13)?.map(timestamp),
        reason: r.try_get(14)?,
        verdicts: Vec::new(),
        abridged: r.try_get(16)?,
        forgotten: r.try_get::<Option<i64>, _>(17)?.map(timestamp),
    })
}
