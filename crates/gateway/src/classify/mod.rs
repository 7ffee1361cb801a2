//! What columns seem to hold: some rows of each table go through the recognizers, by the gateway's own log-in.
//!
//! INVARIANT: values are looked at one by one and counted. None is kept, logged, or part of an answer or of an error.
mod names;
mod statements;

use crate::{ProbeError, mysql, postgres, snapshots};
use doorward_detect::{Detector, Finding, Hint, TypeSet};
use doorward_model::{DataType, Resource};
use doorward_sql::{Catalogue, Column, Relation, RelationKind};
use statements::Dialect;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// How long all of it may take; what is not reached by then is named.
const ALL: Duration = Duration::from_secs(120);
/// How many columns are asked for in one statement, and how many characters of a value.
const AT_ONCE: usize = 64;
/// How many tables are looked at.
const MOST_TABLES: usize = 5_000;
/// Of ten values, how many have to be of a kind for a column to be of it.
const OF_TEN: u64 = 1;

/// What is to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Rows of each table.
    pub rows: u32,
}

/// What was found out.
#[derive(Clone, Debug, Default)]
pub struct Classified {
    /// Columns that something speaks for, by name.
    pub columns: Vec<Classed>,
    /// How many columns were looked at.
    pub looked_at: usize,
    /// Tables of which no rows were seen, and why: no value is in that.
    pub left_out: Vec<(String, String)>,
}

/// What speaks for what a column holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classed {
    /// `public.customers.ssn`, as tags name it.
    pub column: String,
    /// Its type, as the server writes it.
    pub type_name: String,
    /// How many values were looked at: not null, and not empty.
    pub sampled: u64,
    /// In how many of them a kind of value was found.
    pub found: BTreeMap<&'static str, u64>,
    /// What its name speaks for.
    pub named: Option<&'static str>,
    /// The tags that the database carries already.
    pub carried: BTreeSet<String>,
}

impl Classed {
    /// The tags that it should have.
    pub fn proposed(&self) -> BTreeSet<String> {
        let is_of = |kind: &&&str| self.found.get(**kind).is_some_and(|n| n * 10 >= self.sampled * OF_TEN);
        let kinds = self.found.keys().filter(is_of).copied().chain(self.named);
        kinds.flat_map(|kind| [names::family(kind).to_owned(), kind.to_owned()]).collect()
    }
}

/// One table, with the columns of it that are asked for.
struct Asked<'c> {
    relation: &'c Relation,
    columns: Vec<(&'c Column, bool)>,
}

/// Counts while rows go by.
struct Counts<'d> {
    detector: &'d Detector,
    hints: Vec<Hint>,
    columns: Vec<(u64, BTreeMap<&'static str, u64>)>,
    found: Vec<Finding>,
}

impl<'d> Counts<'d> {
    fn new(detector: &'d Detector, columns: &[&Column]) -> Self {
        let hints = columns.iter().map(|c| Hint::from_column(&c.name)).collect();
        Self { detector, hints, columns: vec![Default::default(); columns.len()], found: Vec::new() }
    }

    /// One value of a column.
    fn value(&mut self, column: usize, value: &[u8]) {
        let (Some((sampled, kinds)), Some(hint)) = (self.columns.get_mut(column), self.hints.get(column)) else {
            return;
        };
        if value.is_empty() {
            return;
        }
        *sampled += 1;
        self.found.clear();
        self.detector.scan_into(value, hint, TypeSet::all(), &mut self.found);
        let here: BTreeSet<&'static str> = self.found.iter().map(|f| DataType::as_str(f.data_type)).collect();
        for kind in here {
            *kinds.entry(kind).or_default() += 1;
        }
    }
}

/// A log-in that answers questions of the gateway's own.
trait Source {
    /// Puts the rows of a statement into counts.
    ///
    /// # Errors
    /// Why there are none, and whether the log-in is of no more use. No value is in it.
    async fn count(&mut self, statement: &str, counts: &mut Counts<'_>) -> Result<(), (String, bool)>;
}

/// Which tables are looked at: those with rows of their own. What inherits from another or is its partition is seen through it,
/// and is as hidden as that.
fn asked<'c>(catalogue: &'c Catalogue, dialect: Dialect, only: Option<&str>) -> Vec<Asked<'c>> {
    let is_one = |r: &&Relation| {
        matches!(r.kind, RelationKind::Table | RelationKind::MaterialisedView)
            && !dialect.own_schemas().contains(&&*r.schema)
            && only.is_none_or(|schema| *r.schema == *schema)
            && catalogue.ancestors(r.oid).is_empty()
    };
    let of = |relation: &'c Relation| {
        let is_read = |c: &&Column| catalogue.type_name(relation.oid, c.number).is_some_and(|t| dialect.has_text(t));
        Asked { relation, columns: relation.columns.iter().map(|c| (c, is_read(&c))).collect() }
    };
    let mut out: Vec<Asked<'_>> = catalogue.relations().filter(is_one).map(of).collect();
    out.sort_by(|a, b| (&a.relation.schema, &a.relation.name).cmp(&(&b.relation.schema, &b.relation.name)));
    out
}

