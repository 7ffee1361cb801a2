//! Contents of files, inspected.
use super::{Driver, Field, L, N, S, opened, packet, status};
use doorward_detect::TypeSet;
use proptest::prelude::*;

const CARD: &[u8] = b"card 4111 1111 1111 1111 end";
const HEAD: usize = 13;

/// Answers what the driver sent upstream since the last call as a server of one file would.
fn serve(d: &mut Driver, file: &[u8], most: usize) {
    while !d.to_upstream.is_empty() && d.fault.is_none() {
        let sent = std::mem::take(&mut d.to_upstream);
        let mut at = 0;
        while at < sent.len() {
            let number = |from: usize| u32::from_be_bytes(sent[from..from + 4].try_into().unwrap());
            let (length, kind, id) = (number(at) as usize, sent[at + 4], number(at + 5));
            let reply = if kind == 5 {
                let offset = u64::from_be_bytes(sent[at + 14..at + 22].try_into().unwrap()) as usize;
                let count = (number(at + 22) as usize).min(most);
                let rest = file.get(offset.min(file.len())..).unwrap();
                let block = &rest[..count.min(rest.len())];
                if block.is_empty() { status(id, 1) } else { packet(103, &[N(id), S(block)]) }
            } else {
                status(id, 0)
            };
            d.feed(false, &reply, 1 << 20);
            at += 4 + length;
        }
    }
}

fn read(id: u32, offset: u64, count: u32) -> Vec<u8> {
    packet(5, &[N(id), S(b"h"), L(offset), N(count)])
}

/// What a client sees that reads in this order; `None` for what it is refused.
fn seen(file: &[u8], reads: &[(u64, u32)], most: usize) -> (Vec<Option<Vec<u8>>>, Driver) {
    let mut d = opened(TypeSet::all(), 1);
    let mut all = Vec::new();
    for (n, (offset, count)) in reads.iter().enumerate() {
        d.to_client.clear();
        d.feed(true, &read(n as u32 + 2, *offset, *count), 1000);
        serve(&mut d, file, most);
        let reply = &d.to_client;
        let end_of_file = reply[4] == 101 && reply[12] == 1;
        all.push(if reply[4] == 103 || end_of_file {
            Some(if end_of_file { Vec::new() } else { reply[HEAD..].to_vec() })
        } else {
            None
        });
    }
    (all, d)
}

#[test]
fn a_value_is_not_shown_and_nothing_after_it() {
    let file = [vec![b'x'; 9000], CARD.to_vec(), vec![b'y'; 9000]].concat();
    let (all, d) = seen(&file, &[(0, 4096), (4096, 8192), (0, 4096)], usize::MAX);
    assert_eq!(all, [Some(vec![b'x'; 4096]), None, None]);
    assert!(d.log.contains(&"withheld /srv/x at 4096: credit_card".to_owned()), "{:?}", d.log);
    let told = String::from_utf8_lossy(&d.to_client).into_owned();
    assert!(told.contains("a value of type credit_card was found; a masked file would be another file: refused"));
}

#[test]
fn no_part_of_a_value_is_shown_however_reads_cut_it() {
    let file = [vec![b'x'; 5000], CARD.to_vec(), vec![b'y'; 100]].concat();
    // Backwards, byte by byte, over the edges: each read is judged by itself.
    for at in 5005..5024 {
        let (all, _) = seen(&file, &[(at, 1)], usize::MAX);
        assert_eq!(all, [None], "byte {at}");
    }
    let (all, _) = seen(&file, &[(5004, 1), (5024, 1), (0, 5005), (5024, 1000)], usize::MAX);
    assert!(all.iter().all(Option::is_some));
}

