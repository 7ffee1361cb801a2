//! A small grammar of statements over the tables of the tests of what is hidden. A statement is made out of a row of choices, so
//! that one can be made smaller by leaving choices out.
use super::wire::How;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
    Day,
}
use Kind::{Day, Number, Text};

/// What the servers understand is not the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    MySql,
    MariaDb,
}
use Dialect::{MariaDb, MySql, Postgres};

const KINDS: [Kind; 3] = [Number, Text, Day];

type Columns = Vec<(String, Kind)>;

const CUSTOMERS: &[(&str, Kind)] = &[
    ("id", Number),
    ("ssn", Text),
    ("score", Number),
    // Of which the mask shows the end.
    ("iban", Text),
    ("email", Text),
    ("born", Day),
    // Of which the mask shows the year.
    ("since", Day),
    ("card", Text),
    ("name", Text),
    ("notes", Text),
];
type Relations = &'static [(&'static str, &'static [(&'static str, Kind)])];

/// The first four are changed, too.
const OF_POSTGRES: Relations = &[
    ("customers", CUSTOMERS),
    ("orders", &[("id", Number), ("contact", Text), ("customer", Number)]),
    ("public.customers", CUSTOMERS),
    ("contacts", &[("id", Number), ("contact", Text)]),
    ("everyone", CUSTOMERS),
    ("people", &[("id", Number), ("ssn", Text)]),
    ("people_1", &[("id", Number), ("ssn", Text)]),
    ("other.\"Odd t\"", &[("\"Id\"", Number), ("ssn", Text)]),
    ("only staff", &[("id", Number), ("ssn", Text)]),
    ("staff", &[("id", Number), ("ssn", Text)]),
    ("managers", &[("id", Number), ("ssn", Text), ("level", Number)]),
    ("cards", &[("id", Number), ("number", Text), ("last", Text)]),
];
const OF_MYSQL: Relations = &[
    ("customers", CUSTOMERS),
    ("orders", &[("id", Number), ("contact", Text), ("customer", Number)]),
    ("people", &[("id", Number), ("ssn", Text)]),
    ("other.`Odd t`", &[("`Id`", Number), ("ssn", Text)]),
    ("public.customers", CUSTOMERS),
    ("contacts", &[("id", Number), ("contact", Text)]),
    ("everyone", CUSTOMERS),
    ("again", &[("id", Number), ("contact", Text)]),
    ("ranks", &[("id", Number), ("score", Number)]),
    ("everyone", &[("balance", Number), ("kind", Text), ("id", Number)]),
];

/// Names of relations that other things go by, too; once each in a statement.
const TAKEN: [&str; 4] = ["customers", "orders", "people", "contacts"];
/// Names of columns that outputs go by which are something else.
const COLUMNS: [&str; 6] = ["ssn", "iban", "since", "id", "contact", "name"];

/// How COPY is told to write.
const FORMATS: [&str; 12] = [
    "",
    " (format csv, header)",
    " (null 'same')",
    " (null 'x3', delimiter ';')",
    " (null '')",
    " (format csv, force_quote *)",
    " (format csv, null 'same', quote 'q')",
    " (format csv, force_quote (id))",
    " (format csv, header 'OFF', escape 's')",
    " (format csv, header 'on', delimiter 'x')",
    " (format binary)",
    " csv header null '[ssn]'",
];

/// Makes a query out of choices; where there are no more, it takes the simplest.
pub(crate) struct Maker<'a> {
    dialect: Dialect,
    choices: std::slice::Iter<'a, u8>,
    names: usize,
    /// How many of [`TAKEN`] stand for something in the statement.
    taken: usize,
    scopes: Vec<Vec<(String, Columns)>>,
    ctes: Vec<(String, Columns)>,
}

