//! What a shape cannot say: check digits, ranges, allocations.

/// Lengths (bit `n`: `n` digits) of card numbers that begin with these four digits: the issuer
/// ranges that the schemes publish (ISO/IEC 7812-1). Zero: nobody's.
pub(crate) const fn card_lengths(first: [u8; 4]) -> u32 {
    const fn bits(from: u32, to: u32) -> u32 {
        ((1 << (to + 1)) - 1) & !((1 << from) - 1)
    }
    let [a, b, c, d] = first;
    let (p2, p3) = (a as u32 * 10 + b as u32, a as u32 * 100 + b as u32 * 10 + c as u32);
    let p4 = p3 * 10 + d as u32;
    match (a, p2, p3, p4) {
        // Visa
        (4, ..) => 1 << 13 | 1 << 16 | 1 << 19,
        // Mastercard
        (_, 51..=55, ..) | (.., 2221..=2720) => 1 << 16,
        // American Express
        (_, 34 | 37, ..) => 1 << 15,
        // JCB
        (.., 3528..=3589) => bits(16, 19),
        // Diners Club
        (_, 36 | 38 | 39, ..) | (.., 300..=305, _) => 1 << 14 | bits(16, 19),
        // Discover, UnionPay
        (_, 62 | 65, ..) | (.., 644..=649, _) | (.., 6011) => bits(16, 19),
        // Maestro
        (.., 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763) => bits(13, 19),
        _ => 0,
    }
}

/// Luhn's check digit (ISO/IEC 7812-1 annex B), over the values of digits.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let mut double = false;
    let mut sum = 0_u32;
    for d in digits.iter().rev() {
        let d = u32::from(*d);
        sum += if !double {
            d
        } else if d > 4 {
            d * 2 - 9
        } else {
            d * 2
        };
        double = !double;
    }
    sum.is_multiple_of(10)
}

/// Whether the digits are a card number: of an issuer, of a length it uses, with a right check digit.
pub(crate) fn card(digits: &[u8]) -> bool {
    let Some(first) = digits.first_chunk::<4>() else { return false };
    digits.len() < 20 && card_lengths(*first) & (1 << digits.len()) != 0 && luhn(digits)
}

/// Area and group that were or can be given out (SSA, "Social Security number randomization").
pub(crate) fn ssn_area(area: u32) -> bool {
    area != 0 && area != 666 && area < 900
}

/// Area code and exchange of the North American plan: `[2-9][0-8]X` and `[2-9]XX`, neither `X11`.
pub(crate) fn nanp(area: u32, exchange: u32) -> bool {
    let office = |n: u32| (200..=999).contains(&n) && n % 100 != 11;
    office(area) && area / 10 % 10 != 9 && office(exchange)
}

/// How many digits of an international number are its country code (ITU-T E.164, list of assigned
/// codes); `None` where nobody has it.
pub(crate) fn country_code(digits: &[u8]) -> Option<usize> {
    let two = digits.first_chunk::<2>().map(|[a, b]| a * 10 + b)?;
    match two {
        10..=19 | 70..=79 => Some(1),
        20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98 => Some(2),
        21..=26 | 29 | 35 | 37 | 38 | 42 | 50 | 59 | 67..=69 | 80 | 85 | 87 | 88 | 96 | 97 | 99 => Some(3),
        _ => None,
    }
}

