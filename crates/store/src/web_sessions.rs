//! Sessions of people who signed in: browsers and command lines.
use crate::{Store, StoreError, json, micros, parse, timestamp};
use doorward_model::{Principal, Timestamp};
use sqlx::{Row as _, sqlite::SqliteRow};

/// SHA-256 of a secret: all that is kept of one.
pub type SecretHash = [u8; 32];

/// Who holds a session's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPurpose {
    /// A browser, in a cookie.
    Browser,
    /// The command line, in a file.
    Cli,
}

impl SessionPurpose {
    /// The word used in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Cli => "cli",
        }
    }

    fn read(word: &str) -> Result<Self, StoreError> {
        let all = [Self::Browser, Self::Cli];
        all.into_iter().find(|p| p.as_str() == word).ok_or(StoreError::Unreadable("purpose"))
    }
}

/// A session of somebody who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSession {
    /// Names it, and proves nothing.
    pub id: String,
    /// What holds its secret.
    pub purpose: SessionPurpose,
    /// Who signed in. Its end is that of the session.
    pub principal: Principal,
    /// How they signed in: `oidc`, `saml`, `bootstrap`.
    pub auth: String,
    /// The provider's name for its own session (`sid`), where it gave one.
    pub provider_session: Option<String>,
    /// When all that comes of what they have shown there is over: the provider's own limit, or the token's end. None:
    /// the gateway's limits are all there are.
    pub provider_ends: Option<Timestamp>,
    /// When they did.
    pub created: Timestamp,
    /// When it was last used, give or take what [`Store::web_session_seen`] was asked for.
    pub last_seen: Timestamp,
}

const COLUMNS: &str = "id, purpose, principal, auth, provider_session, created, last_seen, provider_ends";

impl Store {
    /// Keeps a session, under the hash of its secret.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn web_session_began(&self, secret: &SecretHash, s: &WebSession) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO web_sessions (id, secret, purpose, issuer, subject, principal, auth, provider_session, \
             created, last_seen, expires, provider_ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&s.id)
        .bind(&secret[..])
        .bind(s.purpose.as_str())
        .bind(&s.principal.issuer)
        .bind(&s.principal.subject)
        .bind(json(&s.principal)?)
        .bind(&s.auth)
        .bind(&s.provider_session)
        .bind(micros(s.created))
        .bind(micros(s.last_seen))
        .bind(micros(s.principal.expires_at))
        .bind(s.provider_ends.map(micros))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The session with this secret, whether or not it is over.
    ///
    /// # Errors
    /// Where the database fails or the row cannot be read.
    pub async fn web_session(&self, secret: &SecretHash) -> Result<Option<WebSession>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM web_sessions WHERE secret = ?"));
        let row = sqlx::query(sql).bind(&secret[..]).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// A principal's sessions, newest first, at most 500.
    ///
    /// # Errors
    /// Where the database fails or a row cannot be read.
    pub async fn web_sessions_of(&self, issuer: &str, subject: &str) -> Result<Vec<WebSession>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM web_sessions WHERE issuer = ? AND subject = ? ORDER BY created DESC LIMIT 500"
        ));
        let rows = sqlx::query(sql).bind(issuer).bind(subject).fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Notes that a session was used. It never goes back.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn web_session_seen(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE web_sessions SET last_seen = max(last_seen, ?) WHERE id = ?")
            .bind(micros(now))
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Ends a session. False where there was none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn web_session_ended(&self, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM web_sessions WHERE id = ?").bind(id).execute(&self.writer).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends all sessions of a principal that began by a time. Says how many.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn web_sessions_ended(
        &self,
        issuer: &str,
        subject: &str,
        began_by: Timestamp,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM web_sessions WHERE issuer = ? AND subject = ? AND created <= ?")
            .bind(issuer)
            .bind(subject)
            .bind(micros(began_by))
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected())
    }

    /// Forgets sessions that are over, or were not used since.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn web_sessions_swept(&self, now: Timestamp, unused_since: Timestamp) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM web_sessions WHERE expires <= ? OR last_seen < ?")
            .bind(micros(now))
            .bind(micros(unused_since))
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(r: &SqliteRow) -> Result<WebSession, StoreError> {
    Ok(WebSession {
        id: r.try_get(0)?,
        purpose: SessionPurpose::read(r.try_get(1)?)?,
        principal: parse(r.try_get(2)?, "principal")?,
        auth: r.try_get(3)?,
        provider_session: r.try_get(4)?,
        created: timestamp(r.try_get(5)?),
        last_seen: timestamp(r.try_get(6)?),
        provider_ends: r.try_get::<Option<i64>, _>(7)?.map(timestamp),
    })
}
