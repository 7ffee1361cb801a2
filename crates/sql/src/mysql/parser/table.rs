//! CREATE TABLE: columns, keys, options, partitions; and types.
use super::{Kind, Parsed, Parser, Role};
use crate::mysql::{
    tree::{Body, Expr, Note, ObjectName, Target},
    words::{listed, unit},
};
use doorward_model::Action;

const TYPES: &str = " BIT TINYINT SMALLINT MEDIUMINT MIDDLEINT INT INTEGER BIGINT INT1 INT2 INT3 INT4 INT8 REAL DOUBLE FLOAT FLOAT4 \
FLOAT8 DECIMAL DEC NUMERIC FIXED NUMBER DATE TIME TIMESTAMP DATETIME YEAR CHAR CHARACTER NCHAR VARCHAR VARCHARACTER VARCHAR2 \
NVARCHAR NATIONAL BINARY VARBINARY TINYBLOB BLOB MEDIUMBLOB LONGBLOB TINYTEXT TEXT MEDIUMTEXT LONGTEXT CLOB RAW ENUM SET JSON LONG \
BOOL BOOLEAN SERIAL SIGNED UNSIGNED GEOMETRY GEOMETRYCOLLECTION GEOMCOLLECTION POINT MULTIPOINT LINESTRING MULTILINESTRING POLYGON MULTIPOLYGON \
INET4 INET6 UUID VECTOR ";

/// Engines that keep a table's rows in the server itself. Others read files or other servers.
const ENGINES: &str = " INNODB MYISAM MEMORY HEAP ARCHIVE CSV BLACKHOLE ARIA MERGE MRG_MYISAM NDB NDBCLUSTER ROCKSDB TOKUDB \
COLUMNSTORE SEQUENCE DEFAULT ";

/// Options of tables that take a word, a number or a string.
const OPTIONS: &str = " AUTO_INCREMENT AVG_ROW_LENGTH CHECKSUM TABLE_CHECKSUM COMMENT COMPRESSION DELAY_KEY_WRITE ENCRYPTION ENCRYPTED \
ENCRYPTION_KEY_ID ENGINE_ATTRIBUTE INSERT_METHOD KEY_BLOCK_SIZE MAX_ROWS MIN_ROWS PACK_KEYS PAGE_CHECKSUM PAGE_COMPRESSED \
PAGE_COMPRESSION_LEVEL PASSWORD ROW_FORMAT SECONDARY_ENGINE SECONDARY_ENGINE_ATTRIBUTE STATS_AUTO_RECALC STATS_PERSISTENT \
STATS_SAMPLE_PAGES TRANSACTIONAL AUTOEXTEND_SIZE NODEGROUP STORAGE ";

