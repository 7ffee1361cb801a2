//! Transcripts, packet by packet.
mod coverage;
mod driver;
mod inspection;
mod properties;

use crate::sftp;
use doorward_detect::TypeSet;
use driver::Driver;
use expect_test::{Expect, expect};
use sftp::{Fault, Next};

/// A field of a packet.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    N(u32),
    L(u64),
    S(&'a [u8]),
}
use Field::{L, N, S};

fn packet(kind: u8, fields: &[Field<'_>]) -> Vec<u8> {
    let mut body = vec![kind];
    for field in fields {
        match field {
            N(n) => body.extend(n.to_be_bytes()),
            L(n) => body.extend(n.to_be_bytes()),
            S(text) => {
                body.extend((text.len() as u32).to_be_bytes());
                body.extend_from_slice(text);
            }
        }
    }
    [(body.len() as u32).to_be_bytes().as_slice(), &body].concat()
}

fn status(id: u32, code: u32) -> Vec<u8> {
    packet(101, &[N(id), N(code), S(b"text"), S(b"")])
}

/// A channel on which both sides have greeted, the upstream with all that Doorward understands.
fn greeted(hidden: TypeSet) -> Driver {
    let mut d = Driver::new(hidden);
    d.feed(true, &packet(1, &[N(6)]), 1000);
    let mut fields = vec![N(3)];
    for row in sftp::COVERAGE {
        fields.extend(row.version.into_iter().flat_map(|v| [S(row.name.as_bytes()), S(v.as_bytes())]));
    }
    d.feed(false, &packet(2, &fields), 1000);
    d.to_client.clear();
    d.to_upstream.clear();
    d
}

/// One request, as it is decided or refused.
fn check(kind: u8, fields: &[Field<'_>], expect: Expect) {
    let mut d = greeted(TypeSet::NONE);
    d.feed(true, &packet(kind, fields), 7);
    expect.assert_eq(&d.log.join("\n"));
}

/// Opens a file with handle `h` under request 1.
fn opened(hidden: TypeSet, flags: u32) -> Driver {
    let mut d = greeted(hidden);
    d.feed(true, &packet(3, &[N(1), S(b"/srv/x"), N(flags), N(0)]), 1000);
    d.feed(false, &packet(102, &[N(1), S(b"h")]), 1000);
    d.to_client.clear();
    d.to_upstream.clear();
    d.log.clear();
    d
}

#[test]
fn version_three_is_spoken_whatever_the_peers_offer() {
    let mut d = Driver::new(TypeSet::NONE);
    d.feed(true, &packet(1, &[N(6), S(b"x"), S(b"y")]), 3);
    assert_eq!(d.to_upstream, packet(1, &[N(3)]));
    d.feed(true, &packet(16, &[N(1), S(b".")]), 3);
    assert_eq!(d.to_upstream, packet(1, &[N(3)]), "nothing goes before the upstream has answered");
    let extensions =
        [S(b"copy-data"), S(b"1"), S(b"copy-data"), S(b"1"), S(b"fsync@openssh.com"), S(b"9"), S(b"z"), S(b"1")];
    d.feed(false, &packet(2, &[&[N(3)], extensions.as_slice()].concat()), 3);
    assert_eq!(d.to_client, packet(2, &[N(3), S(b"copy-data"), S(b"1")]));
    assert!(d.to_upstream.ends_with(&packet(16, &[N(1), S(b".")])));
    for bad in [packet(1, &[N(2)]), packet(3, &[N(1)]), vec![0, 0, 0, 0], vec![0, 4, 0, 1]] {
        let mut d = Driver::new(TypeSet::NONE);
        d.feed(true, &bad, 100);
        assert!(matches!(d.fault, Some(Fault::ClientMisbehaved { .. })), "{bad:?}");
    }
    for bad in [packet(2, &[N(2)]), packet(2, &[N(6)]), packet(101, &[N(3)]), packet(2, &[N(3), N(1)])] {
        let mut d = Driver::new(TypeSet::NONE);
        d.feed(true, &packet(1, &[N(3)]), 100);
        d.feed(false, &bad, 100);
        assert!(matches!(d.fault, Some(Fault::UpstreamMisbehaved { .. })), "{bad:?}");
    }
}

#[test]
fn opens_ask_for_what_their_flags_say() {
    let open = |flags, expect| check(3, &[N(1), S(b"/srv/x"), N(flags), N(0)], expect);
    open(1, expect!["sftp open /srv/x (read): read_file on File `/srv/x`"]);
    open(0x1a, expect!["sftp open /srv/x (write, create, truncate): write_file on File `/srv/x`"]);
    open(3, expect!["sftp open /srv/x (read, write): read_file on File `/srv/x`, write_file on File `/srv/x`"]);
    open(8, expect!["sftp open /srv/x (create): read_file on File `/srv/x`, write_file on File `/srv/x`"]);
    open(0, expect!["sftp open /srv/x: read_file on File `/srv/x`"]);
    open(
        0x41,
        expect![
            "sftp open /srv/x (read, 0x40): read_file on File `/srv/x`, opaque on Opaque `flags of an open that SFTP does not define`"
        ],
    );
    let mode = |flags, expect| check(3, &[N(1), S(b"/x"), N(flags), N(4), N(0o4755)], expect);
    mode(10, expect!["sftp open /x (write, create, mode 4755): write_file on File `/x`"]);
    mode(1, expect!["sftp open /x (read, mode 4755): read_file on File `/x`, alter_file on File `/x`"]);
}

#[test]
fn paths_are_named_as_policies_see_them() {
    let stat = |path: &[u8], expect| check(17, &[N(1), S(path)], expect);
    stat(b"notes//./a", expect!["sftp stat notes//./a: list_files on File `~/notes/a`"]);
    stat(b"/a/../b", expect!["sftp stat /a/../b: list_files on File `/b`, opaque on Opaque `a path with `..`: `/b``"]);
    stat(
        b"/a\n",
        expect![[r"sftp stat /a\n: list_files on File `/a
`, opaque on Opaque `a path with control characters: `/a\n``"]],
    );
    stat(b"/a\0", expect!["refused sftp path: a path with a zero byte"]);
    stat(&[b'a'; 5000], expect!["refused sftp path: a path longer than 4096 bytes"]);
    check(16, &[N(1), S(b".")], expect!["sftp realpath .: connect on Connection"]);
    check(16, &[N(1), S(b"/a/..")], expect!["sftp realpath /a/..: list_files on File `/`"]);
    check(
        16,
        &[N(1), S(b"..")],
        expect![
            "sftp realpath ..: list_files on File `~/..`, opaque on Opaque `a path that climbs out of the home directory: `~/..``"
        ],
    );
}

#[test]
fn what_changes_names_asks_for_both() {
    let both = [N(1), S(b"/a"), S(b"/b")];
    check(
        18,
        &both,
        expect!["sftp rename /a to /b: read_file on File `/a`, write_file on File `/b`, remove_file on File `/a`"],
    );
    check(
        20,
        &[N(1), S(b"t"), S(b"/srv/l")],
        expect![
            "sftp symlink t to /srv/l: read_file on File `/srv/l`, read_file on File `/srv/t`, write_file on File `/srv/l`, write_file on File `/srv/t`"
        ],
    );
    check(
        200,
        &[N(1), S(b"hardlink@openssh.com"), S(b"/a"), S(b"/b")],
        expect![
            "sftp hardlink /a to /b: read_file on File `/a`, read_file on File `/b`, write_file on File `/a`, write_file on File `/b`"
        ],
    );
    check(
        9,
        &[N(1), S(b"/a"), N(1), L(0)],
        expect!["sftp setstat /a (size 0): write_file on File `/a`, alter_file on File `/a`"],
    );
    check(
        9,
        &[N(1), S(b"/a"), N(0x8000_0000), N(1), S(b"k"), S(b"v")],
        expect![
            "sftp setstat /a (extended): alter_file on File `/a`, opaque on Opaque `attributes that SFTP does not define`"
        ],
    );
    check(14, &[N(1), S(b"/d"), N(0)], expect!["sftp mkdir /d: write_file on File `/d`"]);
}

#[test]
fn what_was_refused_is_answered_and_the_channel_lives_on() {
    let mut d = greeted(TypeSet::NONE);
    d.feed(true, &packet(3, &[N(7), S(b"/secret"), N(1), N(0)]), 1000);
    d.feed(true, &packet(13, &[N(8), S(b"/x")]), 1000);
    assert_eq!(d.to_upstream, packet(13, &[N(8), S(b"/x")]), "of the two the second alone goes");
    assert_eq!(d.to_client.get(4..13).unwrap(), [101, 0, 0, 0, 7, 0, 0, 0, 3]);
    d.to_client.clear();
    d.feed(false, &status(8, 0), 1000);
    assert_eq!(d.to_client, status(8, 0), "passed as it is");
}

#[test]
fn only_open_handles_are_followed() {
    let read = |id, handle: &'static [u8]| packet(5, &[N(id), S(handle), L(0), N(10)]);
    let mut d = opened(TypeSet::NONE, 1);
    d.feed(true, &read(2, b"h"), 1000);
    d.feed(true, &read(3, b"other"), 1000);
    d.feed(true, &packet(6, &[N(4), S(b"h"), L(0), S(b"data")]), 1000);
    d.feed(true, &packet(12, &[N(5), S(b"h")]), 1000);
    d.feed(true, &packet(4, &[N(6), S(b"h")]), 1000);
    d.feed(true, &read(7, b"h"), 1000);
    expect![[r#"
        follow 5
        refused sftp read: invalid handle
        refused sftp write /srv/x: invalid handle: not open for writing
        refused sftp readdir of a file: invalid handle
        follow 4
        refused sftp read: invalid handle"#]]
    .assert_eq(&d.log.join("\n"));
    assert_eq!(d.to_upstream, [read(2, b"h"), packet(4, &[N(6), S(b"h")])].concat());

    let mut d = opened(TypeSet::NONE, 2);
    d.feed(true, &read(2, b"h"), 1000);
    assert_eq!(d.log, ["refused sftp read /srv/x: invalid handle: not open for reading"]);
}

#[test]
fn what_was_taken_back_can_only_be_closed() {
    let mut d = opened(TypeSet::NONE, 1);
    let handles = d.sftp.open_handles();
    assert_eq!(d.sftp.stream_permit(handles[0]).unwrap().facts().accesses.len(), 1);
    d.feed(true, &packet(5, &[N(2), S(b"h"), L(0), N(10)]), 1000);
    d.sftp.revoke(handles[0], "no longer allowed");
    d.feed(false, &packet(103, &[N(2), S(b"data")]), 1000);
    d.feed(true, &packet(8, &[N(3), S(b"h")]), 1000);
    d.feed(true, &packet(4, &[N(4), S(b"h")]), 1000);
    assert!(!d.to_client.windows(4).any(|w| w == b"data"));
    assert_eq!(d.log, ["follow 5", "refused sftp fstat /srv/x: no longer allowed", "follow 4"]);
}

#[test]
fn a_copy_within_the_upstream_needs_both_handles() {
    let copy = |from: &'static [u8], to: &'static [u8]| {
        packet(200, &[N(9), S(b"copy-data"), S(from), L(0), L(0), S(to), L(0)])
    };
    let mut d = opened(TypeSet::NONE, 1);
    d.feed(true, &packet(3, &[N(2), S(b"/srv/y"), N(2), N(0)]), 1000);
    d.feed(false, &packet(102, &[N(2), S(b"w")]), 1000);
    d.feed(true, &copy(b"w", b"h"), 1000);
    d.feed(true, &copy(b"h", b"w"), 1000);
    expect![[r#"
        sftp open /srv/y (write): write_file on File `/srv/y`
        refused sftp copy-data /srv/x: invalid handle: not open for this
        follow 200"#]]
    .assert_eq(&d.log.join("\n"));
}

#[test]
fn transfers_are_told_with_their_digest() {
    let mut d = opened(TypeSet::NONE, 2);
    d.feed(true, &packet(6, &[N(2), S(b"h"), L(0), S(b"hello ")]), 1000);
    d.feed(true, &packet(6, &[N(3), S(b"h"), L(6), S(b"world")]), 1000);
    d.feed(false, &status(3, 0), 1000);
    d.feed(false, &status(2, 0), 1000);
    d.feed(true, &packet(4, &[N(4), S(b"h")]), 1000);
    d.feed(false, &status(4, 0), 1000);
    // sha256("hello world") = b94d27b9…
    assert_eq!(d.log.last().unwrap(), "Upload /srv/x: 11 bytes, sha256 b94d…");

    let mut d = opened(TypeSet::NONE, 1);
    d.feed(true, &packet(5, &[N(2), S(b"h"), L(5), N(9)]), 1000);
    d.feed(false, &packet(103, &[N(2), S(b"data")]), 1000);
    d.end();
    assert!(d.log.contains(&"Download /srv/x: 4 bytes, no digest, cut off".to_owned()), "{:?}", d.log);
}

#[test]
fn replies_must_match() {
    let bad = [
        status(9, 0),
        packet(103, &[N(2), S(b"")]),
        packet(105, &[N(2), N(16)]),
        packet(105, &[N(2), N(1)]),
        packet(105, &[N(2), N(0), N(0)]),
        packet(2, &[N(3)]),
        packet(77, &[N(2)]),
    ];
    for reply in bad {
        let mut d = greeted(TypeSet::NONE);
        d.feed(true, &packet(17, &[N(2), S(b"/x")]), 1000);
        d.feed(false, &reply, 1000);
        assert!(matches!(d.fault, Some(Fault::UpstreamMisbehaved { .. })), "{reply:?}");
        assert!(d.to_client.is_empty());
    }
    let mut d = opened(TypeSet::NONE, 1);
    d.feed(true, &packet(5, &[N(2), S(b"h"), L(0), N(3)]), 1000);
    d.feed(false, &packet(103, &[N(2), S(b"four")]), 1000);
    assert!(d.fault.is_some(), "more data than were asked for");
    let mut d = opened(TypeSet::NONE, 1);
    d.feed(true, &packet(3, &[N(2), S(b"/y"), N(1), N(0)]), 1000);
    d.feed(false, &packet(102, &[N(2), S(b"h")]), 1000);
    assert!(d.fault.is_some(), "one handle for two files");
}

#[test]
fn clients_cannot_confuse_replies() {
    let mut d = greeted(TypeSet::NONE);
    d.feed(true, &packet(17, &[N(2), S(b"/x")]), 1000);
    d.feed(true, &packet(13, &[N(2), S(b"/x")]), 1000);
    assert!(matches!(d.fault, Some(Fault::ClientMisbehaved { .. })));
    let mut d = greeted(TypeSet::NONE);
    d.feed(true, &packet(13, &[N(2), S(b"/x"), N(0)]), 1000);
    assert_eq!(d.log, ["refused sftp request, malformed: a request: 4 bytes too many"]);
    d.feed(true, &packet(1, &[N(3)]), 1000);
    assert!(d.fault.is_some(), "a second INIT");
}

#[test]
fn what_waits_is_bounded() {
    let mut d = greeted(TypeSet::NONE);
    for id in 0..1100 {
        d.feed(true, &packet(17, &[N(id), S(b"/x")]), 1000);
    }
    assert!(!d.sftp.wants_client());
    assert_eq!(d.log.len(), sftp::MOST_REQUESTS);
    for id in 0..100 {
        d.feed(false, &packet(105, &[N(id), N(0)]), 1000);
    }
    assert_eq!(d.log.len(), 1100);
    let mut d = greeted(TypeSet::NONE);
    for id in 0..1001 {
        d.feed(true, &packet(3, &[N(id), S(b"/x"), N(1), N(0)]), 1000);
        if id < 1000 {
            d.feed(false, &packet(102, &[N(id), N(4), N(id)]), 1000);
        }
    }
    assert_eq!(d.log.last().unwrap(), "refused sftp open /x: too many files are open");
    assert!(d.sftp.handle_client(&vec![0; 2 * 1024 * 1024]).is_err());
    assert!(d.sftp.next().is_err() && !d.sftp.wants_client());
}

#[test]
fn limits_are_not_promised_beyond_what_passes() {
    let ask = packet(200, &[N(2), S(b"limits@openssh.com")]);
    let reply = |l: [u64; 4]| packet(201, &[N(2), L(l[0]), L(l[1]), L(l[2]), L(l[3])]);
    for (hidden, read) in [(TypeSet::NONE, 261_120), (TypeSet::all(), 261_120 - 8192)] {
        let mut d = greeted(hidden);
        d.feed(true, &ask, 1000);
        d.feed(false, &reply([0, 1 << 30, 4096, 1 << 20]), 1000);
        assert_eq!(d.to_client, reply([262_144, read, 4096, 1000]));
    }
}

#[test]
fn the_same_is_asked_until_it_is_answered() {
    let mut s =
        sftp::Sftp::new(Default::default(), sftp::ContentCheck { detector: Default::default(), hidden: TypeSet::NONE });
    s.handle_client(&packet(1, &[N(3)])).unwrap();
    assert!(matches!(s.next(), Ok(Next::Greet { .. })));
    s.handle_upstream(&packet(2, &[N(3)])).unwrap();
    s.handle_client(&packet(17, &[N(2), S(b"/x")])).unwrap();
    assert!(matches!(s.next(), Ok(Next::Decide(_))));
    assert!(matches!(s.next(), Ok(Next::Decide(_))));
    s.refused("no\n");
    assert!(matches!(s.next(), Ok(Next::Idle)));
    assert!(s.to_client().ends_with("no\u{fffd}\0\0\0\0".as_bytes()));
}
