//! The corpus of `fuzz/` is replayed.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(unreachable_pub, unused_crate_dependencies, reason = "shared with the fuzzer")]
mod conversation;

#[test]
fn the_corpus_of_sessions_is_replayed() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus/mysql_session");
    let all = std::fs::read_dir(dir).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap());
    let sent: usize = all.map(|data| conversation::play(&data)).sum();
    assert!(sent >= 3_400, "the corpus reaches too little: {sent} bytes sent upstream");
}
