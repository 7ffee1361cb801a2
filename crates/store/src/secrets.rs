//! Secrets as they rest: sealed. What seals them is not here.
use crate::{Store, StoreError, micros, timestamp};
use doorward_model::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};
use std::fmt;

/// A sealed secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// What it is called.
    pub name: String,
    /// How often it was written.
    pub version: i64,
    /// Which key wraps its own key.
    pub wrapped_by: String,
    /// Its own key, wrapped.
    pub wrapped_key: Vec<u8>,
    /// The secret, sealed with its own key.
    pub sealed: Vec<u8>,
    /// When it was written.
    pub updated: Timestamp,
    /// By whom (`issuer/subject`).
    pub updated_by: String,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecret({} version {})", self.name, self.version)
    }
}

const COLUMNS: &str = "name, version, wrapped_by, wrapped_key, sealed, updated, updated_by";

impl Store {
    /// Writes a secret over the version before it.
    ///
    /// # Errors
    /// Where the database fails. [`StoreError::Unreadable`] where the version is not the next one: somebody else was faster.
    pub async fn put_secret(&self, s: &SealedSecret) -> Result<(), StoreError> {
        let written = sqlx::query(
            "INSERT INTO secrets (name, version, wrapped_by, wrapped_key, sealed, updated, updated_by) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET version = ?2, wrapped_by = ?3, \
             wrapped_key = ?4, sealed = ?5, updated = ?6, updated_by = ?7 WHERE version = ?2 - 1",
        )
        .bind(&s.name)
        .bind(s.version)
        .bind(&s.wrapped_by)
        .bind(&s.wrapped_key)
        .bind(&s.sealed)
        .bind(micros(s.updated))
        .bind(&s.updated_by)
        .execute(&self.writer)
        .await?;
        if written.rows_affected() == 0 { Err(StoreError::Unreadable("version of the secret")) } else { Ok(()) }
    }

    /// Puts another wrapping of a secret's own key in the place of the one that `before` has. The secret itself stays. False
    /// where it has changed since: somebody has written it anew.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn rewrap_secret(
        &self,
        before: &SealedSecret,
        wrapped_by: &str,
        wrapped_key: &[u8],
    ) -> Result<bool, StoreError> {
        let written = sqlx::query(
            "UPDATE secrets SET wrapped_by = ?1, wrapped_key = ?2 WHERE name = ?3 AND version = ?4 AND wrapped_by = ?5",
        )
        .bind(wrapped_by)
        .bind(wrapped_key)
        .bind(&before.name)
        .bind(before.version)
        .bind(&before.wrapped_by)
        .execute(&self.writer)
        .await?;
        Ok(written.rows_affected() > 0)
    }

    /// One secret, sealed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn secret(&self, name: &str) -> Result<Option<SealedSecret>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM secrets WHERE name = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name).fetch_optional(&self.readers).await?;
        row.as_ref().map(sealed).transpose()
    }

    /// All secrets, sealed, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn secrets(&self) -> Result<Vec<SealedSecret>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM secrets ORDER BY name");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.readers).await?;
        rows.iter().map(sealed).collect()
    }

    /// Forgets a secret. False if there was none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn forget_secret(&self, name: &str) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM secrets WHERE name = ?").bind(name).execute(&self.writer).await?;
        Ok(gone.rows_affected() > 0)
    }
}

fn sealed(r: &SqliteRow) -> Result<SealedSecret, StoreError> {
    Ok(SealedSecret {
        name: r.try_get(0)?,
        version: r.try_get(1)?,
        wrapped_by: r.try_get(2)?,
        wrapped_key: r.try_get(3)?,
        sealed: r.try_get(4)?,
        updated: timestamp(r.try_get(5)?),
        updated_by: r.try_get(6)?,
    })
}
