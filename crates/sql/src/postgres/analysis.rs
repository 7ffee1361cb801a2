//! A whole query string: its statements, their accesses, outputs and effects.
use super::{
    Analysis, Cost, Effect, Environment, Reads, Reference, SqlError, Statement, Transaction, copy, cost,
    lineage::{self, Reading},
    named, query, reads, temporary, utility,
    walk::Walk,
};
use crate::meaning::Dropped;
use doorward_model::{Access, Action, Facts, Name, Resource};
use pg_raw_parse::{Node, nodes, nodes::VariableSetKind};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Reads a query string.
///
/// # Errors
/// [`SqlError::Syntax`] if the grammar does not accept it, [`SqlError::TooDeep`] if it is nested too deep.
pub fn analyse(text: &str, env: &Environment) -> Result<Analysis, SqlError> {
    let cost = cost(text);
    let depth = match cost {
        Cost::Inline => lineage::INLINE_DEPTH,
        Cost::Offload => lineage::OFFLOAD_DEPTH,
        Cost::TooDeep(what) => return Err(SqlError::TooDeep { what }),
    };
    let tree = pg_raw_parse::parse(text).map_err(|e| {
        let message = e.to_string();
        let message = message.strip_prefix("Invalid statement: ").unwrap_or(&message).to_owned();
        SqlError::Syntax { message, position: 0 }
    })?;
    // The binding panics where its declared element types are wrong: such a statement is not understood.
    let read = catch_unwind(AssertUnwindSafe(|| whole(env, &tree, text, depth)));
    Ok(read.unwrap_or_else(|_| unreadable()))
}

fn unreadable() -> Analysis {
    let opaque = Access::new(Action::Opaque, Resource::Opaque { what: "the statement".into() });
    Analysis { facts: Arc::new(Facts::new("?", 1, vec![opaque])), statements: Vec::new() }
}

fn whole(env: &Environment, tree: &pg_raw_parse::ParseResult, text: &str, depth: usize) -> Analysis {
    let mut walk = Walk::new(env, 0);
    let mut statements = Vec::new();
    let mut commands = String::new();
    let mut nodes = tree.stmts().peekable();
    while let Some(node) = nodes.next() {
        let is_last = nodes.peek().is_none();
        walk.made_temporary.clear();
        walk.schema_changed = false;
        walk.settings.clear();
        walk.reads = Default::default();
        walk.found = Default::default();
        walk.writes = Default::default();
        walk.keeps_texts = matches!(node, Node::ExecuteStmt(_));
        walk.statement(node);
        query::certain_to_be_set(&mut walk, node);
        let statement = one(&walk, (node, is_last), env, depth, text);
        if commands.len() < 1000 {
            if !commands.is_empty() {
                commands.push_str("; ");
            }
            commands.push_str(&statement.command);
        }
        statements.push(statement);
    }
    for (statement, node) in statements.iter_mut().zip(tree.stmts()) {
        statement.reads.named = named::columns(node, env);
    }
    if statements.is_empty() {
        walk.add(Action::Connect, Resource::Connection);
    }
    let count = u32::try_from(statements.len()).unwrap_or(u32::MAX);
    Analysis { facts: Arc::new(Facts::new(&commands, count, walk.into_accesses())), statements }
}

fn one<'a>(
    walk: &Walk<'a, '_>,
    (node, is_last): (Node<'a>, bool),
    env: &Environment,
    depth: usize,
    text: &str,
) -> Statement {
    let mut reading = Reading::new(env, depth);
    let lineage = reading.statement(node);
    let copy = if let Node::CopyStmt(s) = node { copy::spec(s, lineage.as_ref()) } else { None };
    let mut effects = effects(node, env, depth, text);
    effects.extend(walk.settings.iter().cloned());
    effects.extend(temporary::effects(node, &walk.made_temporary));
    if walk.schema_changed {
        effects.push(Effect::SchemaChanged);
    }
    let (moves, weighs) = reading.into_moves_and_weighs();
    Statement {
        command: command(node),
        lineage: if copy.is_some() || matches!(node, Node::CopyStmt(_)) { None } else { lineage },
        moves,
        writes: walk.writes.clone(),
        copy,
        effects,
        references: references(node),
        reads: Reads { weighs, ..reads::located(walk, (node, is_last), text) },
        ..Statement::default()
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "other statements refer to nothing")]
fn references(node: Node<'_>) -> Vec<Reference> {
    match node {
        Node::ExecuteStmt(s) => vec![Reference::Prepared(s.name().unwrap_or_default().into())],
        Node::FetchStmt(s) => vec![Reference::Cursor(s.portalname().unwrap_or_default().into())],
        Node::ExplainStmt(s) => references(s.query()),
        Node::CreateTableAsStmt(s) => references(s.query()),
        _ => Vec::new(),
    }
}

const CURSOR_OPT_HOLD: i32 = 0x20;

