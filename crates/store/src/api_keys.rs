//! API keys, and the one sign-in that a new gateway has.
use crate::{SecretHash, Store, StoreError, json, micros, parse, timestamp};
use doorward_model::{Principal, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, sqlite::SqliteRow};
use std::collections::BTreeSet;

/// What a list of names is limited to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// Not limited.
    All,
    /// To these; where there are none, to nothing.
    #[serde(untagged)]
    Only(BTreeSet<String>),
}

impl Limit {
    /// Whether a name is within.
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// What a key may be used for. Never more than its owner may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyScope {
    /// Actions, by their names in policies.
    pub actions: Limit,
    /// Connections, by name.
    pub connections: Limit,
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Names it, and proves nothing.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Its owner, with the groups they were in when it was made. Its end is that of the key.
    pub principal: Principal,
    /// What it may be used for.
    pub scope: KeyScope,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

const COLUMNS: &str = "id, name, principal, scope, created, last_used, revoked";

impl Store {
    /// Keeps a key, under the hash of its secret, unless its owner has that many good ones. False where they have.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn api_key_made(&self, secret: &SecretHash, k: &ApiKey, most: u32) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO api_keys (id, secret, name, issuer, subject, principal, scope, created, expires) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE (SELECT count(*) FROM api_keys \
             WHERE issuer = ?4 AND subject = ?5 AND revoked IS NULL AND expires > ?8) < ?10",
        )
        .bind(&k.id)
        .bind(&secret[..])
        .bind(&k.name)
        .bind(&k.principal.issuer)
        .bind(&k.principal.subject)
        .bind(json(&k.principal)?)
        .bind(json(&k.scope)?)
        .bind(micros(k.created))
        .bind(micros(k.principal.expires_at))
        .bind(i64::from(most))
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The key with this secret, whether or not it is still good.
    ///
    /// # Errors
    /// Where the database fails or the row cannot be read.
    pub async fn api_key_by_secret(&self, secret: &SecretHash) -> Result<Option<ApiKey>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM api_keys WHERE secret = ?"));
        let row = sqlx::query(sql).bind(&secret[..]).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// The key with this id.
    ///
    /// # Errors
    /// Where the database fails or the row cannot be read.
    pub async fn api_key(&self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM api_keys WHERE id = ?"));
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// Keys, newest first, at most `limit` (500 at most), of one owner (`issuer`, `subject`) and older than the key
    /// `before` where given.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn api_keys(
        &self,
        owner: Option<(&str, &str)>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM api_keys WHERE (?1 IS NULL OR (issuer = ?1 AND subject = ?2)) \
             AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
        ));
        let rows = sqlx::query(sql)
            .bind(owner.map(|o| o.0))
            .bind(owner.map(|o| o.1))
            .bind(before)
            .bind(i64::from(limit.min(500)))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn api_key_used(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE api_keys SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?")
            .bind(micros(now))
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Revokes a key, for good. False where there is none, or it was revoked before.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn api_key_revoked(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE api_keys SET revoked = ? WHERE id = ? AND revoked IS NULL")
            .bind(micros(now))
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps the hash of the code for the first sign-in. False where there was one before: nothing is changed then.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn bootstrap_offered(&self, secret: &SecretHash, expires: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query("INSERT INTO bootstrap (one, secret, expires) VALUES (1, ?, ?) ON CONFLICT DO NOTHING")
            .bind(&secret[..])
            .bind(micros(expires))
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets the code for the first sign-in, so that another may be offered.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn bootstrap_withdrawn(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM bootstrap").execute(&self.writer).await?;
        Ok(())
    }

    /// Uses up the code for the first sign-in. True once, for the right one, in time.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn bootstrap_used(&self, secret: &SecretHash, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE bootstrap SET used = ?1 WHERE secret = ?2 AND used IS NULL AND expires > ?1")
            .bind(micros(now))
            .bind(&secret[..])
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn read(r: &SqliteRow) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: r.try_get(0)?,
        name: r.try_get(1)?,
        principal: parse(r.try_get(2)?, "principal")?,
        scope: parse(r.try_get(3)?, "scope")?,
        created: timestamp(r.try_get(4)?),
        last_used: r.try_get::<Option<i64>, _>(5)?.map(timestamp),
        revoked: r.try_get::<Option<i64>, _>(6)?.map(timestamp),
    })
}
