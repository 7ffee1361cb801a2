//! What statements decide by and show where they are sent as they were written.
use super::*;

/// The columns that a statement decides by.
fn weighed(text: &str) -> String {
    let analysis = analyse(text, &env()).unwrap_or_else(|e| panic!("{text}: {e}"));
    analysis.statements.last().unwrap().reads.weighs.iter().map(column).collect::<Vec<_>>().join("+")
}

/// Statements, and whether they are to be read as deciding by, or showing, `customers.ssn`.
fn reads_ssn(statements: &[(&str, bool)]) {
    for (text, is_read) in statements {
        let (weighed, shown) = (weighed(text), shown(text));
        let found = ["customers.ssn", "customers.*"].iter().any(|c| weighed.contains(c) || shown.contains(c));
        assert_eq!(found, *is_read, "{text}\nweighs {weighed}\nshows {shown}");
    }
}

#[test]
fn names_are_resolved_as_the_server_does() {
    reads_ssn(&[
        // A column of an outer query goes before an alias.
        ("select id, (select ssn||'' from (select 1 as z) ssn) from customers", true),
        ("select id, (select ssn from (select 1 as z) ssn) from customers", true),
        ("delete from customers where exists (select from (select 1 z) ssn where ssn like '078%')", true),
        ("update customers set name=name where id=1 returning (select ssn||'' from (select 1 z) ssn)", true),
        ("delete from customers where exists (select from generate_series(1, 1) ssn where ssn like '078%')", true),
        ("delete from customers where exists (select from orders ssn where ssn is null)", true),
        ("delete from customers where exists (select from (select 1 as ssn) z where ssn = 1)", false),
        ("delete from customers where exists (select from (select 1 z) name where name is null)", false),
        ("select (select row_to_json(o) from orders o limit 1) from customers", false),
        // A condition of a join sees no neighbours of the join.
        (
            "delete from customers where exists (select from (select ''::text as ssn) g, (generate_series(1,1) h join generate_series(1,1) k on ssn like '078%'))",
            true,
        ),
        (
            "delete from customers where exists (select from (select ''::text as ssn) customers, (orders h join orders k on customers.ssn like '078%'))",
            true,
        ),
        (
            "delete from customers where exists (select from (select ''::text as ssn) g, lateral (select from (orders h join orders k on ssn like '078%')) l)",
            false,
        ),
        (
            "delete from customers where exists (select from (select ''::text as ssn) g join orders k on ssn like '078%')",
            false,
        ),
        // After it they are seen again.
        ("select s from (select ''::text as s) g, (orders h join orders k on h.id = k.id), customers", false),
        ("select ssn from customers, (orders h join orders k on h.id = k.id)", true),
        // What is no column may be a function of the whole row.
        ("select t.row_to_json from (select ssn, 1 + 1 from customers) t", true),
        ("select t.row_to_json from (select id, 1 + 1 from customers) t", false),
        // What goes by the name of another function than the first.
        (
            "delete from customers where exists (select from rows from (generate_series(1, 1), customers()) where customers.ssn like '078%')",
            true,
        ),
        // An output that goes by a name that is not known is one that is joined by.
        (
            "select * from (select case when true then ssn else ssn end from customers) a full join (values ('x')) b(ssn) using (ssn)",
            true,
        ),
        // `old` is a row of what is changed, not of what it is changed by.
        ("merge into customers c using orders o on c.id = o.id when matched then delete returning old.ssn||''", true),
        (
            "merge into orders o using customers c on c.id = o.id when matched then delete returning old.total||''",
            false,
        ),
        // A recursive query decides by what its columns come to show; a name that is read before its query shows what that does.
        (
            "with recursive r(n, a, b) as (select 1, ''::text, ssn from customers union all select n + 1, b, b from r where n < 3 and a not like '078%') select count(*) from r",
            true,
        ),
        (
            "with recursive r(n, a, b) as (select 1, ''::text, name from customers union all select n + 1, b, b from r where n < 3 and a not like '078%') select count(*) from r",
            false,
        ),
        (
            "with recursive a as (select x from b), b as (select x from orders), orders as (select ssn as x from customers) select x from a",
            true,
        ),
        // What is changed is no common table expression.
        (
            "with customers as (select 0 as id, ''::text as name, ''::text as ssn) update customers set name = name where ssn like '078%' returning ssn||''",
            true,
        ),
        ("with customers as (select ''::text as ssn) delete from customers where ssn like '078%'", true),
        (
            "with customers as (select ''::text as ssn) insert into customers values (1) on conflict (id) do update set name = 'x' where customers.ssn like '0%'",
            true,
        ),
        (
            "with customers as (select ''::text as ssn) merge into customers c using orders o on c.id = o.id when matched and ssn = 'x' then delete",
            true,
        ),
        ("with customers as (select ''::text as ssn) delete from orders using customers where ssn like '078%'", false),
        ("with c as (select ''::text as ssn) update customers x set name = c.ssn from c where x.id = 1", false),
    ]);
}

