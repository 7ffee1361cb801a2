//! What the bodies of functions name. The server finds it when they run, under the search path and the schema of that moment:
//! whoever makes something of such a name, or takes it away, decides what they mean.
use ahash::AHashMap;
use doorward_model::Name;

/// The words of bodies, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Whether one of those bodies runs over rows.
    words: AHashMap<Name, bool>,
    /// Bodies with names that are written in escapes (`U&"…"`): they may name anything.
    has_escapes: bool,
    runs_escapes: bool,
}

impl Mentions {
    /// Adds the words of a body. `runs`: something calls it for rows, as triggers, constraints and views do.
    pub fn add(&mut self, body: &str, runs: bool) {
        let body = body.to_lowercase();
        let escapes = body.contains("u&\"");
        self.has_escapes |= escapes;
        self.runs_escapes |= escapes && runs;
        for word in words(&body) {
            match self.words.get_mut(word) {
                Some(known) => *known |= runs,
                None => drop(self.words.insert(word.into(), runs)),
            }
        }
    }

    /// Adds a body that is not known.
    pub const fn add_anything(&mut self) {
        self.has_escapes = true;
        self.runs_escapes = true;
    }

    /// Whether a body may name something of this name.
    pub fn names(&self, name: &str) -> bool {
        self.has_escapes || self.all(name, |_| true)
    }

    /// Whether a body that runs over rows may.
    pub fn runs(&self, name: &str) -> bool {
        self.runs_escapes || self.all(name, |runs| runs)
    }

    /// Whether any body runs over rows.
    pub fn runs_anything(&self) -> bool {
        self.words.values().any(|runs| *runs)
    }

    /// A name that is no word is named where all of its words are. `?` stands for one that the server makes up.
    fn all(&self, name: &str, which: impl Fn(bool) -> bool) -> bool {
        let name = name.to_lowercase();
        let is_known = |word: &str| self.words.get(word).is_some_and(|runs| which(*runs));
        name != "?" && !self.words.is_empty() && (is_known(&name) || words(&name).all(is_known))
    }
}

/// A dollar may end a word (`x$function$`) or belong to it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let whole = text.split(move |c| !is_of_word(c));
    let parts = whole.flat_map(|word| {
        let has_dollar = word.contains('$');
        std::iter::once(word).chain(word.split('$').filter(move |_| has_dollar))
    });
    parts.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_words_of_bodies() {
        let mut mentions = Mentions::default();
        assert!(!mentions.names("anything") && !mentions.names("?"));
        mentions.add("AS $function$insert into Audit_Log select \"Odd t\" from x$function$", true);
        mentions.add("begin perform other.helper(1); end", false);
        for name in ["audit_log", "x", "Odd t", "AUDIT_LOG", "insert"] {
            assert!(mentions.runs(name) && mentions.names(name), "{name}");
        }
        assert!(mentions.names("helper") && !mentions.runs("helper"));
        for name in ["audit", "log", "Odd u", "?"] {
            assert!(!mentions.names(name), "{name}");
        }
        mentions.add("select U&\"\\0061\"", false);
        assert!(mentions.names("anything") && !mentions.runs("anything"));
    }
}
