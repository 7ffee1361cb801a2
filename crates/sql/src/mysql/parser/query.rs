//! Queries: SELECT, VALUES, TABLE, their combinations and clauses.
use super::{Edit, Kind, Parsed, Parser, Role, Token, expr::folded_path};
use crate::mysql::{
    render,
    tree::{Arm, Body, Cte, Expr, Into, Item, Join, Lock, Named, Note, Query, Select, TableRef, Target, With},
    words,
};
use doorward_model::{Action, Name};

/// The longest name of an output that is not cut, and of a column.
const MAX_OUTPUT_NAME: usize = 256;
const MAX_COLUMN_NAME: usize = 64;

impl Parser<'_> {
    pub(super) fn query_statement(&mut self) -> Parsed<(String, Body)> {
        // WITH may begin an UPDATE or a DELETE.
        if self.is("WITH") {
            let with = self.with()?;
            if self.is("UPDATE") {
                return self.update_with(with);
            }
            if self.is("DELETE") {
                return self.delete_with(with);
            }
            let arm = self.arm(&mut None)?;
            let query = self.query_from(with, arm)?;
            return Ok(("SELECT".to_owned(), Body::Query(query)));
        }
        let query = self.query()?;
        let command = if query.into.is_some() { "SELECT INTO" } else { "SELECT" };
        Ok((command.to_owned(), Body::Query(query)))
    }

    /// A query with WITH, ORDER BY, LIMIT, locks, INTO.
    pub(super) fn query(&mut self) -> Parsed<Query> {
        self.enter()?;
        let with = self.with()?;
        let mut into = None;
        let arm = self.arm(&mut into)?;
        let mut query = self.query_from(with, arm)?;
        if into.is_some() {
            if query.into.is_some() {
                return self.fail("one INTO");
            }
            query.into = into;
        }
        self.leave();
        Ok(query)
    }

    /// The rest of a query whose first arm was read.
    pub(super) fn query_from(&mut self, with: Option<With>, first: Arm) -> Parsed<Query> {
        let mut query = Query { with, arms: vec![first], ..Query::default() };
        while self.is_any(&["UNION", "EXCEPT", "INTERSECT"]) {
            let union = self.is("UNION");
            self.take(Role::Plain);
            let all = self.eat("ALL");
            let _distinct = !all && self.eat("DISTINCT");
            query.compares |= !(union && all);
            let arm = self.arm(&mut query.into)?;
            query.arms.push(arm);
        }
        if self.is("ORDER") {
            query.rest.append(&mut self.order_by()?);
        }
        self.limit(&mut query.limits)?;
        if self.is("PROCEDURE") {
            return self.fail("no PROCEDURE");
        }
        if query.into.is_none() {
            query.into = self.into()?;
        }
        self.locks(&mut query.locks)?;
        if query.into.is_none() {
            query.into = self.into()?;
        }
        Ok(query)
    }

    pub(super) fn with(&mut self) -> Parsed<Option<With>> {
        if !self.eat("WITH") {
            return Ok(None);
        }
        let recursive = self.eat("RECURSIVE");
        let ctes = self.list(|p| {
            let name = p.name()?;
            let columns = if p.is_mark("(") { p.parens(Self::folded)? } else { Vec::new() };
            p.expect("AS")?;
            let query = p.subquery()?;
            if p.eat("CYCLE") {
                p.list(Self::folded)?;
                p.expect("RESTRICT")?;
            }
            Ok(Cte { name, columns, query })
        })?;
        Ok(Some(With { recursive, ctes }))
    }

    fn arm(&mut self, into: &mut Option<Into>) -> Parsed<Arm> {
        if self.eat_mark("(") {
            let query = self.query()?;
            self.expect_mark(")")?;
            return Ok(Arm::Paren(Box::new(query)));
        }
        if self.is("TABLE") {
            let start = self.at;
            self.take(Role::Plain);
            let name = self.object()?;
            let (all, hints) = (start..self.at, self.at..self.at);
            self.named.push(Named { all, hints, is_query: true, odd: None });
            return Ok(Arm::Table(name, self.named.len() - 1));
        }
        if self.eat("VALUES") {
            let rows = self.list(|p| {
                let _row = p.eat("ROW");
                p.row()
            })?;
            return Ok(Arm::Values(rows));
        }
        self.expect("SELECT")?;
        self.select(into).map(|s| Arm::Select(Box::new(s)))
    }

    /// `(value, …)`; DEFAULT is a value, and none at all is a row too. Literals leave nothing in the tree.
    pub(super) fn row(&mut self) -> Parsed<Expr> {
        self.expect_mark("(")?;
        let mut out = Vec::new();
        if self.eat_mark(")") {
            return Ok(Expr::Many(out));
        }
        loop {
            let simple =
                matches!(self.kind(), Some(Kind::Text | Kind::Integer | Kind::Decimal | Kind::Bits | Kind::Parameter))
                    || self.is("NULL")
                    || self.is("DEFAULT");
            if simple && (self.is_mark_nth(1, ",") || self.is_mark_nth(1, ")")) {
                self.take(Role::Plain);
            } else {
                out.push(self.expr()?);
            }
            if !self.eat_mark(",") {
                break;
            }
        }
        self.expect_mark(")")?;
        Ok(Expr::Many(out))
    }

    /// Hints that are printed: those whose words we know. Others are comments.
    pub(super) fn hint(&mut self) {
        if let Some(token) = self.peek().filter(|t| t.kind == Kind::Hint) {
            let known = render::is_known_hint(self.slice(token));
            self.take(if known { Role::Plain } else { Role::Dropped });
        }
    }

    fn select(&mut self, into: &mut Option<Into>) -> Parsed<Select> {
        let mut begins = self.at.saturating_sub(1);
        self.hint();
        if self.roles.get(self.at.saturating_sub(1)).is_some_and(|role| *role != Role::Dropped) {
            begins = self.at.saturating_sub(1);
        }
        self.selects.push(begins);
        let mut distinct = false;
        while self.is_any(&["DISTINCT", "DISTINCTROW"])
            || self.eat_any(&[
                "ALL",
                "HIGH_PRIORITY",
                "STRAIGHT_JOIN",
                "SQL_SMALL_RESULT",
                "SQL_BIG_RESULT",
                "SQL_BUFFER_RESULT",
                "SQL_CACHE",
                "SQL_NO_CACHE",
                "SQL_CALC_FOUND_ROWS",
            ])
        {
            distinct |= self.eat_any(&["DISTINCT", "DISTINCTROW"]);
        }
        let mut out = Select { distinct, items: self.list(Self::item)?, ..Select::default() };
        if let Some(found) = self.into()? {
            *into = Some(found);
        }
        if self.eat("FROM") {
            out.from = self.list(Self::table_ref)?;
        }
        if self.eat("WHERE") {
            out.filter = Some(self.expr()?);
        }
        if self.eat_all(&["GROUP", "BY"]) {
            out.rest.append(&mut self.sorted()?);
            let _rollup = self.eat_all(&["WITH", "ROLLUP"]);
        }
        if self.eat("HAVING") {
            out.rest.push(self.expr()?);
        }
        if self.eat("WINDOW") {
            out.windows = self.list(|p| {
                let name = p.folded()?;
                p.expect("AS")?;
                Ok((name, p.window()?))
            })?;
        }
        Ok(out)
    }

    /// `expression [ASC | DESC], …`
    fn sorted(&mut self) -> Parsed<Vec<Expr>> {
        self.list(|p| {
            let e = p.expr()?;
            let _order = p.eat_any(&["ASC", "DESC"]);
            Ok(e)
        })
    }

    pub(super) fn order_by(&mut self) -> Parsed<Vec<Expr>> {
        self.expect_all(&["ORDER", "BY"])?;
        let out = self.sorted()?;
        let _rollup = self.eat_all(&["WITH", "ROLLUP"]);
        Ok(out)
    }

    pub(super) fn limit(&mut self, rest: &mut Vec<Expr>) -> Parsed<()> {
        if self.eat("LIMIT") {
            if !self.is("ROWS") {
                rest.push(self.expr()?);
                if self.eat_mark(",") || self.eat("OFFSET") {
                    rest.push(self.expr()?);
                }
            }
            if self.eat_all(&["ROWS", "EXAMINED"]) {
                rest.push(self.expr()?);
            }
        }
        if self.env.upstream.is_mariadb() {
            if self.eat("OFFSET") {
                rest.push(self.expr()?);
                self.expect_any(&["ROW", "ROWS"], "ROWS")?;
            }
            if self.eat("FETCH") {
                self.expect_any(&["FIRST", "NEXT"], "FIRST")?;
                if !self.is_any(&["ROW", "ROWS"]) {
                    rest.push(self.expr()?);
                }
                self.expect_any(&["ROW", "ROWS"], "ROWS")?;
                if !self.eat("ONLY") {
                    self.expect_all(&["WITH", "TIES"])?;
                }
            }
        }
        Ok(())
    }

    fn locks(&mut self, out: &mut Vec<Lock>) -> Parsed<()> {
        loop {
            if self.eat_all(&["LOCK", "IN", "SHARE", "MODE"]) {
                out.push(Lock { of: Vec::new() });
            } else if self.is("FOR") && (self.is_nth(1, "UPDATE") || self.is_nth(1, "SHARE")) {
                self.take(Role::Plain);
                self.take(Role::Plain);
                let of = if self.eat("OF") { self.list(Self::object)? } else { Vec::new() };
                out.push(Lock { of });
            } else {
                return Ok(());
            }
            let _waits = self.eat("NOWAIT") || self.eat_all(&["SKIP", "LOCKED"]);
            if self.eat("WAIT") {
                self.number()?;
            }
        }
    }

    /// `INTO OUTFILE …`, `INTO DUMPFILE …`, `INTO @a, b`.
    fn into(&mut self) -> Parsed<Option<Into>> {
        if !self.eat("INTO") {
            return Ok(None);
        }
        if self.eat("OUTFILE") {
            let path = self.string()?;
            if self.eat_all(&["CHARACTER", "SET"]) || self.eat("CHARSET") {
                self.word_or_string()?;
            }
            self.file_format()?;
            self.demand(Action::WriteFile, Target::File(path.into()));
            return Ok(Some(Into::File));
        }
        if self.eat("DUMPFILE") {
            let path = self.string()?;
            self.demand(Action::WriteFile, Target::File(path.into()));
            return Ok(Some(Into::File));
        }
        self.list(|p| {
            if p.eat_kind(Kind::Variable) {
                return Ok(());
            }
            if p.in_program { p.name().map(|_| ()) } else { p.fail("a variable") }
        })?;
        Ok(Some(Into::Variables))
    }

    /// `FIELDS … LINES …` of files.
    pub(super) fn file_format(&mut self) -> Parsed<()> {
        if self.eat_any(&["FIELDS", "COLUMNS"]) {
            loop {
                let _optionally = self.eat("OPTIONALLY");
                if !self.eat_any(&["TERMINATED", "ENCLOSED", "ESCAPED"]) {
                    break;
                }
                self.expect("BY")?;
                self.delimiter()?;
            }
        }
        if self.eat("LINES") {
            while self.eat_any(&["TERMINATED", "STARTING"]) {
                self.expect("BY")?;
                self.delimiter()?;
            }
        }
        Ok(())
    }

    fn delimiter(&mut self) -> Parsed<()> {
        if self.eat_kind(Kind::Text) || self.eat_kind(Kind::Bits) { Ok(()) } else { self.fail("a string") }
    }

    /// One output, with a name for those outputs whose name would not survive the printing: the server names
    /// an output by its text.
    pub(super) fn item(&mut self) -> Parsed<Item> {
        if self.eat_mark("*") {
            return Ok(Item { expr: Expr::Star(Box::default()), name: None });
        }
        if let Some(path) = self.qualified_star()? {
            return Ok(Item { expr: Expr::Star(path), name: None });
        }
        let start = self.at;
        let expr = self.expr()?;
        let end = self.at;
        if self.eat("AS") {
            let name = if self.kind() == Some(Kind::Text) { self.string()?.into() } else { self.name()? };
            return Ok(Item { expr, name: Some(name.to_lowercase().into()) });
        }
        if self.kind() == Some(Kind::Text) {
            return Ok(Item { expr, name: Some(self.string()?.to_lowercase().into()) });
        }
        if self.is_name() {
            return Ok(Item { expr, name: Some(self.folded()?) });
        }
        let name = match &expr {
            Expr::Column(path) => {
                if self.in_program && path.len() == 1 {
                    // A variable of the program is named by its text.
                    self.name_by_text(start, end);
                }
                path.last().cloned()
            }
            Expr::Text(value) => Some(value.to_lowercase().into()),
            Expr::Nothing
            | Expr::Star(_)
            | Expr::Variable
            | Expr::Assign(_)
            | Expr::System { .. }
            | Expr::Call(_)
            | Expr::Window(_)
            | Expr::Query { .. }
            | Expr::Many(_) => self.name_by_text(start, end),
        };
        Ok(Item { expr, name })
    }

    /// Gives an output the name that the server would give it.
    fn name_by_text(&mut self, start: usize, end: usize) -> Option<Name> {
        let (first, last) = (self.tokens.get(start)?, self.tokens.get(end.checked_sub(1)?)?);
        let raw = self.text.get(first.start as usize..last.end as usize)?;
        let name = std::str::from_utf8(raw).ok()?;
        let longest = if self.in_view { MAX_COLUMN_NAME } else { MAX_OUTPUT_NAME };
        let fits = raw.len() <= longest && name.chars().all(|c| u32::from(c) <= 0xFFFF);
        if fits && !self.is_text(start, end) && render::range(self, start, end) != raw {
            let mut alias = b" AS ".to_vec();
            render::push_quoted(&mut alias, name);
            self.edit(end - 1, Edit::Append(alias));
        }
        Some(name.to_lowercase().into())
    }

    /// Whether tokens are a string literal and no more: its value is its name.
    fn is_text(&self, start: usize, end: usize) -> bool {
        let mut tokens = self.tokens.get(start..end).unwrap_or_default().iter();
        let text = |t: &Token| matches!(t.kind, Kind::Text | Kind::National);
        let first = tokens.next().is_some_and(|t| text(t) || (end - start > 1 && words::introducer(self.slice(*t))));
        first && tokens.all(text)
    }

    /// `t.*`, `db.t.*`
    fn qualified_star(&mut self) -> Parsed<Option<Box<[Name]>>> {
        let one = self.is_mark_nth(1, ".") && self.is_mark_nth(2, "*");
        let two = self.is_mark_nth(1, ".") && self.is_mark_nth(3, ".") && self.is_mark_nth(4, "*");
        if !(self.is_name() && (one || (two && self.is_name_nth(2)))) {
            return Ok(None);
        }
        let mut path = vec![self.name()?];
        self.take(Role::Plain);
        if two {
            path.push(self.name()?);
            self.take(Role::Plain);
        }
        self.take(Role::Plain);
        Ok(Some(path.into_boxed_slice()))
    }

    /// A table with all that is joined to it.
    pub(super) fn table_ref(&mut self) -> Parsed<TableRef> {
        let first = self.table_factor()?;
        self.joins(first)
    }

    fn joins(&mut self, first: TableRef) -> Parsed<TableRef> {
        let mut rest: Vec<Join> = Vec::new();
        loop {
            let natural = self.is("NATURAL");
            let offset = usize::from(natural);
            let side = self.is_nth(offset, "LEFT") || self.is_nth(offset, "RIGHT");
            let joins = if side {
                self.is_nth(offset + 1, "JOIN") || (self.is_nth(offset + 1, "OUTER") && self.is_nth(offset + 2, "JOIN"))
            } else {
                self.is_nth(offset, "JOIN")
                    || self.is_nth(offset, "STRAIGHT_JOIN")
                    || ((self.is_nth(offset, "INNER") || self.is_nth(offset, "CROSS"))
                        && self.is_nth(offset + 1, "JOIN"))
            };
            if !joins {
                break;
            }
            let right = self.is_nth(offset, "RIGHT");
            while !self.is_any(&["JOIN", "STRAIGHT_JOIN"]) {
                self.take(Role::Plain);
            }
            self.take(Role::Plain);
            let table = self.table_factor()?;
            let mut join = Join { natural, right, table, on: Vec::new(), using: Vec::new(), odd: false };
            self.conditions(&mut join)?;
            rest.push(join);
        }
        if rest.is_empty() { Ok(first) } else { Ok(TableRef::Joins { first: Box::new(first), rest }) }
    }

    fn conditions(&mut self, join: &mut Join) -> Parsed<()> {
        let mut count = 0;
        loop {
            if self.eat("ON") {
                join.on.push(self.expr()?);
            } else if self.eat("USING") {
                join.using.append(&mut self.parens(Self::folded)?);
            } else {
                break;
            }
            count += 1;
        }
        join.odd = count > 1;
        Ok(())
    }

    fn table_factor(&mut self) -> Parsed<TableRef> {
        if self.eat("DUAL") {
            return Ok(TableRef::Group(Vec::new()));
        }
        if self.is_mark("{") && self.is_nth(1, "OJ") {
            self.take(Role::Plain);
            self.take(Role::Plain);
            self.enter()?;
            let inner = self.table_ref()?;
            self.leave();
            self.expect_mark("}")?;
            return Ok(inner);
        }
        if self.is("LATERAL") && self.is_mark_nth(1, "(") {
            self.take(Role::Plain);
            let query = Box::new(self.subquery()?);
            return self.derived(true, query);
        }
        if self.is("JSON_TABLE") && self.is_mark_nth(1, "(") {
            return self.json_table();
        }
        if self.is_mark("(") {
            return self.table_paren();
        }
        let start = self.at;
        // In the order of their beginnings, whatever tables are named within.
        let at = self.named.len();
        self.named.push(Named { all: start..start, hints: start..start, is_query: false, odd: None });
        let name = self.object()?;
        let partition = self.eat("PARTITION");
        if partition {
            self.parens(Self::folded)?;
        }
        let before = self.at;
        self.system_time()?;
        let odd = match (partition, self.at > before) {
            (true, _) => Some("PARTITION"),
            (false, true) => Some("FOR SYSTEM_TIME"),
            (false, false) => None,
        };
        let alias = self.table_alias()?;
        let end = self.at;
        self.index_hints()?;
        if let Some(named) = self.named.get_mut(at) {
            *named = Named { all: start..self.at, hints: end..self.at, is_query: false, odd };
        }
        Ok(TableRef::Table { name, alias, at: Some(at), partition })
    }

    /// `FOR SYSTEM_TIME …` (MariaDB).
    fn system_time(&mut self) -> Parsed<()> {
        if !self.eat_all(&["FOR", "SYSTEM_TIME"]) || self.eat("ALL") {
            return Ok(());
        }
        let point = |p: &mut Self| {
            let _unit = p.is_mark_nth(1, "(") || p.eat_any(&["TIMESTAMP", "TRANSACTION"]);
            let e = p.expr()?;
            p.collected.exprs.push(e);
            Ok(())
        };
        if self.eat_all(&["AS", "OF"]) || self.eat("BETWEEN") {
            return point(self);
        }
        self.expect("FROM")?;
        point(self)?;
        self.expect("TO")?;
        point(self)
    }

    pub(super) fn table_alias(&mut self) -> Parsed<Option<Name>> {
        if self.eat("AS") {
            return self.name_or_string().map(Some);
        }
        // Words that begin what follows a table in some statements.
        let clause = self.is("SET") || self.is_any(&["WINDOW", "OFFSET"]) || self.is_all(&["FOR", "PORTION"]);
        if self.is_name() && !clause { self.name().map(Some) } else { Ok(None) }
    }

    fn index_hints(&mut self) -> Parsed<()> {
        loop {
            let hint = self.is_any(&["USE", "FORCE", "IGNORE"]) && (self.is_nth(1, "INDEX") || self.is_nth(1, "KEY"));
            if !hint {
                return Ok(());
            }
            let leaves_out = self.is("IGNORE");
            self.take(Role::Plain);
            self.take(Role::Plain);
            if self.eat("FOR") && !self.eat("JOIN") {
                self.expect_any(&["ORDER", "GROUP"], "JOIN, ORDER BY or GROUP BY")?;
                self.expect("BY")?;
            }
            self.expect_mark("(")?;
            if !self.is_mark(")") {
                for name in self.list(|p| if p.eat("PRIMARY") { Ok("primary".into()) } else { p.folded() })? {
                    if !leaves_out {
                        self.note(Note::Hint(name));
                    }
                }
            }
            self.expect_mark(")")?;
            let _comma = self.is_mark(",") && self.is_any_nth(1, &["USE", "FORCE", "IGNORE"]) && self.eat_mark(",");
        }
    }

    fn is_any_nth(&self, n: usize, words: &[&str]) -> bool {
        words.iter().any(|w| self.is_nth(n, w))
    }

    fn table_paren(&mut self) -> Parsed<TableRef> {
        self.enter()?;
        self.expect_mark("(")?;
        let out = if self.query_at(0) {
            let query = Box::new(self.query()?);
            self.expect_mark(")")?;
            self.derived(false, query)?
        } else {
            let first = self.table_factor()?;
            self.rest_of_table_paren(first)?
        };
        self.leave();
        Ok(out)
    }

    /// What follows the first table in parentheses.
    fn rest_of_table_paren(&mut self, first: TableRef) -> Parsed<TableRef> {
        let derived = matches!(&first, TableRef::Derived { lateral: false, alias: None, .. });
        if derived && self.query_goes_on() {
            // It was the first arm of a query.
            let TableRef::Derived { query, .. } = first else { return self.fail("a query") };
            let query = Box::new(self.query_from(None, Arm::Paren(query))?);
            self.expect_mark(")")?;
            return self.derived(false, query);
        }
        let mut all = vec![self.joins(first)?];
        while self.eat_mark(",") {
            all.push(self.table_ref()?);
        }
        self.expect_mark(")")?;
        let single = all.len() == 1 && matches!(all.last(), Some(TableRef::Derived { alias: None, .. }));
        let aliased = self.is("AS") || (self.is_name() && !self.is_any(&["WINDOW", "OFFSET"]));
        // `((SELECT …)) AS x`: a derived table in more parentheses.
        if single && aliased {
            let Some(TableRef::Derived { lateral, query, .. }) = all.pop() else { return self.fail("a query") };
            return self.derived(lateral, query);
        }
        if aliased && !self.is_all(&["FOR", "PORTION"]) {
            return self.fail("no alias of a join");
        }
        if single { Ok(all.pop().unwrap_or(TableRef::Group(Vec::new()))) } else { Ok(TableRef::Group(all)) }
    }

    fn derived(&mut self, lateral: bool, query: Box<Query>) -> Parsed<TableRef> {
        let alias = self.table_alias()?;
        let columns = if alias.is_some() && self.is_mark("(") { self.parens(Self::folded)? } else { Vec::new() };
        Ok(TableRef::Derived { lateral, query, alias, columns })
    }

    fn json_table(&mut self) -> Parsed<TableRef> {
        self.take(Role::Function);
        self.expect_mark("(")?;
        let source = self.expr()?;
        self.expect_mark(",")?;
        self.string()?;
        let mut columns = Vec::new();
        self.json_columns(&mut columns)?;
        self.on_empty_or_error()?;
        self.expect_mark(")")?;
        let alias = self.table_alias()?;
        Ok(TableRef::Json { source, columns, alias })
    }

    fn json_columns(&mut self, out: &mut Vec<Name>) -> Parsed<()> {
        self.enter()?;
        self.expect("COLUMNS")?;
        self.expect_mark("(")?;
        loop {
            if self.is("NESTED") && (self.is_nth(1, "PATH") || self.nth(1).is_some_and(|t| t.kind == Kind::Text)) {
                self.take(Role::Plain);
                let _path = self.eat("PATH");
                self.string()?;
                self.json_columns(out)?;
            } else {
                out.push(self.folded()?);
                if !self.eat_all(&["FOR", "ORDINALITY"]) {
                    self.data_type()?;
                    let _exists = self.eat("EXISTS");
                    self.expect("PATH")?;
                    self.string()?;
                    self.on_empty_or_error()?;
                }
            }
            if !self.eat_mark(",") {
                break;
            }
        }
        self.expect_mark(")")?;
        self.leave();
        Ok(())
    }

    /// A column as the target of an assignment.
    pub(super) fn target_column(&mut self) -> Parsed<Box<[Name]>> {
        let mut path = vec![self.name()?];
        while self.is_mark(".") && path.len() < 3 && self.is_name_nth(1) {
            self.take(Role::Plain);
            path.push(self.name()?);
        }
        Ok(folded_path(path))
    }
}
