//! One pass over raw bytes that says what can be there at all.
use crate::TypeSet;
use aho_corasick::{AhoCorasick, MatchKind};
use doorward_model::DataType;

/// Literals that every value of a type holds.
const LITERALS: &[(&str, DataType)] = &[
    ("AKIA", DataType::ApiKey),
    ("ASIA", DataType::ApiKey),
    ("ghp_", DataType::ApiKey),
    ("gho_", DataType::ApiKey),
    ("ghs_", DataType::ApiKey),
    ("ghu_", DataType::ApiKey),
    ("ghr_", DataType::ApiKey),
    ("github_pat_", DataType::ApiKey),
    ("glpat-", DataType::ApiKey),
    ("xoxb-", DataType::ApiKey),
    ("xoxp-", DataType::ApiKey),
    ("xoxa-", DataType::ApiKey),
    ("xoxr-", DataType::ApiKey),
    ("xoxs-", DataType::ApiKey),
    ("sk_live_", DataType::ApiKey),
    ("rk_live_", DataType::ApiKey),
    ("AIza", DataType::ApiKey),
    ("sk-", DataType::ApiKey),
    ("npm_", DataType::ApiKey),
    ("-----BEGIN", DataType::PrivateKey),
    ("eyJ", DataType::Jwt),
];

#[derive(Debug)]
pub(crate) struct Prefilter {
    literals: Option<AhoCorasick>,
}

const OTHER: u8 = 0;
const DIGIT: u8 = 1;
/// Space and dash: between the digits of cards, and of everything else.
const JOIN: u8 = 2;
const DOT: u8 = 3;
const PARENTHESIS: u8 = 4;
const PLUS: u8 = 5;
const COLON: u8 = 6;
const AT: u8 = 7;
/// Letters of hexadecimal digits.
const HEX: u8 = 8;
/// Capital letters outside of hexadecimal.
const CAPITAL: u8 = 9;

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const CLASS: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            b'0'..=b'9' => DIGIT,
            b' ' | b'-' => JOIN,
            b'.' => DOT,
            b'(' | b')' => PARENTHESIS,
            b'+' => PLUS,
            b':' => COLON,
            b'@' => AT,
            b'a'..=b'f' | b'A'..=b'F' => HEX,
            b'G'..=b'Z' => CAPITAL,
            _ => OTHER,
        };
        i += 1;
    }
    table
};

/// What the pass remembers of the digits before.
#[derive(Clone, Copy, Default)]
struct Run {
    /// Digits joined by spaces, dashes and dots.
    digits: u32,
    /// The digits of this group, and of the three before it.
    group: u32,
    before: [u32; 3],
    /// Dots between groups of at most three digits.
    dots: u32,
    /// Separators in a row.
    gap: u32,
    plus: bool,
}

impl Prefilter {
    pub(crate) fn new() -> Self {
        let literals = AhoCorasick::builder().match_kind(MatchKind::Standard).build(LITERALS.iter().map(|(l, _)| l));
        Self { literals: literals.ok() }
    }

    /// The types that can be in `bytes`: a superset of what is.
    pub(crate) fn types(&self, bytes: &[u8], wanted: TypeSet) -> TypeSet {
        let mut found = TypeSet::NONE;
        let secrets: TypeSet = [DataType::ApiKey, DataType::PrivateKey, DataType::Jwt].into_iter().collect();
        if wanted.intersects(secrets) {
            match &self.literals {
                Some(literals) => {
                    for hit in literals.find_overlapping_iter(bytes) {
                        if let Some((_, t)) = LITERALS.get(hit.pattern().as_usize()) {
                            found.insert(*t);
                        }
                    }
                }
                // Without the automaton nothing can be ruled out.
                None => found = secrets,
            }
        }
        numbers(bytes, &mut found);
        found
    }
}

/// Everything that is recognised by its digits and punctuation. Group lengths at the ends are lower
/// bounds, because a byte of the wire before a cell may look like one more digit.
fn numbers(bytes: &[u8], found: &mut TypeSet) {
    let mut run = Run::default();
    let (mut colons, mut last_colon) = (0_u32, false);
    let mut capitals = 0_u32;
    for b in bytes {
        let class = CLASS.get(usize::from(*b)).copied().unwrap_or(OTHER);
        if class == DIGIT {
            run.digits += 1;
            run.group += 1;
            run.gap = 0;
            if run.plus {
                found.insert(DataType::Phone);
            }
            if run.digits >= 9 {
                nine_or_more(&run, found);
            }
            if run.dots >= 3 {
                found.insert(DataType::IpAddress);
            }
            if capitals >= 2 {
                found.insert(DataType::Iban);
            }
            last_colon = false;
            continue;
        }
        match class {
            JOIN | DOT | PARENTHESIS if run.digits > 0 && run.gap < 3 => {
                if run.group > 0 {
                    run.dots = if class == DOT && (run.group <= 3 || run.dots == 0) { run.dots + 1 } else { 0 };
                    run.before = [run.group, run.before[0], run.before[1]];
                    run.group = 0;
                } else {
                    run.dots = 0;
                }
                run.gap += 1;
            }
            _ => run = Run { plus: class == PLUS || (run.plus && class == PARENTHESIS), ..Run::default() },
        }
        match class {
            COLON => {
                colons += 1;
                if last_colon || colons >= 6 {
                    found.insert(DataType::IpAddress);
                }
                last_colon = true;
            }
            HEX => last_colon = false,
            _ => {
                colons = 0;
                last_colon = false;
            }
        }
        if class == AT {
            found.insert(DataType::Email);
        }
        capitals = if class == CAPITAL || (class == HEX && b.is_ascii_uppercase()) { capitals + 1 } else { 0 };
    }
}

fn nine_or_more(run: &Run, found: &mut TypeSet) {
    if run.digits >= 12 {
        found.insert(DataType::CreditCard);
    }
    if run.group >= 9 || (run.before[0] == 2 && run.before[1] >= 3 && run.group >= 4) {
        found.insert(DataType::UsSsn);
    }
    if run.before[0] == 3 && run.before[1] >= 3 && run.group >= 4 {
        found.insert(DataType::Phone);
    }
}
