//! mysql_async through the gateway.
//!
//! Behind the scenes: as it connects it asks `SELECT @@max_allowed_packet,@@wait_timeout,@@socket` (the last on loopback
//! alone, where it would go on over that socket: `prefer_socket(false)`). `query` is COM_QUERY, `exec` prepares once and keeps
//! the statement, long values go by COM_STMT_SEND_LONG_DATA. Transactions are `START TRANSACTION`, with `SET TRANSACTION …`
//! before, then `COMMIT` or `ROLLBACK`. A pool sends COM_RESET_CONNECTION with each connection that comes back. The token
//! needs `enable_cleartext_plugin(true)`.

mod settings;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mysql_async::prelude::{Query, Queryable};
use mysql_async::{Conn, Error, IsolationLevel, Opts, OptsBuilder, Pool, SslOpts, TxOpts, Value};
use settings::{
    COUNT_HIDDEN, HIDDEN, HIDDEN_COLUMNS, LATE, MINE_HIDDEN, PEOPLE, PUT_HIDDEN, Report, Settings, big, expect,
};
use std::path::Path;
use std::time::{Duration, Instant};

const ME: &str = "mysql_async";

fn options(settings: &Settings, ca: &Path) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(settings.host.clone())
        .tcp_port(settings.port)
        .user(Some(settings.user.clone()))
        .pass(Some(settings.password.clone()))
        .db_name(Some(settings.database.clone()))
        .ssl_opts(SslOpts::default().with_root_certs(vec![ca.to_path_buf().into()]).with_disable_built_in_roots(true))
        .enable_cleartext_plugin(true)
        .prefer_socket(false)
        .into()
}

fn expect_code<T>(code: u16, outcome: mysql_async::Result<T>) -> Result<()> {
    match outcome {
        Ok(_) => bail!("expected error {code}, got none"),
        Err(Error::Server(error)) => expect(code, error.code),
        Err(error) => Err(error.into()),
    }
}

