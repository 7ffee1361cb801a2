#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use super::*;

fn shown(program_name: &str, words: &str) -> String {
    let values: Vec<Value> = words.split_whitespace().map(Value::known).collect();
    match program(program_name).unwrap().read(&values) {
        Err(option) => format!("not known: {option}"),
        Ok(args) => {
            let mut out: Vec<String> = args.values.iter().map(|(r, v)| format!("{r}:{}", v.text)).collect();
            out.extend(args.operands.iter().map(|v| v.text.clone()));
            out.join(" ") + if args.effects.is_empty() { "" } else { " +" } + &args.effects
        }
    }
}

/// Each as glibc's getopt_long reads it.
#[test]
fn options_are_read_as_getopt_does() {
    for (program, words, wanted) in [
        ("grep", "-vf F x", "r:F x +^"),
        ("grep", "-heX F", ".:X F +^"),
        ("grep", "--file=F x", "r:F x +^"),
        ("grep", "--fil F x", "not known: --fil"),
        ("grep", "--file F x", "r:F x +^"),
        ("grep", "--reg F x", ".:F x +^"),
        ("grep", "--colo=x y", ".:x y"),
        ("grep", "-rn foo src", "foo src +*"),
        ("grep", "a -- -f b", "a -f b"),
        ("grep", "-5e x y", ".:x y +^"),
        ("grep", "-Q x", "not known: -Q"),
        ("sort", "a -ro/x -k2", "w:/x .:2 a"),
        ("sort", "--out=/x", "w:/x"),
        ("head", "-5q f", "f"),
        ("head", "-5c f", "not known: -5c"),
        ("head", "-n 5 f", ".:5 f"),
        ("tail", "-50f f", "f"),
        ("tail", "-c +4 f", ".:+4 f"),
        ("cp", "-a --ta=d x", "t:d x +*"),
        ("cp", "--no x y", "not known: --no"),
        ("cp", "--pres x y", "x y"),
        ("ls", "--color -la x", "x"),
        ("ls", "--color=auto x", ".:auto x"),
        ("ls", "-w 5 x", ".:5 x"),
        ("du", "-d1 x", ".:1 x"),
        ("basename", "a -s b", "a -s b"),
        ("tar", "czf x.tgz dir", "f:x.tgz dir +c"),
        ("tar", "cfb x 20 dir", "f:x .:20 dir +c"),
        ("tar", "-czfx.tgz dir", "f:x.tgz dir +c"),
        ("tar", "--checkpoint-act=x", "not known: --checkpoint-act=x"),
        ("tree", "-LP 2 x", "not known: -LP"),
        ("xxd", "-ps -l 5 a", ".:5 a"),
        ("sort", "-y x", "not known: -y"),
        ("xxd", "a -b", "a -b"),
        ("rm", "-rf x", "x +*"),
        ("chmod", "-x f", "f +^"),
        ("chmod", "--refer=a f", "l:a f +^"),
    ] {
        assert_eq!(shown(program, words), wanted, "{program} {words}");
    }
}

/// No name stands twice, no letter twice in a row, and each token is one.
#[test]
fn the_table_is_well_formed() {
    let mut names = std::collections::BTreeSet::new();
    for line in include_str!("table.txt").lines().filter(|l| !l.starts_with([' ', '#'])) {
        for name in line.split_whitespace().next().unwrap().split(',') {
            assert!(names.insert(name), "{name} stands twice");
        }
    }
    for (name, program) in TABLE.iter() {
        let mut long: Vec<&str> = program.long.iter().map(|(l, _)| *l).collect();
        long.sort_unstable();
        let all = long.len();
        long.dedup();
        assert_eq!(all, long.len(), "{name}: {long:?}");
        for (option, opt) in &program.long {
            assert!(option.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)), "{name} --{option}");
            assert!(".rwblnxDRtofCu@&;m".contains(opt.role), "{name} --{option} {}", opt.role);
        }
        assert!(program.flags.chars().all(|c| "*@+#%=~".contains(c)), "{name}: {}", program.flags);
    }
    assert!(names.len() > 150);
}