#[test]
fn short_answers_are_asked_for_again() {
    let file: Vec<u8> = (0..20_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    let (all, _) = seen(&file, &[(0, 9000), (9000, 32_768), (20_000, 10)], 1000);
    assert_eq!(all, [Some(file[..9000].to_vec()), Some(file[9000..].to_vec()), Some(Vec::new())]);
    let (all, d) = seen(&file, &[(0, 9000)], 7);
    assert_eq!(all, [None], "too many parts");
    assert!(!d.log.iter().any(|l| l.contains("withheld")));
}

#[test]
fn a_read_that_goes_on_ends_with_its_handle() {
    let mut d = opened(TypeSet::all(), 1);
    d.feed(true, &read(2, 0, 100), 1000);
    d.feed(true, &packet(4, &[N(3), S(b"h")]), 1000);
    d.to_upstream.clear();
    d.feed(false, &packet(103, &[N(2), S(b"part")]), 1000);
    assert!(d.to_upstream.is_empty(), "the handle may be another file's by now");
    assert_eq!(d.to_client[4], 101);
}

#[test]
fn without_hidden_types_all_is_passed_as_it_is() {
    let mut d = opened(TypeSet::NONE, 1);
    d.feed(true, &read(2, 10, 100), 1000);
    assert_eq!(d.to_upstream, read(2, 10, 100));
    let reply = packet(103, &[N(2), Field::S(CARD)]);
    d.feed(false, &reply, 1000);
    assert_eq!(d.to_client, reply);
}

#[test]
fn chance_is_no_finding_and_text_beside_zeroes_is() {
    let noise: Vec<u8> = (0..40_u8).map(|n| n.wrapping_mul(37) | 0x80).collect();
    let refused = |file: &[u8]| seen(file, &[(0, 1000)], usize::MAX).0 == [None];
    assert!(!refused(&[&noise, b"\x01k@q.de\x02".as_slice(), &noise].concat()));
    assert!(!refused(&[&noise, b"\x01a1:2::3\x02".as_slice(), &noise].concat()));
    assert!(refused(b"fe80::1:2 and 10.20.30.40"));
    assert!(refused(&[&noise, b"\x01ada.lovelace@example.com\x02".as_slice(), &noise].concat()), "too long for chance");
    assert!(refused(&[&noise, b"\x014111111111111111\x02".as_slice(), &noise].concat()), "no chance writes cards");
    let joined = [&noise, b"\xf8ada.lovelace@example.com\xf9\xf9".as_slice(), &noise].concat();
    assert!(refused(&joined), "bytes beside it do not hide it");
    assert!(refused(b"caf\xe9: m\xfcller@q.de, Stra\xdfe"), "text that is not UTF-8");
    assert!(refused(b"k@q.de"));
    assert!(refused("grüße an k@q.de, größer".as_bytes()));
    assert!(refused(b"\0\0\0\0\0\0\x05k@q.de\0\0\0\0\0\0\0\0"));
}

#[test]
fn kept_parts_are_bounded() {
    let mut d = opened(TypeSet::all(), 1);
    for id in 0..40 {
        d.feed(true, &read(id + 2, 0, 250_000), 1000);
        let part = vec![b'x'; 100_000];
        d.feed(false, &packet(103, &[N(id + 2), S(&part)]), 1 << 20);
    }
    assert!(d.to_client.windows(8).any(|w| w == b"too many"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Clean files arrive whole, in whatever way they are read and served.
    #[test]
    fn clean_files_arrive(length in 0_usize..40_000, count in 500_u32..30_000, most in 2000_usize..40_000) {
        let file: Vec<u8> = (0..length).map(|n| b'a' + (n % 23) as u8).collect();
        let reads: Vec<(u64, u32)> = (0..=length as u64 / u64::from(count)).map(|n| (n * u64::from(count), count)).collect();
        let (all, _) = seen(&file, &reads, most);
        let whole: Vec<u8> = all.into_iter().flat_map(|part| part.unwrap()).collect();
        prop_assert_eq!(whole, file);
    }

    /// Of a value no byte arrives, in whatever way it is read.
    #[test]
    fn values_do_not_arrive(before in 0_usize..9000, offset in 0_u64..9000, count in 1_u32..9000) {
        let file = [vec![b'x'; before], CARD.to_vec(), vec![b'y'; 5000]].concat();
        let (all, _) = seen(&file, &[(offset, count)], usize::MAX);
        let value = before as u64 + 5..before as u64 + 24;
        let touches = offset < value.end && offset + u64::from(count) > value.start;
        prop_assert_eq!(all[0].is_none(), touches);
    }
}
