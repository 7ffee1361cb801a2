//! Random peers: no panic, the same however the streams are cut, and what follows a handle follows an open
//! one (the driver's model holds that). The corpus of `fuzz/` is replayed here.
use super::{Driver, sftp};
use doorward_detect::TypeSet;
use proptest::prelude::*;

#[path = "conversation.rs"]
mod conversation;
use conversation::play;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_conversation_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 1_usize..40) {
        play(&bytes, cut);
    }

    #[test]
    fn no_bytes_break_it(client in prop::collection::vec(any::<u8>(), 0..200), upstream in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut d = super::greeted(TypeSet::all());
        d.feed(true, &client, 13);
        if d.fault.is_none() {
            d.feed(false, &upstream, 13);
        }
        d.sftp.end();
        assert!(matches!(d.sftp.next(), Err(sftp::Fault::ClientMisbehaved { .. } | sftp::Fault::UpstreamMisbehaved { .. } | sftp::Fault::Bug { .. })));
    }
}

#[test]
fn the_corpus_is_replayed() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus/sftp");
    let mut reached = [0_usize; 4];
    for entry in std::fs::read_dir(dir).unwrap() {
        let d: Driver = play(&std::fs::read(entry.unwrap().path()).unwrap(), 5);
        let has = |word: &str| usize::from(d.log.iter().any(|l| l.contains(word)));
        let seen = [has("open"), has("follow 5"), has("refused"), has("Download") | has("Upload")];
        reached.iter_mut().zip(seen).for_each(|(all, n)| *all += n);
    }
    assert!(reached.iter().all(|n| *n >= 2), "the corpus reaches too little: {reached:?}");
}
