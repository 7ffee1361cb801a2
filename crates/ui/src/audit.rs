//! The audit log.
use crate::{Explanation, Inert, Shell};
use askama::Template;
use doorward_model::Timestamp;

/// One entry, in a line.
#[derive(Clone, Debug)]
pub struct AuditLine {
    /// Its number.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// What kind it is.
    pub event: String,
    /// Its session.
    pub session: Option<String>,
    /// `forward`, `hold`, `refuse`, where it has an outcome.
    pub outcome: Option<&'static str>,
    /// What it says.
    pub says: Inert,
}

/// What is looked for, as it was typed.
#[derive(Clone, Debug, Default)]
pub struct AuditSearch {
    /// Part of a principal.
    pub principal: String,
    /// A connection.
    pub connection: String,
    /// A kind of entry.
    pub event: String,
    /// `forward`, `hold`, `refuse`.
    pub outcome: String,
    /// Part of what it says.
    pub text: String,
    /// A session.
    pub session: String,
    /// Not before (RFC 3339, or a date).
    pub since: String,
    /// Before.
    pub until: String,
}

/// The log, newest first.
#[derive(Debug, Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    /// The frame.
    pub shell: Shell,
    /// What was found.
    pub lines: Vec<AuditLine>,
    /// What was looked for.
    pub search: AuditSearch,
    /// Kinds there are.
    pub kinds: &'static [&'static str],
    /// The address of older ones.
    pub older: Option<String>,
    /// The address of what was found, as JSON lines.
    pub download: String,
    /// What was wrong with what was typed.
    pub problem: Option<String>,
}

/// One entry, whole.
#[derive(Debug, Template)]
#[template(path = "audit_entry.html")]
pub struct AuditEntryPage {
    /// The frame.
    pub shell: Shell,
    /// It.
    pub line: AuditLine,
    /// Its hash in the chain.
    pub hash: String,
    /// As it is in the log, laid out.
    pub json: Inert,
    /// Of a request: how it would be decided again.
    pub again: Option<Again>,
}

/// How a recorded request would be decided by the policies of now, or by a version.
#[derive(Debug)]
pub struct Again {
    /// The version; none: the policies in force.
    pub by: Option<i64>,
    /// Versions there are, newest first.
    pub versions: Vec<i64>,
    /// How it would come out, or why that cannot be said.
    pub answer: Result<Explanation, Inert>,
}

impl Again {
    pub(crate) fn is_by(&self, id: &i64) -> bool {
        self.by == Some(*id)
    }
}

/// What a verification found.
#[derive(Debug)]
pub struct AuditVerified {
    /// Whether nothing was found.
    pub intact: bool,
    /// Files read.
    pub files: u64,
    /// Entries read.
    pub entries: u64,
    /// Up to where it is signed.
    pub signed: u64,
    /// Entries behind.
    pub unsigned: u64,
    /// The last line.
    pub head: String,
    /// Lines that were written behind it since.
    pub since: u64,
    /// The log ends before it now, or cannot be read.
    pub is_shorter: bool,
    /// What is wrong.
    pub problems: Vec<Inert>,
    /// What is unusual.
    pub warnings: Vec<Inert>,
}

/// The state of the chain.
#[derive(Debug, Template)]
#[template(path = "audit_verify.html")]
pub struct AuditVerifyPage {
    /// The frame.
    pub shell: Shell,
    /// Whether the log is being read.
    pub is_running: bool,
    /// Who asked for it.
    pub by: Inert,
    /// When it began.
    pub started: Timestamp,
    /// The number of the last line that was read.
    pub verified: u64,
    /// The number of the newest entry when it began.
    pub of: u64,
    /// What it found; none while it runs, and where the log could not be read.
    pub report: Option<AuditVerified>,
}
