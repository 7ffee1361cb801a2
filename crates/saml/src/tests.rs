//! Answers of a real Keycloak (testdata/), whole, wrapped and spoilt; and answers that a key of our own signed.
use super::*;
use crate::{canonical::Canonical, names::SAML, signature::DS};
use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::{Secret, Timestamp};
use doorward_testkit::SamlAnswer;
use proptest::prelude::*;
use std::time::Duration;

const METADATA: &str = include_str!("../testdata/keycloak-metadata.xml");
const BOTH: &str = include_str!("../testdata/keycloak-both.xml");
const ASSERTION: &str = include_str!("../testdata/keycloak-assertion.xml");
const RESPONSE: &str = include_str!("../testdata/keycloak-response.xml");
/// A second after the answers were made.
const NOW: &str = "2026-11-27T00:00:17Z";

/// What an answer is held against, with everything that a test may want otherwise.
#[derive(Clone)]
struct Asked {
    provider: IdentityProvider,
    service: ServiceProvider,
    request: String,
    now: Timestamp,
}

impl Asked {
    fn of(name: &str) -> Self {
        let entity_id = format!("http://127.0.0.1:9999/auth/saml/{name}");
        Self {
            provider: IdentityProvider::of_metadata(METADATA).unwrap(),
            service: ServiceProvider { acs_url: format!("{entity_id}/acs"), entity_id },
            request: "_golden".into(),
            now: time::read(NOW).unwrap(),
        }
    }

    fn read(&self, text: &str) -> Result<Assertion, ResponseError> {
        self.read_encoded(&STANDARD.encode(text))
    }

    fn read_encoded(&self, encoded: &str) -> Result<Assertion, ResponseError> {
        Expected { provider: &self.provider, service: &self.service, request: &self.request, now: self.now }
            .read(encoded)
    }

    fn why(&self, text: &str) -> String {
        self.read(text).unwrap_err().to_string()
    }
}