#[test]
fn every_place_of_an_expression_is_read() {
    const ASKED: &str = "(select ascii(ssn) from customers)";
    for text in [
        "select count(*) from (values (1), (2) limit ASKED) v",
        "select count(*) from (values (1), (2) offset ASKED) v",
        "select count(*) from (values (1), (2) order by ASKED) v",
        "select 1 limit ASKED",
        "select 1 union select 2 order by 1 offset ASKED",
        "insert into orders values (1) limit ASKED",
        "select count(*) over (order by g rows between ASKED preceding and current row) from generate_series(1, 9) g",
        "select count(*) over (order by g rows between 1 preceding and ASKED following) from generate_series(1, 9) g",
        "select count(*) over w from generate_series(1, 9) g window w as (order by g rows ASKED preceding)",
        "select count(*) over (w rows ASKED preceding) from generate_series(1, 9) g window w as (order by g)",
        "select 1 from generate_series(1, 9) g window w as (partition by ASKED)",
        "insert into orders (total[ASKED]) values (7) returning id",
        "update orders set total[ASKED] = 7",
        "insert into orders values (1) on conflict (id) do update set total[ASKED] = 7",
        "insert into orders values (1) on conflict ((ASKED)) do nothing",
        "insert into orders values (1) on conflict (id) where 1 = ASKED do nothing",
        "merge into orders o using events e on o.id = e.id when not matched then insert (total[ASKED]) values (1)",
        "merge into orders o using events e on o.id = e.id when matched and ASKED = 1 then delete",
        "select count(*) from orders tablesample bernoulli (ASKED)",
        "select count(*) from orders tablesample bernoulli (1) repeatable (ASKED)",
        "select count(*) from xmltable('/a' passing (ASKED::text::xml) columns b int default (ASKED)) x",
        "select count(*) from json_table(ASKED::text, '$' columns (a int default (ASKED) on empty)) x",
        "select distinct on (ASKED) 1",
        "select 1 group by grouping sets (rollup (ASKED))",
        "select 1 from orders group by () having ASKED > 1",
        "select array_agg(1 order by ASKED), count(*) filter (where ASKED > 1)",
        "select json_array(select ssn from customers), json_objectagg(1 : ASKED), json_value('1', '$' passing ASKED as x)",
        "call wipe(ASKED)",
        "explain delete from orders where id = ASKED",
        "copy (values (ASKED)) to stdout",
        "prepare p as delete from orders where id = ASKED",
    ] {
        let text = text.replace("ASKED", ASKED);
        reads_ssn(&[(&text, true)]);
        let whole = weighed(&text).contains("customers.*");
        assert!(!whole, "{text} is not understood: {}", weighed(&text));
    }
    // A natural join with what is not known.
    reads_ssn(&[
        ("select count(*) from customers natural join unnest(array['x']) ssn", true),
        ("update orders set id = id from (customers natural join scratch) where id = 1", true),
        ("update orders set id = 1 from (events natural join scratch)", false),
        ("update orders o set id = 1 from (events e natural join customers)", false),
    ]);
}

