//! A fuzzer's bytes as a conversation. The fuzz target shares it.
use super::Driver;
use doorward_detect::TypeSet;

/// Takes bytes off a fuzzer's input; zeroes when it has ended.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn some(&mut self, most: u8) -> &'a [u8] {
        let n = usize::from(self.byte() % (most + 1)).min(self.0.len());
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }

    fn pick(&mut self, from: &[&'static [u8]]) -> &'static [u8] {
        from.get(usize::from(self.byte()) % from.len()).copied().unwrap_or_default()
    }
}

const PATHS: &[&[u8]] =
    &[b"/x", b"/y", b"/z", b"/srv/secret", b"a/../b", b".", b"", b"~", b"/proc/1/root/x", b"/\xff\n"];
const HANDLES: &[&[u8]] = &[b"h", b"h", b"h", b"h", b"i", b"i", b"j", b""];
const EXTENSIONS: &[&[u8]] = &[
    b"posix-rename@openssh.com",
    b"statvfs@openssh.com",
    b"fstatvfs@openssh.com",
    b"fsync@openssh.com",
    b"limits@openssh.com",
    b"copy-data",
    b"users-groups-by-id@openssh.com",
    b"other",
];
const CONTENTS: &[&[u8]] = &[b"", b"plain text", b"card 4111 1111 1111 1111", b"4111 1111 ", b"1111 1111"];
const REQUESTS: &[u8] = &[3, 3, 3, 11, 5, 5, 5, 6, 6, 4, 8, 9, 10, 12, 13, 14, 16, 17, 18, 20, 200, 200];

/// Appends one field that suits a place in a packet, or another.
fn field(out: &mut Vec<u8>, source: &mut Source<'_>) {
    match source.byte() % 8 {
        0 | 1 => string(out, source.pick(PATHS)),
        2 | 3 => string(out, source.pick(HANDLES)),
        4 => out.extend(u32::from(source.byte()).to_be_bytes()),
        5 => out.extend(u64::from(source.byte()).to_be_bytes()),
        6 => string(out, source.pick(CONTENTS)),
        _ => out.extend_from_slice(source.some(9)),
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u32).to_be_bytes());
    out.extend_from_slice(text);
}

/// A request with the fields that it should have, more or less.
fn request(source: &mut Source<'_>, id: u8) -> Vec<u8> {
    let kind = REQUESTS.get(usize::from(source.byte()) % REQUESTS.len()).copied().unwrap_or_default();
    let mut out = vec![kind, 0, 0, 0, id];
    match kind {
        3 => {
            string(&mut out, source.pick(PATHS));
            out.extend([0, 0, 0, source.byte() % 32, 0, 0, 0, 0]);
        }
        4 | 8 | 12 => string(&mut out, source.pick(HANDLES)),
        5 => {
            string(&mut out, source.pick(HANDLES));
            out.extend([0, 0, 0, 0, 0, 0, source.byte() % 32, source.byte(), 0, 0, 0, source.byte()]);
        }
        6 => {
            string(&mut out, source.pick(HANDLES));
            out.extend(u64::from(source.byte()).to_be_bytes());
            string(&mut out, source.pick(CONTENTS));
        }
        11 | 13 | 16 | 17 => string(&mut out, source.pick(PATHS)),
        18 | 20 => {
            string(&mut out, source.pick(PATHS));
            string(&mut out, source.pick(PATHS));
        }
        200 => {
            string(&mut out, source.pick(EXTENSIONS));
            (0..source.byte() % 5).for_each(|_| field(&mut out, source));
        }
        _ => (0..source.byte() % 4).for_each(|_| field(&mut out, source)),
    }
    out
}

/// A reply, for the most part one that its request can have.
fn reply(source: &mut Source<'_>, (id, request): (u32, u8)) -> Vec<u8> {
    let fits = match request {
        3 | 11 => 102,
        5 => 103,
        12 | 16 => 104,
        7 | 8 | 17 => 105,
        200 => 201,
        _ => 101,
    };
    let kind = match source.byte() % 64 {
        0..48 => fits,
        48..63 => 101,
        _ => source.byte(),
    };
    let mut out = vec![kind];
    out.extend(id.to_be_bytes());
    match kind {
        101 => {
            out.extend([0, 0, 0, source.byte() % 3]);
            string(&mut out, b"m");
            string(&mut out, b"");
        }
        102 => string(&mut out, source.pick(HANDLES)),
        103 => string(&mut out, source.pick(CONTENTS)),
        104 => {
            out.extend([0, 0, 0, 1]);
            string(&mut out, source.pick(PATHS));
            string(&mut out, b"");
            out.extend([0; 4]);
        }
        105 => out.extend([0; 4]),
        _ => (0..source.byte() % 5).for_each(|_| field(&mut out, source)),
    }
    out
}

fn framed(body: &[u8]) -> Vec<u8> {
    [(body.len() as u32).to_be_bytes().as_slice(), body].concat()
}

/// One side's next packet: for the most part one that could be.
fn step(source: &mut Source<'_>, id: u8, asked: &mut Vec<(u32, u8)>) -> (bool, Vec<u8>) {
    match source.byte() % 128 {
        0..70 => (true, framed(&request(source, id))),
        70..126 if !asked.is_empty() => {
            let which = usize::from(source.byte()) % asked.len();
            (false, framed(&reply(source, asked.swap_remove(which))))
        }
        70..126 => (true, framed(&request(source, id))),
        n => (n == 126, framed(&[&[source.byte()], source.some(40)].concat())),
    }
}

/// The requests that came out for the upstream.
fn sent(mut bytes: &[u8]) -> Vec<(u32, u8)> {
    let mut all = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (packet, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        if let [kind, a, b, c, d, ..] = packet {
            all.push((u32::from_be_bytes([*a, *b, *c, *d]), *kind));
        }
        bytes = rest;
    }
    all
}

/// Plays a conversation twice, packet by packet and in pieces: both come to the same.
pub(crate) fn play(bytes: &[u8], cut: usize) -> Driver {
    let mut source = Source(bytes);
    let hidden = if source.byte() % 2 == 0 { TypeSet::NONE } else { TypeSet::all() };
    let (mut whole, mut pieces) = (Driver::new(hidden), Driver::new(hidden));
    let mut version = vec![2, 0, 0, 0, 3];
    for name in EXTENSIONS {
        let value: &[u8] = if name.ends_with(b"statvfs@openssh.com") { b"2" } else { b"1" };
        for text in [name, value] {
            version.extend((text.len() as u32).to_be_bytes());
            version.extend_from_slice(text);
        }
    }
    let mut steps = vec![(true, framed(&[1, 0, 0, 0, 3])), (false, framed(&version))];
    let (mut asked, mut known, mut id) = (Vec::new(), 0, 0_u8);
    while whole.fault.is_none() {
        if steps.is_empty() {
            if source.0.is_empty() {
                break;
            }
            // Now and then the number of one that is not answered yet.
            id = if source.byte() == 255 { id } else { id.wrapping_add(1) };
            steps.push(step(&mut source, id, &mut asked));
        }
        let (from_client, packet) = steps.remove(0);
        whole.feed(from_client, &packet, usize::MAX);
        pieces.feed(from_client, &packet, cut);
        let new = whole.to_upstream.get(known..).unwrap_or_default();
        asked.extend(sent(new).into_iter().filter(|(_, kind)| *kind != 1));
        known = whole.to_upstream.len();
    }
    assert_eq!(whole.log, pieces.log);
    assert_eq!(whole.to_client, pieces.to_client);
    assert_eq!(whole.to_upstream, pieces.to_upstream);
    whole.end();
    whole
}
