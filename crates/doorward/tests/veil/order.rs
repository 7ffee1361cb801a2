//! Rows do not come in the order of what is hidden, and which partition they are in does not tell of it.
use crate::{
    common::World,
    veiled::{Asked, world},
};

/// Rows enough for the planner to take an index by itself.
const ROWS: usize = 3000;

const MADE: &str = "
create table ordered(id int primary key, name text, ssn text, gone date);
create index on ordered (name, ssn); create index on ordered (ssn, id); create index on ordered (ssn) include (name);
create index on ordered (ssn) where gone is not null; create index on ordered ((lower(ssn)), id);
create table loose(id int, name text, ssn text, doc json); create index on loose (name, ssn); create index on loose (ssn, id);
create table kept(id int, name text, ssn text, primary key (id)) partition by range (id);
create table kept_1 partition of kept for values from (0) to (1000);
create table kept_2 partition of kept for values from (1000) to (100000);
create index on kept (name, ssn);
create table clustered(id int primary key, ssn text); create index by_cluster on clustered (ssn); cluster clustered using by_cluster;
create table unindexed(id int, ssn text);
create view of_ordered as select id, name, ssn from ordered;
create view shown as select id, name from ordered; create view shown_again as select id as n from shown where name = 'N7';
create materialized view stored as select id, name, ssn from ordered order by ssn;
create table apart(id int, ssn text) partition by list (ssn);
create table apart_a partition of apart for values in ('a'); create table apart_b partition of apart default;
create view of_apart as select * from apart;
create view ids_apart as select id from apart;
create view joined as select c.id from loose c join clustered o on o.ssn = c.ssn or o.id = c.id and o.ssn > '8';
create view matched as select l.id from ordered l join ordered o using (ssn);
create view sorted as select id from unindexed order by ssn;
create view grouped as select count(*) as n, max(id) as m from unindexed group by ssn;
create view again as select m + 1 as k from grouped;
create materialized view stored_ids as select id from unindexed order by ssn;
create view of_stored_ids as select id + 1 as k from stored_ids;
create function audit() returns trigger language plpgsql as 'begin perform ssn::int from loose order by id limit 1; return null; end';
create sequence counted;
create table noticed(id int); create trigger t after insert on noticed for each row execute function audit();
";

fn fill(w: &World, seed: usize) {
    let row = |n: &str| format!("select g, 'N'||(g % 60), md5({seed}||'-'||g){n} from generate_series(1, {ROWS}) g");
    w.postgres
        .exec(&format!(
            "set role {};
truncate ordered, loose, kept, clustered, apart, unindexed;
insert into unindexed select g, md5({seed}||'-'||g) from generate_series(1, {ROWS}) g;
insert into ordered {}; insert into loose {}; insert into kept {};
insert into clustered select g, md5({seed}||'-'||g) from generate_series(1, {ROWS}) g; cluster clustered;
insert into apart select g, case when (g * {seed}) % 3 = 0 then 'a' else 'b' end from generate_series(1, 20) g;
refresh materialized view stored; refresh materialized view stored_ids",
            w.postgres.user(),
            row(", case when g % 40 = 0 then date '2020-01-01' end"),
            row(", '{}'::json"),
            row("")
        ))
        .unwrap();
    for table in ["ordered", "loose", "kept", "clustered", "stored", "apart", "unindexed"] {
        w.postgres.exec(&format!("vacuum analyze {table}")).unwrap();
    }
}

