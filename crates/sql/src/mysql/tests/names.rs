//! What names mean where several things go by them.
use super::{env, maria};
use crate::{
    Effect, SourceColumn,
    mysql::{Environment, analyse},
};

/// Whether a text shows, carries or weighs a customer's number.
fn touches(text: &str, env: &Environment) -> bool {
    let analysis = analyse(text.as_bytes(), env);
    let is_it = |c: &SourceColumn| {
        *c.table == *"customers" && c.column.as_ref().is_none_or(|name| **name == *"ssn") && *c.schema == *"shop"
    };
    analysis.statements.iter().any(|s| {
        assert!(s.text.is_some(), "{text}: {:?}", analysis.facts);
        let shown = s.lineage.iter().flat_map(|lineage| &lineage.anywhere);
        shown.chain(&s.moves).chain(&s.reads.weighs).any(is_it)
    })
}

/// Of each of these the servers show or weigh the number in `shop.customers`.
const TOUCHING: &[&str] = &[
    // What is called by its database is no query.
    "select id, (select shop.customers.ssn from (select 'q' as ssn) customers) as x from customers",
    "with customers as (select 'q' as ssn) select (select shop.customers.ssn from customers limit 1) from shop.customers",
    "select id, (select shop.customers.ssn from json_table('[]', '$[*]' columns (ssn int path '$')) customers) \
     from customers",
    "select shop.customers.ssn from (select 'q' as ssn) customers, shop.customers",
    "select customers.* from (select 'q' as ssn) customers, shop.customers",
    "select shop.customers.* from (select 'q' as ssn) customers, shop.customers",
    "select id from customers where exists (select 1 from (select 'q' as ssn) customers where shop.customers.ssn > '')",
    "delete from customers where (select shop.customers.ssn from (select 'q' as ssn) customers) like '078%'",
    // Databases and tables by their case.
    "select id, (select shop.customers.ssn from SHOP.customers) from shop.customers",
    "select id, (select c.ssn from (select 'q' as ssn) C) from customers c",
    // The same alias within and outside.
    "select id, (select c.ssn from (select 1 as one) c) x from customers c for update",
    "set @a = (select group_concat((select c.ssn from orders c limit 1)) from customers c)",
    "insert into sink select id, (select c.ssn from (select 1 as one) c) from customers c",
    "delete c from customers c where exists (select 1 from orders c where c.ssn like '078%1')",
    "update customers c set name = (select c.ssn from (select 1 as one) c)",
    "select id, (with c as (select 1 as one) select c.ssn from c) from customers c",
    "select id, (select c.ssn from json_table('[]', '$[*]' columns (one int path '$')) c limit 1) from customers c",
    "select id, (select (select c.ssn from (select 1 as one) c) from (select 2 as two) c) from customers c",
    // HAVING does not see what FROM names.
    "select id from customers where exists (select 1 from (select 'q' as ssn) d having ssn like '078%1') for update",
    "select id from customers c where exists (select 1 from (select 'q' as ssn) c having c.ssn like '078%1')",
    "select id from customers where exists (select 1 from (select 'q' as ssn) d having (select ssn) like '078%1')",
    // ON sees what is joined.
    "select id from customers where exists (select 1 from (select 'q' as ssn) d, orders o join orders n on ssn > '')",
    "select id from customers where exists \
     (select 1 from (select 'q' as ssn) d join (orders o join orders n on ssn > '') on 1)",
    "select id from customers where exists \
     (select 1 from (select 'q' as ssn) d, orders o join orders n on (select ssn) > '')",
    "select id from customers c where exists \
     (select 1 from (select 'q' as ssn) c, orders o left join orders n on c.ssn > '')",
];

/// Neighbours that the servers answer without it.
const OTHERS: &[&str] = &[
    "select id, (select d.ssn from (select 'q' as ssn) d) x from customers c",
    "select id, (select c.ssn from (select 'q' as ssn) c) x from customers c",
    "select id, (select ssn from (select 'q' as ssn) c) x from customers c",
    "select d.* from (select 'q' as ssn) d, customers",
    "select id from customers where exists (select 1 from (select 'q' as ssn) d where ssn like '078%1')",
    "select id from customers group by id having count(*) > 1",
    "select c.id from customers c join orders o on o.customer_id = c.id and o.total > 1",
    "delete from customers where id = 1",
    "update customers set name = 'x' where id in (select customer_id from orders)",
    "insert into sink select id, name from customers",
];

#[test]
fn names_are_found_where_the_servers_find_them() {
    for env in [env(), maria()] {
        for text in TOUCHING {
            assert!(touches(text, &env), "{text}");
        }
        for text in OTHERS {
            assert!(!touches(text, &env), "{text}");
        }
    }
}

#[test]
fn letters_are_folded_as_the_server_may_fold_them() {
    let folds = Environment { lower_case_names: true, ..env() };
    let text = |within: &str, outside: &str, called: &str| {
        format!("select (select {called}.ssn from customers {within} limit 1) from (select 'q' as ssn) {outside}")
    };
    for (within, outside, called) in [("C", "d", "c"), ("`É`", "`é`", "`é`")] {
        assert!(touches(&text(within, outside, called), &folds), "{within} {called}");
    }
    assert!(!touches(&text("d", "c", "c"), &folds));
    // The server takes these for letters of ASCII.
    for odd in ["`İ`", "`ı`", "ſ", "`\u{212A}`"] {
        let analysis = analyse(text(odd, "i", "i").as_bytes(), &folds);
        assert!(analysis.statements.iter().all(|s| s.text.is_none()), "{odd}");
    }
}

