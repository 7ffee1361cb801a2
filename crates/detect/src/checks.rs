//! What a pattern cannot say: check digits, ranges, neighbours.

/// Luhn's check digit (ISO/IEC 7812-1 annex B).
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            let d = u32::from(*d);
            if i % 2 == 0 {
                d
            } else if d > 4 {
                d * 2 - 9
            } else {
                d * 2
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Issuer ranges with the lengths they are used in (ISO/IEC 7812-1; the schemes' public tables).
pub(crate) fn card_range(digits: &[u8]) -> bool {
    let prefix = |n: usize| digits.iter().take(n).fold(0_u32, |acc, d| acc * 10 + u32::from(*d));
    let len = digits.len();
    let (p1, p2, p3, p4) = (prefix(1), prefix(2), prefix(3), prefix(4));
    match len {
        // Visa
        13 | 19 if p1 == 4 => true,
        16 if p1 == 4 => true,
        // Mastercard
        16 if (51..=55).contains(&p2) || (2221..=2720).contains(&p4) => true,
        // American Express
        15 if p2 == 34 || p2 == 37 => true,
        // Diners Club
        14 if (300..=305).contains(&p3) || p2 == 36 || p2 == 38 || p2 == 39 => true,
        // Discover, JCB, UnionPay
        16..=19 if p4 == 6011 || (644..=649).contains(&p3) || p2 == 65 || p2 == 62 || (3528..=3589).contains(&p4) => {
            true
        }
        // Maestro
        12..=19 if matches!(p4, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761 | 6762 | 6763) => true,
        _ => false,
    }
}

/// Area, group and serial that were or can be given out (SSA).
pub(crate) fn ssn(digits: &[u8]) -> bool {
    let number =
        |from: usize, n: usize| digits.iter().skip(from).take(n).fold(0_u32, |acc, d| acc * 10 + u32::from(*d));
    let (area, group, serial) = (number(0, 3), number(3, 2), number(5, 4));
    digits.len() == 9 && area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// Country lengths of ISO 13616 (SWIFT registry).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// The length of the IBAN that `text` begins with (with single spaces), where its check digits hold (mod 97).
pub(crate) fn iban(text: &[u8]) -> Option<usize> {
    let country = text.first_chunk::<2>()?;
    let (_, want) = IBAN_LENGTHS.iter().find(|(c, _)| *c == country)?;
    let mut compact = Vec::with_capacity(*want);
    let mut end = 0;
    for (i, b) in text.iter().enumerate() {
        if b.is_ascii_alphanumeric() {
            compact.push(b.to_ascii_uppercase());
            if compact.len() == *want {
                end = i + 1;
                break;
            }
        } else if *b != b' ' || text.get(i + 1) == Some(&b' ') {
            return None;
        }
    }
    let (head, tail) = compact.split_at_checked(4)?;
    if compact.len() != *want || text.get(end).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let remainder = tail.iter().chain(head).fold(0_u32, |acc, b| match b {
        b'0'..=b'9' => (acc * 10 + u32::from(b - b'0')) % 97,
        _ => (acc * 100 + u32::from(b - b'A') + 10) % 97,
    });
    (remainder == 1).then_some(end)
}

/// The digits of a text, as numbers.
pub(crate) fn digits(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits() {
        for good in ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "2221000000000009"]
        {
            let d = digits(good.as_bytes());
            assert!(luhn(&d) && card_range(&d), "{good}");
        }
        let d = digits(b"4111111111111112");
        assert!(!luhn(&d));
        assert!(!card_range(&digits(b"9999999999999995")));
        assert_eq!(iban(b"DE89 3704 0044 0532 0130 00"), Some(27));
        assert_eq!(iban(b"GB82WEST12345698765432"), Some(22));
        assert_eq!(iban(b"DE88370400440532013000"), None);
        assert!(ssn(&digits(b"123456789")) && !ssn(&digits(b"666456789")) && !ssn(&digits(b"923456789")));
    }
}
