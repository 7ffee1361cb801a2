//! tokio-postgres through the gateway, with rustls.
//!
//! Behind the scenes: `query` prepares its text under a name (`s0`, `s1`, …: Parse, Describe, Sync), binds and executes
//! it with binary parameters and results, and closes it when the statement is dropped. For a type that is not built in
//! it prepares `SELECT t.typname, t.typtype, t.typelem, r.rngsubtype, t.typbasetype, n.nspname, t.typrelid FROM
//! pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_range r … INNER JOIN pg_catalog.pg_namespace n …` (not reached
//! here). `transaction` sends START TRANSACTION, COMMIT, ROLLBACK, nested SAVEPOINT sp_1, RELEASE sp_1, ROLLBACK TO sp_1
//! by the simple protocol. COPY goes by the extended protocol: prepared, bound and executed like a query. Futures polled together are pipelined. cancel_query is a CancelRequest over TLS.

mod settings;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future, stream};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use settings::{
    COLUMNS, HIDDEN_COLUMNS, HIDDEN_TYPES, Hidden, HiddenValues, Report, Settings, expect, hidden_row, sample,
};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Error, Row, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

const ME: &str = "tokio-postgres";
const ALL: (i64, i64) = (100_000, 5_000_050_000);

fn tls(settings: &Settings) -> Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&settings.ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn connect(settings: &Settings) -> Result<(Client, tokio::sync::mpsc::UnboundedReceiver<AsyncMessage>)> {
    let mut config = Config::new();
    config.host(&settings.host).port(settings.port).dbname(&settings.database).user(&settings.user);
    // Without TLS the connection is refused: `Require` has no way back to clear text.
    config.password(&settings.password).ssl_mode(SslMode::Require).connect_timeout(Duration::from_secs(10));
    let (client, mut connection) = config.connect(tls(settings)?).await?;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = pin!(stream::poll_fn(move |cx| connection.poll_message(cx)));
        while let Some(Ok(message)) = messages.next().await {
            if sender.send(message).is_err() {
                // Nobody wants the notifications; the connection goes on.
                while messages.next().await.is_some() {}
                break;
            }
        }
    });
    Ok((client, receiver))
}

fn expect_state<T>(state: &str, outcome: Result<T, Error>) -> Result<()> {
    match outcome {
        Ok(_) => bail!("expected SQLSTATE {state}, got no error"),
        Err(error) => expect(state.to_owned(), error.code().with_context(|| error.to_string())?.code().to_owned()),
    }
}

async fn select(client: &Client) -> Result<()> {
    let row = client.query_one("SELECT 1, 'héllo', true", &[]).await?;
    expect((1, "héllo", true), (row.get(0), row.get(1), row.get(2)))?;
    expect(0, client.query("SELECT 1 WHERE false", &[]).await?.len())?;
    client.batch_execute("SELECT 1; SELECT 2").await?;
    let row = client.query_typed("SELECT $1 + 1", &[(&41_i32, Type::INT4)]).await?;
    expect(42, row.first().context("a row")?.get(0))
}

async fn prepared(client: &Client, items: &str) -> Result<()> {
    client.execute(&format!("DELETE FROM {items} WHERE client = $1"), &[&ME]).await?;
    let put = client.prepare(&format!("INSERT INTO {items} VALUES ($1, $2, $3, $4)")).await?;
    let get = client.prepare(&format!("SELECT name, qty FROM {items} WHERE client = $1 AND id = $2")).await?;
    for i in 0..100 {
        client.execute(&put, &[&ME, &i, &format!("item {i}"), &i]).await?;
    }
    for i in 0..100 {
        let row = client.query_one(&get, &[&ME, &i]).await?;
        expect((format!("item {i}"), i), (row.get(0), row.get(1)))?;
    }
    Ok(())
}

async fn transaction(client: &mut Client, items: &str) -> Result<()> {
    let late = format!("SELECT count(*) FROM {items} WHERE client = $1 AND id >= 1000");
    let insert = format!("INSERT INTO {items} VALUES ($1, $2, 'x', 1)");
    for (id, keep) in [(1001, false), (1002, true)] {
        let transaction = client.transaction().await?;
        transaction.execute(&insert, &[&ME, &id]).await?;
        expect(1_i64, transaction.query_one(&late, &[&ME]).await?.get(0))?;
        if keep {
            transaction.commit().await?
        } else {
            transaction.rollback().await?
        }
        expect(i64::from(keep), client.query_one(&late, &[&ME]).await?.get(0))?;
    }
    Ok(())
}

