//! Texts of approvals are removed: what people were shown, not that they were, nor what came of it.
use crate::{HoldsAsOfNow, Store, StoreError, micros};
use doorward_model::{ApprovalId, Timestamp};
use sqlx::Row as _;

/// The rights that a request needs stay where they take no more bytes than these.
const MOST_FACTS: i64 = 16_384;
/// So many at once.
const BATCH: i64 = 200;

const OLD: &str = "SELECT id FROM approvals WHERE forgotten IS NULL AND state <> 'pending' AND ended <= ? \
     AND session NOT IN (SELECT session FROM legal_holds) LIMIT ?";
/// What nobody has said anything of, and is over.
const UNUSED: &str = "SELECT id, bytes FROM approvals WHERE caller = ?1 AND (?2 IS NULL OR person = ?2) AND state IN ('expired', 'withdrawn') \
     AND id NOT IN (SELECT approval FROM verdicts) AND forgotten IS NULL AND session NOT IN (SELECT session FROM legal_holds) ORDER BY ended LIMIT ?3";
const KEPT: &str = "SELECT COALESCE(SUM(bytes), 0) FROM approvals \
     WHERE caller = ?1 AND (?2 IS NULL OR person = ?2) AND state IN ('pending', 'expired', 'withdrawn') AND id NOT IN (SELECT approval FROM verdicts) \
     AND forgotten IS NULL";
const FORGET: &str = "UPDATE approvals SET statement = '', shown = '{}', forgotten = ?1, facts = CASE \
     WHEN length(CAST(facts AS BLOB)) > ?2 THEN json_set(facts, '$.accesses', json('[]')) ELSE facts END \
     WHERE id = ?3 AND state <> 'pending' AND forgotten IS NULL \
     AND session NOT IN (SELECT session FROM legal_holds)";

/// Who asks for approvals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The caller (`issuer/subject`).
    pub caller: String,
    /// The person that it acts for, empty where it acts for nobody; none for whatever it asks for, whomever it acts for.
    pub person: Option<String>,
}

/// Whether there is room for more texts of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is.
    There,
    /// Not before the texts of these are removed, which are over and nobody approved; the oldest first. It may take more than these.
    After(Vec<ApprovalId>),
    /// There is none: everything else is pending or held.
    Full,
}

impl HoldsAsOfNow {
    /// Approvals that ended by `before`, whose texts are there, and whose sessions are not held: the oldest, and not all at once.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn approvals_to_forget(&mut self, before: Timestamp) -> Result<Vec<ApprovalId>, StoreError> {
        let rows = sqlx::query(OLD).bind(micros(before)).bind(BATCH).fetch_all(&mut *self.writer).await?;
        rows.iter().map(|r| id(r.try_get(0)?)).collect()
    }

    /// Whether `bytes` more can be kept of what this one asks for, and no more than `most` in all of what nobody approved.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn room_for(&mut self, of: &Asker, bytes: u64, most: u64) -> Result<Room, StoreError> {
        let kept: i64 =
            sqlx::query(KEPT).bind(&of.caller).bind(&of.person).fetch_one(&mut *self.writer).await?.try_get(0)?;
        let mut too_much = u64::try_from(kept).unwrap_or(0).saturating_add(bytes).saturating_sub(most);
        if too_much == 0 {
            return Ok(Room::There);
        }
        let mut out = Vec::new();
        let unused = sqlx::query(UNUSED).bind(&of.caller).bind(&of.person).bind(BATCH);
        for row in &unused.fetch_all(&mut *self.writer).await? {
            if too_much == 0 {
                break;
            }
            out.push(id(row.try_get(0)?)?);
            too_much = too_much.saturating_sub(u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0));
        }
        Ok(if out.is_empty() { Room::Full } else { Room::After(out) })
    }

    /// Removes the texts of approvals that are over: the statement, what was shown besides it, and a long list of rights. Who asked, when,
    /// on what, by which policy, the digest of what was to be sent, the verdicts and what came of it stay. How many it were.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn forget(&mut self, approvals: &[ApprovalId], now: Timestamp) -> Result<u64, StoreError> {
        let mut done = 0;
        for id in approvals {
            let one = sqlx::query(FORGET).bind(micros(now)).bind(MOST_FACTS).bind(id.to_string());
            done += one.execute(&mut *self.writer).await?.rows_affected();
        }
        Ok(done)
    }
}

impl Store {
    /// The bytes that are kept of what this one asked for, and nobody approved.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn approvals_kept(&self, of: &Asker) -> Result<u64, StoreError> {
        let kept: i64 =
            sqlx::query(KEPT).bind(&of.caller).bind(&of.person).fetch_one(&self.readers).await?.try_get(0)?;
        Ok(u64::try_from(kept).unwrap_or(0))
    }
}

fn id(text: &str) -> Result<ApprovalId, StoreError> {
    text.parse().map_err(|_| StoreError::Unreadable("approval id"))
}
