//! What a caller may not see does not show in what a query finds, counts, sorts, joins or fails by: the same statements over
//! tables that differ in hidden values alone have the same answers, and their innocent neighbours pass unchanged.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#[path = "veil/astray.rs"]
mod astray;
mod common;
#[path = "veil/compared.rs"]
mod compared;
#[path = "veil/copied.rs"]
mod copied;
#[path = "veil/newest.rs"]
mod newest;
#[path = "veil/order.rs"]
mod order;
#[path = "veil/paths.rs"]
mod paths;
#[path = "veil/places.rs"]
mod places;
#[path = "veil/shown.rs"]
mod shown;
mod veiled;
#[path = "veil/ways.rs"]
mod ways;

use common::World;
use std::process::Command;
use veiled::{Asked, world};

/// Other values where nobody may see them.
const OTHERWISE: &str = "
update customers set email = 'x'||(9-id)||'@example.org', card = case when id % 2 = 0 then '4000' end;
update customers set ssn = case when id < 3 then null else 'same' end, born = null, score = -id;
update people set ssn = null;
update staff set ssn = 'same'; update cards set number = 'x'||id + 3;
update other.\"Odd t\" set ssn = 'same';
";

/// Statements that would tell.
const HOSTILE: &[&str] = &[
    // A comment that ends as TABLE does, and a constant that would end within it.
    "select count(*) from -- table\ncustomers c where c.name <> '\ncustomers where ssn like $$078%$$ -- '",
    "prepare q as select name from -- table\ncustomers c where c.name <> '\ncustomers union all select ssn || $$$$ from customers -- '; execute q",
    "copy (select name from -- table\ncustomers c where c.name <> '\ncustomers union all select ssn from customers -- ') to stdout",
    "begin; select count(*) from customers where ssn like '078%'; commit",
    "select count(*) from customers\"c\" where c.ssn like '078%'",
    "select count(*) from customers /* /* */ */ where ssn like '078%'",
    "select count(*) from customers where 'table' <> '' and ssn like '078%' -- table",
    "select count(*) from (table customers) x where ssn like '078%'",
    "select id from customers where ssn like '078%' order by id",
    "select count(*) from customers where email = 'user1@example.com'",
    "select count(email), count(distinct card), min(ssn), max(score), sum(score), avg(score), stddev(score) from customers",
    "select id from customers order by ssn, id",
    "select id from customers order by score desc nulls last, id",
    "select ssn is null, count(*) from customers group by 1",
    "select length(ssn), upper(email), substr(card, 1, 4), ascii(ssn), md5(ssn), ssn::bytea, ssn || 'x' from customers order by id",
    "select c.id, o.id from customers c join orders o on o.contact = c.email order by 1, 2",
    "select id from orders where contact in (select email from customers) order by 1",
    "select id from orders o where exists (select from customers c where c.email = o.contact) order by 1",
    "select id, (select count(*) from orders o where o.contact = c.email) from customers c order by 1",
    "select row_to_json(c) from customers c order by id",
    "select to_jsonb(customers) from customers order by id",
    "select jsonb_agg(c order by id), array_agg(ssn order by id), string_agg(email, ',' order by id) from customers c",
    "select c from customers c order by c.id",
    "select (c).ssn, (c).* from (select c from customers c) x order by id",
    "select c::text from customers c order by id",
    "select case when ssn > '078-05-1124' then id else -id end from customers order by id",
    "select 1 / (score - 3) from customers where id = 3",
    "select ssn::int from customers where id = 1",
    "select score::smallint, born - date '2000-01-01', extract(year from born), born > date '1970-01-05' from customers order by id",
    "select rank() over (order by score), lag(ssn) over (order by id), count(*) over (partition by ssn) from customers order by id",
    "with x as (select * from customers where ssn like '%1') select count(*) from x",
    "with recursive r as (select id, ssn from customers where id = 1 union all select c.id, c.ssn from customers c join r on c.id = r.id + 1 and c.ssn > r.ssn) select count(*) from r",
    "select id from customers where ssn = '078-05-1121' union select 0 order by 1",
    "select ssn from customers intersect select '078-05-1121' order by 1",
    "select ssn from customers except select '078-05-1121' order by 1",
    "select distinct ssn from customers order by 1",
    "select distinct on (ssn) id from customers order by ssn, id",
    "select id from customers group by id, ssn having max(ssn) > '078-05-1124' order by 1",
    "select id from customers c, lateral (select c.ssn as s) l where l.s like '%4' order by 1",
    "select * from contacts where contact like 'user1%'",
    "select id from everyone where ssn = 'same' order by 1",
    "select e.id from everyone e natural join contacts order by 1",
    "select id from people where ssn is null order by 1",
    "select id from people_1 where ssn is null order by 1",
    "select id from customers where (ssn, email) > ('078-05-1124', '') order by 1",
    "select id from customers where ssn in ('078-05-1121', '078-05-1122') order by 1",
    "select id from customers where ssn between '078-05-1121' and '078-05-1123' order by 1",
    "select id from customers where ssn ~ '1$' or ssn similar to '%2' or ssn ilike '%3' order by 1",
    "select id from customers where coalesce(ssn, 'x') = 'x' or nullif(score, 3) is null order by 1",
    "select greatest(ssn, 'a'), least(score, 0), concat(ssn, email), format('%s', ssn), quote_literal(ssn) from customers order by id",
    "select percentile_cont(0.5) within group (order by score), mode() within group (order by ssn) from customers",
    "select width_bucket(score, 0, 10, 5), count(*) filter (where ssn like '%1') from customers group by 1 order by 1",
    "select id from customers limit (select count(*) from customers where ssn like '%1')",
    "select \"Id\" from other.\"Odd t\" where ssn = 'same' order by 1",
    "select x.\"Id\" from other.\"Odd t\" x where x.ssn = 'same' order by 1",
    "explain (costs off) select id from customers where ssn = 'x'",
    "declare c cursor with hold for select id from customers where ssn like '%1'",
    "copy (select id from customers where ssn like '078%' order by id) to stdout",
    "copy (select id, ssn, born from customers order by id) to stdout with (format csv, header)",
    "prepare p as select count(*) from customers where ssn = $1; execute p('same')",
    "values ((select max(ssn) from customers))",
    "table customers order by id",
    "select 1; select id from customers where ssn = 'same' order by 1; select 2",
    "select id from customers order by id for update",
    "select id from customers c where c.ssn = 'same' for share of c",
    "select a.id from customers a, customers b where a.ssn = b.ssn and a.id < b.id order by 1",
    "select a.id from customers a full join customers b using (ssn) order by 1",
    "select id from customers where ssn collate \"C\" > '078' order by 1",
    "select xmlelement(name x, ssn), xmlforest(ssn, email) from customers order by id",
    "select json_build_object('a', ssn), jsonb_build_array(ssn, score), to_json(ssn) from customers order by id",
    "select hashtext(ssn), pg_column_size(ssn), pg_typeof(ssn) from customers order by id",
    "select unnest(array[ssn, email]) from customers order by 1",
    "select regexp_matches(ssn, '^0'), string_to_array(ssn, '-'), translate(ssn, '0', 'x') from customers order by id",
    "select grouping(ssn), ssn, count(*) from customers group by rollup (ssn) order by 1, 2",
    "select case when id > 0 then ssn else 'x' end, case ssn when 'same' then 1 else 2 end, case when ssn like '078%' then name end from customers order by id",
    "begin; update customers set notes = case when id > 0 then ssn end where id = 1; select notes from customers where id = 1; rollback",
    "select case when id > 0 then ssn || '' end, case when id > 0 then ssn end || 'x' from U&\"customers\" order by id",
    // What changes data.
    "begin; update customers set name = 'x' where ssn like '078%'; rollback",
    "begin; update customers set name = 'x' where id = 1 and (select score from customers where id = 2) > 0 returning id; rollback",
    "begin; update customers set score = score + 1 where id = 3 returning id, score > 0; rollback",
    "begin; update customers set notes = case when ssn is null then 'a' else 'b' end returning notes; rollback",
    "begin; update orders set contact = 'x' from customers c where c.email = contact; rollback",
    "begin; update orders set contact = 'x' where contact in (select email from customers); rollback",
    "begin; update customers c set name = 'x' where row_to_json(c)::text like '%078%'; rollback",
    "begin; update customers c set name = 'x' where c is not null; rollback",
    "begin; update everyone set name = 'x' where ssn = 'same'; rollback",
    "begin; update people_1 set id = id where ssn is null; rollback",
    "begin; delete from customers where ssn like '078%'; rollback",
    "begin; delete from orders using customers c where c.email = orders.contact; rollback",
    "begin; delete from orders o where exists (select from customers c where c.email = o.contact); rollback",
    "begin; delete from customers where id = 1 returning upper(ssn), ssn is null; rollback",
    "begin; delete from orders using (select id, email as e from customers) c where c.e = contact; rollback",
    "begin; delete from orders using contacts natural join (select contact from orders) z where orders.id = contacts.id; rollback",
    "begin; insert into orders select id, id, 'x' from customers where ssn is null and id > 100; rollback",
    "begin; insert into orders select id + 100, id, 'x' from customers order by ssn limit 1 returning id; rollback",
    "begin; insert into orders select distinct on (ssn) id + 100, id, 'x' from customers; rollback",
    "begin; insert into orders select (select count(*) from customers where ssn = 'same') + 100, 1, 'x' returning id; rollback",
    "begin; insert into customers (id) values (1) on conflict (id) do update set name = 'x' where customers.ssn = 'same'; rollback",
    "begin; insert into customers (id) values (1) on conflict (id) do update set name = 'x' returning customers.score + 0; rollback",
    "begin; merge into orders o using customers c on c.email = o.contact when matched then delete; rollback",
    "begin; merge into orders o using customers c on c.id = o.id when matched and c.ssn = 'same' then do nothing when matched then delete; rollback",
    "begin; merge into customers c using orders o on c.id = o.id when matched and c.ssn = 'same' then update set name = 'x'; rollback",
    "begin; with x as (update customers set name = 'x' where ssn = 'same' returning id) select count(*) from x; rollback",
    "begin; with x as (delete from orders returning id) select count(*) from x join customers c using (id) where c.ssn = 'same'; rollback",
    "begin; with x as (update customers set name = 'x' returning ssn) select count(*) from x where ssn = 'same'; rollback",
    "begin; with x as (update customers set name = 'x' returning ssn) select count(distinct ssn) from x; rollback",
    "begin; explain (costs off, analyze, timing off, summary off) delete from orders where id in (select score from customers); rollback",
    "prepare d as delete from orders where id in (select score from customers); begin; execute d; rollback",
    "begin; create table laundered as select id from customers where ssn = 'same'; select count(*) from laundered; rollback",
    "begin; select id into laundered2 from customers where ssn = 'same'; select count(*) from laundered2; rollback",
    // What is sent to oneself.
    "listen heard; select pg_notify('heard', ssn) from customers where id = 1; unlisten heard",
    "listen heard; select pg_notify('heard', ssn) from U&\"customers\" where id = 1; unlisten heard",
    "listen heard; begin; update customers set name = name where id = 1 returning pg_notify('heard', ssn); rollback; unlisten heard",
    // ONLY, schemas before columns, COPY.
    "select id from only staff where ssn = 'same' order by 1",
    "select count(*) from only ( staff ) s where s.ssn = 'same'",
    "select count(*) from staff left join only/**/public.staff x using (ssn)",
    "select public.staff.ssn is null, staff.ssn from only public.staff order by public.staff.id",
    "select public.customers.* from public.customers where public.customers.ssn like '078%' order by 1",
    "select \"public\".\"customers\".\"id\" from \"public\".\"customers\" where (\"public\".\"customers\".\"ssn\" = '078-05-1121' and 1=1)",
    "select count(*) from orders o, public.customers where exists (select 1 where public.customers.email = o.contact)",
    "select public.customers.id from public.customers where exists (select 1 from orders customers where public.customers.email = customers.contact)",
    "copy customers to stdout",
    "copy public.customers (ssn, id) to stdout with (format csv, force_quote (ssn))",
    "copy staff (ssn) to stdout",
    "copy people_1 to stdout (header)",
    // NULL in texts that are sent as they are.
    "select id, ssn from customers order by id\\; set work_mem = '4MB'",
    "copy (select id, ssn from customers order by id) to stdout (format csv)\\; set work_mem = '4MB'",
    "copy (select ssn from customers order by id) to stdout (format csv, header)\\; set work_mem = '4MB'",
    "copy (select id, ssn, score from customers order by id) to stdout\\; set work_mem = '4MB'",
    "copy (select id, ssn from customers order by id for update) to stdout",
    "begin; declare n cursor for select id, ssn from customers order by id for update; fetch all n; rollback",
    "begin\\; declare n cursor for select id, ssn from customers order by id\\; set local work_mem = '4MB'; fetch all n; rollback",
    "prepare n as select id, ssn from customers order by id\\; set work_mem = '4MB'; execute n",
    "begin; declare n cursor for select id, ssn from customers order by id; fetch 4 n; rollback",
    // Several in one text.
    "begin\\; select count(*) from customers where ssn like '078%'\\; commit",
    "set search_path = other\\; select count(*) from \"Odd t\" where ssn = 'same'\\; reset search_path",
    "begin\\; set local search_path = other, public\\; commit\\; select count(*) from people where ssn = 'same'",
    "prepare q1 as select count(*) from customers where ssn like '078%'\\; execute q1",
    "prepare q2 as select count(*) from customers where ssn like '078%'\\; set work_mem = '4MB'; execute q2",
    // Computed of what is hidden.
    "select id from cards where last = '1' order by 1",
    "select last, count(*) from cards group by last",
    "copy cards (id, last) to stdout",
    // What is not rewritten.
    "select id from only customers where ssn = 'same' order by 1",
    "select id from only customers order by ssn, id",
    "select public.customers.id from public.customers where public.customers.ssn = 'same'",
    "select count(*) from customers tablesample bernoulli (100) where ssn = 'same'",
    "select count(*) from U&\"customers\" where ssn = 'same'",
    "select count(*) from (select distinct ssn from only customers) x",
    "select count(*) from (select ssn from only customers union select 'same') x",
    "select ssn from only customers order by 1",
    "select ssn as s, id from only customers order by s",
    "select count(*) from only customers group by ssn",
    // Names that the server finds elsewhere than it seems: a column of an outer query goes before an alias, conditions of
    // joins see no neighbours, what is changed is no common table expression, `t.f` is `f(t)`.
    "select id, (select ssn||'' from (select 1 as z) ssn) from U&\"customers\" order by id",
    "select (select email||'' from (select 1 as z) email) from customers order by id",
    "begin; delete from customers where exists (select from (select 1 z) ssn where ssn like '078%2'); rollback",
    "begin; update customers set name = name where id = 1 returning (select ssn||'' from (select 1 z) ssn); rollback",
    "begin; delete from customers where exists (select from (select ''::text as ssn) g, (generate_series(1,1) h join generate_series(1,1) k on ssn like '078%2')); rollback",
    "begin; delete from customers where exists (select from (select ''::text as ssn) customers, (generate_series(1,1) h join generate_series(1,1) k on customers.ssn like '078%2')); rollback",
    "begin; with customers as (select 0 as id, ''::text as name, ''::text as ssn) update customers set name = name where ssn like '078%' returning ssn||''; rollback",
    "begin; with customers as (select 0 as id, ''::text as ssn) delete from customers where ssn like '078%'; rollback",
    "select t.row_to_json from (select ssn, 1 + 1 from U&\"customers\" order by id) t",
    "select * from (select case when true then ssn else ssn end from U&\"customers\" where id = 1) a full join (values ('x')) b(ssn) using (ssn) order by 1",
    // Places of expressions that are easily forgotten.
    "select count(*) from (values (1),(2),(3),(4),(5),(6),(7),(8),(9),(10),(11),(12) limit (select length(ssn) - 1 from U&\"customers\" where id = 1)) v",
    "begin; insert into orders (id) values (101),(102),(103),(104),(105),(106),(107),(108),(109),(110),(111) limit (select length(ssn) - 1 from customers where id = 3); rollback",
    "select max(c) from (select count(*) over (order by g rows between (select ascii(ssn) from U&\"customers\" where id = 3) preceding and current row) c from generate_series(1,1000) g) x",
    "select max(c) from (select count(*) over w c from generate_series(1,1000) g window w as (order by g rows (select ascii(ssn) from U&\"customers\" where id = 3) preceding)) x",
    "begin; create temp table mine(a int[]); insert into mine(a[(select ascii(ssn) from customers where id = 3)]) values (7) returning array_lower(a, 1); rollback",
    "select count(*) from U&\"customers\" natural join unnest(array['078-05-1121']) ssn",
    "begin; create temp table g(ssn text); insert into g values ('same'); update orders set contact = 'x' from (customers natural join g) where orders.id = 1; rollback",
    // A recursive query, whose columns change places.
    "with recursive r(n, a, b) as (select 1, ''::text, ssn from U&\"customers\" union all select n + 1, b, b from r where n < 3 and a not like '078%') select count(*) from r",
    // A column to servers before PostgreSQL 16.
    "select max(system_user) from (select ssn as system_user from U&\"customers\" where id = 1) x",
    "select system_user from (select email||'' as system_user from customers order by id) x",
    "begin; delete from customers where exists (select 1 from (select customers.ssn as system_user) l where system_user like '078%1'); rollback",
    "select count(*) from (select ssn as system_user from U&\"customers\") x group by system_user",
];