/// The answers by what of them is signed.
fn genuine() -> [(Asked, &'static str); 3] {
    [(Asked::of("corp"), BOTH), (Asked::of("assertion"), ASSERTION), (Asked::of("response"), RESPONSE)]
}

#[test]
fn answers_of_keycloak_are_understood() {
    for (asked, text) in genuine() {
        let who = asked.read(text).unwrap();
        assert_eq!((who.name_id.as_str(), who.attribute("groups").unwrap()), ("alice", vec!["sre"]));
        assert!(who.session.as_ref().unwrap().contains("::") && !who.is_transient && who.id.starts_with("ID_"));
        assert_eq!(who.attribute("nosuch").unwrap(), Vec::<&str>::new());
        assert_eq!(who.session_ends.unwrap().since(asked.now).as_secs() / 3600, 9);
        // Remembered for as long as it would be believed.
        let late = Asked { now: who.remember_until, ..asked.clone() };
        assert!(matches!(late.read(text), Err(ResponseError::Time(_))));
    }
}

#[test]
fn wrapped_signatures_are_refused() {
    let mut seen = Vec::new();
    for (asked, text) in genuine() {
        let alter = |t: &str| t.replace(">alice<", ">mallory<").replace(">sre<", ">admins<");
        for (name, wrapped) in SamlAnswer::of(text).unwrap().wrapped(alter) {
            assert!(wrapped.contains("mallory") && wrapped.contains("alice"), "{name}");
            assert!(asked.read(&wrapped).is_err(), "{name}: {wrapped}");
            seen.push(name);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 9);
}

#[test]
fn what_is_not_signed_or_was_changed_is_refused() {
    for (asked, text) in genuine() {
        assert_eq!(
            asked.why(&SamlAnswer::of(text).unwrap().unsigned()),
            "neither the assertion nor the answer is signed"
        );
        for (from, to) in [(">alice<", ">bob<"), (">sre<", ">admins<"), ("Name=\"groups\"", "Name=\"groupz\"")] {
            assert_eq!(asked.why(&text.replace(from, to)), "the content was changed after it was signed", "{from}");
        }
        let mut other = asked.clone();
        other.provider.certificates = vec![Certificate::read(&Signer::new().pem).unwrap()];
        assert_eq!(other.why(text), "the signature is by none of the configured certificates");
        // One of several is enough: keys are changed one after the other.
        other.provider.certificates.extend(asked.provider.certificates.clone());
        other.read(text).unwrap();
        for (from, to, want) in [
            ("xmldsig-more#rsa-sha256", "xmldsig#rsa-sha1", ""),
            ("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#hmac-sha1", "HMAC"),
            ("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#rsa-sha1", "SHA-1"),
            ("exc-c14n#\"", "exc-c14n#WithComments\"", "another canonicalization"),
        ] {
            let why = asked.why(&text.replace(from, to));
            assert!(why.contains("signature uses") && why.contains(want), "{why}");
        }
    }
}

#[test]
fn answers_for_others_and_at_other_times_are_refused() {
    for (asked, text) in genuine() {
        let with = |change: &dyn Fn(&mut Asked)| {
            let mut other = asked.clone();
            change(&mut other);
            other.why(text)
        };
        assert_eq!(with(&|a| a.service.entity_id.push('2')), "Audience is not what was expected");
        assert_eq!(with(&|a| a.service.acs_url.push('2')), "Destination is not what was expected");
        assert_eq!(with(&|a| a.request = "_other".into()), "InResponseTo of the answer is not what was expected");
        assert_eq!(with(&|a| a.provider.entity_id.push('2')), "Issuer is not what was expected");
        assert_eq!(with(&|a| a.now = a.now.before(Duration::from_secs(80))), "the assertion is not good yet");
        assert_eq!(with(&|a| a.now = a.now.after(Duration::from_secs(130))), "the assertion is no longer good");
    }
    // What is signed says the same again: the envelope alone convinces nobody.
    let asked = Asked::of("assertion");
    let foreign = Asked { request: "_mine".into(), ..asked.clone() };
    let adapted = ASSERTION.replacen("InResponseTo=\"_golden\"", "InResponseTo=\"_mine\"", 1);
    assert_eq!(foreign.why(&adapted), "InResponseTo of the assertion is not what was expected");
    let mut moved = asked;
    moved.service.acs_url = "http://127.0.0.1:9999/auth/saml/other/acs".into();
    let adapted = ASSERTION.replacen("saml/assertion/acs", "saml/other/acs", 1);
    assert_eq!(moved.why(&adapted), "Recipient is not what was expected");
}

#[test]
fn hostile_documents_are_refused() {
    let (asked, text) = (Asked::of("corp"), BOTH);
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    assert_eq!(
        asked.why(&format!("{bomb}{}", text.replace(">alice<", ">&b;<"))),
        "the answer is not read: it has a DOCTYPE"
    );
    let external = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    assert_eq!(
        asked.why(&format!("{external}{}", text.replace(">alice<", ">&x;<"))),
        "the answer is not read: it has a DOCTYPE"
    );
    assert!(asked.why(&text.replace(">alice<", ">&x;<")).contains("not well-formed"));
    assert!(asked.why(&"<a>".repeat(80_000)).contains("too many levels"));
    assert!(asked.why(&format!("{text}{}", " ".repeat(300_000))).contains("larger than 256 KiB"));
    assert!(asked.read_encoded(&"A".repeat(10_000_000)).unwrap_err().to_string().contains("larger than 256 KiB"));
    assert_eq!(asked.read_encoded("%%%"), Err(ResponseError::NotBase64));
    assert!(asked.read_encoded(&STANDARD.encode([0xff, 0xfe, 0, 1, 2])).unwrap_err().to_string().contains("UTF-8"));
    for cut in (0..text.len()).step_by(97) {
        asked.read(text.get(..cut).unwrap()).unwrap_err();
    }
    // The assertion is there, but as something else.
    let encrypted = text.replace("saml:Assertion", "saml:EncryptedAssertion");
    assert!(asked.why(&encrypted).contains("turn encryption off"));
    // What the provider says instead of an assertion; of its words nothing but letters is shown.
    let code = "<samlp:StatusCode Value=\"urn:x:status:Responder\"><samlp:StatusCode Value=\"x:Authn&lt;b&gt;Failed\"/></samlp:StatusCode>";
    let denied = text.replace("<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>", code);
    assert_eq!(asked.why(&denied), "the provider refused: Responder, AuthnbFailed");
}

#[test]
fn a_comment_does_not_cut_a_name() {
    // Comments are not signed: what is read is the whole name, as it was signed (CVE-2017-11427 and its kin).
    for (asked, text) in genuine() {
        let who = asked.read(&text.replace(">alice<", ">al<!-- x -->ice<")).unwrap();
        assert_eq!(who.name_id, "alice");
    }
    let signer = Signer::new();
    let text = signer.answer(&|a| a.replace(">alice<", ">alice@corp.example<!-- -->.evil.example<"));
    assert_eq!(signer.asked.read(&text).unwrap().name_id, "alice@corp.example.evil.example");
}

/// Answers by a key of our own.
struct Signer {
    key: EcdsaKeyPair,
    pem: String,
    asked: Asked,
}

impl Signer {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap().pem();
        let mut asked = Asked::of("assertion");
        asked.provider.certificates = vec![Certificate::read(&pem).unwrap()];
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der()).unwrap();
        Self { key, pem, asked }
    }

    /// Keycloak's assertion, changed and signed anew.
    fn answer(&self, change: &dyn Fn(String) -> String) -> String {
        self.answer_with(change, "")
    }

    fn answer_with(&self, change: &dyn Fn(String) -> String, parameters: &str) -> String {
        self.answer_about(change, parameters, |id| format!("#{id}"))
    }

    /// With what the signature says that it is about, by the name of what it really is of.
    fn answer_about(
        &self,
        change: &dyn Fn(String) -> String,
        parameters: &str,
        reference: impl Fn(&str) -> String,
    ) -> String {
        let bare = SamlAnswer::of(ASSERTION).unwrap().unsigned();
        let bare = change(bare);
        let tree = xml::parse(&bare).unwrap();
        let assertion = tree.descendants().find(|n| n.has_tag_name((SAML, "Assertion"))).unwrap();
        let list: Vec<&str> =
            parameters.split('"').nth(3).unwrap_or_default().split(' ').filter(|p| !p.is_empty()).collect();
        let text = Canonical { without: None, inclusive: &list }.of(assertion).unwrap();
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
        let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
        let info = format!(
            "<ds:SignedInfo xmlns:ds=\"{DS}\"><ds:CanonicalizationMethod Algorithm=\"{exclusive}\"></ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256\"></ds:SignatureMethod>\
             <ds:Reference URI=\"{}\"><ds:Transforms><ds:Transform Algorithm=\"{DS}enveloped-signature\"></ds:Transform>\
             <ds:Transform Algorithm=\"{exclusive}\">{parameters}</ds:Transform></ds:Transforms>\
             <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"></ds:DigestMethod>\
             <ds:DigestValue>{hash}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
            reference(assertion.attribute("ID").unwrap())
        );
        let tree = xml::parse(&info).unwrap();
        let said = Canonical { without: None, inclusive: &[] }.of(tree.root_element()).unwrap();
        let value = STANDARD.encode(self.key.sign(&SystemRandom::new(), said.as_bytes()).unwrap());
        let signature = format!(
            "<ds:Signature xmlns:ds=\"{DS}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature><saml:Subject>"
        );
        bare.replacen("<saml:Subject>", &signature, 1)
    }

    fn why(&self, from: &str, to: &str) -> String {
        self.asked.why(&self.answer(&|a| {
            assert!(a.contains(from), "{from}");
            a.replacen(from, to, 1)
        }))
    }
}

