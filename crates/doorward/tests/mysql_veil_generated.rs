//! Queries made by a small grammar, over tables of MySQL or MariaDB that differ in hidden values alone: the conversations have
//! to be the same.
//!
//! `DOORWARD_VEIL_STATEMENTS` says how many are tried, `DOORWARD_VEIL_SEED` with which the first is made, `DOORWARD_VEIL_SERVER`
//! (`mysql`, `mariadb`) at which server. A query is made out of a row of choices; one whose answers differ is made smaller by
//! leaving choices out. Rows are sorted by all that they show: without that a server may give equal rows in any order.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
mod mysql_veiled;

use common::mysql::MySqlWorld;
use doorward_testkit::MySqlRelease;
use mysql_veiled::{Asked, world};
use std::time::{Duration, Instant};

/// How long is tried where nobody says how many.
const LONGEST: Duration = Duration::from_secs(20);
/// How many are asked before the values change.
const BATCH: usize = 250;

/// The same rows in the same places, but for what nobody may see.
fn fill(w: &MySqlWorld, otherwise: bool) {
    let hidden = if otherwise {
        "concat('x', 9 - g, '@example.org'), if(g % 2 = 0, '4000', null), if(g < 3, null, 'same'), null, -g, if(g > 4, 0, null), 'b'"
    } else {
        "concat('user', g, '@example.com'), '4111111111111111', concat('078-05-112', g), date '1970-01-01' + interval g day, g, g + 0.5, if(g % 2, 'a', 'b')"
    };
    let ssn = if otherwise { "null" } else { "concat('x', g)" };
    let numbers = "(with recursive n as (select 1 as g union all select g + 1 from n where g < 8) select g from n) n";
    let sql = format!(
        "delete from customers; delete from people; delete from other.`Odd t`;
         insert into customers(id, name, notes, email, card, ssn, born, score, balance, kind)
             select g, concat('Name ', g), concat('n', g), {hidden} from {numbers};
         insert into people select g, {ssn} from {numbers};
         insert into other.`Odd t` select g, {ssn} from {numbers};"
    );
    w.server.exec(&sql).unwrap();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Day,
}
use Kind::{Day, Number, Text};

const KINDS: [Kind; 3] = [Number, Text, Day];

type Columns = Vec<(String, Kind)>;

const CUSTOMERS: &[(&str, Kind)] = &[
    ("id", Number),
    ("ssn", Text),
    ("score", Number),
    ("email", Text),
    ("born", Day),
    ("card", Text),
    ("name", Text),
    ("notes", Text),
    ("balance", Number),
    ("kind", Text),
];
const RELATIONS: &[(&str, &[(&str, Kind)])] = &[
    ("customers", CUSTOMERS),
    ("orders", &[("id", Number), ("contact", Text), ("customer", Number)]),
    ("public.customers", CUSTOMERS),
    ("contacts", &[("id", Number), ("contact", Text)]),
    ("everyone", CUSTOMERS),
    ("people", &[("id", Number), ("ssn", Text)]),
    ("again", &[("id", Number), ("contact", Text)]),
    ("other.`Odd t`", &[("`Id`", Number), ("ssn", Text)]),
];

/// Makes a query out of choices; where there are no more, it takes the simplest.
struct Maker<'a> {
    choices: std::slice::Iter<'a, u8>,
    names: usize,
    scopes: Vec<Vec<(String, Columns)>>,
    ctes: Vec<(String, Columns)>,
}