async fn error_recovery(client: &mut Client) -> Result<()> {
    let mut transaction = client.transaction().await?;
    for (text, state) in [("SELECT 1/0", "22012"), ("SELECT * FROM e2e_no_such_table", "42P01")] {
        let nested = transaction.transaction().await?;
        expect_state(state, nested.query(text, &[]).await)?;
        nested.rollback().await?;
        expect(7, transaction.query_one("SELECT 7", &[]).await?.get(0))?;
    }
    expect_state("22012", transaction.query("SELECT 1/0", &[]).await)?;
    expect_state("25P02", transaction.query("SELECT 1", &[]).await)?;
    transaction.rollback().await?;
    expect(8, client.query_one("SELECT 8", &[]).await?.get(0))
}

async fn pipeline(client: &Client) -> Result<()> {
    let double = client.prepare("SELECT $1::int * 2").await?;
    let answers = future::join_all((0..500_i32).map(|i| {
        let double = &double;
        async move { client.query_one(double, &[&i]).await.map(|row| row.get::<_, i32>(0)) }
    }))
    .await;
    for (i, answer) in (0..).zip(answers) {
        expect(i * 2, answer?)?;
    }
    let divide = client.prepare("SELECT 1 / $1::int").await?;
    let (good, bad, after) = future::join3(
        client.query_one(&divide, &[&1]),
        client.query_one(&divide, &[&0]),
        client.query_one(&divide, &[&1]),
    )
    .await;
    expect_state("22012", bad)?;
    expect((1, 1), (good?.get(0), after?.get(0)))
}

async fn large_result(client: &mut Client, bulk: &str) -> Result<()> {
    let text = format!("SELECT id, payload FROM {bulk}");
    let rows = client.query_raw(&text, Vec::<i32>::new()).await?;
    let add = |(count, sum): (i64, i64), id: i32| (count + 1, sum + i64::from(id));
    let sum = rows.try_fold((0, 0), |so_far, row| future::ok(add(so_far, row.get(0)))).await?;
    expect(ALL, sum)?;
    let transaction = client.transaction().await?;
    let portal = transaction.bind(&text, &[]).await?;
    let mut sum = (0, 0);
    loop {
        let rows = transaction.query_portal(&portal, 7_000).await?;
        if rows.is_empty() {
            break;
        }
        sum = rows.iter().fold(sum, |so_far, row| add(so_far, row.get(0)));
    }
    expect(ALL, sum)?;
    Ok(transaction.commit().await?)
}

async fn copy_in(client: &Client, copied: &str) -> Result<()> {
    client.execute(&format!("DELETE FROM {copied} WHERE client = $1"), &[&ME]).await?;
    let copy = format!("COPY {copied} (client, id, note) FROM STDIN");
    let mut sink = pin!(client.copy_in(&copy).await?);
    for i in 0..10_000 {
        sink.feed(Bytes::from(format!("{ME}\t{i}\tnote {i} ü\n"))).await?;
    }
    expect(10_000, sink.as_mut().finish().await?)?;
    let sink = client.copy_in(&format!("{copy} (FORMAT binary)")).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::TEXT, Type::INT4, Type::TEXT]));
    writer.as_mut().write(&[&ME, &10_000, &"binary"]).await?;
    expect(1, writer.finish().await?)?;
    // Given up half-way: CopyFail.
    let mut sink = pin!(client.copy_in::<_, Bytes>(&copy).await?);
    sink.send(Bytes::from_static(b"tokio-postgres\t10001\tgiven up\n")).await?;
    Ok(())
}

async fn copy_out(client: &Client, copied: &str) -> Result<()> {
    let copy = format!("COPY (SELECT id, note FROM {copied} WHERE client = '{ME}' ORDER BY id) TO STDOUT (FORMAT csv)");
    let parts: Vec<Bytes> = client.copy_out(&copy).await?.try_collect().await?;
    let text = String::from_utf8(parts.concat())?;
    let lines: Vec<&str> = text.lines().collect();
    expect((10_001, Some(&"0,note 0 ü"), Some(&"10000,binary")), (lines.len(), lines.first(), lines.last()))
}

