//! Which account of a chat is whose.
use crate::{Store, StoreError, micros, timestamp};
use doorward_model::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

/// An account of a chat, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatAccount {
    /// The workspace's identifier.
    pub team: String,
    /// The account's identifier there.
    pub user: String,
    /// What it was called when it was linked.
    pub name: String,
    /// The issuer of the principal whose it is.
    pub issuer: String,
    /// The principal's name there.
    pub subject: String,
    /// When they said so.
    pub created: Timestamp,
}

const COLUMNS: &str = "team, user, name, issuer, subject, created";

impl Store {
    /// Keeps whose an account is, unless it is somebody's already or the principal has that many. False where so.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn chat_account_linked(&self, a: &ChatAccount, most: u32) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO chat_accounts (team, user, name, issuer, subject, created) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
             WHERE (SELECT count(*) FROM chat_accounts WHERE issuer = ?4 AND subject = ?5) < ?7 \
             ON CONFLICT (team, user) DO NOTHING",
        )
        .bind(&a.team)
        .bind(&a.user)
        .bind(&a.name)
        .bind(&a.issuer)
        .bind(&a.subject)
        .bind(micros(a.created))
        .bind(most)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Whose an account is.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn chat_account(&self, team: &str, user: &str) -> Result<Option<ChatAccount>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM chat_accounts WHERE team = ? AND user = ?"));
        let row = sqlx::query(sql).bind(team).bind(user).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// A principal's accounts, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn chat_accounts_of(&self, issuer: &str, subject: &str) -> Result<Vec<ChatAccount>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM chat_accounts WHERE issuer = ? AND subject = ? ORDER BY created DESC LIMIT 100"
        ));
        let rows = sqlx::query(sql).bind(issuer).bind(subject).fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Everybody's accounts behind this one, by workspace and account: at most `limit` (500 at most).
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn chat_accounts(
        &self,
        behind: Option<&(String, String)>,
        limit: u32,
    ) -> Result<Vec<ChatAccount>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM chat_accounts WHERE ?1 IS NULL OR (team, user) > (?1, ?2) ORDER BY team, user LIMIT ?3"
        ));
        let (team, user) = behind.map(|(team, user)| (team, user)).unzip();
        let rows =
            sqlx::query(sql).bind(team).bind(user).bind(i64::from(limit.min(500))).fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Forgets whose an account is, if it is this principal's. False where it is not.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn chat_account_unlinked(
        &self,
        team: &str,
        user: &str,
        issuer: &str,
        subject: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM chat_accounts WHERE team = ? AND user = ? AND issuer = ? AND subject = ?")
            .bind(team)
            .bind(user)
            .bind(issuer)
            .bind(subject)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn read(r: &SqliteRow) -> Result<ChatAccount, StoreError> {
    Ok(ChatAccount {
        team: r.try_get(0)?,
        user: r.try_get(1)?,
        name: r.try_get(2)?,
        issuer: r.try_get(3)?,
        subject: r.try_get(4)?,
        created: timestamp(r.try_get(5)?),
    })
}
