//! Of columns whose mask shows something, a query finds, sorts and computes by what is shown; where the server cannot make that, by
//! nothing.
use super::{
    common::World,
    veiled::{Asked, over, wire::Wire},
};
use doorward_testkit::Postgres;

const TABLES: &str = "
create table accounts(id int primary key, iban text, phone varchar(20), born date, seen timestamp(0), mail text, code char(12),
    at timestamptz, n int, long text, flag bool);
insert into accounts select g, 'DE'||(1000 * g)||'-'||lpad(g::text, 4, '0'), case when g < 3 then 'short' else '+49 30 '||(1000 + g) end,
    date '1970-01-01' + g, timestamp '1970-03-01 10:00:00' + g * interval '1 hour', 'user'||g||'@example.com', 'abc'||g||'ef',
    '1970-01-01 10:00:00+00', g, 'something '||g||' long', g < 3 from generate_series(1, 8) g;
insert into accounts values (9); insert into accounts values (10, '', '', '0044-03-15 BC', 'infinity', '', '', '-infinity'); insert into accounts values (11, 'ÄÖÜß-0007', 'x', '5874897-12-31', '20000-01-01');
create index on accounts (n, iban);
create table spare(iban text, n int); insert into spare select iban, n / 4 from accounts; create index on spare (n, iban);
create table hashed(id int primary key, name text, mail text); create index on hashed (name, mail);
insert into hashed select g, 'x', 'user'||g||'@example.com' from generate_series(1, 8) g;
create table u6(iban text, born text, mail text, phone text);
create view mailed as select id, mail from accounts;
create view mixed as select mail from accounts union all select current_setting('application_name');
create view numbers as select id, iban as number, upper(mail) as mail from accounts;
";

const MORE: &str = "
update accounts set iban = case when id < 9 then reverse(left(iban, 7))||right(iban, 4) when id = 11 then 'abcd-0007' else iban end,
    phone = translate(left(phone, 6), 'short+49 30', 'trohs+12 65')||right(phone, greatest(length(phone) - 6, 0)), born = case when id < 9 then date '1970-12-31' - id else born end,
    seen = case when id < 9 then timestamp '1970-03-31 10:00:00' - id * interval '1 hour' else seen end,
    n = -n, flag = not flag;
update hashed set mail = 'user'||(9 - id)||'@example.com'; update accounts set at = at + interval '2 hours' where id < 9;
update spare set iban = translate(left(iban, 7), '12345678', '87654321')||right(iban, 4) where length(iban) = 11;
";

const TAGS: &str = r#"tags = { "public.accounts.iban" = ["pii", "mask:partial:4"], "public.accounts.phone" = ["pii", "mask:partial:4"],
"public.accounts.born" = ["pii", "mask:date:year"], "public.accounts.seen" = ["pii", "mask:date:month"], "public.accounts.mail" = ["pii", "mask:hash"],
"public.accounts.code" = ["pii", "mask:partial:2"], "public.accounts.at" = ["pii", "mask:date:day"], "public.accounts.n" = ["pii", "mask:partial:4"],
"public.accounts.long" = ["pii", "mask:partial:9"], "public.accounts.flag" = ["pii", "mask:hash"], "public.spare.iban" = ["pii", "mask:partial:4"],
"public.hashed.mail" = ["pii", "mask:hash"] }"#;

