//! CREATE, ALTER, DROP, RENAME, TRUNCATE of everything but the insides of tables.
use super::{Kind, Parsed, Parser, Role};
use crate::mysql::tree::{Body, Note, ObjectName, Target};
use doorward_model::Action;

/// Words between CREATE and what is created.
#[derive(Default)]
struct Prefix {
    replace: bool,
    temporary: bool,
    unique: bool,
}

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Parsed<(String, Body)> {
        self.expect("CREATE")?;
        let mut prefix = Prefix { replace: self.eat_all(&["OR", "REPLACE"]), ..Prefix::default() };
        self.definer_and_security()?;
        if self.eat("TEMPORARY") {
            prefix.temporary = true;
        }
        if self.is_all(&["SPATIAL", "REFERENCE"]) {
            return self.reference_system(Action::Create);
        }
        if self.is_any(&["UNIQUE", "FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE", "VECTOR"]) {
            self.take(Role::Plain);
            prefix.unique = true;
        }
        self.created(&prefix)
    }

    fn created(&mut self, prefix: &Prefix) -> Parsed<(String, Body)> {
        if prefix.unique || self.is("INDEX") {
            return self.create_index();
        }
        if self.eat("TABLE") {
            return self.create_table(prefix.replace, prefix.temporary);
        }
        if self.eat_any(&["DATABASE", "SCHEMA"]) {
            return self.create_database(prefix.replace);
        }
        if self.eat("VIEW") {
            return self.view(prefix.replace, Action::Create, "CREATE VIEW");
        }
        if self.eat("SEQUENCE") {
            return self.sequence(Action::Create, "CREATE SEQUENCE");
        }
        if self.is_any(&["TRIGGER", "EVENT", "PROCEDURE", "FUNCTION", "AGGREGATE"]) {
            return self.create_program(prefix.replace);
        }
        if self.eat("USER") {
            return self.user(Action::Create, prefix.replace, "CREATE USER");
        }
        if self.eat("ROLE") {
            return self.create_role();
        }
        if self.eat("SERVER") {
            return self.server_definition(Action::Create, "CREATE SERVER");
        }
        self.storage(Action::Create)
    }

    /// `ALGORITHM = …`, `DEFINER = …`, `SQL SECURITY …` in any order.
    pub(super) fn definer_and_security(&mut self) -> Parsed<()> {
        loop {
            if self.is("ALGORITHM") && self.is_mark_nth(1, "=") {
                self.take(Role::Plain);
                self.take(Role::Plain);
                self.plain_word()?;
            } else if self.eat("DEFINER") {
                self.expect_mark("=")?;
                let own = self.is("CURRENT_USER");
                let account = self.account()?;
                if !own {
                    // What is created runs with the rights of that account.
                    self.demand(Action::Assume, Target::Role(account));
                }
            } else if self.eat_all(&["SQL", "SECURITY"]) {
                self.expect_any(&["DEFINER", "INVOKER"], "DEFINER or INVOKER")?;
            } else {
                return Ok(());
            }
        }
    }

    fn create_index(&mut self) -> Parsed<(String, Body)> {
        self.expect("INDEX")?;
        self.if_not_exists();
        let name = self.name()?;
        if self.eat_any(&["USING", "TYPE"]) {
            self.plain_word()?;
        }
        self.expect("ON")?;
        let table = self.object()?;
        self.key_parts()?;
        self.key_options()?;
        self.algorithm_and_lock()?;
        self.index_of(Action::Create, name, table);
        Self::plain("CREATE INDEX")
    }

    /// An index stands beside its table, as in PostgreSQL, and its table changes.
    fn index_of(&mut self, action: Action, name: doorward_model::Name, table: ObjectName) {
        self.note(Note::SchemaChanged);
        self.demand(action, Target::Table(ObjectName { db: table.db.clone(), name }));
        self.demand(Action::Alter, Target::Table(table));
    }

    fn algorithm_and_lock(&mut self) -> Parsed<()> {
        loop {
            if self.eat_any(&["ALGORITHM", "LOCK"]) {
                self.equals();
                self.plain_word()?;
            } else if self.eat("WAIT") {
                self.number()?;
            } else if !self.eat("NOWAIT") {
                return Ok(());
            }
        }
    }

    fn create_database(&mut self, replace: bool) -> Parsed<(String, Body)> {
        self.if_not_exists();
        let name = self.name()?;
        self.database_options()?;
        self.note(Note::SchemaChanged);
        if replace {
            self.demand(Action::Drop, Target::Database(name.clone()));
        }
        self.demand(Action::Create, Target::Database(name));
        Self::plain("CREATE DATABASE")
    }

    fn database_options(&mut self) -> Parsed<()> {
        loop {
            let _default = self.eat("DEFAULT");
            if self.eat_all(&["CHARACTER", "SET"]) || self.eat_any(&["CHARSET", "COLLATE", "ENCRYPTION", "COMMENT"]) {
                self.equals();
                self.word_or_string()?;
            } else if self.eat_all(&["READ", "ONLY"]) {
                self.equals();
                if !self.eat("DEFAULT") {
                    self.number()?;
                }
            } else {
                return Ok(());
            }
        }
    }

    /// CREATE VIEW and ALTER VIEW behind those words.
    fn view(&mut self, replace: bool, action: Action, command: &str) -> Parsed<(String, Body)> {
        self.if_not_exists();
        let name = self.object()?;
        if self.is_mark("(") {
            self.parens(Self::folded)?;
        }
        self.expect("AS")?;
        self.in_view = true;
        let query = self.query();
        self.in_view = false;
        self.collect_query(query?);
        if self.eat("WITH") {
            let _kind = self.eat_any(&["CASCADED", "LOCAL"]);
            self.expect_all(&["CHECK", "OPTION"])?;
        }
        self.note(Note::SchemaChanged);
        self.demand(action, Target::Table(name.clone()));
        if replace {
            self.demand(Action::Drop, Target::Table(name));
        }
        Self::plain(command)
    }

    fn sequence(&mut self, action: Action, command: &str) -> Parsed<(String, Body)> {
        self.if_not_exists();
        self.if_exists();
        let name = self.object()?;
        loop {
            if self.eat_any(&["INCREMENT", "START", "RESTART", "MINVALUE", "MAXVALUE", "CACHE"]) {
                let _by = self.eat_any(&["BY", "WITH"]);
                self.equals();
                if self.is_mark("-") || self.kind() == Some(Kind::Integer) {
                    self.number()?;
                }
            } else if self.eat("NO") {
                self.expect_any(&["MINVALUE", "MAXVALUE", "CACHE", "CYCLE"], "MINVALUE, MAXVALUE, CACHE or CYCLE")?;
            } else if !(self.eat_any(&["NOCACHE", "CYCLE", "NOCYCLE", "NOMINVALUE", "NOMAXVALUE"])
                || self.table_option()?)
            {
                break;
            }
        }
        self.note(Note::SchemaChanged);
        self.demand(action, Target::Table(name));
        Self::plain(command)
    }

    fn server_definition(&mut self, action: Action, command: &str) -> Parsed<(String, Body)> {
        self.if_not_exists();
        let name = self.name_or_string()?;
        if self.eat_all(&["FOREIGN", "DATA", "WRAPPER"]) {
            self.word_or_string()?;
        }
        self.expect("OPTIONS")?;
        self.parens(|p| {
            p.plain_word()?;
            if p.kind() == Some(Kind::Text) { p.string().map(|_| ()) } else { p.number() }
        })?;
        self.demand(action, Target::Object("server", name));
        Self::plain(command)
    }

    fn reference_system(&mut self, action: Action) -> Parsed<(String, Body)> {
        self.expect_all(&["SPATIAL", "REFERENCE", "SYSTEM"])?;
        self.if_not_exists();
        self.if_exists();
        self.number()?;
        while self.eat_any(&["NAME", "DEFINITION", "ORGANIZATION", "DESCRIPTION"]) {
            self.string()?;
            if self.eat_all(&["IDENTIFIED", "BY"]) {
                self.number()?;
            }
        }
        self.demand(action, Target::Object("spatial reference system", "all".into()));
        Self::plain(if action == Action::Create {
            "CREATE SPATIAL REFERENCE SYSTEM"
        } else {
            "DROP SPATIAL REFERENCE SYSTEM"
        })
    }

    /// Tablespaces, log file groups, resource groups.
    fn storage(&mut self, action: Action) -> Parsed<(String, Body)> {
        let verb = if action == Action::Create {
            "CREATE"
        } else if action == Action::Drop {
            "DROP"
        } else {
            "ALTER"
        };
        let undo = self.eat("UNDO");
        let (kind, command) = if self.eat("TABLESPACE") {
            ("tablespace", "TABLESPACE")
        } else if !undo && self.eat_all(&["LOGFILE", "GROUP"]) {
            ("log file group", "LOGFILE GROUP")
        } else if !undo && self.eat_all(&["RESOURCE", "GROUP"]) {
            ("resource group", "RESOURCE GROUP")
        } else {
            return self.fail("something that can be made, changed or removed");
        };
        let name = self.folded()?;
        loop {
            if self.eat_any(&["ADD", "DROP"]) {
                self.expect_any(&["DATAFILE", "UNDOFILE"], "DATAFILE or UNDOFILE")?;
                let path = self.string()?;
                self.demand(Action::WriteFile, Target::File(path.into()));
            } else if self.eat_all(&["RENAME", "TO"]) || self.eat_all(&["USE", "LOGFILE", "GROUP"]) {
                self.folded()?;
            } else if self.eat("SET") || self.eat_any(&["FORCE", "WAIT", "ENABLE", "DISABLE", "ACTIVE", "INACTIVE"]) {
            } else if self.eat_any(&["VCPU", "THREAD_PRIORITY"]) {
                self.equals();
                self.list(|p| {
                    p.number()?;
                    if p.is_mark("-") { p.number() } else { Ok(()) }
                })?;
            } else if self.is_name() {
                self.take(Role::Plain);
                self.equals();
                if self.kind() == Some(Kind::Text) {
                    self.string()?;
                } else if self.kind() == Some(Kind::Integer) {
                    self.number()?;
                } else {
                    self.plain_word()?;
                }
            } else {
                break;
            }
        }
        self.demand(action, Target::Object(kind, name));
        Self::plain(&format!("{verb} {command}"))
    }

    pub(super) fn alter(&mut self) -> Parsed<(String, Body)> {
        self.expect("ALTER")?;
        self.definer_and_security()?;
        while self.is_any(&["ONLINE", "OFFLINE", "IGNORE"]) {
            self.take(Role::Plain);
        }
        if self.eat("TABLE") {
            return self.alter_table();
        }
        if self.eat_any(&["DATABASE", "SCHEMA"]) {
            let name = if self.is_name() && !self.is_any(&["CHARSET", "ENCRYPTION", "COMMENT"]) {
                self.name()?
            } else {
                self.env.database.clone().unwrap_or_else(|| "?".into())
            };
            self.database_options()?;
            self.demand(Action::Alter, Target::Database(name));
            return Self::plain("ALTER DATABASE");
        }
        if self.eat("VIEW") {
            return self.view(false, Action::Alter, "ALTER VIEW");
        }
        if self.eat("SEQUENCE") {
            return self.sequence(Action::Alter, "ALTER SEQUENCE");
        }
        if self.eat_any(&["PROCEDURE", "FUNCTION"]) {
            let name = self.routine()?;
            self.characteristics()?;
            self.demand(Action::Alter, Target::Function(name));
            return Self::plain("ALTER PROCEDURE");
        }
        if self.eat("EVENT") {
            return self.alter_event();
        }
        if self.eat("USER") {
            return self.user(Action::Alter, false, "ALTER USER");
        }
        if self.eat("SERVER") {
            return self.server_definition(Action::Alter, "ALTER SERVER");
        }
        if self.eat("INSTANCE") {
            return self.alter_instance();
        }
        self.storage(Action::Alter)
    }

    fn alter_instance(&mut self) -> Parsed<(String, Body)> {
        let start = self.at;
        while self.peek().is_some_and(|t| t.kind == Kind::Word) && self.at < start + 9 {
            self.take(Role::Plain);
        }
        self.demand(Action::Configure, Target::Setting("instance".into()));
        Self::plain("ALTER INSTANCE")
    }

    pub(super) fn drop_statement(&mut self) -> Parsed<(String, Body)> {
        self.expect("DROP")?;
        if self.eat("PREPARE") {
            let name = self.handle()?;
            self.connect();
            self.note(Note::Deallocate { name });
            return Self::plain("DEALLOCATE PREPARE");
        }
        let temporary = self.eat("TEMPORARY");
        if self.eat_any(&["TABLE", "TABLES"]) {
            return self.drop_relations(temporary, "DROP TABLE");
        }
        if self.eat("VIEW") {
            return self.drop_relations(false, "DROP VIEW");
        }
        if self.eat("SEQUENCE") {
            return self.drop_relations(temporary, "DROP SEQUENCE");
        }
        if self.eat_any(&["DATABASE", "SCHEMA"]) {
            self.if_exists();
            let name = self.name()?;
            self.note(Note::SchemaChanged);
            self.demand(Action::Drop, Target::Database(name));
            return Self::plain("DROP DATABASE");
        }
        if self.eat("INDEX") {
            self.if_exists();
            let name = self.name()?;
            self.expect("ON")?;
            let table = self.object()?;
            self.algorithm_and_lock()?;
            self.index_of(Action::Drop, name, table);
            return Self::plain("DROP INDEX");
        }
        self.drop_other()
    }

    fn drop_other(&mut self) -> Parsed<(String, Body)> {
        for (word, kind) in [("TRIGGER", "trigger"), ("EVENT", "event")] {
            if self.eat(word) {
                self.if_exists();
                let name = self.routine()?;
                self.note(Note::SchemaChanged);
                self.demand(Action::Drop, Target::InDatabase(kind, name));
                return Self::plain(if kind == "trigger" { "DROP TRIGGER" } else { "DROP EVENT" });
            }
        }
        for word in ["PROCEDURE", "FUNCTION"] {
            if self.eat(word) {
                self.if_exists();
                let name = self.routine()?;
                self.note(Note::SchemaChanged);
                self.demand(Action::Drop, Target::Function(name));
                return Self::plain(if word == "FUNCTION" { "DROP FUNCTION" } else { "DROP PROCEDURE" });
            }
        }
        for word in ["USER", "ROLE"] {
            if self.eat(word) {
                self.if_exists();
                for account in self.list(Self::account)? {
                    self.demand(Action::Drop, Target::Role(account));
                }
                return Self::plain(if word == "USER" { "DROP USER" } else { "DROP ROLE" });
            }
        }
        if self.eat("SERVER") {
            self.if_exists();
            let name = self.name_or_string()?;
            self.demand(Action::Drop, Target::Object("server", name));
            return Self::plain("DROP SERVER");
        }
        if self.is("SPATIAL") {
            return self.reference_system(Action::Drop);
        }
        self.storage(Action::Drop)
    }

    fn drop_relations(&mut self, temporary: bool, command: &str) -> Parsed<(String, Body)> {
        self.if_exists();
        for name in self.list(Self::object)? {
            if temporary {
                self.demand(Action::Drop, Target::Temporary(name));
            } else {
                self.demand(Action::Drop, Target::Table(name));
            }
        }
        self.algorithm_and_lock()?;
        let _behaviour = self.eat_any(&["RESTRICT", "CASCADE"]);
        self.note(Note::SchemaChanged);
        Self::plain(command)
    }

    pub(super) fn rename_or_truncate(&mut self) -> Parsed<(String, Body)> {
        if self.eat("TRUNCATE") {
            let _table = self.eat("TABLE");
            let name = self.object()?;
            self.algorithm_and_lock()?;
            self.demand(Action::Truncate, Target::Table(name));
            return Self::plain("TRUNCATE TABLE");
        }
        self.expect("RENAME")?;
        if self.eat("USER") {
            self.list(|p| {
                let old = p.account()?;
                p.expect("TO")?;
                let new = p.account()?;
                p.demand(Action::Alter, Target::Role(old));
                p.demand(Action::Create, Target::Role(new));
                Ok(())
            })?;
            return Self::plain("RENAME USER");
        }
        self.expect_any(&["TABLE", "TABLES"], "TABLE or USER")?;
        self.if_exists();
        self.list(|p| {
            let old = p.object()?;
            p.algorithm_and_lock()?;
            p.expect("TO")?;
            let new = p.object()?;
            p.demand(Action::Alter, Target::Table(old.clone()));
            p.demand(Action::Drop, Target::Table(old.clone()));
            // What is known of its columns is known by its name.
            p.collected.carries.push(old);
            p.demand(Action::Create, Target::Table(new));
            Ok(())
        })?;
        self.note(Note::SchemaChanged);
        Self::plain("RENAME TABLE")
    }
}
