#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]
mod evasions;

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn read(text: &str) -> String {
    let analysis = analyse(text.as_bytes(), Login::default());
    let mut out: Vec<String> = analysis
        .facts
        .accesses
        .iter()
        .map(|a| {
            let root = if a.as_root { " as root" } else { "" };
            format!("{} {}{root}", a.action, a.resource.local_id()).replace(" {}", "")
        })
        .collect();
    out.extend(analysis.protocol.map(|p| format!("{p:?}")));
    out.join("\n")
}

#[allow(clippy::needless_pass_by_value, reason = "expect! makes values")]
fn check(text: &str, expect: Expect) {
    expect.assert_eq(&read(text));
}

fn opaque(text: &str) -> Vec<String> {
    let analysis = analyse(text.as_bytes(), Login::default());
    let what = |a: &Access| match &a.resource {
        Resource::Opaque { what } => Some(what.to_string()),
        _ => None,
    };
    analysis.facts.accesses.iter().filter_map(what).collect()
}

fn programs_of(text: &str) -> Vec<String> {
    let analysis = analyse(text.as_bytes(), Login::default());
    let name = |a: &Access| match &a.resource {
        Resource::Program { name, .. } => Some(name.to_string()),
        _ => None,
    };
    analysis.facts.accesses.iter().filter_map(name).collect()
}

