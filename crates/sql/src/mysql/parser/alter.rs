//! ALTER TABLE.
use super::{Kind, Parsed, Parser, Role};
use crate::mysql::{
    tree::{Body, Note, ObjectName, Target},
    words::listed,
};
use doorward_model::Action;

impl Parser<'_> {
    /// `ALTER [ONLINE] [IGNORE] TABLE` behind those words.
    pub(super) fn alter_table(&mut self) -> Parsed<(String, Body)> {
        let start = self.at;
        self.if_exists();
        let table = self.object()?;
        self.is_elsewhere = self.is_of_another_database(&table);
        self.demand(Action::Alter, Target::Table(table.clone()));
        self.note(Note::SchemaChanged);
        self.collected.row_of = Some(table.clone());
        if self.eat("WAIT") {
            self.number()?;
        } else {
            let _wait = self.eat("NOWAIT");
        }
        let mut first = true;
        while !(self.peek().is_none() || self.is_mark(";")) {
            if !first
                && !self.eat_mark(",")
                && !self.is_all(&["PARTITION", "BY"])
                && !self.is_all(&["REMOVE", "PARTITIONING"])
            {
                return self.fail("a comma");
            }
            first = false;
            self.alteration(&table)?;
        }
        // Work on partitions reports what it found.
        let reports = (start..self.at).any(|i| {
            let word = self.tokens.get(i).map(|t| self.slice(*t)).unwrap_or_default();
            listed(" ANALYZE CHECK OPTIMIZE REPAIR ", word)
        });
        Ok(("ALTER TABLE".to_owned(), if reports { Body::Rows } else { Body::Plain }))
    }

    fn alteration(&mut self, table: &ObjectName) -> Parsed<()> {
        if self.is_all(&["PARTITION", "BY"]) {
            return self.partitioning();
        }
        if self.eat("ADD") {
            return self.add();
        }
        if self.eat("DROP") {
            return self.drop_part();
        }
        if self.eat("CHANGE") {
            let _column = self.eat("COLUMN");
            self.if_exists();
            self.folded()?;
            self.column_definition()?;
            return self.position();
        }
        if self.eat("MODIFY") {
            let _column = self.eat("COLUMN");
            self.if_exists();
            self.column_definition()?;
            return self.position();
        }
        if self.eat("ALTER") {
            return self.alter_part();
        }
        if self.eat("RENAME") {
            return self.rename_part(table);
        }
        self.alteration_of_whole(table)
    }

    fn add(&mut self) -> Parsed<()> {
        if self.eat("PARTITION") {
            self.if_not_exists();
            let _local = self.eat_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
            if self.eat("PARTITIONS") {
                return self.number();
            }
            return self.parens(Self::partition_definition).map(|_| ());
        }
        if self.eat_all(&["SYSTEM", "VERSIONING"]) || self.key_definition()? {
            return Ok(());
        }
        let _column = self.eat("COLUMN");
        self.if_not_exists();
        if self.is_mark("(") {
            return self.parens(|p| if p.key_definition()? { Ok(()) } else { p.column_definition() }).map(|_| ());
        }
        self.column_definition()?;
        self.position()
    }

    fn position(&mut self) -> Parsed<()> {
        if self.eat("AFTER") {
            return self.folded().map(|_| ());
        }
        let _first = self.eat("FIRST");
        Ok(())
    }

    fn drop_part(&mut self) -> Parsed<()> {
        if self.eat_all(&["PRIMARY", "KEY"]) || self.eat_all(&["SYSTEM", "VERSIONING"]) {
            return Ok(());
        }
        if self.eat("PARTITION") {
            self.if_exists();
            return self.list(Self::folded).map(|_| ());
        }
        if self.eat_all(&["PERIOD", "FOR"]) {
            return if self.eat("SYSTEM_TIME") { Ok(()) } else { self.folded().map(|_| ()) };
        }
        let _kind =
            self.eat_all(&["FOREIGN", "KEY"]) || self.eat_any(&["INDEX", "KEY", "CHECK", "CONSTRAINT", "COLUMN"]);
        self.if_exists();
        self.folded()?;
        let _behaviour = self.eat_any(&["RESTRICT", "CASCADE"]);
        Ok(())
    }

    fn alter_part(&mut self) -> Parsed<()> {
        if self.eat_any(&["INDEX", "KEY"]) {
            self.if_exists();
            self.folded()?;
            let known = self.eat_any(&["VISIBLE", "INVISIBLE", "IGNORED"]) || self.eat_all(&["NOT", "IGNORED"]);
            return if known { Ok(()) } else { self.fail("VISIBLE or INVISIBLE") };
        }
        if self.eat_any(&["CHECK", "CONSTRAINT"]) {
            self.folded()?;
            let _not = self.eat("NOT");
            return self.expect("ENFORCED");
        }
        let _column = self.eat("COLUMN");
        self.if_exists();
        self.folded()?;
        if self.eat_all(&["DROP", "DEFAULT"]) {
            return Ok(());
        }
        self.expect("SET")?;
        if self.eat_any(&["VISIBLE", "INVISIBLE"]) {
            return Ok(());
        }
        self.expect("DEFAULT")?;
        let value = self.expr()?;
        self.kept(value);
        Ok(())
    }

    fn rename_part(&mut self, table: &ObjectName) -> Parsed<()> {
        if self.is_any(&["COLUMN", "INDEX", "KEY"]) {
            self.take(Role::Plain);
            self.if_exists();
            self.folded()?;
            self.expect("TO")?;
            return self.folded().map(|_| ());
        }
        let _to = self.eat_any(&["TO", "AS"]) || self.eat_mark("=");
        let new = self.object()?;
        self.demand(Action::Drop, Target::Table(table.clone()));
        self.demand(Action::Create, Target::Table(new));
        Ok(())
    }

    fn partitions(&mut self) -> Parsed<()> {
        self.expect("PARTITION")?;
        let _local = self.eat_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        if self.eat("ALL") {
            return Ok(());
        }
        self.list(Self::folded).map(|_| ())
    }

    fn alteration_of_whole(&mut self, table: &ObjectName) -> Parsed<()> {
        if self.eat_all(&["CONVERT", "TO"]) {
            if !self.eat("CHARSET") {
                self.expect_all(&["CHARACTER", "SET"])?;
            }
            self.word_or_string()?;
            if self.eat("COLLATE") {
                self.word_or_string()?;
            }
            return Ok(());
        }
        if self.eat_any(&["ALGORITHM", "LOCK"]) {
            self.equals();
            return self.plain_word().map(|_| ());
        }
        if self.eat_any(&["ENABLE", "DISABLE"]) {
            return self.expect("KEYS");
        }
        if self.eat_any(&["WITH", "WITHOUT"]) {
            return self.expect("VALIDATION");
        }
        if self.eat_any(&["FORCE", "SECONDARY_LOAD", "SECONDARY_UNLOAD"]) || self.eat_all(&["REMOVE", "PARTITIONING"]) {
            return Ok(());
        }
        if self.is("ORDER") {
            let order = self.order_by()?;
            self.collect_exprs(order);
            return Ok(());
        }
        if self.is_any(&["DISCARD", "IMPORT"]) {
            self.take(Role::Plain);
            if self.is("PARTITION") {
                self.partitions()?;
            }
            self.opaque("the files of a tablespace");
            return self.expect("TABLESPACE");
        }
        if self.is_any(&["TRUNCATE", "COALESCE", "ANALYZE", "CHECK", "OPTIMIZE", "REBUILD", "REPAIR"])
            && self.is_nth(1, "PARTITION")
        {
            let coalesce = self.is("COALESCE");
            self.take(Role::Plain);
            if coalesce {
                self.take(Role::Plain);
                let _local = self.eat_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
                return self.number();
            }
            self.partitions()?;
            while self.eat_any(&["QUICK", "FAST", "MEDIUM", "EXTENDED", "CHANGED", "USE_FRM"]) {}
            return Ok(());
        }
        if self.eat_all(&["REORGANIZE", "PARTITION"]) {
            let _local = self.eat_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
            if self.peek().is_none() || self.is_mark(";") {
                return Ok(());
            }
            self.list(Self::folded)?;
            self.expect("INTO")?;
            return self.parens(Self::partition_definition).map(|_| ());
        }
        if self.eat_all(&["EXCHANGE", "PARTITION"]) {
            self.folded()?;
            self.expect_all(&["WITH", "TABLE"])?;
            let other = self.object()?;
            // The rows change places.
            for action in [Action::Alter, Action::Select, Action::Insert, Action::Delete] {
                self.demand(action, Target::Table(other.clone()));
            }
            self.collected.carries.extend([table.clone(), other]);
            if self.eat_any(&["WITH", "WITHOUT"]) {
                self.expect("VALIDATION")?;
            }
            return Ok(());
        }
        if self.table_option()? {
            while self.peek().is_some_and(|t| t.kind == Kind::Word) && self.table_option()? {}
            return Ok(());
        }
        self.fail("a change of a table")
    }
}
