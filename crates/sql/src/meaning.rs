//! What was read out of a text, in the terms that all dialects share.
use doorward_model::{Facts, Name, Resource};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    sync::Arc,
};

/// A column whose values may show in an output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceColumn {
    /// Schema of the relation.
    pub schema: Name,
    /// The relation.
    pub table: Name,
    /// The column; `None` for any column of the relation (whole-row values, unknown columns).
    pub column: Option<Name>,
}

impl fmt::Display for SourceColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (schema, table) = (self.schema.clone(), self.table.clone());
        match &self.column {
            Some(name) => f.write_str(&Resource::Column { schema, table, name: name.clone() }.local_id()),
            None => write!(f, "{}.*", Resource::Table { schema, name: table }.local_id()),
        }
    }
}

/// Which columns one output of a statement may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Made of these columns and nothing else of any table. Empty: no column (`count(*)`, constants).
    Made(BTreeSet<SourceColumn>),
    /// One or more outputs of a `*` that could not be expanded (relation not in the catalogue).
    Star,
}

/// The outputs of a statement that returns rows, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Lineage {
    /// In order; at most one may be a [`Output::Star`] of unknown width at each place.
    pub outputs: Vec<Output>,
    /// Every column that the statement mentions anywhere an output could come from: the bound for
    /// an output whose place is not known.
    pub anywhere: BTreeSet<SourceColumn>,
    /// The outputs that stand for columns which the text does not name (`*`), and how they were called: should a relation have
    /// others by the time the server reads it, they and those after them are others, too.
    pub placed: BTreeMap<usize, Name>,
    /// Whether names were given by place to such columns (`AS t (a, b)`): then an output that is named may be another.
    pub names_by_place: bool,
}

/// What `COPY` moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySpec {
    /// `TO STDOUT` (true) or `FROM STDIN` (false). Files and programs never get here.
    pub out: bool,
    /// Of a relation that is named (true), or of what a query gives.
    pub of_table: bool,
    /// The columns copied, in order.
    pub lineage: Lineage,
    /// The format of the data.
    pub format: CopyFormat,
    /// `HEADER` in any form.
    pub header: bool,
}

/// The format of COPY data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// `text`.
    Text {
        /// Between fields.
        delimiter: u8,
        /// Marks a null.
        null: Vec<u8>,
    },
    /// `csv`.
    Csv {
        /// Between fields.
        delimiter: u8,
        /// Marks a null (unquoted).
        null: Vec<u8>,
        /// Quotes a field.
        quote: u8,
        /// Escapes a quote within quotes.
        escape: u8,
    },
    /// `binary`.
    Binary,
    /// Options that were not understood (another encoding, an unknown option): cannot be masked.
    NotUnderstood(String),
}

/// What a statement changes for later statements of the session, once it has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `SET name = value` (`None`: DEFAULT or RESET). Value as one normalised string, lists joined by `, `.
    Set {
        /// The setting, lower case.
        name: Name,
        /// Its value.
        value: Option<String>,
        /// `SET LOCAL`.
        local: bool,
    },
    /// `RESET ALL`, `DISCARD ALL`: every setting back to its start, but for the role.
    ResetAll,
    /// A command for transactions: what was set in one may last, or be gone.
    Transaction(Transaction),
    /// `DISCARD ALL` / `DEALLOCATE ALL`: no prepared statement is left.
    ForgetPrepared,
    /// `PREPARE name AS …`.
    Prepare {
        /// The name.
        name: Name,
        /// What it would do when executed.
        analysis: Arc<Analysis>,
    },
    /// `DEALLOCATE name`.
    Deallocate {
        /// The name.
        name: Name,
    },
    /// `DECLARE name CURSOR FOR …`: what `FETCH` from it shows.
    Declare {
        /// The cursor.
        name: Name,
        /// The outputs of its query.
        lineage: Lineage,
        /// What its query asks for: `FETCH` goes on asking for it.
        facts: Arc<Facts>,
    },
    /// A table, view or sequence came to be in `pg_temp`.
    MadeTemporary {
        /// Its name.
        name: Name,
        /// It is dropped when the transaction commits (`ON COMMIT DROP`).
        until_commit: bool,
        /// It may be dropped with something else, by CASCADE: a view, a sequence, a partition.
        depends: bool,
    },
    /// What was in `pg_temp` is there no more.
    DroppedTemporary(Dropped),
    /// The schema changed in some way: the catalogue is out of date.
    SchemaChanged,
}