#[test]
fn plain_commands() {
    check("uptime", expect![[r"run_program uptime"]]);
    check(
        "cat /etc/passwd notes.txt",
        expect![[r"
            read_file /etc/passwd
            read_file ~/notes.txt
            run_program cat /etc/passwd notes.txt"]],
    );
    check(
        "cd /srv/app && git status; rm -rf build",
        expect![[r#"
            remove_file /srv/app/build
            remove_file /srv/app/build/
            remove_file ~/build
            remove_file ~/build/
            run_program git status
            run_program rm -rf build"#]],
    );
    check("echo hi", expect!["connect "]);
    check(
        "ls > /tmp/out 2>&1 < /dev/null",
        expect![[r"
            write_file /tmp/out
            list_files ~
            run_program ls"]],
    );
}

#[test]
fn pipes_lists_and_substitutions() {
    check(
        "ps aux | grep ssh && (reboot; true) || echo \"$(id -u)\" `hostname`",
        expect![[r"
            run_program grep ssh
            run_program hostname
            run_program id -u
            run_program ps aux
            run_program reboot"]],
    );
    check(
        "for f in a b; do rm /x/$f; done",
        expect![[r"
            remove_file /x/a
            remove_file /x/b
            run_program rm /x/a
            run_program rm /x/b"]],
    );
    check(
        "x=/etc; if test -f y; then x=/tmp; fi; ls $x",
        expect![[r#"
            list_files ~/y
            run_program ls $x
            opaque an argument of `ls` that is only known when it runs (a variable): `$x`"#]],
    );
    check(
        "f() { rm /a; }; f; while read l; do g; done <<E\nx\nE\n",
        expect![[r#"
            remove_file /a
            run_program g
            run_program rm /a
            opaque the function `f`"#]],
    );
}

#[test]
fn wrappers_are_looked_through() {
    check(
        "sudo -u root -- rm /etc/x",
        expect![[r#"
            assume root as root
            remove_file /etc/x as root
            run_program rm /etc/x as root
            run_program sudo -u root -- rm /etc/x"#]],
    );
    check(
        "sudo -iu root",
        expect![[r#"
            assume root as root
            run_program sudo -iu root
            shell  as root"#]],
    );
    check(
        "env A=1 nice -n 5 timeout -k 1 5s nohup id",
        expect![[r#"
            run_program env A=1 nice -n 5 timeout -k 1 5s nohup id
            run_program id
            run_program nice -n 5 timeout -k 1 5s nohup id
            run_program nohup id
            run_program timeout -k 1 5s nohup id
            set_variable A"#]],
    );
    check(
        r"find /var/log -name '*.gz' -exec rm {} \; -delete",
        expect![[r#"
            remove_file /var/log
            remove_file /var/log/
            remove_file /var/log/{}
            list_files /var/log
            list_files /var/log/
            run_program find /var/log -name '*.gz' -exec rm '{}' ';' -delete
            run_program rm '/var/log/{}'
            run_program rm /var/log"#]],
    );
    check(
        "su - postgres -c 'psql -l'",
        expect![[r#"
            assume postgres
            run_program psql -l
            run_program su - postgres -c 'psql -l'
            opaque code that `psql` reads from standard input"#]],
    );
    check(
        "bash -c 'sh -c \"rm /a\"'",
        expect![[r#"
        remove_file /a
        run_program bash -c 'sh -c "rm /a"'
        run_program rm /a
        run_program sh -c 'rm /a'"#]],
    );
}

#[test]
fn shells_that_read_commands() {
    check(
        "bash",
        expect![[r"
        run_program bash
        shell "]],
    );
    check(
        "bash <<'E'\nrm /a\nE\n",
        expect![[r"
        remove_file /a
        run_program bash
        run_program rm /a"]],
    );
    for text in ["curl x | sh", "bash < f", "echo cm0gL2E= | base64 -d | bash", "cat f | sudo bash -s"] {
        assert!(opaque(text).iter().any(|o| o == "a text that is read by a shell"), "{text}: {:?}", opaque(text));
    }
}

#[test]
fn transfers() {
    check(
        "scp -t /srv/x",
        expect![[r"
        write_file /srv/x
        run_program scp -t /srv/x
        scp /srv/x
        ScpSink"]],
    );
    check(
        "scp -r -f data",
        expect![[r"
        read_file ~/data
        read_file ~/data/
        run_program scp -r -f data
        scp ~/data
        scp ~/data/
        ScpSource"]],
    );
    check(
        "rsync --server --sender -logDtpre.iLsfxCIvu . /srv/www/",
        expect![[r"
        read_file /srv/www
        read_file /srv/www/
        run_program rsync --server --sender -logDtpre.iLsfxCIvu . /srv/www/
        rsync /srv/www
        rsync /srv/www/
        Rsync"]],
    );
    check(
        "git-receive-pack '/srv/git/a.git'",
        expect![[r"
        write_file /srv/git/a.git
        run_program git-receive-pack /srv/git/a.git
        git_receive_pack /srv/git/a.git
        GitReceivePack"]],
    );
    assert!(!opaque("scp -t /x; id").is_empty());
    assert!(!opaque("/usr/lib/openssh/sftp-server && true").is_empty());
}

/// Each of these hides what it does; each is either seen through or opaque, never missed.
#[test]
fn obfuscated_commands_are_decided() {
    // What `rm` and `cat /etc/passwd` look like when somebody does not want them to be seen.
    let seen = [
        r"r\m /a",
        r#""rm" /a"#,
        "'r'm /a",
        "/bin/rm /a",
        "/usr/../bin/./rm /a",
        "x=rm; $x /a",
        "x=r; y=m; \"$x$y\" /a",
        "busybox rm /a",
        "command rm /a",
        "exec rm /a",
        "eval 'rm /a'",
        "eval rm /a",
        "env rm /a",
        "env -i rm /a",
        "nohup rm /a &",
        "sh -c 'rm /a'",
        "bash -lc 'rm /a'",
        "true && rm /a",
        "false || rm /a",
        "(rm /a)",
        "{ rm /a; }",
        "if true; then rm /a; fi",
        "echo `rm /a`",
        "echo \"$(rm /a)\"",
        "echo ${x:-$(rm /a)}",
        "cat <(rm /a)",
        "cat <<E\n$(rm /a)\nE",
        "f() { rm /a; }; f",
        "trap 'rm /a' EXIT",
        "time rm /a",
        "! rm /a",
        "coproc_is_not_read=1; rm /a",
        "xargs rm < f",
        "find . -exec rm {} +",
        "sudo rm /a",
        "timeout 5 rm /a",
        "setsid rm /a",
        "stdbuf -o0 rm /a",
        "case x in x) rm /a;; esac",
        "rm \\\n /a",
        "A=1 rm /a",
        ">/dev/null rm /a",
        "2>&1 rm /a",
        "watch rm /a",
        "flock /l rm /a",
        "flock /l -c 'rm /a'",
        "builtin command rm /a",
        "function f { rm /a; }",
        "while rm /a; do :; done",
        "x=$(y=$(rm /a))",
        "script -qc 'rm /a' /dev/null",
    ];
    for text in seen {
        assert!(programs_of(text).iter().any(|p| p == "rm"), "{text}: {}", read(text));
    }
    let hidden = [
        "$(echo) rm /a",
        "cat${IFS}/etc/passwd",
        "c${x}at /etc/passwd",
        "$'\\x72\\x6d' /a",
        "/bin/c?t /etc/passwd",
        "cat /etc/pass*",
        "$(printf 'r%s' m) /a",
        "echo cm0gL2E= | base64 -d | sh",
        "printf '\\x72\\x6d' | xargs -I{} sh -c {}",
        "python3 -c 'import os'",
        "perl -e 'unlink 1'",
        "ruby -e 1",
        "node -e 1",
        "awk 'BEGIN{system(\"id\")}'",
        "alias ls=rm; ls",
        "hash -p /bin/rm ls; ls",
        "${x@P}",
        "echo $((a[$(id)]))",
        "let 'a[$(id)]=1'",
        "eval \"$x\"",
        "bash -c \"$x\"",
        ". ./f",
        "source f",
        "enable -f ./x.so x",
        "vim",
        "tar cf /dev/null --checkpoint-action=exec=id /x",
        "find / -files0-from f",
        "ssh other id",
        "{r,}m /a",
        "r${x:-}m /a",
        "cat /proc/self/root/etc/passwd",
        "cat ../../etc/passwd",
        "cat ~root/.ssh/id_rsa",
        "read x; $x",
        "sed '1e id' f",
        "git -c core.pager=id log",
        "IFS=x; cat",
        "x='rm /a'; $x",
        "printf -v x id; $x",
        "[[ -v 'a[$(id)]' ]]",
        "test -v 'a[$(id)]'",
        "xargs < f",
        "nsenter -t 1 -m id",
        "/lib64/ld-linux-x86-64.so.2 /bin/rm",
        "man -P id ls",
        "declare -n x=y",
        "sh",
        "ksh -s",
        "fish -c 'rm /a'",
        "\u{1b}[A",
        "rm\r/a",
        "echo 'unclosed",
        "((x=1))",
        "select x in a; do :; done",
        "sudo -u $x id",
        "env -S 'rm /a'",
        "su -s /tmp/sh",
        "bash -O extglob -c id",
        "exec 3<>/dev/tcp/h/x",
    ];
    for text in hidden {
        let shell = read(text).lines().any(|l| l.starts_with("shell "));
        assert!(!opaque(text).is_empty() || shell, "{text}: {}", read(text));
    }
}

#[test]
fn what_has_no_secrets_is_not_opaque() {
    let plain = [
        "ls -la /srv",
        "grep -rn foo /srv/app",
        "systemctl status nginx",
        "docker ps",
        "df -h",
        "tail -n 100 /var/log/x",
        "cd /srv && make -j4 test",
        "x=1; echo $x",
        "echo $HOME '$(id)'",
        "kill -9 123",
        "echo done > /tmp/x",
        "test -f /x && echo yes || echo no",
        "[ -d /srv ] && ls /srv",
        "sed -n '1,20p' /x",
        "sed 's/a/b/g' /x",
        "awk '{print $1}' /x",
        "git log --oneline -5",
        "curl -s http://localhost:8080/health",
        "printf '%s\\n' a",
        "set -euo pipefail; make",
        "export LANG=C; sort /x",
        "for i in 1 2 3; do echo $i; done",
        "mkdir -p /x/y",
        "cat <<'E' > /tmp/x\n$(id)\nE\n",
        "echo a; # rm -rf /\n",
        "python3 /srv/app/run.py --fast",
    ];
    for text in plain {
        assert!(opaque(text).is_empty(), "{text}: {:?}", opaque(text));
    }
}

#[test]
fn nesting_is_bounded_and_linear() {
    for unit in
        ["(", "$(", "`", "${x:-", "\"$(", "{ ", "if ", "f() { ", "sh -c '", "<(", "case x in x) ", "! ", "time "]
    {
        let text = unit.repeat(60_000 / unit.len());
        assert!(!opaque(&text).is_empty(), "{unit}");
    }
    for unit in
        ["a;", "a|", "a&&", "x=1 ", "$x", "{", "~:", "<<E ", "a$(b)", "\\\n", "[", "[a]= ", "((", "''", "#\n", "a() "]
    {
        let text = unit.repeat(120_000 / unit.len());
        let _decided = read(&text);
    }
    for unit in [
        "env ",
        "find -exec ",
        "find . -exec find {} -exec ",
        "nice env ",
        "xargs ",
        "busybox ",
        "command ",
        "sudo ",
        "eval ",
    ] {
        let text = format!("{} cat {{}} +", unit.repeat(60_000 / unit.len()));
        assert!(!opaque(&text).is_empty(), "{unit}");
    }
    let nested = (0..15).fold("rm /a".to_owned(), |inner, _| format!("$({inner})"));
    assert!(programs_of(&format!("echo {nested}")).contains(&"rm".to_owned()));
}

#[test]
fn words_without_a_shell() {
    let facts = analyse_words(&["cat", "$(id)", "a;b"], Login { is_root: true }).facts;
    assert!(facts.accesses.iter().all(|a| a.as_root));
    assert!(facts.accesses.iter().any(|a| a.resource.local_id() == "cat '$(id)' 'a;b'"));
    let facts = analyse_words(&["sh", "-c", "rm /a"], Login::default()).facts;
    assert!(facts.accesses.iter().any(|a| a.action == Action::RemoveFile));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _decided = analyse(text.as_bytes(), Login::default());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _decided = analyse(&bytes, Login::default());
    }

    #[test]
    fn shell_like_texts_do_not_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "rm", " ", "\"", "'", "$", "(", ")", "{", "}", "`", "\\", ";", "&", "|", "<", ">", "<<E", "\n", "E", "if", "then",
        "fi", "do", "done", "case", "in", "esac", "x=", "$x", "*", "~", "#", "sudo", "-c", "eval", "!", "[[", "]]", "((",
    ]), 0..40)) {
        let _decided = analyse(pieces.concat().as_bytes(), Login::default());
    }
}

#[test]
fn files_in_options_are_seen() {
    for (text, wanted) in [
        ("sort -o /etc/x a", "write_file /etc/x"),
        ("sort -ro/etc/x a", "write_file /etc/x"),
        ("sort --out=/etc/x", "write_file /etc/x"),
        ("wc --files0-from=/etc/shadow", "read_file /etc/shadow"),
        ("du --files0=/etc/shadow", "read_file /etc/shadow"),
        ("uniq a /etc/x", "write_file /etc/x"),
        ("xxd -r a /etc/x", "write_file /etc/x"),
        ("file -f /etc/shadow", "read_file /etc/shadow"),
        ("tree -o /etc/x", "write_file /etc/x"),
        ("date -f /etc/shadow", "read_file /etc/shadow"),
        ("date -fshadow", "read_file ~/shadow"),
    ] {
        assert!(read(text).contains(wanted), "{text}: {}", read(text));
    }
    assert!(!opaque("sort --compress-program=/tmp/x a").is_empty());
    assert!(!opaque("sort --comp=x a").is_empty());
    let plain = read("tail -c +46 /srv/a; head -n 5 /srv/a; sort --key=2 /srv/a; ls --color=auto /srv");
    assert!(!plain.contains("46\n") && !plain.contains("~/") && !plain.contains("write_file"), "{plain}");
}

#[test]
fn lines_that_go_on_are_known() {
    for open in [
        "for i in 1 2",
        "if true",
        "if true; then",
        "while :; do",
        "echo 'a",
        "echo \"a",
        "echo $(",
        "(ls",
        "{ ls",
        "ls |",
        "ls &&",
        "ls ||",
        "echo \\",
        "cat <<EOF",
        "cat <<EOF\nx",
        "case x in",
        "f() {",
        "echo `ls",
    ] {
        assert!(is_incomplete(open), "{open}");
    }
    for whole in [
        "",
        "ls",
        "echo 'a'",
        "for i in 1; do ls; done",
        "cat <<EOF\nx\nEOF",
        "echo \\\\",
        "ls )",
        "fi",
        "a | | b",
        "# x",
        "ls &",
    ] {
        assert!(!is_incomplete(whole), "{whole}");
    }
}

#[test]
fn a_line_is_read_where_the_shell_is() {
    let shown = |text: &str, directory: Option<&str>| {
        let all: Vec<String> =
            analyse_line(text, Login::default(), directory).facts.accesses.iter().map(ToString::to_string).collect();
        all.join(", ")
    };
    assert!(shown("cat shadow", Some("/etc")).contains("read_file on File `/etc/shadow`"));
    assert!(shown("cat x", Some("~/a")).contains("read_file on File `~/a/x`"));
    assert!(shown("cat x", None).contains("opaque"));
    assert!(shown("cd /etc; cat x", Some("~")).contains("/etc/x"));
    assert!(shown("$x", Some("~")).contains("opaque"), "what an earlier line set is not known");
    assert!(shown("ls() { rm -rf /; }", Some("~")).contains("opaque"));
    assert!(shown("alias ls=rm", Some("~")).contains("opaque"));
    assert!(shown("PATH=/tmp", Some("~")).contains("set_variable"));
    let bash = shown("bash", Some("~"));
    assert!(bash.contains("shell on Connection"), "what is typed into it is not read: {bash}");
}

/// Command lines of the fuzzer's corpus, whole, cut anywhere and with bytes turned: each is decided, or opaque.
#[test]
fn the_corpus_is_replayed() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/shell");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        for end in 0..=text.len() {
            let cut = text.get(..end).unwrap();
            assert!(!analyse(cut, Login::default()).facts.accesses.is_empty());
            if let Ok(line) = std::str::from_utf8(cut) {
                let _goes_on = is_incomplete(line);
                assert!(!analyse_line(line, Login::default(), Some("~")).facts.accesses.is_empty());
            }
            let mut turned = text.clone();
            if let Some(byte) = turned.get_mut(end) {
                *byte ^= 0x11;
            }
            assert!(!analyse(&turned, Login::default()).facts.accesses.is_empty());
        }
        seen += 1;
    }
    assert!(seen >= 40, "{seen}");
}
