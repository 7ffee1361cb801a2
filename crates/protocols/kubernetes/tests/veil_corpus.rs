//! The corpora of `fuzz/` are replayed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
#![allow(unreachable_pub, unused_crate_dependencies, reason = "shared with the fuzzer")]
mod copied;
mod veiled;

fn corpus(of: &str) -> Vec<Vec<u8>> {
    let dir = format!("{}/../../../fuzz/corpus/{of}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_dir(dir).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap()).collect()
}

#[test]
fn the_corpus_of_objects_is_replayed() {
    let hidden = corpus("veil").iter().filter(|data| veiled::play(data)).count();
    assert!(hidden >= 5, "the corpus reaches too little: {hidden} objects with something hidden");
}

#[test]
fn the_corpus_of_copies_is_replayed() {
    let files: usize = corpus("copy").iter().map(|data| copied::play(data)).sum();
    assert!(files >= 2, "the corpus reaches too little: {files} files");
}
