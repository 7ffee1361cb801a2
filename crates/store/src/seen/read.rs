//! Searching what the log says.
use super::signed;
use crate::{Store, StoreError, json, micros, parse, timestamp};
use doorward_model::{ApprovalId, AuditOutcome, PrincipalKind, SessionId, Timestamp};
use sqlx::{Row as _, sqlite::SqliteRow};
use std::collections::BTreeSet;

/// Rows that one question may give.
const MOST_ROWS: u32 = 500;

/// A session, as the log tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSession {
    /// Which.
    pub id: SessionId,
    /// On which connection; empty where its beginning is not in the log any more.
    pub connection: String,
    /// From where.
    pub client: String,
    /// Whose (`issuer/subject`), if they proved who they are.
    pub principal: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When and why it ended, if the log says so.
    pub ended: Option<(Timestamp, String)>,
    /// Requests decided.
    pub requests: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Of these, held.
    pub held: u64,
    /// It did so much different that a search by table and command does not know all of it.
    pub is_cut: bool,
    /// The last line of the log that is about it, as far as the log was taken in.
    pub last_line: u64,
}

/// Sessions on a connection that began at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Among {
    /// Its name.
    pub connection: String,
    /// Begun not before.
    pub since: Timestamp,
    /// Begun before; none: whenever.
    pub until: Option<Timestamp>,
}

/// Which sessions are looked for. Everything given has to hold; what is said of requests, of one and the same.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Those on these connections alone: what the caller may not see counts for nothing, in pages and cursors either. None
    /// where nothing is said.
    pub among: Vec<Among>,
    /// A part of `issuer/subject`, whatever the case (of ASCII letters, as everywhere here).
    pub principal: Option<String>,
    /// The connection.
    pub connection: Option<String>,
    /// A part of what was touched: `public.customers`.
    pub resource: Option<String>,
    /// A part of the command: `drop table`.
    pub command: Option<String>,
    /// What was done with a request.
    pub outcome: Option<AuditOutcome>,
    /// Begun not before.
    pub since: Option<Timestamp>,
    /// Begun before.
    pub until: Option<Timestamp>,
}

/// A principal that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPrincipal {
    /// `issuer/subject`.
    pub id: String,
    /// A person or an agent.
    pub kind: PrincipalKind,
    /// Whose word it is.
    pub issuer: String,
    /// The name there.
    pub subject: String,
    /// The groups they were in when they last came.
    pub groups: BTreeSet<String>,
    /// When they first came.
    pub first_seen: Timestamp,
    /// When they last came.
    pub last_seen: Timestamp,
    /// How often they logged in.
    pub sessions: u64,
}

/// A group that somebody was in when they last came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenGroup {
    /// Whose word it is.
    pub issuer: String,
    /// Its name.
    pub name: String,
    /// How many are in it.
    pub principals: u64,
    /// When one of them last came.
    pub last_seen: Timestamp,
}

/// A pattern for LIKE that finds a part of a text.
fn part(text: &str) -> String {
    let mut out = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('%');
    out
}

const SESSIONS: &str = "WITH among (name, since, until) AS MATERIALIZED (SELECT value ->> 0, value ->> 1, value ->> 2 FROM \
     json_each(?11)) SELECT id, connection, client, principal, started, ended, reason, requests, refused, held, \
     accesses, last_line FROM seen_sessions s WHERE (?1 IS NULL OR id < ?1) AND (?10 IS NULL OR id = ?10) AND (?2 IS NULL OR connection = ?2) \
     AND connection IN (SELECT name FROM among) AND EXISTS (SELECT 1 FROM among w WHERE w.name = s.connection \
     AND s.started >= w.since AND (w.until IS NULL OR s.started < w.until)) AND (?3 IS NULL OR principal LIKE ?3 ESCAPE '\\') AND (?4 IS NULL OR started >= ?4) \
     AND (?5 IS NULL OR started < ?5) AND (coalesce(?6, ?7, ?8) IS NULL OR EXISTS (SELECT 1 FROM seen_accesses a \
     WHERE a.session = s.id AND (?6 IS NULL OR a.outcome = ?6) AND (?7 IS NULL OR a.command LIKE ?7 ESCAPE '\\') \
     AND (?8 IS NULL OR a.resource LIKE ?8 ESCAPE '\\'))) ORDER BY id DESC LIMIT ?9";

