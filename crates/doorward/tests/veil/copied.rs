//! What a mask shows is not written back by COPY either, in any format and however the data are cut; others are.
use super::{veiled::wire::Wire, world};
use std::{io::Write as _, process::Stdio};

const MASKED: &str = "refused: it would write the mask `[masked]` into the masked column `public.customers.ssn`";

/// A binary tuple.
fn tuple(fields: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = (fields.len() as u16).to_be_bytes().to_vec();
    for field in fields {
        out.extend(field.map_or(-1, |f| f.len() as i32).to_be_bytes());
        out.extend_from_slice(field.unwrap_or_default());
    }
    out
}

fn binary(tuples: &[Vec<u8>]) -> Vec<u8> {
    [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".as_slice(), &tuples.concat(), b"\xff\xff"].concat()
}

#[test]
fn a_mask_is_not_copied_over_what_it_hides() {
    let w = world();
    let mut agent = Wire::new(&w, &w.token("ci-bot", &["agents"], &[]));
    let (text, csv) =
        ("copy customers (id, ssn, name) from stdin", "copy customers (id, ssn, name) from stdin with csv");
    let bytes = "copy customers (id, ssn, name) from stdin with binary";
    let number = |n: i32| n.to_be_bytes();
    let lost: Vec<(&str, Vec<u8>)> = vec![
        (text, b"60\tx\ty\n61\t[masked]\ty\n".to_vec()),
        (text, b"60\t\\133mask\\x65d]\ty".to_vec()),
        ("copy customers from stdin", b"60\tn\te\tc\t[masked]\t\\N\t\\N\tz\n".to_vec()),
        (csv, b"60,\"a\nb\",\"c,\"\"\"\r\n61,\"[masked]\",y\r\n".to_vec()),
        ("copy customers (id, ssn) from stdin (format csv, header, delimiter ';')", b"id;ssn\n60;[masked]\n".to_vec()),
        (
            bytes,
            binary(&[
                tuple(&[Some(&number(60)), Some(b"x"), None]),
                tuple(&[Some(&number(61)), Some(b"[masked]"), None]),
            ]),
        ),
        ("copy people (id, ssn) from stdin", b"60\t[masked]\n".to_vec()),
        // Long before its end: what is still on its way is dropped.
        (text, [b"60\t[masked]\ty\n".to_vec(), b"61\tx\ty\n".repeat(100_000)].concat()),
    ];
    for (statement, data) in &lost {
        for prepared in [false, true] {
            for size in [1, 7, 1 << 16] {
                if size < 100 && data.len() > 1 << 16 {
                    continue;
                }
                let answer = agent.copied(statement, prepared, &mut data.chunks(size));
                let error = answer.error.unwrap_or_default();
                let wanted =
                    MASKED.replace("customers", if statement.contains("people") { "people" } else { "customers" });
                assert!(error.contains(&wanted), "{statement} {prepared} {size}: {error}");
                assert_eq!(agent.bound("select 1 where $1 = \'x\'", &["x"]).error, None, "the session goes on");
            }
        }
    }
    // Nothing of all that is there.
    assert_eq!(w.postgres.query("select count(*) from customers").unwrap(), "8");
    let odd: Vec<(&str, Vec<u8>, &str)> = vec![
        (bytes, b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0\xff\xff".to_vec(), "not of their format"),
        (bytes, b"no binary data at all, however long".to_vec(), "not of their format"),
        (bytes, binary(&[tuple(&[None, None])]), "not of their format"),
        (
            "copy customers (id, ssn) from stdin (encoding 'latin1')",
            b"60\tx\n".to_vec(),
            "could not be looked through: encoding",
        ),
    ];
    for (statement, data, wanted) in &odd {
        for prepared in [false, true] {
            let error = agent.copied(statement, prepared, &mut data.chunks(3)).error.unwrap_or_default();
            assert!(error.contains(wanted), "{statement}: {error}");
        }
    }
}

#[test]
fn other_data_are_copied_as_they_are() {
    let w = world();
    let mut agent = Wire::new(&w, &w.token("ci-bot", &["agents"], &[]));
    let mut reader = Wire::new(&w, &w.token("eve", &["pii-readers"], &[]));
    let mut kept = 0;
    let mut id = 100;
    let huge = "x".repeat(300_000);
    for (columns, options, row) in [
        ("id, ssn, name", "", "{}\tmasked\t[masked]\n"),
        ("id, ssn, name", "", "{}\t\\\\[masked]\t\\N\n"),
        ("id, ssn", "(format csv)", "{},\"[mask\"\"ed]\"\n"),
        ("id, ssn", "(null '[masked]')", "{}\t[masked]\n"),
        ("id, name", "", "{}\t[masked]\n"),
        ("id, ssn, name", "", &format!("{{}}\t{huge}[masked]\t{huge}\n")),
    ] {
        for (prepared, size) in [(false, 1 << 12), (true, 13)] {
            id += 1;
            kept += 1;
            let data = row.replace("{}", &id.to_string()).into_bytes();
            let statement = format!("copy customers ({columns}) from stdin {options}");
            let answer = agent.copied(&statement, prepared, &mut data.chunks(size));
            assert_eq!(answer.error, None, "{statement} {row:.80}");
        }
    }
    // Nobody is hidden anything of these, or from this one.
    assert_eq!(agent.copied("copy orders from stdin", false, &mut [&b"50\t1\t[masked]\n"[..]].into_iter()).error, None);
    let latin = "copy orders (id, contact) from stdin (encoding 'latin1')";
    assert_eq!(agent.copied(latin, true, &mut [&b"51\t[masked]\n"[..]].into_iter()).error, None);
    let own = "copy customers (id, ssn) from stdin";
    assert_eq!(reader.copied(own, true, &mut [&b"99\t[masked]\n"[..]].into_iter()).error, None);
    let rows = w.postgres.query("select count(*) from customers where id > 90").unwrap();
    assert_eq!(rows, (kept + 1).to_string());
    // The server's own errors are what they were: this one could quote a value.
    let error = agent.copied(own, true, &mut [&b"99\tx\n"[..]].into_iter()).error.unwrap_or_default();
    assert!(error.contains("details hidden by Doorward"), "{error}");
    assert_eq!(agent.bound("select 1 where $1 = \'x\'", &["x"]).error, None);
}

#[test]
fn two_copies_of_one_text_go_on_one_after_the_other() {
    let w = world();
    let token = w.token("ci-bot", &["agents"], &[]);
    let copied = |data: &str| {
        let text =
            "copy orders (id, contact) from stdin; copy customers (id, ssn) from stdin; select count(*) from orders";
        let mut psql = w.psql_command(&token);
        psql.args(["-c", text]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        psql.stdin.take().unwrap().write_all(data.as_bytes()).unwrap();
        let out = psql.wait_with_output().unwrap();
        (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (said, error) = copied("70\tx\n\\.\n70\ty\n\\.\n");
    assert!(said.trim_end().ends_with('9') && error.is_empty(), "{said}{error}");
    let (_, error) = copied("71\tx\n\\.\n71\t[masked]\n\\.\n");
    assert!(error.contains(MASKED), "{error}");
    let kept = "select (select count(*) from orders where id >= 70), (select count(*) from customers where id >= 70)";
    assert_eq!(w.postgres.query(kept).unwrap(), "1|1", "all of a text or nothing");
}
