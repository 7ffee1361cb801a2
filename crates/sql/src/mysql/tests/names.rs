//! What names mean where several things go by them.
use super::{env, maria};
use crate::{
    SourceColumn,
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
    for (within, outside, called) in [("C", "d", "c"), ("`İ`", "i", "i"), ("`É`", "`é`", "`é`")] {
        assert!(touches(&text(within, outside, called), &folds), "{within} {called}");
    }
    assert!(!touches(&text("d", "c", "c"), &folds));
}
