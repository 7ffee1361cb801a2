//! What is found, and what looks like it and is not.
#![allow(clippy::indexing_slicing, reason = "findings are within their texts")]
use doorward_detect::{Detector, Hint, TypeSet};

fn found(text: &str, hint: Hint) -> String {
    let detector = Detector::new();
    let hits = detector.scan(text.as_bytes(), &hint, TypeSet::all());
    if !hits.is_empty() {
        assert!(detector.may_contain_hinted(text.as_bytes(), hint, TypeSet::all()), "{text}");
    }
    let show = |f: &doorward_detect::Finding| {
        format!("{}={}", f.data_type.as_str(), String::from_utf8_lossy(&text.as_bytes()[f.range.clone()]))
    };
    hits.iter().map(show).collect::<Vec<_>>().join(" | ")
}

#[track_caller]
fn check(text: &str, want: &str) {
    assert_eq!(found(text, Hint::default()), want, "{text}");
}

/// The whole text is one finding.
#[track_caller]
fn whole(data_type: &str, text: &str) {
    check(text, &format!("{data_type}={text}"));
    for (before, after) in [
        (" ", " "),
        ("\"", "\""),
        ("{", "}"),
        (",", ","),
        ("(", ")"),
        ("\n", ".\n"),
        ("x: ", "; y"),
        ("<", ">"),
        ("'", "'"),
    ] {
        check(&format!("{before}{text}{after}"), &format!("{data_type}={text}"));
    }
}

#[track_caller]
fn nothing(texts: &[&str]) {
    for text in texts {
        check(text, "");
    }
}

#[test]
fn cards() {
    for card in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2221 0000 0000 0009",
        "378282246310005",
        "3782 822463 10005",
        "6011-1111-1111-1117",
        "3530111333300000",
        "3056 930902 5904",
        "6200000000000005",
        "4917 6100 0000 0000 003",
        "4222222222222",
        "6759649826438453",
    ] {
        whole("credit_card", card);
    }
    check("qty 2 4111 1111 1111 1111 on 2024-05-17", "credit_card=4111 1111 1111 1111");
    check("card-4111111111111111", "credit_card=4111111111111111");
    check("4111111111111111.00", "credit_card=4111111111111111");
    check("4111111111111111 5555555555554444", "credit_card=4111111111111111 | credit_card=5555555555554444");
    nothing(&[
        "4111111111111112",
        "1234567812345670",
        "1700000000000",
        "1700000000000000",
        "9223372036854775807",
        "41111111111111111111",
        "x4111111111111111",
        "4111111111111111x",
        "0.4111111111111111",
        "3.4111111111111111",
        "4111111111111111.5",
        "41-11-11-11-11-11-11-11",
        "4111.1111.1111.1111",
        "4111  1111  1111  1111",
        "12345678-1234-4123-8123-411111111111",
        "d41d8cd98f00b204e9800998ecf8427e",
        "4111111111111111d41d8cd98f00b204",
        "0x4111111111111111",
        "2024-05-17 10:22:33.123456+02",
    ]);
}

#[test]
fn social_security_numbers() {
    whole("us_ssn", "078-05-1120");
    check("SSN: 078051120", "us_ssn=078051120");
    check("ssn 078 05 1120", "us_ssn=078 05 1120");
    check("{\"ssn\":\"078051120\"}", "us_ssn=078051120");
    check("Social Security Number is 078051120", "us_ssn=078051120");
    check("078051120 (SSN)", "us_ssn=078051120");
    let column = |name: &str| found("078051120", Hint::from_column(name));
    for name in [
        "ssn",
        "customer_ssn",
        "SSN_LAST",
        "ssnNumber",
        "social_security_number",
        "socialSecurity",
        "tax_id",
        "TIN",
        "custssn",
    ] {
        assert_eq!(column(name), "us_ssn=078051120", "{name}");
    }
    for name in ["id", "rating", "className", "business_name", "classname", "setting", "order_number", "social_media"] {
        assert_eq!(column(name), "", "{name}");
    }
    nothing(&[
        "078051120",
        "order 123456789",
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "078-00-1120",
        "078-05-0000",
        "1078-05-1120",
        "078-05-11200",
        "078-05-1120-1",
        "1-078-05-1120",
        "078 05 1120",
        "classname 123456789",
        "ssn of nobody; much later in this text there is 123456789",
    ]);
}

#[test]
fn emails() {
    for email in [
        "ada@example.com",
        "o'neil+x@mail.example.co.uk",
        "a.b_c-d%e@sub-domain.example.org",
        "user@xn--bcher-kva.xn--p1ai",
        "größe@büro.example",
        "x@y.zz",
    ] {
        whole("email", email);
    }
    check("mailto:ada@example.com?subject=x", "email=ada@example.com");
    check("{ada@example.com,bob@example.org}", "email=ada@example.com | email=bob@example.org");
    check("email=ada@example.com&x=1", "email=ada@example.com");
    check("...ada@example.com...", "email=ada@example.com");
    check("ada@example.com.", "email=ada@example.com");
    check("postgres://ada@db.example.com/x", "email=ada@db.example.com");
    nothing(&[
        "user@host",
        "@example.com",
        "ada@",
        "ada@.com",
        "a @ b.com",
        "icon@2x.png",
        "ada@example.c",
        "ada@1.2.3",
        "pkg@1.2.3",
        "x@example..com",
        "https://example.com/a/b",
    ]);
}