async fn types(client: &Client, samples: &str) -> Result<()> {
    let put = sample()?;
    client.execute(&format!("DELETE FROM {samples} WHERE client = $1"), &[&ME]).await?;
    let insert = format!(
        "INSERT INTO {samples} (client, id, {COLUMNS}) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    );
    let (t, b, j, ints, texts, n, ts, d, u, f, yes, nothing) = &put;
    client.execute(&insert, &[&ME, t, b, j, ints, texts, n, ts, d, u, f, yes, nothing]).await?;
    let select = format!("SELECT {COLUMNS} FROM {samples} WHERE client = $1");
    let row = client.query_one(&select, &[&ME]).await?;
    let got = (
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
        row.try_get(5)?,
        row.try_get(6)?,
        row.try_get(7)?,
        row.try_get(8)?,
        row.try_get(9)?,
        row.try_get(10)?,
        row.try_get(11)?,
    );
    expect(put, got)
}

fn hidden(row: &Row) -> Result<Hidden> {
    Ok((
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
        row.try_get(5)?,
        row.try_get(6)?,
        row.try_get(7)?,
        row.try_get(8)?,
        row.try_get(9)?,
        row.try_get(10)?,
        row.try_get(11)?,
    ))
}

fn expect_hidden(from: i32, to: i32, rows: &[Row]) -> Result<()> {
    let expected = (from..=to).map(hidden_row).collect::<Result<Vec<_>>>()?;
    expect(expected, rows.iter().map(hidden).collect::<Result<_>>()?)
}

fn all_hidden(table: &str) -> String {
    format!("SELECT {HIDDEN_COLUMNS} FROM {table} WHERE client = $1 AND id > $2 ORDER BY ssn, id")
}

async fn hidden_rows(client: &Client, table: &str) -> Result<()> {
    let statement = client.prepare(&all_hidden(table)).await?;
    let columns = statement.columns();
    expect(HIDDEN_COLUMNS.to_owned(), columns.iter().map(tokio_postgres::Column::name).collect::<Vec<_>>().join(", "))?;
    expect(HIDDEN_TYPES.to_vec(), columns.iter().map(|c| c.type_().name()).collect())?;
    for from in 0..4 {
        expect_hidden(from + 1, 8, &client.query(&statement, &[&"all", &from]).await?)?;
    }
    let text = format!("SELECT 1; SELECT ssn, code, big FROM {table} WHERE client = 'all' AND ssn = '[ssn]'");
    let simple = client.simple_query(&text).await?;
    let rows = simple.iter().filter_map(|m| if let SimpleQueryMessage::Row(row) = m { Some(row) } else { None });
    let rows: Vec<_> = rows.skip(1).map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    expect(vec![(Some("[ssn]"), None, Some("7")); 8], rows)
}

async fn hidden_filters(client: &Client, table: &str) -> Result<()> {
    let there = HiddenValues::new()?;
    let count = |condition: &str| format!("SELECT count(*) FROM {table} WHERE client = 'all' AND {condition}");
    let values: [(&str, &(dyn ToSql + Sync)); 10] = [
        ("ssn", &"078-05-1124"),
        ("mail", &"user4@example.com"),
        ("code", &1004),
        ("big", &1_000_000_000_004_i64),
        ("pay", &there.pay),
        ("born", &there.born),
        ("seen", &there.seen),
        ("who", &there.who),
        ("raw", &&[4_u8][..]),
        ("ok", &true),
    ];
    for (column, value) in values {
        let found: i64 = client.query_one(&count(&format!("{column} = $1")), &[value]).await?.get(0);
        expect((column, 0), (column, found))?;
    }
    let by_ssn = client.prepare(&count("ssn = $1")).await?;
    for (value, found) in [("[ssn]", 8_i64), ("078-05-1124", 0), ("[ssn]", 8)] {
        expect(found, client.query_one(&by_ssn, &[&value]).await?.get(0))?;
    }
    let several = client.query_one(&count("ssn = ANY($1)"), &[&vec!["078-05-1121", "078-05-1124"]]).await?;
    expect(0_i64, several.get(0))
}

async fn hidden_portal(client: &mut Client, table: &str) -> Result<()> {
    let transaction = client.transaction().await?;
    let statement = transaction.prepare(&all_hidden(table)).await?;
    let portal = transaction.bind(&statement, &[&"all", &0]).await?;
    expect_hidden(1, 3, &transaction.query_portal(&portal, 3).await?)?;
    expect_hidden(4, 8, &transaction.query_portal(&portal, 100).await?)?;
    transaction.commit().await?;
    let by_id = client
        .prepare(&format!("SELECT id, ssn FROM {table} WHERE client = 'all' AND id = $1 AND ssn LIKE '[%'"))
        .await?;
    let answers = future::join_all((0..40).map(|i| {
        let (client, by_id) = (&client, &by_id);
        async move {
            client.query_one(by_id, &[&(1 + i % 8)]).await.map(|row| (row.get::<_, i32>(0), row.get::<_, String>(1)))
        }
    }))
    .await;
    for (i, answer) in (0..).zip(answers) {
        expect((1 + i % 8, "[ssn]".to_owned()), answer?)?;
    }
    Ok(())
}

async fn hidden_copy(client: &Client, table: &str) -> Result<()> {
    let query = format!("SELECT id, ssn, code, big FROM {table} WHERE client = 'all' AND ssn = '[ssn]' ORDER BY id");
    let parts: Vec<Bytes> =
        client.copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT csv)")).await?.try_collect().await?;
    let text = String::from_utf8(parts.concat())?;
    expect(Some("8,\"[ssn]\",,\"7\""), text.lines().nth(7))?;
    let rows = client.copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT binary)")).await?;
    let rows =
        tokio_postgres::binary_copy::BinaryCopyOutStream::new(rows, &[Type::INT4, Type::TEXT, Type::INT4, Type::INT8]);
    let rows: Vec<_> = rows.try_collect().await?;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.get::<i32>(0), row.get::<&str>(1), row.get::<Option<i32>>(2), row.get::<i64>(3)))
        .collect();
    expect((1..9).map(|i| (i, "[ssn]", None, 7)).collect(), rows)
}