/// Their neighbours, which tell nothing: answered as without a gateway.
const INNOCENT: &[&str] = &[
    "select id, name from customers where name like 'Name%' order by id",
    "select c.id, c.name, o.contact from customers c join orders o on o.customer = c.id order by 1",
    "select count(*) from customers",
    "select max(name), min(id) from customers",
    "select contact from orders where contact like 'user1%' order by 1",
    "with x as (select id, name from customers) select name from x order by id desc limit 3",
    "select upper(name) from customers where id = 2",
    "select id from contacts order by id",
    "select id from people order by id",
    "select customers.id from customers order by customers.id",
    "select * from orders order by id",
    "copy (select id, name from customers order by id) to stdout",
    "explain (costs off) select id from orders where contact = 'x'",
    "select name from customers where id = 3 for update",
    "begin; update customers set ssn = 'new', email = null where id = 2 returning id, name; rollback",
    "begin; delete from customers where name like 'Name%' returning id; rollback",
    "begin; insert into customers (id, name, ssn) values (100, 'x', 'y') returning id; rollback",
    "begin; insert into customers (id, ssn) values (1, 'y') on conflict (id) do update set ssn = excluded.ssn returning id; rollback",
    "begin; update orders set contact = c.name from customers c where c.id = customer returning orders.id, contact; rollback",
    "begin; delete from orders using customers c where c.id = customer and c.name = 'Name 1' returning c.name; rollback",
    "begin; merge into customers c using orders o on c.id = o.id when matched then update set ssn = 'x'; rollback",
    "begin; insert into orders select id + 100, id, name from customers where name < 'Name 3' order by name returning *; rollback",
    "select id from only customers where name = 'Name 1'",
    "select id as n from only customers order by n",
    "select public.customers.id from public.customers order by 1",
    "select \"public\".\"customers\".\"id\", \"public\".\"customers\".\"name\" from \"public\".\"customers\" where (\"public\".\"customers\".\"name\" = 'Name 1' and 1=1) order by \"public\".\"customers\".\"id\" asc",
    "select id from only staff order by 1",
    "select id from only(staff) x order by 1",
    "select id from staff order by 1",
    "select level from only managers where managers.level > 5",
    "begin\\; select id from customers where name = 'Name 1'\\; savepoint a\\; show search_path\\; rollback",
    "copy customers (name, id) to stdout",
    "copy staff (id) to stdout",
    "copy cards (id) to stdout (format csv, header)",
    "copy managers (level) to stdout",
    "copy (select public.staff.id from only public.staff) to stdout",
    "select id, (select name||'' from (select 1 as z) q) from U&\"customers\" order by id",
    "begin; delete from customers where exists (select from (select 1 as n) z where z.n = 1) and id = 1 returning id; rollback",
    "begin; delete from customers where exists (select from (select 'x'::text as n) g, (generate_series(1,1) h join generate_series(1,1) k on name = 'Name 2')) returning id; rollback",
    "begin; with c as (select 1 as id) update customers set name = 'x' from c where c.id = customers.id returning customers.id, name; rollback",
    "select count(*) from (values (1),(2),(3) limit (select id from U&\"customers\" where id = 2)) v",
    "select max(c) from (select count(*) over w c from generate_series(1,20) g window w as (order by g rows (select id from U&\"customers\" where id = 3) preceding)) x",
    "begin; create temp table mine(a int[]); insert into mine(a[(select id from customers where id = 3)]) values (7) returning array_lower(a, 1); rollback",
    "select system_user from (select name as system_user from U&\"customers\" order by id) x",
    "select id, json_object(array['a', name]) from customers order by id",
    // Where names alone would be too coarse.
    "begin; update customers set ssn = v.ssn from (values (1, 'x')) v (id, ssn) where v.id = customers.id returning customers.id; rollback",
    "begin; update customers set ssn = f.ssn from jsonb_to_recordset('[{\"id\":2,\"ssn\":\"x\"}]') f (id int, ssn text) where f.id = customers.id returning customers.name; rollback",
    "begin; delete from orders where exists (select * from customers c where c.id = customer and c.name < 'Name 3') returning id; rollback",
    "begin; with u as (update customers set name = 'x' where id < 3 returning id, ssn) select id from u order by id; rollback",
    "begin; create temp table mine(id int, ssn text); insert into mine values (1, 'x'); update mine m set ssn = 'y' from customers c where c.id = m.id and m.ssn = 'x' returning m.ssn, c.name; rollback",
    "select nothing from customers",
    "select id, name fro customers",
];

