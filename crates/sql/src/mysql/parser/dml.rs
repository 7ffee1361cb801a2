//! INSERT, REPLACE, UPDATE, DELETE, LOAD, CALL, DO, HANDLER, PREPARE and EXECUTE.
use super::{Edit, Kind, Parsed, Parser, Role};
use crate::mysql::{
    analysis,
    tree::{Assignment, Body, Delete, Expr, Insert, Note, ObjectName, Query, TableRef, Target, Tree, Update, With},
};
use doorward_model::{Action, Name};

impl Parser<'_> {
    pub(super) fn insert(&mut self) -> Parsed<(String, Body)> {
        let replace = self.is("REPLACE");
        self.take(Role::Plain);
        self.hint();
        while self.eat_any(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"]) {}
        let _into = self.eat("INTO");
        let table = self.object()?;
        if self.eat("PARTITION") {
            self.parens(Self::folded)?;
        }
        let mut out = Insert {
            table,
            columns: Vec::new(),
            replace,
            values: Vec::new(),
            set: Vec::new(),
            query: None,
            alias: None,
            on_duplicate: Vec::new(),
            returning: None,
        };
        if self.is_mark("(") && !self.query_at(1) && !self.is_mark_nth(1, "(") {
            self.expect_mark("(")?;
            if !self.is_mark(")") {
                let columns = self.list(Self::target_column)?;
                out.columns = columns.iter().filter_map(|path| path.last().cloned()).collect();
            }
            self.expect_mark(")")?;
        }
        self.source(&mut out)?;
        if self.eat("AS") {
            let name = self.name()?;
            let columns = if self.is_mark("(") { self.parens(Self::folded)? } else { Vec::new() };
            out.alias = Some((name, columns));
        }
        if self.eat_all(&["ON", "DUPLICATE", "KEY", "UPDATE"]) {
            self.on_duplicate = true;
            let assignments = self.assignments();
            self.on_duplicate = false;
            out.on_duplicate = assignments?;
        }
        out.returning = self.returning()?;
        let command = if replace { "REPLACE" } else { "INSERT" };
        Ok((command.to_owned(), Body::Insert(Box::new(out))))
    }

    fn source(&mut self, out: &mut Insert) -> Parsed<()> {
        if self.eat("SET") {
            out.set = self.assignments()?;
        } else if (self.is("VALUES") || self.is("VALUE")) && !self.is_nth(1, "ROW") {
            self.take(Role::Plain);
            // Rows of nothing but literals are most of all text: they leave nothing behind.
            loop {
                let row = self.row()?;
                if !matches!(&row, Expr::Many(parts) if parts.is_empty()) {
                    out.values.push(row);
                }
                if !self.eat_mark(",") {
                    break;
                }
            }
        } else {
            out.query = Some(self.query()?);
        }
        Ok(())
    }

    pub(super) fn returning(&mut self) -> Parsed<Option<Vec<crate::mysql::tree::Item>>> {
        if self.env.upstream.is_mariadb() && self.eat("RETURNING") {
            return self.list(Self::item).map(Some);
        }
        Ok(None)
    }

    /// `column = expression, …`
    pub(super) fn assignments(&mut self) -> Parsed<Vec<Assignment>> {
        self.list(|p| {
            let column = p.target_column()?;
            if !p.eat_mark("=") {
                p.expect_mark(":=")?;
            }
            let value = if (p.is("DEFAULT") && !p.is_mark_nth(1, "(")) || p.is("IGNORE") {
                p.take(Role::Plain);
                Expr::Nothing
            } else {
                p.expr()?
            };
            Ok(Assignment { column, value })
        })
    }

    pub(super) fn update(&mut self) -> Parsed<(String, Body)> {
        self.update_with(None)
    }

    pub(super) fn update_with(&mut self, with: Option<With>) -> Parsed<(String, Body)> {
        self.expect("UPDATE")?;
        self.hint();
        while self.eat_any(&["LOW_PRIORITY", "IGNORE"]) {}
        let tables = self.list(Self::table_ref)?;
        let mut rest = Vec::new();
        self.portion(&mut rest)?;
        self.expect("SET")?;
        let set = self.assignments()?;
        let filter = if self.eat("WHERE") { Some(self.expr()?) } else { None };
        let limit = self.order_and_limit(&mut rest)?;
        let returning = self.returning()?;
        Ok(("UPDATE".to_owned(), Body::Update(Box::new(Update { with, tables, set, filter, rest, limit, returning }))))
    }

    /// `FOR PORTION OF period FROM a TO b` (MariaDB).
    fn portion(&mut self, rest: &mut Vec<Expr>) -> Parsed<()> {
        if self.eat_all(&["FOR", "PORTION", "OF"]) {
            self.folded()?;
            self.expect("FROM")?;
            rest.push(self.expr()?);
            self.expect("TO")?;
            rest.push(self.expr()?);
            // Which columns the period has is not known.
            rest.push(Expr::Star(Box::default()));
        }
        Ok(())
    }

    /// Where there is a limit, the columns that rows are sorted by.
    fn order_and_limit(&mut self, rest: &mut Vec<Expr>) -> Parsed<Option<Vec<Name>>> {
        let mut sorted = if self.is("ORDER") { self.order_by()? } else { Vec::new() };
        let column = |e: &Expr| if let Expr::Column(path) = e { path.last().cloned() } else { None };
        let by = sorted.iter().filter_map(column).collect();
        rest.append(&mut sorted);
        let at = self.at;
        self.limit(rest)?;
        Ok((self.at > at).then_some(by))
    }

    pub(super) fn delete(&mut self) -> Parsed<(String, Body)> {
        self.delete_with(None)
    }

    pub(super) fn delete_with(&mut self, with: Option<With>) -> Parsed<(String, Body)> {
        self.expect("DELETE")?;
        self.hint();
        while self.eat_any(&["LOW_PRIORITY", "QUICK", "IGNORE"]) {}
        let _history = self.is("HISTORY") && self.is_nth(1, "FROM") && self.eat("HISTORY");
        let mut out = Delete {
            with,
            targets: Vec::new(),
            tables: Vec::new(),
            filter: None,
            rest: Vec::new(),
            limit: None,
            returning: None,
        };
        if self.eat("FROM") {
            let first = self.delete_target()?;
            if self.is_mark(",") || self.is("USING") {
                out.targets.push(first);
                while self.eat_mark(",") {
                    let target = self.delete_target()?;
                    out.targets.push(target);
                }
                self.expect("USING")?;
                out.tables = self.list(Self::table_ref)?;
            } else {
                self.single_delete(first, &mut out)?;
            }
        } else {
            out.targets = self.list(Self::delete_target)?;
            self.expect("FROM")?;
            out.tables = self.list(Self::table_ref)?;
        }
        if self.eat("WHERE") {
            out.filter = Some(self.expr()?);
        }
        if out.targets.is_empty() {
            out.limit = self.order_and_limit(&mut out.rest)?;
            out.returning = self.returning()?;
        }
        Ok(("DELETE".to_owned(), Body::Delete(Box::new(out))))
    }

    fn single_delete(&mut self, name: ObjectName, out: &mut Delete) -> Parsed<()> {
        let partition = self.eat("PARTITION");
        if partition {
            self.parens(Self::folded)?;
        }
        self.portion(&mut out.rest)?;
        if self.eat_all(&["BEFORE", "SYSTEM_TIME"]) {
            let _unit = self.eat_any(&["TIMESTAMP", "TRANSACTION"]);
            out.rest.push(self.expr()?);
        }
        let alias = self.table_alias()?;
        out.tables.push(TableRef::Table { name, alias, at: None, partition });
        Ok(())
    }

    /// `t`, `db.t`, `t.*`
    fn delete_target(&mut self) -> Parsed<ObjectName> {
        let name = self.object()?;
        if self.is_mark(".") && self.is_mark_nth(1, "*") {
            self.take(Role::Plain);
            self.take(Role::Plain);
        }
        Ok(name)
    }

    /// Statements that run something or move data in other ways.
    pub(super) fn runs(&mut self) -> Parsed<(String, Body)> {
        if self.eat("CALL") {
            let name = self.routine()?;
            let mut args = Vec::new();
            if self.eat_mark("(") {
                if !self.is_mark(")") {
                    args = self.exprs()?;
                }
                self.expect_mark(")")?;
            }
            self.demand(Action::Call, Target::Function(name));
            self.collected.exprs.append(&mut args);
            return Ok(("CALL".to_owned(), Body::Unknown));
        }
        if self.eat("DO") {
            // Its outputs go nowhere, but names cannot stand here.
            let mut args = self.list(|p| {
                let e = p.expr()?;
                if p.eat("AS") {
                    p.name_or_string()?;
                }
                Ok(e)
            })?;
            self.connect();
            self.collected.exprs.append(&mut args);
            return Self::plain("DO");
        }
        if self.is("LOAD") {
            return self.load();
        }
        if self.is("HANDLER") {
            return self.handler();
        }
        self.prepared()
    }

    fn load(&mut self) -> Parsed<(String, Body)> {
        self.expect("LOAD")?;
        if self.eat_all(&["INDEX", "INTO", "CACHE"]) {
            let tables = self.list(|p| {
                let name = p.object()?;
                if p.eat("PARTITION") {
                    p.parens(|p| if p.eat("ALL") { Ok(()) } else { p.folded().map(|_| ()) })?;
                }
                if p.eat_any(&["INDEX", "KEY"]) {
                    p.parens(Self::folded)?;
                }
                let _leaves = p.eat_all(&["IGNORE", "LEAVES"]);
                Ok(name)
            })?;
            for table in tables {
                self.demand(Action::Maintain, Target::Table(table));
            }
            return Self::plain("LOAD INDEX INTO CACHE");
        }
        let xml = self.eat("XML");
        if !xml {
            self.expect("DATA")?;
        }
        while self.eat_any(&["LOW_PRIORITY", "CONCURRENT"]) {}
        let local = self.eat("LOCAL");
        self.expect("INFILE")?;
        let path = self.string()?;
        let replace = self.eat("REPLACE");
        let _duplicates = self.eat("IGNORE");
        self.expect_all(&["INTO", "TABLE"])?;
        let table = self.object()?;
        if self.eat("PARTITION") {
            self.parens(Self::folded)?;
        }
        if self.eat_all(&["CHARACTER", "SET"]) || self.eat("CHARSET") {
            self.word_or_string()?;
        }
        if xml && self.eat_all(&["ROWS", "IDENTIFIED", "BY"]) {
            self.string()?;
        }
        self.file_format()?;
        if self.eat("IGNORE") {
            self.number()?;
            self.expect_any(&["LINES", "ROWS"], "LINES")?;
        }
        let mut columns = Vec::new();
        if self.is_mark("(") {
            self.parens(|p| {
                if !p.eat_kind(Kind::Variable) {
                    columns.extend(p.target_column()?.last().cloned());
                }
                Ok(())
            })?;
        }
        let mut set = Vec::new();
        if self.eat("SET") {
            set = self.assignments()?;
        }
        if local {
            self.note(Note::Upload(path.into()));
        } else {
            self.demand(Action::ReadFile, Target::File(path.into()));
        }
        let insert = Insert {
            table,
            columns,
            replace,
            values: Vec::new(),
            set,
            query: None,
            alias: None,
            on_duplicate: Vec::new(),
            returning: None,
        };
        Ok((if xml { "LOAD XML" } else { "LOAD DATA" }.to_owned(), Body::Insert(Box::new(insert))))
    }

    /// HANDLER. What `READ` reads was named when it was opened, perhaps by another name.
    fn handler(&mut self) -> Parsed<(String, Body)> {
        self.expect("HANDLER")?;
        let name = self.object()?;
        if self.eat("OPEN") {
            self.table_alias()?;
            self.demand(Action::Select, Target::Table(name));
            return Self::plain("HANDLER OPEN");
        }
        if self.eat("CLOSE") {
            self.connect();
            return Self::plain("HANDLER CLOSE");
        }
        self.expect("READ")?;
        if !self.eat_any(&["FIRST", "NEXT"]) {
            self.folded()?;
            if !self.eat_any(&["FIRST", "NEXT", "PREV", "LAST"]) {
                if !["=", "<=", ">=", "<", ">"].iter().any(|m| self.eat_mark(m)) {
                    return self.fail("a comparison");
                }
                let row = self.row()?;
                self.collected.exprs.push(row);
            }
        }
        if self.eat("WHERE") {
            let e = self.expr()?;
            self.collected.exprs.push(e);
        }
        let mut rest = Vec::new();
        self.limit(&mut rest)?;
        self.collected.exprs.append(&mut rest);
        self.opaque("what HANDLER … READ reads");
        Ok(("HANDLER READ".to_owned(), Body::Unknown))
    }

    fn prepared(&mut self) -> Parsed<(String, Body)> {
        if self.eat("PREPARE") {
            let name = self.handle()?;
            self.expect("FROM")?;
            let inner = self.inner_text("the text that PREPARE prepares")?;
            self.collected.inner.extend(inner);
            self.connect();
            self.note(Note::Prepare { name });
            return Self::plain("PREPARE");
        }
        if self.eat_all(&["EXECUTE", "IMMEDIATE"]) {
            let inner = self.inner_text("the text that EXECUTE IMMEDIATE runs")?;
            self.using()?;
            let body = inner.map_or(Body::Unknown, |tree| Body::Within(Box::new(tree)));
            return Ok(("EXECUTE IMMEDIATE".to_owned(), body));
        }
        if self.eat("EXECUTE") {
            let name = self.handle()?;
            self.using()?;
            self.connect();
            self.note(Note::Execute { name });
            return Ok(("EXECUTE".to_owned(), Body::Unknown));
        }
        self.expect("DEALLOCATE")?;
        self.expect("PREPARE")?;
        let name = self.handle()?;
        self.connect();
        self.note(Note::Deallocate { name });
        Self::plain("DEALLOCATE PREPARE")
    }

    /// The name of a prepared statement. The server compares them without accents and blanks at their end: one name could
    /// be another statement's, so only plain ones are read.
    pub(super) fn handle(&mut self) -> Parsed<doorward_model::Name> {
        let name = self.folded()?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'-' | b'.'));
        if plain { Ok(name) } else { self.fail("a plain name of a prepared statement") }
    }

    fn using(&mut self) -> Parsed<()> {
        if self.eat("USING") {
            let mut args = self.exprs()?;
            self.collected.exprs.append(&mut args);
        }
        Ok(())
    }

    /// A statement in a string: read, and replaced by what was read. In anything else: opaque.
    fn inner_text(&mut self, what: &'static str) -> Parsed<Option<Tree>> {
        let at = self.at;
        let expr = self.expr()?;
        let (1, Expr::Text(value)) = (self.at - at, &expr) else {
            self.collected.exprs.push(expr);
            self.opaque(what);
            return Ok(None);
        };
        let Some((tree, printed)) = analysis::inner(value, self.env, self.nested) else {
            self.opaque(what);
            return Ok(None);
        };
        self.edit(at, Edit::Replace(crate::mysql::render::string_literal(&printed, self.env.mode)));
        Ok(Some(tree))
    }

    /// A query that stands for itself among the parts of a statement.
    pub(super) fn collect_query(&mut self, query: Query) {
        self.collected.queries.push(query);
    }
}
