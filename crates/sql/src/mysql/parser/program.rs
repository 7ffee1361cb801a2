//! Stored programs: procedures, functions, triggers, events and the statements of their bodies.
//! What a body would do is asked of whoever makes it, as for bodies in SQL in PostgreSQL.
use super::{Kind, Parsed, Parser, Role};
use crate::mysql::{
    settings,
    tree::{Body, Note, ObjectName, Target},
    words::unit,
};
use doorward_model::{Action, Name};

impl Parser<'_> {
    pub(super) fn create_program(&mut self, replace: bool) -> Parsed<(String, Body)> {
        self.note(Note::SchemaChanged);
        let aggregate = self.eat("AGGREGATE");
        if self.eat("FUNCTION") {
            return self.create_function(replace, aggregate);
        }
        if self.eat("PROCEDURE") {
            self.if_not_exists();
            let name = self.routine()?;
            self.program_demands("", &name, replace);
            self.parameters(true)?;
            self.characteristics()?;
            self.body()?;
            return Self::plain("CREATE PROCEDURE");
        }
        if self.eat("TRIGGER") {
            return self.create_trigger(replace);
        }
        self.expect("EVENT")?;
        self.if_not_exists();
        let name = self.routine()?;
        self.program_demands("event", &name, replace);
        self.expect_all(&["ON", "SCHEDULE"])?;
        self.schedule()?;
        self.event_options()?;
        self.expect("DO")?;
        self.body()?;
        Self::plain("CREATE EVENT")
    }

    fn program_demands(&mut self, kind: &'static str, name: &ObjectName, replace: bool) {
        let target = || {
            if kind.is_empty() { Target::Function(name.clone()) } else { Target::InDatabase(kind, name.clone()) }
        };
        self.demand(Action::Create, target());
        if replace {
            self.demand(Action::Drop, target());
        }
        self.is_made_here(kind, name);
    }

    pub(super) fn is_of_another_database(&self, name: &ObjectName) -> bool {
        name.db.is_some() && self.env.relation(name.db.as_deref(), "").0 != self.env.relation(None, "").0
    }

    /// Names in a body are of the database that it is in, and are read as of that of the session.
    fn is_made_here(&mut self, kind: &'static str, name: &ObjectName) {
        if self.is_of_another_database(name) {
            let kind = if kind.is_empty() { "routine" } else { kind };
            self.opaque(format!("the body of a {kind} in another database than that of the session (USE it first)"));
        }
    }

    fn create_function(&mut self, replace: bool, aggregate: bool) -> Parsed<(String, Body)> {
        self.if_not_exists();
        let name = self.routine()?;
        self.program_demands("", &name, replace);
        if self.eat("RETURNS") {
            // A function of a library.
            self.expect_any(&["STRING", "INTEGER", "REAL", "DECIMAL"], "STRING, INTEGER, REAL or DECIMAL")?;
            self.expect("SONAME")?;
            let path = self.string()?;
            self.demand(Action::LoadLibrary, Target::File(path.into()));
            return Self::plain("CREATE FUNCTION");
        }
        if aggregate {
            self.opaque("the body of an aggregate");
        }
        self.parameters(false)?;
        self.expect("RETURNS")?;
        self.data_type()?;
        self.characteristics()?;
        self.body()?;
        Self::plain("CREATE FUNCTION")
    }

    /// A variable of a program, until the block ends that it is declared in.
    fn local(&mut self, name: Name) {
        // INVARIANT: should the server see it elsewhere than it is seen here, no setting is taken for it that decides how texts are read.
        if settings::decides(&name) {
            self.opaque(format!("a variable that is called as the setting {name}"));
        }
        self.locals.push(name);
    }

    fn parameters(&mut self, modes: bool) -> Parsed<()> {
        self.expect_mark("(")?;
        if !self.is_mark(")") {
            self.list(|p| {
                if modes && p.is_any(&["IN", "OUT", "INOUT"]) {
                    p.take(Role::Plain);
                }
                let name = p.folded()?;
                p.local(name);
                p.data_type()
            })?;
        }
        self.expect_mark(")")
    }

    pub(super) fn characteristics(&mut self) -> Parsed<()> {
        loop {
            if self.eat("COMMENT") {
                self.string()?;
            } else if self.eat("LANGUAGE") {
                self.expect("SQL")?;
            } else if self.eat_all(&["SQL", "SECURITY"]) {
                self.expect_any(&["DEFINER", "INVOKER"], "DEFINER or INVOKER")?;
            } else if !(self.eat("DETERMINISTIC")
                || self.eat_all(&["NOT", "DETERMINISTIC"])
                || self.eat_all(&["CONTAINS", "SQL"])
                || self.eat_all(&["NO", "SQL"])
                || self.eat_all(&["READS", "SQL", "DATA"])
                || self.eat_all(&["MODIFIES", "SQL", "DATA"]))
            {
                return Ok(());
            }
        }
    }

    fn create_trigger(&mut self, replace: bool) -> Parsed<(String, Body)> {
        self.if_not_exists();
        let name = self.routine()?;
        self.program_demands("trigger", &name, replace);
        self.expect_any(&["BEFORE", "AFTER"], "BEFORE or AFTER")?;
        self.expect_any(&["INSERT", "UPDATE", "DELETE"], "INSERT, UPDATE or DELETE")?;
        while self.eat("OR") {
            self.expect_any(&["INSERT", "UPDATE", "DELETE"], "INSERT, UPDATE or DELETE")?;
        }
        self.expect("ON")?;
        let table = self.object()?;
        self.is_made_here("trigger", &table);
        self.demand(Action::Alter, Target::Table(table.clone()));
        self.demand(Action::Select, Target::Table(table.clone()));
        self.collected.row_of = Some(table);
        self.expect_all(&["FOR", "EACH", "ROW"])?;
        if self.eat_any(&["FOLLOWS", "PRECEDES"]) {
            self.folded()?;
        }
        self.body()?;
        Self::plain("CREATE TRIGGER")
    }

    fn schedule(&mut self) -> Parsed<()> {
        if self.eat("AT") {
            let when = self.expr()?;
            self.collect_exprs(vec![when]);
            return Ok(());
        }
        self.expect("EVERY")?;
        let every = self.expr()?;
        self.collect_exprs(vec![every]);
        if self.peek().is_some_and(|t| t.kind == Kind::Word && unit(self.slice(t))) {
            self.take(Role::Plain);
        }
        while self.eat_any(&["STARTS", "ENDS"]) {
            let when = self.expr()?;
            self.collect_exprs(vec![when]);
        }
        Ok(())
    }

    fn event_options(&mut self) -> Parsed<()> {
        if self.eat_all(&["ON", "COMPLETION"]) {
            let _not = self.eat("NOT");
            self.expect("PRESERVE")?;
        }
        if self.eat_any(&["ENABLE", "DISABLE"]) {
            let _on = self.eat_all(&["ON", "SLAVE"]) || self.eat_all(&["ON", "REPLICA"]);
        }
        if self.eat("COMMENT") {
            self.string()?;
        }
        Ok(())
    }

    pub(super) fn alter_event(&mut self) -> Parsed<(String, Body)> {
        let name = self.routine()?;
        self.is_made_here("event", &name);
        self.demand(Action::Alter, Target::InDatabase("event", name));
        if self.eat_all(&["ON", "SCHEDULE"]) {
            self.schedule()?;
        }
        self.event_options()?;
        if self.eat_all(&["RENAME", "TO"]) {
            let new = self.routine()?;
            self.is_made_here("event", &new);
            self.demand(Action::Create, Target::InDatabase("event", new));
        }
        self.event_options()?;
        if self.eat("DO") {
            self.body()?;
        }
        Self::plain("ALTER EVENT")
    }

    /// One statement, which is what a body is.
    fn body(&mut self) -> Parsed<()> {
        let outer = std::mem::replace(&mut self.in_program, true);
        let body = self.inner_statement();
        self.in_program = outer;
        self.locals.clear();
        body
    }

    fn inner_statement(&mut self) -> Parsed<()> {
        if self.is_name() && self.is_mark_nth(1, ":") {
            self.folded()?;
            self.expect_mark(":")?;
        }
        if self.is("BEGIN") && !self.is_nth(1, "WORK") {
            self.enter()?;
            self.take(Role::Plain);
            self.block_rest()?;
            if self.is_name() {
                self.folded()?;
            }
            self.leave();
            return Ok(());
        }
        if let Some(done) = self.control()? {
            return Ok(done);
        }
        let tree = self.statement()?;
        self.collected.inner.push(tree);
        Ok(())
    }

    /// Statements up to END.
    pub(super) fn block_rest(&mut self) -> Parsed<()> {
        let outer = self.locals.len();
        while !self.eat("END") {
            self.inner_statement()?;
            self.expect_mark(";")?;
        }
        self.locals.truncate(outer);
        Ok(())
    }

    /// Statements up to one of these words.
    fn statements_until(&mut self, ends: &[&str]) -> Parsed<()> {
        while !self.is_any(ends) {
            self.inner_statement()?;
            self.expect_mark(";")?;
        }
        Ok(())
    }

    fn condition(&mut self) -> Parsed<()> {
        let e = self.expr()?;
        self.collect_exprs(vec![e]);
        Ok(())
    }

    /// IF, CASE, loops.
    fn control(&mut self) -> Parsed<Option<()>> {
        let word = if self.is("REPEAT") && self.is_mark_nth(1, "(") { None } else { self.peek() };
        let Some(token) = word.filter(|t| t.kind == Kind::Word && !t.name) else { return Ok(None) };
        self.enter()?;
        match self.slice(token).to_ascii_uppercase().as_slice() {
            b"IF" => {
                self.take(Role::Plain);
                loop {
                    self.condition()?;
                    self.expect("THEN")?;
                    self.statements_until(&["ELSEIF", "ELSE", "END"])?;
                    if !self.eat("ELSEIF") {
                        break;
                    }
                }
                if self.eat("ELSE") {
                    self.statements_until(&["END"])?;
                }
                self.expect_all(&["END", "IF"])?;
            }
            b"CASE" => self.case_statement()?,
            b"LOOP" => {
                self.take(Role::Plain);
                self.statements_until(&["END"])?;
                self.expect_all(&["END", "LOOP"])?;
                self.end_label()?;
            }
            b"WHILE" => {
                self.take(Role::Plain);
                self.condition()?;
                self.expect("DO")?;
                self.statements_until(&["END"])?;
                self.expect_all(&["END", "WHILE"])?;
                self.end_label()?;
            }
            b"REPEAT" => {
                self.take(Role::Plain);
                self.statements_until(&["UNTIL"])?;
                self.expect("UNTIL")?;
                self.condition()?;
                self.expect_all(&["END", "REPEAT"])?;
                self.end_label()?;
            }
            _ => {
                self.leave();
                return Ok(None);
            }
        }
        self.leave();
        Ok(Some(()))
    }

    fn end_label(&mut self) -> Parsed<()> {
        if self.is_name() { self.folded().map(|_| ()) } else { Ok(()) }
    }

    fn case_statement(&mut self) -> Parsed<()> {
        self.expect("CASE")?;
        if !self.is("WHEN") {
            self.condition()?;
        }
        while self.eat("WHEN") {
            self.condition()?;
            self.expect("THEN")?;
            self.statements_until(&["WHEN", "ELSE", "END"])?;
        }
        if self.eat("ELSE") {
            self.statements_until(&["END"])?;
        }
        self.expect_all(&["END", "CASE"])
    }

    /// Statements that only programs have.
    pub(super) fn program_statement(&mut self) -> Parsed<(String, Body)> {
        if self.eat("DECLARE") {
            self.declare()?;
            return Self::plain("DECLARE");
        }
        if self.eat_any(&["LEAVE", "ITERATE", "OPEN", "CLOSE"]) {
            self.folded()?;
            return Self::plain("LEAVE");
        }
        if self.eat("FETCH") {
            if self.eat("NEXT") {
                self.expect("FROM")?;
            } else {
                let _from = self.eat("FROM");
            }
            self.folded()?;
            self.expect("INTO")?;
            self.list(|p| if p.eat_kind(Kind::Variable) { Ok(()) } else { p.folded().map(|_| ()) })?;
            return Self::plain("FETCH");
        }
        if self.eat("RETURN") {
            let value = self.expr()?;
            self.kept(value);
            return Self::plain("RETURN");
        }
        self.fail("a statement")
    }

    fn declare(&mut self) -> Parsed<()> {
        if self.eat_any(&["CONTINUE", "EXIT", "UNDO"]) {
            self.expect_all(&["HANDLER", "FOR"])?;
            self.list(|p| {
                if p.eat("SQLSTATE") {
                    let _value = p.eat("VALUE");
                    return p.string().map(|_| ());
                }
                if p.eat_any(&["SQLWARNING", "SQLEXCEPTION"])
                    || p.eat_all(&["NOT", "FOUND"])
                    || p.eat_kind(Kind::Integer)
                {
                    return Ok(());
                }
                p.folded().map(|_| ())
            })?;
            return self.inner_statement();
        }
        let names = self.list(Self::folded)?;
        if self.eat("CURSOR") {
            self.expect("FOR")?;
            let query = self.query()?;
            self.collect_query(query);
            return Ok(());
        }
        if self.eat("CONDITION") {
            self.expect("FOR")?;
            if self.eat("SQLSTATE") {
                let _value = self.eat("VALUE");
                return self.string().map(|_| ());
            }
            return self.number();
        }
        names.into_iter().for_each(|name| self.local(name));
        self.data_type()?;
        if self.eat("DEFAULT") {
            let value = self.expr()?;
            self.kept(value);
        }
        Ok(())
    }
}
