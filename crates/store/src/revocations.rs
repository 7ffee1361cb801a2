//! Whose sessions are over, as their providers said.
use crate::{Store, StoreError, micros, timestamp};
use doorward_model::Timestamp;
use sqlx::Row as _;

/// What a provider said of somebody's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRevocation {
    /// The issuer's configured name.
    pub issuer: String,
    /// Who, there.
    pub subject: String,
    /// Tokens that were issued by then are no longer taken.
    pub until: Timestamp,
    /// When the gateway was told.
    pub heard: Timestamp,
}

impl Store {
    /// Keeps what a provider said. Of somebody that it was said of before, an event that ends nothing new changes nothing.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn provider_revoked(&self, r: &ProviderRevocation) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO provider_revocations (issuer, subject, until, heard) VALUES (?, ?, ?, ?) \
             ON CONFLICT (issuer, subject) DO UPDATE SET until = excluded.until, heard = max(heard, excluded.heard) \
             WHERE excluded.until > until",
        )
        .bind(&r.issuer)
        .bind(&r.subject)
        .bind(micros(r.until))
        .bind(micros(r.heard))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// All that providers said, for a gateway that starts.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn provider_revocations(&self) -> Result<Vec<ProviderRevocation>, StoreError> {
        let rows = sqlx::query("SELECT issuer, subject, until, heard FROM provider_revocations")
            .fetch_all(&self.readers)
            .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(ProviderRevocation {
                issuer: row.try_get("issuer")?,
                subject: row.try_get("subject")?,
                until: timestamp(row.try_get("until")?),
                heard: timestamp(row.try_get("heard")?),
            })
        };
        rows.iter().map(read).collect()
    }
}
