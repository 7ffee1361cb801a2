//! sqlx through the gateway.
//!
//! Behind the scenes: as it connects it sends `SET sql_mode=(SELECT CONCAT(@@sql_mode,
//! ',PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION')),time_zone='+00:00',NAMES utf8mb4;`. A query is prepared once per connection and
//! kept (COM_STMT_PREPARE, COM_STMT_EXECUTE, COM_STMT_CLOSE as the cache overflows), a plain text or `raw_sql` is COM_QUERY.
//! Transactions are `BEGIN`, `COMMIT`, `ROLLBACK`, nested ones `SAVEPOINT _sqlx_savepoint_1`. A pool tests its
//! connections by COM_PING. The token needs `enable_cleartext_plugin(true)`.

mod settings;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures_util::TryStreamExt;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use settings::{
    COUNT_HIDDEN, HIDDEN, HIDDEN_COLUMNS, LATE, MINE_HIDDEN, PEOPLE, PUT_HIDDEN, Report, Settings, big, expect,
};
use sqlx::mysql::types::{MySqlTime, MySqlTimeSign};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlPoolOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, Row};

const ME: &str = "sqlx";

fn options(settings: &Settings) -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host(&settings.host)
        .port(settings.port)
        .username(&settings.user)
        .password(&settings.password)
        .database(&settings.database)
        .ssl_mode(MySqlSslMode::VerifyIdentity)
        .ssl_ca(&settings.ca)
        .enable_cleartext_plugin(true)
}

fn expect_code<T>(code: u16, outcome: sqlx::Result<T>) -> Result<()> {
    match outcome {
        Ok(_) => bail!("expected error {code}, got none"),
        Err(sqlx::Error::Database(error)) => expect(code, error.downcast_ref::<MySqlDatabaseError>().number()),
        Err(error) => Err(error.into()),
    }
}