/// What tells by its order, as it is or where the planner is told what to do.
const ORDERED: &[&str] = &[
    "select id from ordered",
    "select name from ordered limit 7",
    "select id from ordered where name = 'N7'",
    "select id from only ordered where name = 'N7' limit 3",
    "select id from ordered where gone is not null",
    "select id from ordered order by name",
    "select id, name from ordered order by name, gone limit 9",
    "select array_agg(id), string_agg(id::text, ',') from ordered where name < 'N2'",
    "select row_number() over (), id from ordered where name = 'N9'",
    "select row_number() over (order by name), id from ordered where name < 'N11'",
    "select first_value(id) over (partition by name) from ordered where name < 'N11'",
    "select distinct on (name) name, id from ordered",
    "select id from ordered where name = 'N7' for update",
    "begin\\; declare c cursor for select id from ordered where name = 'N8'\\; fetch 5 from c\\; commit",
    "begin\\; declare d cursor for select id from ordered where name = 'N8'\\; rollback",
    "begin; declare e cursor for select id from ordered where name = 'N8'; fetch 5 from e; rollback",
    "prepare p as select id from ordered where name = $1; execute p('N7'); deallocate p",
    "select id from ordered where name = 'N7'\\; listen nothing",
    "begin; with x as (insert into orders values (99) returning id) select o.id from ordered o, x where name = 'N7'; rollback",
    "begin; insert into orders select id + 100 from ordered where name = 'N7' limit 1 returning id; rollback",
    "begin; update orders set customer = (select id from ordered where name = 'N7' limit 1) returning customer; rollback",
    "copy ordered (id, name) to stdout",
    "copy (select id from ordered where name = 'N7') to stdout",
    "table of_ordered",
    "select id from of_ordered where name = 'N7'",
    "select id from shown where name = 'N7' limit 3",
    "select n from shown_again",
    "select count(*), min(n) from (select n from shown_again limit 2) q",
    "select id from stored",
    "select id from stored where name = 'N7'",
    "select id from loose",
    "select id from loose where name = 'N7'",
    "select id, doc from loose order by name limit 9",
    "select id from kept where name = 'N7'",
    "select id from kept_2 where name = 'N7' limit 3",
    "select id from kept order by name limit 3",
    "select id from clustered limit 5",
    "select id from apart",
    "select id from apart limit 3",
    "select id from ids_apart",
    "select array_agg(id) from of_apart",
    "select id from matched limit 9",
    "select id from sorted",
    "select id from sorted limit 4",
    "select m from grouped limit 5",
    "select id from stored_ids limit 5",
    "select k from of_stored_ids limit 5",
    "select k from again limit 5",
    "select array_agg(n) from (select n from grouped limit 3) q",
    "select o.id, l.id from ordered o join loose l using (name) where o.name = 'N3' limit 20",
    "select (select id from ordered o where o.name = l.name limit 1) from loose l where id < 20 order by l.id",
];

const SETTINGS: &[&[&str]] = &[
    &[],
    &["set enable_seqscan = off", "set enable_bitmapscan = off", "set enable_sort = off"],
    &[
        "set random_page_cost = 0",
        "set cpu_index_tuple_cost = 0",
        "set enable_hashjoin = off",
        "set cursor_tuple_fraction = 0",
    ],
];

const APART: &[&str] = &[
    "select count(*) from apart_a",
    "select count(*) from only apart_b",
    "select id from apart_a order by id",
    "select tableoid::regclass, count(*) from apart group by 1 order by 1",
    "begin; update apart set id = id where id < 9 returning tableoid, id; rollback",
    "begin; update apart set id = id where id < 9 returning tableoid::regclass::text || 'x', id; rollback",
    "begin; delete from apart where tableoid = 'apart_a'::regclass; rollback",
    "begin; delete from apart_a; rollback",
    "begin; update apart_b set id = 1; rollback",
    "copy apart_a to stdout",
    "begin; truncate apart_b; select array_agg(id order by id) from apart; rollback",
    "begin; drop table apart_b; select array_agg(id order by id) from apart; rollback",
    "explain (analyze, costs off, timing off, buffers off, summary off) select id from apart where id = 5",
    "begin; update apart set id = id where id = 5; select relname, n_tup_upd from pg_stat_xact_user_tables where relname ~ 'apart' order by 1; rollback",
    "begin; update apart set id = id where id = 5; select count(*) from pg_stat_xact_user_tables where n_tup_upd = 1; rollback",
    "select relname, reltuples from pg_class where relname ~ '^apart' order by 1",
    "select count(*) from pg_class where relname ~ '^apart' and reltuples > 9",
    "begin; insert into apart values (1, 'a'); update apart set id = id / 0 where id = 5; rollback",
    "begin; insert into noticed values (1); rollback",
];

