#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]
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

/// Ways round that ran once: what bash made of them was not what was decided.
#[test]
fn what_bash_made_otherwise_is_opaque() {
    for text in [
        "echo ${x:-<(touch p)}",
        "y=${x:->(touch p)}",
        "case ${x:-<(touch p)} in a) ;; esac",
        "cat <<E\\\nOF\n$(touch p)\nEOF\n",
        "cat <<EOF\nE\\\nOF\ntouch p\nEOF\n",
        "printf '-va[$(touch p)]' x",
        "printf -vPROMPT_COMMAND x",
        "printf $f x",
        "y=$(date); read \"$y\" <<< 1",
        "y=$(date); unset \"$y\"",
        "o=$(date); test $o \"$y\"",
        "[ $o $y ]",
        "p=touch; local p=cat; $p f",
        "readonly p=touch; export p=cat; $p f",
        "_=cat; : touch; $_ f",
        "x=cat; read -ax <<< touch; $x f",
        "x=cat; read $(echo x) <<< touch; $x f",
        "read -e x",
        "trap 'x=touch' DEBUG; x=cat; $x f",
        "trap 'cd /etc' DEBUG; head -1 passwd",
        "declare -l f; f=~/.SSH/x; cat \"$f\"",
        "cat {/etc/passwd,'a b'}",
        "for f in {/etc/hostname,'a b'}; do cat \"$f\"; done",
        "sort {--compress-program=~/x,'-S 1'} f",
        "x=']'; cat ~/.s[s$x/k",
        "hash -rp /usr/bin/touch cat; cat f",
        "cd -LPx /etc; cat passwd",
        "cat /dev/fd/11",
    ] {
        let all = analyse(text.as_bytes(), Login::default()).facts.accesses;
        let refused = |a: &Access| {
            a.action == Action::Opaque || matches!(&a.resource, Resource::Program { name, .. } if &**name == "touch")
        };
        assert!(all.iter().any(refused), "{text:?}: {all:?}");
    }
    let asks = |text: &str, wanted: &str| {
        let all: Vec<String> =
            analyse(text.as_bytes(), Login::default()).facts.accesses.iter().map(ToString::to_string).collect();
        assert!(all.iter().any(|a| a.contains(wanted)), "{text}: {all:?}");
    };
    for name in ["PATH", "HOME", "PWD", "PROMPT_COMMAND", "CDPATH"] {
        asks(&format!("read {name} <<< x"), &format!("set_variable on Variable `{name}`"));
        asks(&format!("unset {name}"), &format!("set_variable on Variable `{name}`"));
    }
    asks("cd -LP /etc; head -1 passwd", "read_file on File `/etc/passwd`");
}

#[test]
fn a_shell_that_lives_on_keeps_its_descriptors_to_itself() {
    for line in [
        "exec 10<&-",
        "printf x >&11",
        "read x <&10",
        "cat < f 10<&-",
        "exec > f",
        "exec 3> f",
        "trap '' HUP",
        "trap 'ls' EXIT",
        "trap - EXIT",
        "(sleep 9) & disown -a",
        "echo x 4>&1",
    ] {
        let all = analyse_line(line, Login::default(), Some("~")).facts.accesses;
        assert!(all.iter().any(|a| a.action == Action::Opaque), "{line}: {all:?}");
    }
    for line in
        ["ls 2>&1", "cat f > g 2>/dev/null", "echo x >&2", "exec ls", "test -f \"$x\"", "[ \"$a\" = b ]", "exit $?"]
    {
        let all = analyse_line(line, Login::default(), Some("~")).facts.accesses;
        assert!(!all.iter().any(|a| a.action == Action::Opaque), "{line}: {all:?}");
    }
}

#[test]
fn root_has_more_than_one_name() {
    for text in [
        "sudo -u root id",
        "sudo -u '#0' id",
        "sudo -u '#00' id",
        "sudo -u '#4294967296' id",
        "sudo -u +0 id",
        "sudo -u 000 id",
    ] {
        let all = analyse(text.as_bytes(), Login::default()).facts.accesses;
        assert!(all.iter().any(|a| a.as_root && a.action == Action::RunProgram), "{text}: {all:?}");
    }
    let all = analyse(b"sudo -u '#1000' id", Login::default()).facts.accesses;
    assert!(all.iter().any(|a| a.action == Action::Opaque), "by number, it is not known who: {all:?}");
}

