//! A change does not tell by failing, by locks or by counts what the hidden columns of its rows hold.
use crate::veiled::{Asked, over};
use doorward_testkit::Postgres;

const TABLES: &str = "
create table pay(id int primary key, name text, factor int, salary int, cap int, total int generated always as (factor * salary) stored,
    words text generated always as (name || ' ' || coalesce(mail, '')) stored, mail text,
    check (cap <= salary), check (factor > 0), check (salary > 0));
insert into pay (id, name, factor, salary, cap, mail) select g, 'N'||g, 1, 1000 * g, 1, 'm'||g from generate_series(1, 4) g;
create table spread(factor int, salary int) partition by range ((factor * salary));
create table spread_1 partition of spread for values from (0) to (1000000); insert into spread values (1, 5000);
create table known(id int primary key, name text, mail text unique); insert into known select g, 'N'||g, 'm'||g from generate_series(1, 4) g;
create table referring(mail text references known(mail)); insert into referring values ('m1');
create view of_pay as select id, cap, name from pay; create view of_known as select id, mail from known;
create table plainly(id int primary key, cap int check (cap < 100), ssn text); insert into plainly values (1, 1, '078-05-1121');
create view of_plainly as select id, cap from plainly;
create table plainly2(id int, t text);
create table ruled(id int, cap int); insert into ruled values (1, 1);
create rule beneath as on update to ruled do instead update plainly set cap = new.cap where id = new.id;
create table searched(id int primary key, name text, ssn text, words tsvector generated always as (to_tsvector('simple'::regconfig, name || ' ' || ssn)) stored,
    short varchar(20) generated always as (name || ssn) stored); insert into searched (id, name, ssn) values (1, 'N1', '078-05-1121');
create table paired(id int primary key, name text, ssn text, unique (name, ssn)); insert into paired values (1, 'N1', '078-05-1121');
create table excluding(id int, a int4range, h int4range, exclude using gist (a with &&, h with &&));
insert into excluding values (1, '[1,5)', '[1,5)'), (2, '[20,25)', '[1,5)');
create table points(x int, y int, primary key (x, y)); insert into points values (1, 1), (2, 1);
create table pointing(id int, x int, y int, foreign key (x, y) references points); insert into pointing values (1, 1, 1);
create table guarded(id int, cap int, salary int); insert into guarded values (1, 1, 100); alter table guarded enable row level security;
alter table guarded force row level security; create policy seen on guarded using (true) with check (cap <= salary);
create view capped as select id, cap, salary from pay where cap <= salary with check option;
create view capped_above as select id, cap from capped;
create view guessing as select * from plainly2 p where exists (select from plainly c where c.ssn = p.t) with check option;
create view checked as select id, cap from plainly where cap < 90 with check option;
create table doing(id int); create rule telling as on insert to doing do also select ssn || '' as told from plainly;
create table indexed(id int primary key, name text, ssn text); create index on indexed (name, ssn);
insert into indexed select g, 'N', (select string_agg(md5(i::text), '') from generate_series(1, 80) i) from generate_series(1, 1) g;
create table parted(id int, ssn text, w text) partition by range (id);
create table parted_1 partition of parted for values from (0) to (100); create table parted_2 partition of parted for values from (100) to (1000);
alter table parted_2 add check (ssn > '078-05-1122'); create unique index on parted_2 (ssn); insert into parted values (1, '078-05-1121', 'w'), (250, 'x', 'w');
create view of_parted as select id, w from parted; create view of_parted_too as select * from parted;
create table pa(id int primary key, w text); insert into pa select g, 'w' from generate_series(1, 4) g;
create table chc(id int primary key, other int references pa on update cascade, p int references pa on update cascade, pay int, check (p <= pay + 100)); insert into chc select g, g, g, g from generate_series(1, 4) g;
create table pd(id int primary key); insert into pd select generate_series(1, 4);
create table chd(id int primary key, p int references pd on delete set null, pay int, check (p is not null or pay > 2)); insert into chd select g, g, g from generate_series(1, 4) g;
create table ck1(id int primary key, a text, pay text, g text generated always as (a || pay) stored, check (g <> 'xzeta')); insert into ck1 (id, a, pay) values (1, 'a', 'zeta');
create table kinds(k text primary key); insert into kinds values ('k1'), ('k2');
create function kind_ok(text) returns boolean language sql as 'select exists(select from kinds where k = $1)';
create table kd(id int primary key, kind text, w text, check (kind_ok(kind))); insert into kd values (1, 'k1', 'w');
create table dated(id int primary key, born text, w text, check (born::date < '2020-01-01')); insert into dated values (1, '01/02/2000', 'w');
create table ruling(id int primary key, n int, w text); alter table ruling enable row level security; alter table ruling force row level security;
create policy seen on ruling for select using (true);
create policy let on ruling for insert with check (n <= (select salary from pay where pay.id = ruling.id));
create function up_pa(int, int) returns int language sql as 'update public.pa set id = $2 where id = $1 returning id';
create table acct(id int primary key, bal int check (bal <= 1000), ssn text); insert into acct values (1, 10, '078-05-1121');
create table paid(id int primary key, acct int, amt int); create table paid_later(id int primary key, acct int, amt int);
create function pays() returns trigger language plpgsql as 'begin update acct set bal = bal + new.amt where id = new.acct; return new; end';
create trigger pays after insert on paid for each row execute function pays();
create constraint trigger pays_later after insert on paid_later deferrable initially deferred for each row execute function pays();
create function add_paid(int, int) returns int language sql as 'insert into paid values ($1, 1, $2) returning id';
create view grown as select id from acct where ssn::date < now();
create function of_grown() returns setof int language sql stable as 'select id from public.grown';
create table inherited(id int not null); create table inheriting(ssn text) inherits (inherited); insert into inheriting values (1, '078-05-1121');
create table above(id int, cap int, salary int); create table below(check (cap <= salary)) inherits (above); insert into below values (1, 1, 100);
";

