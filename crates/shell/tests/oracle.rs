//! Real shells as judges: whatever program they run was foreseen, or the text was called opaque.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::expect_used, clippy::panic, reason = "tests")]
use doorward_model::{Action, Resource};
use doorward_shell::{Login, analyse};
use proptest::prelude::*;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

/// Programs that only say that they were run.
const STUBS: [&str; 6] = ["p1", "p2", "p3", "p4", "p5", "p6"];

/// A directory of stubs; nothing else is on the path of the shells.
fn stubs() -> &'static PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("doorward-oracle-{}", std::process::id()));
        fs::create_dir_all(dir.join("work")).unwrap();
        for name in STUBS {
            let file = dir.join(name);
            fs::write(&file, format!("#!/bin/sh\necho {name} >> \"$ORACLE_LOG\"\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    })
}

/// The shells of this machine.
fn shells() -> Vec<Vec<&'static str>> {
    let known = [vec!["/bin/bash"], vec!["/bin/dash"], vec!["/bin/busybox", "sh"], vec!["/bin/zsh", "--emulate", "sh"]];
    known.into_iter().filter(|s| s.first().is_some_and(|f| std::path::Path::new(f).exists())).collect()
}

fn ran(shell: &[&str], text: &str) -> Vec<String> {
    // A log for each run: a program in the background may outlive its shell, and must not be taken for the next one's.
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let dir = stubs();
    let log = dir.join(format!("log-{}", RUNS.fetch_add(1, Ordering::Relaxed)));
    let (program, arguments) = shell.split_first().unwrap();
    let _whatever_status = Command::new("/usr/bin/timeout")
        .args(["-s", "KILL", "2", program])
        .args(arguments)
        .args(["-c", text])
        .env_clear()
        .env("PATH", dir)
        .env("HOME", dir.join("work"))
        .env("ORACLE_LOG", &log)
        .current_dir(dir.join("work"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let ran = fs::read_to_string(&log).unwrap_or_default().lines().map(ToOwned::to_owned).collect();
    let _may_be_none = fs::remove_file(&log);
    ran
}

fn foreseen(text: &str) -> Option<Vec<String>> {
    let facts = analyse(text.as_bytes(), Login::default()).facts;
    if facts.accesses.iter().any(|a| a.action == Action::Opaque) {
        return None;
    }
    let name = |a: &doorward_model::Access| match &a.resource {
        Resource::Program { name, .. } => Some(name.to_string()),
        _ => None,
    };
    Some(facts.accesses.iter().filter_map(name).collect())
}

/// False where the text is opaque: there is nothing to judge then.
fn judge(text: &str) -> bool {
    let Some(foreseen) = foreseen(text) else { return false };
    for shell in shells() {
        for program in ran(&shell, text) {
            assert!(foreseen.contains(&program), "{shell:?} ran `{program}`, not foreseen in `{text}`: {foreseen:?}");
        }
    }
    true
}

#[test]
fn texts_by_hand() {
    assert!(shells().len() >= 2, "bash and dash are needed");
    // The judge sees what runs; both sides of a pipe run at once, so nothing is said of their order.
    let mut seen = ran(&["/bin/bash"], "p1 | p2; $(p3)");
    seen.sort();
    assert_eq!(seen, ["p1", "p2", "p3"]);
    let texts = [
        "p1 && p2 || p3",
        "p1 &> f; p2",
        "p1 >& f",
        "echo a #p1\np2",
        "p\\\n1",
        "x=p1; $x",
        "x=p1; x=p2 $x",
        "(x=p2); x=p1; $x",
        "case a in a) p1;; b) p2;; esac",
        "case a in (a|b) p1;& c) p2;; esac",
        "for x in p1 p2; do $x; done",
        "if p1; then p2; else p3; fi",
        "until p1; do p2; break; done",
        "p1() { p2; }; p1",
        "if false; then p1() { p2; }; fi; p1",
        "f() { p3; }; x=f; $x",
        "cat <<E\n`p1` $(p2)\nE\n",
        ": <<'E'\n$(p1)\nE\np2",
        ": <<-E\n\tx\n\tE\np3",
        "echo \"`p1`\" '`p2`'",
        "echo \"a\\`p1\\`\"",
        "eval 'p1; p2'",
        "eval p1 '&&' p2",
        "trap p4 EXIT",
        "! p1",
        "{ p1; } | { p2; }",
        "p1 & p2",
        "p1;p2;",
        "[[ a && p1 ]]",
        "[[ a > p1 ]]",
        "a=(p1 p2)",
        "echo {p1,p2}",
        "echo $((1+1)); p1",
        "((p1))",
        "(p1);(p2)",
        "((p1);p2)",
        "function f { p1; }; f",
        "time p1",
        "time -p p2",
        "x=$(p1) p2",
        "p1 < /dev/null > /dev/null 2>&1",
        "3>&1 p1",
        "$(echo p1)",
        "`echo p1`",
        "command p1",
        "exec p1; p2",
        "echo ${x:-`p1`}",
        "echo \"${x:-\"$(p1)\"}\"",
        "echo ${x:+$(p1)}",
        "x=; $x p1",
        "'' p1",
        "$EMPTY p1",
        "\"\" p1",
        "p1\r",
        "p1\u{a0}p2",
        "coproc p1",
        "select x in a; do p1; done",
        "p1 |& p2",
        "cat <(p1)",
        "x='p1 p2'; $x",
        "IFS=1; x=a1p2; $x",
        "alias p1=p2\np1",
        "set -- p1; $1",
        "\"$@\" p1",
        "$* p2",
        "~/p1",
        "p1;;p2",
        "while read x; do p1; done <<E\na\nE",
        "echo a|while read x; do p2; done",
        "f()\n{ p1; }\nf",
        "f() (p2); f",
        "p1\n\n\np2",
        "x=p1 ; \\$x",
        "echo \\`p1\\`",
        "echo \\$(p1)",
        "p1 #\np2",
        "echo a;#p1\np2",
        "p1 2>f& p2",
        "x=a{p1,p2}; $x",
        ": ${y:=p1}; $y",
        "x=; : ${x:=p1}; \"$x\"",
        "x=p1; unset x; x=p2; $x",
        "x=p1; readonly x; $x",
        "export x=p3; $x",
        "local x=p1",
        "x+=p1; $x",
        "x=p; x+=1; $x",
        "for x in 1; do x=p2; done; $x",
        "x=p1; while false; do x=p2; done; $x",
        "x=p1; true && x=p2; $x",
        "x=p1 | x=p2; $x",
    ];
    let judged = texts.iter().filter(|text| judge(text)).count();
    assert!(judged > texts.len() / 2, "most of them are understood: {judged} of {}", texts.len());
}

/// How many texts are made up; `ORACLE_CASES` for a longer search.
fn cases() -> u32 {
    std::env::var("ORACLE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn texts_by_chance(pieces in prop::collection::vec(prop::sample::select(vec![
        "p1", "p2", "p3", " ", " ", " ", "\n", ";", "&&", "||", "|", "&", "(", ")", "{ ", "; }", "$(", ")", "`", "\"", "'", "\\", "x=p4", "$x",
        "${x:-p5}", "if ", "; then ", "; fi", "for x in p1 p6; do ", "; done", "while ", "; do ", "case p1 in ", "p1) ", ";; ", "esac", "f() { ",
        "f", "eval ", "<<E\n", "\nE\n", "> o", "< i", "2>&1", "#", "!", "[[ ", " ]]", "~", "*", "echo ", "export x=p2", "exec ", "command ", "unset x",
    ]), 1..14)) {
        let _understood = judge(&pieces.concat());
    }
}
