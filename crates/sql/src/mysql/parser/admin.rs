//! Transactions, locks, maintenance, replication, and what else runs a server.
use super::{Kind, Parsed, Parser, Role};
use crate::mysql::tree::{Body, Note, ObjectName, Target};
use doorward_model::{Action, Name};

impl Parser<'_> {
    /// Statements by their first word.
    pub(super) fn admin(&mut self, word: &[u8]) -> Parsed<(String, Body)> {
        match word {
            b"BEGIN" | b"START" | b"COMMIT" | b"ROLLBACK" | b"SAVEPOINT" | b"RELEASE" | b"END" => self.transaction(),
            b"XA" => self.xa(),
            b"USE" => self.use_database(),
            b"LOCK" | b"UNLOCK" => self.lock_tables(),
            b"KILL" => self.kill(),
            b"CHECK" | b"OPTIMIZE" | b"REPAIR" | b"CHECKSUM" => self.maintain(),
            b"FLUSH" => self.flush(),
            b"RESET" | b"PURGE" => self.reset_or_purge(),
            b"CHANGE" => self.change_source(),
            b"STOP" => self.start_or_stop(),
            b"INSTALL" | b"UNINSTALL" => self.install(),
            b"SHUTDOWN" | b"RESTART" => {
                self.take(Role::Plain);
                let name: Name = String::from_utf8_lossy(word).to_ascii_lowercase().into();
                let _wait = self.eat_all(&["WAIT", "FOR", "ALL", "SLAVES"])
                    || self.eat_all(&["WAIT", "FOR", "ALL", "REPLICAS"]);
                self.demand(Action::Configure, Target::Setting(name));
                Self::plain(if word == b"SHUTDOWN" { "SHUTDOWN" } else { "RESTART" })
            }
            b"BINLOG" => {
                self.take(Role::Plain);
                self.string()?;
                self.opaque("the events that BINLOG applies");
                Self::plain("BINLOG")
            }
            b"CACHE" => self.cache_index(),
            b"HELP" => {
                self.take(Role::Plain);
                self.word_or_string()?;
                self.connect();
                Ok(("HELP".to_owned(), Body::Rows))
            }
            b"SIGNAL" | b"RESIGNAL" => self.signal(),
            b"GET" => self.diagnostics(),
            b"IMPORT" => {
                self.take(Role::Plain);
                self.expect_all(&["TABLE", "FROM"])?;
                for path in self.list(Self::string)? {
                    self.demand(Action::ReadFile, Target::File(path.into()));
                }
                self.opaque("the tables of files");
                Self::plain("IMPORT TABLE")
            }
            b"CLONE" => self.clone_instance(),
            b"BACKUP" => self.backup(),
            _ if self.in_program => self.program_statement(),
            _ => self.fail("a statement"),
        }
    }

    fn transaction(&mut self) -> Parsed<(String, Body)> {
        let command = if self.eat("BEGIN") {
            if self.env.upstream.is_mariadb() && self.eat_all(&["NOT", "ATOMIC"]) {
                return self.anonymous_block();
            }
            let _work = self.eat("WORK");
            "BEGIN"
        } else if self.is("START") {
            if !self.is_nth(1, "TRANSACTION") {
                return self.start_or_stop();
            }
            self.take(Role::Plain);
            self.take(Role::Plain);
            loop {
                let known = self.eat_all(&["WITH", "CONSISTENT", "SNAPSHOT"])
                    || self.eat_all(&["READ", "ONLY"])
                    || self.eat_all(&["READ", "WRITE"]);
                if !known || !self.eat_mark(",") {
                    break;
                }
            }
            "START TRANSACTION"
        } else if self.eat("SAVEPOINT") {
            self.folded()?;
            "SAVEPOINT"
        } else if self.eat("RELEASE") {
            self.expect("SAVEPOINT")?;
            self.folded()?;
            "RELEASE"
        } else if self.eat("COMMIT") {
            self.chain()?;
            "COMMIT"
        } else {
            self.expect("ROLLBACK")?;
            let _work = self.eat("WORK");
            if self.eat("TO") {
                let _savepoint = self.is("SAVEPOINT") && self.is_name_nth(1) && self.eat("SAVEPOINT");
                self.folded()?;
            } else {
                self.chain()?;
            }
            "ROLLBACK"
        };
        self.connect();
        Self::plain(command)
    }

    fn chain(&mut self) -> Parsed<()> {
        let _work = self.eat("WORK");
        if self.eat("AND") {
            let _no = self.eat("NO");
            self.expect("CHAIN")?;
        }
        let _no = self.is("NO") && self.is_nth(1, "RELEASE") && self.eat("NO");
        let _release = self.eat("RELEASE");
        Ok(())
    }

    /// MariaDB: `BEGIN NOT ATOMIC … END`.
    fn anonymous_block(&mut self) -> Parsed<(String, Body)> {
        self.demand(Action::Execute, Target::Connection);
        let outer = std::mem::replace(&mut self.in_program, true);
        let block = self.block_rest();
        self.in_program = outer;
        block?;
        Ok(("BEGIN NOT ATOMIC".to_owned(), Body::Unknown))
    }

    fn xa(&mut self) -> Parsed<(String, Body)> {
        self.expect("XA")?;
        let mut name: Name = "all".into();
        let (action, command) = if self.eat_any(&["START", "BEGIN"]) {
            name = self.xid()?;
            let _join = self.eat_any(&["JOIN", "RESUME"]);
            (None, "XA START")
        } else if self.eat("END") {
            name = self.xid()?;
            if self.eat("SUSPEND") {
                let _migrate = self.eat_all(&["FOR", "MIGRATE"]);
            }
            (None, "XA END")
        } else if self.eat("PREPARE") {
            name = self.xid()?;
            (Some(Action::Create), "XA PREPARE")
        } else if self.eat("COMMIT") {
            name = self.xid()?;
            let one_phase = self.eat_all(&["ONE", "PHASE"]);
            (if one_phase { None } else { Some(Action::Drop) }, "XA COMMIT")
        } else if self.eat("ROLLBACK") {
            name = self.xid()?;
            (Some(Action::Drop), "XA ROLLBACK")
        } else {
            self.expect("RECOVER")?;
            if self.eat("CONVERT") {
                self.expect("XID")?;
            } else if self.eat("FORMAT") {
                self.equals();
                self.string()?;
            }
            (None, "XA RECOVER")
        };
        match action {
            Some(action) => self.demand(action, Target::Object("prepared transaction", name)),
            None => self.connect(),
        }
        Ok((command.to_owned(), if command == "XA RECOVER" { Body::Rows } else { Body::Plain }))
    }

    fn xid(&mut self) -> Parsed<Name> {
        let mut name = String::new();
        for part in 0..2 {
            let Some(token) = self.peek().filter(|t| matches!(t.kind, Kind::Text | Kind::Bits)) else {
                return self.fail("the id of a transaction");
            };
            if part > 0 {
                name.push('.');
            }
            let part = if token.kind == Kind::Text {
                self.string_of(token)
            } else {
                Some(String::from_utf8_lossy(self.slice(token)).into_owned())
            };
            let Some(part) = part else {
                return self.fail("the id of a transaction that is UTF-8 or in hexadecimal digits");
            };
            name.push_str(&part);
            self.take(Role::Plain);
            if !self.eat_mark(",") {
                return Ok(name.into());
            }
        }
        self.number()?;
        Ok(name.into())
    }

    fn use_database(&mut self) -> Parsed<(String, Body)> {
        self.expect("USE")?;
        let name = self.name()?;
        if self.in_program || self.nested > 0 {
            // What follows would be read as of another database than the server reads it.
            self.opaque("USE within a program or a text".to_owned());
        }
        self.connect();
        self.note(Note::Set { name: "use".into(), value: Some(name.to_string()) });
        Self::plain("USE")
    }

    fn lock_tables(&mut self) -> Parsed<(String, Body)> {
        let lock = self.eat("LOCK");
        if !lock {
            self.expect("UNLOCK")?;
        }
        if self.eat_all(&["INSTANCE", "FOR", "BACKUP"]) || self.eat("INSTANCE") {
            self.demand(Action::Maintain, Target::Connection);
            return Self::plain(if lock { "LOCK INSTANCE" } else { "UNLOCK INSTANCE" });
        }
        self.expect_any(&["TABLE", "TABLES"], "TABLES")?;
        if !lock {
            self.connect();
            return Self::plain("UNLOCK TABLES");
        }
        self.list(|p| {
            let table = p.object()?;
            let kind = ["READ", "WRITE", "LOW_PRIORITY"].iter().any(|w| p.is(w));
            if !kind {
                p.table_alias()?;
            }
            if p.eat("READ") {
                let _local = p.eat("LOCAL");
            } else {
                let _low = p.eat("LOW_PRIORITY") || p.eat("CONCURRENT");
                p.expect("WRITE")?;
            }
            p.demand(Action::Lock, Target::Table(table));
            Ok(())
        })?;
        if self.eat("WAIT") {
            self.number()?;
        } else {
            let _wait = self.eat("NOWAIT");
        }
        Self::plain("LOCK TABLE")
    }

    fn kill(&mut self) -> Parsed<(String, Body)> {
        self.expect("KILL")?;
        let _kind = self.eat_any(&["HARD", "SOFT"]);
        let query_only = self.eat("QUERY");
        if !query_only {
            let _connection = self.eat("CONNECTION");
        }
        if self.is("ID") || self.is("USER") {
            return self.fail("the number of a connection");
        }
        self.demand(Action::Call, Target::Function(ObjectName { db: Some("mysql".into()), name: "kill".into() }));
        if self.kind() == Some(Kind::Integer) {
            let id = self.integer()?;
            self.note(Note::Kill { id, query_only });
        } else {
            let id = self.expr()?;
            self.collect_exprs(vec![id]);
            self.opaque("which connection is killed");
        }
        Self::plain(if query_only { "KILL QUERY" } else { "KILL" })
    }

    /// ANALYZE, CHECK, CHECKSUM, OPTIMIZE, REPAIR of tables.
    pub(super) fn maintain(&mut self) -> Parsed<(String, Body)> {
        let verb = self.plain_word()?.to_ascii_uppercase();
        let _local = self.eat_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        if (verb == "CHECK" || verb == "REPAIR") && self.eat("VIEW") {
            for table in self.list(Self::object)? {
                self.demand(Action::Maintain, Target::Table(table));
            }
            while self.eat_any(&["FOR", "UPGRADE", "FROM", "MYSQL"]) {}
            return Ok((format!("{verb} VIEW"), Body::Rows));
        }
        self.expect_any(&["TABLE", "TABLES"], "TABLE")?;
        for table in self.list(Self::object)? {
            self.demand(Action::Maintain, Target::Table(table));
        }
        while self.eat_any(&[
            "QUICK", "FAST", "MEDIUM", "EXTENDED", "CHANGED", "USE_FRM", "FOR", "UPGRADE", "FORCE", "NOWAIT",
        ]) {}
        if self.eat_all(&["PERSISTENT", "FOR"]) {
            self.persistent()?;
        }
        if self.is_any(&["UPDATE", "DROP"]) && self.is_nth(1, "HISTOGRAM") {
            self.take(Role::Plain);
            self.take(Role::Plain);
            self.expect("ON")?;
            self.list(Self::folded)?;
            if self.eat("WITH") {
                self.number()?;
                self.expect("BUCKETS")?;
            }
            let _mode = self.eat_all(&["AUTO", "UPDATE"]) || self.eat_all(&["MANUAL", "UPDATE"]);
            if self.eat_all(&["USING", "DATA"]) {
                self.string()?;
            }
        }
        Ok((format!("{verb} TABLE"), Body::Rows))
    }

    fn persistent(&mut self) -> Parsed<()> {
        if self.eat("ALL") {
            return Ok(());
        }
        self.expect("COLUMNS")?;
        if !self.eat("ALL") {
            self.expect_mark("(")?;
            if !self.is_mark(")") {
                self.list(Self::folded)?;
            }
            self.expect_mark(")")?;
        }
        self.expect("INDEXES")?;
        if self.eat("ALL") {
            return Ok(());
        }
        self.expect_mark("(")?;
        if !self.is_mark(")") {
            self.list(|p| if p.eat("PRIMARY") { Ok(()) } else { p.folded().map(|_| ()) })?;
        }
        self.expect_mark(")")
    }

    fn flush(&mut self) -> Parsed<(String, Body)> {
        self.expect("FLUSH")?;
        let _local = self.eat_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        if self.eat_any(&["TABLES", "TABLE"]) {
            let mut tables = Vec::new();
            if self.is_name() {
                tables = self.list(Self::object)?;
            }
            let locks = self.eat_all(&["WITH", "READ", "LOCK"]);
            let _export = self.eat_all(&["FOR", "EXPORT"]);
            let _disable = self.eat_all(&["AND", "DISABLE", "CHECKPOINT"]);
            if tables.is_empty() {
                self.demand(Action::Maintain, Target::Connection);
            }
            for table in tables {
                self.demand(if locks { Action::Lock } else { Action::Maintain }, Target::Table(table));
            }
            return Self::plain("FLUSH TABLES");
        }
        self.list(|p| {
            let known = p.eat_any(&[
                "PRIVILEGES",
                "STATUS",
                "HOSTS",
                "LOGS",
                "USER_RESOURCES",
                "OPTIMIZER_COSTS",
                "DES_KEY_FILE",
                "USER_STATISTICS",
                "CLIENT_STATISTICS",
                "INDEX_STATISTICS",
                "TABLE_STATISTICS",
                "USER_VARIABLES",
                "SSL",
                "MASTER",
                "SLAVE",
            ]) || p.eat_all(&["QUERY", "CACHE"]);
            let logs = !known
                && p.eat_any(&["BINARY", "ENGINE", "ERROR", "GENERAL", "SLOW", "RELAY"])
                && p.eat_any(&["LOGS", "LOG"]);
            if !known && !logs {
                return p.fail("something that FLUSH flushes");
            }
            if p.eat_all(&["FOR", "CHANNEL"]) {
                p.string()?;
            }
            Ok(())
        })?;
        self.demand(Action::Maintain, Target::Connection);
        Self::plain("FLUSH")
    }

    fn reset_or_purge(&mut self) -> Parsed<(String, Body)> {
        let logs = || Target::Object("binary logs", "all".into());
        if self.eat("PURGE") {
            self.expect_any(&["BINARY", "MASTER"], "BINARY")?;
            self.expect("LOGS")?;
            if self.eat("TO") {
                self.string()?;
            } else {
                self.expect("BEFORE")?;
                let when = self.expr()?;
                self.collect_exprs(vec![when]);
            }
            self.demand(Action::Drop, logs());
            return Self::plain("PURGE BINARY LOGS");
        }
        self.expect("RESET")?;
        if self.eat("PERSIST") {
            self.if_exists();
            let name = if self.is_name() { self.plain_word()? } else { "all".into() };
            self.demand(Action::Configure, Target::Setting(name));
            return Self::plain("RESET PERSIST");
        }
        self.list(|p| {
            if p.eat_all(&["BINARY", "LOGS", "AND", "GTIDS"]) || p.eat("MASTER") {
                if p.eat("TO") {
                    p.number()?;
                }
                p.demand(Action::Drop, logs());
            } else if p.eat_any(&["SLAVE", "REPLICA"]) {
                let _all = p.eat("ALL");
                if p.eat_all(&["FOR", "CHANNEL"]) {
                    p.string()?;
                }
                p.demand(Action::Alter, Target::Object("replication", "all".into()));
            } else if p.eat_all(&["QUERY", "CACHE"]) {
                p.demand(Action::Maintain, Target::Connection);
            } else {
                return p.fail("something that RESET resets");
            }
            Ok(())
        })?;
        Self::plain("RESET")
    }

    fn change_source(&mut self) -> Parsed<(String, Body)> {
        self.expect("CHANGE")?;
        let channel = Target::Object("replication", "all".into());
        if self.eat_all(&["REPLICATION", "FILTER"]) {
            return self.fail("no filter of replication");
        }
        if self.eat("MASTER") {
            if self.kind() == Some(Kind::Text) {
                self.string()?;
            }
        } else {
            self.expect_all(&["REPLICATION", "SOURCE"])?;
        }
        self.expect("TO")?;
        self.list(|p| {
            p.plain_word()?;
            p.expect_mark("=")?;
            if p.is_mark("(") {
                p.expect_mark("(")?;
                if !p.is_mark(")") {
                    p.list(Self::number)?;
                }
                return p.expect_mark(")");
            }
            if p.kind() == Some(Kind::Text) {
                p.string().map(|_| ())
            } else if p.kind() == Some(Kind::Word) {
                p.plain_word().map(|_| ())
            } else {
                p.number()
            }
        })?;
        if self.eat_all(&["FOR", "CHANNEL"]) {
            self.string()?;
        }
        self.demand(Action::Alter, channel);
        Self::plain("CHANGE REPLICATION SOURCE")
    }

    fn start_or_stop(&mut self) -> Parsed<(String, Body)> {
        let start = self.is("START");
        self.take(Role::Plain);
        let _all = self.eat("ALL");
        self.expect_any(&["SLAVE", "REPLICA", "SLAVES", "REPLICAS", "GROUP_REPLICATION"], "REPLICA")?;
        if self.kind() == Some(Kind::Text) {
            self.string()?;
        }
        while self.eat_any(&["SQL_THREAD", "IO_THREAD", "RELAY_THREAD"]) {
            let _comma = self.eat_mark(",");
        }
        if self.eat_all(&["FOR", "CHANNEL"]) {
            self.string()?;
        }
        self.demand(Action::Alter, Target::Object("replication", "all".into()));
        Self::plain(if start { "START REPLICA" } else { "STOP REPLICA" })
    }

    fn install(&mut self) -> Parsed<(String, Body)> {
        let install = self.is("INSTALL");
        self.take(Role::Plain);
        let verb = if install { "INSTALL" } else { "UNINSTALL" };
        if self.eat("COMPONENT") {
            for path in self.list(Self::string)? {
                self.demand(Action::LoadLibrary, Target::File(path.into()));
            }
            if self.eat("SET") {
                return self.fail("no settings of a component");
            }
            return Self::plain(&format!("{verb} COMPONENT"));
        }
        if self.eat("SONAME") {
            let path = self.string()?;
            self.demand(Action::LoadLibrary, Target::File(path.into()));
            return Self::plain(&format!("{verb} SONAME"));
        }
        self.expect("PLUGIN")?;
        self.if_not_exists();
        self.if_exists();
        let name = self.folded()?;
        if install {
            self.expect("SONAME")?;
            let path = self.string()?;
            self.demand(Action::LoadLibrary, Target::File(path.into()));
        }
        self.demand(if install { Action::Create } else { Action::Drop }, Target::Object("plugin", name));
        Self::plain(&format!("{verb} PLUGIN"))
    }

    fn cache_index(&mut self) -> Parsed<(String, Body)> {
        self.expect_all(&["CACHE", "INDEX"])?;
        self.list(|p| {
            let table = p.object()?;
            if p.eat("PARTITION") {
                p.parens(|p| if p.eat("ALL") { Ok(()) } else { p.folded().map(|_| ()) })?;
            }
            if p.eat_any(&["INDEX", "KEY"]) {
                p.parens(Self::folded)?;
            }
            p.demand(Action::Maintain, Target::Table(table));
            Ok(())
        })?;
        self.expect("IN")?;
        if !self.eat("DEFAULT") {
            self.folded()?;
        }
        Ok(("CACHE INDEX".to_owned(), Body::Rows))
    }

    fn clone_instance(&mut self) -> Parsed<(String, Body)> {
        self.expect("CLONE")?;
        if self.eat("LOCAL") {
            self.expect_all(&["DATA", "DIRECTORY"])?;
            self.equals();
            let path = self.string()?;
            self.demand(Action::WriteFile, Target::File(path.into()));
            self.demand(Action::Replicate, Target::Connection);
            return Self::plain("CLONE");
        }
        self.fail("LOCAL")
    }

    fn backup(&mut self) -> Parsed<(String, Body)> {
        self.expect("BACKUP")?;
        if self.eat("STAGE") {
            self.expect_any(&["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT", "END"], "a stage")?;
        } else if self.eat("LOCK") {
            let table = self.object()?;
            self.demand(Action::Lock, Target::Table(table));
        } else {
            self.expect("UNLOCK")?;
        }
        self.demand(Action::Maintain, Target::Connection);
        Self::plain("BACKUP")
    }

    fn signal(&mut self) -> Parsed<(String, Body)> {
        let signal = self.is("SIGNAL");
        self.take(Role::Plain);
        if self.eat("SQLSTATE") {
            let _value = self.eat("VALUE");
            self.string()?;
        } else if self.is_name() {
            self.folded()?;
        }
        if self.eat("SET") {
            let mut values = self.list(|p| {
                p.plain_word()?;
                p.expect_mark("=")?;
                p.expr()
            })?;
            // The message of an error shows what it is made of.
            self.collected.exprs.append(&mut values);
        }
        self.connect();
        Self::plain(if signal { "SIGNAL" } else { "RESIGNAL" })
    }

    fn diagnostics(&mut self) -> Parsed<(String, Body)> {
        self.expect("GET")?;
        let _which = self.eat_any(&["CURRENT", "STACKED"]);
        self.expect("DIAGNOSTICS")?;
        if self.eat("CONDITION") {
            let number = self.expr()?;
            self.collect_exprs(vec![number]);
        }
        self.list(|p| {
            if !p.eat_kind(Kind::Variable) {
                p.folded()?;
            }
            p.expect_mark("=")?;
            p.plain_word().map(|_| ())
        })?;
        // Messages hold values; what goes into a variable is no longer seen as such.
        self.opaque("what GET DIAGNOSTICS keeps of messages");
        Self::plain("GET DIAGNOSTICS")
    }
}