#[test]
fn answers_do_not_depend_on_what_is_hidden() {
    let tells_nobody = tell_nothing(&world(), HOSTILE, OTHERWISE);
    assert!(tells_nobody.len() <= 8, "{tells_nobody:#?}");
}

/// Asks over the one and the other hidden values. Answers those statements of which the answers do not differ for somebody who
/// may see these either: they are no tests.
fn tell_nothing<'s>(w: &World, statements: &[&'s str], otherwise: &str) -> Vec<&'s str> {
    let agent = w.token("ci-bot", &["agents"], &[]);
    let all = |who: &str| {
        let mut psql = Asked::new(w.psql_command(who));
        statements.iter().map(|statement| psql.says(statement)).collect::<Vec<_>>()
    };
    let reader = w.token("eve", &["pii-readers"], &[]);
    let (before, seen_before) = (all(&agent), all(&reader));
    w.postgres.exec(otherwise).unwrap();
    let (after, seen_after) = (all(&agent), all(&reader));
    let mut told = Vec::new();
    let mut tells_nobody = Vec::new();
    for (n, statement) in statements.iter().enumerate() {
        println!("{statement}\n{}", before[n]);
        if before[n] != after[n] {
            told.push(format!("{statement}\n{}\n{}", before[n], after[n]));
        }
        if seen_before[n] == seen_after[n] {
            tells_nobody.push(*statement);
        }
    }
    assert!(told.is_empty(), "{} tell:\n{}", told.len(), told.join("\n\n"));
    println!("the same for those who may see it: {tells_nobody:#?}");
    tells_nobody
}