impl Parser<'_> {
    /// A type of a column, a parameter, a CAST.
    pub(super) fn data_type(&mut self) -> Parsed<()> {
        let known = self.peek().is_some_and(|t| t.kind == Kind::Word && listed(TYPES, self.slice(t)));
        if !known {
            return self.fail("a type");
        }
        let words = self.is("SET") || self.is("ENUM");
        let national = self.is("NATIONAL");
        let long = self.is("LONG");
        self.take(Role::Plain);
        if national {
            self.expect_any(&["CHAR", "CHARACTER", "VARCHAR"], "CHAR or VARCHAR")?;
        }
        if long {
            let _kind = self.eat_any(&["VARCHAR", "VARBINARY", "CHAR"]);
        }
        let _varying = self.eat("VARYING") || self.eat("PRECISION");
        if words {
            self.parens(
                |p| if p.eat_kind(Kind::Text) || p.eat_kind(Kind::Bits) { Ok(()) } else { p.fail("a string") },
            )?;
        } else if self.is_mark("(") {
            self.parens(Self::number)?;
        }
        self.type_attributes()
    }

    fn type_attributes(&mut self) -> Parsed<()> {
        loop {
            if self.eat_any(&["UNSIGNED", "SIGNED", "ZEROFILL", "ASCII", "UNICODE", "BYTE", "INTEGER", "INT"]) {
            } else if self.eat_all(&["CHARACTER", "SET"]) || self.eat("CHARSET") {
                self.word_or_string()?;
            } else if self.is("BINARY") && !self.is_mark_nth(1, "(") {
                self.take(Role::Plain);
            } else if self.eat("COLLATE") {
                self.word_or_string()?;
            } else {
                return Ok(());
            }
        }
    }

    /// `name type attributes`
    pub(super) fn column_definition(&mut self) -> Parsed<()> {
        self.folded()?;
        self.field_definition()
    }

    /// What follows a column's name.
    pub(super) fn field_definition(&mut self) -> Parsed<()> {
        self.data_type()?;
        while self.column_attribute()? {}
        Ok(())
    }

    fn part(&mut self) -> Parsed<()> {
        let expr = self.expr()?;
        self.collected.exprs.push(expr);
        Ok(())
    }

    fn column_attribute(&mut self) -> Parsed<bool> {
        if self.eat_all(&["GENERATED", "ALWAYS"]) || (self.is("AS") && self.is_mark_nth(1, "(")) {
            self.expect("AS")?;
            if self.eat("ROW") {
                self.expect_any(&["START", "END"], "START or END")?;
            } else {
                self.expect_mark("(")?;
                let made_of = self.expr()?;
                self.kept(made_of);
                self.expect_mark(")")?;
                let _kept = self.eat_any(&["VIRTUAL", "STORED", "PERSISTENT"]);
            }
        } else if self.eat_all(&["NOT", "NULL"])
            || self.eat_all(&["NOT", "SECONDARY"])
            || self.eat_any(&["NULL", "AUTO_INCREMENT", "VISIBLE", "INVISIBLE", "COMPRESSED"])
            || self.eat_all(&["SERIAL", "DEFAULT", "VALUE"])
            || self.eat_all(&["WITH", "SYSTEM", "VERSIONING"])
            || self.eat_all(&["WITHOUT", "SYSTEM", "VERSIONING"])
            || self.eat_all(&["PRIMARY", "KEY"])
            || self.eat("KEY")
        {
        } else if self.eat("DEFAULT") || self.eat_all(&["ON", "UPDATE"]) {
            let value = self.expr()?;
            self.kept(value);
        } else if self.eat("UNIQUE") {
            let _key = self.eat("KEY");
        } else if self.eat("COMMENT") {
            self.string()?;
        } else if self.eat("COLLATE") {
            self.word_or_string()?;
        } else if self.eat_any(&["COLUMN_FORMAT", "STORAGE"]) {
            self.plain_word()?;
        } else if self.eat_any(&["ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"]) {
            self.equals();
            self.string()?;
        } else if self.eat("SRID") || self.eat("REF_SYSTEM_ID") {
            self.equals();
            self.number()?;
        } else if self.is("REFERENCES") {
            self.references()?;
        } else if self.is("CONSTRAINT") || self.is("CHECK") {
            if self.eat("CONSTRAINT") && !self.is("CHECK") {
                self.folded()?;
            }
            self.check()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn check(&mut self) -> Parsed<()> {
        self.expect("CHECK")?;
        self.expect_mark("(")?;
        self.part()?;
        self.expect_mark(")")?;
        let _enforced = self.eat_all(&["NOT", "ENFORCED"]) || self.eat("ENFORCED");
        Ok(())
    }

    fn references(&mut self) -> Parsed<()> {
        self.expect("REFERENCES")?;
        let table = self.object()?;
        if table.db.is_none() && self.is_elsewhere {
            self.opaque("a table that is referred to without its database, from one of another database");
        }
        self.demand(Action::Select, Target::Table(table));
        if self.is_mark("(") {
            self.parens(Self::folded)?;
        }
        if self.eat("MATCH") {
            self.expect_any(&["FULL", "PARTIAL", "SIMPLE"], "FULL, PARTIAL or SIMPLE")?;
        }
        while self.is("ON") && (self.is_nth(1, "DELETE") || self.is_nth(1, "UPDATE")) {
            self.take(Role::Plain);
            self.take(Role::Plain);
            let known = self.eat_any(&["RESTRICT", "CASCADE"])
                || self.eat_all(&["SET", "NULL"])
                || self.eat_all(&["SET", "DEFAULT"])
                || self.eat_all(&["NO", "ACTION"]);
            if !known {
                return self.fail("what happens to the rows");
            }
        }
        Ok(())
    }

    /// A key or constraint of a table. False if none begins here.
    pub(super) fn key_definition(&mut self) -> Parsed<bool> {
        if self.eat_all(&["PERIOD", "FOR"]) {
            if !self.eat("SYSTEM_TIME") {
                self.folded()?;
            }
            self.parens(Self::folded)?;
            return Ok(true);
        }
        let constraint = self.eat("CONSTRAINT");
        if constraint {
            self.if_not_exists();
            if !self.is_any(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
                self.folded()?;
            }
        }
        if self.is("CHECK") {
            self.check()?;
        } else if self.eat_all(&["FOREIGN", "KEY"]) {
            self.if_not_exists();
            if !self.is_mark("(") {
                self.folded()?;
            }
            self.key_parts()?;
            self.references()?;
        } else if self.eat_all(&["PRIMARY", "KEY"]) || self.eat("UNIQUE") {
            let _key = self.eat_any(&["INDEX", "KEY"]);
            self.key_tail()?;
        } else if !constraint && (self.is_any(&["FULLTEXT", "SPATIAL"]) || self.is_all(&["VECTOR", "INDEX"])) {
            self.take(Role::Plain);
            let _key = self.eat_any(&["INDEX", "KEY"]);
            self.key_tail()?;
        } else if !constraint && self.eat_any(&["INDEX", "KEY"]) {
            self.key_tail()?;
        } else if constraint {
            return self.fail("a constraint");
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// `[name] [USING type] (parts) options`
    fn key_tail(&mut self) -> Parsed<()> {
        self.if_not_exists();
        if !self.is_mark("(") && !self.is_any(&["USING", "TYPE"]) {
            self.folded()?;
        }
        if self.eat_any(&["USING", "TYPE"]) {
            self.plain_word()?;
        }
        self.key_parts()?;
        self.key_options()
    }

    pub(super) fn key_parts(&mut self) -> Parsed<()> {
        self.parens(|p| {
            if p.is_mark("(") {
                p.part()?;
            } else {
                p.folded()?;
                if p.is_mark("(") {
                    p.parens(Self::number)?;
                }
                let _overlaps = p.eat_all(&["WITHOUT", "OVERLAPS"]);
            }
            let _order = p.eat_any(&["ASC", "DESC"]);
            Ok(())
        })
        .map(|_| ())
    }

    pub(super) fn key_options(&mut self) -> Parsed<()> {
        loop {
            if self.eat("KEY_BLOCK_SIZE") {
                self.equals();
                self.number()?;
            } else if self.eat_any(&["USING", "TYPE"]) {
                self.plain_word()?;
            } else if self.eat_all(&["WITH", "PARSER"]) {
                self.folded()?;
            } else if self.eat("COMMENT") {
                self.string()?;
            } else if self.eat_any(&["ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"]) {
                self.equals();
                self.string()?;
            } else if self.eat_any(&["DISTANCE", "M"]) {
                self.equals();
                if !self.eat_kind(Kind::Integer) {
                    self.plain_word()?;
                }
            } else if !(self.eat_any(&["VISIBLE", "INVISIBLE", "IGNORED"]) || self.eat_all(&["NOT", "IGNORED"])) {
                return Ok(());
            }
        }
    }

    /// `CREATE [TEMPORARY] TABLE` behind those words.
    pub(super) fn create_table(&mut self, replace: bool, temporary: bool) -> Parsed<(String, Body)> {
        self.if_not_exists();
        let name = self.object()?;
        self.is_elsewhere = self.is_of_another_database(&name);
        // What is temporary is nobody else's, nor in any catalogue.
        if temporary {
            self.demand(Action::Create, Target::Temporary(name.clone()));
            self.note(Note::MadeTemporary(name.clone()));
        } else {
            self.note(Note::SchemaChanged);
            self.demand(Action::Create, Target::Table(name.clone()));
            if replace {
                self.demand(Action::Drop, Target::Table(name));
            }
        }
        if self.eat("LIKE") {
            return self.like_table();
        }
        if self.is_mark("(") && self.is_nth(1, "LIKE") {
            self.take(Role::Plain);
            self.take(Role::Plain);
            let out = self.like_table()?;
            self.expect_mark(")")?;
            return Ok(out);
        }
        if self.is_mark("(") && !self.query_at(1) {
            self.parens(|p| if p.key_definition()? { Ok(()) } else { p.column_definition() })?;
        }
        while self.table_option()? {}
        if self.is_all(&["PARTITION", "BY"]) {
            self.partitioning()?;
        }
        let _duplicates = self.eat_any(&["IGNORE", "REPLACE"]);
        let _as = self.eat("AS");
        if self.query_at(0) || self.is_mark("(") {
            let query = Box::new(self.query()?);
            return Ok(("CREATE TABLE AS".to_owned(), Body::CreateAs(query)));
        }
        Self::plain("CREATE TABLE")
    }

    fn like_table(&mut self) -> Parsed<(String, Body)> {
        let other = self.object()?;
        self.demand(Action::Select, Target::Table(other));
        Self::plain("CREATE TABLE")
    }

    /// One option of a table; commas between them are optional.
    pub(super) fn table_option(&mut self) -> Parsed<bool> {
        let comma = self.is_mark(",");
        let n = usize::from(comma);
        if !self.is_table_option(n) {
            return Ok(false);
        }
        let _comma = self.eat_mark(",");
        let _default = self.eat("DEFAULT");
        if self.eat_all(&["CHARACTER", "SET"]) || self.eat_any(&["CHARSET", "COLLATE"]) {
            self.equals();
            self.word_or_string()?;
        } else if self.eat_any(&["ENGINE", "TYPE"]) {
            self.equals();
            let engine = self.word_or_string()?;
            if !listed(ENGINES, engine.as_bytes()) {
                self.opaque(format!("what a table of engine {engine} reads"));
            }
        } else if self.eat_all(&["DATA", "DIRECTORY"]) || self.eat_all(&["INDEX", "DIRECTORY"]) {
            self.equals();
            let path = self.string()?;
            self.demand(Action::WriteFile, Target::File(path.into()));
        } else if self.eat("CONNECTION") {
            self.equals();
            self.string()?;
            self.opaque("a table on another server");
        } else if self.eat("UNION") {
            self.equals();
            for table in self.parens(Self::object)? {
                self.merged(table);
            }
        } else if self.eat("TABLESPACE") {
            self.equals();
            self.folded()?;
        } else if self.eat_all(&["WITH", "SYSTEM", "VERSIONING"]) || self.eat_all(&["START", "TRANSACTION"]) {
        } else if self.eat("SEQUENCE") {
            self.equals();
            self.number()?;
        } else {
            self.take(Role::Plain);
            self.equals();
            let _value = self.eat("DEFAULT") || self.eat_kind(Kind::Text) || self.eat_kind(Kind::Integer) || {
                self.plain_word()?;
                true
            };
        }
        Ok(true)
    }

    /// A table whose rows show in the new one, and change with it.
    fn merged(&mut self, table: ObjectName) {
        for action in [Action::Select, Action::Insert, Action::Update, Action::Delete] {
            self.demand(action, Target::Table(table.clone()));
        }
        self.collected.carries.push(table);
    }

    fn is_table_option(&self, n: usize) -> bool {
        let n = n + usize::from(self.is_nth(n, "DEFAULT"));
        let second = |w| self.is_nth(n + 1, w);
        (self.is_nth(n, "CHARACTER") && second("SET"))
            || ["CHARSET", "COLLATE", "ENGINE", "TYPE", "CONNECTION", "UNION", "TABLESPACE", "SEQUENCE"]
                .iter()
                .any(|w| self.is_nth(n, w) && !(*w == "UNION" && self.query_at(n + 1)))
            || (self.is_nth(n, "DATA") && second("DIRECTORY"))
            || (self.is_nth(n, "INDEX") && second("DIRECTORY"))
            || (self.is_nth(n, "WITH") && second("SYSTEM"))
            || (self.is_nth(n, "START") && second("TRANSACTION"))
            || self.nth(n).is_some_and(|t| t.kind == Kind::Word && listed(OPTIONS, self.slice(t)))
    }

    /// `PARTITION BY …`
    pub(super) fn partitioning(&mut self) -> Parsed<()> {
        self.expect_all(&["PARTITION", "BY"])?;
        self.partition_method()?;
        if self.eat("PARTITIONS") {
            self.number()?;
        }
        if self.eat_all(&["SUBPARTITION", "BY"]) {
            self.partition_method()?;
            if self.eat("SUBPARTITIONS") {
                self.number()?;
            }
        }
        if self.is_mark("(") {
            self.parens(Self::partition_definition)?;
        }
        Ok(())
    }

    fn partition_method(&mut self) -> Parsed<()> {
        let _linear = self.eat("LINEAR");
        if self.eat("SYSTEM_TIME") {
            while self.eat_any(&["INTERVAL", "LIMIT", "STARTS", "AUTO"]) {
                if !self.is_any(&["STARTS", "AUTO"]) {
                    self.part()?;
                }
                let unit = self.peek().is_some_and(|t| t.kind == Kind::Word && unit(self.slice(t)));
                if unit {
                    self.take(Role::Plain);
                }
            }
            return Ok(());
        }
        if self.eat("KEY") {
            if self.eat("ALGORITHM") {
                self.equals();
                self.number()?;
            }
            self.expect_mark("(")?;
            if !self.is_mark(")") {
                self.list(Self::folded)?;
            }
            return self.expect_mark(")");
        }
        if self.eat("HASH") {
            return self.part();
        }
        self.expect_any(&["RANGE", "LIST"], "HASH, KEY, RANGE or LIST")?;
        if self.eat("COLUMNS") {
            return self.parens(Self::folded).map(|_| ());
        }
        self.part()
    }

    pub(super) fn partition_definition(&mut self) -> Parsed<()> {
        self.expect("PARTITION")?;
        self.folded()?;
        if self.eat_all(&["VALUES", "LESS", "THAN"]) {
            if !self.eat("MAXVALUE") {
                self.bounds()?;
            }
        } else if self.eat_all(&["VALUES", "IN"]) {
            self.bounds()?;
        } else {
            let _history = self.eat_any(&["HISTORY", "CURRENT", "DEFAULT"]);
        }
        while self.partition_option()? {}
        if self.is_mark("(") {
            self.parens(|p| {
                p.expect("SUBPARTITION")?;
                p.word_or_string()?;
                while p.partition_option()? {}
                Ok(())
            })?;
        }
        Ok(())
    }

    fn bounds(&mut self) -> Parsed<()> {
        self.parens(|p| {
            if p.eat("MAXVALUE") {
                return Ok(());
            }
            if p.is_mark("(") {
                return p.bounds();
            }
            p.part()
        })
        .map(|_| ())
    }

    fn partition_option(&mut self) -> Parsed<bool> {
        if self.eat("STORAGE") {
            let _optional = self.is("ENGINE");
        }
        self.table_option()
    }

    /// Collects expressions that are read for what they call.
    pub(super) fn collect_exprs(&mut self, mut exprs: Vec<Expr>) {
        self.collected.exprs.append(&mut exprs);
    }
}
