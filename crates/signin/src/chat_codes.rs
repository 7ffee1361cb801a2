//! Codes with which somebody says, in a chat, that their account there is theirs.
//!
//! The way goes from here to there: who is signed in gets a code, and types it in the chat themselves. So nothing that anybody
//! sends, and no page that anybody opens, makes an account theirs or somebody else's.
use crate::secret;
use doorward_model::{Secret, Timestamp};
use doorward_store::SecretHash;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// How long a code is good for.
pub const CHAT_CODE_TTL: Duration = Duration::from_secs(600);
/// Crockford's: without letters that are taken for others.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Of five bits each: sixty.
const LENGTH: usize = 12;
/// Codes that may wait at once, one of a person.
const MOST: usize = 4096;
/// For how long a wrong one counts against its account, and all.
const WINDOW: Duration = Duration::from_secs(600);
/// Wrong ones of one account within that time, and of all: what comes then is not looked at.
const MOST_WRONG_OF_ONE: usize = 5;
const MOST_WRONG: usize = 500;

/// Who a code was given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The session that it was given in: once that is over, the code is good for nothing.
    pub(crate) session: String,
}

/// Why a code is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Not one, used, or too old: all look the same.
    Wrong,
    /// After too many wrong ones nothing is looked at for a while.
    TooOften,
}

/// The codes that wait, under their hashes, and the wrong ones that came.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    waiting: HashMap<SecretHash, (Timestamp, Whose)>,
    /// When, and of which account; the oldest first. No more than [`MOST_WRONG`].
    wrong: VecDeque<(Timestamp, String)>,
}

impl Codes {
    /// A code for somebody; the one that they had is good for nothing any more. None where too many wait.
    pub(crate) fn give(&mut self, whose: Whose, now: Timestamp) -> Option<Secret<String>> {
        let is_same = |w: &Whose| w.issuer == whose.issuer && w.subject == whose.subject;
        self.waiting.retain(|_, (until, w)| *until > now && !is_same(w));
        if self.waiting.len() >= MOST {
            return None;
        }
        let code = drawn();
        self.waiting.insert(secret::hash(&code), (now.after(CHAT_CODE_TTL), whose));
        Some(Secret::new(shown(&code)))
    }

    /// Who a code was given to, by whom it is typed; it is used up.
    pub(crate) fn take(&mut self, typed: &str, account: &str, now: Timestamp) -> Result<Whose, NotTaken> {
        while self.wrong.front().is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.wrong.pop_front();
        }
        let own = self.wrong.iter().filter(|(_, of)| of == account).count();
        if own >= MOST_WRONG_OF_ONE || self.wrong.len() >= MOST_WRONG {
            return Err(NotTaken::TooOften);
        }
        let found = read(typed).and_then(|code| self.waiting.remove(&secret::hash(&code)));
        match found {
            Some((until, whose)) if until > now => Ok(whose),
            Some(_) | None => {
                self.wrong.push_back((now, account.to_owned()));
                Err(NotTaken::Wrong)
            }
        }
    }
}

fn drawn() -> String {
    let bytes: [u8; LENGTH] = rand::random();
    // 256 is a multiple of 32: each is as likely as any other.
    bytes.iter().filter_map(|b| ALPHABET.get(usize::from(b % 32))).map(|b| char::from(*b)).collect()
}

/// In three parts, to be read and typed.
fn shown(code: &str) -> String {
    let all: Vec<char> = code.chars().collect();
    all.chunks(4).map(|part| part.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// A code as it was drawn, however it was typed.
fn read(typed: &str) -> Option<String> {
    let letters = typed.chars().filter(|c| *c != '-' && *c != ' ').map(|c| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        c => c,
    });
    let code: String = letters.take(LENGTH + 1).collect();
    (code.len() == LENGTH && code.bytes().all(|b| ALPHABET.contains(&b))).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(subject: &str) -> Whose {
        Whose { issuer: "corp".into(), subject: subject.into(), session: "s".into() }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + secs)
    }

    #[test]
    fn a_code_is_good_once_for_ten_minutes_and_the_last_one_alone() {
        let mut codes = Codes::default();
        let code = codes.give(whose("anna"), at(0)).unwrap();
        assert_eq!(code.expose().len(), LENGTH + 2);
        assert_eq!(codes.take(&code.expose().replace('-', " ").to_lowercase(), "U1", at(599)), Ok(whose("anna")));
        assert_eq!(codes.take(code.expose(), "U1", at(599)), Err(NotTaken::Wrong), "used");
        let code = codes.give(whose("anna"), at(0)).unwrap();
        assert_eq!(codes.take(code.expose(), "U2", at(600)), Err(NotTaken::Wrong), "too old");
        let first = codes.give(whose("anna"), at(0)).unwrap();
        let (other, second) = (codes.give(whose("omar"), at(0)).unwrap(), codes.give(whose("anna"), at(0)).unwrap());
        assert_eq!(codes.take(first.expose(), "U3", at(1)), Err(NotTaken::Wrong), "another took its place");
        assert_eq!(codes.take(second.expose(), "U3", at(1)), Ok(whose("anna")));
        assert_eq!(codes.take(other.expose(), "U3", at(1)), Ok(whose("omar")));
    }

    #[test]
    fn nobody_guesses() {
        let mut codes = Codes::default();
        let right = codes.give(whose("anna"), at(0)).unwrap();
        let guess = "0000-0000-0000";
        for _ in 0..MOST_WRONG_OF_ONE {
            assert_eq!(codes.take(guess, "U1", at(0)), Err(NotTaken::Wrong));
        }
        assert_eq!(codes.take(right.expose(), "U1", at(599)), Err(NotTaken::TooOften), "not even the right one");
        assert_eq!(codes.take(guess, "U2", at(0)), Err(NotTaken::Wrong), "others go on");
        // Nor do many together, and what is remembered of them is bounded.
        for n in 0..10 * MOST_WRONG {
            assert!(codes.take(guess, &format!("V{n}"), at(1)).is_err());
        }
        assert_eq!(codes.wrong.len(), MOST_WRONG);
        assert_eq!(codes.take(right.expose(), "W1", at(2)), Err(NotTaken::TooOften));
        // After a while all may again.
        let right = codes.give(whose("anna"), at(601)).unwrap();
        assert_eq!(codes.take(right.expose(), "U1", at(601)), Ok(whose("anna")));
    }

    #[test]
    fn what_waits_is_bounded_and_pushes_nobody_out() {
        let mut codes = Codes::default();
        let first = codes.give(whose("first"), at(0)).unwrap();
        for n in 1..MOST {
            assert!(codes.give(whose(&n.to_string()), at(0)).is_some());
        }
        assert!(codes.give(whose("one more"), at(599)).is_none());
        assert_eq!(codes.take(first.expose(), "U1", at(599)), Ok(whose("first")));
        assert!(codes.give(whose("one more"), at(600)).is_some(), "those of before are over");
        assert_eq!(codes.waiting.len(), 1);
    }

    #[test]
    fn codes_have_sixty_bits_and_no_letters_that_are_taken_for_others() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let code = drawn();
            assert_eq!(read(&shown(&code)).as_deref(), Some(code.as_str()));
            seen.extend(code.chars().enumerate());
        }
        assert_eq!(seen.len(), 32 * LENGTH, "each letter in each place");
        assert_eq!(read("oil0-oil0-oil0").as_deref(), Some("011001100110"));
        for bad in ["", "0000-0000-000", "0000-0000-00000", "0000-0000-000U", "0000-0000-000é", "0000\n0000-0000"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
