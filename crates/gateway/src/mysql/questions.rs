//! Questions of the gateway's own that read rows: in a session that only reads, each with a bound on its time.
use super::{
    Endpoint,
    catalogue::rows_of,
    packets::Packets,
    upstream::{self, Connected, UpstreamError},
};
use doorward_mysql::Capabilities;
use std::time::Duration;
use tokio::time::timeout;

/// How long one may take where the server does not keep to its own bound.
const OURS: Duration = Duration::from_secs(10);
/// How much one answer may be, in bytes: it is in memory while it is looked at.
const MOST: usize = 64 << 20;

/// A log-in that reads.
#[derive(Debug)]
pub(crate) struct Questions {
    packets: Packets,
    agreed: Capabilities,
    _lent: crate::Lent,
}

impl Endpoint {
    /// A log-in for questions of the gateway's own.
    pub(crate) async fn questions(&self) -> Result<Questions, UpstreamError> {
        let Connected { mut packets, greeting, agreed, lent } =
            upstream::connect(self, Capabilities::default()).await?;
        let bound = if greeting.capabilities.is_mariadb() || greeting.version.contains("MariaDB") {
            "SET SESSION max_statement_time = 5"
        } else {
            "SET SESSION max_execution_time = 5000"
        };
        for text in [
            "SET SESSION sql_mode = ''",
            "SET SESSION lock_wait_timeout = 1",
            "SET SESSION TRANSACTION READ ONLY",
            bound,
        ] {
            rows_of(&mut packets, agreed, text, &mut MOST.clone()).await?;
        }
        Ok(Questions { packets, agreed, _lent: lent })
    }
}

impl Questions {
    /// Gives each value of each row, with the number of its column.
    ///
    /// # Errors
    /// Why there are no rows, in words that have nothing of them, and whether the log-in is of no more use.
    pub(crate) async fn ask(
        &mut self,
        statement: &str,
        mut value: impl FnMut(usize, &[u8]),
    ) -> Result<(), (String, bool)> {
        let mut left = MOST;
        match timeout(OURS, rows_of(&mut self.packets, self.agreed, statement, &mut left)).await {
            Ok(Ok(rows)) => {
                for row in rows {
                    row.iter().enumerate().for_each(|(column, cell)| value(column, cell.as_bytes()));
                }
                Ok(())
            }
            // The server's words may quote values.
            Ok(Err(UpstreamError::Refused { code, .. })) => Err((format!("the server refused it ({code})"), false)),
            Ok(Err(e)) => Err((e.to_string(), true)),
            Err(_) => Err(("the server did not answer in time".into(), true)),
        }
    }

    /// Says goodbye.
    pub(crate) async fn end(mut self) {
        self.packets.next = 0;
        let _gone = self.packets.write(b"\x01").await;
    }
}
