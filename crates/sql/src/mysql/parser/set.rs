//! SET in all its forms.
use super::{Edit, Kind, Parsed, Parser, Role};
use crate::mysql::{
    render, settings,
    tree::{Arm, Body, Expr, Note, Target},
    words::listed,
};
use doorward_model::{Action, Name};

const SCOPES: &str = " GLOBAL PERSIST PERSIST_ONLY SESSION LOCAL ";
const GLOBAL_SCOPES: &str = " GLOBAL PERSIST PERSIST_ONLY ";

/// Whose variable is set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session,
    Global,
}

impl Parser<'_> {
    pub(super) fn set_statement(&mut self) -> Parsed<(String, Body)> {
        self.expect("SET")?;
        if self.eat("PASSWORD") {
            return self.set_password();
        }
        if self.eat("ROLE") {
            return self.set_role();
        }
        if self.eat_all(&["DEFAULT", "ROLE"]) {
            return self.set_default_role();
        }
        if self.eat_all(&["RESOURCE", "GROUP"]) {
            let name = self.folded()?;
            if self.eat("FOR") {
                self.list(|p| p.number())?;
            }
            self.demand(Action::Alter, Target::Object("resource group", name));
            return Self::plain("SET RESOURCE GROUP");
        }
        let scoped = usize::from(self.is_any(&["GLOBAL", "SESSION", "LOCAL"]));
        if self.is_nth(scoped, "TRANSACTION") {
            return self.set_transaction();
        }
        if self.env.upstream.is_mariadb() && self.is("STATEMENT") && !self.is_mark_nth(1, "=") {
            return self.set_for_statement();
        }
        let mut sticky = false;
        self.list(|p| p.set_item(&mut sticky))?;
        Self::plain("SET")
    }

    /// MariaDB: `SET STATEMENT a = 1 FOR SELECT …`
    fn set_for_statement(&mut self) -> Parsed<(String, Body)> {
        self.expect("STATEMENT")?;
        self.list(|p| {
            let name = p.setting_name()?;
            p.expect_mark("=")?;
            let value = p.set_value()?;
            if settings::changes_reading(&name) {
                return p.fail("a setting that does not change how the statement is read");
            }
            p.session_setting(&name, value.as_deref());
            if settings::locks_what_is_read(&name, value.as_deref()) {
                p.demand(Action::Set, Target::Setting(name));
            }
            Ok(())
        })?;
        self.expect("FOR")?;
        let tree = self.statement()?;
        let command = format!("SET STATEMENT; {}", tree.command);
        Ok((command, Body::Within(Box::new(tree))))
    }

    fn set_item(&mut self, sticky: &mut bool) -> Parsed<()> {
        if self.is("NAMES") || self.is_all(&["CHARACTER", "SET"]) || (self.is("CHARSET") && !self.is_mark_nth(1, "=")) {
            return self.set_names();
        }
        if self.kind() == Some(Kind::Variable) {
            self.take(Role::Plain);
            if !self.eat_mark("=") {
                self.expect_mark(":=")?;
            }
            let value = self.expr()?;
            self.connect();
            self.collected.exprs.push(Expr::Assign(Box::new(value)));
            return Ok(());
        }
        let mut scope = Scope::Session;
        let mut said = false;
        if self.eat_kind(Kind::System) {
            if self.is_scope() && self.is_mark_nth(1, ".") {
                scope = self.scope();
                self.expect_mark(".")?;
                said = true;
            }
        } else if self.is_scope() && self.is_mark_nth(1, ".") {
            // Names with dots where a scope is expected.
            return self.fail("a setting");
        } else if self.is_scope() && !self.is_mark_nth(1, "=") {
            scope = self.scope();
            *sticky = scope == Scope::Global;
            said = true;
        }
        let mut name = self.plain_word()?;
        if self.eat_mark(".") {
            name = format!("{name}.{}", self.plain_word()?).into();
        }
        let row = name.starts_with("new.") || name.starts_with("old.");
        if self.in_program && !said && (row || self.locals.contains(&name)) {
            // A variable of the program, or the column of a trigger's row.
            return self.assign_local();
        }
        if !name.is_ascii() {
            return self.fail("a setting");
        }
        if !self.eat_mark("=") {
            self.expect_mark(":=")?;
        }
        let global = scope == Scope::Global || (*sticky && !said);
        let value = match &*name {
            "sql_mode" => self.sql_mode_value()?,
            "session_track_system_variables" if !global => self.tracked_value()?,
            _ => self.set_value()?,
        };
        if global {
            self.demand(Action::Configure, Target::Setting(name.clone()));
        }
        if scope == Scope::Session {
            if global && settings::changes_reading(&name) {
                self.opaque(format!("whose {name} is set"));
            }
            self.session_setting(&name, value.as_deref());
            if (self.in_program || self.nested > 0) && settings::locks_what_is_read(&name, value.as_deref()) {
                self.demand(Action::Set, Target::Setting(name.clone()));
            }
            self.note(Note::Set { name, value });
        }
        Ok(())
    }

    /// Whether a scope stands here, be it before a dot.
    fn is_scope(&self) -> bool {
        self.peek().is_some_and(|t| t.kind == Kind::Word && listed(SCOPES, self.slice(t)))
    }

    fn scope(&mut self) -> Scope {
        let global = self.peek().is_some_and(|t| listed(GLOBAL_SCOPES, self.slice(t)));
        self.take(Role::Plain);
        if global { Scope::Global } else { Scope::Session }
    }

    fn assign_local(&mut self) -> Parsed<()> {
        if !self.eat_mark("=") {
            self.expect_mark(":=")?;
        }
        let value = self.expr()?;
        self.collected.exprs.push(Expr::Assign(Box::new(value)));
        Ok(())
    }

    /// The server compares these names without accents: only plain ones are what they say.
    fn setting_name(&mut self) -> Parsed<Name> {
        let name = self.plain_word()?;
        if name.is_ascii() { Ok(name) } else { self.fail("a setting") }
    }

    /// What setting a session's setting asks for.
    fn session_setting(&mut self, name: &Name, value: Option<&str>) {
        match settings::setting_class(name, value) {
            crate::postgres::SettingClass::Harmless => self.connect(),
            crate::postgres::SettingClass::Meaning => self.demand(Action::Set, Target::Setting(name.clone())),
            // Alone in a text: what it is set to is told by the server before anything else is read (dumps set back what was).
            crate::postgres::SettingClass::Refused(_)
                if value.is_none_or(|value| value == "default")
                    && settings::is_told(name)
                    && self.nested == 0
                    && !self.in_program =>
            {
                self.demand(Action::Set, Target::Setting(name.clone()));
            }
            crate::postgres::SettingClass::Refused(why) => self.opaque(why),
        }
    }

    /// The value of a setting, where it is constant.
    fn set_value(&mut self) -> Parsed<Option<String>> {
        let start = self.at;
        if self.eat_any(&["DEFAULT", "ON", "ALL", "BINARY", "ROW", "SYSTEM"]) {
            return Ok(self.tokens.get(start).map(|t| String::from_utf8_lossy(self.slice(*t)).to_ascii_lowercase()));
        }
        let value = self.expr()?;
        let out = match &value {
            Expr::Text(text) => Some(text.to_string()),
            Expr::Column(path) if path.len() == 1 => path.first().map(|n| n.to_string()),
            Expr::Nothing if self.at == start + 1 => {
                self.tokens.get(start).map(|t| String::from_utf8_lossy(self.slice(*t)).into_owned())
            }
            Expr::Nothing
            | Expr::Column(_)
            | Expr::Star(_)
            | Expr::Variable
            | Expr::Assign(_)
            | Expr::System { .. }
            | Expr::Call(_)
            | Expr::Window(_)
            | Expr::Query { .. }
            | Expr::Many(_) => None,
        };
        // A setting shows what it was set to.
        self.kept(value);
        Ok(out)
    }

    /// What changes the server tells of. Where a list is not known to have those that the gateway needs, it tells of all:
    /// drivers make theirs of what they find at the server (MariaDB Connector/J).
    fn tracked_value(&mut self) -> Parsed<Option<String>> {
        let start = self.at;
        let value = self.set_value()?;
        if value.as_deref().is_some_and(settings::tells) {
            return Ok(value);
        }
        self.replace(start, render::string_literal(b"*", self.env.mode));
        Ok(Some("*".into()))
    }

    /// Forwards a literal in place of what was read from `start` on.
    fn replace(&mut self, start: usize, literal: Vec<u8>) {
        for token in start + 1..self.at {
            if let Some(role) = self.roles.get_mut(token) {
                *role = Role::Dropped;
            }
        }
        self.edits.retain(|(token, _)| *token < start || *token >= self.at);
        self.edit(start, Edit::Replace(literal));
    }

    /// The value of `sql_mode`: worked out, and forwarded as what was worked out.
    fn sql_mode_value(&mut self) -> Parsed<Option<String>> {
        let start = self.at;
        if self.eat("DEFAULT") {
            return Ok(None);
        }
        let value = self.expr()?;
        let known = constant(&value, self.env.mode).filter(|_| !self.in_program);
        if let Some(mode) = known.as_deref().and_then(|v| crate::mysql::SqlMode::parse(v).ok()) {
            self.replace(start, render::string_literal(mode.value().as_bytes(), self.env.mode));
            return Ok(Some(mode.value()));
        }
        self.collected.exprs.push(value);
        Ok(known)
    }

    fn set_names(&mut self) -> Parsed<()> {
        let names = self.eat("NAMES");
        if !names && !self.eat("CHARSET") {
            self.expect_all(&["CHARACTER", "SET"])?;
        }
        self.equals();
        if self.eat("DEFAULT") {
            self.session_setting(&"character_set_client".into(), None);
            self.note(Note::Set { name: if names { "names" } else { "character_set" }.into(), value: None });
            return Ok(());
        }
        let charset = self.word_or_string()?.to_ascii_lowercase();
        if names && self.eat("COLLATE") {
            self.word_or_string()?;
        }
        self.session_setting(&"character_set_client".into(), Some(&charset));
        let name = if names { "names" } else { "character_set" };
        self.note(Note::Set { name: name.into(), value: Some(charset) });
        Ok(())
    }

    fn set_password(&mut self) -> Parsed<(String, Body)> {
        let account = if self.eat("FOR") { self.account()? } else { "current_user".into() };
        if self.eat_all(&["TO", "RANDOM"]) {
        } else {
            self.expect_mark("=")?;
            if self.is_any(&["PASSWORD", "OLD_PASSWORD"]) {
                self.take(Role::Function);
                self.expect_mark("(")?;
                self.string()?;
                self.expect_mark(")")?;
            } else {
                self.string()?;
            }
        }
        if self.eat("REPLACE") {
            self.string()?;
        }
        let _retain = self.eat_all(&["RETAIN", "CURRENT", "PASSWORD"]);
        self.demand(Action::Alter, Target::Role(account));
        Self::plain("SET PASSWORD")
    }

    fn set_role(&mut self) -> Parsed<(String, Body)> {
        if self.eat_any(&["NONE", "DEFAULT"]) {
            self.connect();
            return Self::plain("SET ROLE");
        }
        if self.eat("ALL") {
            if self.eat("EXCEPT") {
                self.list(Self::account)?;
            }
            self.demand(Action::Assume, Target::Role("all".into()));
            return Self::plain("SET ROLE");
        }
        for role in self.list(Self::account)? {
            self.demand(Action::Assume, Target::Role(role));
        }
        Self::plain("SET ROLE")
    }

    fn set_default_role(&mut self) -> Parsed<(String, Body)> {
        let mut altered = Vec::new();
        if !self.eat_any(&["NONE", "ALL"]) {
            for role in self.list(Self::account)? {
                self.demand(Action::Grant, Target::Role(role));
            }
        }
        if self.eat("TO") || self.eat("FOR") {
            altered = self.list(Self::account)?;
        }
        if altered.is_empty() {
            altered.push("current_user".into());
        }
        for account in altered {
            self.demand(Action::Alter, Target::Role(account));
        }
        Self::plain("SET DEFAULT ROLE")
    }

    fn set_transaction(&mut self) -> Parsed<(String, Body)> {
        let global = self.is("GLOBAL");
        let _scope = self.eat_any(&["GLOBAL", "SESSION", "LOCAL"]);
        self.expect("TRANSACTION")?;
        self.list(|p| {
            if p.eat_all(&["ISOLATION", "LEVEL"]) {
                if p.eat("SERIALIZABLE") {
                    let (name, value) = ("transaction_isolation".into(), Some("serializable".into()));
                    p.note(Note::Set { name, value });
                    // Whoever calls a program has it, too.
                    if p.in_program || p.nested > 0 {
                        p.demand(Action::Set, Target::Setting("transaction_isolation".into()));
                    }
                    return Ok(());
                }
                if p.eat_all(&["REPEATABLE", "READ"]) {
                    return Ok(());
                }
                p.expect("READ")?;
                return p.expect_any(&["COMMITTED", "UNCOMMITTED"], "COMMITTED or UNCOMMITTED");
            }
            p.expect("READ")?;
            p.expect_any(&["ONLY", "WRITE"], "ONLY or WRITE")
        })?;
        if global {
            self.demand(Action::Configure, Target::Setting("transaction_isolation".into()));
        }
        self.connect();
        Self::plain("SET TRANSACTION")
    }
}