const TAGS: &str = r#"tags = { "public.pay.salary" = ["pii"], "public.pay.mail" = ["pii"], "public.spread.salary" = ["pii"], "public.known.mail" = ["pii"],
"public.above.salary" = ["pii"], "public.parted.ssn" = ["pii"], "public.inheriting.ssn" = ["pii"], "public.chc.pay" = ["pii"], "public.chd.pay" = ["pii"], "public.ck1.pay" = ["pii"], "public.kd.kind" = ["pii"],
"public.acct.ssn" = ["pii"], "public.dated.born" = ["pii"], "public.plainly.ssn" = ["pii"], "public.excluding.h" = ["pii"], "public.pointing.y" = ["pii"], "public.guarded.salary" = ["pii"], "public.indexed.ssn" = ["pii"], "public.searched.ssn" = ["pii"], "public.paired.ssn" = ["pii"] }"#;

const REFUSED: &[&str] = &[
    "update pay set cap = 999 where id = 1",
    "update pay p set name = 'x', cap = 1001 where id = 1",
    "update pay set factor = 400000 where id = 1",
    "insert into pay (id) values (1) on conflict (id) do update set factor = 400000",
    "insert into pay (id, salary) values (1, 5) on conflict (id) do update set cap = 999",
    "merge into pay p using (values (1)) v(id) on p.id = v.id when matched then update set cap = 999",
    "with x as (update pay set cap = 999 where id = 1 returning id) select id from x",
    "update of_pay set cap = 999 where id = 1",
    "update above set cap = 99",
    // What foreign keys change, computed columns, and what is not the same for ever.
    "update pa set id = 103 where id = 3",
    "merge into pa using (values (3)) v(id) on pa.id = v.id when matched then update set id = 103",
    "delete from pd where id = 3",
    "with gone as (delete from pd where id = 3 returning id) select id from gone",
    "update ck1 set a = 'x' where id = 1",
    "update kd set w = 'x' where id = 1",
    "update dated set w = 'x' where id = 1",
    "update parted set id = 201 where id = 1",
    "update of_parted set id = 201 where id = 1",
    "update of_parted_too set ssn = 'guess' where id = 250",
    "update searched set name = 'x' where id = 1",
    "update paired set name = 'probe' where id = 1",
    "with a as (update pay set salary = 5000 where id = -1) update pay set cap = 51 where id = 1",
    "with a as (insert into pay (id, salary) values (99, 5)) update pay set cap = 51 where id = 1",
    "update spread set factor = 199",
    "update known set mail = 'm1' where id = 1",
    "update of_known set mail = 'm1' where id = 1",
    "insert into known values (1, 'x', 'm1') on conflict (id) do update set mail = excluded.mail",
    "update excluding set a = '[3,4)' where id = 2",
    "update pointing set x = 2 where id = 1",
    "update guarded set cap = 2 where id = 1",
    "update capped set cap = 3 where id = 1",
    "update capped_above set cap = 3 where id = 1",
    "insert into guessing values (1, '078-05-1121')",
    "merge into guessing g using (values (1)) v(id) on false when not matched then insert values (1, '078-05-1121')",
    "prepare p as update pay set cap = $1 where id = 1",
];

