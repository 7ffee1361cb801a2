//! The corpus of `fuzz/` is replayed.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(unreachable_pub, unused_crate_dependencies, reason = "shared with the fuzzer")]
mod mysql_reading;

#[test]
fn the_corpus_of_texts_is_replayed() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/mysql");
    let all = std::fs::read_dir(dir).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap());
    let read = all.filter(|data| mysql_reading::play(data)).count();
    assert!(read >= 20, "the corpus reaches too little: {read} texts that are understood");
}
