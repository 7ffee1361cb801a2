//! How far each exporter of the audit log has come.
use crate::{Store, StoreError, micros, timestamp};
use doorward_model::Timestamp;
use sqlx::{Executor, Row as _, Sqlite};

/// What a sink has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCursor {
    /// The last line of the audit log that needs no more work.
    pub seq: u64,
    /// That line's hash, in hexadecimal.
    pub hash: String,
    /// How many entries were acknowledged since the exporter exists; a repeated one counts once.
    pub entries: u64,
    /// When this was written.
    pub updated: Timestamp,
}

impl Store {
    /// Keeps how far an exporter has come.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn export_acknowledged(&self, name: &str, c: &StoredCursor) -> Result<(), StoreError> {
        keep_cursor(&self.writer, name, c).await
    }

    /// How far an exporter has come, if it ever sent something.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn export_cursor(&self, name: &str) -> Result<Option<StoredCursor>, StoreError> {
        let row = sqlx::query("SELECT seq, hash, entries, updated FROM exports WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.readers)
            .await?;
        let Some(r) = row else { return Ok(None) };
        Ok(Some(StoredCursor {
            seq: u64::try_from(r.try_get::<i64, _>(0)?).map_err(|_| StoreError::Unreadable("cursor"))?,
            hash: r.try_get(1)?,
            entries: u64::try_from(r.try_get::<i64, _>(2)?).map_err(|_| StoreError::Unreadable("cursor"))?,
            updated: timestamp(r.try_get(3)?),
        }))
    }
}

pub(crate) async fn keep_cursor<'a>(
    to: impl Executor<'a, Database = Sqlite>,
    name: &str,
    c: &StoredCursor,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO exports (name, seq, hash, entries, updated) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (name) DO UPDATE SET seq = ?2, hash = ?3, entries = ?4, updated = ?5",
    )
    .bind(name)
    .bind(i64::try_from(c.seq).unwrap_or(i64::MAX))
    .bind(&c.hash)
    .bind(i64::try_from(c.entries).unwrap_or(i64::MAX))
    .bind(micros(c.updated))
    .execute(to)
    .await?;
    Ok(())
}
