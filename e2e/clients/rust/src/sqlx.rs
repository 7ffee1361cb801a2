//! sqlx through the gateway, with rustls.
//!
//! Behind the scenes: on connecting it sends start-up parameters (`DateStyle`, `TimeZone`, `client_encoding`,
//! `extra_float_digits`) and nothing else. `query` prepares its text under a name (`sqlx_s_1`) that stays in a cache,
//! with binary parameters and results; `raw_sql` is a simple query. For a type that is not built in it asks pg_catalog
//! (`SELECT oid::int8, typname, typtype, typcategory, typrelid::int8, typelem::int8, typbasetype::int8 FROM
//! pg_catalog.pg_type WHERE oid = $1`), for the macros' nullability `EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE …` (neither
//! reached here). Transactions are BEGIN, COMMIT, ROLLBACK, nested SAVEPOINT _sqlx_savepoint_1 and its fellows. COPY is
//! what the program gives. PgListener sends LISTEN "channel", and UNLISTEN * when dropped. There is no cancellation in sqlx.

mod settings;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::TryStreamExt;
use settings::{
    COLUMNS, HIDDEN_COLUMNS, HIDDEN_TYPES, Hidden, HiddenValues, Report, Sample, Settings, expect, hidden_row, sample,
};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Column, Connection, PgConnection, Row, TypeInfo};

const ME: &str = "sqlx";

fn options(settings: &Settings) -> PgConnectOptions {
    PgConnectOptions::new()
        .host(&settings.host)
        .port(settings.port)
        .database(&settings.database)
        .username(&settings.user)
        .password(&settings.password)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert(&settings.ca)
}

fn expect_state<T>(state: &str, outcome: Result<T, sqlx::Error>) -> Result<()> {
    match outcome {
        Ok(_) => bail!("expected SQLSTATE {state}, got no error"),
        Err(sqlx::Error::Database(error)) => {
            expect(Some(state.to_owned()), error.code().map(std::borrow::Cow::into_owned))
        }
        Err(other) => Err(other.into()),
    }
}

async fn select(connection: &mut PgConnection) -> Result<()> {
    let row: (i32, String, bool) = sqlx::query_as("SELECT 1, 'héllo', true").fetch_one(&mut *connection).await?;
    expect((1, "héllo".to_owned(), true), row)?;
    expect(None, sqlx::query_scalar::<_, i32>("SELECT 1 WHERE false").fetch_optional(&mut *connection).await?)?;
    let rows = sqlx::raw_sql("SELECT 1; SELECT 2").fetch_all(&mut *connection).await?;
    expect(2, rows.len())
}

async fn prepared(connection: &mut PgConnection, items: &str) -> Result<()> {
    let clear = format!("DELETE FROM {items} WHERE client = $1");
    sqlx::query(AssertSqlSafe(clear)).bind(ME).execute(&mut *connection).await?;
    for i in 0..100 {
        let insert = AssertSqlSafe(format!("INSERT INTO {items} VALUES ($1, $2, $3, $4)"));
        sqlx::query(insert).bind(ME).bind(i).bind(format!("item {i}")).bind(i).execute(&mut *connection).await?;
    }
    for (i, persistent) in (0..100).zip([true, true, false].into_iter().cycle()) {
        let get = AssertSqlSafe(format!("SELECT name, qty FROM {items} WHERE client = $1 AND id = $2"));
        let get = sqlx::query_as(get).persistent(persistent).bind(ME).bind(i);
        expect((format!("item {i}"), i), get.fetch_one(&mut *connection).await?)?;
    }
    Ok(())
}

async fn late(connection: &mut PgConnection, items: &str) -> Result<i64> {
    let count = AssertSqlSafe(format!("SELECT count(*) FROM {items} WHERE client = $1 AND id >= 1000"));
    Ok(sqlx::query_scalar(count).bind(ME).fetch_one(connection).await?)
}

async fn transaction(connection: &mut PgConnection, items: &str) -> Result<()> {
    for (id, keep) in [(1001, false), (1002, true)] {
        let mut transaction = connection.begin().await?;
        let insert = AssertSqlSafe(format!("INSERT INTO {items} VALUES ($1, $2, 'x', 1)"));
        sqlx::query(insert).bind(ME).bind(id).execute(&mut *transaction).await?;
        expect(1, late(&mut transaction, items).await?)?;
        if keep {
            transaction.commit().await?
        } else {
            transaction.rollback().await?
        }
        expect(i64::from(keep), late(connection, items).await?)?;
    }
    Ok(())
}