impl Maker<'_> {
    fn query(choices: &[u8]) -> String {
        let mut maker = Maker { choices: choices.iter(), names: 0, scopes: Vec::new(), ctes: Vec::new() };
        let kinds = maker.kinds();
        let with = if maker.pick(4) == 1 { maker.with() } else { String::new() };
        let select = maker.select(&kinds, 3);
        let all: Vec<String> = (1..=kinds.len()).map(|n| n.to_string()).collect();
        let limit = if maker.pick(3) == 2 { format!(" limit {}", maker.pick(9)) } else { String::new() };
        format!("{with}{select} order by {}{limit}", all.join(", "))
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

    fn columns(kinds: &[Kind]) -> Columns {
        kinds.iter().enumerate().map(|(n, kind)| (format!("c{n}"), *kind)).collect()
    }

    fn with(&mut self) -> String {
        let (name, kinds) = (self.name(), self.kinds());
        let query = self.select(&kinds, 2);
        self.ctes.push((name.clone(), Self::columns(&kinds)));
        format!("with {name} as ({query}) ")
    }

    fn select(&mut self, kinds: &[Kind], depth: usize) -> String {
        if depth > 0 && self.pick(8) == 1 {
            let how = ["union", "union all", "intersect", "except"][self.pick(4)];
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
            (true, 1) => format!(" group by {group} + 0 with rollup"),
            (true, 2) => format!(" group by {group} + 0 having count(*) > 1"),
            (true, _) => String::new(),
        };
        self.scopes.pop();
        format!("select {distinct}{} from {from}{condition}{group}", targets.join(", "))
    }

    fn from(&mut self, depth: usize) -> String {
        let mut out = self.item(depth);
        while self.pick(3) == 1 {
            match self.pick(4) {
                0 | 1 => out = format!("{out}, {}", self.item(depth)),
                kind => {
                    let how = if kind == 2 { "join" } else { "left join" };
                    // What stands before a comma is not seen behind JOIN.
                    let before = self.scopes.last().map_or(0, Vec::len);
                    let item = self.item(depth);
                    let hidden: Vec<_> =
                        self.scopes.last_mut().map(|s| s.drain(..before).collect()).unwrap_or_default();
                    let on = self.condition(0);
                    self.scopes.last_mut().unwrap().splice(0..0, hidden);
                    out = format!("{out} {how} {item} on {on}");
                }
            }
        }
        out
    }

    fn item(&mut self, depth: usize) -> String {
        let alias = self.name();
        let choice = self.pick(5);
        if choice == 1 && depth > 0 {
            let kinds = self.kinds();
            // A query does not see its neighbours.
            let hidden = self.scopes.pop();
            let query = self.select(&kinds, depth - 1);
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
        let (relation, columns) = RELATIONS[self.pick(RELATIONS.len())];
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

    /// All columns of a table.
    fn row(&mut self) -> String {
        let all: Vec<Vec<String>> = self
            .scopes
            .iter()
            .flatten()
            .map(|(alias, columns)| columns.iter().map(|(name, _)| format!("{alias}.{name}")).collect())
            .collect();
        all[self.pick(all.len())].join(", ")
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
                format!("if({condition}, {}, {})", self.expression(kind, less), self.expression(kind, less))
            }
            (3, _) => format!("coalesce({}, {})", self.expression(kind, less), self.expression(kind, less)),
            (4, _) => format!("(select min(q.c0) from ({}) q)", self.select(&[kind], less)),
            (5, Number) => format!("length({})", self.expression(Text, less)),
            (6, Number) => format!("({} + {})", self.expression(Number, less), self.expression(Number, less)),
            (7, Number) => format!("({} + 0)", self.expression(Text, less)),
            (8, Number) => format!("({} div {})", self.expression(Number, less), self.expression(Number, less)),
            (5, Text) => format!("cast({} as char(20))", self.expression(Number, less)),
            (6, Text) => format!("concat({}, {})", self.expression(Text, less), self.expression(Text, less)),
            (7, Text) => format!("json_unquote(json_array({}))", self.row()),
            (8, Text) => format!("md5(concat_ws('|', {}))", self.row()),
            (_, Number) => self.pick(9).to_string(),
            (5, Day) => format!("({} + interval {} day)", self.expression(Day, less), self.expression(Number, less)),
            (_, Day) => "date '1970-01-05'".to_owned(),
            (_, Text) => ["'same'", "'078-05-1123'", "'user1@example.com'", "''", "'x3'"][self.pick(5)].to_owned(),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        let less = depth.saturating_sub(1);
        let kind = KINDS[self.pick(3)];
        match self.pick(if depth == 0 { 4 } else { 8 }) {
            0 => {
                let how = ["=", "<", "<>", ">=", "<=>"][self.pick(5)];
                format!("{} {how} {}", self.expression(kind, less), self.expression(kind, less))
            }
            1 => format!("{} is null", self.expression(kind, less)),
            2 => format!("{} like '%{}%'", self.expression(Text, less), self.pick(9)),
            3 => format!("{} is not null", self.expression(kind, less)),
            4 => format!("exists ({})", self.select(&[kind], less)),
            5 => format!("{} in ({})", self.expression(kind, less), self.select(&[kind], less)),
            6 => format!("({} or {})", self.condition(less), self.condition(less)),
            _ => format!("not ({} and {})", self.condition(less), self.condition(less)),
        }
    }

    fn aggregate(&mut self, kind: Kind, depth: usize) -> String {
        let of = self.expression(kind, depth.min(1));
        match (self.pick(4), kind) {
            (1, Number) => format!("count(distinct {of})"),
            (2, Number) => format!("sum({of})"),
            (3, Number) => format!("sum({} and {of} is not null)", self.condition(0)),
            (1 | 2, Text) => format!("group_concat({of} order by {of})"),
            (3, _) => format!("max({of})"),
            (_, _) => format!("min({of})"),
        }
    }

    fn window(&mut self, kind: Kind, depth: usize) -> String {
        let by = KINDS[self.pick(3)];
        let over = format!("order by {}", self.expression(by, depth.min(1)));
        match kind {
            Number => format!("{} over ({over})", ["rank()", "dense_rank()", "count(*)"][self.pick(3)]),
            Text | Day => format!("max({}) over ({over})", self.expression(kind, depth.min(1))),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn choices(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let next = |state: &mut u64| {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..12).flat_map(|_| next(&mut state).to_le_bytes()).collect()
}

/// The two conversations about one query.
fn both(w: &MySqlWorld, asked: &mut Asked, statement: &str) -> (String, String) {
    fill(w, false);
    let before = asked.says(statement);
    fill(w, true);
    (before, asked.says(statement))
}

/// Fewer choices with which the answers differ as well.
fn smaller(w: &MySqlWorld, asked: &mut Asked, mut found: Vec<u8>) -> String {
    let mut length = found.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at + length <= found.len() {
            let mut less = found.clone();
            drop(less.drain(at..at + length));
            let (before, after) = both(w, asked, &Maker::query(&less));
            if before == after {
                at += length;
            } else {
                found = less;
            }
        }
        length /= 2;
    }
    let statement = Maker::query(&found);
    let (before, after) = both(w, asked, &statement);
    format!("{statement}\n{before}{after}")
}

fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn server() -> MySqlRelease {
    match std::env::var("DOORWARD_VEIL_SERVER").as_deref() {
        Ok("mariadb") => MySqlRelease::DebianMariaDb,
        _ => MySqlRelease::MySql9,
    }
}

#[test]
#[ignore = "by hand: it was not seen to end in time on a loaded machine"]
fn generated_queries_tell_nothing() {
    let w = world(server());
    let mut asked = Asked::new(w.client(&w.token("ci-bot", &["agents"], &[])));
    let mut eyes = Asked::new(w.client(&w.token("eve", &["pii-readers"], &[])));
    let (wanted, begun) = (set("DOORWARD_VEIL_STATEMENTS"), Instant::now());
    let seed = set("DOORWARD_VEIL_SEED").unwrap_or(1);
    let (mut tried, mut refused, mut failed, mut telling) = (0_u64, 0, 0, 0);
    let mut differences = Vec::new();
    while tried == 0 || wanted.map_or(tried < 4000 && begun.elapsed() < LONGEST, |wanted| tried < wanted) {
        let batch: Vec<Vec<u8>> = (0..BATCH as u64).map(|n| choices(seed + tried + n)).collect();
        let all = |asked: &mut Asked| batch.iter().map(|c| asked.says(&Maker::query(c))).collect::<Vec<_>>();
        fill(&w, false);
        let (before, seen) = (all(&mut asked), all(&mut eyes));
        fill(&w, true);
        let (after, seen_after) = (all(&mut asked), all(&mut eyes));
        for (n, answer) in before.iter().enumerate() {
            let error = answer.lines().find(|line| line.starts_with("ERROR"));
            if std::env::var_os("DOORWARD_VEIL_SHOW").is_some() {
                println!("{}\n{}", Maker::query(&batch[n]), error.unwrap_or_default());
            }
            let is_ours = error.is_some_and(|error| error.contains(" refused: "));
            refused += u64::from(is_ours);
            failed += u64::from(error.is_some() && !is_ours);
            telling += u64::from(seen[n] != seen_after[n]);
            if *answer != after[n] {
                differences.push(batch[n].clone());
            }
        }
        tried += BATCH as u64;
    }
    println!(
        "tried {tried}, answered {}, refused by Doorward {refused}, failed on the server {failed}, telling those who may see {telling}, differences {}",
        tried - refused - failed,
        differences.len()
    );
    let told: Vec<String> = differences.into_iter().take(5).map(|found| smaller(&w, &mut asked, found)).collect();
    assert!(told.is_empty(), "{}", told.join("\n\n"));
    // Otherwise nothing is tried: many are answered, and many depend on what is hidden.
    assert!(tried >= BATCH as u64 && telling * 5 > tried && (refused + failed) * 3 < tried * 2);
}
