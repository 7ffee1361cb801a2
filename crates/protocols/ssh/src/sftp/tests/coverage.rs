//! Every packet and every extension: what becomes of it is what the table says.
use super::{Field, L, N, S, greeted, opened, packet, sftp};
use doorward_detect::TypeSet;
use std::collections::BTreeMap;

/// A well-formed request of a kind, on the handle `h` or the path `/x`.
fn sample(kind: u8, extension: Option<&'static str>) -> Vec<u8> {
    const PATH: Field<'static> = S(b"/x");
    const HANDLE: Field<'static> = S(b"h");
    let fields: &[Field<'static>] = match (kind, extension) {
        (3, _) => &[PATH, N(1), N(0)],
        (4 | 8 | 12, _) => &[HANDLE],
        (5, _) => &[HANDLE, L(0), N(1)],
        (6, _) => &[HANDLE, L(0), S(b"")],
        (7 | 11 | 13 | 15 | 16 | 17 | 19, _) => &[PATH],
        (9 | 14, _) => &[PATH, N(0)],
        (10, _) => &[HANDLE, N(0)],
        (18 | 20, _) => &[PATH, PATH],
        (200, Some("posix-rename@openssh.com" | "hardlink@openssh.com")) => &[PATH, PATH],
        (200, Some("statvfs@openssh.com" | "expand-path@openssh.com")) => &[PATH],
        (200, Some("fstatvfs@openssh.com" | "fsync@openssh.com")) => &[HANDLE],
        (200, Some("lsetstat@openssh.com")) => &[PATH, N(0)],
        (200, Some("copy-data")) => &[HANDLE, L(0), L(0), HANDLE, L(0)],
        (200, Some("home-directory")) => &[S(b"")],
        (200, Some("users-groups-by-id@openssh.com")) => &[S(b""), S(b"")],
        _ => &[],
    };
    let name: Vec<Field<'static>> = extension.into_iter().map(|name| S(name.as_bytes())).collect();
    packet(kind, &[&[N(9)], name.as_slice(), fields].concat())
}

/// What becomes of a packet from the client: the words that the table's treatment has to begin with.
fn outcome(packet: &[u8]) -> String {
    let mut d = opened(TypeSet::NONE, 3);
    d.feed(true, packet, 1000);
    let forwarded = !d.to_upstream.is_empty();
    match d.log.first().map(String::as_str).unwrap_or_default() {
        text if d.fault.is_some() => format!("ends the channel: {text}"),
        text if text.starts_with("refused") => {
            assert!(!forwarded && d.to_client.get(4) == Some(&101), "{text}");
            format!("status {}", d.to_client[12])
        }
        text if text.starts_with("follow") => "follows its handle".to_owned(),
        text => {
            assert!(forwarded, "{text}");
            let accesses = text.split(": ").nth(1).unwrap();
            let actions: Vec<&str> = accesses.split(", ").map(|a| a.split(' ').next().unwrap()).collect();
            actions.join(" ")
        }
    }
}

#[test]
fn every_number_is_covered() {
    let requests: BTreeMap<u8, &str> = [
        (1, "ends the channel"),
        (3, "read_file"),
        (4, "follows"),
        (5, "follows"),
        (6, "follows"),
        (7, "list_files"),
        (8, "follows"),
        (9, "alter_file"),
        (10, "alter_file"),
        (11, "list_files"),
        // On the handle of a file.
        (12, "status 4"),
        (13, "remove_file"),
        (14, "write_file"),
        (15, "remove_file"),
        (16, "list_files"),
        (17, "list_files"),
        (18, "read_file write_file remove_file"),
        (19, "list_files"),
        (20, "read_file write_file"),
        // Without a name.
        (200, "status 5"),
    ]
    .into();
    for kind in 0..=255 {
        let want = requests.get(&kind).copied().unwrap_or("status 8");
        let got = outcome(&sample(kind, None));
        assert!(got.starts_with(want), "{kind}: {got}, not {want}");
        let known = sftp::COVERAGE.iter().any(|row| row.number == kind);
        let is_reply = matches!(kind, 2 | 101..=105 | 201);
        assert_eq!(known, requests.contains_key(&kind) || is_reply, "{kind}");
    }
}

#[test]
fn every_extension_is_covered() {
    let want: BTreeMap<&str, &str> = [
        ("posix-rename@openssh.com", "read_file write_file remove_file"),
        ("statvfs@openssh.com", "list_files"),
        ("fstatvfs@openssh.com", "follows"),
        ("hardlink@openssh.com", "read_file write_file"),
        ("fsync@openssh.com", "follows"),
        ("lsetstat@openssh.com", "alter_file"),
        ("limits@openssh.com", "connect"),
        ("expand-path@openssh.com", "list_files"),
        ("copy-data", "follows"),
        ("home-directory", "connect"),
        ("users-groups-by-id@openssh.com", "connect"),
    ]
    .into();
    for row in sftp::COVERAGE.iter().filter(|row| row.version.is_some()) {
        let got = outcome(&sample(200, Some(row.name)));
        assert!(got.starts_with(want[row.name]), "{}: {got}", row.name);
    }
    assert_eq!(want.len(), sftp::COVERAGE.iter().filter(|row| row.version.is_some()).count());
    for unknown in ["", "flock@openssh.com", "check-file", "text-seek", "vendor-id", "COPY-DATA"] {
        assert_eq!(outcome(&packet(200, &[N(9), S(unknown.as_bytes())])), "status 8", "{unknown}");
    }
}

#[test]
fn extensions_that_the_upstream_does_not_have_are_unsupported() {
    let mut d = super::Driver::new(TypeSet::NONE);
    d.feed(true, &packet(1, &[N(3)]), 1000);
    d.feed(false, &packet(2, &[N(3), S(b"statvfs@openssh.com"), S(b"3")]), 1000);
    d.to_client.clear();
    d.feed(true, &sample(200, Some("statvfs@openssh.com")), 1000);
    assert_eq!(d.to_client[12], 8);
}

/// A reply passes for the requests that can have it, and no others.
#[test]
fn replies_fit_their_requests() {
    let reply = |kind: u8| match kind {
        101 => packet(101, &[N(9), N(4), S(b"m"), S(b"")]),
        102 => packet(102, &[N(9), S(b"new")]),
        103 => packet(103, &[N(9), S(b"d")]),
        104 => packet(104, &[N(9), N(1), S(b"n"), S(b"long"), N(0)]),
        105 => packet(105, &[N(9), N(0)]),
        _ => packet(kind, &[N(9)]),
    };
    let fits: BTreeMap<u8, u8> =
        [(3, 102), (11, 102), (5, 103), (16, 104), (19, 104), (7, 105), (8, 105), (17, 105)].into();
    for request in (3..=20).filter(|n| *n != 12) {
        for kind in 0..=255 {
            let mut d = opened(TypeSet::NONE, 3);
            d.feed(true, &sample(request, None), 1000);
            d.feed(false, &reply(kind), 1000);
            let passes = kind == 101 || fits.get(&request) == Some(&kind);
            assert_eq!(d.fault.is_none(), passes, "{request} answered by {kind}");
        }
    }
    let mut d = greeted(TypeSet::NONE);
    d.feed(true, &sample(11, None), 1000);
    d.feed(false, &packet(102, &[N(9), S(b"h")]), 1000);
    d.feed(true, &sample(12, None), 1000);
    d.feed(false, &packet(104, &[N(9), N(0)]), 1000);
    assert!(d.fault.is_none(), "a directory may be empty");
}
