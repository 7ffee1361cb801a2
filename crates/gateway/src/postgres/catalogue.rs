//! Snapshots of a database's schema, read through the gateway's own log-in.
mod building;
mod mentions;
mod reach;
mod reading;

use super::{Endpoint, upstream::UpstreamError};
use crate::snapshots::{Building, Snapshots, Source, fingerprint};
use doorward_sql::Catalogue;
use std::{future::Future, sync::Arc};

/// A database as new sessions find it.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) catalogue: Arc<Catalogue>,
    /// The search path of the gateway's log-in.
    pub(crate) search_path: String,
}

impl Source for Endpoint {
    type Raw = Vec<Vec<Row>>;
    type Snapshot = Schema;
    type Error = UpstreamError;

    fn snapshots(&self) -> &Snapshots<Schema, UpstreamError> {
        &self.snapshots
    }

    fn connection(&self) -> &str {
        self.connection.info.name.as_str()
    }

    fn read(&self, database: &str) -> impl Future<Output = Result<Self::Raw, UpstreamError>> + Send {
        reading::read_schema(self, database)
    }

    fn fingerprint(rows: &Self::Raw) -> u64 {
        fingerprint(rows)
    }

    fn building(&self, rows: Self::Raw, generation: u64) -> Building<Schema> {
        Box::new(move || {
            let (catalogue, search_path) = building::build(&rows, generation);
            Schema { catalogue: Arc::new(catalogue), search_path }
        })
    }

    fn unbuilt(why: String) -> UpstreamError {
        UpstreamError::Schema(why)
    }
}

type Row = Vec<Option<String>>;

fn text(row: &Row, index: usize) -> &str {
    row.get(index).and_then(Option::as_deref).unwrap_or_default()
}

fn number<T: std::str::FromStr + Default>(row: &Row, index: usize) -> T {
    text(row, index).parse().unwrap_or_default()
}