/// Without the error before, which psql goes on telling of.
fn answer(asked: &mut Asked, statement: &str) -> String {
    let all = asked.says(statement);
    all.split("\n00000 ").next().unwrap_or_default().to_owned()
}

fn all(asked: &mut Asked) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for settings in SETTINGS {
        for setting in *settings {
            asked.says(setting);
        }
        for statement in ORDERED {
            out.push((format!("{settings:?} {statement}"), answer(asked, statement)));
        }
        asked.says("reset all");
    }
    out.extend(APART.iter().map(|statement| ((*statement).to_owned(), answer(asked, statement))));
    out
}

#[test]
fn neither_order_nor_partitions_tell_of_what_is_hidden() {
    let w = world();
    w.postgres.exec(&format!("set role {};\n{MADE}", w.postgres.user())).unwrap();
    let (agent, reader) = (w.token("ci-bot", &["agents"], &[]), w.token("eve", &["pii-readers"], &[]));
    let (mut agent, mut reader) = (Asked::new(w.psql_command(&agent)), Asked::new(w.psql_command(&reader)));
    fill(&w, 1);
    let (before, seen_before) = (all(&mut agent), all(&mut reader));
    fill(&w, 2);
    let (after, seen_after) = (all(&mut agent), all(&mut reader));
    let cut = |answer: &str| answer.chars().take(300).collect::<String>();
    let differ = before.iter().zip(&after).filter(|(one, other)| one != other);
    let told: Vec<_> = differ.map(|(one, other)| format!("{}\n{}\n{}", one.0, cut(&one.1), cut(&other.1))).collect();
    assert!(told.is_empty(), "{} tell:\n{}", told.len(), told.join("\n"));
    // Who may see it is told by most, or they would be no test.
    let telling = seen_before.iter().zip(&seen_after).filter(|(one, other)| one != other).count();
    println!("{telling} of {} tell who may see", before.len());
    assert!(telling > 50, "{telling}");
    let refused = |asked: &[(String, String)]| asked.iter().filter(|(_, answer)| answer.contains("refused: ")).count();
    assert!(refused(&before) < 2 * SETTINGS.len() + APART.len(), "{}", refused(&before));
    assert_eq!(refused(&seen_before), 0);
}

#[test]
fn what_is_not_rewritten_is_refused_where_its_rows_would_be_in_order() {
    let w = world();
    w.postgres.exec(&format!("set role {};\n{MADE}", w.postgres.user())).unwrap();
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    for statement in [
        "with x as (insert into orders values (99) returning id) select o.id from ordered o, x where name = 'N7'",
        "insert into orders select id + 100 from ordered where name = 'N7' limit 1 returning id",
        "update orders set customer = (select id from ordered where name = 'N7' limit 1) returning customer",
        "select id from ordered where name = 'N7'\\; listen nothing",
        "update orders set contact = 'x' where id = 1 returning (select string_agg(id::text, ',') from ordered where name = 'N7')",
        "delete from orders where id = (select id from ordered where name = 'N7' limit 1)",
        "delete from orders where id = any(array(select id from ordered where name = 'N7' limit 1))",
        "delete from orders where id in (select id from ordered where name = 'N7' limit 1)",
        "delete from orders where id in (select (array_agg(id))[1] from ordered where name = 'N7')",
        "delete from orders where id in (select id from ordered where name = 'N7') returning id",
        "update orders set contact = nextval('counted') where id in (select id from ordered where name = 'N7')",
        "update orders set contact = 'x' from (select id from ordered where name = 'N7' limit 1) o where orders.id = o.id",
        "update orders set contact = o.id::text from ordered o where o.name = 'N7' and orders.id = 1",
        "delete from orders using ordered o where o.name = 'N7' and o.id = orders.id returning o.id",
        "insert into orders values (1, 1, 'x') on conflict (id) do update set contact = 'y' where orders.id = (select id from ordered where name = 'N7' limit 1)",
        "insert into orders (id) values ((select id from ordered where name = 'N7' limit 1))",
        "insert into orders (id) values (99) returning (select id from ordered where name = 'N7' limit 1)",
        "select id into temp chosen from orders where id = (select id from ordered where name = 'N7' limit 1)",
        "merge into orders r using (select id from ordered where name = 'N7' limit 1) o on r.id = o.id when matched then delete",
        "update ordered set gone = null, name = nextval('counted')::text where name = 'N7'",
        "delete from of_ordered where name = 'N7' returning nextval('counted')",
        "update ordered set gone = null where name = 'N7' and pg_notify('c', id::text) is not null",
        "update ordered set gone = null where name = 'N7' and set_config('a.b', current_setting('a.b') || id, false) is not null",
    ] {
        let answer = agent.says(statement);
        assert!(answer.contains("may come in the order of masked columns"), "{statement}: {answer}");
    }
    for statement in ["delete from apart_a", "select count(*) from apart_b", "copy apart_a to stdout"] {
        let answer = agent.says(statement);
        assert!(answer.contains("by columns that you may not see"), "{statement}: {answer}");
    }
}