async fn error_recovery(connection: &mut PgConnection) -> Result<()> {
    let mut transaction = connection.begin().await?;
    for (text, state) in [("SELECT 1/0", "22012"), ("SELECT * FROM e2e_no_such_table", "42P01")] {
        let mut nested = transaction.begin().await?;
        expect_state(state, sqlx::query(text).execute(&mut *nested).await)?;
        nested.rollback().await?;
        expect(7, sqlx::query_scalar("SELECT 7").fetch_one(&mut *transaction).await?)?;
    }
    expect_state("22012", sqlx::query("SELECT 1/0").execute(&mut *transaction).await)?;
    expect_state("25P02", sqlx::query("SELECT 1").execute(&mut *transaction).await)?;
    transaction.rollback().await?;
    expect(8, sqlx::query_scalar("SELECT 8").fetch_one(connection).await?)
}

async fn large_result(connection: &mut PgConnection, bulk: &str) -> Result<()> {
    let text = AssertSqlSafe(format!("SELECT id, payload FROM {bulk}"));
    let mut rows = sqlx::query_as::<_, (i32, String)>(text).fetch(connection);
    let (mut count, mut sum) = (0, 0);
    while let Some((id, _)) = rows.try_next().await? {
        count += 1;
        sum += i64::from(id);
    }
    expect((100_000, 5_000_050_000), (count, sum))
}

async fn copy_in(connection: &mut PgConnection, copied: &str) -> Result<()> {
    let clear = format!("DELETE FROM {copied} WHERE client = $1");
    sqlx::query(AssertSqlSafe(clear)).bind(ME).execute(&mut *connection).await?;
    let copy = format!("COPY {copied} (client, id, note) FROM STDIN");
    let mut sink = connection.copy_in_raw(&copy).await?;
    let text: String = (0..10_000).map(|i| format!("{ME}\t{i}\tnote {i} ü\n")).collect();
    for part in text.as_bytes().chunks(8_000) {
        sink.send(part).await?;
    }
    expect(10_000, sink.finish().await?)?;
    let mut sink = connection.copy_in_raw(&copy).await?;
    sink.send(&b"sqlx\t10001\tgiven up\n"[..]).await?;
    sink.abort("changed my mind").await?;
    expect(9, sqlx::query_scalar("SELECT 9").fetch_one(connection).await?)
}

async fn copy_out(connection: &mut PgConnection, copied: &str) -> Result<()> {
    let copy = format!("COPY (SELECT id, note FROM {copied} WHERE client = '{ME}' ORDER BY id) TO STDOUT (FORMAT csv)");
    let parts: Vec<_> = connection.copy_out_raw(&copy).await?.try_collect().await?;
    let text = String::from_utf8(parts.concat())?;
    let lines: Vec<&str> = text.lines().collect();
    expect((10_000, Some(&"0,note 0 ü"), Some(&"9999,note 9999 ü")), (lines.len(), lines.first(), lines.last()))
}