#[test]
fn telephones() {
    for phone in [
        "+14155552671",
        "+1 415 555 2671",
        "+1 (415) 555-2671",
        "+442071838750",
        "+44 20 7183 8750",
        "+49 (0)89 1234567",
        "+352 26 12 34 56",
        "(415) 555-2671",
        "(415)555-2671",
        "415-555-2671",
        "415.555.2671",
        "415 555 2671",
        "1-415-555-2671",
    ] {
        whole("phone", phone);
    }
    check("tel:+14155552671 2024", "phone=+14155552671");
    nothing(&[
        "4155552671",
        "14155552671",
        "115-555-2671",
        "415-155-2671",
        "911-555-2671",
        "415-555-26711",
        "2415-555-2671",
        "0-415-555-2671",
        "+1000000000",
        "+12345",
        "+830123456789",
        "a+14155552671",
        "2024-05-17 10:22:33+02",
        "10:22:33.123456+0530",
        "INV-2024-555-2671",
        "415.5552671",
        "100 200 3000",
    ]);
}

#[test]
fn ibans() {
    for iban in [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "gb29nwbk60161331926819",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
    ] {
        whole("iban", iban);
    }
    check("pay DE89 3704 0044 0532 0130 00 EUR", "iban=DE89 3704 0044 0532 0130 00");
    nothing(&[
        "DE88370400440532013000",
        "XX89370400440532013000",
        "DE893704004405320130001",
        "aDE89370400440532013000",
        "de305d54-75b4-431b-adb2-eb6b9e546014",
    ]);
}

#[test]
fn addresses() {
    for ip in [
        "192.168.1.10",
        "8.8.8.8",
        "255.255.255.255",
        "2001:db8::8a2e:370:7334",
        "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "fe80::1ff:fe23:4567:890a",
        "::ffff:192.168.1.1",
    ] {
        whole("ip_address", ip);
    }
    check("10.1.2.3:5432", "ip_address=10.1.2.3");
    check("10.1.2.3/24", "ip_address=10.1.2.3");
    check("database:10.1.2.3", "ip_address=10.1.2.3");
    check("[2001:db8::1]:443", "ip_address=2001:db8::1");
    check("10.0.0.1-10.0.0.9", "ip_address=10.0.0.1 | ip_address=10.0.0.9");
    nothing(&[
        "1.2.3",
        "v1.2.3.4",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.04",
        "1.2.3.4beta",
        "Chrome/120.0.0.0 Safari/537.36",
        "10:22:33",
        "00:1a:2b:3c:4d:5e",
        "00:1a:2b:3c:4d:5e:6f:70",
        "::1",
        "::",
        "std::vec",
        "a::b",
        "dead::beef",
        "x::text",
        "12::30",
        "3.14159265358979",
    ]);
}

#[test]
fn keys() {
    for key in [
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
        "glpat-abcdefghij0123456789",
        "xoxb-123456789012-abcdefABCDEF",
        "sk_live_abcdefghijklmnop0123",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "sk-proj-abcdefghij0123456789ABCD",
        "sk-ant-api03-abcdefghij0123456789",
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
        "abc8Q~abcdefghijklmnopqrstuvwxyz01234",
    ] {
        whole("api_key", key);
    }
    let account = format!("{}==", "a1B2".repeat(21));
    check(&format!("AccountKey={account};x"), &format!("api_key={account}"));
    nothing(&[
        "AKIAIOSFODNN7EXAMPL",
        "AKIAIOSFODNN7EXAMPLE1",
        "xAKIAIOSFODNN7EXAMPLE",
        "akiaiosfodnn7example",
        "task-force-of-the-whole-department-42",
        "sk-some-long-name-of-a-thing",
        "ghp_short",
        "npm_install",
        "xoxb-",
        "550e8400-e29b-41d4-a716-446655440000",
    ]);
}

#[test]
fn private_keys_and_tokens() {
    check(
        "sk-abcdefghij0123456789ABCD-----BEGIN PRIVATE KEY-----\nMIIB",
        "api_key=sk-abcdefghij0123456789ABCD | private_key=-----BEGIN PRIVATE KEY-----\nMIIB",
    );
    for label in [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ] {
        whole(
            "private_key",
            &format!("-----BEGIN {label}-----\nMIIBada@example.com\n4111111111111111\n-----END {label}-----"),
        );
    }
    check("a -----BEGIN PRIVATE KEY-----\nMII", "private_key=-----BEGIN PRIVATE KEY-----\nMII");
    whole("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_d");
    check("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "jwt=eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.");
    whole(
        "jwt",
        "eyJhbGciOiJSU0EtT0FFUCJ9.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKo.48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT",
    );
    whole("jwt", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT");
    nothing(&[
        "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMII",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJabc.def.ghi",
        "eyJhbGciOiJIUzI1NiJ9..abc",
    ]);
}

#[test]
fn what_overlaps_is_one_finding() {
    check("ada@10.1.2.3.example.com", "email=ada@10.1.2.3.example.com");
    check("4111111111111111@example.com", "email=4111111111111111@example.com");
}

#[test]
fn only_what_is_wanted_is_looked_for() {
    let detector = Detector::new();
    let text = b"ada@example.com 4111111111111111 192.168.1.10 AKIAIOSFODNN7EXAMPLE";
    for data_type in doorward_model::DataType::ALL {
        let wanted: TypeSet = [*data_type].into_iter().collect();
        let hits = detector.scan(text, &Hint::default(), wanted);
        assert!(hits.iter().all(|f| f.data_type == *data_type));
        assert_eq!(hits.is_empty(), !detector.may_contain_hinted(text, Hint::default(), wanted), "{data_type:?}");
    }
    assert!(!detector.may_contain(text, TypeSet::NONE));
}
