//! Sessions as they are shown.
use super::*;
use crate::codec::traffic::{Chunk, EXTENDED, PREPARED, SIMPLE, chunks};
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn feed(r: &mut Replayer, chunk: &Chunk<'_>) -> Vec<String> {
    let side = if chunk.from_client { Side::Client } else { Side::Upstream };
    r.feed(side, chunk.bytes).iter().map(ToString::to_string).collect()
}

fn check(recorded: &[u8], expect: &Expect) {
    let mut r = Replayer::new(Options { rows: 2 });
    let shown: Vec<String> = chunks(recorded).iter().flat_map(|c| feed(&mut r, c)).collect();
    expect.assert_eq(&(shown.join("\n") + "\n"));
}

#[test]
fn simple_queries() {
    check(
        SIMPLE,
        &expect![[r#"
        start-up: user=postgres database=postgres application_name=psql
        > CREATE TEMP TABLE people (id int PRIMARY KEY, name text, mail text, born date, card int8);
        < CREATE TABLE
        > INSERT INTO people VALUES (1, 'Ada', 'ada@example.com', '1815-12-10', 4111111111111111), (2, 'Größe', NULL, NULL, 42);
        < INSERT 0 2
        > SELECT * FROM people ORDER BY id;

         id | name  | mail            | born       | card
        ----+-------+-----------------+------------+------------------
         1  | Ada   | ada@example.com | 1815-12-10 | 4111111111111111
         2  | Größe | ∅               | ∅          | 42
        < SELECT 2
        > SELECT;
        < SELECT 1
        > ;
        < (empty)
        > SELECT 1 AS a;

         a
        ---
         1
        < SELECT 1
        > SELECT 'x' AS b, true AS c;

         b | c
        ---+---
         x | t
        < SELECT 1
        > SELECT nosuch FROM people;
        < ERROR 42703: column "nosuch" does not exist
        > INSERT INTO people VALUES (1, 'again', 'bob@example.com');
        < ERROR 23505: duplicate key value violates unique constraint "people_pkey"
        DETAIL:  Key (id)=(1) already exists.
        > DO $$ BEGIN RAISE NOTICE 'mind %', 'ada@example.com' USING HINT = 'a hint'; END $$;
        < NOTICE 00000: mind ada@example.com
        HINT:  a hint
        < DO
        > COPY people TO STDOUT;
        < 69 bytes of COPY data
        < COPY 2
        > COPY people (id, name) TO STDOUT WITH (FORMAT csv, HEADER);
        < 24 bytes of COPY data
        < COPY 2
        > COPY (SELECT id, name FROM people) TO STDOUT WITH (FORMAT binary);
        < 59 bytes of COPY data
        < COPY 2
        > COPY people FROM STDIN;
        > 18 bytes of COPY data
        < COPY 1
        > LISTEN news;
        < LISTEN
        > NOTIFY news, 'call +1 415 555 2671';
        < NOTIFY
        < notification news: call +1 415 555 2671
        > BEGIN;
        < BEGIN
        > SELECT 1/0;
        < ERROR 22012: division by zero
        > ROLLBACK;
        < ROLLBACK
        > SET application_name = 'other';
        < SET
        > SELECT '{a,b}'::text[], '{"k": [1]}'::jsonb, 1.5::numeric, '192.168.1.10'::inet, NULL::text;

         text  | jsonb      | numeric | inet         | text
        -------+------------+---------+--------------+------
         {a,b} | {"k": [1]} | 1.5     | 192.168.1.10 | ∅
        < SELECT 1
        > (terminate)
    "#]],
    );
}

#[test]
fn prepared_statements() {
    check(
        PREPARED,
        &expect![[r#"
        start-up: user=postgres database=postgres application_name=pgbench
        > SELECT id, mail, card FROM (VALUES (1, 'ada@example.com', 4111111111111111)) t (id, mail, card) WHERE id = $1;   [1]

         id | mail            | card
        ----+-----------------+------------------
         1  | ada@example.com | 4111111111111111
        < SELECT 1
        > SELECT $1 + 1 AS next;   [1]

         next
        ------
         2
        < SELECT 1
        > SELECT id, mail, card FROM (VALUES (1, 'ada@example.com', 4111111111111111)) t (id, mail, card) WHERE id = $1;   [1]

         id | mail            | card
        ----+-----------------+------------------
         1  | ada@example.com | 4111111111111111
        < SELECT 1
        > SELECT $1 + 1 AS next;   [1]

         next
        ------
         2
        < SELECT 1
        > (terminate)
    "#]],
    );
}

#[test]
fn the_extended_protocol() {
    check(
        EXTENDED,
        &expect![[r#"
        start-up: user=postgres database=postgres application_name=pgbench
        > SELECT id, mail, card FROM (VALUES (1, 'ada@example.com', 4111111111111111)) t (id, mail, card) WHERE id = $1;   [1]

         id | mail            | card
        ----+-----------------+------------------
         1  | ada@example.com | 4111111111111111
        < SELECT 1
        > SELECT $1 + 1 AS next;   [1]

         next
        ------
         2
        < SELECT 1
        > SELECT id, mail, card FROM (VALUES (1, 'ada@example.com', 4111111111111111)) t (id, mail, card) WHERE id = $1;   [1]

         id | mail            | card
        ----+-----------------+------------------
         1  | ada@example.com | 4111111111111111
        < SELECT 1
        > SELECT $1 + 1 AS next;   [1]

         next
        ------
         2
        < SELECT 1
        > (terminate)
    "#]],
    );
}

#[test]
fn a_session_is_shown_however_it_was_cut() {
    let start = [&b"\0\0\0\x11\0\x03\0\0user\0ci\0\0"[..], &frame(b'Q', b"SELECT 1\0")].concat();
    let mut description = b"\0\x01n\0".to_vec();
    description.extend([0; 18]);
    let answer = [frame(b'T', &description), frame(b'D', b"\0\x01\0\0\0\x01\x31"), frame(b'C', b"SELECT 1\0")].concat();
    let mut r = Replayer::new(Options { rows: 5 });
    let mut shown = Vec::new();
    for b in &start {
        shown.extend(r.feed(Side::Client, &[*b]));
    }
    for chunk in answer.chunks(3) {
        shown.extend(r.feed(Side::Upstream, chunk));
    }
    assert_eq!(shown, ["start-up: user=ci", "> SELECT 1", "\n n\n---\n 1", "< SELECT 1"]);
}

fn started() -> Replayer {
    let mut r = Replayer::new(Options { rows: 1 });
    r.feed(Side::Client, b"\0\0\0\x11\0\x03\0\0user\0ci\0\0");
    r
}

#[test]
fn nothing_that_a_terminal_obeys_is_shown() {
    let mut r = started();
    let evil = "\u{1b}]0;owned\u{7}\u{202e}\r";
    let mut shown = r.feed(Side::Client, &frame(b'Q', format!("SELECT '{evil}'\0").as_bytes()));
    let mut description = format!("\0\x01{evil}\0").into_bytes();
    description.extend([0; 18]);
    let cell = [&b"\0\x01"[..], &(evil.len() as u32).to_be_bytes(), evil.as_bytes()].concat();
    for answer in [
        frame(b'T', &description),
        frame(b'D', &cell),
        frame(b'C', format!("{evil}\0").as_bytes()),
        frame(b'E', format!("M{evil}\0D{evil}\0C{evil}\0\0").as_bytes()),
        frame(b'A', format!("\0\0\0\0{evil}\0{evil}\0").as_bytes()),
    ] {
        shown.extend(r.feed(Side::Upstream, &answer));
    }
    assert_eq!(shown.len(), 5);
    for text in shown.iter().map(ToString::to_string) {
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        assert!(text.contains("\\u{1b}"), "{text:?}");
    }
}

#[test]
fn binary_values_are_readable() {
    let mut r = started();
    let mut client = frame(b'P', b"\0SELECT id, n\0\0\0");
    client.extend(frame(b'B', b"\0\0\0\0\0\0\0\x01\0\x01"));
    client.extend([frame(b'D', b"P\0"), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")].concat());
    assert_eq!(r.feed(Side::Client, &client), ["> SELECT id, n"]);
    let field = |name: &str, oid: u32| [name.as_bytes(), &[0; 7], &oid.to_be_bytes(), &[0; 6], &[0, 1]].concat();
    let description = [&b"\0\x02"[..], &field("id", 23), &field("blob", 17)].concat();
    let row = frame(b'D', b"\0\x02\0\0\0\x04\0\0\0\x2a\0\0\0\x02\xff\x00");
    let answer =
        [frame(b'1', b""), frame(b'2', b""), frame(b'T', &description), row.clone(), row, frame(b'C', b"SELECT 2\0")];
    assert_eq!(
        r.feed(Side::Upstream, &answer.concat()),
        ["\n id | blob\n----+--------\n 42 | \\xff00\n(1 more rows)", "< SELECT 2"]
    );
}

#[test]
fn long_messages_are_passed_over_and_broken_ones_end_their_side() {
    let mut r = started();
    let mut head = vec![b'D'];
    head.extend((LONGEST as u32 + 100).to_be_bytes());
    assert!(r.feed(Side::Upstream, &head).is_empty());
    let chunk = vec![0; 1 << 20];
    for _ in 0..16 {
        assert!(r.feed(Side::Upstream, &chunk).is_empty());
        assert!(r.upstream.buffer.is_empty());
    }
    let mut end = vec![0; 96];
    end.extend(frame(b'C', b"SELECT 1\0"));
    assert_eq!(r.feed(Side::Upstream, &end), ["\n(1 more rows)", "< SELECT 1"]);
    assert_eq!(r.feed(Side::Upstream, b"Z\xff\xff\xff\xff").len(), 1);
    assert!(r.feed(Side::Upstream, &chunk).is_empty());
    assert!(r.upstream.buffer.is_empty());
    r.gap();
    assert_eq!(r.feed(Side::Upstream, &frame(b'C', b"SELECT 2\0")), ["< SELECT 2"]);
}

proptest! {
    #[test]
    fn cuts_do_not_matter(sizes in prop::collection::vec(1_usize..40, 1..8), which in 0_usize..3) {
        let recorded = chunks([SIMPLE, PREPARED, EXTENDED][which]);
        let (mut whole, mut cut) = (Replayer::new(Options { rows: 2 }), Replayer::new(Options { rows: 2 }));
        let mut sizes = sizes.iter().copied().cycle();
        for chunk in &recorded {
            let mut shown = Vec::new();
            let mut rest = chunk.bytes;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
                shown.extend(feed(&mut cut, &Chunk { bytes: now, ..*chunk }));
                rest = later;
            }
            prop_assert_eq!(shown, feed(&mut whole, chunk));
        }
    }

    #[test]
    fn any_bytes_are_fine(
        parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20),
        tags in prop::collection::vec(prop::sample::select(b"QPBDECSHdcfFXTCDEZ12nAGHsIV".to_vec()), 0..20),
    ) {
        let mut r = started();
        for ((client, body), tag) in parts.iter().zip(tags) {
            r.feed(if *client { Side::Client } else { Side::Upstream }, &frame(tag, body));
        }
        for (client, bytes) in &parts {
            r.feed(if *client { Side::Client } else { Side::Upstream }, bytes);
        }
    }
}