async fn types(connection: &mut PgConnection, samples: &str) -> Result<()> {
    let put = sample()?;
    let clear = format!("DELETE FROM {samples} WHERE client = $1");
    sqlx::query(AssertSqlSafe(clear)).bind(ME).execute(&mut *connection).await?;
    let insert = AssertSqlSafe(format!(
        "INSERT INTO {samples} (client, id, {COLUMNS}) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    ));
    let (t, b, j, ints, texts, n, ts, d, u, f, yes, nothing) = put.clone();
    let query = sqlx::query(insert).bind(ME).bind(t).bind(b).bind(j).bind(ints).bind(texts).bind(n);
    query.bind(ts).bind(d).bind(u).bind(f).bind(yes).bind(nothing).execute(&mut *connection).await?;
    let select = AssertSqlSafe(format!("SELECT {COLUMNS} FROM {samples} WHERE client = $1"));
    let got: Sample = sqlx::query_as(select).bind(ME).fetch_one(connection).await?;
    expect(put, got)
}

fn all_hidden(table: &str) -> String {
    format!("SELECT {HIDDEN_COLUMNS} FROM {table} WHERE client = $1 AND id > $2 ORDER BY ssn, id")
}

async fn hidden_rows(connection: &mut PgConnection, table: &str) -> Result<()> {
    for (from, persistent) in [(0, true), (0, true), (3, true), (0, false)] {
        let query = sqlx::query(AssertSqlSafe(all_hidden(table))).persistent(persistent).bind("all").bind(from);
        let rows = query.fetch_all(&mut *connection).await?;
        let columns = rows.first().context("no row")?.columns();
        expect(HIDDEN_COLUMNS.to_owned(), columns.iter().map(|c| c.name()).collect::<Vec<_>>().join(", "))?;
        let types: Vec<_> = columns.iter().map(|c| c.type_info().name().to_lowercase()).collect();
        expect(HIDDEN_TYPES.map(str::to_owned).to_vec(), types)?;
        let query =
            sqlx::query_as::<_, Hidden>(AssertSqlSafe(all_hidden(table))).persistent(persistent).bind("all").bind(from);
        let expected = (from + 1..9).map(hidden_row).collect::<Result<Vec<_>>>()?;
        expect(expected, query.fetch_all(&mut *connection).await?)?;
    }
    let text = AssertSqlSafe(format!("SELECT 1; SELECT ssn FROM {table} WHERE client = 'all' AND ssn = '[ssn]'"));
    let rows = sqlx::raw_sql(text).fetch_all(&mut *connection).await?;
    expect(vec!["[ssn]"; 8], rows.iter().skip(1).map(|row| row.get(0)).collect())
}

async fn hidden_filters(connection: &mut PgConnection, table: &str) -> Result<()> {
    let there = HiddenValues::new()?;
    macro_rules! found {
        ($expected:expr, $condition:expr, $value:expr) => {
            let count = format!("SELECT count(*) FROM {table} WHERE client = 'all' AND {}", $condition);
            for _ in 0..2 {
                let found: i64 =
                    sqlx::query_scalar(AssertSqlSafe(count.clone())).bind($value).fetch_one(&mut *connection).await?;
                expect(($condition, $expected), ($condition, found))?;
            }
        };
    }
    found!(0, "ssn = $1", "078-05-1124");
    found!(8, "ssn = $1", "[ssn]");
    found!(0, "ssn = ANY($1)", vec!["078-05-1121", "078-05-1124"]);
    found!(0, "mail = $1", "user4@example.com");
    found!(0, "code = $1", 1004);
    found!(0, "big = $1", 1_000_000_000_004_i64);
    found!(0, "pay = $1", there.pay);
    found!(0, "born = $1", there.born);
    found!(0, "seen = $1", there.seen);
    found!(0, "who = $1", there.who);
    found!(0, "raw = $1", vec![4_u8]);
    found!(0, "ok = $1", true);
    Ok(())
}

async fn hidden_stream(connection: &mut PgConnection, table: &str) -> Result<()> {
    let mut rows = sqlx::query_as::<_, Hidden>(AssertSqlSafe(all_hidden(table))).bind("all").bind(0).fetch(connection);
    let mut id = 0;
    while let Some(row) = rows.try_next().await? {
        id += 1;
        expect(hidden_row(id)?, row)?;
    }
    expect(8, id)
}

async fn hidden_copy(connection: &mut PgConnection, table: &str) -> Result<()> {
    let query = format!("SELECT id, ssn, code, big FROM {table} WHERE client = 'all' AND ssn = '[ssn]' ORDER BY id");
    let parts: Vec<_> =
        connection.copy_out_raw(&format!("COPY ({query}) TO STDOUT (FORMAT csv)")).await?.try_collect().await?;
    let text = String::from_utf8(parts.concat())?;
    expect(Some("8,\"[ssn]\",,\"7\""), text.lines().nth(7))?;
    let parts: Vec<_> = connection
        .copy_out_raw(&format!("COPY {table} (ssn, born) TO STDOUT (FORMAT binary)"))
        .await?
        .try_collect()
        .await?;
    let bytes = parts.concat();
    let has = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    expect((true, false), (has(b"[ssn]"), has(b"078-05")))
}

async fn hidden_writes(connection: &mut PgConnection, table: &str) -> Result<()> {
    let clear = AssertSqlSafe(format!("DELETE FROM {table} WHERE client = $1"));
    sqlx::query(clear).bind(ME).execute(&mut *connection).await?;
    let insert = format!(
        "INSERT INTO {table} (client, id, name, ssn, code, pay) VALUES ($1, $2, 'mine', $3, $4, $5) RETURNING id, ssn, code"
    );
    let pay = HiddenValues::new()?.pay;
    for i in 0..3 {
        let put = sqlx::query_as(AssertSqlSafe(insert.clone())).bind(ME).bind(i).bind("078-05-9999").bind(5).bind(pay);
        expect((i, "[ssn]".to_owned(), None::<i32>), put.fetch_one(&mut *connection).await?)?;
    }
    let mut transaction = connection.begin().await?;
    let update = format!("UPDATE {table} SET ssn = $1, name = 'new' WHERE client = $2 AND id = 1 RETURNING name, ssn");
    let changed = sqlx::query_as(AssertSqlSafe(update)).bind("1").bind(ME).fetch_one(&mut *transaction).await?;
    expect(("new".to_owned(), "[ssn]".to_owned()), changed)?;
    transaction.rollback().await?;
    let by_ssn = AssertSqlSafe(format!("UPDATE {table} SET name = 'x' WHERE ssn = $1"));
    expect_state("42501", sqlx::query(by_ssn).bind("078-05-1124").execute(&mut *connection).await)?;
    let by_code = AssertSqlSafe(format!("DELETE FROM {table} WHERE client = 'x' AND code = $1"));
    expect_state("42501", sqlx::query(by_code).bind(1004).execute(&mut *connection).await)?;
    let mask = AssertSqlSafe(format!("UPDATE {table} SET ssn = $1 WHERE client = $2"));
    expect_state("42501", sqlx::query(mask).bind("[ssn]").bind(ME).execute(&mut *connection).await)?;
    let mine = AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE client = $1 AND name = 'mine'"));
    expect(3_i64, sqlx::query_scalar(mine).bind(ME).fetch_one(connection).await?)
}

async fn notify(settings: &Settings, connection: &mut PgConnection) -> Result<()> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options(settings)).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen("e2e_sqlx").await?;
    sqlx::query("SELECT pg_notify('e2e_sqlx', $1)").bind("hello, wörld").execute(connection).await?;
    let notification = tokio::time::timeout(Duration::from_secs(5), listener.recv()).await??;
    expect(("e2e_sqlx", "hello, wörld"), (notification.channel(), notification.payload()))
}

