//! The same of the newest server, and what only that understands.
use super::{HOSTILE, OTHERWISE, tell_nothing, veiled::world_of};
use doorward_testkit::PostgresRelease;

const TABLES: &str = "
create table virtuals(id int primary key, ssn text, last text generated always as (right(ssn, 1)) virtual);
insert into virtuals select g, '078'||g from generate_series(1, 8) g;
";

const MORE: &str = "update virtuals set ssn = 'x'||id % 2;";

/// As they were before PostgreSQL 18 they are errors of its grammar.
const NEW: &[&str] = &[
    "begin; update customers set name = 'x' where id = 1 returning old.ssn || 'x'; rollback",
    "begin; update customers set name = 'x' returning with (old as o, new as n) o.ssn is null, n.id; rollback",
    "begin; update customers set ssn = 'x' where id = 1 returning old, new; rollback",
    "begin; update customers set ssn = 'x' where id = 1 returning old.*, new.id; rollback",
    "begin; delete from customers where id = 1 returning (select old.ssn || ''); rollback",
    "begin; insert into customers (id) values (3) on conflict (id) do update set name = 'x' returning old.score + 1; rollback",
    "begin; update customers set name = 'x' where id < 4 returning old.ssn, new.email, old.score; rollback",
    "begin; with x as (update customers set name = 'x' returning old.ssn as s, new.id) select id from x where s like '078%'; rollback",
    "begin; merge into customers c using orders o on c.id = o.id when matched then update set name = 'x' returning merge_action(), c.ssn, old.email, new.id; rollback",
    "begin; merge into customers c using orders o on c.id = o.id when matched then update set name = 'x' returning upper(c.ssn), old.score > 3; rollback",
    "begin; merge into customers c using orders o on c.id = o.id + 100 when not matched by source and c.ssn like '078%' then delete; rollback",
    "begin; merge into orders o using customers c on c.id = o.id when matched then delete returning c.ssn || ''; rollback",
    "begin; with x as (merge into customers c using orders o on c.id = o.id when matched then update set name = 'x' returning old.ssn as s, new.id as i) select i from x where s is null; rollback",
    "select x.* from customers c, json_table(to_jsonb(c.ssn), '$' columns (v text path '$')) x order by 1",
    "select c.id from customers c, json_table(to_jsonb(c), '$' columns (v text path '$.ssn', nested path '$' columns (w int path '$.score'))) x where v like '078%' order by 1",
    "select json_value(to_jsonb(c), '$.ssn'), json_exists(to_jsonb(c), '$.ssn ? (@ starts with \"078\")'), json_query(to_jsonb(c), '$.email') from customers c order by id",
    "select json_value(to_jsonb(id), '$' default score on empty) from customers order by id",
    "select json_scalar(ssn), json_serialize(json(to_jsonb(ssn)::text)), json_object('a': ssn), json_array(ssn, score) from customers order by id",
    "select json_objectagg(id: ssn), json_arrayagg(ssn order by id), any_value(ssn) from customers",
    "select ssn is json, ssn is json object from customers order by id",
    "select id from virtuals where last = '1' order by 1",
    "select last, count(*) from virtuals group by 1 order by 1",
    "select v, v.last || '' from virtuals v order by id",
    "begin; update virtuals set id = id + 100 where last = '1' returning id; rollback",
    "copy (select * from virtuals order by id) to stdout",
    "select casefold(ssn), reverse(ssn::bytea), crc32(ssn::bytea), gamma(score + 10) from customers order by id",
    "explain (costs off) select id from customers where ssn like '078%'",
];

const INNOCENT: &[&str] = &[
    "begin; update customers set name = 'x' where id = 1 returning old.name, new.name, new.id; rollback",
    "begin; merge into customers c using orders o on c.id = o.id when matched and c.id < 3 then update set name = 'x' returning merge_action(), old.name, new.name; rollback",
    "begin; insert into orders values (1, 1, 'x') on conflict (id) do update set contact = excluded.contact returning old.contact, new.contact; rollback",
    "select x.v from orders o, json_table(to_jsonb(o), '$' columns (v text path '$.contact')) x order by 1",
    "select id from virtuals order by id",
    "select json_value(to_jsonb(name), '$') from customers order by id",
];

#[test]
fn the_newest_server_tells_nothing_either() {
    let w = world_of(PostgresRelease::Npm18);
    w.postgres.exec(&format!("set role {};\n{TABLES}", w.postgres.user())).unwrap();
    let statements: Vec<&str> = HOSTILE.iter().chain(NEW).copied().collect();
    let tells_nobody = tell_nothing(&w, &statements, &format!("{OTHERWISE}{MORE}"));
    assert!(tells_nobody.len() <= 14, "{tells_nobody:#?}");
}

#[test]
fn innocent_neighbours_pass_at_the_newest_server() {
    let w = world_of(PostgresRelease::Npm18);
    w.postgres.exec(&format!("set role {};\n{TABLES}", w.postgres.user())).unwrap();
    super::pass_as_they_are(&w, super::INNOCENT);
    super::pass_as_they_are(&w, INNOCENT);
}