#[test]
fn older_servers_read_some_words_otherwise() {
    reads_ssn(&[
        ("select max(system_user) from (select ssn as system_user from customers where id = 1) x", true),
        ("select system_user from (select ssn||'' as system_user from customers) x", true),
        (
            "delete from orders where exists (select 1 from (select ssn as system_user from customers) l where system_user like '078%')",
            true,
        ),
        ("select 1 from (select ssn as system_user from customers) l order by system_user", true),
        ("select count(*) from (select ssn as system_user from customers) l group by system_user", true),
        ("select ssn as \"system_user\" from customers order by system_user", true),
        ("select (system_user).ssn from customers \"system_user\"", true),
        ("select id, system_user from customers", false),
        ("delete from customers where name = system_user", false),
    ]);
    check("select system_user from customers", expect!["[SELECT] select(public.customers)"]);
    check(
        "select 1 from system_user",
        expect![[
            r#"[SELECT] opaque(SYSTEM_USER in a FROM clause, which is a relation to a server before PostgreSQL 16)"#
        ]],
    );
    let plain = env();
    let shadowed = |name: &str| {
        let function = Function {
            oid: 9,
            schema: "public".into(),
            name: name.into(),
            volatility: Volatility::Volatile,
            of_row: false,
        };
        let catalogue = Catalogue::new(1, [relation(1, "customers", &["id", "name", "ssn"])], [function]);
        Environment { catalogue: Arc::new(catalogue), ..env() }
    };
    for (name, text) in [
        ("json_object", "select json_object(ssn) from customers"),
        ("json_object", "select json_object() from customers"),
        ("json_array", "select json_array(ssn) from customers"),
        ("json_arrayagg", "select json_arrayagg(ssn) from customers"),
        ("json", "select json(ssn) from customers"),
        ("json_scalar", "select json_scalar(ssn) from customers"),
        ("json_serialize", "select json_serialize(ssn) from customers"),
        ("json_value", "select json_value(ssn, '$') from customers"),
        ("json_query", "select json_query(ssn, '$') from customers"),
        ("json_exists", "select json_exists(ssn, '$') from customers"),
        ("merge_action", "select merge_action() from customers"),
    ] {
        let calls = |env: &Environment| {
            let analysis = analyse(text, env).unwrap();
            let moved = analysis.statements.iter().any(|s| !s.moves.is_empty());
            let asked = analysis
                .facts
                .accesses
                .iter()
                .any(|a| a.action == Action::Call && a.resource.local_id().contains(name));
            (asked, moved)
        };
        assert_eq!(calls(&plain), (false, false), "{text}");
        let takes = text.contains("(ssn");
        assert_eq!(calls(&shadowed(name)), (true, takes), "{text}");
    }
}

