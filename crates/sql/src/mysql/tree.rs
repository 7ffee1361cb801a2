//! What a statement is made of, as far as it matters for what it does.
//!
//! Operators, types and options are not in the tree: their tokens were accepted one by one by the grammar and
//! are printed as they were accepted ([`super::render`]). Chains (`a + b + c`, joins, UNION) are flat, and
//! nesting is bounded by the parser, so neither walking nor dropping a tree overflows a stack.
use doorward_model::{Action, Name};
use std::ops::Range;

/// The name of an object: `name` or `db.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectName {
    pub(super) db: Option<Name>,
    pub(super) name: Name,
}

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    /// Shows no value of any table: numbers, NULL, parameters.
    Nothing,
    /// A string literal.
    Text(Name),
    /// `a`, `t.a`, `db.t.a`; folded to lower case but for database and table.
    Column(Box<[Name]>),
    /// `t.*` and `*` as an argument.
    Star(Box<[Name]>),
    /// `@name`.
    Variable,
    /// `@name := expression`.
    Assign(Box<Expr>),
    /// `@@scope.name`.
    System { global: bool, name: Name },
    /// A function.
    Call(Box<Call>),
    /// The window of `OVER name`.
    Window(Name),
    /// A subquery.
    Query { query: Box<Query>, exists: bool },
    /// Operands, arguments, elements of a row.
    Many(Vec<Expr>),
}

/// A call of a function.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) db: Option<Name>,
    /// In lower case.
    pub(super) name: Name,
    /// Where the grammar says that it is the server's own.
    pub(super) native: bool,
    /// A sequence that it reads or advances (MariaDB).
    pub(super) sequence: Option<ObjectName>,
    pub(super) args: Vec<Expr>,
}

/// A query with all that belongs to it.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) with: Option<With>,
    pub(super) arms: Vec<Arm>,
    /// Whether its arms are compared row by row: all sets of rows but by UNION ALL.
    pub(super) compares: bool,
    /// ORDER BY.
    pub(super) rest: Vec<Expr>,
    /// LIMIT.
    pub(super) limits: Vec<Expr>,
    pub(super) locks: Vec<Lock>,
    pub(super) into: Option<Into>,
}

/// One operand of UNION, INTERSECT, EXCEPT.
#[derive(Debug)]
pub(super) enum Arm {
    Select(Box<Select>),
    Values(Vec<Expr>),
    /// `TABLE name`, and which of the text's names of tables that is ([`Named`]).
    Table(ObjectName, usize),
    Paren(Box<Query>),
}

/// `SELECT … FROM … WHERE …`.
#[derive(Debug, Default)]
pub(super) struct Select {
    pub(super) distinct: bool,
    pub(super) items: Vec<Item>,
    pub(super) from: Vec<TableRef>,
    pub(super) filter: Option<Expr>,
    /// GROUP BY, HAVING.
    pub(super) rest: Vec<Expr>,
    pub(super) windows: Vec<(Name, Expr)>,
}

/// One element of a select list or of RETURNING.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) expr: Expr,
    /// The name of the output, where others can refer to it.
    pub(super) name: Option<Name>,
}

/// `FOR UPDATE`, `FOR SHARE`, `LOCK IN SHARE MODE`; no names: all.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) of: Vec<ObjectName>,
}

/// `INTO OUTFILE`, `INTO DUMPFILE`, `INTO @a`.
#[derive(Debug)]
pub(super) enum Into {
    File,
    Variables,
}

/// `WITH`.
#[derive(Debug)]
pub(super) struct With {
    pub(super) recursive: bool,
    pub(super) ctes: Vec<Cte>,
}

/// A table where a text names it to be read, in tokens.
#[derive(Debug)]
pub(super) struct Named {
    /// From its name, or the word TABLE before it, to what follows the alias and the index hints.
    pub(super) all: Range<usize>,
    /// Its index hints.
    pub(super) hints: Range<usize>,
    /// Whether it is `TABLE name`, which is a query.
    pub(super) is_query: bool,
    /// What belongs to it that has no place in a derived table.
    pub(super) odd: Option<&'static str>,
}

/// One common table expression.
#[derive(Debug)]
pub(super) struct Cte {
    pub(super) name: Name,
    pub(super) columns: Vec<Name>,
    pub(super) query: Query,
}

/// An item of FROM.
#[derive(Debug)]
pub(super) enum TableRef {
    Table {
        name: ObjectName,
        alias: Option<Name>,
        /// Which of the text's names of tables it is ([`Named`]); none where nothing is read.
        at: Option<usize>,
        /// Whether only some of its partitions are meant.
        partition: bool,
    },
    Derived {
        lateral: bool,
        query: Box<Query>,
        alias: Option<Name>,
        columns: Vec<Name>,
    },
    /// `JSON_TABLE(…)`: what it reads, and the names of its columns.
    Json {
        source: Expr,
        columns: Vec<Name>,
        alias: Option<Name>,
    },
    Joins {
        first: Box<TableRef>,
        rest: Vec<Join>,
    },
    /// `(a, b)`.
    Group(Vec<TableRef>),
}

