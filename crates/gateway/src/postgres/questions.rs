//! Questions of the gateway's own that read rows: in transactions that only read, each with a bound on its time.
use super::{Endpoint, upstream};
use bytes::BytesMut;
use doorward_postgres::{
    codec::{self, UpstreamMessage},
    render,
};
use std::time::Duration;
use tokio::time::timeout;
use upstream::UpstreamError;

/// How long one may take: the server's own bound, and the gateway's where the server does not keep to it.
const SERVERS: u64 = 5_000;
const OURS: Duration = Duration::from_secs(10);

/// A log-in that reads.
#[derive(Debug)]
pub(crate) struct Questions {
    stream: crate::stream::Stream,
    _lent: crate::Lent,
}

impl Endpoint {
    /// A log-in for questions of the gateway's own.
    pub(crate) async fn questions(&self, database: &str) -> Result<Questions, UpstreamError> {
        let user = self.connection.upstream.user.clone().unwrap_or_else(|| "postgres".into());
        let parameters =
            [("client_encoding", "UTF8"), ("application_name", "doorward")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let login = upstream::Login { user: &user, database, parameters: &parameters, version: (3, 0) };
        let greeted = upstream::connect(self, &login).await?;
        let mut questions = Questions { stream: greeted.stream, _lent: greeted.lent };
        let bounds = format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {SERVERS}; SET lock_timeout = 1000; \
             SET search_path = pg_catalog"
        );
        match questions.run(&bounds, |_, _| {}).await? {
            None => Ok(questions),
            Some(code) => Err(UpstreamError::Misbehaved(format!("it refused settings of a session ({code})"))),
        }
    }
}

impl Questions {
    /// Gives each value of each row, with the number of its column.
    ///
    /// # Errors
    /// Why there are no rows, in words that have nothing of them, and whether the log-in is of no more use.
    pub(crate) async fn ask(&mut self, statement: &str, value: impl FnMut(usize, &[u8])) -> Result<(), (String, bool)> {
        match timeout(OURS, self.run(statement, value)).await {
            Ok(Ok(None)) => Ok(()),
            // The server's words may quote values.
            Ok(Ok(Some(code))) => Err((format!("the server refused it ({code})"), false)),
            Ok(Err(e)) => Err((e.to_string(), true)),
            Err(_) => Err(("the server did not answer in time".into(), true)),
        }
    }

    /// Runs a text. The SQLSTATE of an error of the server's is a result.
    #[allow(clippy::wildcard_enum_match_arm, reason = "answers to questions of our own: only rows and errors matter")]
    async fn run(&mut self, text: &str, mut value: impl FnMut(usize, &[u8])) -> Result<Option<String>, UpstreamError> {
        let mut message = BytesMut::new();
        render::query(&mut message, text);
        upstream::send(&mut self.stream, &message).await?;
        let mut code = None;
        loop {
            let frame = upstream::read_long_frame(&mut self.stream).await?;
            let message = codec::upstream_message(&frame).map_err(|e| UpstreamError::Misbehaved(e.to_string()))?;
            match message {
                UpstreamMessage::DataRow(row) => {
                    for (column, cell) in row.cells().enumerate() {
                        if let Some(cell) = cell {
                            value(column, cell);
                        }
                    }
                }
                UpstreamMessage::ErrorResponse(_) => code = Some(codec::sqlstate(&frame).unwrap_or("XX000").to_owned()),
                UpstreamMessage::ReadyForQuery { .. } => return Ok(code),
                _ => {}
            }
        }
    }

    /// Says goodbye.
    pub(crate) async fn end(mut self) {
        let mut goodbye = BytesMut::new();
        render::terminate(&mut goodbye);
        let _gone = upstream::send(&mut self.stream, &goodbye).await;
    }
}