const NEIGHBOURS: &[&str] = &[
    "begin; update pay set name = 'x' where id = 1 returning id, name; rollback",
    "begin; update pa set w = 'x' where id = 3 returning id; rollback",
    "begin; delete from pa where id = 9; rollback",
    "begin; update chc set id = 9 where id = 1 returning id, p; rollback",
    "begin; insert into paid values (1, 1, 5) returning id; rollback",
    "begin; select add_paid(2, 5); rollback",
    "begin; update excluding set id = 3 where id = 1 returning id, a; rollback",
    "begin; update pointing set id = 3 where id = 1 returning id, x; rollback",
    "begin; update guarded set id = 3 where id = 1 returning id, cap; rollback",
    "begin; update checked set cap = 3 where id = 1 returning id, cap; rollback",
    "begin; insert into plainly2 values (1, 'x') returning *; rollback",
    "begin; update pay set mail = 'x' where id = 1 returning id; rollback",
    "begin; update pay set salary = 3 where id = 1 returning id; rollback",
    "begin; update known set name = 'x' where id = 1 returning id; rollback",
    "begin; insert into known values (9, 'x', 'y') returning id; rollback",
    "begin; insert into pay (id, factor, salary, cap) values (9, 2, 5, 1) returning id; rollback",
    "begin; update pay set factor = 2, salary = 7 where id = 1 returning id; rollback",
    "begin; delete from pay where id = 1 returning id; rollback",
    "begin; insert into known (id, name, mail) values (1, 'x', 'y') on conflict (id) do update set name = excluded.name returning id; rollback",
    "begin; insert into pay (id, name, salary, cap, factor) values (1, 'x', 5, 1, 1) on conflict (id) do update set name = 'y' returning id, name; rollback",
];

#[test]
fn what_compares_hidden_columns_answers_nothing() {
    let postgres = Postgres::options().setting("autovacuum", "off").start().unwrap();
    let w = over(postgres, TAGS);
    w.postgres.exec(&format!("set role {};\n{TABLES}", w.postgres.user())).unwrap();
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    let mut reader = Asked::new(w.psql_command(&w.token("eve", &["pii-readers"], &[])));
    let mut direct = std::process::Command::new("psql");
    direct.args(["-X", "-A", "-t"]).envs(w.postgres.client_env());
    let mut direct = Asked::new(direct);
    for statement in REFUSED {
        let answer = agent.says(&format!("begin; {statement}; rollback"));
        assert!(answer.contains("depends on the masked column `public."), "{statement}: {answer}");
        let answer = reader.says(&format!("begin; {statement}; rollback"));
        assert!(!answer.contains("refused"), "{statement}: {answer}");
        agent.says("rollback");
        reader.says("rollback");
    }
    for beneath in [
        "update of_plainly set cap = 200 where id = 1",
        "insert into of_plainly values (1, 1)",
        "update ruled set cap = 200",
        "update inherited set id = null",
    ] {
        let answer = agent.says(beneath);
        assert!(
            ["23514", "23505", "23502"].iter().any(|state| answer.contains(&format!("{state} details hidden"))),
            "{beneath}: {answer}"
        );
        assert!(reader.says(beneath).contains("violates"), "{beneath}");
    }
    for beneath in [
        "select add_paid(1, 5000)",
        "begin; insert into paid_later values (1, 1, 5000); commit",
        "begin; insert into paid_later values (1, 1, 5000); set constraints all immediate",
        "copy (select add_paid(1, 5000)) to stdout",
        "select * from grown",
        "begin; declare c cursor for select id from grown; fetch all from c",
    ] {
        let answer = agent.says(&format!("{beneath}; rollback"));
        assert!(answer.contains("details hidden") && !answer.contains("078-"), "{beneath}: {answer}");
        let answer = reader.says(&format!("{beneath}; rollback"));
        assert!(answer.contains("violates") || answer.contains("out of range"), "{beneath}: {answer}");
    }
    for decided in ["select up_pa(3, 103)", "select * from of_grown()", "insert into ruling values (9, 1, 'x')"] {
        let answer = agent.says(decided);
        assert!(answer.contains(" refused: "), "{decided}: {answer}");
        reader.says(&format!("begin; {decided}; rollback"));
    }
    // Rows that a rule makes, and how long an entry of an index would be.
    let answer = agent.says("begin; insert into doing values (1); rollback");
    assert!(answer.contains("[masked]") && !answer.contains("078-"), "{answer}");
    assert!(reader.says("begin; insert into doing values (1); rollback").contains("078-"));
    let long = "update indexed set name = (select string_agg(md5(i::text || 'x'), '') from generate_series(1, 90) i) where id = 1";
    let answer = agent.says(long);
    assert!(answer.contains("54000 details hidden"), "{answer}");
    assert!(reader.says(long).contains("index row size"));
    // Without an error of before.
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    for statement in NEIGHBOURS {
        assert_eq!(agent.says(statement), direct.says(statement), "{statement}");
    }
}
