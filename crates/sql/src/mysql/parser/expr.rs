//! Expressions.
use super::{Kind, Parsed, Parser, Role};
use crate::mysql::{
    functions::{Known, known},
    tree::{Arm, Call, Expr, Query},
    words,
};
use doorward_model::Name;

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.expr_from(None)
    }

    /// An expression whose first operand was read already.
    fn expr_from(&mut self, first: Option<Expr>) -> Parsed<Expr> {
        self.enter()?;
        let mut parts: Vec<Expr> = Vec::new();
        let (mut next, mut like) = (first, false);
        // Whether there is more than the one operand: then it is no plain column or literal.
        let mut alone = true;
        loop {
            let operand = match next.take() {
                Some(operand) => operand,
                None => {
                    while self.prefix() {
                        alone = false;
                    }
                    self.primary()?
                }
            };
            if parts.is_empty() || !matches!(operand, Expr::Nothing) {
                parts.push(operand);
            }
            alone &= !self.postfix()?;
            if !self.binary(&mut like) {
                break;
            }
            alone = false;
        }
        self.leave();
        if parts.len() == 1 && alone { Ok(parts.pop().unwrap_or(Expr::Nothing)) } else { Ok(Expr::Many(parts)) }
    }

    pub(super) fn exprs(&mut self) -> Parsed<Vec<Expr>> {
        self.list(Self::expr)
    }

    fn prefix(&mut self) -> bool {
        ["-", "+", "~", "!"].iter().any(|m| self.eat_mark(m)) || self.eat("NOT") || self.eat("BINARY")
    }

    /// Takes what follows an operand; whether there was anything.
    fn postfix(&mut self) -> Parsed<bool> {
        let mut found = false;
        loop {
            if self.eat("COLLATE") {
                self.word_or_string()?;
            } else if self.eat("IS") {
                let _not = self.eat("NOT");
                if self.eat("JSON") {
                    let _kind = self.eat_any(&["VALUE", "ARRAY", "OBJECT", "SCALAR"]);
                } else {
                    self.expect_any(&["NULL", "TRUE", "FALSE", "UNKNOWN"], "NULL, TRUE, FALSE or UNKNOWN")?;
                }
            } else if self.eat_mark("->") || self.eat_mark("->>") {
                self.string()?;
            } else {
                return Ok(found);
            }
            found = true;
        }
    }

    /// Takes an operator between two operands, if there is one.
    fn binary(&mut self, like: &mut bool) -> bool {
        for mark in ["=", "<=>", ">=", ">", "<=", "<", "<>", "!="] {
            if self.eat_mark(mark) {
                if self.is_any(&["ANY", "ALL", "SOME"]) && self.is_mark_nth(1, "(") {
                    self.take(Role::Plain);
                }
                return true;
            }
        }
        if ["+", "-", "*", "/", "%", "||", "&&", "|", "&", "<<", ">>", "^"].iter().any(|m| self.eat_mark(m)) {
            return true;
        }
        if self.is("NOT") && ["LIKE", "IN", "BETWEEN", "REGEXP", "RLIKE"].iter().any(|w| self.is_nth(1, w)) {
            self.take(Role::Plain);
        }
        if self.eat("LIKE") || self.eat_all(&["SOUNDS", "LIKE"]) {
            *like = true;
            return true;
        }
        if *like && self.eat("ESCAPE") {
            return true;
        }
        if self.is("MEMBER") && (self.is_nth(1, "OF") || self.is_mark_nth(1, "(")) {
            self.take(Role::Plain);
            let _of = self.eat("OF");
            return true;
        }
        self.eat_any(&["AND", "OR", "XOR", "DIV", "MOD", "IN", "BETWEEN", "REGEXP", "RLIKE"])
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let Some(token) = self.peek() else { return self.fail("an expression") };
        match token.kind {
            Kind::Text | Kind::National => Ok(self.texts()),
            Kind::Bits | Kind::Integer | Kind::Decimal | Kind::Parameter => {
                self.take(Role::Plain);
                Ok(Expr::Nothing)
            }
            Kind::Variable => {
                self.take(Role::Plain);
                if self.eat_mark(":=") {
                    return Ok(Expr::Assign(Box::new(self.expr()?)));
                }
                Ok(Expr::Variable)
            }
            Kind::System => self.system_variable(),
            Kind::Mark if self.is_mark("(") => self.paren(),
            Kind::Mark if self.is_mark("{") => self.odbc(),
            Kind::Quoted => self.column_or_call(),
            Kind::Word if token.name => self.column_or_call(),
            Kind::Word => self.word(),
            Kind::Mark | Kind::Hint => self.fail("an expression"),
        }
    }

    /// One string literal, or several that the server joins.
    fn texts(&mut self) -> Expr {
        let at = self.at;
        self.take(Role::Plain);
        let mut joined = self.tokens.get(at).is_some_and(|t| t.kind == Kind::National);
        while self.eat_kind(Kind::Text) {
            joined = true;
        }
        match self.tokens.get(at).copied() {
            Some(token) if !joined => self.string_of(token).map_or(Expr::Nothing, |text| Expr::Text(text.into())),
            Some(_) | None => Expr::Nothing,
        }
    }

    /// `{d '2026-01-01'}` and its kin.
    fn odbc(&mut self) -> Parsed<Expr> {
        self.expect_mark("{")?;
        self.expect_any(&["d", "t", "ts", "fn"], "d, t, ts or fn")?;
        let inner = self.expr()?;
        self.expect_mark("}")?;
        Ok(Expr::Many(vec![inner]))
    }

    /// `@@name`, `@@scope.name`.
    pub(super) fn system_variable(&mut self) -> Parsed<Expr> {
        self.take(Role::Plain);
        let mut name = self.plain_word()?;
        let mut global = false;
        if self.is_mark(".") {
            self.take(Role::Plain);
            let next = self.plain_word()?;
            global = &*name == "global";
            name = if matches!(&*name, "global" | "session" | "local" | "persist" | "persist_only") {
                next
            } else {
                format!("{name}.{next}").into()
            };
            if self.eat_mark(".") {
                name = format!("{name}.{}", self.plain_word()?).into();
            }
        }
        Ok(Expr::System { global, name })
    }

    /// Whether a query begins at a token.
    pub(super) fn query_at(&self, n: usize) -> bool {
        self.is_nth(n, "SELECT")
            || self.is_nth(n, "WITH")
            || self.is_nth(n, "TABLE")
            || (self.is_nth(n, "VALUES")
                && (self.is_nth(n + 1, "ROW") || (self.env.upstream.is_mariadb() && !self.on_duplicate)))
    }

    /// Whether an operand in parentheses turns out to be the first arm of a query.
    pub(super) fn query_goes_on(&self) -> bool {
        self.is_any(&["UNION", "EXCEPT", "INTERSECT", "ORDER", "LIMIT"])
    }

    /// `(expression, …)` or `(query)`.
    fn paren(&mut self) -> Parsed<Expr> {
        self.enter()?;
        self.expect_mark("(")?;
        let out = if self.query_at(0) {
            Expr::Query { query: Box::new(self.query()?), exists: false }
        } else if self.is_mark("(") {
            let first = self.paren()?;
            if let Expr::Query { query, exists: false } = first {
                if self.query_goes_on() {
                    let query = self.query_from(None, Arm::Paren(query))?;
                    Expr::Query { query: Box::new(query), exists: false }
                } else {
                    self.rest_of_paren(Expr::Query { query, exists: false })?
                }
            } else {
                self.rest_of_paren(first)?
            }
        } else {
            single(self.exprs()?)
        };
        self.expect_mark(")")?;
        self.leave();
        Ok(out)
    }

    /// An element that began with a parenthesis, and those behind it.
    fn rest_of_paren(&mut self, first: Expr) -> Parsed<Expr> {
        let mut all = vec![self.expr_from(Some(first))?];
        while self.eat_mark(",") {
            all.push(self.expr()?);
        }
        Ok(single(all))
    }

    /// `(query)` where nothing else may stand.
    pub(super) fn subquery(&mut self) -> Parsed<Query> {
        self.expect_mark("(")?;
        let query = self.query()?;
        self.expect_mark(")")?;
        Ok(query)
    }

    fn word(&mut self) -> Parsed<Expr> {
        let Some(token) = self.peek() else { return self.fail("an expression") };
        let word = self.slice(token);
        let follows = |p: &Self, kind| p.nth(1).is_some_and(|t| t.kind == kind);
        if words::introducer(word) && (follows(self, Kind::Text) || follows(self, Kind::Bits)) {
            self.take(Role::Plain);
            return if self.eat_kind(Kind::Bits) { Ok(Expr::Nothing) } else { self.texts_after_introducer() };
        }
        if word.starts_with(b"_") && follows(self, Kind::Text) {
            return self.fail("a character set that is known");
        }
        if self.eat_any(&["NULL", "TRUE", "FALSE"]) {
            return Ok(Expr::Nothing);
        }
        if self.is_any(&["DATE", "TIME", "TIMESTAMP"]) && follows(self, Kind::Text) {
            self.take(Role::Plain);
            self.take(Role::Plain);
            return Ok(Expr::Nothing);
        }
        if self.is("CASE") {
            return self.case();
        }
        if self.is("INTERVAL") {
            return self.interval();
        }
        if self.is("MATCH") && !self.is_mark_nth(1, "(") {
            self.take(Role::Plain);
            let mut parts = self.list(Self::column_or_call)?;
            self.expect("AGAINST")?;
            self.expect_mark("(")?;
            parts.push(self.against()?);
            self.expect_mark(")")?;
            return Ok(Expr::Many(parts));
        }
        if (self.is("NEXT") || self.is("PREVIOUS")) && self.is_nth(1, "VALUE") && self.is_nth(2, "FOR") {
            return self.sequence_value();
        }
        if self.is_mark_nth(1, "(") && (token.call || !words::called(word)) {
            return self.call();
        }
        if words::bare_function(word, self.env.upstream.is_mariadb()) {
            self.take(Role::Plain);
            return Ok(Expr::Nothing);
        }
        self.column_or_call()
    }

    fn texts_after_introducer(&mut self) -> Parsed<Expr> {
        self.texts();
        Ok(Expr::Nothing)
    }

    fn case(&mut self) -> Parsed<Expr> {
        self.expect("CASE")?;
        let mut parts = Vec::new();
        if !self.is("WHEN") {
            parts.push(self.expr()?);
        }
        while self.eat("WHEN") {
            parts.push(self.expr()?);
            self.expect("THEN")?;
            parts.push(self.expr()?);
        }
        if self.eat("ELSE") {
            parts.push(self.expr()?);
        }
        self.expect("END")?;
        Ok(Expr::Many(parts))
    }

    /// `INTERVAL expression unit`, or the function of that name.
    fn interval(&mut self) -> Parsed<Expr> {
        self.take(Role::Plain);
        let value = self.expr()?;
        if self.peek().is_some_and(|t| t.kind == Kind::Word && words::unit(self.slice(t))) {
            self.take(Role::Plain);
        }
        Ok(value)
    }

    pub(super) fn unit(&mut self) -> Parsed<()> {
        let known = self.peek().is_some_and(|t| t.kind == Kind::Word && words::unit(self.slice(t)));
        if !known {
            return self.fail("a unit of time");
        }
        self.take(Role::Plain);
        Ok(())
    }

    /// `NEXT VALUE FOR sequence` (MariaDB).
    fn sequence_value(&mut self) -> Parsed<Expr> {
        let name = if self.is("NEXT") { "nextval" } else { "lastval" };
        (0..3).for_each(|_| self.take(Role::Plain));
        let sequence = Some(self.object()?);
        Ok(Expr::Call(Box::new(Call { db: None, name: name.into(), native: true, sequence, args: Vec::new() })))
    }

    /// `a`, `t.a`, `db.t.a`, `f(…)`, `db.f(…)`.
    fn column_or_call(&mut self) -> Parsed<Expr> {
        let mut path = vec![self.name()?];
        while self.is_mark(".") && path.len() < 3 && self.is_name_nth(1) {
            self.take(Role::Plain);
            path.push(self.name()?);
        }
        if self.is_mark("(") {
            let name = path.pop().unwrap_or_else(|| "?".into());
            if path.len() > 1 {
                return self.fail("a function");
            }
            let args = self.plain_args()?;
            let call = Call { db: path.pop(), name: name.to_lowercase().into(), native: false, sequence: None, args };
            return self.over(call);
        }
        Ok(Expr::Column(folded_path(path)))
    }

    /// Arguments of a function that is not the grammar's: `f(a AS x, b)`.
    fn plain_args(&mut self) -> Parsed<Vec<Expr>> {
        self.expect_mark("(")?;
        let mut args = Vec::new();
        if !self.is_mark(")") {
            args = self.list(|p| {
                let arg = p.expr()?;
                if p.eat("AS") {
                    p.name_or_string()?;
                }
                Ok(arg)
            })?;
        }
        self.expect_mark(")")?;
        Ok(args)
    }

    /// A function by a plain word with `(` behind it.
    fn call(&mut self) -> Parsed<Expr> {
        let Some(token) = self.peek() else { return self.fail("a function") };
        let word = self.slice(token);
        let name: Name = String::from_utf8_lossy(word).to_lowercase().into();
        if self.is("EXISTS") {
            self.take(Role::Plain);
            return Ok(Expr::Query { query: Box::new(self.subquery()?), exists: true });
        }
        let reserved = words::reserved(word, self.env.upstream);
        if reserved && !words::reserved_function(word) {
            return self.fail("an expression");
        }
        if !reserved && !words::called(word) && known(word, self.env.upstream) == Known::No {
            return self.column_or_call();
        }
        self.take(Role::Function);
        self.enter()?;
        let (args, sequence) = self.native_args(&name)?;
        self.leave();
        self.over(Call { db: None, name, native: true, sequence, args })
    }

    fn native_args(&mut self, name: &str) -> Parsed<(Vec<Expr>, Option<crate::mysql::tree::ObjectName>)> {
        self.expect_mark("(")?;
        let mut sequence = None;
        let mut args = Vec::new();
        match name {
            "cast" => {
                args.push(self.expr()?);
                self.expect("AS")?;
                self.data_type()?;
                let _array = self.eat("ARRAY");
            }
            "convert" => {
                args.push(self.expr()?);
                if self.eat("USING") {
                    self.word_or_string()?;
                } else {
                    self.expect_mark(",")?;
                    self.data_type()?;
                }
            }
            "match" => {
                args = self.exprs()?;
                self.expect_mark(")")?;
                self.expect("AGAINST")?;
                self.expect_mark("(")?;
                args.push(self.against()?);
            }
            "extract" => {
                self.unit()?;
                self.expect("FROM")?;
                args.push(self.expr()?);
            }
            "timestampadd" | "timestampdiff" => {
                self.unit()?;
                self.expect_mark(",")?;
                args = self.exprs()?;
            }
            "get_format" => {
                self.expect_any(&["DATE", "TIME", "DATETIME", "TIMESTAMP"], "DATE, TIME, DATETIME or TIMESTAMP")?;
                self.expect_mark(",")?;
                args.push(self.expr()?);
            }
            "trim" => self.trim(&mut args)?,
            "nextval" | "lastval" | "setval" if self.env.upstream.is_mariadb() => {
                sequence = Some(self.object()?);
                if self.eat_mark(",") {
                    args = self.exprs()?;
                }
            }
            _ => self.common_args(name, &mut args)?,
        }
        self.expect_mark(")")?;
        Ok((args, sequence))
    }

    fn against(&mut self) -> Parsed<Expr> {
        // `IN` is no operator here.
        while self.prefix() {}
        let out = self.primary()?;
        let _mode = self.eat_all(&["IN", "NATURAL", "LANGUAGE", "MODE"]) || self.eat_all(&["IN", "BOOLEAN", "MODE"]);
        let _expansion = self.eat_all(&["WITH", "QUERY", "EXPANSION"]);
        Ok(out)
    }

    fn trim(&mut self, args: &mut Vec<Expr>) -> Parsed<()> {
        let side = self.eat_any(&["BOTH", "LEADING", "TRAILING"]);
        if !(side && self.is("FROM")) {
            args.push(self.expr()?);
        }
        if self.eat("FROM") {
            args.push(self.expr()?);
        }
        Ok(())
    }

    fn common_args(&mut self, name: &str, args: &mut Vec<Expr>) -> Parsed<()> {
        let aggregate = matches!(
            name,
            "count"
                | "sum"
                | "avg"
                | "min"
                | "max"
                | "group_concat"
                | "bit_and"
                | "bit_or"
                | "bit_xor"
                | "std"
                | "stddev"
                | "stddev_pop"
                | "stddev_samp"
                | "var_pop"
                | "var_samp"
                | "variance"
                | "json_arrayagg"
                | "json_objectagg"
                | "st_collect"
                | "median"
        );
        if aggregate {
            let _distinct = self.eat("DISTINCT") || self.eat("ALL");
            if self.eat_mark("*") {
                return Ok(());
            }
        }
        if self.is_mark(")") {
            return Ok(());
        }
        if matches!(name, "column_create" | "column_add" | "column_get") {
            // Dynamic columns of MariaDB: values with their types.
            args.append(&mut self.list(|p| {
                let value = p.expr()?;
                if p.eat("AS") {
                    p.data_type()?;
                }
                Ok(value)
            })?);
            return Ok(());
        }
        args.append(&mut self.exprs()?);
        match name {
            "substring" | "substr" | "mid" if self.eat("FROM") => {
                args.push(self.expr()?);
                if self.eat("FOR") {
                    args.push(self.expr()?);
                }
            }
            "char" if self.eat("USING") => {
                self.word_or_string()?;
            }
            "weight_string" => {
                if self.eat("AS") {
                    self.data_type()?;
                }
                if self.eat("LEVEL") {
                    self.list(|p| {
                        p.number()?;
                        let _order = p.eat_any(&["ASC", "DESC"]);
                        Ok(p.eat("REVERSE"))
                    })?;
                }
            }
            "json_value" => {
                if self.eat("RETURNING") {
                    self.data_type()?;
                }
                self.on_empty_or_error()?;
            }
            "group_concat" | "json_arrayagg" => {
                if self.is("ORDER") {
                    args.append(&mut self.order_by()?);
                }
                if self.eat("SEPARATOR") {
                    self.string()?;
                }
                if self.eat("LIMIT") {
                    args.append(&mut self.exprs()?);
                    if self.eat("OFFSET") {
                        args.push(self.expr()?);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `{NULL | ERROR | DEFAULT literal} ON {EMPTY | ERROR}`, any number of times.
    pub(super) fn on_empty_or_error(&mut self) -> Parsed<()> {
        while self.is_any(&["NULL", "ERROR", "DEFAULT"]) {
            if self.eat("DEFAULT") {
                self.literal()?;
            } else {
                self.take(Role::Plain);
            }
            self.expect("ON")?;
            self.expect_any(&["EMPTY", "ERROR"], "EMPTY or ERROR")?;
        }
        Ok(())
    }

    /// What may follow a function: its window.
    fn over(&mut self, mut call: Call) -> Parsed<Expr> {
        if self.is("WITHIN") && self.is_nth(1, "GROUP") {
            self.take(Role::Plain);
            self.take(Role::Plain);
            self.expect_mark("(")?;
            call.args.append(&mut self.order_by()?);
            self.expect_mark(")")?;
        }
        let _from = self.eat_all(&["FROM", "FIRST"]) || self.eat_all(&["FROM", "LAST"]);
        let _nulls = self.eat_all(&["RESPECT", "NULLS"]) || self.eat_all(&["IGNORE", "NULLS"]);
        if self.eat("OVER") {
            let window = if self.is_mark("(") { self.window()? } else { Expr::Window(self.folded()?) };
            call.args.push(window);
        }
        Ok(Expr::Call(Box::new(call)))
    }

    /// `([name] [PARTITION BY …] [ORDER BY …] [frame])`
    pub(super) fn window(&mut self) -> Parsed<Expr> {
        self.expect_mark("(")?;
        let mut parts = Vec::new();
        if self.is_name() && !self.is_any(&["ROWS", "RANGE", "GROUPS"]) {
            parts.push(Expr::Window(self.folded()?));
        }
        if self.eat_all(&["PARTITION", "BY"]) {
            parts.append(&mut self.exprs()?);
        }
        if self.is("ORDER") {
            parts.append(&mut self.order_by()?);
        }
        if self.eat_any(&["ROWS", "RANGE", "GROUPS"]) {
            let between = self.eat("BETWEEN");
            self.frame_bound(&mut parts)?;
            if between {
                self.expect("AND")?;
                self.frame_bound(&mut parts)?;
            }
            if self.eat("EXCLUDE") {
                let _what = self.eat_all(&["CURRENT", "ROW"]) || self.eat_all(&["NO", "OTHERS"]);
                let _what = self.eat("GROUP") || self.eat("TIES");
            }
        }
        self.expect_mark(")")?;
        Ok(Expr::Many(parts))
    }

    fn frame_bound(&mut self, parts: &mut Vec<Expr>) -> Parsed<()> {
        if self.eat_all(&["CURRENT", "ROW"]) {
            return Ok(());
        }
        if !self.eat("UNBOUNDED") {
            parts.push(self.expr()?);
        }
        self.expect_any(&["PRECEDING", "FOLLOWING"], "PRECEDING or FOLLOWING")
    }
}

fn single(mut all: Vec<Expr>) -> Expr {
    if all.len() == 1 { all.pop().unwrap_or(Expr::Nothing) } else { Expr::Many(all) }
}

/// Columns know no case; what stands before them may.
pub(super) fn folded_path(mut path: Vec<Name>) -> Box<[Name]> {
    if let Some(last) = path.last_mut()
        && last.chars().any(char::is_uppercase)
    {
        *last = last.to_lowercase().into();
    }
    path.into_boxed_slice()
}