async fn classify(
    source: &mut impl Source,
    catalogue: &Catalogue,
    (dialect, only): (Dialect, Option<&str>),
    (detector, sampling): (&Detector, Sampling),
) -> Classified {
    let until = Instant::now() + ALL;
    let mut out = Classified::default();
    let mut gone: Option<String> = None;
    for (n, table) in asked(catalogue, dialect, only).iter().enumerate() {
        let Asked { relation, columns } = table;
        let mut counted: BTreeMap<i16, (u64, BTreeMap<&'static str, u64>)> = BTreeMap::new();
        let read: Vec<&Column> = columns.iter().filter(|(_, is_read)| *is_read).map(|(c, _)| *c).collect();
        for some in read.chunks(AT_ONCE) {
            let why = if n >= MOST_TABLES {
                Some(format!("more than {MOST_TABLES} tables"))
            } else if Instant::now() >= until {
                Some(format!("there was no time left: {} s for all", ALL.as_secs()))
            } else if gone.is_some() {
                gone.clone()
            } else {
                let mut counts = Counts::new(detector, some);
                let statement = dialect.statement(catalogue, relation, some, sampling.rows);
                match source.count(&statement, &mut counts).await {
                    Ok(()) => {
                        counted.extend(some.iter().map(|c| c.number).zip(counts.columns));
                        None
                    }
                    Err((why, is_gone)) => {
                        gone = is_gone.then(|| why.clone());
                        Some(why)
                    }
                }
            };
            if let Some(why) = why {
                out.left_out.push((format!("{}.{}", relation.schema, relation.name), why));
                break;
            }
        }
        out.looked_at += columns.len();
        let classed = columns.iter().map(|(c, _)| classed(catalogue, relation, c, counted.remove(&c.number)));
        out.columns.extend(classed.filter(|c| !c.found.is_empty() || c.named.is_some()));
    }
    out
}

fn classed(
    catalogue: &Catalogue,
    relation: &Relation,
    column: &Column,
    counted: Option<(u64, BTreeMap<&'static str, u64>)>,
) -> Classed {
    let (schema, table) = (relation.schema.clone(), relation.name.clone());
    let id = Resource::Column { schema, table, name: column.name.clone() }.local_id();
    let (sampled, found) = counted.unwrap_or_default();
    Classed {
        carried: catalogue.tags().get(&id).cloned().unwrap_or_default(),
        type_name: catalogue.type_name(relation.oid, column.number).map(ToString::to_string).unwrap_or_default(),
        named: names::kind(&column.name),
        column: id,
        sampled,
        found,
    }
}

impl postgres::Endpoint {
    /// What the columns of a database seem to hold.
    ///
    /// # Errors
    /// Where the upstream cannot be asked.
    pub async fn classify(&self, database: &str, sampling: Sampling) -> Result<Classified, ProbeError> {
        let schema = snapshots::refresh(self, database).await.map_err(|e| ProbeError::new(&e))?;
        let mut questions = self.questions(database).await.map_err(|e| ProbeError::new(&e))?;
        let judged = (&*self.services.detector, sampling);
        let classified = classify(&mut questions, &schema.catalogue, (Dialect::Postgres, None), judged).await;
        questions.end().await;
        Ok(classified)
    }
}

impl Source for postgres::Questions {
    async fn count(&mut self, statement: &str, counts: &mut Counts<'_>) -> Result<(), (String, bool)> {
        self.ask(statement, |column, value| counts.value(column, value)).await
    }
}

impl mysql::Endpoint {
    /// What the columns of a server's databases seem to hold: of one of them, or of all.
    ///
    /// # Errors
    /// Where the upstream cannot be asked.
    pub async fn classify(&self, database: Option<&str>, sampling: Sampling) -> Result<Classified, ProbeError> {
        let (reader, _) = self.reader().await?;
        let mut questions = self.questions().await.map_err(|e| ProbeError::new(&e))?;
        let judged = (&*self.services.detector, sampling);
        let classified = classify(&mut questions, reader.catalogue(), (Dialect::MySql, database), judged).await;
        questions.end().await;
        Ok(classified)
    }
}

impl Source for mysql::Questions {
    async fn count(&mut self, statement: &str, counts: &mut Counts<'_>) -> Result<(), (String, bool)> {
        self.ask(statement, |column, value| counts.value(column, value)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_in_ten_or_a_name_makes_a_proposal() {
        let of = |sampled, found: &[(&'static str, u64)], named| {
            let found = found.iter().copied().collect();
            let classed = Classed { sampled, found, named, ..Classed::default() };
            classed.proposed().into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(100, &[("email", 10)], None), "email pii");
        assert_eq!(of(100, &[("email", 9), ("api_key", 100)], None), "api_key secret");
        assert_eq!(of(0, &[], Some("us_ssn")), "pii us_ssn");
        assert_eq!(of(5, &[], None), "");
    }

    #[test]
    fn a_value_counts_once_for_each_kind() {
        let column = Column { number: 1, name: "note".into(), type_oid: 25 };
        let detector = Detector::new();
        let mut counts = Counts::new(&detector, &[&column]);
        for value in ["a@example.com and b@example.com", "", "nothing", "c@example.com"] {
            counts.value(0, value.as_bytes());
        }
        counts.value(7, b"d@example.com");
        assert_eq!(counts.columns, [(3, [("email", 2)].into())]);
    }
}