async fn pool(settings: &Settings) -> Result<()> {
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options(settings)).await?;
    let tasks: Vec<_> = (0..40)
        .map(|i| {
            let pool = pool.clone();
            tokio::spawn(async move { sqlx::query_scalar::<_, i32>("SELECT $1").bind(i).fetch_one(&pool).await })
        })
        .collect();
    for (i, task) in (0..).zip(tasks) {
        expect(i, task.await??)?;
    }
    pool.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let mut connection = PgConnection::connect_with(&options(&settings)).await.context("cannot connect")?;
    let mut report = Report::default();
    // VerifyFull has no way back to clear text.
    report.note("tls", Ok(()));
    report.note("select", select(&mut connection).await);
    report.note("prepared", prepared(&mut connection, &settings.items).await);
    report.note("transaction", transaction(&mut connection, &settings.items).await);
    report.note("error-recovery", error_recovery(&mut connection).await);
    report.note("large-result", large_result(&mut connection, &settings.bulk).await);
    report.note("copy-in", copy_in(&mut connection, &settings.copied).await);
    report.note("copy-out", copy_out(&mut connection, &settings.copied).await);
    report.note("types", types(&mut connection, &settings.samples).await);
    if settings.is_hidden {
        report.note("hidden-rows", hidden_rows(&mut connection, &settings.hidden).await);
        report.note("hidden-filters", hidden_filters(&mut connection, &settings.hidden).await);
        report.note("hidden-stream", hidden_stream(&mut connection, &settings.hidden).await);
        report.note("hidden-copy", hidden_copy(&mut connection, &settings.hidden).await);
        report.note("hidden-writes", hidden_writes(&mut connection, &settings.hidden).await);
    } else {
        println!("skip hidden: nothing is hidden from this caller");
    }
    println!("skip cancel: sqlx cannot cancel a statement");
    report.note("notify", notify(&settings, &mut connection).await);
    report.note("pool", pool(&settings).await);
    connection.close().await?;
    std::process::exit(i32::from(report.failed));
}