#[test]
fn signed_assertions_have_to_say_what_the_profile_wants() {
    let signer = Signer::new();
    signer.asked.read(&signer.answer(&|a| a)).unwrap();
    for (from, to, want) in [
        (
            "<saml:AudienceRestriction>",
            "<saml:Condition xmlns:x=\"u\" x:y=\"z\"/><saml:AudienceRestriction>",
            "condition that is not known",
        ),
        ("cm:bearer", "cm:holder-of-key", "no bearer SubjectConfirmation"),
        (
            "SubjectConfirmationData InResponseTo=\"_golden\"",
            "SubjectConfirmationData",
            "InResponseTo of the assertion",
        ),
        ("<saml:NameID ", "<saml:NameID>x</saml:NameID><saml:NameID ", "not exactly one NameID"),
        (">alice<", "><", "an empty NameID"),
        (">alice<", "><b/>alice<", "SAML has: NameID"),
        ("SessionNotOnOrAfter=\"2026-11-27", "SessionNotOnOrAfter=\"2026-11-25", "session is over"),
        ("Conditions NotBefore=\"2026-11-27", "Conditions NotBefore=\"tomorrow", "not one in UTC"),
    ] {
        let why = signer.why(from, to);
        assert!(why.contains(want), "{to}: {why}");
    }
    let cut = |begin: &'static str, end: &'static str| {
        signer.asked.read(&signer.answer(&|a| {
            let (head, rest) = a.split_once(begin).unwrap();
            format!("{head}{}", rest.split_once(end).unwrap().1)
        }))
    };
    for (begin, end, want) in [
        ("<saml:AuthnStatement", "</saml:AuthnStatement>", "no AuthnStatement"),
        ("<saml:AudienceRestriction>", "</saml:AudienceRestriction>", "Audience, of which there is none,"),
        ("<saml:Conditions", "</saml:Conditions>", "not exactly one Conditions"),
        (" NotOnOrAfter=\"", "\"", "without NotOnOrAfter"),
    ] {
        let why = cut(begin, end).unwrap_err().to_string();
        assert!(why.contains(want), "{begin}: {why}");
    }
    // A list of prefixes to keep, as some providers write it; and what is not plain text is only refused where it is used.
    let list = "<ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"xs samlp\"></ec:InclusiveNamespaces>";
    let odd = signer.answer_with(&|a| a.replacen(">sre<", "><b/><", 1), list);
    let who = signer.asked.read(&odd).unwrap();
    assert_eq!(who.attribute("groups"), Err(ResponseError::Attribute("groups".into())));
    let transient = signer.answer(&|a| a.replacen("1.1:nameid-format:unspecified", "2.0:nameid-format:transient", 1));
    assert!(signer.asked.read(&transient).unwrap().is_transient);
}

