//! What hides what is run, and what has done so before.
use super::*;

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