async fn tls(settings: &Settings) -> Result<()> {
    match MySqlConnection::connect_with(&options(settings).ssl_ca(&settings.other_ca)).await {
        Ok(_) => bail!("a certificate of an unknown authority was trusted"),
        Err(sqlx::Error::Tls(_) | sqlx::Error::Io(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn select(connection: &mut MySqlConnection) -> Result<()> {
    let row: (i32, String, bool) = sqlx::query_as("SELECT 1, 'héllo', true").fetch_one(&mut *connection).await?;
    expect((1, "héllo".to_owned(), true), row)?;
    expect(0, sqlx::query("SELECT 1 FROM DUAL WHERE false").fetch_all(&mut *connection).await?.len())?;
    let row: (i64, String) = sqlx::query_as("SELECT ?, ?").bind(7).bind("a'b\\c%").fetch_one(&mut *connection).await?;
    expect((7, "a'b\\c%".to_owned()), row)?;
    // The mode of its start-up statement: `||` puts texts together.
    expect("ab".to_owned(), sqlx::query_scalar("SELECT 'a' || 'b'").fetch_one(&mut *connection).await?)?;
    Ok(connection.ping().await?)
}

async fn prepared(connection: &mut MySqlConnection) -> Result<()> {
    sqlx::query("DELETE FROM e2e_items WHERE client = ?").bind(ME).execute(&mut *connection).await?;
    for i in 0..100_i32 {
        let insert =
            sqlx::query("INSERT INTO e2e_items VALUES (?, ?, ?, ?)").bind(ME).bind(i).bind(format!("item {i}")).bind(i);
        expect(1, insert.execute(&mut *connection).await?.rows_affected())?;
    }
    for i in 0..100_i32 {
        let get = sqlx::query_as("SELECT name, qty FROM e2e_items WHERE client = ? AND id = ?").bind(ME).bind(i);
        expect((format!("item {i}"), i), get.fetch_one(&mut *connection).await?)?;
    }
    let put = sqlx::query("INSERT INTO e2e_numbered (client, name) VALUES (?, 'x')").bind(ME);
    expect(true, put.execute(&mut *connection).await?.last_insert_id() > 0)
}

async fn transaction(connection: &mut MySqlConnection) -> Result<()> {
    for (id, keep) in [(1001, false), (1002, true)] {
        let mut transaction = connection.begin().await?;
        let insert = sqlx::query("INSERT INTO e2e_items VALUES (?, ?, 'x', 1)").bind(ME).bind(id);
        insert.execute(&mut *transaction).await?;
        expect(1_i64, sqlx::query_scalar(LATE).bind(ME).fetch_one(&mut *transaction).await?)?;
        let mut nested = transaction.begin().await?;
        expect_code(1142, sqlx::query("DROP TABLE e2e_people").execute(&mut *nested).await)?;
        nested.rollback().await?;
        if keep {
            transaction.commit().await?
        } else {
            transaction.rollback().await?
        }
        expect(i64::from(keep), sqlx::query_scalar(LATE).bind(ME).fetch_one(&mut *connection).await?)?;
    }
    Ok(())
}

async fn errors(connection: &mut MySqlConnection) -> Result<()> {
    for (text, code) in [
        ("SELECT * FROM e2e_no_such_table", 1146),
        ("INSERT INTO e2e_items VALUES ('sqlx', 1002, 'twice', 1)", 1062),
        ("SELECT 1 FROM FROM", 1227),
        ("DROP TABLE e2e_people", 1142),
        ("INSERT INTO e2e_people (id) VALUES (3)", 1142),
        ("DELETE FROM e2e_items", 1142),
        ("SELECT * FROM mysql.user", 1142),
    ] {
        expect_code(code, sqlx::query(text).execute(&mut *connection).await).context(text)?;
        expect_code(code, sqlx::raw_sql(text).execute(&mut *connection).await).context(text)?;
        expect(9_i64, sqlx::query_scalar("SELECT ?").bind(9_i64).fetch_one(&mut *connection).await?)?;
    }
    Ok(())
}

type Person = (String, Option<String>, Option<String>, Option<NaiveDate>, Option<String>);

async fn masked(connection: &mut MySqlConnection) -> Result<()> {
    let text = |t: &str| Some(t.to_owned());
    let expected: Person = ("Name 1".to_owned(), text("[email]"), text("************1111"), None, text("mail [email]"));
    expect(&expected, &sqlx::query_as(PEOPLE).bind(1).fetch_one(&mut *connection).await?)?;
    let row = connection.fetch_one(AssertSqlSafe(PEOPLE.replace('?', "1"))).await?;
    expect(expected, (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
}

async fn types(connection: &mut MySqlConnection) -> Result<()> {
    sqlx::query("DELETE FROM e2e_samples WHERE client = ?").bind(ME).execute(&mut *connection).await?;
    let day = NaiveDate::from_ymd_opt(1999, 12, 31).context("a day")?;
    let when: NaiveDateTime = "2024-02-29T12:34:56.789012".parse()?;
    let span = MySqlTime::new(MySqlTimeSign::Negative, 12, 34, 56, 789_012)?;
    let decimal: Decimal = "98765432.1234567891".parse()?;
    let (text, bytes, json) =
        ("žluťoučký 🐘 你好".to_owned(), vec![0, 0xff, 0x10, 39, 92, 10], json!({"k": [1, null, "ü"]}));
    let columns = "ti, tu, i, iu, b, bu, n, f, d, t, dt, ts, y, txt, bl, j, yes, nothing";
    let insert = format!("INSERT INTO e2e_samples (client, id, {columns}) VALUES (?, 1{})", ", ?".repeat(18));
    let insert = sqlx::query(AssertSqlSafe(insert)).bind(ME).bind(-128_i8).bind(255_u8).bind(i32::MIN).bind(u32::MAX);
    let insert = insert
        .bind(i64::MIN)
        .bind(u64::MAX)
        .bind(decimal)
        .bind(0.1)
        .bind(day)
        .bind(span)
        .bind(when)
        .bind(when.and_utc());
    let insert = insert.bind(2024).bind(&text).bind(&bytes).bind(&json).bind(true).bind(None::<String>);
    insert.execute(&mut *connection).await?;
    let select = format!("SELECT {columns} FROM e2e_samples WHERE client = '{ME}'");
    let binary = sqlx::query(AssertSqlSafe(select.clone())).fetch_one(&mut *connection).await?;
    let plain = connection.fetch_one(AssertSqlSafe(select)).await?;
    for row in [binary, plain] {
        expect(
            (-128_i8, 255_u8, i32::MIN, u32::MAX),
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?),
        )?;
        expect(
            (i64::MIN, u64::MAX, decimal, 0.1),
            (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?, row.try_get(7)?),
        )?;
        expect((day, span, when), (row.try_get(8)?, row.try_get(9)?, row.try_get(10)?))?;
        expect(
            (when, 2024_u16, &text),
            (row.try_get::<DateTime<Utc>, _>(11)?.naive_utc(), row.try_get(12)?, &row.try_get(13)?),
        )?;
        expect((&bytes, &json), (&row.try_get(14)?, &row.try_get::<Value, _>(15)?))?;
        expect((true, None), (row.try_get(16)?, row.try_get::<Option<String>, _>(17)?))?;
    }
    Ok(())
}

async fn big_rows(connection: &mut MySqlConnection) -> Result<()> {
    let clear = "DELETE FROM e2e_big WHERE client = ?";
    sqlx::query(clear).bind(ME).execute(&mut *connection).await?;
    sqlx::query("INSERT INTO e2e_big VALUES (?, ?)").bind(ME).bind(big()).execute(&mut *connection).await?;
    let got: Vec<u8> =
        sqlx::query_scalar("SELECT data FROM e2e_big WHERE client = ?").bind(ME).fetch_one(&mut *connection).await?;
    expect(true, got == big())?;
    sqlx::query(clear).bind(ME).execute(&mut *connection).await?;
    Ok(())
}

async fn large_result(connection: &mut MySqlConnection) -> Result<()> {
    let mut rows = sqlx::query_as::<_, (i32, String)>("SELECT id, payload FROM e2e_bulk").fetch(connection);
    let (mut count, mut sum) = (0, 0);
    while let Some((id, _)) = rows.try_next().await? {
        count += 1;
        sum += i64::from(id);
    }
    expect((20_000, 200_010_000), (count, sum))
}

async fn multi_statements(connection: &mut MySqlConnection) -> Result<()> {
    let rows = connection.fetch_all("SELECT '1'; SELECT '2' FROM DUAL WHERE false; SELECT 'three'").await?;
    expect(vec!["1".to_owned(), "three".to_owned()], rows.iter().map(|row| row.get(0)).collect())?;
    let both = "INSERT INTO e2e_items VALUES ('sqlx', 1004, 'x', 1); DROP TABLE e2e_people";
    expect_code(1142, connection.execute(both).await)?;
    let left = "SELECT count(*) FROM e2e_items WHERE client = 'sqlx' AND id = 1004";
    expect(0_i64, sqlx::query_scalar(left).fetch_one(connection).await?)
}

async fn call(connection: &mut MySqlConnection) -> Result<()> {
    let row = connection.fetch_one("CALL e2e_pair(7)").await?;
    expect((7, 8_i64), (row.try_get::<i32, _>(0)?, row.try_get(1)?))
}

type Hidden = (
    i32,
    Option<String>,
    String,
    String,
    Option<i32>,
    i64,
    Decimal,
    NaiveDate,
    Option<NaiveDateTime>,
    Vec<u8>,
    Option<f64>,
);

async fn hidden_rows(connection: &mut MySqlConnection) -> Result<()> {
    let born = NaiveDate::from_ymd_opt(1900, 1, 1).context("a day")?;
    let shown = |id: i32| -> Result<Hidden> {
        let name = (id != 5).then(|| format!("Name {id}"));
        let (ssn, mail) = ("[ssn]".to_owned(), "nobody@example.com".to_owned());
        Ok((id, name, ssn, mail, None, 7, "12.34".parse()?, born, None, b"[hidden]".to_vec(), None))
    };
    for (from, persistent) in [(0, true), (0, true), (3, true), (0, false)] {
        let expected = (from + 1..9).map(shown).collect::<Result<Vec<_>>>()?;
        let query = sqlx::query_as::<_, Hidden>(HIDDEN).persistent(persistent).bind("all").bind(from);
        expect(expected, query.fetch_all(&mut *connection).await?)?;
    }
    // The text protocol.
    let plain = HIDDEN.replacen('?', "'all'", 1).replace('?', "3");
    let rows = connection.fetch_all(AssertSqlSafe(plain)).await?;
    let names = rows.first().context("no row")?.columns().iter().map(|c| c.name()).collect::<Vec<_>>();
    expect(HIDDEN_COLUMNS.to_vec(), names)?;
    expect(vec!["[ssn]"; 5], rows.iter().map(|row| row.get("ssn")).collect())
}

async fn hidden_filters(connection: &mut MySqlConnection) -> Result<()> {
    macro_rules! found {
        ($expected:expr, $condition:expr, $value:expr) => {
            for _ in 0..2 {
                let count = AssertSqlSafe(format!("{COUNT_HIDDEN}{}", $condition));
                let found: i64 = sqlx::query_scalar(count).bind($value).fetch_one(&mut *connection).await?;
                expect(($condition, $expected), ($condition, found))?;
            }
        };
    }
    found!(0, "ssn = ?", "078-05-1124");
    found!(8, "ssn = ?", "[ssn]");
    found!(0, "mail = ?", "user4@example.com");
    found!(0, "code = ?", 1004);
    found!(0, "big = ?", 1_000_000_000_004_i64);
    found!(0, "pay = ?", "402.00".parse::<Decimal>()?);
    found!(0, "born = ?", "1970-01-05".parse::<NaiveDate>()?);
    found!(0, "seen = ?", "2024-03-04T12:00:00".parse::<NaiveDateTime>()?);
    found!(0, "raw = ?", vec![4_u8]);
    found!(0, "ratio = ?", 1.0);
    Ok(())
}

async fn hidden_writes(connection: &mut MySqlConnection) -> Result<()> {
    sqlx::query("DELETE FROM e2e_hidden WHERE client = ?").bind(ME).execute(&mut *connection).await?;
    for i in 0..3 {
        let put = sqlx::query(PUT_HIDDEN).bind(ME).bind(i).bind("078-05-9999").bind(5);
        expect(1, put.execute(&mut *connection).await?.rows_affected())?;
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("UPDATE e2e_hidden SET name = 'new' WHERE client = ?").bind(ME).execute(&mut *transaction).await?;
    expect(0_i64, sqlx::query_scalar(MINE_HIDDEN).bind(ME).fetch_one(&mut *transaction).await?)?;
    transaction.rollback().await?;
    for (text, value) in [
        ("UPDATE e2e_hidden SET name = 'x' WHERE ssn = ?", "078-05-1124"),
        ("DELETE FROM e2e_hidden WHERE client = 'x' AND code = ?", "1004"),
        ("UPDATE e2e_hidden SET ssn = ? WHERE client = 'sqlx'", "x"),
    ] {
        expect_code(1142, sqlx::query(text).bind(value).execute(&mut *connection).await)?;
        expect_code(1142, connection.execute(AssertSqlSafe(text.replace('?', "'x'"))).await)?;
    }
    expect(3_i64, sqlx::query_scalar(MINE_HIDDEN).bind(ME).fetch_one(connection).await?)
}

async fn pool(settings: &Settings) -> Result<()> {
    let pool = MySqlPoolOptions::new().max_connections(4).connect_with(options(settings)).await?;
    let tasks: Vec<_> = (0..40_i64)
        .map(|i| {
            let pool = pool.clone();
            tokio::spawn(async move { sqlx::query_scalar::<_, i64>("SELECT ?").bind(i).fetch_one(&pool).await })
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
    let mut connection = MySqlConnection::connect_with(&options(&settings)).await.context("cannot connect")?;
    let mut report = Report::default();
    report.note("tls", tls(&settings).await);
    report.note("select", select(&mut connection).await);
    report.note("prepared", prepared(&mut connection).await);
    report.note("transaction", transaction(&mut connection).await);
    report.note("errors", errors(&mut connection).await);
    report.note("masked", masked(&mut connection).await);
    report.note("types", types(&mut connection).await);
    report.note("big", big_rows(&mut connection).await);
    report.note("large-result", large_result(&mut connection).await);
    println!("skip load-local: sqlx has no LOAD DATA LOCAL");
    report.note("multi-statements", multi_statements(&mut connection).await);
    report.note("call", call(&mut connection).await);
    if settings.is_hidden {
        report.note("hidden-rows", hidden_rows(&mut connection).await);
        report.note("hidden-filters", hidden_filters(&mut connection).await);
        report.note("hidden-writes", hidden_writes(&mut connection).await);
    } else {
        println!("skip hidden: nothing is hidden from this caller");
    }
    report.note("pool", pool(&settings).await);
    connection.close().await?;
    std::process::exit(i32::from(report.failed));
}