#[test]
fn a_signature_is_about_the_element_that_it_is_in() {
    let signer = Signer::new();
    // The digest is right, and the name says something else: another reader might have gone there.
    let references: [&dyn Fn(&str) -> String; 4] =
        [&|_| String::new(), &|_| "#".into(), &|id| format!("#{id}2"), &|id| format!("http://evil.example/#{id}")];
    for reference in references {
        let why = signer.asked.why(&signer.answer_about(&|a| a, "", reference));
        assert_eq!(why, "the signature is not about the element that it is in");
    }
    signer.asked.read(&signer.answer_about(&|a| a, "", |id| format!("#{id}"))).unwrap();
}

#[test]
fn what_is_done_before_a_signature_is_verified_is_bounded() {
    let asked = Asked::of("corp");
    let parts: String = "<x/>".repeat(10_000);
    let prefixes: String = (0..20_000).map(|n| format!("b{n} ")).collect();
    let list = format!(
        "exc-c14n#\"><e:InclusiveNamespaces xmlns:e=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"{prefixes}\"/>\
         </dsig:CanonicalizationMethod>"
    );
    let begun = std::time::Instant::now();
    let many = BOTH.replacen("<dsig:SignedInfo>", &format!("<dsig:SignedInfo>{parts}"), 1);
    assert!(asked.why(&many).contains("too many parts"));
    let long = BOTH.replacen("exc-c14n#\"/>", &list, 1);
    assert!(asked.why(&long).contains("too many prefixes"));
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}

#[test]
fn metadata_introduces_both_sides() {
    let provider = IdentityProvider::of_metadata(METADATA).unwrap();
    assert_eq!(provider.entity_id, "http://127.0.0.1:9998/realms/people");
    assert_eq!(
        (provider.sso_url.as_str(), provider.certificates.len()),
        ("http://127.0.0.1:9998/realms/people/protocol/saml", 1)
    );
    let why =
        |from: &str, to: &str| IdentityProvider::of_metadata(&METADATA.replace(from, to)).unwrap_err().to_string();
    assert_eq!(why("bindings:HTTP-Redirect", "bindings:HTTP-Other"), "has no SingleSignOnService for HTTP-Redirect");
    assert_eq!(why("use=\"signing\"", "use=\"encryption\""), "has no certificate for signing");
    assert_eq!(why("SAML:2.0:protocol", "SAML:1.1:protocol"), "has not exactly one IDPSSODescriptor for SAML 2.0");
    assert!(why("<ds:X509Certificate>MII", "<ds:X509Certificate>AAA").contains("not an X.509 certificate"));
    assert_eq!(IdentityProvider::of_metadata("<a/>").unwrap_err(), MetadataError::NotMetadata);
    assert!(IdentityProvider::of_metadata("<!DOCTYPE a><a/>").is_err());

    // The certificate of an authority, beside one that it has issued, signs nothing here.
    let other = Certificate::read(&Signer::new().pem).unwrap().base64();
    let one_more = format!("</ds:X509Certificate><ds:X509Certificate>{other}</ds:X509Certificate>");
    assert!(why("</ds:X509Certificate>", &one_more).contains("more than one certificate"));
    let next = format!(
        "<md:KeyDescriptor><ds:KeyInfo xmlns:ds=\"{DS}\"><ds:X509Data><ds:X509Certificate>{other}</ds:X509Certificate>\
         </ds:X509Data></ds:KeyInfo></md:KeyDescriptor><md:SingleSignOnService"
    );
    let two_keys = IdentityProvider::of_metadata(&METADATA.replacen("<md:SingleSignOnService", &next, 1)).unwrap();
    assert_eq!(two_keys.certificates.len(), 2, "keys that are being changed");

    let service =
        ServiceProvider { entity_id: "https://a.example/?a=b&c".into(), acs_url: "https://a.example/acs".into() };
    let certificate = Certificate::read(&Signer::new().pem).unwrap();
    for signing in [None, Some(&certificate)] {
        let said = service.metadata(signing);
        let tree = xml::parse(&said).unwrap();
        assert_eq!(tree.root_element().attribute("entityID"), Some(service.entity_id.as_str()));
        assert_eq!(said.contains("X509Certificate"), signing.is_some());
    }
}