impl Effect {
    /// What it prepares, if that is by this name.
    pub fn prepares(&self, wanted: &str) -> Option<&Arc<Analysis>> {
        if let Self::Prepare { name, analysis } = self
            && **name == *wanted
        {
            return Some(analysis);
        }
        None
    }
}

/// Which relations of `pg_temp` are gone, if they were there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The one of this name.
    One(Name),
    /// Any that depends on something else.
    Dependent,
    /// All.
    All,
}

/// A command for transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// `COMMIT`, `ROLLBACK`, `PREPARE TRANSACTION`: which of them came of it, the server says.
    End,
    /// `SAVEPOINT name`.
    Savepoint(Name),
    /// `ROLLBACK TO name`.
    RollbackTo(Name),
    /// `RELEASE name`.
    Release(Name),
}

/// What a statement refers to by name that only the session knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `EXECUTE name`: the facts of what was prepared are asked for too.
    Prepared(Name),
    /// `FETCH` or `MOVE` from a cursor.
    Cursor(Name),
}

/// A relation that a query reads, where the text names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its schema.
    pub schema: Name,
    /// The relation.
    pub table: Name,
    /// Where its name stands in the text, in bytes, without the alias.
    pub at: Range<usize>,
    /// What the query calls it by its name alone; none where an alias follows in the text.
    pub called: Option<Name>,
    /// What of the text the place is.
    pub written: Written,
    /// Whether it is named without its schema.
    pub is_bare: bool,
}

/// How a text names a relation that it reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    /// By its name, in a FROM clause.
    Name,
    /// `ONLY name`: without the tables that inherit from it.
    Only,
    /// `TABLE name`, which is a query.
    Query,
    /// `COPY name` or `COPY name (a, b)`, which reads these columns, or else all that are not generated.
    Copy(Vec<Name>),
}

/// The name of a schema and its dot, before a column that is named by schema, table and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The schema.
    pub schema: Name,
    /// The table.
    pub table: Name,
    /// Where it stands in the text, in bytes, to the beginning of the table's name.
    pub at: Range<usize>,
}

/// What tells of values besides the rows that a statement reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tell {
    /// A function of the server's own that asks for no right: how much room values take.
    Function(Name),
    /// What is shown of the relations that are read or maintained: how much room they take.
    Sizes(&'static str),
    /// What it does or fails by goes by which rows something else has come upon.
    ComeUpon(&'static str),
    /// What is made changes what names mean: a body to whoever calls it, a setting to sessions that begin.
    Names,
    /// What is changed of such an object is changed of tables, too, or of which they are: its kind and its name.
    Object(&'static str, Name),
    /// What is called so is moved or called otherwise, or something else comes to be called so.
    Called(Resource),
}

/// All relations that a statement reads, if something else may stand in the text in their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// In no order.
    pub places: Vec<Read>,
    /// The relations that are read anywhere in it, whatever is in the way, and not what it changes; and whether the order of
    /// their rows makes no difference, unless something counts them. Empty where the server is not PostgreSQL.
    pub from: BTreeSet<(Name, Name, bool)>,
    /// In no order: what has to go where something stands for a relation that goes by its name alone.
    pub prefixes: Vec<Prefix>,
    /// Parts of those places behind the names that belong to the relations themselves (index hints). Empty where the
    /// server is PostgreSQL.
    pub kept: Vec<Range<usize>>,
    /// Where words may stand that say how a SELECT is run, in order: behind each SELECT. Empty where the server is PostgreSQL.
    pub selects: Vec<usize>,
    /// Why nothing else may stand there. `Some` also where the statement is not one that only reads.
    pub obstacle: Option<&'static str>,
    /// Columns that it filters, joins, sorts, groups or computes by: all that decide what it does or finds, and not those
    /// that it only shows as they are.
    pub weighs: BTreeSet<SourceColumn>,
    /// A second reading of that, by names alone: what it may decide by where the text is sent as it was written, or a column
    /// stands in it as it is. For MySQL also what it may show besides what the lineage says.
    pub named: BTreeSet<SourceColumn>,
    /// What it shows besides that tells of values. Where the server is not PostgreSQL, of plans alone.
    pub tells: BTreeSet<Tell>,
    /// Relations that are named without their schema, in any way and also within bodies of functions that are made, as they
    /// were found. Empty where the server is not PostgreSQL.
    pub bare: BTreeSet<(Name, Name)>,
    /// Functions that are named without their schema. Empty where the server is not PostgreSQL.
    pub calls: BTreeSet<Name>,
    /// Tables of which a LIMIT decides how many rows are changed. Empty where the server is PostgreSQL.
    pub limited: Vec<Limited>,
    /// Tables of which rows are deleted by a text that can say nothing of indexes there. Empty where the server is PostgreSQL.
    pub deleted: BTreeSet<(Name, Name)>,
    /// Indexes that a text asks for (`USE INDEX`, `FORCE INDEX`), in lower case; the beginning of a name may stand for it. Empty
    /// where the server is PostgreSQL.
    pub hinted: BTreeSet<Name>,
}

/// A table of which only some rows are changed: those that come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Schema of the table.
    pub schema: Name,
    /// The table, or a view.
    pub table: Name,
    /// The columns by which its rows are sorted; none where they come as the server finds them.
    pub by: BTreeSet<Name>,
}