/// `JOIN t ON …`.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) natural: bool,
    pub(super) right: bool,
    pub(super) table: TableRef,
    pub(super) on: Vec<Expr>,
    pub(super) using: Vec<Name>,
    /// More than one condition, or none where others wait for theirs: which columns are merged is not known.
    pub(super) odd: bool,
}

/// `column = expression`.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) column: Box<[Name]>,
    pub(super) value: Expr,
}

/// A statement.
#[derive(Debug)]
pub(super) struct Tree {
    /// As users name it.
    pub(super) command: String,
    pub(super) body: Body,
    /// What it asks for beyond what its body says.
    pub(super) demands: Vec<Demand>,
    /// Parts that are read for what they ask for.
    pub(super) exprs: Vec<Expr>,
    pub(super) queries: Vec<Query>,
    /// Statements within: the bodies of procedures, triggers, events; what PREPARE prepares.
    pub(super) inner: Vec<Tree>,
    pub(super) notes: Vec<Note>,
    /// The table whose row its expressions may name: triggers, ALTER TABLE.
    pub(super) row_of: Option<ObjectName>,
    /// Tables whose rows show under another name afterwards.
    pub(super) carries: Vec<ObjectName>,
    /// Its tokens.
    pub(super) tokens: Range<usize>,
}

/// The statements whose parts depend on each other.
#[derive(Debug)]
pub(super) enum Body {
    /// All is in `demands`, `exprs` and `queries`.
    Plain,
    /// Returns rows that are no columns of any table (SHOW, EXPLAIN).
    Rows,
    Query(Query),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    /// `EXPLAIN statement`, perhaps `INTO @variable`. A plan that is a table has words and numbers, and no text of the statement.
    Explain {
        tree: Box<Tree>,
        into: bool,
        is_table: bool,
    },
    /// A statement that runs within another and shows what it shows (`SET STATEMENT … FOR`).
    Within(Box<Tree>),
    /// `CREATE TABLE … AS query`.
    CreateAs(Box<Query>),
    /// Whatever a procedure or a prepared statement returns.
    Unknown,
}

/// INSERT, REPLACE.
#[derive(Debug)]
pub(super) struct Insert {
    pub(super) table: ObjectName,
    /// The columns that it names, in their order; none: all.
    pub(super) columns: Vec<Name>,
    /// REPLACE removes the rows that are in the way.
    pub(super) replace: bool,
    pub(super) values: Vec<Expr>,
    pub(super) set: Vec<Assignment>,
    pub(super) query: Option<Query>,
    pub(super) alias: Option<(Name, Vec<Name>)>,
    pub(super) on_duplicate: Vec<Assignment>,
    pub(super) returning: Option<Vec<Item>>,
}

/// UPDATE of one or more tables.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) with: Option<With>,
    pub(super) tables: Vec<TableRef>,
    pub(super) set: Vec<Assignment>,
    pub(super) filter: Option<Expr>,
    /// ORDER BY, LIMIT.
    pub(super) rest: Vec<Expr>,
    /// Where there is a LIMIT: the columns that it is sorted by.
    pub(super) limit: Option<Vec<Name>>,
    pub(super) returning: Option<Vec<Item>>,
}

/// DELETE from one or more tables.
#[derive(Debug)]
pub(super) struct Delete {
    pub(super) with: Option<With>,
    /// What rows are removed from; empty for a DELETE of one table, which then is all of `tables`.
    pub(super) targets: Vec<ObjectName>,
    pub(super) tables: Vec<TableRef>,
    pub(super) filter: Option<Expr>,
    /// ORDER BY, LIMIT.
    pub(super) rest: Vec<Expr>,
    /// Where there is a LIMIT: the columns that it is sorted by.
    pub(super) limit: Option<Vec<Name>>,
    pub(super) returning: Option<Vec<Item>>,
}

/// A right that a statement asks for.
#[derive(Debug)]
pub(super) struct Demand {
    pub(super) action: Action,
    pub(super) target: Target,
}

/// What a right is asked on, before names are resolved.
#[derive(Debug)]
pub(super) enum Target {
    Connection,
    Database(Name),
    Table(ObjectName),
    /// A table of the session's own.
    Temporary(ObjectName),
    Function(ObjectName),
    Setting(Name),
    Role(Name),
    File(Name),
    /// By kind and name.
    Object(&'static str, Name),
    /// By kind and name, in a database.
    InDatabase(&'static str, ObjectName),
    Opaque(String),
}

/// What the session has to know.
#[derive(Debug)]
pub(super) enum Note {
    /// A setting, and its value where it is constant.
    Set {
        name: Name,
        value: Option<String>,
    },
    Prepare {
        name: Name,
    },
    Execute {
        name: Name,
    },
    Deallocate {
        name: Name,
    },
    SchemaChanged,
    MadeTemporary(ObjectName),
    /// `DROP TABLE`, which may drop a table of the session's own.
    Upload(Name),
    /// The beginning of the name of an index that is to be used, in lower case.
    Hint(Name),
    Kill {
        id: u64,
        query_only: bool,
    },
}
