//! Legal holds: sessions of which nothing may be removed.
use crate::{Store, StoreError, micros, timestamp};
use doorward_model::{SessionId, Timestamp};
use sqlx::{Row as _, Sqlite, pool::PoolConnection, sqlite::SqliteRow};
use std::collections::BTreeSet;

/// A session of which nothing may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalHold {
    /// Which.
    pub session: SessionId,
    /// Who ordered it: `issuer/subject`.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub time: Timestamp,
}

/// The sessions that are held, and stay so: as long as this is there, nobody holds or releases one.
#[derive(Debug)]
pub struct HoldsAsOfNow {
    sessions: BTreeSet<SessionId>,
    /// The one connection that writes.
    pub(crate) writer: PoolConnection<Sqlite>,
}

impl HoldsAsOfNow {
    /// Which they are.
    pub const fn sessions(&self) -> &BTreeSet<SessionId> {
        &self.sessions
    }
}

impl Store {
    /// What is held now. Nothing else is written to the store until it is dropped: for what must not be done to something that is held
    /// meanwhile, and takes no longer than a moment.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn holds_as_of_now(&self) -> Result<HoldsAsOfNow, StoreError> {
        let mut writer = self.writer.acquire().await?;
        let rows = sqlx::query("SELECT session FROM legal_holds").fetch_all(&mut *writer).await?;
        let sessions = rows.iter().map(session).collect::<Result<_, _>>()?;
        Ok(HoldsAsOfNow { sessions, writer })
    }

    /// Holds a session. A second hold changes nothing; false then.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn hold(&self, h: &LegalHold) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO legal_holds (session, by, reason, time) VALUES (?, ?, ?, ?) ON CONFLICT (session) DO NOTHING",
        )
        .bind(h.session.to_string())
        .bind(&h.by)
        .bind(&h.reason)
        .bind(micros(h.time))
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a hold; false where there was none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn release(&self, session: SessionId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM legal_holds WHERE session = ?")
            .bind(session.to_string())
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// All holds, by session.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn holds(&self) -> Result<Vec<LegalHold>, StoreError> {
        // Asked of the writer: a hold that was just ordered counts.
        let rows = sqlx::query("SELECT session, by, reason, time FROM legal_holds ORDER BY session")
            .fetch_all(&self.writer)
            .await?;
        rows.iter()
            .map(|r| {
                Ok(LegalHold {
                    session: session(r)?,
                    by: r.try_get(1)?,
                    reason: r.try_get(2)?,
                    time: timestamp(r.try_get(3)?),
                })
            })
            .collect()
    }
}

fn session(r: &SqliteRow) -> Result<SessionId, StoreError> {
    r.try_get::<&str, _>(0)?.parse().map_err(|_| StoreError::Unreadable("session id"))
}
