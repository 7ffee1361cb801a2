//! Sessions, for listing.
use crate::{Store, StoreError, micros, timestamp};
use doorward_model::{ConnectionName, SessionId, Timestamp};
use sqlx::Row as _;

/// A session as it was or is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// Which.
    pub id: SessionId,
    /// On which connection.
    pub connection: ConnectionName,
    /// `issuer/subject`.
    pub principal: String,
    /// The client's address.
    pub client: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended, if it did.
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub reason: Option<String>,
    /// Bytes in both directions, once it ended.
    pub bytes: Option<u64>,
}

impl Store {
    /// Keeps a session that began.
    ///
    /// # Errors
    /// Where the database fails, or the session is there already.
    pub async fn session_started(&self, s: &StoredSession) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO sessions (id, connection, principal, client, started) VALUES (?, ?, ?, ?, ?)")
            .bind(s.id.to_string())
            .bind(s.connection.as_str())
            .bind(&s.principal)
            .bind(&s.client)
            .bind(micros(s.started))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Keeps how a session ended. The first end counts.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn session_ended(
        &self,
        id: SessionId,
        at: Timestamp,
        reason: &str,
        bytes: u64,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE sessions SET ended = ?, reason = ?, bytes = ? WHERE id = ? AND ended IS NULL")
            .bind(micros(at))
            .bind(reason)
            .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
            .bind(id.to_string())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The newest sessions, at most `limit` (500 at most), older than `before` where given.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn sessions(&self, before: Option<SessionId>, limit: u32) -> Result<Vec<StoredSession>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, connection, principal, client, started, ended, reason, bytes FROM sessions \
             WHERE (?1 IS NULL OR id < ?1) ORDER BY id DESC LIMIT ?2",
        )
        .bind(before.map(|b| b.to_string()))
        .bind(i64::from(limit.min(500)))
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(StoredSession {
                    id: r.try_get::<&str, _>(0)?.parse().map_err(|_| StoreError::Unreadable("session id"))?,
                    connection: ConnectionName::new(r.try_get(1)?),
                    principal: r.try_get(2)?,
                    client: r.try_get(3)?,
                    started: timestamp(r.try_get(4)?),
                    ended: r.try_get::<Option<i64>, _>(5)?.map(timestamp),
                    reason: r.try_get(6)?,
                    bytes: r.try_get::<Option<i64>, _>(7)?.map(|b| u64::try_from(b).unwrap_or(0)),
                })
            })
            .collect()
    }
}