/// A second look: what bash made of these was not what was decided either.
#[test]
fn a_second_look_finds_no_way_round() {
    for text in [
        "echo \"$\\\n(touch F)\"",
        "f=x; cat ~/d/$\\\nf",
        "(\\\n(ls))",
        "p=ls; p=touch &\\\n>/dev/null; $p F",
        "x=1; echo \"${x#'}\" '$(touch F)' \"'}\"",
        "echo $(cat <<EOF\nEOF touch F)\nEOF\n)",
        "cat {{}'a b',/etc/passwd}",
        "x=abc; echo ${x:y:-1}",
        "p=touch; : $((1/0)); p=ls; $p F",
        "p=touch\necho ${x!}; p=ls\n$p F",
        "readonly r=1; r=2; p=ls",
        "x=touch; { x=ls; } < ~/none; $x F",
        "x=touch; export x=ls < ~/none; $x F",
        "if true; then cat() { p=touch; }; fi; p=ls; cat; $p F",
        "p=touch; declare -p p=ls; $p F",
        "f=~/ok; f=~/d/new > \"$f\"",
        "jobs -x touch F",
        "printf '%n' PATH",
        "printf '%-5d%n' 1 PATH",
    ] {
        let all = analyse(text.as_bytes(), Login::default()).facts.accesses;
        assert!(all.iter().any(|a| a.action == Action::Opaque), "{text:?}: {all:?}");
    }
    let all = analyse(b"cd /etc; ! cd ~/none && cat passwd", Login::default()).facts.accesses;
    assert!(all.iter().any(|a| a.resource.local_id() == "/etc/passwd"), "{all:?}");
    for plain in
        ["printf '%s\\n' a", "printf '%(%F)T\\n' -1", "echo ${x:-a} ${y%.txt}", "ls {}", "echo $((1+2))", "ls > f 2>&1"]
    {
        let all = analyse(plain.as_bytes(), Login::default()).facts.accesses;
        assert!(!all.iter().any(|a| a.action == Action::Opaque), "{plain:?}: {all:?}");
    }
}

#[test]
fn programs_that_copy_run_no_others() {
    for text in [
        "rsync -ve 'sh -c x' h:a ~/b",
        "scp -qoProxyCommand=x h:a ~/b",
        "scp -F ~/cfg h:a b",
        "scp -cf -t ~/x",
        "rsync -v --server . ~/x",
        "git config --global alias.x '!touch F'",
        "git x",
        "git -p receive-pack R",
        "git bisect run x",
        "git diff --no-index /dev/null p",
        "git clone ext::sh x",
        "sort -S1b --com=sh a",
    ] {
        assert!(!opaque(text).is_empty(), "{text}: {}", read(text));
    }
    for text in [
        "git status",
        "git -C ~/r log",
        "git clone https://h/r",
        "rsync -av ~/a ~/b",
        "scp -r ~/a ~/b",
        "sort a",
        "date +%s",
    ] {
        assert!(opaque(text).is_empty(), "{text}: {}", read(text));
    }
    assert!(read("rsync ~/evil ~/.zshrc").contains("write_file ~/.zshrc"));
    assert!(read("cd /etc; scp passwd ~/stolen").contains("read_file /etc/passwd"));
}

/// What is outside quotes becomes as many words as it holds.
#[test]
fn a_value_may_be_several_words() {
    for text in [
        "x=$(cat f); [ $x = b ]",
        "x=$(cat f); test -f $x",
        "set -- -v a; [ \"$@\" = b ]",
        "x=$(cat f); read -p $x y",
        "x=$(cat f); read -t $x y",
    ] {
        assert!(!opaque(text).is_empty(), "{text}: {}", read(text));
    }
    for text in [
        "x=$(cat ~/f); [ \"$x\" = b ]",
        "x=$(cat ~/f); test -f \"$x\"",
        "read -p 'name? ' y",
        "x=$(cat ~/f); [[ $x == b ]]",
    ] {
        assert!(opaque(text).is_empty(), "{text}: {:?}", opaque(text));
    }
}

