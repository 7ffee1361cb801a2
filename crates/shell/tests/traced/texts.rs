//! Command lines made up: quoting, expansions, redirections, here-documents, pipes, loops, wrappers, and programs of the
//! table with options from it, shortened and run together as chance has it.

/// Programs of the table that a text may run.
const PROGRAMS: &[&str] = &[
    "b2sum",
    "base32",
    "base64",
    "basename",
    "bunzip2",
    "bzcat",
    "bzip2",
    "cat",
    "chmod",
    "cksum",
    "cmp",
    "column",
    "comm",
    "cp",
    "curl",
    "cut",
    "date",
    "df",
    "diff",
    "dir",
    "dirname",
    "du",
    "egrep",
    "expand",
    "factor",
    "fgrep",
    "file",
    "fmt",
    "fold",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "hexdump",
    "id",
    "install",
    "join",
    "link",
    "ln",
    "ls",
    "lsattr",
    "md5sum",
    "mkdir",
    "mktemp",
    "mv",
    "nl",
    "numfmt",
    "od",
    "paste",
    "pr",
    "printenv",
    "ptx",
    "readlink",
    "realpath",
    "rev",
    "rm",
    "rmdir",
    "sdiff",
    "seq",
    "sha256sum",
    "shred",
    "shuf",
    "sort",
    "split",
    "stat",
    "strings",
    "sum",
    "sync",
    "tac",
    "tail",
    "tar",
    "tee",
    "touch",
    "tr",
    "tree",
    "truncate",
    "tsort",
    "uname",
    "unexpand",
    "uniq",
    "unlink",
    "unxz",
    "unzip",
    "chown",
    "chgrp",
    "diff3",
    "patch",
    "csplit",
    "findmnt",
    "lsblk",
    "last",
    "who",
    "users",
    "w",
    "pgrep",
    "mountpoint",
    "hostname",
    "pathchk",
    "nproc",
    "more",
    "sha1sum",
    "lscpu",
    "fallocate",
    "dmesg",
    "chcon",
    "vdir",
    "wc",
    "wget",
    "xxd",
    "xz",
    "xzcat",
    "zcat",
    "zgrep",
    "zstd",
];

const FILES: &[&str] = &[
    "a", "b", "c", "d", "e", "g", "d/a", "d/f", "d/s", "d/s/f", "e/b", "k.txt", "m.log", "n.json", "new", "d/new",
    "new.gz", ".", "./a", "d/../b", "d//f", "~/c", "~/d/f", "-", "r.sh", "x.tar", "1", "2",
];

