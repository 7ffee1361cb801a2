//! The audit log, shipped out to SIEM tools.
//!
//! Purpose: each exporter follows the audit log, renders its entries and hands them to a sink: a file, syslog, HTTP,
//! Splunk's HTTP event collector, OTLP, object storage. [`Exporters`] runs them and says how each stands.
//!
//! Invariants:
//! - At least once: the cursor of an exporter moves only after its sink has acknowledged everything up to it, and is in
//!   the store before anything later is sent. An entry is never passed over; a batch that is refused is sent again.
//! - In order, and committed only: nothing is sent that the audit log has not made durable.
//! - Bounded memory: one batch and the names of the newest sessions per exporter, whatever the log and the sink do.
//! - An exporter that fails holds up neither another nor the gateway; what it fails at shows in its [`Status`].
//! - A part of the log that is gone or changed stops the exporter and says so.
//!
//! Traces (`traces/`) are another matter: made of the same entries, lost rather than waited for.
//!
//! Deliberately absent: changing entries. What must not leave the gateway must not be in the audit log.
//!
//! Known limits:
//! - Syslog has no acknowledgement of its own: a batch counts as delivered when the receiver has read up to the end of
//!   the connection and closed its side. What it then does with it is beyond us, and who can forge packets on the way
//!   could forge that end.
//! - Names of sessions that began more than [`Pace::look_back`] files before the cursor are not known after a restart:
//!   their entries go out with the session's identifier alone.
mod backoff;
mod cef;
mod config;
mod describe;
mod exporter;
mod exporters;
mod format;
mod ocsf;
mod otlp;
mod reader;
mod sessions;
mod sink;
mod status;
mod traces;

pub use config::{ExportConfig, Format, Misconfigured, Pace, S3Target, Target, TlsFiles};
pub use exporters::{Exporters, Source, StartError};
pub use sessions::Kinds;
pub use status::{State, Status};
pub use traces::{TraceTarget, Tracer};
