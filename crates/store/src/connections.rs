//! Connections that were registered while the gateway ran.
use crate::{Store, StoreError, micros, timestamp};
use doorward_model::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

/// A registered connection, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredConnection {
    /// What it is called.
    pub name: String,
    /// How often it was written; counted anew after it was removed.
    pub version: i64,
    /// What it is, in JSON. No secret is in it: it names one.
    pub spec: String,
    /// Since when it is there. Sessions that began before are those of another, which had its name.
    pub created: Timestamp,
    /// When it was written.
    pub updated: Timestamp,
    /// By whom (`issuer/subject`).
    pub updated_by: String,
}

impl Store {
    /// Writes a connection over the version before it, and gives it as it is then: `created` is that of its first version.
    /// None where the one before is not there any more, or is another one: somebody else was faster.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn put_connection(&self, c: &StoredConnection) -> Result<Option<StoredConnection>, StoreError> {
        let sql = if c.version == 1 {
            // Also where the clock was put back: what began before is not its own.
            "INSERT INTO connections (name, version, spec, created, updated, updated_by) VALUES (?1, ?2, ?3, \
             max(?4, coalesce((SELECT max(started) + 1 FROM seen_sessions WHERE connection = ?1), 0)), ?4, ?5) \
             ON CONFLICT (name) DO NOTHING RETURNING name, version, spec, created, updated, updated_by"
        } else {
            "UPDATE connections SET version = ?2, spec = ?3, updated = ?4, updated_by = ?5 \
             WHERE name = ?1 AND version = ?2 - 1 RETURNING name, version, spec, created, updated, updated_by"
        };
        let written = sqlx::query(sql)
            .bind(&c.name)
            .bind(c.version)
            .bind(&c.spec)
            .bind(micros(c.updated))
            .bind(&c.updated_by)
            .fetch_optional(&self.writer)
            .await?;
        written.as_ref().map(stored).transpose()
    }

    /// All connections, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn connections(&self) -> Result<Vec<StoredConnection>, StoreError> {
        let rows =
            sqlx::query("SELECT name, version, spec, created, updated, updated_by FROM connections ORDER BY name")
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(stored).collect()
    }

    /// Removes a connection. False if there was none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn remove_connection(&self, name: &str) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM connections WHERE name = ?").bind(name).execute(&self.writer).await?;
        Ok(gone.rows_affected() > 0)
    }
}

fn stored(r: &SqliteRow) -> Result<StoredConnection, StoreError> {
    Ok(StoredConnection {
        name: r.try_get(0)?,
        version: r.try_get(1)?,
        spec: r.try_get(2)?,
        created: timestamp(r.try_get(3)?),
        updated: timestamp(r.try_get(4)?),
        updated_by: r.try_get(5)?,
    })
}
