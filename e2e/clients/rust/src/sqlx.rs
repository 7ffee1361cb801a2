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
use settings::{COLUMNS, Report, Sample, Settings, expect, sample};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

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
        if keep { transaction.commit().await? } else { transaction.rollback().await? }
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
    println!("skip cancel: sqlx cannot cancel a statement");
    report.note("notify", notify(&settings, &mut connection).await);
    report.note("pool", pool(&settings).await);
    connection.close().await?;
    std::process::exit(i32::from(report.failed));
}