/// They would tell more than the masks.
const HOSTILE: &[&str] = &[
    "set enable_seqscan = off; set enable_bitmapscan = off; select id from hashed where name = 'x'; reset all",
    "set timezone = 'AAA0BBB,J100/10:30:15,J1/11:00:00'; select at from accounts where id < 9 order by id; reset timezone",
    "set timezone = '<x>-05:30'; select at from accounts where id < 9 order by id; reset timezone",
    "select born from accounts where id < 9 union all select timestamptz '1970-01-01'",
    "select case when true then seen else timestamptz '1970-01-01' end from accounts where id < 9 order by id",
    "select id from accounts where iban like 'DE1%' order by 1",
    "select id, iban from accounts order by iban, id",
    "select iban, count(*) from accounts group by 1 order by 1",
    "select max(iban), min(phone), min(born), max(seen), sum(n), bool_or(flag) from accounts",
    "select upper(iban), left(iban, 3), ascii(phone), iban || 'x', md5(iban), length(phone) from accounts order by id",
    "select id, born < '1970-06-01', seen > '1970-03-10', n > 3, flag from accounts order by id",
    "select iban::int from accounts where id = 1",
    "select 1 / (n + 3) from accounts where id = 3",
    "select row_to_json(a) from (select iban, phone, born, seen, n, flag from accounts order by id) a",
    "select a.id from accounts a join accounts b on a.phone < b.phone and a.id = 1 + b.id order by 1",
    "select number from numbers where number < 'M' order by id",
    "copy (select id, iban, phone, born, seen, n from accounts order by id) to stdout",
    "copy accounts (id, iban, phone, born, seen, n) to stdout",
    "copy spare (n) to stdout",
    "copy hashed (id, mail) to stdout with (null 'user1@example.com')",
    "copy accounts (id, iban) to stdout null 'DE1000-0001'",
    "copy (select born from accounts) to stdout (null '1970-01-02')",
    "copy (update accounts set code = code where id < 3 returning iban) to stdout (null 'DE1000-0001')",
    "copy (update accounts set code = code where id < 3 returning iban, phone) to stdout (header 'OFF')",
    "copy hashed (id, mail) to stdout (format csv, quote (\"1\"))",
    "copy hashed (id, mail) to stdout (null (\"user1@example.com\"))",
    "copy hashed (id, mail) to stdout (null 1.50)",
    "copy accounts (id, iban, born) to stdout with (format csv)",
    "declare c cursor with hold for select id from accounts where phone like '%9 %' order by 1",
    "select rank() over (order by iban), rank() over (order by born), lag(phone) over (order by id) from accounts order by id",
    "set enable_seqscan = off; select id from accounts where n is not null limit 4; reset enable_seqscan",
    "set enable_seqscan = off; set enable_sort = off; select n, iban from spare where n = 1; reset all",
    "set enable_seqscan = off; select n from spare where n = 1 and iban like '%02'; reset all",
    "select id from accounts where mail like 'user1%' or true",
    "explain (costs off) select id from accounts where iban like 'DE%'",
    // A name of a column that is another's to the server.
    "create temp table u6(x text)",
    "insert into u6 values ('x')",
    "select (select iban from u6) from accounts where id < 9 order by id",
    "select (select born from u6) from accounts where id < 9 order by id",
    "select (select mail from u6) from accounts where id < 9 order by id",
    "select id from accounts where (select iban from u6) like 'DE1%' order by 1",
    "select id from accounts order by (select mail from u6), id",
    "copy (select (select phone from u6) from accounts where id < 9 order by id) to stdout",
];

/// What the server cannot make may be shown, and nothing else.
const REFUSED: &[(&str, &str)] = &[
    ("select id from accounts where mail = 'user1@example.com'", "mail"),
    ("select id from accounts order by mail", "mail"),
    ("select upper(mail) from accounts", "mail"),
    ("select count(distinct mail) from accounts", "mail"),
    ("select id from accounts group by id, mail", "mail"),
    ("select 1 / (length(mail) - 3) from accounts", "mail"),
    ("select a.id from accounts a join accounts b using (mail)", "mail"),
    ("select row_to_json(a) from accounts a", "at"),
    ("select id from (select id, mail as m from accounts) x where m like 'u%'", "mail"),
    ("select mail from accounts union select 'x'", "mail"),
    ("select id from accounts where code like 'abc1%'", "code"),
    ("select id from accounts where at < now()", "at"),
    ("select id from accounts where long like '%1%'", "long"),
    ("select id from mailed where mail = 'X'", "mail"),
    ("prepare q as select id from accounts where mail = $1", "mail"),
    ("with x as (select * from accounts) select id from x where mail > 'a'", "mail"),
    ("select (select mail from accounts where id = 1)", "mail"),
    ("select id from accounts natural join numbers", "mail"),
    ("explain (costs off) select id from accounts where mail = 'x'", "mail"),
    ("begin; select id from accounts where mail = 'x'; commit", "mail"),
];

fn accounts() -> World {
    let postgres = Postgres::options().setting("autovacuum", "off").setting("jit", "off").start().unwrap();
    let world = over(postgres, TAGS);
    world.postgres.exec(&format!("set role {};\n{TABLES}", world.postgres.user())).unwrap();
    world
}

#[test]
fn what_a_mask_shows_is_all_that_a_query_sees() {
    let w = accounts();
    let (agent, reader) = (w.token("ci-bot", &["agents"], &[]), w.token("eve", &["pii-readers"], &[]));
    let all = |who: &str| {
        let mut psql = Asked::new(w.psql_command(who));
        HOSTILE.iter().map(|statement| psql.says(statement)).collect::<Vec<_>>()
    };
    let (before, seen_before) = (all(&agent), all(&reader));
    w.postgres.exec(MORE).unwrap();
    let (after, seen_after) = (all(&agent), all(&reader));
    let mut same = 0;
    for (n, statement) in HOSTILE.iter().enumerate() {
        println!("{statement}\n{}", before[n]);
        assert_eq!(before[n], after[n], "{statement}");
        same += usize::from(seen_before[n] == seen_after[n]);
    }
    assert!(same <= 3, "{same} tell nobody anything");
}