#[allow(clippy::wildcard_enum_match_arm, reason = "other statements have no effect on later ones")]
fn effects(node: Node<'_>, env: &Environment, depth: usize, text: &str) -> Vec<Effect> {
    match node {
        Node::VariableSetStmt(s) => set_effect(s),
        Node::TransactionStmt(s) => transaction_effect(s).map(Effect::Transaction).into_iter().collect(),
        Node::DiscardStmt(s) => match s.target {
            nodes::DiscardMode::DISCARD_ALL => {
                let user = Effect::Set { name: "session_authorization".into(), value: None, local: false };
                vec![user, Effect::ResetAll, Effect::ForgetPrepared, Effect::DroppedTemporary(Dropped::All)]
            }
            nodes::DiscardMode::DISCARD_TEMP => vec![Effect::DroppedTemporary(Dropped::All)],
            _ => Vec::new(),
        },
        Node::DeallocateStmt(s) => match s.name() {
            Some(name) => vec![Effect::Deallocate { name: name.into() }],
            None => vec![Effect::ForgetPrepared],
        },
        Node::PrepareStmt(s) => {
            let mut walk = Walk::new(env, 0);
            walk.statement(s.query());
            let mut statement = one(&walk, (s.query(), true), env, depth, text);
            // They are those of the whole text.
            statement.reads.places.clear();
            statement.reads.named = named::columns(s.query(), env);
            let facts = Arc::new(Facts::new(&statement.command.clone(), 1, walk.into_accesses()));
            let analysis = Arc::new(Analysis { facts, statements: vec![statement] });
            vec![Effect::Prepare { name: s.name().unwrap_or_default().into(), analysis }]
        }
        Node::DeclareCursorStmt(s) => {
            let mut walk = Walk::new(env, 0);
            walk.statement(s.query());
            let facts = Arc::new(Facts::new(&command(s.query()), 1, walk.into_accesses()));
            let lineage = Reading::new(env, depth).statement(s.query()).unwrap_or_default();
            vec![Effect::Declare { name: s.portalname().unwrap_or_default().into(), lineage, facts }]
        }
        _ => Vec::new(),
    }
}

fn transaction_effect(s: &nodes::TransactionStmt) -> Option<Transaction> {
    use nodes::TransactionStmtKind as K;
    let name = || s.savepoint_name().unwrap_or_default().into();
    match s.kind {
        K::TRANS_STMT_COMMIT | K::TRANS_STMT_ROLLBACK | K::TRANS_STMT_PREPARE => Some(Transaction::End),
        K::TRANS_STMT_SAVEPOINT => Some(Transaction::Savepoint(name())),
        K::TRANS_STMT_ROLLBACK_TO => Some(Transaction::RollbackTo(name())),
        K::TRANS_STMT_RELEASE => Some(Transaction::Release(name())),
        _ => None,
    }
}

fn set_effect(s: &nodes::VariableSetStmt) -> Vec<Effect> {
    let name: Name = s.name().unwrap_or_default().to_ascii_lowercase().into();
    let value = match s.kind {
        VariableSetKind::VAR_SET_VALUE if &*name == "search_path" => utility::quoted_list(s.args()),
        VariableSetKind::VAR_SET_VALUE => utility::set_value(s.args()),
        VariableSetKind::VAR_SET_DEFAULT | VariableSetKind::VAR_RESET => None,
        VariableSetKind::VAR_RESET_ALL => return vec![Effect::ResetAll],
        _ => return Vec::new(),
    };
    vec![Effect::Set { name, value, local: s.is_local }]
}

/// Whether a cursor outlives its transaction: its rows are stored.
pub(super) fn with_hold(s: &nodes::DeclareCursorStmt) -> bool {
    s.options & CURSOR_OPT_HOLD != 0
}

