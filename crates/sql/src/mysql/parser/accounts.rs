//! Accounts, roles, GRANT and REVOKE.
use super::{Kind, Parsed, Parser, Role};
use crate::mysql::tree::{Body, ObjectName, Target};
use doorward_model::{Action, Name};

/// What GRANT is on.
enum Level {
    Everything,
    Database(Name),
    Table(ObjectName),
    Routine(ObjectName),
}

impl Parser<'_> {
    /// `'user'@'host'`, `role`, `CURRENT_USER`; by `user` where the host is `%`, else by `user@host`.
    pub(super) fn account(&mut self) -> Parsed<Name> {
        if self.eat_any(&["CURRENT_USER", "CURRENT_ROLE"]) {
            if self.eat_mark("(") {
                self.expect_mark(")")?;
            }
            return Ok("current_user".into());
        }
        let user = self.name_or_string()?;
        let Some(host) = self.peek().filter(|t| t.kind == Kind::Variable) else { return Ok(user) };
        self.take(Role::Plain);
        let host = crate::mysql::render::variable_name(self.slice(host), self.env.mode).to_lowercase();
        Ok(if host == "%" { user } else { format!("{user}@{host}").into() })
    }

    pub(super) fn create_role(&mut self) -> Parsed<(String, Body)> {
        self.if_not_exists();
        for role in self.list(Self::account)? {
            self.demand(Action::Create, Target::Role(role));
        }
        if self.eat_all(&["WITH", "ADMIN"]) {
            self.account()?;
        }
        Self::plain("CREATE ROLE")
    }

    /// CREATE USER and ALTER USER behind those words.
    pub(super) fn user(&mut self, action: Action, replace: bool, command: &str) -> Parsed<(String, Body)> {
        self.if_not_exists();
        self.if_exists();
        self.list(|p| {
            let account = if p.is("USER") && p.is_mark_nth(1, "(") {
                p.take(Role::Function);
                p.expect_mark("(")?;
                p.expect_mark(")")?;
                "current_user".into()
            } else {
                p.account()?
            };
            while p.authentication()? {}
            if replace {
                p.demand(Action::Drop, Target::Role(account.clone()));
            }
            p.demand(action, Target::Role(account));
            Ok(())
        })?;
        self.user_options()?;
        Self::plain(command)
    }

    /// `IDENTIFIED …` and what else follows an account.
    fn authentication(&mut self) -> Parsed<bool> {
        if self.eat("IDENTIFIED") {
            if self.eat("BY") {
                let _hash = self.eat("PASSWORD");
                if !self.eat_all(&["RANDOM", "PASSWORD"]) {
                    self.string()?;
                }
            } else {
                self.expect_any(&["WITH", "VIA"], "BY, WITH or VIA")?;
                self.plugin()?;
                while self.eat("OR") {
                    self.plugin()?;
                }
            }
            self.password_changes()?;
            return Ok(true);
        }
        if self.eat_all(&["DEFAULT", "ROLE"]) {
            if !self.eat_any(&["NONE", "ALL"]) {
                for role in self.list(Self::account)? {
                    self.demand(Action::Grant, Target::Role(role));
                }
            }
            return Ok(true);
        }
        if self.eat_all(&["DISCARD", "OLD", "PASSWORD"]) {
            return Ok(true);
        }
        if self.eat_any(&["ADD", "MODIFY", "DROP"]) {
            self.number()?;
            self.expect("FACTOR")?;
            return Ok(true);
        }
        let _and = self.is("AND") && self.is_nth(1, "IDENTIFIED") && self.eat("AND");
        Ok(self.is("IDENTIFIED"))
    }

    fn plugin(&mut self) -> Parsed<()> {
        self.word_or_string()?;
        if self.eat("BY") {
            if !self.eat_all(&["RANDOM", "PASSWORD"]) {
                self.string()?;
            }
        } else if self.eat_any(&["AS", "USING"]) {
            if self.is("PASSWORD") {
                self.take(Role::Function);
                self.expect_mark("(")?;
                self.string()?;
                self.expect_mark(")")?;
            } else if !self.eat_kind(Kind::Bits) {
                self.string()?;
            }
        }
        Ok(())
    }

    fn password_changes(&mut self) -> Parsed<()> {
        if self.eat("REPLACE") {
            self.string()?;
        }
        let _retain = self.eat_all(&["RETAIN", "CURRENT", "PASSWORD"]);
        Ok(())
    }

    /// REQUIRE, WITH, PASSWORD, ACCOUNT, COMMENT, ATTRIBUTE.
    fn user_options(&mut self) -> Parsed<()> {
        self.require()?;
        if self.eat("WITH") {
            self.resource_limits()?;
        }
        loop {
            if self.eat_all(&["ACCOUNT", "LOCK"]) || self.eat_all(&["ACCOUNT", "UNLOCK"]) {
            } else if self.eat_any(&["COMMENT", "ATTRIBUTE"]) {
                self.string()?;
            } else if self.eat("PASSWORD") {
                self.password_option()?;
            } else if self.eat_any(&["FAILED_LOGIN_ATTEMPTS", "PASSWORD_LOCK_TIME"]) {
                if !self.eat("UNBOUNDED") {
                    self.number()?;
                }
            } else if self.is_all(&["DEFAULT", "ROLE"]) {
                self.authentication()?;
            } else {
                return Ok(());
            }
        }
    }

    fn password_option(&mut self) -> Parsed<()> {
        if self.eat("EXPIRE") {
            if self.eat_any(&["DEFAULT", "NEVER"]) {
                return Ok(());
            }
            if self.eat("INTERVAL") {
                self.number()?;
                return self.unit();
            }
            return Ok(());
        }
        if self.eat("HISTORY") {
            return if self.eat("DEFAULT") { Ok(()) } else { self.number() };
        }
        if self.eat_all(&["REUSE", "INTERVAL"]) {
            if self.eat("DEFAULT") {
                return Ok(());
            }
            self.number()?;
            return self.unit();
        }
        self.expect_all(&["REQUIRE", "CURRENT"])?;
        let _how = self.eat_any(&["DEFAULT", "OPTIONAL"]);
        Ok(())
    }

    fn require(&mut self) -> Parsed<()> {
        if !self.eat("REQUIRE") {
            return Ok(());
        }
        if self.eat_any(&["NONE", "SSL", "X509"]) {
            return Ok(());
        }
        loop {
            self.expect_any(&["CIPHER", "ISSUER", "SUBJECT"], "CIPHER, ISSUER or SUBJECT")?;
            self.string()?;
            let _and = self.eat("AND");
            if !self.is_any(&["CIPHER", "ISSUER", "SUBJECT"]) {
                return Ok(());
            }
        }
    }

    fn resource_limits(&mut self) -> Parsed<()> {
        loop {
            if self.eat_all(&["GRANT", "OPTION"]) || self.eat_all(&["ADMIN", "OPTION"]) {
            } else if self.eat_any(&[
                "MAX_QUERIES_PER_HOUR",
                "MAX_UPDATES_PER_HOUR",
                "MAX_CONNECTIONS_PER_HOUR",
                "MAX_USER_CONNECTIONS",
                "MAX_STATEMENT_TIME",
            ]) {
                self.number()?;
            } else {
                return Ok(());
            }
        }
    }

    pub(super) fn grant_or_revoke(&mut self) -> Parsed<(String, Body)> {
        let grant = self.is("GRANT");
        self.take(Role::Plain);
        self.if_exists();
        let command = if grant { "GRANT" } else { "REVOKE" };
        let preposition = if grant { "TO" } else { "FROM" };
        if self.eat("PROXY") {
            self.expect("ON")?;
            let proxied = self.account()?;
            self.expect(preposition)?;
            self.grantees()?;
            self.demand(Action::Grant, Target::Role(proxied));
            return Self::plain(command);
        }
        if self.eat_all(&["ALL", "PRIVILEGES", ",", "GRANT"]) {
            return self.fail("a privilege");
        }
        let all_and_option = !grant && self.is("ALL") && (self.is_mark_nth(1, ",") || self.is_mark_nth(2, ","));
        if all_and_option {
            self.take(Role::Plain);
            let _privileges = self.eat("PRIVILEGES");
            self.expect_mark(",")?;
            self.expect_all(&["GRANT", "OPTION"])?;
            self.expect("FROM")?;
            self.level_demand(&Level::Everything);
            self.grantees()?;
            return Self::plain(command);
        }
        let _admin = self.eat_all(&["ADMIN", "OPTION", "FOR"]);
        if let Some(roles) = self.roles_granted(preposition)? {
            for role in roles {
                self.demand(Action::Grant, Target::Role(role));
            }
            self.expect(preposition)?;
            self.grantees()?;
            return Self::plain(if grant { "GRANT ROLE" } else { "REVOKE ROLE" });
        }
        self.list(Self::privilege)?;
        self.expect("ON")?;
        let level = self.level()?;
        self.level_demand(&level);
        self.expect(preposition)?;
        self.grantees()?;
        Self::plain(command)
    }

    /// The roles of `GRANT role, … TO`, if that is what stands here: no ON before TO.
    fn roles_granted(&mut self, preposition: &str) -> Parsed<Option<Vec<Name>>> {
        let mut n = 0;
        loop {
            if self.nth(n).is_none() || self.is_mark_nth(n, ";") || self.is_nth(n, "ON") {
                return Ok(None);
            }
            if self.is_nth(n, preposition) {
                return self.list(Self::account).map(Some);
            }
            n += 1;
        }
    }

    /// A privilege: words of the server, or a dynamic one, with columns perhaps.
    fn privilege(&mut self) -> Parsed<()> {
        let start = self.at;
        while self.peek().is_some_and(|t| t.kind == Kind::Word) && !self.is("ON") && self.at < start + 4 {
            self.take(Role::Plain);
        }
        if self.at == start {
            return self.fail("a privilege");
        }
        if self.is_mark("(") {
            self.parens(Self::folded)?;
        }
        Ok(())
    }

    fn level(&mut self) -> Parsed<Level> {
        if self.is_any(&["PROCEDURE", "FUNCTION", "PACKAGE"]) && !self.is_mark_nth(1, ".") {
            self.take(Role::Plain);
            let _body = self.eat("BODY");
            return self.routine().map(Level::Routine);
        }
        let _table = self.is("TABLE") && self.eat("TABLE");
        if self.eat_mark("*") {
            if self.eat_mark(".") {
                self.expect_mark("*")?;
                return Ok(Level::Everything);
            }
            return Ok(match self.env.database.clone() {
                Some(name) => Level::Database(name),
                None => Level::Everything,
            });
        }
        if self.is_mark_nth(1, ".") && self.is_mark_nth(2, "*") {
            let name = self.name()?;
            self.take(Role::Plain);
            self.take(Role::Plain);
            // A pattern: `%` stands for any name.
            let pattern = name.replace("\\%", "");
            return Ok(if pattern.contains('%') {
                Level::Everything
            } else {
                Level::Database(name.replace("\\_", "_").replace("\\%", "%").into())
            });
        }
        self.object().map(Level::Table)
    }

    fn level_demand(&mut self, level: &Level) {
        let target = match level {
            Level::Everything => Target::Connection,
            Level::Database(name) => Target::Database(name.clone()),
            Level::Table(name) => Target::Table(name.clone()),
            Level::Routine(name) => Target::Function(name.clone()),
        };
        self.demand(Action::Grant, target);
    }

    /// Who is granted to; before MySQL 8 and in MariaDB this may make accounts and change passwords.
    fn grantees(&mut self) -> Parsed<()> {
        self.list(|p| {
            let account = p.account()?;
            let mut changed = false;
            while p.authentication()? {
                changed = true;
            }
            if changed {
                p.demand(Action::Alter, Target::Role(account));
            }
            Ok(())
        })?;
        self.require()?;
        if self.eat("WITH") {
            self.resource_limits()?;
        }
        if self.eat("AS") {
            self.account()?;
            if self.eat_all(&["WITH", "ROLE"]) {
                let _which = self.eat_any(&["DEFAULT", "NONE", "ALL"]);
                if self.eat("EXCEPT") || (self.is_name() || self.kind() == Some(Kind::Text)) {
                    self.list(Self::account)?;
                }
            }
        }
        let _unknown = self.eat_all(&["IGNORE", "UNKNOWN", "USER"]);
        Ok(())
    }
}