#[test]
fn where_no_index_tells_nothing_is_sorted() {
    let w = world();
    w.postgres.exec("create index by_ssn on customers (ssn); create index by_name on customers (name)").unwrap();
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    for statement in
        ["select id from customers", "select id from people", "select id from contacts", "select * from everyone"]
    {
        let plan = agent.says(&format!("explain (costs off) {statement}"));
        assert!(plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
    }
    // Partitions by what is not hidden are read by their names.
    assert!(agent.says("select count(*) from people_1").contains("\n8\n"));
    let done = agent.says("begin; delete from orders where ctid = '(0,1)' returning tableoid::regclass, id; rollback");
    assert!(done.contains("orders|1"), "{done}");
    // No table here has partitions by what is hidden.
    assert!(agent.says("select c.relname is not null as t, n_tup_ins >= 0 as u from pg_class c join pg_stat_user_tables s on s.relid = c.oid where c.relname = 'customers' and n_tup_ins > 0").contains("\nt|t\n"));
    // Where a row is stored tells how much room others take.
    let refused = agent.says("begin; delete from customers where ctid = '(0,1)'; rollback");
    assert!(refused.contains("depends on the masked column `public.customers.ctid`"), "{refused}");
    assert!(!agent.says("begin; delete from customers where id = 1 returning ctid; rollback").contains("(0,"));
}

#[test]
fn what_changes_rows_of_ordered_tables_passes() {
    let w = world();
    w.postgres.exec(&format!("set role {};\n{MADE}", w.postgres.user())).unwrap();
    fill(&w, 1);
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    for change in [
        "insert into ordered values (1, 'x', 'y') on conflict (id) do update set name = excluded.name returning id",
        "insert into ordered values (5000, 'x', 'y') returning id",
        "update ordered set name = upper(name) || id where id = 1 returning id, name",
        "delete from ordered where id = 1 returning id",
        "insert into orders select id + 200 from customers where name < 'Name 2' order by id returning id",
    ] {
        let done = agent.says(&format!("begin; {change}; rollback"));
        assert!(done.contains("(1 row)"), "{change}: {done}");
    }
    for change in [
        "update orders set contact = 'x' where id in (select id from ordered where id = 1)",
        "delete from orders o where exists (select from ordered r left join orders s on s.id = r.id where r.id = o.id and r.id < 2)",
    ] {
        let done = agent.says(&format!("begin; {change}; rollback"));
        assert!(done.contains("UPDATE 1") || done.contains("DELETE 1"), "{change}: {done}");
    }
    let joined = agent.says("select o.id from orders r join ordered o using (id) where r.id = 3 for update of o");
    assert!(joined.contains("\n3\n"), "{joined}");
}