/// Which columns of `customers` a statement may decide by, going by names alone.
fn by_names(text: &str) -> String {
    let analysis = analyse(text, &env()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let named = &analysis.statements.last().unwrap().reads.named;
    let of_it: Vec<_> = named.iter().filter(|c| &*c.table == "customers").map(column).collect();
    of_it.join("+")
}

#[test]
fn columns_are_found_by_their_names_alone() {
    for text in [
        "select id, (select ssn||'' from (select 1 as z) ssn) from U&\"customers\"",
        "delete from customers where exists (select from (select 1 z) ssn where ssn like '078%')",
        "delete from customers where exists (select from (select ''::text as ssn) customers, (orders h join orders k on customers.ssn like '0%'))",
        "with customers as (select ''::text as ssn) update customers set name = name where ssn like '078%'",
        "select max(system_user) from (select ssn as system_user from U&\"customers\") x",
        "select max(s) from (select ssn as s from U&\"customers\") x",
        "select max(t) from (select s as t from (select ssn as s from U&\"customers\") x) y",
        "with recursive r as (select ssn as a from U&\"customers\" union select a from r) select max(a) from r",
        "with u as (update customers set name = 'x' returning ssn as a) select count(*) from u where a = 'x'",
        "delete from orders using customers c (a, b, d) where d = 'x'",
        "delete from orders using (select ssn from customers) x (a) where x.a = 'x'",
        "delete from orders using (customers c cross join events) j (a, b, d) where d = 'x'",
        "select (x.c).ssn from (select c from U&\"customers\" c) x where x.c is not null",
        "select row_to_json(c) from U&\"customers\" c",
        "select t.row_to_json from (select ssn, 1 from U&\"customers\") t",
        "select c.wipe from U&\"customers\" c",
        "select t.wipe from (select ssn from U&\"customers\") t",
        "select row(c.*) from U&\"customers\" c",
        "select count(*) from U&\"customers\" join events using (ssn)",
        "delete from orders using customers natural join events",
        "insert into customers values (1) on conflict (ssn) do nothing",
        "select ssn from U&\"customers\" order by 1",
        "select distinct ssn from U&\"customers\"",
        "select 1 from U&\"customers\" order by ssn",
        "select name from U&\"customers\" union all select ssn from U&\"customers\" order by name",
        "select count(*) from (select name from U&\"customers\" union all select ssn from U&\"customers\") x where name = 'x'",
        "insert into orders select id, ssn from customers",
        "select ssn into t from customers",
        // What is rewritten, too.
        "select id from customers where ssn = 'x'",
        "select (select ssn from events) from customers",
        "delete from orders where id in (select ssn from customers)",
        "update orders o set id = 1 from customers c where (select c.ssn from events c) = 'x'",
        "explain delete from customers where ssn = 'x'",
        "prepare p as delete from customers where ssn = 'x'",
        "update customers set name = v.ssn from (values ((select ssn from customers limit 1))) v (ssn)",
    ] {
        let found = by_names(text);
        assert!(["customers.ssn", "customers.*"].iter().any(|c| found.contains(c)), "{text}: {found}");
    }
    for text in [
        "select ssn from U&\"customers\" where id = 1",
        "select c.*, ssn as s from U&\"customers\" c order by c.id",
        "update customers set ssn = 'x' where id = 1 returning ssn",
        "update customers set ssn = v.ssn from (values (1, 'x')) v (id, ssn) where v.id = customers.id",
        "update customers set ssn = f.ssn from jsonb_to_recordset('[]') f (id int, ssn text) where f.id = customers.id",
        "insert into customers (id, ssn) values (1, 'y') on conflict (id) do update set ssn = excluded.ssn",
        "delete from orders using customers c where c.id = customer_id and c.name = 'x' returning c.name",
        "delete from orders where exists (select * from customers c where c.id = customer_id)",
        "delete from events e using customers c where e.email = 'x' and e.ssn is null",
        "merge into customers c using events e on c.id = e.id when matched then update set ssn = 'x'",
        "select ssn from U&\"customers\" union all select ssn from U&\"customers\"",
        "with u as (update customers set name = 'x' returning id, ssn) select id, ssn from u",
        // What is defined is decided otherwise.
        "create view v as select 1 from customers where ssn = 'x'",
    ] {
        let found = by_names(text);
        assert!(!found.contains("customers.ssn") && !found.contains("customers.*"), "{text}: {found}");
    }
}

/// How many entries the sets of a statement have: what it may decide by, as both readings say.
fn decided_by(text: &str) -> (usize, usize) {
    let analysis = analyse(text, &env()).unwrap();
    let reads = &analysis.statements.last().unwrap().reads;
    (reads.weighs.len(), reads.named.len())
}

#[test]
fn what_a_large_text_may_decide_by_is_bounded() {
    let list = |each: &dyn Fn(usize) -> String, by: &str, n: usize| (0..n).map(each).collect::<Vec<_>>().join(by);
    // Of a table that is not known any name may be a column.
    let tables = list(&|i| format!("a{i}"), ", ", 4500);
    let names = list(&|i| format!("c{i}"), " or ", 4500);
    let (weighs, named) = decided_by(&format!("delete from orders using {tables} where {names}"));
    assert_eq!(named, 4501, "all columns of each table");
    assert!(weighs <= 1_000_000, "{weighs}");
    // Each output carries what the one before it does.
    let tables = list(&|i| format!("a{i}"), ", ", 400);
    let outputs = list(&|i| format!("c{} as c{i}", i + 1), ", ", 400);
    let (_, named) = decided_by(&format!(
        "delete from orders using (select {outputs} from {tables}) x where x.c0 = 1 and orders.id = 1"
    ));
    assert_eq!(named, 401);
    // What is as small as texts are is looked through.
    let (_, named) = decided_by("delete from orders using customers where customers.ssn = '1'");
    assert_eq!(named, 1);
}

#[test]
fn thousands_of_names_are_not_looked_for_among_thousands() {
    let text = |count: usize, column: &dyn Fn(usize) -> String| {
        let from: Vec<String> = (0..count).map(|n| format!("customers a{n}")).collect();
        let named: Vec<String> = (0..count).map(column).collect();
        format!("select 1 from {} where 1 in ({})", from.join(","), named.join(","))
    };
    for column in [&(|n| format!("a{n}.id")) as &dyn Fn(usize) -> String, &|n| format!("none{n}")] {
        let read = analyse(&text(3000, column), &env()).unwrap();
        let statement = &read.statements[0];
        // Not understood: it shows and decides by all that it names.
        assert_eq!(statement.lineage.as_ref().unwrap().outputs, [Output::Star]);
        assert!(statement.reads.weighs.iter().any(|source| source.column.is_none()));
    }
    let read = analyse(&text(100, &|n| format!("a{n}.id")), &env()).unwrap();
    assert_ne!(read.statements[0].lineage.as_ref().unwrap().outputs, [Output::Star]);
}