async fn tls(settings: &Settings) -> Result<()> {
    match Conn::new(options(settings, &settings.other_ca)).await {
        Ok(_) => bail!("a certificate of an unknown authority was trusted"),
        Err(Error::Io(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn select(conn: &mut Conn) -> Result<()> {
    let row: Option<(i32, String, bool)> = conn.query_first("SELECT 1, 'héllo', true").await?;
    expect(Some((1, "héllo".to_owned(), true)), row)?;
    expect(Vec::<i32>::new(), conn.query("SELECT 1 FROM DUAL WHERE false").await?)?;
    expect(Some((7, "a'b\\c%".to_owned())), conn.exec_first("SELECT ?, ?", (7, "a'b\\c%")).await?)?;
    Ok(conn.ping().await?)
}

async fn prepared(conn: &mut Conn) -> Result<()> {
    conn.exec_drop("DELETE FROM e2e_items WHERE client = ?", (ME,)).await?;
    let rows = (0..100).map(|i| (ME, i, format!("item {i}"), i));
    conn.exec_batch("INSERT INTO e2e_items VALUES (?, ?, ?, ?)", rows).await?;
    for i in 0..100 {
        let get = conn.exec_first("SELECT name, qty FROM e2e_items WHERE client = ? AND id = ?", (ME, i)).await?;
        expect(Some((format!("item {i}"), i)), get)?;
    }
    conn.exec_drop("INSERT INTO e2e_numbered (client, name) VALUES (?, 'x')", (ME,)).await?;
    expect(true, conn.last_insert_id().is_some_and(|id| id > 0))
}

async fn transaction(conn: &mut Conn) -> Result<()> {
    for (id, keep) in [(1001, false), (1002, true)] {
        let mut options = TxOpts::default();
        options.with_isolation_level(IsolationLevel::ReadCommitted);
        let mut transaction = conn.start_transaction(options).await?;
        transaction.exec_drop("INSERT INTO e2e_items VALUES (?, ?, 'x', 1)", (ME, id)).await?;
        expect(Some(1), transaction.exec_first(LATE, (ME,)).await?)?;
        expect_code(1142, transaction.query_drop("DROP TABLE e2e_people").await)?;
        if keep {
            transaction.commit().await?
        } else {
            transaction.rollback().await?
        }
        expect(Some(i64::from(keep)), conn.exec_first(LATE, (ME,)).await?)?;
    }
    Ok(())
}

async fn errors(conn: &mut Conn) -> Result<()> {
    for (text, code) in [
        ("SELECT * FROM e2e_no_such_table", 1146),
        ("INSERT INTO e2e_items VALUES ('mysql_async', 1002, 'twice', 1)", 1062),
        ("SELECT 1 FROM FROM", 1227),
        ("DROP TABLE e2e_people", 1142),
        ("INSERT INTO e2e_people (id) VALUES (3)", 1142),
        ("DELETE FROM e2e_items", 1142),
        ("SELECT * FROM mysql.user", 1142),
    ] {
        expect_code(code, conn.query_drop(text).await).context(text)?;
        expect_code(code, conn.exec_drop(text, ()).await).context(text)?;
        expect(Some(9), conn.exec_first("SELECT ?", (9,)).await?)?;
    }
    Ok(())
}

async fn masked(conn: &mut Conn) -> Result<()> {
    let text = |t: &str| Value::Bytes(t.as_bytes().to_vec());
    let expected = vec![text("Name 1"), text("[email]"), text("************1111"), Value::NULL, text("mail [email]")];
    let binary: Option<mysql_async::Row> = conn.exec_first(PEOPLE, (1,)).await?;
    let plain: Option<mysql_async::Row> = conn.query_first(PEOPLE.replace('?', "1")).await?;
    for row in [binary, plain] {
        expect(&expected, &row.context("no row")?.unwrap())?;
    }
    Ok(())
}

async fn types(conn: &mut Conn) -> Result<()> {
    conn.exec_drop("DELETE FROM e2e_samples WHERE client = ?", (ME,)).await?;
    let columns = "ti, tu, i, iu, b, bu, n, f, d, t, dt, ts, y, txt, bl, j, yes, nothing";
    let when = Value::Date(2024, 2, 29, 12, 34, 56, 789_012);
    let sample: Vec<Value> = vec![
        (-128).into(),
        255_u64.into(),
        i32::MIN.into(),
        u32::MAX.into(),
        i64::MIN.into(),
        u64::MAX.into(),
        "98765432.1234567891".into(),
        0.1_f64.into(),
        Value::Date(1999, 12, 31, 0, 0, 0, 0),
        Value::Time(true, 0, 12, 34, 56, 789_012),
        when.clone(),
        when,
        2024_u64.into(),
        "žluťoučký 🐘 你好".into(),
        vec![0_u8, 0xff, 0x10, 39, 92, 10].into(),
        "{\"k\": [1, null, \"ü\"]}".into(),
        1.into(),
        Value::NULL,
    ];
    let insert = format!("INSERT INTO e2e_samples (client, id, {columns}) VALUES (?, 1{})", ", ?".repeat(sample.len()));
    conn.exec_drop(insert, [vec![ME.into()], sample.clone()].concat()).await?;
    let got: Option<mysql_async::Row> =
        conn.exec_first(format!("SELECT {columns} FROM e2e_samples WHERE client = ?"), (ME,)).await?;
    for (i, (expected, got)) in sample.into_iter().zip(got.context("no row")?.unwrap()).enumerate() {
        // An unsigned number that fits comes as a signed one.
        let same = match (&expected, &got) {
            (Value::UInt(a), Value::Int(b)) => i64::try_from(*a) == Ok(*b),
            (a, b) => a == b,
        };
        expect(true, same).with_context(|| format!("column {i}: expected {expected:?}, got {got:?}"))?;
    }
    Ok(())
}

async fn big_rows(conn: &mut Conn) -> Result<()> {
    conn.exec_drop("DELETE FROM e2e_big WHERE client = ?", (ME,)).await?;
    conn.exec_drop("INSERT INTO e2e_big VALUES (?, ?)", (ME, big())).await?;
    let got: Option<Vec<u8>> = conn.exec_first("SELECT data FROM e2e_big WHERE client = ?", (ME,)).await?;
    expect(true, got == Some(big()))?;
    Ok(conn.exec_drop("DELETE FROM e2e_big WHERE client = ?", (ME,)).await?)
}

async fn large_result(conn: &mut Conn) -> Result<()> {
    let mut rows = "SELECT id, payload FROM e2e_bulk".stream::<(i64, String), _>(conn).await?;
    let (mut count, mut sum) = (0, 0);
    while let Some(row) = rows.next().await {
        count += 1;
        sum += row?.0;
    }
    expect((20_000, 200_010_000), (count, sum))
}

async fn load_local(conn: &mut Conn) -> Result<()> {
    conn.exec_drop("DELETE FROM e2e_loaded WHERE client = ?", (ME,)).await?;
    let load = "LOAD DATA LOCAL INFILE 'lines' INTO TABLE e2e_loaded CHARACTER SET utf8mb4";
    let lines: String = (0..1000).map(|i| format!("{ME}\t{i}\tnote {i} ü\n")).collect();
    conn.set_infile_handler(async move { Ok(stream::iter([Ok(Bytes::from(lines))]).boxed()) });
    conn.query_drop(load).await?;
    expect(Some(1000), conn.exec_first("SELECT count(*) FROM e2e_loaded WHERE client = ?", (ME,)).await?)
}

async fn multi_statements(conn: &mut Conn) -> Result<()> {
    let mut results = conn.query_iter("SELECT '1'; SELECT '2' FROM DUAL WHERE false; SELECT 'three'").await?;
    let mut got = Vec::new();
    while !results.is_empty() {
        got.push(results.collect::<String>().await?);
    }
    expect(vec![vec!["1".to_owned()], vec![], vec!["three".to_owned()]], got)?;
    drop(results);
    let both = "INSERT INTO e2e_items VALUES ('mysql_async', 1004, 'x', 1); DROP TABLE e2e_people";
    expect_code(1142, conn.query_drop(both).await)?;
    let left = "SELECT count(*) FROM e2e_items WHERE client = ? AND id = 1004";
    expect(Some(0), conn.exec_first(left, (ME,)).await?)
}

async fn call(conn: &mut Conn) -> Result<()> {
    expect(Some((7, 8)), conn.query_first("CALL e2e_pair(7)").await?)?;
    expect(Some((7, 8)), conn.exec_first("CALL e2e_pair(?)", (7,)).await?)
}

async fn hidden_rows(conn: &mut Conn) -> Result<()> {
    let text = |t: &str| Value::Bytes(t.as_bytes().to_vec());
    let plain = HIDDEN.replacen('?', "'all'", 1).replace('?', "0");
    let answers: [Vec<mysql_async::Row>; 3] =
        [conn.exec(HIDDEN, ("all", 0)).await?, conn.exec(HIDDEN, ("all", 0)).await?, conn.query(plain).await?];
    for (number, rows) in answers.into_iter().enumerate() {
        let (big, born, number_of) = if number == 2 {
            (text("7"), text("1900-01-01"), (|id: i64| Value::Bytes(id.to_string().into_bytes())) as fn(i64) -> Value)
        } else {
            (Value::Int(7), Value::Date(1900, 1, 1, 0, 0, 0, 0), Value::Int as fn(i64) -> Value)
        };
        let names: Vec<_> =
            rows.first().context("no row")?.columns_ref().iter().map(|c| c.name_str().into_owned()).collect();
        expect(HIDDEN_COLUMNS.map(str::to_owned).to_vec(), names)?;
        expect(8, rows.len())?;
        for (id, row) in (1..).zip(rows) {
            let name = if id == 5 { Value::NULL } else { text(&format!("Name {id}")) };
            let shown = vec![
                number_of(id),
                name,
                text("[ssn]"),
                text("nobody@example.com"),
                Value::NULL,
                big.clone(),
                text("12.34"),
                born.clone(),
                Value::NULL,
                text("[hidden]"),
                Value::NULL,
            ];
            expect(shown, row.unwrap())?;
        }
    }
    Ok(())
}

async fn hidden_filters(conn: &mut Conn) -> Result<()> {
    let values: [(&str, Value); 9] = [
        ("ssn", "078-05-1124".into()),
        ("mail", "user4@example.com".into()),
        ("code", 1004.into()),
        ("big", 1_000_000_000_004_i64.into()),
        ("pay", "402.00".into()),
        ("born", Value::Date(1970, 1, 5, 0, 0, 0, 0)),
        ("seen", Value::Date(2024, 3, 4, 12, 0, 0, 0)),
        ("raw", vec![4_u8].into()),
        ("ratio", 1.0_f64.into()),
    ];
    for (column, value) in values {
        for _ in 0..2 {
            let found: Option<i64> = conn.exec_first(format!("{COUNT_HIDDEN}{column} = ?"), (value.clone(),)).await?;
            expect((column, Some(0)), (column, found))?;
        }
    }
    for (value, found) in [("[ssn]", 8), ("078-05-1124", 0), ("[ssn]", 8)] {
        expect(Some(found), conn.exec_first(format!("{COUNT_HIDDEN}ssn = ?"), (value,)).await?)?;
        expect(Some(found), conn.query_first(format!("{COUNT_HIDDEN}ssn = '{value}'")).await?)?;
    }
    Ok(())
}

async fn hidden_writes(conn: &mut Conn) -> Result<()> {
    conn.exec_drop("DELETE FROM e2e_hidden WHERE client = ?", (ME,)).await?;
    conn.exec_batch(PUT_HIDDEN, (0..3).map(|i| (ME, i, "078-05-9999", 5))).await?;
    let mut transaction = conn.start_transaction(TxOpts::default()).await?;
    transaction.exec_drop("UPDATE e2e_hidden SET name = 'new' WHERE client = ?", (ME,)).await?;
    expect(Some(0), transaction.exec_first(MINE_HIDDEN, (ME,)).await?)?;
    transaction.rollback().await?;
    for (text, value) in [
        ("UPDATE e2e_hidden SET name = 'x' WHERE ssn = ?", "078-05-1124"),
        ("DELETE FROM e2e_hidden WHERE client = 'x' AND code = ?", "1004"),
        ("UPDATE e2e_hidden SET ssn = ? WHERE client = 'mysql_async'", "x"),
    ] {
        expect_code(1142, conn.exec_drop(text, (value,)).await)?;
        expect_code(1142, conn.query_drop(text.replace('?', "'x'")).await)?;
    }
    expect(Some(3), conn.exec_first(MINE_HIDDEN, (ME,)).await?)
}

async fn reset(conn: &mut Conn) -> Result<()> {
    conn.query_drop("SET @x = 5").await?;
    expect(true, conn.reset().await?)?;
    expect(Some(None::<i64>), conn.query_first("SELECT @x").await?)
}

async fn pool(settings: &Settings) -> Result<()> {
    let pool = Pool::new(options(settings, &settings.ca));
    let tasks: Vec<_> = (0..30)
        .map(|i| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.get_conn().await?.exec_first::<i64, _, _>("SELECT ?", (i,)).await })
        })
        .collect();
    for (i, task) in (0..).zip(tasks) {
        expect(Some(i), task.await??)?;
    }
    Ok(pool.disconnect().await?)
}

async fn kill(settings: &Settings, conn: &mut Conn) -> Result<()> {
    let number = conn.id();
    let options = options(settings, &settings.ca);
    let killer = tokio::spawn(async move {
        let mut other = Conn::new(options).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        other.query_drop(format!("KILL QUERY {number}")).await?;
        other.disconnect().await
    });
    let begun = Instant::now();
    let endless = "SELECT count(*) FROM e2e_bulk a, e2e_bulk b, e2e_bulk c WHERE a.payload = b.payload";
    expect_code(1317, conn.query_drop(endless).await)?;
    killer.await??;
    expect(true, begun.elapsed() < Duration::from_secs(5))?;
    expect(Some(10), conn.query_first("SELECT 10").await?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let mut conn = Conn::new(options(&settings, &settings.ca)).await.context("cannot connect")?;
    let mut report = Report::default();
    report.note("tls", tls(&settings).await);
    report.note("select", select(&mut conn).await);
    report.note("prepared", prepared(&mut conn).await);
    report.note("transaction", transaction(&mut conn).await);
    report.note("errors", errors(&mut conn).await);
    report.note("masked", masked(&mut conn).await);
    report.note("types", types(&mut conn).await);
    report.note("big", big_rows(&mut conn).await);
    report.note("large-result", large_result(&mut conn).await);
    report.note("load-local", load_local(&mut conn).await);
    report.note("multi-statements", multi_statements(&mut conn).await);
    report.note("call", call(&mut conn).await);
    if settings.is_hidden {
        report.note("hidden-rows", hidden_rows(&mut conn).await);
        report.note("hidden-filters", hidden_filters(&mut conn).await);
        report.note("hidden-writes", hidden_writes(&mut conn).await);
    } else {
        println!("skip hidden: nothing is hidden from this caller");
    }
    report.note("reset", reset(&mut conn).await);
    report.note("pool", pool(&settings).await);
    report.note("kill", kill(&settings, &mut conn).await);
    conn.disconnect().await?;
    std::process::exit(i32::from(report.failed));
}
