//! A real bash as judge, watched by strace: what it runs and opens was foreseen, or the text was called opaque.
//!
//! Texts are made up (`texts.rs`) and run in a scratch directory of their own (`sandbox.rs`): as `nobody`, without a
//! network, with a few programs on the path, for a second at most. What strace saw is read by `trace.rs` and compared
//! with the facts (`judge.rs`). A longer search, and texts that were tried by hand:
//! `TRACED_CASES=5000 TRACED_SEED=7 TRACED_TEXTS=tests/traced/tried.txt cargo test -p doorward-shell --test traced`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]
mod judge;
mod sandbox;
mod texts;
mod trace;

use sandbox::Sandbox;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Texts by hand that a search once found, or that show that the judge sees.
const BY_HAND: &[&str] = &[
    "cat a; cp b d; mv c d; rm -r e",
    "for f in a b; do gzip \"$f\"; done",
    "grep -vf a b; grep -r x d; ls -R d",
    "find d -type f -exec cat {} +",
    "tar cf x.tar d; tar xf x.tar -C e",
    "sed -i.bak s/x/y/ a",
    "f=a; cat \"$f\" > d/out",
];

#[test]
fn what_runs_and_opens_was_foreseen() {
    let Some(sandbox) = Sandbox::prepare() else { return };
    assert_eq!(judge::holes(&sandbox, "cat a").expect("readable"), Vec::<String>::new());
    let blind = judge::compare("true", &sandbox.run("cat a; rm b"));
    assert!(
        blind.iter().any(|h| h.contains("a")) && blind.iter().any(|h| h.contains("b")),
        "the judge sees: {blind:?}"
    );
    let mut made = texts::Maker::new(number("TRACED_SEED", 1));
    let cases = number("TRACED_CASES", 180);
    let (mut opaque, mut found) = (0, Vec::new());
    let made_up = (0..cases).map(|_| made.text());
    // Lines of a file, tried by hand (those of tried.txt, which take a minute): `\n` in them is a newline.
    let tried = std::env::var("TRACED_TEXTS").ok().map(|file| std::fs::read_to_string(file).unwrap());
    let tried = tried.iter().flat_map(|t| t.lines()).map(|l| l.replace("\\n", "\n"));
    for text in BY_HAND.iter().map(|t| (*t).to_owned()).chain(tried).chain(made_up) {
        match judge::holes(&sandbox, &text) {
            None => opaque += 1,
            Some(holes) => found.extend(holes.into_iter().map(|hole| format!("{hole}\n    in: {text:?}"))),
        }
    }
    println!("{cases} texts, {opaque} of them opaque");
    assert!(found.is_empty(), "{} holes:\n{}", found.len(), found.join("\n"));
}