async fn hidden_writes(client: &mut Client, table: &str) -> Result<()> {
    client.execute(&format!("DELETE FROM {table} WHERE client = $1"), &[&ME]).await?;
    let insert = format!(
        "INSERT INTO {table} (client, id, name, ssn, code, pay) VALUES ($1, $2, 'mine', $3, $4, $5) RETURNING id, ssn, code"
    );
    let insert = client.prepare(&insert).await?;
    let pay = HiddenValues::new()?.pay;
    for i in 0..3 {
        let row = client.query_one(&insert, &[&ME, &i, &"078-05-9999", &5, &pay]).await?;
        expect((i, "[ssn]", None::<i32>), (row.get(0), row.get(1), row.get(2)))?;
    }
    let transaction = client.transaction().await?;
    let update = format!("UPDATE {table} SET ssn = $1, name = 'new' WHERE client = $2 AND id = 1 RETURNING name, ssn");
    let row = transaction.query_one(&update, &[&"1", &ME]).await?;
    expect(("new", "[ssn]"), (row.get(0), row.get(1)))?;
    transaction.rollback().await?;
    let by_ssn = format!("UPDATE {table} SET name = 'x' WHERE ssn = $1");
    expect_state("42501", client.execute(&by_ssn, &[&"078-05-1124"]).await)?;
    let by_code = format!("DELETE FROM {table} WHERE client = 'x' AND code = $1");
    expect_state("42501", client.execute(&by_code, &[&1004]).await)?;
    let mask = format!("UPDATE {table} SET ssn = $1 WHERE client = $2");
    expect_state("42501", client.execute(&mask, &[&"[ssn]", &ME]).await)?;
    let mine = client.query(&format!("SELECT name FROM {table} WHERE client = $1 AND name = 'mine'"), &[&ME]).await?;
    expect(3, mine.len())
}

async fn cancel(client: &Client, settings: &Settings) -> Result<()> {
    let begun = Instant::now();
    let (token, tls) = (client.cancel_token(), tls(settings)?);
    let request = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        token.cancel_query(tls).await
    };
    let (outcome, sent) = future::join(client.query("SELECT pg_sleep(30)", &[]), request).await;
    sent?;
    expect_state("57014", outcome)?;
    expect(true, begun.elapsed() < Duration::from_secs(3))?;
    expect(10, client.query_one("SELECT 10", &[]).await?.get(0))
}

async fn notify(settings: &Settings) -> Result<()> {
    let (listener, mut messages) = connect(settings).await?;
    listener.batch_execute("LISTEN e2e_tokio_postgres").await?;
    let (other, _) = connect(settings).await?;
    other.execute("SELECT pg_notify('e2e_tokio_postgres', $1)", &[&"hello, wörld"]).await?;
    let message = tokio::time::timeout(Duration::from_secs(5), messages.recv()).await?;
    match message {
        Some(AsyncMessage::Notification(notification)) => {
            expect(("e2e_tokio_postgres", "hello, wörld"), (notification.channel(), notification.payload()))
        }
        other => bail!("expected a notification, got {other:?}"),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let (mut client, _) = connect(&settings).await?;
    let mut report = Report::default();
    report.note("tls", Ok(()));
    report.note("select", select(&client).await);
    report.note("prepared", prepared(&client, &settings.items).await);
    report.note("transaction", transaction(&mut client, &settings.items).await);
    report.note("error-recovery", error_recovery(&mut client).await);
    report.note("pipeline", pipeline(&client).await);
    report.note("large-result", large_result(&mut client, &settings.bulk).await);
    report.note("copy-in", copy_in(&client, &settings.copied).await);
    report.note("copy-out", copy_out(&client, &settings.copied).await);
    report.note("types", types(&client, &settings.samples).await);
    if settings.is_hidden {
        report.note("hidden-rows", hidden_rows(&client, &settings.hidden).await);
        report.note("hidden-filters", hidden_filters(&client, &settings.hidden).await);
        report.note("hidden-portal", hidden_portal(&mut client, &settings.hidden).await);
        report.note("hidden-copy", hidden_copy(&client, &settings.hidden).await);
        report.note("hidden-writes", hidden_writes(&mut client, &settings.hidden).await);
    } else {
        println!("skip hidden: nothing is hidden from this caller");
    }
    report.note("cancel", cancel(&client, &settings).await);
    report.note("notify", notify(&settings).await);
    std::process::exit(i32::from(report.failed));
}