#[test]
fn innocent_neighbours_pass_as_they_are() {
    pass_as_they_are(&world(), INNOCENT);
}

/// They are answered as without a gateway.
fn pass_as_they_are(w: &World, statements: &[&str]) {
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    let mut direct = Command::new("psql");
    direct.args(["-X", "-A", "-t"]).envs(w.postgres.client_env());
    let mut direct = Asked::new(direct);
    for statement in statements {
        assert_eq!(agent.says(statement), direct.says(statement), "{statement}");
    }
}

#[test]
fn a_policy_permits_by_name_to_decide_by_a_masked_column() {
    let w = world();
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    let mut support = Asked::new(w.psql_command(&w.token("sam", &["support"], &[])));
    let by_email = "delete from customers where email = 'user3@example.com' returning id, email";
    // A permit for every action does not name it.
    let refused = agent.says(by_email);
    assert!(refused.contains("depends on the masked column `public.customers.email`"), "{refused}");
    let done = support.says(&format!("begin; {by_email}; rollback"));
    assert!(done.contains("\n3|[masked]\n") || done.contains("\n3|["), "{done}");
    assert!(!done.contains("user3"), "{done}");
    // Of a view it is the same column; another column is another.
    let view = support.says("begin; delete from everyone where email = 'user3@example.com' returning id; rollback");
    assert!(view.contains("\n3\n"), "{view}");
    for other in [
        "delete from customers where ssn = '078-05-1121'",
        "delete from everyone where email = 'user3@example.com' and ssn is null",
        "delete from orders using customers c where c.email = contact and c.score > 1",
    ] {
        let refused = support.says(other);
        assert!(refused.contains("depends on the masked column"), "{other}: {refused}");
    }
    // Queries are rewritten for them as for everybody.
    assert!(support.says("select count(*) from customers where email = 'user3@example.com'").contains("\n0\n"));
}