/// Whether the second reading, by names alone, finds a customer's number in a text that is sent as it was written.
fn is_named(text: &str, env: &Environment) -> bool {
    let analysis = analyse(text.as_bytes(), env);
    let is_it = |c: &SourceColumn| {
        *c.table == *"customers" && *c.schema == *"shop" && c.column.as_ref().is_none_or(|name| **name == *"ssn")
    };
    let prepared = analysis
        .statements
        .iter()
        .flat_map(|s| &s.effects)
        .filter_map(|effect| if let Effect::Prepare { analysis, .. } = effect { Some(analysis) } else { None });
    let all = analysis.statements.iter().chain(prepared.flat_map(|analysis| &analysis.statements));
    all.flat_map(|s| &s.reads.named).any(is_it)
}

#[test]
fn names_alone_are_found_anywhere() {
    let more = [
        "select id from customers where upper(ssn) = 'x' for update",
        "select id from customers c where `C`.ssn = 'x' and SSN > ''",
        "select id, ssn as s from customers order by s for update",
        "select ssn from customers order by 1 for update",
        "select distinct ssn from customers for update",
        "select ssn from customers union select 'x'",
        "select a from (select id as a from orders union all select ssn from customers) x where a > ''",
        "select id as a from orders union all select ssn from customers order by a",
        "select y.s from (select * from (select ssn as s from customers) x) y where y.s > '' for update",
        "with x (a) as (select ssn from customers) select count(*) from x where a > ''",
        "with x as (select * from customers) insert into orders select * from x",
        "insert into sink select x.* from (select * from customers) x",
        "insert into sink select * from customers",
        "insert into sink table customers",
        "insert into sink select * from (with x as (select * from customers) select * from x) y",
        "create table sink as select * from customers",
        "select id from customers c join orders o using (ssn)",
        "select 1 from customers natural join orders",
        "select id from customers window w as (order by ssn)",
        "select id from customers where _rowid = 1 for update",
        "replace into customers (id) values (1)",
        "insert into customers (id) values (1) on duplicate key update name = ssn",
        "insert into customers (id) values (1) on duplicate key update ssn = 'x'",
        "update customers set ssn = 'x'",
        "update customers c, orders o set ssn = 'x'",
        "delete from customers order by ssn limit 1",
        "prepare s from 'select id from customers where ssn = ?'",
        "set @a = (select ssn from customers limit 1)",
        "do (select ssn from customers limit 1)",
        "explain select ssn from customers for update",
        "alter table customers add check (ssn > '')",
        "select (select ssn from customers limit 1) for update",
        "select *, ssn from customers for update",
        "select id, ssn from customers where id in (select id from (select 'q' as ssn) x order by ssn) for update",
    ];
    for env in [env(), maria()] {
        let inserts = |text: &&&str| !text.starts_with("with x as (select * from customers) insert");
        // What the lineage says of an output is masked there.
        let masked = |text: &&&str| !text.starts_with("select shop.customers.ssn");
        for text in TOUCHING.iter().filter(masked).chain(more.iter().filter(inserts)) {
            assert!(is_named(text, &env), "{text}");
        }
    }
}

#[test]
fn names_alone_leave_everyday_statements_alone() {
    for text in [
        "select id, name, ssn from customers where id = 3 for update",
        "select * from customers where id = 3 for update",
        "select c.*, o.total from customers c join orders o on o.customer_id = c.id for update",
        "select x.* from (select id, ssn from customers) x for update",
        "select id, ssn from customers union all select id, ssn from customers",
        "select id, (select max(o.total) from orders o where o.customer_id = c.id) t from customers c for update",
        "update customers set name = 'x' where id = 1",
        "update customers c join orders o on o.customer_id = c.id set c.name = 'x' where o.total > 1",
        "update orders set total = 1 where customer_id in (select id from customers where name like 'x%')",
        "delete from customers where id = 1",
        "delete c from customers c where exists (select 1 from orders o where o.customer_id = c.id)",
        "insert into customers (id, ssn) values (1, 'x')",
        "insert into customers values (1, 'x', 'y'), (2, 'x', 'y')",
        "insert into customers (id, ssn) select id, total from orders",
        "insert into customers (id, ssn) select o.id, s.ssn from orders o join (select 1 as id, 'x' as ssn) s using (id)",
        "insert into customers (id, name) values (1, 'x') on duplicate key update name = values(name)",
        "insert into sink select id, name from customers",
        "insert into sink select * from (select id, name from customers) x",
        "create table sink as select c.id, o.total from customers c join orders o on o.customer_id = c.id",
        "with x as (select id, name from customers) select * from x for update",
        "prepare s from 'select id, ssn from customers where id = ?'",
        "set @a = (select count(*) from customers where name like 'x%')",
        "select o.ssn from orders o join customers c on c.id = o.customer_id for update",
        "call wipe()",
    ] {
        for env in [env(), maria()] {
            assert!(!is_named(text, &env), "{text}");
        }
    }
    for text in [
        "insert into customers (id, name) values (1, 'x') returning id, ssn",
        "delete from customers where id = 1 returning id, ssn",
        "set statement max_statement_time = 1 for select id, ssn from customers",
    ] {
        assert!(!is_named(text, &maria()), "{text}");
    }
}

#[test]
fn what_is_too_much_to_be_looked_for_counts_whole() {
    let names: String = (0..20_000).map(|n| format!("a{n}, ")).collect();
    let froms: String = (0..200).map(|n| format!("t{n}, ")).collect();
    assert!(is_named(&format!("select {names} 1 from {froms} customers for update"), &env()));
    assert!(!is_named("select a1, 1 from t1, customers for update", &env()));
}
