//! SHOW, DESCRIBE, EXPLAIN. What shows a schema is asked as `select` on the view of `information_schema` that
//! shows the same, so that one rule serves both ways of asking.
use super::{Kind, Parsed, Parser, Role};
use crate::mysql::tree::{Body, ObjectName, Target};
use doorward_model::Action;

impl Parser<'_> {
    /// `select` on a view of the server's own.
    pub(super) fn reads_catalogue(&mut self, schema: &str, view: &str) {
        let name = ObjectName { db: Some(schema.into()), name: view.into() };
        self.demand(Action::Select, Target::Table(name));
    }

    fn schema_view(&mut self, view: &str) {
        self.reads_catalogue("information_schema", view);
    }

    pub(super) fn show(&mut self) -> Parsed<(String, Body)> {
        self.expect("SHOW")?;
        let start = self.at;
        self.what()?;
        let words: Vec<String> = (start..self.at.min(start + 2))
            .filter_map(|i| self.tokens.get(i).filter(|t| t.kind == Kind::Word && !t.name))
            .map(|t| String::from_utf8_lossy(self.slice(*t)).to_ascii_uppercase())
            .collect();
        Ok((format!("SHOW {}", words.join(" ")), Body::Rows))
    }

    fn what(&mut self) -> Parsed<()> {
        if self.eat("CREATE") {
            return self.show_create();
        }
        let _full = self.eat("EXTENDED");
        let _full = self.eat("FULL");
        if self.eat("TABLES") {
            self.schema_view("tables");
            self.database_of()?;
            return self.like_or_where();
        }
        if self.eat_any(&["COLUMNS", "FIELDS"]) {
            self.schema_view("columns");
            self.table_of()?;
            return self.like_or_where();
        }
        if self.eat("PROCESSLIST") {
            self.schema_view("processlist");
            return Ok(());
        }
        if self.eat_any(&["INDEX", "INDEXES", "KEYS"]) {
            self.schema_view("statistics");
            self.table_of()?;
            return self.like_or_where();
        }
        if self.eat_any(&["DATABASES", "SCHEMAS"]) {
            self.schema_view("schemata");
            return self.like_or_where();
        }
        if self.eat_all(&["TABLE", "STATUS"]) || self.eat_all(&["OPEN", "TABLES"]) {
            self.schema_view("tables");
            self.database_of()?;
            return self.like_or_where();
        }
        if self.eat("TRIGGERS") {
            self.schema_view("triggers");
            self.database_of()?;
            return self.like_or_where();
        }
        if self.eat("EVENTS") {
            self.schema_view("events");
            self.database_of()?;
            return self.like_or_where();
        }
        if self.is_any(&["FUNCTION", "PROCEDURE", "PACKAGE"]) {
            self.schema_view("routines");
            self.take(Role::Plain);
            if self.eat("CODE") {
                return self.routine().map(|_| ());
            }
            let _body = self.eat("BODY");
            self.expect("STATUS")?;
            return self.like_or_where();
        }
        self.server()
    }

    /// What shows the server rather than a schema.
    fn server(&mut self) -> Parsed<()> {
        if self.is_any(&["GLOBAL", "SESSION", "LOCAL"]) {
            self.take(Role::Plain);
            self.expect_any(&["VARIABLES", "STATUS"], "VARIABLES or STATUS")?;
            self.connect();
            return self.like_or_where();
        }
        if self.eat_all(&["CHARACTER", "SET"]) || self.eat_any(&["VARIABLES", "STATUS", "COLLATION", "CHARSET"]) {
            self.connect();
            return self.like_or_where();
        }
        if self.is("STORAGE") || self.is("ENGINES") || self.is("PLUGINS") || self.is("PRIVILEGES") {
            let _storage = self.eat("STORAGE");
            self.take(Role::Plain);
            self.connect();
            if self.eat("SONAME") {
                self.string()?;
            }
            return self.like_or_where();
        }
        if self.is("COUNT") && self.is_mark_nth(1, "(") {
            self.take(Role::Function);
            self.expect_mark("(")?;
            self.expect_mark("*")?;
            self.expect_mark(")")?;
            self.connect();
            return self.expect_any(&["WARNINGS", "ERRORS"], "WARNINGS or ERRORS");
        }
        if self.eat_any(&["WARNINGS", "ERRORS"]) {
            self.connect();
            let mut rest = Vec::new();
            return self.limit(&mut rest);
        }
        if self.eat_any(&["AUTHORS", "CONTRIBUTORS", "PROFILES", "LOCALES"]) {
            self.connect();
            return Ok(());
        }
        if self.eat("PROFILE") {
            self.connect();
            while self.is_name() && !self.is("FOR") {
                self.take(Role::Plain);
                let _comma = self.eat_mark(",");
            }
            if self.eat_all(&["FOR", "QUERY"]) {
                self.number()?;
            }
            let mut rest = Vec::new();
            return self.limit(&mut rest);
        }
        if self.eat("GRANTS") {
            return self.show_grants();
        }
        self.replication_and_engines()
    }

    /// MariaDB shows the hash of the password with them, and the account is the gateway's.
    fn show_grants(&mut self) -> Parsed<()> {
        self.reads_catalogue("mysql", "user");
        if !self.eat("FOR") {
            return Ok(());
        }
        self.account()?;
        if self.eat("USING") {
            self.list(Self::account)?;
        }
        Ok(())
    }

    fn replication_and_engines(&mut self) -> Parsed<()> {
        if self.eat("ENGINE") {
            self.plain_word()?;
            self.expect_any(&["STATUS", "MUTEX", "LOGS"], "STATUS, MUTEX or LOGS")?;
            // The monitor shows statements of others.
            self.schema_view("processlist");
            return Ok(());
        }
        if self.is_any(&["BINLOG", "RELAYLOG"]) {
            self.take(Role::Plain);
            self.expect("EVENTS")?;
            if self.eat("IN") {
                self.string()?;
            }
            if self.eat("FROM") {
                self.number()?;
            }
            let mut rest = Vec::new();
            self.limit(&mut rest)?;
            if self.eat_all(&["FOR", "CHANNEL"]) {
                self.string()?;
            }
            // The events hold the rows of all tables.
            self.demand(Action::Replicate, Target::Connection);
            return Ok(());
        }
        let known = [
            &["BINARY", "LOGS"][..],
            &["MASTER", "LOGS"],
            &["MASTER", "STATUS"],
            &["BINARY", "LOG", "STATUS"],
            &["BINLOG", "STATUS"],
            &["SLAVE", "HOSTS"],
            &["REPLICA", "HOSTS"],
            &["REPLICAS"],
            &["ALL", "SLAVES", "STATUS"],
            &["ALL", "REPLICAS", "STATUS"],
            &["SLAVE", "STATUS"],
            &["REPLICA", "STATUS"],
        ];
        if !known.iter().any(|words| self.eat_all(words)) {
            return self.fail("something that SHOW shows");
        }
        if self.eat_all(&["FOR", "CHANNEL"]) {
            self.string()?;
        }
        self.schema_view("replication");
        Ok(())
    }

    fn show_create(&mut self) -> Parsed<()> {
        if self.eat_any(&["DATABASE", "SCHEMA"]) {
            self.if_not_exists();
            self.schema_view("schemata");
            return self.name().map(|_| ());
        }
        if self.eat("USER") {
            // Shows what the password hashes to.
            self.reads_catalogue("mysql", "user");
            return if self.is_mark(";") || self.peek().is_none() { Ok(()) } else { self.account().map(|_| ()) };
        }
        let view = if self.eat_any(&["TABLE", "SEQUENCE"]) {
            "tables"
        } else if self.eat("VIEW") {
            "views"
        } else if self.eat("TRIGGER") {
            "triggers"
        } else if self.eat("EVENT") {
            "events"
        } else if self.eat_any(&["PROCEDURE", "FUNCTION"]) {
            "routines"
        } else if self.eat("PACKAGE") {
            let _body = self.eat("BODY");
            "routines"
        } else if self.eat("SERVER") {
            "servers"
        } else {
            return self.fail("something that SHOW CREATE shows");
        };
        if view == "servers" {
            self.reads_catalogue("mysql", "servers");
        } else {
            self.schema_view(view);
        }
        self.object().map(|_| ())
    }

    fn database_of(&mut self) -> Parsed<()> {
        if self.eat_any(&["FROM", "IN"]) {
            self.name()?;
        }
        Ok(())
    }

    fn table_of(&mut self) -> Parsed<()> {
        self.expect_any(&["FROM", "IN"], "FROM")?;
        self.object()?;
        self.database_of()
    }

    fn like_or_where(&mut self) -> Parsed<()> {
        if self.eat("LIKE") {
            return self.string().map(|_| ());
        }
        if self.eat("WHERE") {
            let condition = self.expr()?;
            self.collected.exprs.push(condition);
        }
        Ok(())
    }

    /// DESCRIBE, EXPLAIN, and ANALYZE where it explains (MariaDB).
    pub(super) fn explain(&mut self) -> Parsed<(String, Body)> {
        let tables = ["TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"];
        if self.is("ANALYZE") && tables.iter().any(|w| self.is_nth(1, w)) {
            return self.maintain();
        }
        // What it is by itself, MySQL has a setting for.
        let mut is_table = self.env.upstream.is_mariadb();
        let mut runs = self.is("ANALYZE");
        self.take(Role::Plain);
        let explainable = |p: &Self, n| {
            ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "TABLE", "VALUES"]
                .iter()
                .any(|w| p.is_nth(n, w))
                || p.is_mark_nth(n, "(")
        };
        let mut into = false;
        loop {
            if self.is("FORMAT") && self.is_mark_nth(1, "=") {
                self.take(Role::Plain);
                self.take(Role::Plain);
                is_table = self.word_or_string()?.eq_ignore_ascii_case("TRADITIONAL");
            } else if self.is("INTO") && self.nth(1).is_some_and(|t| t.kind == Kind::Variable) {
                self.take(Role::Plain);
                self.take(Role::Plain);
                into = true;
            } else if self.is("ANALYZE") || ((self.is("EXTENDED") || self.is("PARTITIONS")) && explainable(self, 1)) {
                runs |= self.is("ANALYZE");
                self.take(Role::Plain);
            } else {
                break;
            }
        }
        is_table &= !runs && !into;
        if self.eat_all(&["FOR", "CONNECTION"]) {
            self.number()?;
            self.schema_view("processlist");
            return Ok(("EXPLAIN".to_owned(), Body::Rows));
        }
        if explainable(self, 0) {
            self.connect();
            let tree = Box::new(self.statement()?);
            return Ok(("EXPLAIN".to_owned(), Body::Explain { tree, into, is_table }));
        }
        self.object()?;
        self.schema_view("columns");
        if self.kind() == Some(Kind::Text) {
            self.string()?;
        } else if self.is_name() {
            self.folded()?;
        }
        Ok(("DESCRIBE".to_owned(), Body::Rows))
    }
}