#[test]
fn a_mask_is_not_written_over_what_it_hides() {
    let w = world();
    let token = w.token("ci-bot", &["agents"], &[]);
    let mut agent = Asked::new(w.psql_command(&token));
    for lost in [
        "update customers set ssn = '[masked]' where id = 1",
        "update customers set name = 'x', ssn = '[masked]'::text where id = 1",
        "update everyone set ssn = upper(U&'[masked]') where id = 1",
        "insert into customers (id, ssn) values (50, 'x'), (51, '[masked]')",
        "insert into customers values (50, 'x', 'y', '[masked]')",
        "insert into customers (id) values (1) on conflict (id) do update set ssn = '[masked]'",
        "with x as (update customers set ssn = '[masked]' where id = 1 returning id) select * from x",
        "merge into customers c using orders o on c.id = o.id when matched then update set ssn = '[masked]'",
        "prepare p as update customers set ssn = $1 where id = 1; execute p('[masked]')",
    ] {
        let refused = agent.says(lost);
        assert!(
            refused.contains("refused: it would write the mask `[masked]` into the masked column"),
            "{lost}: {refused}"
        );
    }
    for kept in [
        "begin; update customers set ssn = 'masked' where id = 1; rollback",
        "begin; update customers set name = '[masked]' where id = 1; rollback",
        "begin; insert into orders (id, contact) values (100, '[masked]'); rollback",
    ] {
        let done = agent.says(kept);
        assert!(done.contains("UPDATE 1") || done.contains("INSERT 0 1"), "{kept}: {done}");
    }
    let mut wire = veiled::wire::Wire::new(&w, &token);
    let error = wire.bound("update customers set ssn = $1 where id = $2::int", &["[masked]", "1"]).error;
    assert!(error.as_ref().is_some_and(|e| e.contains("write the mask")), "{error:?}");
    assert_eq!(wire.bound("update customers set ssn = $1 where id = $2::int", &["[mask]", "1"]).error, None);
    assert_eq!(wire.bound("update customers set name = $1 where id = $2::int", &["[masked]", "1"]).error, None);
    assert_eq!(w.postgres.query("select count(*) from customers where ssn like '078%'").unwrap(), "8");
}