#[test]
fn requests_say_who_asks_and_may_be_signed() {
    let asked = Asked::of("corp");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap().pem();
    let certificate = Certificate::read(&pem).unwrap();
    let secret = Secret::new(key.serialize_pem());
    let signing = SigningKey::read(&secret, certificate.clone()).unwrap();
    let other = Certificate::read(&Signer::new().pem).unwrap();
    assert_eq!(SigningKey::read(&secret, other).unwrap_err(), SigningKeyError::Mismatch);
    assert_eq!(
        SigningKey::read(&Secret::new("x".into()), certificate.clone()).unwrap_err(),
        SigningKeyError::Malformed
    );
    let request = AuthnRequest {
        provider: &asked.provider,
        service: &asked.service,
        id: "_r",
        now: asked.now,
        relay_state: "a b",
    };
    let plain = request.location(None).unwrap();
    let (sso, query) = plain.split_once('?').unwrap();
    assert_eq!(sso, asked.provider.sso_url);
    let packed = query.strip_prefix("SAMLRequest=").unwrap().split_once("&RelayState=a%20b").unwrap().0;
    let packed = packed.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let document = miniz_oxide::inflate::decompress_to_vec(&STANDARD.decode(packed).unwrap()).unwrap();
    let document = String::from_utf8(document).unwrap();
    let tree = xml::parse(&document).unwrap();
    let root = tree.root_element();
    assert_eq!((root.attribute("ID"), root.attribute("IssueInstant")), (Some("_r"), Some(NOW)));
    assert_eq!(root.attribute("AssertionConsumerServiceURL"), Some(asked.service.acs_url.as_str()));
    let signed = request.location(Some(&signing)).unwrap();
    let (message, value) = signed.split_once('?').unwrap().1.split_once("&Signature=").unwrap();
    let value = value.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let algorithm = certificate::Algorithm::EcdsaSha256;
    assert!(certificate.verifies(algorithm, message.as_bytes(), &STANDARD.decode(value).unwrap()));
}

/// A change to some bytes.
fn change() -> impl Strategy<Value = (usize, u8, u8)> {
    (0..12_000_usize, 0..5_u8, any::<u8>())
}

fn changed(text: &str, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for &(at, how, byte) in changes {
        let at = at % bytes.len();
        match how {
            0 => bytes[at] = byte,
            1 => bytes[at] ^= 1 << (byte % 8),
            2 => bytes.insert(at, byte),
            3 => drop(bytes.remove(at)),
            _ => {
                // A piece of it again, somewhere else.
                let piece = bytes[at..bytes.len().min(at + usize::from(byte))].to_vec();
                let to = (at * 31) % bytes.len();
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn no_change_leads_to_other_claims(which in 0..3_usize, changes in prop::collection::vec(change(), 1..4)) {
        let (asked, text) = genuine()[which].clone();
        let want = asked.read(text).unwrap();
        if let Ok(who) = asked.read_encoded(&STANDARD.encode(changed(text, &changes))) {
            prop_assert_eq!(who, want);
        }
    }

    #[test]
    fn bytes_that_are_nothing_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Asked::of("corp").read_encoded(&STANDARD.encode(bytes)).is_err());
    }
}
