//! Recordings as people look at them: what is played, listed and exported of each protocol. For pages and the command line.
pub mod kubernetes;
pub mod sql;
pub mod ssh;
pub mod steps;

use doorward_record::{Direction, ReadError, Reader};
use std::io;

/// Why a recording cannot be shown as asked.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// It cannot be read, or not on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was made of it cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[from] io::Error),
    /// It has not the channel, or request, that was asked for.
    #[error("{0}")]
    Absent(String),
}

/// Opens the recording, each time from its beginning.
pub type Open<'a> = &'a dyn Fn() -> Result<Reader, ShowError>;

/// What is said of bytes that were lost.
pub fn gap_line(client: u64, upstream: u64) -> String {
    format!("(GAP: {client} bytes of the caller and {upstream} to him were lost)")
}

const fn is_client(direction: Direction) -> bool {
    matches!(direction, Direction::Client)
}
