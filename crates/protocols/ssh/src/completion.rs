//! What Tab adds to a line of a governed shell: names of files, which the target lists.
//!
//! The list is asked for by a command line like any other, so that the same policies decide it.

/// The names that are shown at once, at most.
const MOST_SHOWN: usize = 100;

/// A path that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    command: String,
    stem: String,
}

/// What there is to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Nothing fits.
    Nothing,
    /// This goes on behind the cursor.
    Insert(String),
    /// Several fit, and nothing is common to all of them: to be shown, in so many more than are listed.
    Choices(Vec<String>, usize),
}

/// What may stand in a path as it is.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | '@' | '%' | ':' | '~')
}

impl Partial {
    /// The path that a line ends with, in a shell that is in `directory`. None where it is not one that can be read off
    /// the line: quoted, with variables, patterns.
    pub fn of(line: &str, directory: Option<&str>) -> Option<Self> {
        let begins = |c: char| c.is_whitespace() || matches!(c, ';' | '|' | '&' | '<' | '>' | '(' | ')' | '=');
        let word = line.rsplit_once(begins).map_or(line, |(_, word)| word);
        if !word.chars().all(is_plain) {
            return None;
        }
        let (place, stem) = match word.rsplit_once('/') {
            Some(("", stem)) => ("/".to_owned(), stem),
            Some((place, stem)) if place.starts_with(['/', '~']) => (place.to_owned(), stem),
            Some((place, stem)) => (format!("{}/{place}", directory?), stem),
            // `~name` is a person, whose name is not completed.
            None if word.starts_with('~') => return None,
            None => (directory?.to_owned(), word),
        };
        if !place.chars().all(is_plain) {
            return None;
        }
        Some(Self { command: format!("ls -1Ap -- {place}/"), stem: stem.to_owned() })
    }

    /// The command line that lists what could follow.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// What a list of names, one a line, adds.
    pub fn complete(&self, listing: &[u8]) -> Completion {
        let listing = String::from_utf8_lossy(listing);
        let fits = |name: &&str| {
            let hidden = name.starts_with('.') && !self.stem.starts_with('.');
            name.starts_with(&self.stem) && !hidden && !name.chars().any(|c| c.is_control() || c == '\u{fffd}')
        };
        let mut names: Vec<&str> = listing.lines().filter(|n| !n.is_empty()).filter(fits).collect();
        names.sort_unstable();
        let Some((first, others)) = names.split_first() else { return Completion::Nothing };
        let common = others.iter().fold(first.chars().count(), |n, name| n.min(alike(first, name)));
        let added: String = first.chars().take(common).skip(self.stem.chars().count()).map(escaped).collect();
        match (others.is_empty(), added.is_empty()) {
            (true, _) if first.ends_with('/') => Completion::Insert(added),
            (true, _) => Completion::Insert(added + " "),
            (false, false) => Completion::Insert(added),
            (false, true) => {
                let shown = names.iter().take(MOST_SHOWN).map(|n| (*n).to_owned()).collect();
                Completion::Choices(shown, names.len().saturating_sub(MOST_SHOWN))
            }
        }
    }
}

/// How many characters two names have in common at their beginning.
fn alike(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

/// A character of a name as it is typed.
fn escaped(c: char) -> String {
    if is_plain(c) { c.to_string() } else { format!("\\{c}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_path_at_the_end_of_the_line_is_what_is_listed() {
        for (line, command, stem) in [
            ("cat no", "ls -1Ap -- ~/src/", "no"),
            ("", "ls -1Ap -- ~/src/", ""),
            ("cat ", "ls -1Ap -- ~/src/", ""),
            ("cat a/b/c", "ls -1Ap -- ~/src/a/b/", "c"),
            ("cat /", "ls -1Ap -- //", ""),
            ("cat /et", "ls -1Ap -- //", "et"),
            ("cat </etc/pas", "ls -1Ap -- /etc/", "pas"),
            ("x=~/k", "ls -1Ap -- ~/", "k"),
            ("true;./ru", "ls -1Ap -- ~/src/./", "ru"),
        ] {
            let partial = Partial::of(line, Some("~/src")).unwrap();
            assert_eq!((partial.command(), partial.stem.as_str()), (command, stem), "{line}");
        }
        for line in ["cat \"a", "cat a\\", "cat $x", "cat *", "cat ~al", "echo `l", "cat {a"] {
            assert_eq!(Partial::of(line, Some("~/src")), None, "{line}");
        }
        assert_eq!(Partial::of("cat a", None), None);
        assert_eq!(Partial::of("cat a", Some("/a b")), None);
        assert!(Partial::of("cat /a/b", None).is_some());
    }

    #[test]
    fn what_is_common_is_added() {
        let listing = b"notes.txt\nnotes.old\nsrc/\n.hidden\na b\n\x1b[31mred\n\xff\xfe\n";
        let complete = |line: &str| Partial::of(line, Some("~")).unwrap().complete(listing);
        assert_eq!(complete("cat no"), Completion::Insert("tes.".into()));
        assert_eq!(complete("cat notes.t"), Completion::Insert("xt ".into()));
        assert_eq!(complete("cd s"), Completion::Insert("rc/".into()));
        assert_eq!(complete("cat ."), Completion::Insert("hidden ".into()));
        assert_eq!(complete("cat a"), Completion::Insert("\\ b ".into()));
        assert_eq!(complete("cat x"), Completion::Nothing);
        assert_eq!(complete("cat notes."), Completion::Choices(vec!["notes.old".into(), "notes.txt".into()], 0));
        let all = Completion::Choices(["a b", "notes.old", "notes.txt", "src/"].map(str::to_owned).into(), 0);
        assert_eq!(complete("cat "), all);
    }

    proptest! {
        #[test]
        fn any_list_is_taken(line in ".{0,20}", listing in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(partial) = Partial::of(&line, Some("~")) {
                let plain = |text: &str| !text.chars().any(char::is_control);
                match partial.complete(&listing) {
                    Completion::Insert(text) => prop_assert!(plain(&text)),
                    Completion::Choices(all, _) => prop_assert!(all.iter().all(|n| plain(n))),
                    Completion::Nothing => {}
                }
            }
        }
    }
}