/// The command as users name it.
#[allow(clippy::wildcard_enum_match_arm, reason = "named after the grammar's own name")]
fn command(node: Node<'_>) -> Name {
    match node {
        Node::SelectStmt(s) if s.into_clause().is_some() => "SELECT INTO".into(),
        Node::SelectStmt(_) => "SELECT".into(),
        Node::InsertStmt(_) => "INSERT".into(),
        Node::UpdateStmt(_) => "UPDATE".into(),
        Node::DeleteStmt(_) => "DELETE".into(),
        Node::MergeStmt(_) => "MERGE".into(),
        Node::TransactionStmt(s) => transaction(s).into(),
        Node::VariableSetStmt(s) => match s.kind {
            VariableSetKind::VAR_RESET | VariableSetKind::VAR_RESET_ALL => "RESET".into(),
            _ => "SET".into(),
        },
        Node::VariableShowStmt(_) => "SHOW".into(),
        Node::CreateStmt(_) => "CREATE TABLE".into(),
        Node::CreateTableAsStmt(_) => "CREATE TABLE AS".into(),
        Node::CreatedbStmt(_) => "CREATE DATABASE".into(),
        Node::DropdbStmt(_) => "DROP DATABASE".into(),
        Node::CheckPointStmt(_) => "CHECKPOINT".into(),
        Node::DropStmt(s) => format!("DROP {}", object_kind(s.remove_type)).into(),
        Node::AlterTableStmt(s) => format!("ALTER {}", object_kind(s.objtype)).into(),
        Node::GrantStmt(s) => if s.is_grant { "GRANT" } else { "REVOKE" }.into(),
        Node::GrantRoleStmt(s) => if s.is_grant { "GRANT ROLE" } else { "REVOKE ROLE" }.into(),
        Node::VacuumStmt(s) => if s.is_vacuumcmd { "VACUUM" } else { "ANALYZE" }.into(),
        Node::FetchStmt(s) => if s.ismove { "MOVE" } else { "FETCH" }.into(),
        Node::CreateFunctionStmt(s) => if s.is_procedure { "CREATE PROCEDURE" } else { "CREATE FUNCTION" }.into(),
        Node::LockStmt(_) => "LOCK TABLE".into(),
        Node::TruncateStmt(_) => "TRUNCATE TABLE".into(),
        Node::ClosePortalStmt(_) => "CLOSE".into(),
        Node::DeclareCursorStmt(_) => "DECLARE CURSOR".into(),
        Node::IndexStmt(_) => "CREATE INDEX".into(),
        Node::ViewStmt(_) => "CREATE VIEW".into(),
        Node::RuleStmt(_) => "CREATE RULE".into(),
        Node::CreateTrigStmt(_) => "CREATE TRIGGER".into(),
        Node::CreateEventTrigStmt(_) => "CREATE EVENT TRIGGER".into(),
        Node::CreateEnumStmt(_) | Node::CreateRangeStmt(_) | Node::CompositeTypeStmt(_) => "CREATE TYPE".into(),
        Node::RefreshMatViewStmt(_) => "REFRESH MATERIALIZED VIEW".into(),
        Node::CreateSeqStmt(_) => "CREATE SEQUENCE".into(),
        Node::ConstraintsSetStmt(_) => "SET CONSTRAINTS".into(),
        other => words(other).into(),
    }
}

fn object_kind(object: nodes::ObjectType::Type) -> &'static str {
    use nodes::ObjectType as T;
    match object {
        T::OBJECT_TABLE => "TABLE",
        T::OBJECT_VIEW => "VIEW",
        T::OBJECT_MATVIEW => "MATERIALIZED VIEW",
        T::OBJECT_INDEX => "INDEX",
        T::OBJECT_SEQUENCE => "SEQUENCE",
        T::OBJECT_SCHEMA => "SCHEMA",
        T::OBJECT_FUNCTION => "FUNCTION",
        T::OBJECT_PROCEDURE => "PROCEDURE",
        T::OBJECT_TRIGGER => "TRIGGER",
        T::OBJECT_TYPE => "TYPE",
        T::OBJECT_DOMAIN => "DOMAIN",
        T::OBJECT_EXTENSION => "EXTENSION",
        T::OBJECT_POLICY => "POLICY",
        T::OBJECT_RULE => "RULE",
        T::OBJECT_FOREIGN_TABLE => "FOREIGN TABLE",
        T::OBJECT_AGGREGATE => "AGGREGATE",
        T::OBJECT_ROUTINE => "ROUTINE",
        T::OBJECT_PUBLICATION => "PUBLICATION",
        _ => "OBJECT",
    }
}

fn transaction(s: &nodes::TransactionStmt) -> &'static str {
    use nodes::TransactionStmtKind as K;
    match s.kind {
        K::TRANS_STMT_BEGIN => "BEGIN",
        K::TRANS_STMT_START => "START TRANSACTION",
        K::TRANS_STMT_COMMIT => "COMMIT",
        K::TRANS_STMT_ROLLBACK | K::TRANS_STMT_ROLLBACK_TO => "ROLLBACK",
        K::TRANS_STMT_SAVEPOINT => "SAVEPOINT",
        K::TRANS_STMT_RELEASE => "RELEASE",
        K::TRANS_STMT_PREPARE => "PREPARE TRANSACTION",
        K::TRANS_STMT_COMMIT_PREPARED => "COMMIT PREPARED",
        K::TRANS_STMT_ROLLBACK_PREPARED => "ROLLBACK PREPARED",
        _ => "TRANSACTION",
    }
}

/// `AlterRoleSetStmt` as `ALTER ROLE SET`.
fn words(node: Node<'_>) -> String {
    let mut debug = Head(String::new());
    // Only the first word is wanted: the writer refuses the rest.
    let _cut_short = std::fmt::Write::write_fmt(&mut debug, format_args!("{node:?}"));
    let name = debug.0.strip_suffix("Stmt").unwrap_or(&debug.0);
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if i > 0 && c.is_ascii_uppercase() {
            out.push(' ');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

struct Head(String);

impl std::fmt::Write for Head {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        if self.0.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric()) {
            self.0.push_str(s);
            return Ok(());
        }
        Err(std::fmt::Error)
    }
}
