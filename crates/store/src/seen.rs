//! What the audit log says of sessions, principals and approvals, to be searched: kept from the log, line by line.
//!
//! INVARIANT: what is kept and how far it is change in one transaction, so that each line counts once.
mod fold;
mod read;

pub use read::{Among, SeenGroup, SeenPrincipal, SeenSession, SessionFilter};

use crate::{Store, StoreError, StoredCursor, exports::keep_cursor, json, micros};
use doorward_model::AuditEvent;
use fold::{Folded, SessionDelta};
use sqlx::{Sqlite, Transaction};

/// The name of the cursor.
const CURSOR: &str = "index:audit";
/// Different rights of one session that are kept; of further ones the log alone knows.
const MOST_ACCESSES: i64 = 2_000;

type Tx<'a> = Transaction<'a, Sqlite>;

impl Store {
    /// How far the log was taken in.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn seen_cursor(&self) -> Result<Option<StoredCursor>, StoreError> {
        self.export_cursor(CURSOR).await
    }

    /// Takes in entries, each with the number of its line, in order; `cursor` is where they end.
    ///
    /// # Errors
    /// Where the database fails: nothing was taken in then.
    pub async fn saw(&self, entries: &[(u64, AuditEvent)], cursor: &StoredCursor) -> Result<(), StoreError> {
        let folded = Folded::of(entries);
        let mut tx = self.writer.begin().await?;
        for (id, delta) in &folded.sessions {
            session(&mut tx, &id.to_string(), delta).await?;
        }
        for (id, p) in &folded.principals {
            sqlx::query(
                "INSERT INTO seen_principals (id, kind, issuer, subject, groups, first_seen, last_seen, sessions, \
                 last_line) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET kind = ?2, \
                 groups = ?5, last_seen = ?7, sessions = sessions + ?8, last_line = ?9",
            )
            .bind(id)
            .bind(json(&p.principal.kind)?)
            .bind(&p.principal.issuer)
            .bind(&p.principal.subject)
            .bind(json(&p.principal.groups)?)
            .bind(micros(p.first))
            .bind(micros(p.last))
            .bind(signed(p.sessions))
            .bind(signed(p.line))
            .execute(&mut *tx)
            .await?;
        }
        approvals(&mut tx, &folded).await?;
        keep_cursor(&mut *tx, CURSOR, cursor).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets what only lines before this one say: they are gone from the log.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn unsee_before(&self, line: u64) -> Result<(), StoreError> {
        let mut tx = self.writer.begin().await?;
        for sql in [
            "DELETE FROM seen_sessions WHERE last_line < ?",
            "DELETE FROM seen_principals WHERE last_line < ?",
            "DELETE FROM seen_approvals WHERE line < ?",
        ] {
            sqlx::query(sql).bind(signed(line)).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Forgets all of it, and how far it was.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn unsee_all(&self) -> Result<(), StoreError> {
        let mut tx = self.writer.begin().await?;
        for sql in [
            "DELETE FROM seen_accesses",
            "DELETE FROM seen_sessions",
            "DELETE FROM seen_principals",
            "DELETE FROM seen_approvals",
        ] {
            sqlx::query(sql).execute(&mut *tx).await?;
        }
        sqlx::query("DELETE FROM exports WHERE name = ?").bind(CURSOR).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

async fn session(tx: &mut Tx<'_>, id: &str, d: &SessionDelta) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO seen_sessions (id, connection, client, principal, started, ended, reason, requests, refused, held, \
         last_line) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO UPDATE SET \
         connection = CASE WHEN ?2 = '' THEN connection ELSE ?2 END, client = CASE WHEN ?3 = '' THEN client ELSE ?3 END, \
         principal = coalesce(principal, ?4), ended = coalesce(?6, ended), reason = coalesce(?7, reason), \
         requests = requests + ?8, refused = refused + ?9, held = held + ?10, last_line = ?11",
    )
    .bind(id)
    .bind(&d.connection)
    .bind(&d.client)
    .bind(&d.principal)
    .bind(micros(d.started))
    .bind(d.ended.as_ref().map(|e| micros(e.0)))
    .bind(d.ended.as_ref().map(|e| e.1.as_str()))
    .bind(signed(d.requests))
    .bind(signed(d.refused))
    .bind(signed(d.held))
    .bind(signed(d.line))
    .execute(&mut **tx)
    .await?;
    let mut added = 0;
    for (outcome, command, action, resource) in &d.accesses {
        let done = sqlx::query(
            "INSERT INTO seen_accesses (session, outcome, command, action, resource) SELECT ?1, ?2, ?3, ?4, ?5 \
             WHERE (SELECT accesses FROM seen_sessions WHERE id = ?1) + ?6 < ?7 ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(outcome.as_str())
        .bind(command)
        .bind(action)
        .bind(resource)
        .bind(added)
        .bind(MOST_ACCESSES)
        .execute(&mut **tx)
        .await?;
        added += i64::from(done.rows_affected() == 1);
    }
    if added > 0 {
        sqlx::query("UPDATE seen_sessions SET accesses = accesses + ? WHERE id = ?")
            .bind(added)
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn approvals(tx: &mut Tx<'_>, folded: &Folded) -> Result<(), StoreError> {
    for a in &folded.approvals {
        sqlx::query(
            "INSERT INTO seen_approvals (approval, line, session, request) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(a.approval.to_string())
        .bind(signed(a.line))
        .bind(a.session.map(|s| s.to_string()).unwrap_or_default())
        .bind(signed(a.request))
        .execute(&mut **tx)
        .await?;
    }
    for (id, completed) in &folded.completed {
        let id = id.to_string();
        let held = sqlx::query_scalar::<_, i64>("SELECT held FROM seen_sessions WHERE id = ?").bind(&id);
        // Most sessions never waited for anybody.
        if held.fetch_optional(&mut **tx).await?.unwrap_or(0) == 0 {
            continue;
        }
        for (line, request) in completed {
            sqlx::query(
                "INSERT INTO seen_approvals (approval, line, session, request) SELECT approval, ?1, session, request \
                 FROM seen_approvals WHERE session = ?2 AND request = ?3 LIMIT 1 ON CONFLICT DO NOTHING",
            )
            .bind(signed(*line))
            .bind(&id)
            .bind(signed(request.0))
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}