#[test]
fn what_a_mask_shows_is_found() {
    let w = accounts();
    let token = w.token("ci-bot", &["agents"], &[]);
    let mut agent = Asked::new(w.psql_command(&token));
    for (statement, wanted) in [
        ("select id, iban from accounts where iban like '%0003'", "3|*******0003"),
        ("select id from accounts where iban = '*****0007'", "11"),
        ("select id, phone from accounts where phone = '*****' order by id", "1|*****\n2|*****"),
        ("select count(*) from accounts where born = '1970-01-01'", "8"),
        ("select born, count(*) from accounts where id < 9 group by born", "1970-01-01|8"),
        ("select seen from accounts where seen = '1970-03-01' and id = 1", "1970-03-01 00:00:00"),
        ("select id from accounts where born is null and seen is null order by id", "9\n10\n11"),
        ("select born, seen from accounts where id = 11", "|"),
        (
            "select id from accounts where pg_typeof(iban) = 'text'::regtype and pg_typeof(phone) = 'varchar'::regtype \
             and pg_typeof(born) = 'date'::regtype and pg_typeof(seen) = 'timestamp'::regtype and id = 1",
            "1",
        ),
    ] {
        let said = agent.says(statement);
        assert!(said.contains(&format!("\n{wanted}\n")), "{statement}: {said}");
    }
    // Shown as it is: so many, each other.
    let hashes = agent.says("select mail from accounts where id < 9 order by id");
    let hashes: Vec<&str> = hashes.lines().filter(|line| line.starts_with("h:")).collect();
    assert_eq!(hashes.len(), 8, "{hashes:?}");
    assert!(agent.says("select * from accounts where id = 3").contains(hashes[2]));
    assert!(agent.says("select code, at, long from accounts where id = 3").contains("|1970-01-01 00:00:00+00|*"));
    // Through a view it is the same one, where the view does nothing with it; what is made of it is other.
    let mailed = agent.says("select mail from mailed where id = 3");
    assert!(mailed.contains(hashes[2]), "{mailed}");
    for statement in [
        "select mail from numbers where id = 3",
        "select mail from mixed limit 1",
        "select mail from accounts where id = 3 union all select 'user3@example.com'",
        "select x.mail from (select mail from accounts where id = 3 union all select 'user3@example.com') x",
        "with accounts as (select mail from accounts union all select 'u') select accounts.mail from accounts limit 1",
        "copy (select mail from accounts where id = 3 union all select 'user3@example.com') to stdout",
        "copy hashed (id) to stdout \\; copy (select mail from accounts where id = 3 union all select 'user3@example.com') to stdout",
    ] {
        let said = agent.says(statement);
        // What goes by the name of such a column further out counts as deciding by it.
        let is_refused = said.contains("refused: what it does depends on the masked column `public.accounts.mail`");
        let may_be_refused = statement.contains(") x") || statement.contains("with ");
        assert!(said.contains("\n[masked]\n") || (is_refused && may_be_refused), "{statement}: {said}");
        assert!(!said.contains("h:"), "{statement}: {said}");
    }
    let said = agent.says("copy hashed (id, mail) to stdout (format csv, header \"False\")");
    assert_eq!(said.matches("\"h:").count(), 8, "no first row goes for a header: {said}");
    for odd in ["format (binary)", "header 'odd'", "null *", "format csv, quote (\"1\")"] {
        let said = agent.says(&format!("copy hashed (id, mail) to stdout ({odd})"));
        assert!(said.contains("its data could not be masked"), "{odd}: {said}");
    }
    let said = agent.says("copy hashed (id, mail) to stdout (null 'x')");
    assert!(
        said.contains("values of the masked column `public.hashed.mail` could not be told from its NULL"),
        "{said}"
    );
    for (statement, wanted) in [
        ("copy (select id, name, null from hashed where id = 3) to stdout null 'none'", "3\tx\tnone"),
        ("copy (select mail from hashed where false) to stdout (format csv, null 'x', header)", "mail"),
        ("copy (select mail from hashed where false) to stdout (format csv, null 'x', header 'ON')", "mail"),
        ("copy (select id, mail from hashed where id = 3) to stdout csv header force quote *", "id,mail"),
    ] {
        let said = agent.says(statement);
        assert!(said.contains(&format!("{wanted}\n")), "{statement}: {said}");
    }
    // Of several masks none is right.
    let several = agent.says("select mail from accounts where id < 9 union all select long from accounts where id < 9");
    assert!(several.contains("[masked]") && !several.contains("h:") && !several.contains("long"), "{several}");
    // The other format has the same.
    let mut wire = Wire::new(&w, &token);
    let answer = wire.bound("select iban from accounts where iban = $1", &["*******0003"]);
    assert_eq!(answer.error, None);
    let shown = format!("{:?}", answer.beginning);
    assert!(shown.contains("*******0003"), "{shown}");
}

#[test]
fn what_the_server_cannot_make_decides_nothing() {
    let w = accounts();
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    for (statement, column) in REFUSED {
        let refused = agent.says(statement);
        assert!(
            refused.contains("depends on the masked column `public.") && refused.contains(&format!(".{column}`")),
            "{statement}: {refused}"
        );
        agent.says("rollback");
    }
    let mut reader = Asked::new(w.psql_command(&w.token("eve", &["pii-readers"], &[])));
    for (statement, _) in REFUSED {
        let done = reader.says(statement);
        assert!(!done.contains("refused"), "{statement}: {done}");
        reader.says("rollback");
    }
}
