//! What PostgreSQL sessions ask of the gateway: texts read on threads with a big stack, fresh schemas, cancel requests.
use super::{Endpoint, upstream};
use crate::{relay::Driver, services::Services, snapshots};
use doorward_postgres::{Answer, Question, Session};
use doorward_sql::postgres::analyse;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedSender;

/// How long the upstream may take to accept a cancel request.
const CANCEL: Duration = Duration::from_secs(10);

/// How long a statement waits for a view that is locked before it is refused, and after what it is looked again; the next time after
/// twice as long.
const LOCKED: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(250);

/// One session's ends outside of it.
pub(crate) struct Postgres {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) cancel_target: upstream::CancelTarget,
    pub(crate) database: String,
}

impl Postgres {
    fn refresh_catalogue(&self, changed: bool, locked: Vec<u32>, tell: UnboundedSender<Answer>) {
        let (endpoint, database) = (Arc::clone(&self.endpoint), self.database.clone());
        tokio::spawn(async move {
            let (begun, mut pause) = (Instant::now(), LOOK);
            let mut fresh = snapshots::renewed(&*endpoint, &database, changed).await;
            while let Ok(schema) = &fresh
                && locked.iter().any(|view| schema.catalogue.is_unread(*view))
                && begun.elapsed() < LOCKED
            {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
                fresh = snapshots::renewed(&*endpoint, &database, changed).await;
            }
            let _gone = tell.send(Answer::Catalogue(fresh.map(|c| c.catalogue).map_err(|e| e.to_string())));
        });
    }
}

impl Driver for Postgres {
    type Session = Session;

    fn services(&self) -> &Services {
        &self.endpoint.services
    }

    fn ask(&self, question: Question, tell: UnboundedSender<Answer>) -> Result<(), String> {
        match question {
            Question::Catalogue { changed, locked } => self.refresh_catalogue(changed, locked, tell),
            Question::Analyse(text, environment) => {
                let read = Box::new(move || {
                    // Of a session that is gone nothing is read any more.
                    if tell.is_closed() {
                        return;
                    }
                    let _gone = tell.send(Answer::Analysis(analyse(&text, &environment).map(Arc::new)));
                });
                if !self.services().analysis.run(read) {
                    return Err("too many long statements wait to be read: try again later".into());
                }
            }
        }
        Ok(())
    }

    fn cancel_upstream(&self) {
        let (endpoint, target) = (Arc::clone(&self.endpoint), self.cancel_target.clone());
        tokio::spawn(async move {
            let sent = tokio::time::timeout(CANCEL, upstream::cancel(&endpoint, &target)).await;
            if !matches!(sent, Ok(Ok(()))) {
                tracing::warn!(connection = %endpoint.connection.info.name, "a cancel request did not reach the upstream");
            }
        });
    }
}
