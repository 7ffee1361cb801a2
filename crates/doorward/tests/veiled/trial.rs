//! A trial: two servers, each behind its gateway, that differ in what nobody may see, are asked the same.
use super::{
    maker::{self, Dialect, Maker, Numbers},
    wire::{Answer, How},
};
use std::collections::BTreeMap;

/// How many are tried where nobody says how many: always the same ones, so that what passes once passes again.
const USUAL: u64 = 2000;
/// How many are asked of one session, over one pair of values.
pub(crate) const ROUND: u64 = 2000;
/// Of every so many, one is asked as well by somebody who may see the values.
const SEEN: usize = 20;
/// Seconds that a server works at one statement: some join everything with everything.
pub(crate) const LIMIT: u64 = 5;
/// How a server names that limit.
const TOO_LONG: &[&str] =
    &["due to statement timeout", "max_statement_time exceeded", "maximum statement execution time exceeded"];

/// A statement, and how it is asked.
pub(crate) type Asking = (String, How);

/// A server behind its gateway.
pub(crate) trait Server: Sync {
    fn dialect(&self) -> Dialect;

    /// The same rows in the same places, but for what nobody may see, which is made of these numbers.
    fn fill(&self, random: &mut Numbers);

    /// What one session, of somebody in these groups, has as answers.
    fn ask(&self, groups: &[&str], statements: &[Asking]) -> Vec<Answer>;
}

pub(crate) struct Twins<S>(pub(crate) [S; 2]);

impl<S: Server> Twins<S> {
    /// Other values, where nobody may see them.
    pub(crate) fn fill(&self, round: u64) {
        self.fill_by([round * 2, round * 2 + 1]);
    }

    fn fill_by(&self, seeds: [u64; 2]) {
        std::thread::scope(|s| {
            for (seed, server) in seeds.into_iter().zip(&self.0) {
                s.spawn(move || server.fill(&mut Numbers::new(seed)));
            }
        });
    }

    /// What both say to all of these.
    fn both(&self, groups: &[&str], statements: &[Asking]) -> Vec<(Answer, Answer)> {
        std::thread::scope(|s| {
            let other = s.spawn(|| self.0[1].ask(groups, statements));
            let one = self.0[0].ask(groups, statements);
            one.into_iter().zip(other.join().unwrap()).collect()
        })
    }

    /// Whether both say to a statement each time what they said.
    pub(crate) fn is_steady(&self, statement: &Asking) -> bool {
        let asked: Vec<_> = (0..3).map(|_| self.both(&["agents"], std::slice::from_ref(statement))).collect();
        asked.iter().all(|answers| answers == &asked[0])
    }

    fn made(&self, choices: &[u8]) -> Asking {
        Maker::statement(self.0[0].dialect(), choices)
    }

    fn differ(&self, statement: &Asking) -> bool {
        self.both(&["agents"], std::slice::from_ref(statement)).iter().any(|(one, other)| one != other)
    }

    /// Fewer choices with which the answers differ as well.
    fn smaller(&self, mut found: Vec<u8>) -> String {
        let mut length = found.len() / 2;
        while length > 0 {
            let mut at = 0;
            while at + length <= found.len() {
                let mut less = found.clone();
                drop(less.drain(at..at + length));
                if self.differ(&self.made(&less)) {
                    found = less;
                } else {
                    at += length;
                }
            }
            length /= 2;
        }
        let statement = self.made(&found);
        let answers = self.both(&["agents"], std::slice::from_ref(&statement));
        format!("{statement:?}\n{answers:?}")
    }

    /// One round: all of these asked of both, and some of them by somebody who may see. Those whose answers differ.
    pub(crate) fn round(&self, statements: &[Asking], counts: &mut Counts) -> Vec<usize> {
        let answers = self.both(&["agents"], statements);
        for (answer, statement) in answers.iter().map(|(one, _)| one).zip(statements) {
            counts.add(answer, &statement.0);
            if answer.error.as_ref().is_some_and(|e| e.contains("cannot be written so")) {
                println!("not rewritten: {}", statement.0);
            }
        }
        let some: Vec<Asking> = statements.iter().step_by(SEEN).cloned().collect();
        let seen = self.both(&["pii-readers"], &some);
        counts.seen += seen.len() as u64;
        counts.telling += seen.iter().filter(|(one, other)| one != other).count() as u64;
        (0..answers.len()).filter(|n| answers[*n].0 != answers[*n].1).collect()
    }

