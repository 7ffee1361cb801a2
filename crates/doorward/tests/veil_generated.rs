//! Queries made by a small grammar, over tables that differ in hidden values alone: the conversations have to be the same.
//!
//! `DOORWARD_VEIL_STATEMENTS` says how many are tried, `DOORWARD_VEIL_SEED` with which the first is made. A query is made out of
//! a row of choices; one whose answers differ is made smaller by leaving choices out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
mod veiled;

use common::World;
use std::time::{Duration, Instant};
use veiled::{Asked, world};

/// How long is tried where nobody says how many.
const LONGEST: Duration = Duration::from_secs(20);
/// How many are asked before the values change.
const BATCH: usize = 500;

/// The same rows in the same places, but for what nobody may see.
fn fill(w: &World, otherwise: bool) {
    let hidden = if otherwise {
        "'x'||(9-g)||'@example.org', case when g % 2 = 0 then '4000' end, case when g < 3 then null else 'same' end, null, -g"
    } else {
        "'user'||g||'@example.com', '4111111111111111', '078-05-112'||g, date '1970-01-01' + g, g"
    };
    let ssn = if otherwise { "null" } else { "'x'||g" };
    let sql = format!(
        "truncate customers, people, other.\"Odd t\";
         insert into customers select g, 'Name '||g, {hidden}, 'n'||g from generate_series(1, 8) g;
         insert into people select g, {ssn} from generate_series(1, 8) g;
         insert into other.\"Odd t\" select g, {ssn} from generate_series(1, 8) g;"
    );
    w.postgres.exec(&sql).unwrap();
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
];
const RELATIONS: &[(&str, &[(&str, Kind)])] = &[
    ("customers", CUSTOMERS),
    ("orders", &[("id", Number), ("contact", Text), ("customer", Number)]),
    ("public.customers", CUSTOMERS),
    ("contacts", &[("id", Number), ("contact", Text)]),
    ("everyone", CUSTOMERS),
    ("people", &[("id", Number), ("ssn", Text)]),
    ("people_1", &[("id", Number), ("ssn", Text)]),
    ("other.\"Odd t\"", &[("\"Id\"", Number), ("ssn", Text)]),
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
        let order = match maker.pick(3) {
            0 => String::new(),
            1 => " order by 1".to_owned(),
            _ => format!(" order by {} desc nulls last limit {}", kinds.len(), maker.pick(9)),
        };
        format!("{with}{select}{order}")
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
        let how = ["", "materialized ", "not materialized "][self.pick(3)];
        self.ctes.push((name.clone(), Self::columns(&kinds)));
        format!("with {name} as {how}({query}) ")
    }

    fn select(&mut self, kinds: &[Kind], depth: usize) -> String {
        if depth > 0 && self.pick(8) == 1 {
            let how = ["union", "union all", "intersect", "except", "except all"][self.pick(5)];
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
            match self.pick(4) {
                0 => out = format!("{out}, {}", self.item(depth, false)),
                1 => out = format!("{out}, lateral {}", self.item(depth.min(1), true)),
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
        let alias = self.name();
        let choice = if lateral { 1 } else { self.pick(5) };
        if choice == 1 && (depth > 0 || lateral) {
            let kinds = self.kinds();
            // Without LATERAL a query does not see its neighbours.
            let hidden = if lateral { None } else { self.scopes.pop() };
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

    fn row(&mut self) -> String {
        let all: Vec<String> = self.scopes.iter().flatten().map(|(alias, _)| alias.clone()).collect();
        all[self.pick(all.len())].clone()
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
            (4, _) => format!("(select min(q.c0) from ({}) q)", self.select(&[kind], less)),
            (5, Number) => format!("length({})", self.expression(Text, less)),
            (6, Number) => format!("({} + {})", self.expression(Number, less), self.expression(Number, less)),
            (7, Number) => format!("({})::int", self.expression(Text, less)),
            (8, Number) => format!("({} / {})", self.expression(Number, less), self.expression(Number, less)),
            (5, Text) => format!("({})::text", self.expression(Number, less)),
            (6, Text) => format!("({} || {})", self.expression(Text, less), self.expression(Text, less)),
            (7, Text) => format!("to_jsonb({})::text", self.row()),
            (8, Text) => format!("md5(({})::text)", self.row()),
            (_, Number) => self.pick(9).to_string(),
            (5, Day) => format!("({} + {})", self.expression(Day, less), self.expression(Number, less)),
            (_, Day) => "date '1970-01-05'".to_owned(),
            (_, Text) => ["'same'", "'078-05-1123'", "'user1@example.com'", "''", "'x3'"][self.pick(5)].to_owned(),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        let less = depth.saturating_sub(1);
        let kind = KINDS[self.pick(3)];
        match self.pick(if depth == 0 { 4 } else { 8 }) {
            0 => {
                let how = ["=", "<", "<>", ">=", "is distinct from"][self.pick(5)];
                format!("{} {how} {}", self.expression(kind, less), self.expression(kind, less))
            }
            1 => format!("{} is null", self.expression(kind, less)),
            2 => format!("{} like '%{}%'", self.expression(Text, less), self.pick(9)),
            3 => format!("{} is not null", self.row()),
            4 => format!("exists ({})", self.select(&[kind], less)),
            5 => format!("{} in ({})", self.expression(kind, less), self.select(&[kind], less)),
            6 => format!("({} or {})", self.condition(less), self.condition(less)),
            _ => format!("not ({} and {})", self.condition(less), self.condition(less)),
        }
    }

    fn aggregate(&mut self, kind: Kind, depth: usize) -> String {
        let of = self.expression(kind, depth.min(1));
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
        let over = format!("order by {}", self.expression(by, depth.min(1)));
        match kind {
            Number => format!("{} over ({over})", ["rank()", "dense_rank()", "row_number()", "count(*)"][self.pick(4)]),
            Text | Day => format!("lag({}) over ({over})", self.expression(kind, depth.min(1))),
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
fn both(w: &World, psql: &mut Asked, statement: &str) -> (String, String) {
    fill(w, false);
    let before = psql.says(statement);
    fill(w, true);
    (before, psql.says(statement))
}

/// Fewer choices with which the answers differ as well.
fn smaller(w: &World, psql: &mut Asked, mut found: Vec<u8>) -> String {
    let mut length = found.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at + length <= found.len() {
            let mut less = found.clone();
            drop(less.drain(at..at + length));
            let (before, after) = both(w, psql, &Maker::query(&less));
            if before == after {
                at += length;
            } else {
                found = less;
            }
        }
        length /= 2;
    }
    let statement = Maker::query(&found);
    let (before, after) = both(w, psql, &statement);
    format!("{statement}\n{before}{after}")
}

fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn generated_queries_tell_nothing() {
    let w = world();
    let mut psql = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    let mut eyes = Asked::new(w.psql_command(&w.token("eve", &["pii-readers"], &[])));
    let (wanted, begun) = (set("DOORWARD_VEIL_STATEMENTS"), Instant::now());
    let seed = set("DOORWARD_VEIL_SEED").unwrap_or(1);
    let (mut tried, mut refused, mut failed, mut telling) = (0_u64, 0, 0, 0);
    let mut differences = Vec::new();
    while wanted.map_or(tried < 4000 && begun.elapsed() < LONGEST, |wanted| tried < wanted) {
        let batch: Vec<Vec<u8>> = (0..BATCH as u64).map(|n| choices(seed + tried + n)).collect();
        let all = |psql: &mut Asked| {
            // psql goes on telling of the last error: the same one at the beginning.
            let _failed = psql.says("select nothing");
            batch.iter().map(|c| psql.says(&Maker::query(c))).collect::<Vec<_>>()
        };
        fill(&w, false);
        let (before, seen) = (all(&mut psql), all(&mut eyes));
        fill(&w, true);
        let (after, seen_after) = (all(&mut psql), all(&mut eyes));
        for (n, answer) in before.iter().enumerate() {
            let state = answer.lines().last().filter(|line| !line.starts_with("00000")).unwrap_or_default();
            if std::env::var_os("DOORWARD_VEIL_SHOW").is_some() {
                println!("{}\n{state}", Maker::query(&batch[n]));
            }
            refused += u64::from(state.contains(" refused: "));
            failed += u64::from(!state.is_empty() && !state.contains(" refused: "));
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
    let told: Vec<String> = differences.into_iter().take(5).map(|found| smaller(&w, &mut psql, found)).collect();
    assert!(told.is_empty(), "{}", told.join("\n\n"));
    // Otherwise nothing is tried: many are answered, and many depend on what is hidden.
    assert!(tried >= BATCH as u64 && telling * 5 > tried && (refused + failed) * 3 < tried * 2);
}