/// A country of ISO 13616: code, length, and how many characters after the check digits are digits
/// for certain (SWIFT IBAN registry; zero where its first are letters or either).
struct Country(&'static [u8; 2], u8, u8);

const COUNTRIES: &[Country] = &[
    Country(b"AD", 24, 8),
    Country(b"AE", 23, 19),
    Country(b"AL", 28, 8),
    Country(b"AT", 20, 16),
    Country(b"AZ", 28, 0),
    Country(b"BA", 20, 16),
    Country(b"BE", 16, 12),
    Country(b"BG", 22, 0),
    Country(b"BH", 22, 0),
    Country(b"BI", 27, 0),
    Country(b"BR", 29, 23),
    Country(b"BY", 28, 0),
    Country(b"CH", 21, 5),
    Country(b"CR", 22, 18),
    Country(b"CY", 28, 8),
    Country(b"CZ", 24, 20),
    Country(b"DE", 22, 18),
    Country(b"DJ", 27, 23),
    Country(b"DK", 18, 14),
    Country(b"DO", 28, 0),
    Country(b"EE", 20, 16),
    Country(b"EG", 29, 25),
    Country(b"ES", 24, 20),
    Country(b"FI", 18, 14),
    Country(b"FK", 18, 0),
    Country(b"FO", 18, 14),
    Country(b"FR", 27, 10),
    Country(b"GB", 22, 0),
    Country(b"GE", 22, 0),
    Country(b"GI", 23, 0),
    Country(b"GL", 18, 14),
    Country(b"GR", 27, 7),
    Country(b"GT", 28, 0),
    Country(b"HR", 21, 17),
    Country(b"HU", 28, 24),
    Country(b"IE", 22, 0),
    Country(b"IL", 23, 19),
    Country(b"IQ", 23, 0),
    Country(b"IS", 26, 22),
    Country(b"IT", 27, 0),
    Country(b"JO", 30, 0),
    Country(b"KW", 30, 0),
    Country(b"KZ", 20, 3),
    Country(b"LB", 28, 4),
    Country(b"LC", 32, 0),
    Country(b"LI", 21, 5),
    Country(b"LT", 20, 16),
    Country(b"LU", 20, 3),
    Country(b"LV", 21, 0),
    Country(b"LY", 25, 21),
    Country(b"MC", 27, 10),
    Country(b"MD", 24, 0),
    Country(b"ME", 22, 18),
    Country(b"MK", 19, 3),
    Country(b"MN", 20, 16),
    Country(b"MR", 27, 23),
    Country(b"MT", 31, 0),
    Country(b"MU", 30, 0),
    Country(b"NI", 28, 0),
    Country(b"NL", 18, 0),
    Country(b"NO", 15, 11),
    Country(b"OM", 23, 3),
    Country(b"PK", 24, 0),
    Country(b"PL", 28, 24),
    Country(b"PS", 29, 0),
    Country(b"PT", 25, 21),
    Country(b"QA", 29, 0),
    Country(b"RO", 24, 0),
    Country(b"RS", 22, 18),
    Country(b"RU", 33, 14),
    Country(b"SA", 24, 2),
    Country(b"SC", 31, 0),
    Country(b"SD", 18, 14),
    Country(b"SE", 24, 20),
    Country(b"SI", 19, 15),
    Country(b"SK", 24, 20),
    Country(b"SM", 27, 0),
    Country(b"SO", 23, 19),
    Country(b"ST", 25, 21),
    Country(b"SV", 28, 0),
    Country(b"TL", 23, 19),
    Country(b"TN", 24, 20),
    Country(b"TR", 26, 5),
    Country(b"UA", 29, 6),
    Country(b"VA", 22, 18),
    Country(b"VG", 24, 0),
    Country(b"XK", 20, 16),
    Country(b"YE", 30, 0),
];

/// Where each pair of letters is in the table, so that a look costs one load.
const BY_LETTERS: [u8; 26 * 26] = {
    let mut table = [u8::MAX; 26 * 26];
    let mut i = 0;
    while i < COUNTRIES.len() {
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            let [a, b] = *COUNTRIES[i].0;
            table[(a - b'A') as usize * 26 + (b - b'A') as usize] = i as u8;
        }
        i += 1;
    }
    table
};

/// The length in bytes of the IBAN that `text` begins with: of a country's length, with spaces after
/// each fourth character or none, and with right check digits (mod 97). What follows is not looked at.
pub(crate) fn iban(text: &[u8]) -> Option<usize> {
    let [a, b] = text.first_chunk::<2>()?.map(|b| b.to_ascii_uppercase().wrapping_sub(b'A'));
    if a >= 26 || b >= 26 {
        return None;
    }
    let country = BY_LETTERS.get(usize::from(a) * 26 + usize::from(b))?;
    let Country(_, length, digits) = COUNTRIES.get(usize::from(*country))?;
    let mut compact = [0_u8; 34];
    let mut filled = 0_u8;
    let mut spaced = None;
    for (i, byte) in text.iter().enumerate() {
        if *byte == b' '
            && filled > 0
            && filled.is_multiple_of(4)
            && spaced != Some(false)
            && text.get(i - 1) != Some(&b' ')
        {
            spaced = Some(true);
            continue;
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            _ if (4..4 + digits).contains(&filled) => return None,
            b'a'..=b'z' => byte - b'a' + 10,
            b'A'..=b'Z' => byte - b'A' + 10,
            _ => return None,
        };
        // A text that left out the first space has none.
        if filled == 4 && spaced.is_none() {
            spaced = Some(false);
        }
        *compact.get_mut(usize::from(filled))? = value;
        filled += 1;
        if filled == *length {
            return checked(compact.get(..usize::from(filled))?).then_some(i + 1);
        }
    }
    None
}

/// Whether a text begins with a country that has IBANs and two digits.
pub(crate) fn begins_iban(text: &[u8]) -> bool {
    let Some([a, b, c, d]) = text.first_chunk::<4>() else { return false };
    let country = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
    c.is_ascii_digit() && d.is_ascii_digit() && COUNTRIES.iter().any(|Country(letters, ..)| **letters == country)
}