    /// Why two answers differ.
    fn why(&self, statement: &Asking, round: u64) -> Why {
        let longest = self.both(&["agents"], std::slice::from_ref(statement));
        if longest.iter().any(|(one, other)| is_too_long(one) || is_too_long(other)) {
            println!("differ by Time: {statement:?}");
            return Why::Time;
        }
        self.fill_by([round * 2; 2]);
        // What goes by chance may fall out alike several times.
        let by_chance = (0..12).any(|_| self.differ(statement));
        self.fill(round);
        let why = match (by_chance, self.differ(statement)) {
            (true, _) => Why::Chance,
            (false, true) => Why::Values,
            (false, false) => Why::Size,
        };
        println!("differ by {why:?}: {statement:?}");
        why
    }

    /// Statements of the grammar, until one tells or enough were tried.
    pub(crate) fn try_generated(&self) {
        let wanted = set("DOORWARD_VEIL_STATEMENTS").unwrap_or(USUAL);
        let seed = set("DOORWARD_VEIL_SEED").unwrap_or(1);
        let mut counts = Counts::default();
        let mut told = Vec::new();
        while counts.tried < wanted && told.is_empty() {
            let first = seed + counts.tried;
            self.fill(first);
            let choices: Vec<_> = (first..first + ROUND.min(wanted - counts.tried)).map(maker::choices).collect();
            let statements: Vec<_> = choices.iter().map(|c| self.made(c)).collect();
            for n in self.round(&statements, &mut counts) {
                match self.why(&statements[n], first) {
                    Why::Time => counts.by_time += 1,
                    Why::Size => counts.by_size += 1,
                    Why::Chance => counts.by_chance += 1,
                    Why::Values => told.extend((told.len() < 5).then(|| self.smaller(choices[n].clone()))),
                }
            }
        }
        counts.show(told.len());
        assert!(told.is_empty(), "{}", told.join("\n\n"));
        assert!(
            (counts.by_size + counts.by_chance + counts.by_time) * 50 <= counts.tried,
            "too many differ by themselves"
        );
        // Otherwise nothing is tried: many are answered, and many depend on what is hidden.
        assert!(counts.telling * 20 > counts.seen && (counts.refused + counts.failed) * 2 < counts.tried);
    }
}

/// Whether a server gave up at [`LIMIT`].
fn is_too_long(answer: &Answer) -> bool {
    answer.error.as_ref().is_some_and(|error| TOO_LONG.iter().any(|words| error.contains(words)))
}

/// Why two answers differ.
#[derive(Debug)]
enum Why {
    /// One server gave up, as it does after [`LIMIT`] seconds; time is outside the promise.
    Time,
    /// Changes that were rolled back have made tables larger, by as much as the values take: a server that plans by that may
    /// give equal rows in another order (docs/masking.md). In tables that nothing was changed in the answers are the same.
    Size,
    /// With the same values they differ, too: MariaDB's window functions take equal rows in the order of addresses.
    Chance,
    Values,
}

/// What a variable of the environment says.
pub(crate) fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What came of all that was tried.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) tried: u64,
    refused: u64,
    failed: u64,
    seen: u64,
    telling: u64,
    /// How many differed otherwise ([`Why`]).
    by_size: u64,
    by_chance: u64,
    by_time: u64,
    /// How often there was an error of a kind, and a statement that had it.
    errors: BTreeMap<String, (u64, String)>,
}

impl Counts {
    fn add(&mut self, answer: &Answer, statement: &str) {
        self.tried += 1;
        let Some(error) = &answer.error else { return };
        let refused = error.contains(" refused: ");
        self.refused += u64::from(refused);
        self.failed += u64::from(!refused);
        // The names within are many.
        let kind: String = error.chars().filter(|c| !c.is_ascii_digit()).take(300).collect();
        let (count, shortest) = self.errors.entry(kind).or_insert_with(|| (0, statement.to_owned()));
        *count += 1;
        if statement.len() < shortest.len() {
            statement.clone_into(shortest);
        }
    }

    pub(crate) fn show(&self, differences: usize) {
        println!(
            "tried {}, answered {}, refused by Doorward {}, failed on the server {}; of {} that somebody asked who may see the values, {} told; differences {differences}, and {} by the size of tables, {} by chance, {} by a limit of time",
            self.tried,
            self.tried - self.refused - self.failed,
            self.refused,
            self.failed,
            self.seen,
            self.telling,
            self.by_size,
            self.by_chance,
            self.by_time,
        );
        if std::env::var_os("DOORWARD_VEIL_SHOW").is_some() {
            self.errors.iter().for_each(|(error, (count, such))| println!("{count:8} {error}\n         {such}"));
        }
    }
}