impl Maker<'_> {
    /// A statement, and how to ask it.
    pub(crate) fn statement(dialect: Dialect, choices: &[u8]) -> (String, How) {
        let mut maker =
            Maker { dialect, choices: choices.iter(), names: 0, taken: 0, scopes: Vec::new(), ctes: Vec::new() };
        match maker.pick(18) {
            0 => (maker.change(), How::RolledBack),
            1 if dialect != Postgres => (maker.steps_of_mysql(), How::RolledBack),
            n if dialect != Postgres => (maker.query(), if n % 2 == 0 { How::Binary } else { How::Simple }),
            1 => (maker.copy(), How::Simple),
            3 => (maker.steps(), How::RolledBack),
            2 => (format!("explain (costs off) {}", maker.query()), How::Simple),
            16 => (maker.text_of_several(), How::Simple),
            n if n % 2 == 0 => (maker.query(), How::Binary),
            _ => (maker.query(), How::Simple),
        }
    }

    fn copy(&mut self) -> String {
        let what = match self.pick(4) {
            0 => {
                let (relation, columns) = self.relations()[self.pick(4)];
                let named: Vec<&str> = (0..=self.pick(4)).map(|n| columns[(n * 5 + 1) % columns.len()].0).collect();
                let distinct: std::collections::BTreeSet<&str> = named.into_iter().collect();
                format!("{relation} ({})", distinct.into_iter().collect::<Vec<_>>().join(", "))
            }
            _ => format!("({})", self.query()),
        };
        format!("copy {what} to stdout{}", FORMATS[self.pick(FORMATS.len())])
    }

    /// What is asked by several statements, one after the other.
    fn steps(&mut self) -> String {
        let how = self.pick(4);
        let query = self.query();
        match how {
            0 => format!("prepare p as {query};\nexecute p;\nexplain (costs off) execute p"),
            1 => format!(
                "declare c scroll cursor for {query};\nfetch 3 from c;\nmove 1 in c;\nfetch backward all from c"
            ),
            2 => format!(
                "declare c binary cursor with hold for {query};\nfetch forward 2 from c;\nfetch last from c;\nclose c"
            ),
            _ => format!("{};\n{query}", self.query()),
        }
    }

    /// Several statements in one text.
    fn text_of_several(&mut self) -> String {
        let (first, second) = (self.query(), self.query());
        match self.pick(5) {
            0 => format!("{first}; {second}"),
            1 => format!("begin; {first}; rollback"),
            2 => format!("{first}; {}", self.copy()),
            3 => format!("{}; {}", self.copy(), self.copy()),
            _ => format!("begin; {}; {first}; rollback", self.change()),
        }
    }

    fn steps_of_mysql(&mut self) -> String {
        let of_both = self.pick(if self.dialect == MariaDb { 8 } else { 3 });
        let query = self.query();
        let text = query.replace('\'', "''");
        match of_both {
            0 => format!("prepare p from '{text}';\nexecute p;\nexecute p"),
            1 => format!("set @q = '{text}';\nprepare p from @q;\nexecute p"),
            2 => format!("{query};\nselect found_rows(), row_count()"),
            3 => format!("execute immediate '{text}'"),
            4 => format!("set statement max_statement_time = 4 for {query}"),
            5 => format!("begin not atomic {query}; {}; end", self.query()),
            6 => format!("begin not atomic for r in ({query}) do select 1, r.c0; end for; end"),
            _ => format!("begin not atomic declare x int default 1; if x then {query}; end if; end"),
        }
    }

    /// Once in so many; more seldom where most of it is refused, or fails (MySQL compares no texts of different collations).
    fn seldom(&mut self, of: usize) -> bool {
        self.pick(of) == 1 && (self.dialect == Postgres || self.pick(4) == 1)
    }

    /// How rows are locked, at times.
    fn lock(&mut self) -> &'static str {
        if self.dialect != Postgres && self.pick(3) > 0 {
            return "";
        }
        match (self.pick(12), self.dialect) {
            (1, _) => " for update",
            (2, Postgres) => " for no key update",
            (2, MySql) => " for share",
            (2, MariaDb) => " lock in share mode",
            (3, MariaDb) => " for update skip locked",
            (3, _) => " for update nowait",
            _ => "",
        }
    }

    /// A query, or one of its result, which goes by the name of a relation and whose columns go by those of others.
    fn query(&mut self) -> String {
        if self.pick(4) != 1 {
            return self.plain_query().0;
        }
        let (query, width) = self.plain_query();
        let (first, alias) = (self.pick(COLUMNS.len()), TAKEN[self.pick(TAKEN.len())]);
        let name = |n: usize| COLUMNS[(first + n) % COLUMNS.len()];
        if self.pick(2) == 0 {
            let names: Vec<&str> = (0..width).map(name).collect();
            let shown = [names[0], "*"][self.pick(2)];
            return format!("select {alias}.{shown} from ({query}) {alias} ({})", names.join(", "));
        }
        let outputs: Vec<String> = (0..width).map(|n| format!("{alias}.c{n} as {}", name(n))).collect();
        format!("select {} from ({query}) {alias}", outputs.join(", "))
    }

    /// A query, and how many columns it has.
    fn plain_query(&mut self) -> (String, usize) {
        let kinds = self.kinds();
        let with = match self.pick(8) {
            0 | 1 => self.with(),
            2 => self.recursive(),
            _ => String::new(),
        };
        let depth = 1 + self.pick(3);
        let select = self.select(&kinds, depth);
        let order = match self.pick(3) {
            0 => String::new(),
            1 => " order by 1".to_owned(),
            _ => {
                let last = if self.dialect == Postgres { " nulls last" } else { "" };
                format!(" order by {} desc{last} limit {}", kinds.len(), self.pick(9))
            }
        };
        (format!("{with}{select}{order}{}", self.lock()), kinds.len())
    }

    /// What changes data.
    fn change(&mut self) -> String {
        self.scopes.push(Vec::new());
        let (relation, columns) = self.relations()[self.pick(4)];
        let alias = self.name();
        self.sees(&alias, columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect());
        let relation = relation.trim_start_matches("only ");
        let changed = columns[self.pick(columns.len())];
        let value = self.expression(changed.1, 1);
        let condition = self.condition(1);
        let returning = match self.dialect {
            Postgres => match self.pick(4) {
                0 => " returning *".to_owned(),
                1 => format!(" returning id, {alias}.{} as iban", columns[1].0),
                _ => format!(" returning {}", self.expression(KINDS[0], 1)),
            },
            MySql | MariaDb => String::new(),
        };
        let deleted = if self.dialect == Postgres { String::new() } else { format!("{alias} ") };
        let out = match self.pick(4) {
            0 => format!("update {relation} {alias} set {} = {value} where {condition}{returning}", changed.0),
            1 if self.dialect == MariaDb && self.pick(2) == 1 => {
                // Of one table, which has no other name here.
                let returning = format!("{alias}.{}", columns[self.pick(columns.len())].0);
                format!("delete from {relation} where {condition} returning {returning}")
                    .replace(&format!("{alias}."), &format!("{relation}."))
            }
            1 => format!("delete {deleted}from {relation} {alias} where {condition}{returning}"),
            2 => format!("update {relation} {alias} set {} = {value}", changed.0),
            _ => {
                self.scopes.pop();
                let query = self.select(&[Number, Text, Number], 1);
                let conflict = match self.dialect {
                    Postgres => "on conflict do nothing returning id",
                    MySql | MariaDb => "on duplicate key update customer = 0",
                };
                return format!("insert into orders (id, contact, customer) {query} {conflict}");
            }
        };
        self.scopes.pop();
        out
    }

    fn recursive(&mut self) -> String {
        let (name, first) = (self.name(), self.select(&[Number, Text], 1));
        self.scopes.push(vec![("r".to_owned(), Self::columns(&[Number, Text]))]);
        let condition = self.condition(1);
        self.scopes.pop();
        let columns = vec![("c0".to_owned(), Number), ("c1".to_owned(), Text)];
        self.ctes.push((name.clone(), columns));
        let union = ["union", "union all"][self.pick(2)];
        format!(
            "with recursive {name} as (select * from (select * from ({first}) f limit 4) f {union} select r.c0 + 1, r.c1 from {name} r where r.c0 < 9 and {condition}) "
        )
    }

    const fn relations(&self) -> Relations {
        match self.dialect {
            Postgres => OF_POSTGRES,
            MySql | MariaDb => OF_MYSQL,
        }
    }

    fn pick(&mut self, of: usize) -> usize {
        usize::from(self.choices.next().copied().unwrap_or(0)) % of
    }

    fn kinds(&mut self) -> Vec<Kind> {
        (0..=self.pick(3)).map(|_| KINDS[self.pick(3)]).collect()
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("a{}", self.names)
    }

    /// What an item of FROM goes by.
    fn alias(&mut self) -> String {
        if self.taken < TAKEN.len() && self.pick(12) == 1 {
            self.taken += 1;
            return TAKEN[self.taken - 1].to_owned();
        }
        self.name()
    }

    fn columns(kinds: &[Kind]) -> Columns {
        kinds.iter().enumerate().map(|(n, kind)| (format!("c{n}"), *kind)).collect()
    }

    fn with(&mut self) -> String {
        let (name, kinds) = (self.name(), self.kinds());
        let query = self.select(&kinds, 2);
        let how = if self.dialect == Postgres { ["", "materialized ", "not materialized "][self.pick(3)] } else { "" };
        self.ctes.push((name.clone(), Self::columns(&kinds)));
        format!("with {name} as {how}({query}) ")
    }

    fn select(&mut self, kinds: &[Kind], depth: usize) -> String {
        if depth > 0 && self.pick(8) == 1 {
            // MySQL 9.7 dies of some with INTERSECT and EXCEPT.
            let all = if self.dialect == MySql { 2 } else { 5 };
            let how = ["union", "union all", "intersect", "except", "except all"][self.pick(all)];
            let (left, right) = (self.select(kinds, depth - 1), self.select(kinds, depth - 1));
            return format!("({left}) {how} ({right})");
        }
        self.scopes.push(Vec::new());
        let from = self.from(depth);
        let grouped = self.pick(5) == 1;
        let mut targets = Vec::new();
        let group = if grouped { self.expression(KINDS[0], 1) } else { String::new() };
        for (n, kind) in kinds.iter().enumerate() {
            let target = match grouped {
                true => self.aggregate(*kind, depth),
                false if self.pick(8) == 1 => self.window(*kind, depth),
                false => self.expression(*kind, depth),
            };
            targets.push(format!("{target} as c{n}"));
        }
        let distinct = if self.pick(6) == 1 { "distinct " } else { "" };
        let condition = if self.pick(3) > 0 { format!(" where {}", self.condition(depth)) } else { String::new() };
        let group = match (grouped, self.pick(4)) {
            (false, _) => String::new(),
            (true, 0) => format!(" group by {group} + 0"),
            (true, 1 | 2) if self.dialect != Postgres => format!(" group by {group} + 0 with rollup"),
            (true, 1) => format!(" group by rollup ({group} + 0)"),
            (true, 2) => format!(" group by grouping sets ((), ({group} + 0)) having count(*) > 1"),
            (true, _) => String::new(),
        };
        self.scopes.pop();
        format!("select {distinct}{} from {from}{condition}{group}", targets.join(", "))
    }

    fn from(&mut self, depth: usize) -> String {
        let mut out = self.item(depth, false);
        while self.pick(3) == 1 {
            match self.pick(5) {
                0 => out = format!("{out} cross join {}", self.item(depth, false)),
                4 if self.seldom(2) => out = format!("{out} natural join {}", self.item(depth, false)),
                1 if self.dialect == MariaDb => out = format!("{out} cross join {}", self.item(depth.min(1), false)),
                1 => out = format!("{out} cross join lateral {}", self.item(depth.min(1), true)),
                kind => {
                    let how = if kind == 2 { "join" } else { "left join" };
                    let item = self.item(depth, false);
                    out = format!("{out} {how} {item} on {}", self.condition(0));
                }
            }
        }
        out
    }

    fn item(&mut self, depth: usize, lateral: bool) -> String {
        if !lateral && self.taken < TAKEN.len() && self.seldom(24) {
            // By its own name, and its columns by those of their schema.
            let relation = TAKEN[self.taken];
            self.taken += 1;
            let found = self.relations().iter().find(|(name, _)| *name == relation);
            if let Some((_, columns)) = found {
                let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
                self.sees(&format!("public.{relation}"), columns);
                return relation.to_owned();
            }
        }
        let alias = self.alias();
        let choice = if lateral { 1 } else { self.pick(5) };
        if choice == 1 && (depth > 0 || lateral) {
            let kinds = self.kinds();
            // Without LATERAL a query does not see its neighbours.
            let seen = match (self.dialect, lateral) {
                (_, true) => self.scopes.len(),
                (Postgres | MySql, false) => self.scopes.len() - 1,
                // Nor what is around it.
                (MariaDb, false) => 0,
            };
            let hidden = self.scopes.split_off(seen);
            let query = self.select(&kinds, depth.saturating_sub(1));
            self.scopes.extend(hidden);
            self.sees(&alias, Self::columns(&kinds));
            return format!("({query}) {alias}");
        }
        if choice == 2
            && let Some((name, columns)) = self.ctes.last().cloned()
        {
            self.sees(&alias, columns);
            return format!("{name} {alias}");
        }
        let (relation, columns) = self.relations()[self.pick(self.relations().len())];
        self.sees(&alias, columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect());
        format!("{relation} {alias}")
    }

    fn sees(&mut self, alias: &str, columns: Columns) {
        self.scopes.last_mut().unwrap().push((alias.to_owned(), columns));
    }

    fn column(&mut self, kind: Kind) -> Option<String> {
        let all = self.scopes.iter().rev().flatten();
        let fitting: Vec<String> = all
            .flat_map(|(alias, columns)| columns.iter().map(move |(name, of)| (format!("{alias}.{name}"), *of)))
            .filter(|(_, of)| *of == kind)
            .map(|(name, _)| name)
            .collect();
        (!fitting.is_empty()).then(|| fitting[self.pick(fitting.len())].clone())
    }

    /// A whole row; of MySQL, its columns.
    fn row(&mut self) -> String {
        let all: Vec<String> =
            self.scopes.iter().flatten().map(|(alias, columns)| self.columns_of(alias, columns)).collect();
        all[self.pick(all.len())].clone()
    }

    fn columns_of(&self, alias: &str, columns: &Columns) -> String {
        if self.dialect == Postgres {
            return alias.to_owned();
        }
        columns.iter().map(|(name, _)| format!("{alias}.{name}")).collect::<Vec<_>>().join(", ")
    }

    fn expression(&mut self, kind: Kind, depth: usize) -> String {
        let choice = self.pick(if depth == 0 { 2 } else { 9 });
        if choice == 0
            && let Some(column) = self.column(kind)
        {
            return column;
        }
        let less = depth.saturating_sub(1);
        match (choice, kind) {
            (2, _) => {
                let condition = self.condition(less);
                format!(
                    "case when {condition} then {} else {} end",
                    self.expression(kind, less),
                    self.expression(kind, less)
                )
            }
            (3, _) => format!("coalesce({}, {})", self.expression(kind, less), self.expression(kind, less)),
            (4, _) if self.dialect == MariaDb => format!("({} order by 1 limit 1)", self.select(&[kind], less)),
            (4, _) => format!("(select q.c0 from ({}) q order by 1 limit 1)", self.select(&[kind], less)),
            (5..=8, Number) if self.dialect != Postgres => self.number_of_mysql(choice, less),
            (5..=8, Text) if self.dialect != Postgres => self.text_of_mysql(choice, less),
            (5, Number) => format!("length({})", self.expression(Text, less)),
            (6, Number) => format!("({} + {})", self.expression(Number, less), self.expression(Number, less)),
            (7, Number) if self.pick(4) == 0 => format!("({})::int", self.expression(Text, less)),
            (7, Number) if self.pick(4) == 1 => format!("(({})::text).length", self.expression(Text, less)),
            (7, Number) => format!("ascii({})", self.expression(Text, less)),
            (8, Number) if self.pick(4) == 0 => {
                format!("({} / {})", self.expression(Number, less), self.expression(Number, less))
            }
            (8, Number) => format!("sign({})::int", self.expression(Number, less)),
            (5, Text) => format!("({})::text", self.expression(Number, less)),
            (6, Text) => format!("({} || {})", self.expression(Text, less), self.expression(Text, less)),
            (7, Text) => match self.pick(8) {
                // Functions that are called as fields.
                3 => format!("(({})::text).{}", self.expression(Text, less), ["upper", "reverse", "md5"][self.pick(3)]),
                4 => format!("({}).to_jsonb::text", self.row()),
                5 => format!("({}.row_to_json)::text", self.row()),
                6 => format!("(({}).{})::text", self.row(), COLUMNS[self.pick(COLUMNS.len())]),
                0 => format!("(array[{}, {}])[1]", self.expression(Text, less), self.expression(Text, less)),
                1 => format!("json_build_object('a', {})::text", self.expression(Text, less)),
                _ => format!("to_jsonb({})::text", self.row()),
            },
            (8, Text) => match self.pick(4) {
                0 => format!("format('%s %L', {}, {})", self.expression(Text, less), self.row()),
                1 => format!("xmlforest({} as x)::text", self.expression(Text, less)),
                _ => format!("md5(({})::text)", self.row()),
            },
            (_, Number) => self.pick(9).to_string(),
            (5, Day) if self.dialect != Postgres => {
                format!("({} + interval {} day)", self.expression(Day, less), self.expression(Number, less))
            }
            (5, Day) => format!("({} + {})", self.expression(Day, less), self.expression(Number, less)),
            (_, Day) => "date '1970-01-05'".to_owned(),
            (_, Text) => ["'same'", "'078-05-1123'", "'user1@example.com'", "''", "'x3'"][self.pick(5)].to_owned(),
        }
    }

    fn number_of_mysql(&mut self, choice: usize, less: usize) -> String {
        match choice {
            5 => format!("length({})", self.expression(Text, less)),
            6 => format!("({} + {})", self.expression(Number, less), self.expression(Number, less)),
            7 if self.pick(4) == 0 => format!("cast({} as signed)", self.expression(Text, less)),
            7 => format!("ascii({})", self.expression(Text, less)),
            _ if self.pick(4) == 0 => {
                format!("({} div {})", self.expression(Number, less), self.expression(Number, less))
            }
            _ => format!("sign({})", self.expression(Number, less)),
        }
    }

    fn text_of_mysql(&mut self, choice: usize, less: usize) -> String {
        match choice {
            5 => format!("cast({} as char(20))", self.expression(Number, less)),
            6 => format!("concat({}, {})", self.expression(Text, less), self.expression(Text, less)),
            7 => format!("json_unquote(json_array({}))", self.row()),
            _ => format!("md5(concat_ws('|', {}))", self.row()),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        let less = depth.saturating_sub(1);
        let kind = KINDS[self.pick(3)];
        match self.pick(if depth == 0 { 4 } else { 8 }) {
            0 => {
                let distinct = if self.dialect == Postgres { "is distinct from" } else { "<=>" };
                let how = ["=", "<", "<>", ">=", distinct][self.pick(5)];
                format!("{} {how} {}", self.expression(kind, less), self.expression(kind, less))
            }
            1 => format!("{} is null", self.expression(kind, less)),
            2 => format!("{} like '%{}%'", self.expression(Text, less), self.pick(9)),
            3 if self.dialect == Postgres => format!("{} is not null", self.row()),
            3 => format!("coalesce({}, null) is not null", self.row()),
            4 => format!("exists ({})", self.select(&[kind], less)),
            5 => format!("{} in ({})", self.expression(kind, less), self.select(&[kind], less)),
            6 => format!("({} or {})", self.condition(less), self.condition(less)),
            _ => format!("not ({} and {})", self.condition(less), self.condition(less)),
        }
    }

    fn aggregate(&mut self, kind: Kind, depth: usize) -> String {
        // Of columns outside alone it would be an aggregate of the query outside.
        let (own, columns) = self.scopes.last().and_then(|s| s.last()).cloned().unwrap();
        let of = self.expression(kind, depth.min(1));
        if self.dialect != Postgres {
            let own = format!("{own}.{}", columns[0].0);
            let of = format!("case when {own} is null or true then {of} end");
            return match (self.pick(4), kind) {
                (1, Number) => format!("count(distinct {of})"),
                (2, Number) => format!("sum({of})"),
                (3, Number) => format!("sum({own} is null or {})", self.condition(0)),
                (1 | 2, Text) => format!("group_concat({of} order by {of})"),
                (3, _) => format!("max({of})"),
                (_, _) => format!("min({of})"),
            };
        }
        let of = format!("case when {own}.* is distinct from null then {of} end");
        match (self.pick(4), kind) {
            (1, Number) => format!("count(distinct {of})::int"),
            (2, Number) => format!("sum({of})::int"),
            (3, Number) => format!("count(*) filter (where {})::int", self.condition(0)).replace(")::int", ")"),
            (1, Text) => format!("string_agg({of}, ',' order by {of})"),
            (2, Text) => format!("json_agg({of} order by {of})::text"),
            (3, _) => format!("max({of})"),
            (_, _) => format!("min({of})"),
        }
    }

    fn window(&mut self, kind: Kind, depth: usize) -> String {
        let by = KINDS[self.pick(3)];
        let mut over = format!("order by {}", self.expression(by, depth.min(1)));
        if self.dialect == MariaDb {
            // It takes equal rows in the order of addresses: in this order only those are equal that are alike in everything.
            let all = self.scopes.last().into_iter().flatten().map(|(alias, columns)| self.columns_of(alias, columns));
            over = std::iter::once(over).chain(all).collect::<Vec<_>>().join(", ");
        }
        match kind {
            Number => format!("{} over ({over})", ["rank()", "dense_rank()", "row_number()", "count(*)"][self.pick(4)]),
            Text | Day => format!("lag({}) over ({over})", self.expression(kind, depth.min(1))),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Numbers of one seed are not those of the next: begun at neighbouring states they would be the same, one place on, and
    /// two databases made of them alike from where one has taken one more.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).next())
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The choices of a seed.
pub(crate) fn choices(seed: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    (0..12).flat_map(|_| numbers.next().to_le_bytes()).collect()
}
