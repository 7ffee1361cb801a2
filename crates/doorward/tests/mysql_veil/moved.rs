//! Columns that another session moves while a statement waits for its table: masks do not stay behind in their places.
use super::*;
use std::{
    thread,
    time::{Duration, Instant},
};

const TAGS: &str = r#"tls = "disable"
tags = { "public.moved.phone" = ["pii", "mask:hash"], "public.gone.ssn" = ["pii"] }"#;

const TABLES: &str = "use public; drop table if exists moved, gone;
    create table moved(id int primary key, note varchar(20), phone varchar(20));
    insert into moved values (1, 'a', '+49 30 1'), (2, 'b', '+49 30 2');
    create table gone(id int primary key, note varchar(20), ssn varchar(20));
    insert into gone values (1, 'a', '+49 30 3'), (2, 'b', '+49 30 4')";

/// What is asked for while columns are moved. The first are written otherwise, the others cannot be.
const ASKED: &[&str] = &[
    "select * from moved union all select * from moved",
    "select * from moved",
    "select * from gone union all select * from gone",
    "select * from moved for update",
    "select * from gone for update",
    "select * from (select * from gone limit 5) q for update",
    "select * from (select * from gone limit 5) gone for update",
    "select a, b, c from (select * from gone limit 5) q(a, b, c) for update",
    "with q(a, b, c) as (select * from gone) select a, b from q for update",
    "select * from (select id, note, ssn from gone union all select * from gone) q for update",
    "with x(a1, a2, a3, a4) as (select gone.*, moved.phone from gone, moved) select concat(a3, '') from x",
    "select id, concat(a1, '') from moved, (select 1 as `ü`) d, (select id as a1 from gone limit 1) e",
    "select * from (select id, 'x' as note, 'y' as ssn union all select * from gone) q for update",
];

fn moved_columns_show_nothing(release: MySqlRelease) {
    let w = mysql_veiled::over(release, TAGS);
    let mut agent = Asked::new(w.client(&w.token("ci-bot", &["agents"], &[])));
    for asked in ASKED {
        w.server.exec(TABLES).unwrap();
        // What it is when nothing moves; the gateway knows the tables by now.
        let before = agent.says(asked);
        assert!(!before.contains("+49") && !before.contains("ERROR 1146"), "{release:?}: {asked}: {before}");
        let began = Instant::now();
        let said = thread::scope(|scope| {
            let moving = scope.spawn(|| {
                w.server.exec(
                    "use public; lock tables moved write, gone write; do sleep(1);
                    alter table moved modify phone varchar(20) first, modify note varchar(20) after phone;
                    alter table gone modify ssn varchar(20) first, modify note varchar(20) after ssn; unlock tables",
                )
            });
            thread::sleep(Duration::from_millis(400));
            let said = agent.says(asked);
            moving.join().unwrap().unwrap();
            said
        });
        let is_refused = said.contains("refused:") || said.contains("ERROR 1064");
        assert!(is_refused || began.elapsed() > Duration::from_secs(1), "{release:?}: {asked} did not wait");
        assert!(!said.contains("+49"), "{release:?}: {asked}: {said}");
        assert!(!said.contains("ERROR") || is_refused, "{release:?}: {asked}: {said}");
        println!("{release:?}: {asked}\n{said}");
    }
}

#[test]
fn masks_follow_columns_that_move() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        moved_columns_show_nothing(release);
    }
}
