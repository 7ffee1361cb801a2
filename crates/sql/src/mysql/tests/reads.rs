//! Where tables are read, and by which columns a statement decides.
use super::{env, maria};
use crate::mysql::{Environment, analyse};

/// What the places of tables hold in the text that is forwarded, and why nothing else may stand there.
fn places_in(text: &str, env: &Environment) -> Vec<String> {
    let analysis = analyse(text.as_bytes(), env);
    let statement = analysis.statements.last().unwrap();
    let forwarded = String::from_utf8(statement.text.clone().unwrap().to_vec()).unwrap();
    let reads = &statement.reads;
    let mut out: Vec<String> = reads
        .places
        .iter()
        .map(|r| {
            let called = r.called.as_deref().unwrap_or("-");
            format!("{} = {}.{} as {called}", forwarded.get(r.at.clone()).unwrap(), r.schema, r.table)
        })
        .collect();
    out.sort();
    out.extend(
        reads
            .kept
            .iter()
            .filter(|k| !k.is_empty())
            .map(|k| format!("kept {}", forwarded.get(k.clone()).unwrap_or_default())),
    );
    out.extend(reads.obstacle.map(str::to_owned));
    out
}

fn places(text: &str) -> Vec<String> {
    places_in(text, &env())
}

#[test]
fn tables_are_found_where_they_are_read() {
    assert_eq!(
        places("select * from t/* c */a, db2 . `u v` join w using (id) where exists (select 1 from x as \"q\")"),
        ["`db2`.`u v` = db2.u v as u v", "`t` `a` = shop.t as a", "`w` = shop.w as w", "`x` as 'q' = shop.x as q"]
    );
    assert_eq!(places("select 1; select/*!50000 2*/from t where 'x' = \"from u\""), ["`t` = shop.t as t"]);
    assert_eq!(places("with a as (select * from b) select * from a, c"), ["`b` = shop.b as b", "`c` = shop.c as c"]);
    assert_eq!(places("with t as (select * from t) select * from t"), ["`t` = shop.t as t"]);
    assert_eq!(places("table t order by 1"), ["table `t` = shop.t as t"]);
    assert_eq!(places("select 1 union all (table t)"), ["table `t` = shop.t as t"]);
    assert_eq!(places("explain select * from t"), ["`t` = shop.t as t"]);
    assert_eq!(
        places("select * from t x use index (i) ignore index for order by (j)"),
        [
            "`t` `x` use index (`i`) ignore index for order by (`j`) = shop.t as x",
            "kept use index (`i`) ignore index for order by (`j`)"
        ]
    );
    assert_eq!(places("select * from (((select 1 from t)) union select 2 from u) x").len(), 2);
}

#[test]
fn what_cannot_be_written_otherwise() {
    for (text, obstacle) in [
        ("select * from t for update", "a lock"),
        ("select * from t where id in (select id from t lock in share mode)", "a lock"),
        ("select shop.t.id from t", "a column that is named with its database"),
        ("select shop.t.* from t", "a table that is named with its database"),
        ("select * from t partition (p0)", "PARTITION"),
        ("update t set a = 1", "a command that does not only read"),
        ("delete from t", "a command that does not only read"),
        ("insert into u select * from t", "a command that does not only read"),
        ("create table u as select * from t", "a command that does not only read"),
        ("prepare s from 'select * from t'", "a command that does not only read"),
        ("do (select 1 from t)", "a command that does not only read"),
        ("set @a = (select 1 from t)", "a command that does not only read"),
        ("explain delete from t", "a command that does not only read"),
        (
            "with recursive a as (select * from b), b as (select 1) select * from a",
            "a name that may be a common table expression's",
        ),
        ("with A as (select 1) select * from a", "a name that may be a common table expression's"),
    ] {
        assert_eq!(places(text).last().map(String::as_str), Some(obstacle), "{text}");
    }
    for text in [
        "select * from t for system_time as of '2026-01-01'",
        "set statement max_statement_time = 1 for select * from t",
    ] {
        assert!(places_in(text, &maria()).last().is_some_and(|s| !s.contains(" = ")), "{text}");
    }
}

