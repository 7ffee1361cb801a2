//! Stored state: approvals, verdicts, versions of policies, sign-ins and API keys, and what the audit log says of sessions,
//! in an embedded SQLite database.
//!
//! Purpose: what people list and look up later. The waiting itself happens in memory, in the desk.
//!
//! Invariants:
//! - One connection writes; an approval leaves `pending` once, whoever asks.
//! - One verdict per approval and person (primary key).
//! - The file is readable by its owner alone.
//! - A pending approval of a former process whose caller waited is withdrawn when the store opens: that caller is gone.
//! - Of a secret that somebody signs in with there is a hash, and nothing else.
//!
//! Deliberately absent: decisions about who may approve, clocks, credentials that could be used: secrets rest sealed.
//!
//! Known limits: one process per state directory; a second one would withdraw the first one's approvals.
mod api_keys;
mod approvals;
mod chat;
mod connections;
mod exports;
mod forget;
mod holds;
mod policies;
mod revocations;
mod secrets;
mod seen;
mod web_sessions;

pub use api_keys::{ApiKey, KeyScope, Limit};
pub use approvals::{ApprovalState, StoredApproval, StoredVerdict};
pub use chat::ChatAccount;
pub use connections::StoredConnection;
pub use exports::StoredCursor;
pub use forget::{Asker, Room};
pub use holds::{HoldsAsOfNow, LegalHold};
pub use policies::{PolicyActivation, PolicyMode, PolicyVersion};
pub use revocations::ProviderRevocation;
pub use secrets::SealedSecret;
pub use seen::{Among, SeenGroup, SeenPrincipal, SeenSession, SessionFilter};
pub use web_sessions::{SecretHash, SessionPurpose, WebSession};

use doorward_model::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Row as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    fs,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made or protected.
    #[error("the store `{path}` cannot be opened: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the store could not be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row holds what this version cannot read.
    #[error("the store holds a `{0}` that cannot be read")]
    Unreadable(&'static str),
}

/// The embedded database.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens `doorward.db` in `state_dir`, makes it if need be, and withdraws what a former process left pending.
    ///
    /// # Errors
    /// Where the file or the database cannot be used.
    pub async fn open(state_dir: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let path = state_dir.join("doorward.db");
        protect(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is removed is not to be found in the file afterwards.
            .pragma("secure_delete", "ON")
            .busy_timeout(Duration::from_secs(5));
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await?;
        let store = Self { writer, readers };
        store.withdraw_left_over(now).await?;
        Ok(store)
    }

    /// Writes the write-ahead log into the database and empties it, so that what was removed is in neither of the two. False where
    /// somebody reads of a time before it: it is tried again by whoever calls next.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn checkpoint(&self) -> Result<bool, StoreError> {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.writer).await?;
        Ok(row.try_get::<i64, _>(0)? == 0)
    }

    /// Closes the database after what is under way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Copies the database of a state folder to a file that is not there yet, as it is at one moment, while others write to it.
///
/// # Errors
/// Where one of the two cannot be opened, or the copy cannot be written.
pub async fn copy_database(state_dir: &Path, to: &Path) -> Result<(), StoreError> {
    let from = SqliteConnectOptions::new()
        .filename(state_dir.join("doorward.db"))
        .read_only(true)
        .busy_timeout(Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(from).await?;
    let copied = sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy().into_owned()).execute(&pool).await;
    pool.close().await;
    copied?;
    Ok(())
}

/// Settles what a restored database says of a time that is over: nobody waits for its approvals, and who was signed in may have been
/// signed out since.
///
/// # Errors
/// Where it cannot be opened or written.
pub async fn settle_restored(state_dir: &Path, now: Timestamp) -> Result<(), StoreError> {
    let store = Store::open(state_dir, now).await?;
    let sql = "UPDATE approvals SET state = 'withdrawn', ended = ?, reason = 'restored from a back-up' WHERE state = 'pending'";
    sqlx::query(sql).bind(micros(now)).execute(&store.writer).await?;
    sqlx::query("DELETE FROM web_sessions").execute(&store.writer).await?;
    store.close().await;
    Ok(())
}

/// SQLite gives its `-wal` and `-shm` files the mode of the database file.
fn protect(path: &Path) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

/// SQLite integers are signed; a time beyond them is the end of time.
fn micros(t: Timestamp) -> i64 {
    i64::try_from(t.as_micros()).unwrap_or(i64::MAX)
}

fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Unreadable("value"))
}

fn parse<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Unreadable(what))
}