/// The value of a constant expression over the mode in force: what drivers write to add a mode.
fn constant(expr: &Expr, mode: crate::mysql::SqlMode) -> Option<String> {
    match expr {
        Expr::Text(text) => Some(text.to_string()),
        Expr::Column(path) if path.len() == 1 => path.first().map(|n| n.to_string()),
        Expr::System { global: false, name } if &**name == "sql_mode" => Some(mode.value()),
        Expr::Call(call) if call.native => {
            let args: Option<Vec<String>> = call.args.iter().map(|a| constant(a, mode)).collect();
            match (&*call.name, args?.as_slice()) {
                ("concat", all) => Some(all.concat()),
                ("replace", [text, from, to]) if !from.is_empty() => Some(text.replace(from.as_str(), to)),
                _ => None,
            }
        }
        Expr::Query { query, exists: false } => match (query.arms.as_slice(), &query.into, query.rest.as_slice()) {
            ([Arm::Select(s)], None, []) if s.from.is_empty() && s.filter.is_none() && s.rest.is_empty() => {
                match s.items.as_slice() {
                    [item] => constant(&item.expr, mode),
                    _ => None,
                }
            }
            _ => None,
        },
        Expr::Nothing
        | Expr::Column(_)
        | Expr::Star(_)
        | Expr::Variable
        | Expr::Assign(_)
        | Expr::System { .. }
        | Expr::Call(_)
        | Expr::Window(_)
        | Expr::Query { .. }
        | Expr::Many(_) => None,
    }
}