/// ISO 7064 mod 97-10 over the values of characters.
fn checked(compact: &[u8]) -> bool {
    let Some((head, tail)) = compact.split_at_checked(4) else { return false };
    let remainder = tail.iter().chain(head).fold(0_u32, |acc, v| {
        let shift = if *v < 10 { 10 } else { 100 };
        (acc * shift + u32::from(*v)) % 97
    });
    remainder == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<u8> {
        text.bytes().map(|b| b - b'0').collect()
    }

    #[test]
    fn cards_of_every_scheme() {
        for good in [
            "4111111111111111",
            "4222222222222",
            "4917610000000000003",
            "5555555555554444",
            "2221000000000009",
            "2720990000000007",
            "378282246310005",
            "6011111111111117",
            "6500000000000002",
            "3530111333300000",
            "30569309025904",
            "36227206271667",
            "6200000000000005",
            "6759649826438453",
            "6304000000000000",
        ] {
            assert!(card(&values(good)), "{good}");
        }
        for bad in [
            "4111111111111112",
            "9999999999999995",
            "0000000000000000",
            "2220000000000000",
            "2721000000000004",
            "411111111111116",
            "1234567812345670",
        ] {
            assert!(!card(&values(bad)), "{bad}");
        }
    }

    #[test]
    fn ibans_of_the_registry() {
        for good in [
            "AD1200012030200359100100",
            "AE070331234567890123456",
            "AL47212110090000000235698741",
            "AT611904300234573201",
            "AZ21NABZ00000000137010001944",
            "BA391290079401028494",
            "BE68539007547034",
            "BG80BNBG96611020345678",
            "BH67BMAG00001299123456",
            "BR1800360305000010009795493C1",
            "BY13NBRB3600900000002Z00AB00",
            "CH9300762011623852957",
            "CR05015202001026284066",
            "CY17002001280000001200527600",
            "CZ6508000000192000145399",
            "DE89370400440532013000",
            "DK5000400440116243",
            "DO28BAGR00000001212453611324",
            "EE382200221020145685",
            "EG380019000500000000263180002",
            "ES9121000418450200051332",
            "FI2112345600000785",
            "FO6264600001631634",
            "FR1420041010050500013M02606",
            "GB29NWBK60161331926819",
            "GE29NB0000000101904917",
            "GI75NWBK000000007099453",
            "GL8964710001000206",
            "GR1601101250000000012300695",
            "GT82TRAJ01020000001210029690",
            "HR1210010051863000160",
            "HU42117730161111101800000000",
            "IE29AIBK93115212345678",
            "IL620108000000099999999",
            "IQ98NBIQ850123456789012",
            "IS140159260076545510730339",
            "IT60X0542811101000000123456",
            "JO94CBJO0010000000000131000302",
            "KW81CBKU0000000000001234560101",
            "KZ86125KZT5004100100",
            "LB62099900000001001901229114",
            "LC55HEMM000100010012001200023015",
            "LI21088100002324013AA",
            "LT121000011101001000",
            "LU280019400644750000",
            "LV80BANK0000435195001",
            "MC5811222000010123456789030",
            "MD24AG000225100013104168",
            "ME25505000012345678951",
            "MK07250120000058984",
            "MR1300020001010000123456753",
            "MT84MALT011000012345MTLCAST001S",
            "MU17BOMM0101101030300200000MUR",
            "NL91ABNA0417164300",
            "NO9386011117947",
            "PK36SCBL0000001123456702",
            "PL61109010140000071219812874",
            "PS92PALS000000000400123456702",
            "PT50000201231234567890154",
            "QA58DOHB00001234567890ABCDEFG",
            "RO49AAAA1B31007593840000",
            "RS35260005601001611379",
            "SA0380000000608010167519",
            "SC18SSCB11010000000000001497USD",
            "SE4550000000058398257466",
            "SI56263300012039086",
            "SK3112000000198742637541",
            "SM86U0322509800000000270100",
            "ST68000100010051845310112",
            "SV62CENR00000000000000700025",
            "TL380080012345678910157",
            "TN5910006035183598478831",
            "TR330006100519786457841326",
            "UA213223130000026007233566001",
            "VA59001123000012345678",
            "VG96VPVG0000012345678901",
            "XK051212012345678906",
        ] {
            assert_eq!(iban(good.as_bytes()), Some(good.len()), "{good}");
            assert_eq!(iban(good.to_lowercase().as_bytes()), Some(good.len()), "{good}");
            let paper: Vec<&str> = good.as_bytes().chunks(4).map(|c| std::str::from_utf8(c).unwrap()).collect();
            let paper = paper.join(" ");
            assert_eq!(iban(paper.as_bytes()), Some(paper.len()), "{paper}");
        }
        for bad in [
            "DE88370400440532013000",
            "DE8937040044053201300",
            "ZZ89370400440532013000",
            "DE8 9370400440532013000",
            "DE89  3704 0044 0532 0130 00",
            "DE893704 0044 0532 0130 00",
        ] {
            assert_eq!(iban(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn telephone_plans() {
        assert!(nanp(415, 555) && nanp(212, 867));
        assert!(!nanp(115, 555) && !nanp(415, 155) && !nanp(911, 555) && !nanp(415, 411) && !nanp(495, 555));
        assert_eq!(country_code(&[1, 4]), Some(1));
        assert_eq!(country_code(&[4, 4]), Some(2));
        assert_eq!(country_code(&[3, 5]), Some(3));
        assert_eq!(country_code(&[8, 3]), None);
    }
}