/// What a statement writes into columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// The columns; `column` is `None` where it is all of a table.
    pub columns: BTreeSet<SourceColumn>,
    /// Of these, the columns that rows which are there are given (`SET`, not what is inserted). Empty where the server is not
    /// PostgreSQL.
    pub sets: BTreeSet<SourceColumn>,
    /// How many times rows of some table are changed or inserted. 0 where the server is not PostgreSQL.
    pub times: usize,
    /// Constants of the statement that are short enough to be what a mask shows.
    pub texts: BTreeSet<Name>,
}

impl Writes {
    /// Longer texts are no mask, in bytes.
    pub(crate) const LONGEST: usize = 256;
    /// How many different texts are kept that do not look like a mask.
    const MOST_PLAIN: usize = 1000;

    /// A constant of the statement.
    pub(crate) fn text(&mut self, text: &str) {
        if text.len() > Self::LONGEST {
            return;
        }
        // INVARIANT: whatever else is written, what looks like a mask is kept: no more than the statement has. What a fixed
        // mask shows looks like anything.
        if Self::looks_like_a_mask(text) || self.texts.len() < Self::MOST_PLAIN {
            self.texts.insert(text.into());
        }
    }

    /// By itself (`[ssn]`, `****1`, `h:…`) or as a string of JSON.
    fn looks_like_a_mask(text: &str) -> bool {
        text.starts_with(['[', '*', '"']) || text.starts_with("h:")
    }
}

/// One statement of a query string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// The command as users name it: `SELECT`, `DROP DATABASE`.
    pub command: Name,
    /// What its rows show, if it can return any (also `EXPLAIN ANALYZE`, `RETURNING`, `EXECUTE`, `FETCH`).
    pub lineage: Option<Lineage>,
    /// Columns whose values it stores or sends to where no mask reaches them (`INSERT … SELECT`,
    /// `CREATE TABLE AS`, `UPDATE … FROM`, `DECLARE … WITH HOLD`): it is refused if any of them is hidden.
    pub moves: BTreeSet<SourceColumn>,
    /// What it writes.
    pub writes: Writes,
    /// The commands of statements that are within it: in a block, a text or a body, or behind `SET STATEMENT … FOR`. Empty
    /// where the dialect has none.
    pub within: Vec<Name>,
    /// `COPY … TO STDOUT` or `FROM STDIN`.
    pub copy: Option<CopySpec>,
    /// What it changes for later statements.
    pub effects: Vec<Effect>,
    /// Names that the session has to resolve.
    pub references: Vec<Reference>,
    /// What goes upstream in place of the caller's text: the statement as it was read. `None` where the
    /// reader is the server's own, and where nothing may be sent because the text was not understood.
    pub text: Option<Arc<[u8]>>,
    /// The caller's own file that the upstream may ask for (`LOAD DATA LOCAL INFILE`).
    pub upload: Option<Name>,
    /// `KILL`: the upstream knows connections by other numbers than the caller.
    pub kill: Option<Kill>,
    /// The relations that it reads, where its text names them.
    pub reads: Reads,
}

/// `KILL [CONNECTION | QUERY] number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The number as the caller knows it.
    pub id: u64,
    /// Only what runs, not the session.
    pub query_only: bool,
}

/// Everything read out of one query string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// The rights that the whole string asks for.
    pub facts: Arc<Facts>,
    /// Its statements. Empty for an empty string.
    pub statements: Vec<Statement>,
}

/// Why a text has no analysis. The server would not run it either, or we do not read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The server's grammar does not accept it.
    #[error("{message}")]
    Syntax {
        /// The grammar's message: `syntax error at or near "selec"`.
        message: String,
        /// Where, in characters from 1; 0 if unknown.
        position: usize,
    },
    /// Nested or chained too deep to be read safely.
    #[error("the statement is nested too deep to be read: {what}")]
    TooDeep {
        /// What.
        what: &'static str,
    },
}
