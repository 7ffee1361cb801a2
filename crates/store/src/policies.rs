//! Policies that people write through the API: versions, and which of them are in force.
use crate::{Store, StoreError, micros, timestamp};
use doorward_model::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, sqlite::SqliteRow};

/// What a version in force does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyMode {
    /// It decides.
    Enforce,
    /// It only says what it would have done.
    Monitor,
}

impl PolicyMode {
    /// As in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
        }
    }
}

/// One version of the policies, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Its number.
    pub id: i64,
    /// The policies.
    pub text: String,
    /// Who wrote it (`issuer/subject`).
    pub author: String,
    /// Why.
    pub comment: String,
    /// When.
    pub created: Timestamp,
    /// The version it was made from.
    pub parent: Option<i64>,
}

/// A version that was put in force, or that all were taken out of force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyActivation {
    /// Which; none where nothing is in force any more.
    pub version: Option<i64>,
    /// As what.
    pub mode: PolicyMode,
    /// By whom (`issuer/subject`).
    pub by: String,
    /// Why.
    pub comment: String,
    /// When.
    pub time: Timestamp,
}

impl Store {
    /// Keeps a version and gives its number.
    ///
    /// # Errors
    /// Where the database fails, or there is no such parent.
    pub async fn keep_policies(
        &self,
        text: &str,
        author: &str,
        comment: &str,
        created: Timestamp,
        parent: Option<i64>,
    ) -> Result<i64, StoreError> {
        let sql = "INSERT INTO policy_versions (text, author, comment, created, parent) VALUES (?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(text).bind(author).bind(comment).bind(micros(created)).bind(parent);
        Ok(query.execute(&self.writer).await?.last_insert_rowid())
    }

    /// One version.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn policies(&self, id: i64) -> Result<Option<PolicyVersion>, StoreError> {
        let sql = "SELECT id, text, author, comment, created, parent FROM policy_versions WHERE id = ?";
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.readers).await?;
        row.as_ref().map(version).transpose()
    }

    /// Versions, newest first, at most `limit` (100 at most), older than `before` where given.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn policy_versions(&self, before: Option<i64>, limit: u32) -> Result<Vec<PolicyVersion>, StoreError> {
        let sql = "SELECT id, text, author, comment, created, parent FROM policy_versions \
                   WHERE (?1 IS NULL OR id < ?1) ORDER BY id DESC LIMIT ?2";
        let query = sqlx::query(sql).bind(before).bind(i64::from(limit.clamp(1, 100)));
        query.fetch_all(&self.readers).await?.iter().map(version).collect()
    }

    /// Keeps that a version is in force from now on.
    ///
    /// # Errors
    /// Where the database fails, or there is no such version.
    pub async fn activate_policies(&self, a: &PolicyActivation) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO policy_activations (version, mode, by, comment, time) VALUES (?, ?, ?, ?, ?)")
            .bind(a.version)
            .bind(a.mode.as_str())
            .bind(&a.by)
            .bind(&a.comment)
            .bind(micros(a.time))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// What is in force as a mode: the newest activation of it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn active_policies(&self, mode: PolicyMode) -> Result<Option<PolicyVersion>, StoreError> {
        let sql = "SELECT v.id, v.text, v.author, v.comment, v.created, v.parent FROM policy_activations a \
                   LEFT JOIN policy_versions v ON v.id = a.version WHERE a.mode = ? ORDER BY a.id DESC LIMIT 1";
        let row = sqlx::query(sql).bind(mode.as_str()).fetch_optional(&self.readers).await?;
        let Some(row) = row.filter(|r| r.try_get::<Option<i64>, _>(0).ok().flatten().is_some()) else {
            return Ok(None);
        };
        version(&row).map(Some)
    }

    /// The newest activations, at most `limit` (100 at most).
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn policy_activations(&self, limit: u32) -> Result<Vec<PolicyActivation>, StoreError> {
        let sql = "SELECT version, mode, by, comment, time FROM policy_activations ORDER BY id DESC LIMIT ?";
        let rows = sqlx::query(sql).bind(i64::from(limit.clamp(1, 100))).fetch_all(&self.readers).await?;
        rows.iter().map(activation).collect()
    }
}

fn version(r: &SqliteRow) -> Result<PolicyVersion, StoreError> {
    Ok(PolicyVersion {
        id: r.try_get(0)?,
        text: r.try_get(1)?,
        author: r.try_get(2)?,
        comment: r.try_get(3)?,
        created: timestamp(r.try_get(4)?),
        parent: r.try_get(5)?,
    })
}

fn activation(r: &SqliteRow) -> Result<PolicyActivation, StoreError> {
    let mode = match r.try_get::<&str, _>(1)? {
        "enforce" => PolicyMode::Enforce,
        "monitor" => PolicyMode::Monitor,
        _ => return Err(StoreError::Unreadable("mode")),
    };
    Ok(PolicyActivation {
        version: r.try_get(0)?,
        mode,
        by: r.try_get(2)?,
        comment: r.try_get(3)?,
        time: timestamp(r.try_get(4)?),
    })
}
