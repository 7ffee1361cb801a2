//! What the name of a column speaks for.

/// Words of names, by what they speak for. A name of several words has to have them one after the other.
const SPEAK: &[(&str, &[&str])] = &[
    ("email", &["email", "e mail", "mail address"]),
    ("us_ssn", &["ssn", "social security", "socialsecurity"]),
    ("iban", &["iban"]),
    ("credit_card", &["credit card", "card number", "card no", "cardnumber", "creditcard", "cc number", "pan"]),
    ("phone", &["phone", "mobile", "telephone", "fax", "msisdn"]),
    ("ip_address", &["ip", "ip address", "ipaddr", "ip addr", "ipv", "remote addr"]),
    ("tax_id", &["tax id", "taxid", "tin", "itin", "vat number", "tax number"]),
    ("passport", &["passport"]),
    ("national_id", &["national id", "identity number", "id card"]),
    ("birth_date", &["birthday", "birthdate", "birth date", "date of birth", "dob", "born"]),
    (
        "person_name",
        &["first name", "firstname", "last name", "lastname", "surname", "full name", "fullname", "maiden name"],
    ),
    ("address", &["street", "postcode", "postal code", "zip", "zip code", "zipcode", "home address", "address line"]),
    ("password", &["password", "passwd", "pwd", "passphrase", "password hash"]),
    ("api_key", &["api key", "apikey", "access token", "refresh token", "client secret", "secret key", "private key"]),
];

/// The tag that goes with a kind: `secret`, or `pii`.
pub(super) fn family(kind: &str) -> &'static str {
    match kind {
        "api_key" | "private_key" | "jwt" | "password" => "secret",
        _ => "pii",
    }
}

/// What a column of this name is likely to hold.
pub(super) fn kind(name: &str) -> Option<&'static str> {
    let words = format!(" {} ", words(name));
    let speaks = |phrase: &&str| words.contains(&format!(" {phrase} "));
    SPEAK.iter().find(|(_, phrases)| phrases.iter().any(&speaks)).map(|(kind, _)| *kind)
}

/// Its words in lower case, with spaces between: cut at what is no letter, and before capitals that follow others.
fn words(name: &str) -> String {
    let mut out = String::new();
    let mut is_small = false;
    for c in name.chars().take(128) {
        if !c.is_alphabetic() || (c.is_uppercase() && is_small) {
            out.push(' ');
        }
        is_small = c.is_lowercase();
        if c.is_alphabetic() {
            out.extend(c.to_lowercase());
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_their_words() {
        for (name, wanted) in [
            ("ssn", Some("us_ssn")),
            ("customer_ssn_2", Some("us_ssn")),
            ("EMail", Some("email")),
            ("contactEmail", Some("email")),
            ("e-mail", Some("email")),
            ("cardNumber", Some("credit_card")),
            ("IBAN", Some("iban")),
            ("home_phone", Some("phone")),
            ("dateOfBirth", Some("birth_date")),
            ("password_hash", Some("password")),
            ("description", None),
            ("company", None),
            ("zipper", None),
            ("shipped", None),
            ("name", None),
            ("id", None),
        ] {
            assert_eq!(kind(name), wanted, "{name}");
        }
    }
}