/// The columns that a statement decides by.
fn weighs(text: &str) -> String {
    let analysis = analyse(text.as_bytes(), &maria());
    let of = analysis.statements.iter().flat_map(|s| &s.reads.weighs);
    let names: std::collections::BTreeSet<String> =
        of.map(|c| format!("{}.{}", c.table, c.column.as_deref().unwrap_or("*"))).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_statements_decide_by() {
    for (text, expected) in [
        ("select ssn from customers", ""),
        ("select * from customers limit 3", ""),
        ("select ssn as s from (select ssn from customers) x", ""),
        ("select count(*) from customers", ""),
        ("select upper(ssn) from customers", "customers.ssn"),
        ("select id from customers where ssn = ?", "customers.ssn"),
        ("select id from (select id, ssn as s from customers) x where s > ''", "customers.ssn"),
        ("select ssn from customers order by 1", "customers.ssn"),
        // What is the name of an output is that, or a column that is newer than what is known.
        ("select id, ssn as s from customers order by s", "customers.s customers.ssn"),
        ("select count(*) as n from customers group by name having n > 1", "customers.n customers.name"),
        // Else what is not known to be a column counts as any; in WHERE no output is named.
        ("select id as s from customers where s > 1", "customers.id customers.name customers.s customers.ssn"),
        ("select id from customers order by s", "customers.id customers.name customers.s customers.ssn"),
        // Rows of a recursion are cut to the types of its first query.
        ("with recursive r(s) as (select 'x' union all select ssn from customers) select s from r", "customers.ssn"),
        ("select ssn from customers group by ssn", "customers.ssn"),
        ("select distinct ssn from customers", "customers.ssn"),
        ("select ssn from customers union select ''", "customers.ssn"),
        ("select ssn from customers union all select ''", ""),
        ("select ssn from customers union all select '' order by 1", "customers.ssn"),
        ("select c.id from customers c join customers d using (ssn)", "customers.ssn"),
        ("select o.id from orders o where exists (select ssn from customers)", ""),
        ("select o.id from orders o where o.id in (select ssn from customers)", "customers.ssn orders.id"),
        ("select id from customers window w as (order by ssn)", "customers.ssn"),
        ("update orders set total = 1 where id = 1", "orders.id orders.total"),
        ("update customers set ssn = 'x'", "customers.ssn"),
        (
            "update orders o join customers c on c.ssn = o.customer_id set o.total = 1",
            "customers.ssn orders.customer_id orders.total",
        ),
        ("delete from customers order by ssn limit 1", "customers.ssn"),
        ("delete o from orders o, customers c where c.ssn = o.id", "customers.ssn orders.id"),
        ("delete from customers returning ssn, upper(name)", "customers.name"),
        ("insert into customers(id, ssn) values (1, 'x')", ""),
        ("insert into customers(id) values (1) on duplicate key update ssn = values(ssn)", "customers.ssn"),
        ("insert into orders(id) select id from customers where ssn = ''", "customers.ssn"),
        ("prepare s from 'select id from customers where ssn = ?'", "customers.ssn"),
        ("set @a = (select count(*) from customers where ssn > '')", "customers.ssn"),
        ("do (select ssn from customers)", "customers.ssn"),
    ] {
        assert_eq!(weighs(text), expected, "{text}");
    }
    assert!(weighs("replace into customers(id) values (1)").contains("customers.ssn"));
    assert!(weighs("select id from customers partition (p0)").contains("customers.*"));
    assert!(weighs("select 1 from customers natural join customers d").contains("customers.ssn"));
}

#[test]
fn where_queries_begin() {
    for (text, env, expected) in [
        (
            "select/*+ BKA(t) */distinct id, (select 1) from customers where id in (select/*+ odd */ max(id) as m from orders) union select(2)",
            maria(),
            "select STRAIGHT_JOIN distinct `id`, (select STRAIGHT_JOIN 1) from `customers` where `id` in (select STRAIGHT_JOIN max(`id`) as `m` from `orders`) union select STRAIGHT_JOIN(2)",
        ),
        (
            "select/*+ BKA(t) */ id from customers union all select/*+ odd */*from customers",
            Environment::default(),
            "select /*+ BKA(t) */ STRAIGHT_JOIN `id` from `customers` union all select STRAIGHT_JOIN * from `customers`",
        ),
    ] {
        let analysis = analyse(text.as_bytes(), &env);
        let statement = analysis.statements.first().unwrap();
        let mut text = String::from_utf8(statement.text.clone().unwrap().to_vec()).unwrap();
        statement.reads.selects.iter().rev().for_each(|at| text.insert_str(*at, " STRAIGHT_JOIN"));
        assert_eq!(text, expected);
        // It is read as it is printed, and decides by the same.
        let again = analyse(text.as_bytes(), &env);
        let again = again.statements.first().unwrap();
        assert_eq!(again.text.as_deref(), Some(text.as_bytes()));
        assert_eq!(again.reads.weighs, statement.reads.weighs);
    }
}