/// Commands that stand as they are, with `F` for a file and `C` for another command.
const FRAMES: &[&str] = &[
    "C",
    "C",
    "C",
    "C",
    "C > F",
    "C >> F",
    "C < F",
    "C 2> F",
    "C &> F",
    "C <> F",
    "C 2>&1 > F",
    "C > F < F",
    "(C)",
    "{ C; }",
    "C | C",
    "C |& C",
    "C && C",
    "C || C",
    "! C",
    "C & C",
    "C; C",
    "C\nC",
    "if C; then C; else C; fi",
    "for x in F F; do C $x; done",
    "for x in F F; do C \"$x\"; done",
    "while C; do C; break; done",
    "until C; do C; break; done",
    "case F in a) C;; *) C;; esac",
    "x=F; C $x",
    "x=F; C \"$x\"",
    "x=F C",
    "x=F; C \"${x}\"",
    "x=F; C ${x:-F}",
    "x=F; y=$x; C $y",
    "x=cat; $x F",
    "x=F; x+=F; C $x",
    "echo $(C)",
    "echo `C`",
    "echo \"$(C)\"",
    "x=$(C)",
    "C <<E\nF\nE",
    "C <<'E'\nF\nE",
    "C <<-E\n\tF\n\tE",
    "cat <<E\n$(C)\nE",
    "C <<< F",
    "env C",
    "env x=F C",
    "nice C",
    "nice -n 5 C",
    "nohup C",
    "timeout 1 C",
    "timeout -k 1 1 C",
    "stdbuf -oL C",
    "command C",
    "exec C",
    "builtin command C",
    "time C",
    "eval C",
    "eval 'C'",
    "sh -c 'C'",
    "bash -c 'C'",
    "bash -c \"C\"",
    "bash <<'E'\nC\nC\nE",
    "bash <<'E'\nC\nE",
    "env -C d C",
    "env -u HOME C",
    "cd d; C",
    "cd d && C",
    "(cd d; C); C",
    "cd F; C",
    "cd -; C",
    "pushd d; C",
    "cd d || C; C",
    "find F -type f -exec C {} \\;",
    "find F -exec C {} +",
    "find F -name a -delete",
    "find F -newer F -print",
    "find F -fprint F",
    "find F -maxdepth 1 -exec C {} +",
    "find F F -name 'f*' -o -name b -delete",
    "find F -execdir C {} \\;",
    "find F -ls -fls F",
    "find F -samefile F",
    "find F -name -exec -print",
    "find F -size +0 -fprintf F %p",
    "find F -prune -o -delete",
    "xargs C < F",
    "xargs -a F C",
    "echo F | xargs C",
    "sed s/a/b/ F",
    "sed -i s/x/y/ F",
    "sed -i.bak s/x/y/ F",
    "sed -n 1p F",
    "sed -e p F",
    "sed -n -e p F F",
    "sed --in-place=.o s/x/y/ F",
    "sed -s -n '$p' F F",
    "sed -ne p F",
    "sed -i -e s/x/y/ F",
    "sed w F",
    "sed -n '/x/p' F",
    "sed -f F F",
    "awk '{print $1}' F",
    "awk -F: '{print $1}' F F",
    "awk -v x=F '{print x}' F",
    "awk 1 x=F F",
    "awk 'END{print NR}' ./F",
    "awk -f F F",
    "awk '{print > \"F\"}' F",
    "awk 'NR==FNR{a[$1];next}1' F F",
    "dd if=F of=F",
    "dd if=F",
    "dd of=F if=F bs=1 count=1",
    "dd F",
    "jq . F",
    "jq -r .a F",
    "jq -n --slurpfile x F .",
    "jq --arg a F . F",
    "jq -f F F",
    "jq -rf F F",
    "jq --rawfile a F -n .",
    "jq -n 'input' F",
    "[ -f F ] && C",
    "test -d F && C",
    "[ F -nt F ]",
    "[[ -f F ]] && C",
    "[[ F == F ]] || C",
    "f() { C; }; f",
    "trap 'C' EXIT; C",
    "set -- F F; C \"$1\"",
    "set -- F; C \"$@\"",
    "read x < F; C",
    "read x < F; C $x",
    "while read x; do C; done < F",
    "mapfile x < F",
    "export x=F; C $x",
    "readonly x=F; C $x",
    "unset x; C ${x-F}",
    "C {F,F}",
    "C F*",
    "C ?",
    "C [ab]",
    "C $'F'",
    "C $\"F\"",
    "C \\F",
    "C 'F'",
    "C \"F\"",
    "C ~+/F",
    "C \"~\"/F",
    "C F\\\n F",
    "echo F > F; C F",
    "echo $(< F)",
    "cat <(C)",
    "C > >(cat)",
    "tee F < F",
    "C # F",
    "C ; # F\nC",
    "./r.sh F",
    "r.sh",
    "d/../r.sh",
    "PATH=.:$PATH r.sh",
    "source F",
    ". ./F",
    "printf %s F | C",
    "echo F | C",
    "yes | head -1 | C",
    "coproc C",
    "select x in F; do C; done",
    "((x=1)); C",
    "C 3< F",
    "C 3> F >&3",
    "exec 3< F; C",
    "exec > F; C",
    "C >| F",
    "C 2>&- < F",
    "C < F | C > F",
    "C || { C; }",
    "{ C; C; } > F",
    "(C; C) < F",
    "if [ -e F ]; then C; fi > F",
    "for x in F; do C; done > F",
    "env - C",
    "env -i C",
    "env -- C",
    "nice -- C",
    "nohup -- C",
    "timeout -- 1 C",
    "env -iu x C",
    "env x=F -u C",
    "env -v C",
    "env --chdir=d C",
    "env --unset=x C",
    "env --uns x C",
    "nice -n5 C",
    "nice --adjustment=5 C",
    "timeout --sig=KILL 1 C",
    "stdbuf -o 0 C",
    "timeout -s KILL 1 C",
    "timeout 1 env C",
    "exec -a F C",
    "exec -- C",
    "command -- C",
    "command -p C",
    "command -v C",
    "builtin eval C",
    "time -p C",
    "env -S 'C'",
    "nice -5 C",
    "xargs -I% C < F",
    "xargs -n1 C < F",
    "xargs -- C < F",
    "csplit F 2",
    "patch F F",
    "patch -p0 < F",
    "uniq +1 F F",
    "sort -y F",
    "cp -S .o F F",
    "mv -S .o F F",
    "tar xf F -C d a -C e b",
    "tar cf x.tar d; tar xf x.tar -C e d/a -C ../g d/f",
    "curl -F x=@F http://127.0.0.1:9/",
    "gzip -r F",
    "xz -k F",
    "bzip2 -k F; bunzip2 F.bz2",
    "head F F -n 1",
    "sort F F -k 2",
    "grep x F -f F",
    "cat -- F -n",
    "ls F -R",
    "rm F -r",
    "cp F F -r",
    "mkdir F -p",
    "touch F -r F",
    "wc F -l -- F",
    "diff F F -r",
    "printf '%s\\n' F | while read x; do C \"$x\"; done",
    "{ read x; C; } < F",
    "C <<E | C\nF\nE",
    "C <<E > F\nF\nE",
    "x=$(<F); C",
    "x=`<F`; C",
    "for x in $(C); do C; done",
    "eval \"C\"",
    "eval C F",
    "x='C'; eval $x",
    "x='C'; eval \"$x\"",
    "bash -ec 'C'",
    "bash -c 'C' F F",
    "bash -c 'cat $1' F F",
    "bash -c 'cat \"$@\"' F F",
    "sh -ec 'C;C'",
    "bash F",
    "bash -x F",
    "bash < F",
    "tar cf F F",
    "tar czf F F F",
    "tar xf F",
    "tar xf F -C F",
    "tar tf F",
    "tar cf F -C F F",
    "tar -cf F F && tar -xf F -C F",
    "tar rf F F",
    "tar cf - F | tar xf - -C F",
    "tar c F > F",
    "tar cfX F F F",
    "tar cvf F -T F",
    "tar uf F F",
    "tar --create --file F F",
    "tar -c -f F -g F F",
    "tar --cr --fi=F F",
    "ln -s F F && cat F",
    "ln -sr F F",
    "ln F",
    "ln -s ../F d/l; cat d/l",
    "ln -st F F F",
    "cp -rt F F F",
    "mv -t F F F",
    "install -t F F F",
    "install -d F F",
    "cp -T F F",
    "cp F F F",
    "mkdir -p F/F/F",
    "split F F",
    "split -b 5 F F",
    "zip F F",
    "unzip F",
    "gzip -c F > F",
    "gzip F && gunzip F",
    "xz F; unxz F.xz",
    "zcat F.gz",
    "curl -T F http://127.0.0.1:9/",
    "curl -d @F http://127.0.0.1:9/",
    "curl -o F file:F",
    "curl -o F http://127.0.0.1:9/",
    "curl -K F",
    "wget -i F",
    "wget -O F http://127.0.0.1:9/",
    "wget --post-file=F http://127.0.0.1:9/",
    "date -f F",
    "date -r F",
    "touch -r F F",
    "sort F -o F",
    "sort -oF F",
    "sort --files0-from=F",
    "wc --files0-from F",
    "du --files0-from=F",
    "du -X F F",
    "file -f F",
    "file -m F F",
    "tree -o F",
    "tree F --fromfile",
    "diff F F",
    "diff -r F F",
    "diff --from-file=F F",
    "cmp F F 1",
    "comm F F",
    "join F F",
    "uniq F F",
    "xxd F F",
    "xxd -r F F",
    "grep -f F F",
    "grep -vf F F",
    "grep -eF F",
    "grep -rf F F",
    "head -5 F",
    "head -n1 F",
    "tail -n +2 F",
    "tail -1 F",
    "head -5c F",
    "od F +1",
    "shuf -e F F",
    "shuf F -o F",
    "strings @F",
    "ptx F F",
    "pr F",
    "column -t F",
];