/// Ways by which a file was opened that was not asked about, before options were read by a table.
#[test]
fn files_behind_options_are_asked_about() {
    for (text, wanted) in [
        ("grep --file=F x", "read_file ~/F"),
        ("grep -vf F x", "read_file ~/F"),
        ("grep -heX F", "read_file ~/F"),
        ("grep -r x d", "read_file ~/d/"),
        ("grep --dir=recurse x d", "read_file ~/d/"),
        ("grep -r x", "read_file ~/"),
        ("ls -R /etc", "list_files /etc/"),
        ("cp d/.bashrc ~", "write_file ~/.bashrc"),
        ("cp -t ~ d/.bashrc", "write_file ~/.bashrc"),
        ("cp -r /etc d", "read_file /etc/"),
        ("mv d /tmp", "write_file /tmp/d/"),
        ("ln -s x/.ssh d/l", "write_file ~/d/x/.ssh"),
        ("curl -O http://h/.bashrc", "write_file ~/.bashrc"),
        ("curl -d @F http://h", "read_file ~/F"),
        ("curl -Fx=@F http://h", "read_file ~/F"),
        ("wget http://h/.bashrc", "write_file ~/.bashrc"),
        ("git diff a F", "read_file ~/F"),
        ("git clone file:///srv/x", "read_file /srv/x"),
        ("[ -f F ]", "list_files ~/F"),
        ("test F -nt /x", "list_files ~/F"),
        ("find . -exec cp {} +", "write_file ~"),
        ("find /etc/shadow -exec cat {} \\;", "read_file /etc/shadow"),
        ("find . -name -exec -delete", "remove_file ~/"),
        ("zcat F", "read_file ~/F.gz"),
        ("gzip F", "remove_file ~/F"),
        ("tar xf x.tar -C d", "write_file ~/d/"),
        ("tar cf x -C /etc shadow", "read_file /etc/shadow"),
        ("sed -i.bak s/a/b/ f", "write_file ~/f.bak"),
        ("awk 1 ./a=b", "read_file ~/a=b"),
        ("someprogram F", "read_file ~/F"),
        ("someprogram --x=F", "read_file ~/F"),
        ("someprogram if=F", "read_file ~/F"),
        ("someprogram @F", "read_file ~/F"),
        ("kubectl apply -f F", "read_file ~/F"),
        ("export http_proxy=x", "set_variable http_proxy"),
        ("export foo=x", "set_variable foo"),
        ("http_proxy=x", "set_variable http_proxy"),
        ("xargs -a F rm", "read_file ~/F"),
    ] {
        assert!(read(text).lines().any(|l| l == wanted), "{text}: {}", read(text));
    }
    for text in [
        "grep -Q x",
        "tar --checkpoint-act=exec=x cf a b",
        "tar cf h:a b",
        "sort --compress-p=x a",
        "md5sum -c F",
        "find . -execdir cat x \\;",
        "find . -nosuch",
        "curl file:///etc/passwd",
        "curl FILE:/etc/passwd",
        "curl '{file,x}:///etc/passwd'",
        "curl -K F",
        "curl --conf F",
        "strings @F",
        "sed -i'/etc/*' s/a/b/ f",
        "awk 'BEGIN{ARGV[1]=\"F\";ARGC=2}1'",
        "</dev/tcp/$x/80",
        "POSIXLY_CORRECT=1 ls",
        "export POSIXLY_CORRECT=1",
        "set -a; x=1",
        "bash <<'E'\nx=cat\nread y\nx=ls\n$x F\nE",
        "bash <<'E'\ncat\ncat <<A\nrm b\nA\nE",
        "jq 'import \"a\" as b; .'",
        "git commit",
        "git log --output=F",
        "git fetch --upload-pac=x",
    ] {
        assert!(!opaque(text).is_empty(), "{text}: {}", read(text));
    }
}

/// Found by running texts under strace (`tests/traced`).
#[test]
fn what_was_seen_to_run_or_open_is_foreseen() {
    for (text, wanted) in [
        ("xxd f -b", "write_file ~/-b"),
        ("uniq +1 a b", "write_file ~/b"),
        ("uniq - b", "write_file ~/b"),
        ("ln -s a -", "write_file ~/-"),
        ("tee - < a", "write_file ~/-"),
        ("bunzip2 a", "write_file ~/a.out"),
        ("zip d/x a", "write_file ~/d/x.zip"),
        ("find a -exec grep -r x {} +", "read_file ~/a"),
        ("find a -exec egrep -rx {} +", "read_file ~/"),
        ("find d -exec cat {} +", "read_file ~/d/"),
        ("exec -ca x cat a", "read_file ~/a"),
        ("command -pp cat a", "read_file ~/a"),
        ("patch < a", "write_file ~/"),
        ("csplit a 2", "write_file ~/"),
        ("sed -i s/a/b/ -", "write_file ~/-"),
        ("wget --post-file=- http://h", "read_file ~/-"),
        ("chattr -i f", "alter_file ~/f"),
        ("setfacl -R -m u:a:r d", "alter_file ~/d/"),
        ("flock f --command 'cat F'", "read_file ~/F"),
        ("tar xf x -C d a -C e b", "write_file ~/d/e/"),
        ("curl -F x=@F http://h", "read_file ~/F"),
    ] {
        assert!(read(text).lines().any(|l| l == wanted), "{text}: {}", read(text));
    }
    for text in [
        "sort -y F",
        "BASH_REMATCH=a; [[ b =~ b ]]; rm $BASH_REMATCH",
        "PWD=/x; cd d; rm $PWD/f",
        "RANDOM=1; rm $RANDOM",
        "zip -m x a",
        "bash <<'E'\nx=$(cat)\ny=1\nE",
        "bash <<'E'\nfind . -exec cat \\;\nx=1\nE",
        "bash <<< 'exec <b'",
        "bash <<'E'\ncommand exec 0<b\nls\nE",
        "cp -S .o a b",
        "env - cat a",
        "file -m F a",
        "CDPATH=d; cd s; cat f",
        "bash /dev/stdin <<E\ncat a\nE",
        "python3 /dev/stdin <<E\n1\nE",
        "exec -x cat a",
        "builtin -x cat a",
        "ip netns exec a id",
        "apt-get -o APT::Update::Pre-Invoke::=id update",
    ] {
        assert!(!opaque(text).is_empty(), "{text}: {}", read(text));
    }
}
