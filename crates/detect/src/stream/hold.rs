//! What cannot go yet at a pause, because it may be the beginning of a value.
//!
//! Kept are the ends of texts that *are* the beginning of something, not all that could become it: a word can
//! become an address when an at sign follows, and is shown nevertheless; an at sign after a word is kept.
use crate::{
    Detector, TypeSet, checks, email, ipv6,
    text::{word_at, word_before},
};
use doorward_model::DataType;

/// Digits of a number that are shown while it is not known what they become.
const DIGITS_SHOWN: usize = 3;
/// The longest number, with what is between its digits.
const LONGEST_NUMBER: usize = 48;
/// The longest IBAN in groups.
const LONGEST_IBAN: usize = 42;
/// The longest token that is kept.
const LONGEST_TOKEN: usize = 4096;

/// Where in the text that begins which has to be kept; the end if there is nothing.
pub(super) fn keep_from(detector: &Detector, text: &[u8], wanted: TypeSet) -> usize {
    let has = |types: &[DataType]| types.iter().any(|t| wanted.contains(*t));
    let numbers = [DataType::CreditCard, DataType::UsSsn, DataType::Phone, DataType::IpAddress];
    let looks: [(bool, &dyn Fn() -> Option<usize>); 5] = [
        (has(&numbers), &|| number(text)),
        (has(&[DataType::Email]), &|| email::open(text)),
        (has(&[DataType::IpAddress]), &|| ipv6::open(text)),
        (has(&[DataType::Iban]), &|| iban(text)),
        (has(&[DataType::ApiKey, DataType::Jwt]), &|| {
            let window = text.len().saturating_sub(LONGEST_TOKEN);
            detector.open_secret(text.get(window..)?, wanted).map(|i| i + window)
        }),
    ];
    looks.iter().filter(|(wanted, _)| *wanted).filter_map(|(_, look)| look()).min().unwrap_or(text.len())
}

/// Groups of digits at the end: more of them than are shown of any number, or a plus sign and a digit.
fn number(text: &[u8]) -> Option<usize> {
    let (mut start, mut digits, mut gap) = (text.len(), 0, 0);
    for (i, b) in text.iter().enumerate().rev().take(LONGEST_NUMBER) {
        if b.is_ascii_digit() {
            (start, gap) = (i, 0);
            digits += 1;
        } else if matches!(b, b' ' | b'-' | b'.' | b'(' | b')' | b'+') && gap < 2 {
            gap += 1;
        } else {
            break;
        }
    }
    // The end of a word, `file2024`, is no number.
    if word_before(text, start) && !text.get(start.wrapping_sub(1))?.is_ascii_digit() {
        let word = text.get(start..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        start += word;
        digits -= word;
        start += text.get(start..)?.iter().position(u8::is_ascii_digit)?;
    }
    let before = |n: usize| start.checked_sub(n).and_then(|i| text.get(i));
    let plus = match (before(1), before(2)) {
        (Some(b'+'), _) => 1,
        (Some(b'('), Some(b'+')) => 2,
        _ => 0,
    };
    (digits > DIGITS_SHOWN || (plus > 0 && digits > 0)).then(|| start - plus)
}

/// A country, two digits, and nothing but letters and digits up to the end.
fn iban(text: &[u8]) -> Option<usize> {
    let from = text.len().saturating_sub(LONGEST_IBAN);
    let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b' ';
    let run = text.get(from..)?.iter().rev().take_while(|b| part(b)).count();
    (text.len() - run..text.len()).find(|i| {
        let rest = text.get(*i..).unwrap_or_default();
        !word_before(text, *i) && checks::begins_iban(rest) && !rest.windows(2).any(|w| w == b"  ") && word_at(text, *i)
    })
}