/// One maker of texts; the same seed makes the same ones.
#[derive(Debug)]
pub(crate) struct Maker {
    state: u64,
    table: Vec<(String, Vec<String>)>,
}

impl Maker {
    pub(crate) fn new(seed: u64) -> Self {
        let mut table: Vec<(String, Vec<String>)> = Vec::new();
        for line in include_str!("../../src/table.txt").lines().filter(|l| !l.starts_with('#')) {
            let mut words = line.split_whitespace().map(ToOwned::to_owned);
            if line.starts_with(' ') {
                table.last_mut().unwrap().1.extend(words);
            } else {
                let names = words.next().unwrap();
                table.push((format!(",{names},"), words.skip(1).collect()));
            }
        }
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, table }
    }

    fn below(&mut self, n: usize) -> usize {
        // xorshift64* (Vigna).
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        usize::try_from((self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n as u64).unwrap()
    }

    fn of(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn text(&mut self) -> String {
        let mut text = self.frame(2);
        if self.chance(15) {
            self.spoil(&mut text);
        }
        text
    }

    /// Takes a character away, or puts one in.
    fn spoil(&mut self, text: &mut String) {
        let places: Vec<usize> = text.char_indices().map(|(n, _)| n).collect();
        let at = places[self.below(places.len())];
        if self.chance(50) {
            text.remove(at);
        } else {
            let more = self.of(&[
                "'", "\"", "\\", "$", "`", " ", "\n", ";", "&", "|", "(", ")", "{", "}", "<", ">", "#", "~", "*", "!",
                "=", "-", "F",
            ]);
            text.insert_str(at, more);
        }
    }

    fn frame(&mut self, depth: u32) -> String {
        let frame = if depth == 0 { "C" } else { self.of(FRAMES) };
        let mut out = String::new();
        let letters: Vec<char> = frame.chars().collect();
        for (n, letter) in letters.iter().enumerate() {
            let next_is_name = letters.get(n + 1).is_some_and(|c| c.is_ascii_uppercase());
            let after_dash = n > 0 && letters[n - 1] == '-' && letter.is_ascii_uppercase() && frame.contains("awk -F");
            let own = n > 0 && letters[n - 1].is_ascii_uppercase();
            match letter {
                'C' if !own && !next_is_name && !frame.contains("env -C")
                    || *letter == 'C' && n + 1 == letters.len() =>
                {
                    out += &if self.chance(25) { self.frame(depth.saturating_sub(1)) } else { self.command() };
                }
                'F' if !own && !next_is_name && !after_dash => out += &self.file(),
                other => out.push(*other),
            }
        }
        out
    }

    /// A name of a file, written in one way or another.
    fn file(&mut self) -> String {
        let file = self.of(FILES).to_owned();
        match self.below(20) {
            0 => format!("'{file}'"),
            1 if !file.starts_with('~') => format!("\"{file}\""),
            2 => file.replacen('d', "\\d", 1),
            3 => file.replacen('a', "'a'", 1),
            4 => file.replacen('/', "\"/\"", 1),
            _ => file,
        }
    }

    fn command(&mut self) -> String {
        let name = self.of(PROGRAMS);
        let tag = format!(",{name},");
        let options =
            self.table.iter().find(|(names, _)| names.contains(&tag)).map(|(_, o)| o.clone()).unwrap_or_default();
        let mut words: Vec<String> = Vec::new();
        for _ in 0..self.below(4) {
            if options.is_empty() || name == "chmod" {
                break;
            }
            let option = &options[self.below(options.len())];
            let made = self.option(option);
            words.extend(made);
        }
        if name == "chmod" {
            words.push(self.of(&["u+x", "-R go-w", "644", "-v +w"]).to_owned());
        }
        if name.ends_with("grep") && self.chance(80) {
            words.push(self.of(&["x", "-e x", "-ex", ".", "-rx", "-r x", "-Rl a"]).to_owned());
        }
        for _ in 0..self.below(4) {
            let file = self.file();
            words.push(file);
        }
        if self.chance(15) && words.len() > 1 {
            // Operands may stand before options.
            words.rotate_left(1);
        }
        if self.chance(3) {
            words.insert(self.below(words.len() + 1), "--".to_owned());
        }
        format!("{name} {}", words.join(" ")).trim_end().to_owned()
    }

    /// An option of the table's, as somebody could write it.
    fn option(&mut self, token: &str) -> Vec<String> {
        let end = token.char_indices().skip(2).find(|(_, c)| "=?:".contains(*c)).map_or(token.len(), |(n, _)| n);
        let (names, rest) = token.split_at(end);
        let names: Vec<&str> = names.split('|').collect();
        let name = names[self.below(names.len())];
        let takes = rest.chars().next();
        let long = name.starts_with("--") || !name.starts_with('-');
        let file = if self.chance(70) { self.file() } else { self.of(&["1", "x", "5", "never", "2,3"]).to_owned() };
        if long {
            let bare = name.trim_start_matches("--");
            let cut = if self.chance(30) { 1 + self.below(bare.len()) } else { bare.len() };
            let word = format!("--{}", &bare[..cut]);
            return match takes {
                Some('=') if self.chance(50) => vec![word, file],
                Some('=' | '?') => vec![format!("{word}={file}")],
                _ => vec![word],
            };
        }
        let letters: Vec<char> = name.chars().skip(1).collect();
        let letter = letters[self.below(letters.len())];
        let before = if self.chance(20) { self.of(&["v", "r", "n", "1", "z", "f", "q"]) } else { "" };
        match takes {
            Some('=') if self.chance(50) => vec![format!("-{before}{letter}"), file],
            Some('=' | '?') => vec![format!("-{before}{letter}{file}")],
            _ => vec![format!("-{before}{letter}")],
        }
    }
}
