//! What would become of a statement of somebody made up: read under the schema of the moment by what reads those of callers.
//! Nothing is sent but the questions that make a snapshot of the schema, and nothing is decided.
use crate::{AnalysisPool, Limits, ProbeError, Services, mysql, postgres, services::now, snapshots};
use doorward_detect::{Detector, Masker};
use doorward_enforce::{AuditSink, AuditUnavailable, DecisionPoint, Enforcer, EnforcerParts, Refusal, Subject, Ticket};
use doorward_model::{ApprovalId, AuditEvent};
use doorward_mysql::{Capabilities, Hold, grammar::Grammar};
use doorward_sql::Catalogue;
use doorward_sql_session::Heard;
pub use doorward_sql_session::explained::{Explained, Sent, Shown};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// Why a statement is not explained.
#[derive(Debug, thiserror::Error)]
pub enum Unexplained {
    /// The upstream, of which the schema is asked.
    #[error("the schema cannot be read: {0}")]
    Upstream(ProbeError),
    /// The connection leads to any database.
    #[error("the connection leads to any database: say which")]
    WhichDatabase,
    /// It leads to another.
    #[error("the connection leads to the database `{0}`")]
    OtherDatabase(String),
    /// Too much is being read.
    #[error("too many long statements wait to be read: try again later")]
    Busy,
}

/// What judges, and what knows sensitive values.
#[derive(Clone, Debug)]
pub struct Judges {
    /// Policy.
    pub pdp: Arc<dyn DecisionPoint>,
    /// Finds sensitive values.
    pub detector: Arc<Detector>,
    /// Masks them.
    pub masker: Arc<Masker>,
}

impl Judges {
    fn of(services: &Services) -> Self {
        let Services { pdp, detector, masker, .. } = services;
        Self { pdp: Arc::clone(pdp), detector: Arc::clone(detector), masker: Arc::clone(masker) }
    }

    fn enforcer(&self, subject: Subject) -> Enforcer {
        Enforcer::new(EnforcerParts {
            subject: Arc::new(subject),
            pdp: Arc::clone(&self.pdp),
            audit: Arc::new(Nowhere),
            strict_audit: true,
            place: "nowhere".into(),
            new_approval: Box::new(|| ApprovalId::from_uuid(uuid::Uuid::nil())),
        })
    }
}

/// No request is decided here, so nothing may be written down, and nothing may go upstream.
#[derive(Debug)]
struct Nowhere;

impl AuditSink for Nowhere {
    fn append(&self, _: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        Err(AuditUnavailable { reason: "a statement that is only explained is not run".into() })
    }
    fn committed(&self) -> Ticket {
        Ticket::default()
    }
    fn poll_committed(&self, _: Ticket, _: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        Poll::Ready(Err(AuditUnavailable { reason: "a statement that is only explained is not run".into() }))
    }
}

/// A statement of PostgreSQL under this schema, of a session that begins with this search path and role. Deep statements need
/// a stack of [`doorward_sql::postgres::BIG_STACK`] bytes.
///
/// # Errors
/// Where it cannot be read.
pub fn postgres(
    judges: &Judges,
    subject: Subject,
    (catalogue, search_path, role): (Arc<Catalogue>, &str, &str),
    text: &str,
) -> Result<Explained, Refusal> {
    let session = doorward_postgres::Session::new(doorward_postgres::SessionParts {
        enforcer: judges.enforcer(subject),
        detector: Arc::clone(&judges.detector),
        masker: Arc::clone(&judges.masker),
        cache: Arc::new(doorward_sql::postgres::AnalysisCache::new(1, 1)),
        catalogue,
        heard: Heard::default(),
        search_path: search_path.to_owned(),
        user: role.to_owned(),
        role: None,
        limits: Limits::default(),
        names_are_utf8: true,
    });
    session.explain(text, now())
}

/// A statement of MySQL or MariaDB, of a session that begins in this database. `reader` knows the schema, `version` is the
/// server's. Deep statements need a big stack.
///
/// # Errors
/// Where it cannot be read.
pub fn mysql(
    judges: &Judges,
    subject: Subject,
    (reader, version): (Arc<Grammar>, &str),
    database: Option<&str>,
    text: &str,
) -> Result<Explained, Refusal> {
    let session = doorward_mysql::Session::new(doorward_mysql::SessionParts {
        enforcer: judges.enforcer(subject),
        detector: Arc::clone(&judges.detector),
        masker: Arc::clone(&judges.masker),
        reader,
        heard: Heard::default(),
        client: Capabilities::default(),
        upstream: Capabilities::default(),
        version: version.to_owned(),
        database: None,
        sequence: 0,
        hold: Hold::Wait,
        limits: doorward_mysql::Limits::default(),
    });
    session.explain(text, database, now())
}

async fn on_a_big_stack<T: Send + 'static>(
    pool: &AnalysisPool,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unexplained> {
    let (tell, told) = oneshot::channel();
    let run = Box::new(move || {
        let _gone = tell.send(job());
    });
    if !pool.run(run) {
        return Err(Unexplained::Busy);
    }
    told.await.map_err(|_| Unexplained::Busy)
}

impl postgres::Endpoint {
    /// What would become of a statement. The schema is that of the moment.
    ///
    /// # Errors
    /// Where the schema cannot be had. A statement that cannot be read is a result.
    pub async fn explain(
        &self,
        mut subject: Subject,
        database: Option<&str>,
        text: String,
    ) -> Result<Result<Explained, Refusal>, Unexplained> {
        let database = self.database_of(database)?;
        let schema = snapshots::refresh(self, &database).await;
        let schema = schema.map_err(|e| Unexplained::Upstream(ProbeError::new(&e)))?;
        subject.connection.database = Some(database.into());
        let role = self.connection.upstream.user.clone().unwrap_or_else(|| subject.principal.subject.clone());
        let judges = Judges::of(&self.services);
        on_a_big_stack(&self.services.analysis, move || {
            postgres(&judges, subject, (schema.catalogue, &schema.search_path, &role), &text)
        })
        .await
    }

    /// The database that is meant.
    ///
    /// # Errors
    /// Where it is another than the one that the connection leads to, or not said.
    pub fn database_of(&self, asked: Option<&str>) -> Result<String, Unexplained> {
        match (&self.connection.database, asked) {
            (Some(pinned), Some(asked)) if pinned != asked => Err(Unexplained::OtherDatabase(pinned.clone())),
            (Some(pinned), _) => Ok(pinned.clone()),
            (None, Some(asked)) => Ok(asked.to_owned()),
            (None, None) => Err(Unexplained::WhichDatabase),
        }
    }
}

impl mysql::Endpoint {
    /// What would become of a statement. The schema is that of the moment.
    ///
    /// # Errors
    /// Where the schema cannot be had. A statement that cannot be read is a result.
    pub async fn explain(
        &self,
        mut subject: Subject,
        database: Option<&str>,
        text: String,
    ) -> Result<Result<Explained, Refusal>, Unexplained> {
        let database = match (&self.connection.database, database) {
            (Some(pinned), Some(asked)) if pinned != asked => return Err(Unexplained::OtherDatabase(pinned.clone())),
            (Some(pinned), _) => Some(pinned.clone()),
            (None, asked) => asked.map(str::to_owned),
        };
        let (reader, version) = self.reader().await.map_err(Unexplained::Upstream)?;
        subject.connection.database = database.as_deref().map(Into::into);
        let judges = Judges::of(&self.services);
        on_a_big_stack(&self.services.analysis, move || {
            mysql(&judges, subject, (reader, &version), database.as_deref(), &text)
        })
        .await
    }
}