impl Store {
    /// Sessions, newest first, older than `before` where given, at most `limit` (500 at most).
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn seen_sessions(
        &self,
        filter: &SessionFilter,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SeenSession>, StoreError> {
        self.seen_under(filter, before, limit, None).await
    }

    /// The session of this id, if it is one that is looked for.
    ///
    /// # Errors
    /// Where the database fails or the row cannot be read.
    pub async fn seen_session_under(
        &self,
        filter: &SessionFilter,
        id: SessionId,
    ) -> Result<Option<SeenSession>, StoreError> {
        Ok(self.seen_under(filter, None, 1, Some(id)).await?.pop())
    }

    async fn seen_under(
        &self,
        filter: &SessionFilter,
        before: Option<SessionId>,
        limit: u32,
        only: Option<SessionId>,
    ) -> Result<Vec<SeenSession>, StoreError> {
        let among = filter.among.iter().map(|a| (&a.connection, micros(a.since), a.until.map(micros)));
        let rows = sqlx::query(SESSIONS)
            .bind(before.map(|id| id.to_string()))
            .bind(&filter.connection)
            .bind(filter.principal.as_deref().map(part))
            .bind(filter.since.map(micros))
            .bind(filter.until.map(micros))
            .bind(filter.outcome.map(AuditOutcome::as_str))
            .bind(filter.command.as_deref().map(part))
            .bind(filter.resource.as_deref().map(part))
            .bind(i64::from(limit.min(MOST_ROWS)))
            .bind(only.map(|id| id.to_string()))
            .bind(json(&among.collect::<Vec<_>>())?)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(session).collect()
    }

    /// The connections that there were sessions on, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn seen_connections(&self) -> Result<Vec<String>, StoreError> {
        // From one to the next in the index, and not through all sessions.
        let sql = "WITH RECURSIVE names (name) AS (SELECT min(connection) FROM seen_sessions UNION ALL \
             SELECT (SELECT min(connection) FROM seen_sessions WHERE connection > name) FROM names \
             WHERE name IS NOT NULL) SELECT name FROM names WHERE name <> ''";
        Ok(sqlx::query_scalar(sql).fetch_all(&self.readers).await?)
    }

    /// One session.
    ///
    /// # Errors
    /// Where the database fails or the row cannot be read.
    pub async fn seen_session(&self, id: SessionId) -> Result<Option<SeenSession>, StoreError> {
        let row = sqlx::query(
            "SELECT id, connection, client, principal, started, ended, reason, requests, refused, held, accesses, \
             last_line FROM seen_sessions WHERE id = ?",
        )
        .bind(id.to_string())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(session).transpose()
    }

    /// Principals that came, by `issuer/subject`, behind `after` where given, at most `limit` (500 at most).
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn seen_principals(&self, after: Option<&str>, limit: u32) -> Result<Vec<SeenPrincipal>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, kind, issuer, subject, groups, first_seen, last_seen, sessions FROM seen_principals \
             WHERE (?1 IS NULL OR id > ?1) ORDER BY id LIMIT ?2",
        )
        .bind(after)
        .bind(i64::from(limit.min(MOST_ROWS)))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(principal).collect()
    }

    /// Groups that those who came were in, by issuer and name, behind `after` where given, at most `limit` (500 at most).
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn seen_groups(&self, after: Option<(&str, &str)>, limit: u32) -> Result<Vec<SeenGroup>, StoreError> {
        let rows = sqlx::query(
            "SELECT p.issuer, g.value, count(*), max(p.last_seen) FROM seen_principals p, json_each(p.groups) g \
             WHERE ?1 IS NULL OR (p.issuer, g.value) > (?1, ?2) GROUP BY p.issuer, g.value ORDER BY 1, 2 LIMIT ?3",
        )
        .bind(after.map(|a| a.0))
        .bind(after.map(|a| a.1))
        .bind(i64::from(limit.min(MOST_ROWS)))
        .fetch_all(&self.readers)
        .await?;
        let read = |r: &SqliteRow| {
            Ok(SeenGroup {
                issuer: r.try_get(0)?,
                name: r.try_get(1)?,
                principals: unsigned(r.try_get(2)?),
                last_seen: timestamp(r.try_get(3)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// The lines of the log that an approval is in, oldest first, at most 500.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn seen_lines(&self, approval: ApprovalId) -> Result<Vec<u64>, StoreError> {
        let rows =
            sqlx::query_scalar::<_, i64>("SELECT line FROM seen_approvals WHERE approval = ? ORDER BY line LIMIT ?")
                .bind(approval.to_string())
                .bind(signed(MOST_ROWS.into()))
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().map(unsigned).collect())
    }
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn session(r: &SqliteRow) -> Result<SeenSession, StoreError> {
    let reason: Option<String> = r.try_get(6)?;
    Ok(SeenSession {
        id: r.try_get::<&str, _>(0)?.parse().map_err(|_| StoreError::Unreadable("session id"))?,
        connection: r.try_get(1)?,
        client: r.try_get(2)?,
        principal: r.try_get(3)?,
        started: timestamp(r.try_get(4)?),
        ended: r.try_get::<Option<i64>, _>(5)?.map(|t| (timestamp(t), reason.unwrap_or_default())),
        requests: unsigned(r.try_get(7)?),
        refused: unsigned(r.try_get(8)?),
        held: unsigned(r.try_get(9)?),
        is_cut: r.try_get::<i64, _>(10)? >= super::MOST_ACCESSES,
        last_line: unsigned(r.try_get(11)?),
    })
}

fn principal(r: &SqliteRow) -> Result<SeenPrincipal, StoreError> {
    Ok(SeenPrincipal {
        id: r.try_get(0)?,
        kind: parse(r.try_get(1)?, "kind of principal")?,
        issuer: r.try_get(2)?,
        subject: r.try_get(3)?,
        groups: parse(r.try_get(4)?, "groups")?,
        first_seen: timestamp(r.try_get(5)?),
        last_seen: timestamp(r.try_get(6)?),
        sessions: unsigned(r.try_get(7)?),
    })
}
