//! The corpus of `fuzz/` is replayed.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(unreachable_pub, unused_crate_dependencies, reason = "shared with the fuzzer")]
mod conversation;

#[test]
fn the_corpus_of_spdy_is_replayed() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus/spdy");
    let played =
        std::fs::read_dir(dir).unwrap().map(|e| conversation::play(&std::fs::read(e.unwrap().path()).unwrap()));
    let most = played.max().unwrap();
    assert!(most >= 8, "the corpus reaches too little: {most} frames");
}
