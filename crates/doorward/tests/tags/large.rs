//! How long a large schema takes: by hand, `DOORWARD_SCHEMA_TABLES=3000 cargo test --workspace --test tags -- large --nocapture`.
use crate::common::World;
use std::{fmt::Write as _, time::Instant};

/// Tables, and for each three of them a view that joins two, and for each six a function of SQL.
fn schema(tables: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut batch = String::new();
    for n in 0..tables {
        let columns: String = (0..8).fold(String::new(), |mut all, c| {
            write!(all, ", c{c} text").unwrap();
            all
        });
        write!(batch, "create table t{n}(id int primary key{columns});").unwrap();
        if n % 3 == 2 {
            let above = n - 1;
            write!(
                batch,
                "create view v{n} as select a.id, a.c0 || b.c1 as x, upper(b.c2) as y from t{n} a join t{above} b using (id) \
                 where a.c3 like 'x%' and exists (select from t{above} z where z.c4 = a.c4);"
            )
            .unwrap();
        }
        if n % 6 == 5 {
            write!(
                batch,
                "create function f{n}() returns bigint language sql stable as 'select count(*) from t{n} where c1 > c2';"
            )
            .unwrap();
        }
        if n % 200 == 199 || n + 1 == tables {
            out.push(std::mem::take(&mut batch));
        }
    }
    out
}

#[test]
fn a_large_schema_is_read_in_time() {
    let Some(tables) = std::env::var("DOORWARD_SCHEMA_TABLES").ok().and_then(|n| n.parse().ok()) else { return };
    let w = World::with(super::POLICY, "tags = { \"public.t0.c0\" = [\"pii\"] }");
    for batch in schema(tables) {
        w.postgres.exec(&format!("set role {}; {batch}", w.postgres.user())).unwrap();
    }
    let agent = w.token("ci-bot", &["agents"], &[]);
    for what in ["first", "second"] {
        let begun = Instant::now();
        let said = w.psql_command(&agent).args(["-c", "select count(*) from t0"]).output().unwrap();
        eprintln!("{tables} tables: the {what} session had its answer after {:?}: {said:?}", begun.elapsed());
        assert!(said.status.success());
    }
}
