//! One Keycloak for the whole program, as it takes long to start, and three gateways that differ in what it signs for them.
#![allow(unreachable_pub, reason = "a part of one test")]
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_testkit::{Browser, Gateway, Keycloak, Page, SamlSigned, free_port};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

const DOORWARD: &str = env!("CARGO_BIN_EXE_doorward");
/// What people may do in the control room is said by the roles that are shipped.
const POLICY: &str = "@id(\"nothing\")\nforbid (principal, action == Action::\"connect\", resource);\n";

pub struct World {
    pub keycloak: Keycloak,
    /// Both signatures, people called by their NameID; that of the assertion, by their address; that of the answer, by what
    /// tokens have in `sub` (and our requests are signed).
    pub doors: [Door; 3],
}

/// A gateway.
pub struct Door {
    gateway: Gateway,
    api: u16,
}

/// What Keycloak has a browser post.
pub struct Answer {
    pub text: String,
    pub relay_state: String,
}

/// Started by whoever comes first, ended by whoever goes last.
pub fn world() -> Arc<World> {
    static WORLD: Mutex<Weak<World>> = Mutex::new(Weak::new());
    // A test that failed has nothing to do with the next.
    let mut shared = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let world = Arc::new(World::start());
        *shared = Arc::downgrade(&world);
        world
    })
}

/// A key and its certificate, in PEM.
fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    (key.serialize_pem(), certificate.pem())
}

/// A certificate as Keycloak keeps it.
fn bare(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

impl World {
    fn start() -> Self {
        let ports = [(); 3].map(|()| free_port().unwrap());
        let [both, assertion, response] = ports.map(|port| format!("http://localhost:{port}/auth/saml/corp"));
        let id = |base: &str| format!("{base}/metadata");
        let acs = |base: &str| format!("{base}/acs");
        let (key, certificate) = pair(&rcgen::PKCS_RSA_SHA256);
        let keycloak = Keycloak::options()
            .person("alice", "doorward-admins")
            .person("bob", "staff")
            .person("mallory", "staff")
            .client(&id(&both), &acs(&both), SamlSigned::Both)
            .client(&id(&assertion), &acs(&assertion), SamlSigned::Assertion)
            .client(&id(&response), &acs(&response), SamlSigned::Response)
            .signs_requests(&bare(&certificate))
            .client("urn:other-app", &acs(&both), SamlSigned::Both)
            .client("urn:encrypted-app", &acs(&both), SamlSigned::Both)
            .encrypts(&bare(&pair(&rcgen::PKCS_RSA_SHA256).1))
            .start()
            .unwrap();
        let metadata = keycloak.metadata().unwrap();
        let mut number = 0;
        let doors = ports.map(|api| {
            number += 1;
            let more = match number {
                2 => "subject_claim = \"mail\"\n",
                3 => "signing_key = { file = \"sp.key\" }\nsigning_certificate = \"sp.crt\"\nsubject_claim = \"uid\"\n",
                _ => "",
            };
            Door::start(api, &metadata, more, (&key, &certificate))
        });
        Self { keycloak, doors }
    }

    /// A browser in which somebody is signed in.
    pub fn signed_in(door: &Door, who: &str) -> Browser {
        let mut browser = Browser::default();
        let answer = door.answer(&mut browser, who);
        assert_eq!(door.bring(&mut browser, &answer).status, 303);
        browser
    }
}

impl Door {
    fn start(api: u16, metadata: &str, more: &str, pair: (&str, &str)) -> Self {
        // `localhost`, as Keycloak is at 127.0.0.1: for a browser they are two sites.
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
public_url = "http://localhost:{api}"
[[identity.providers]]
name = "corp"
kind = "saml"
metadata = "corp.xml"
tags = {{ mail = "mail" }}
{more}
[[identity.providers]]
name = "other"
issuer = "http://127.0.0.1:1"
client_id = "doorward"
[policy]
files = ["p.cedar"]
"#
        );
        let gateway = Gateway::options(&config)
            .program(DOORWARD)
            .file("p.cedar", POLICY)
            .file("corp.xml", metadata)
            .file("sp.key", pair.0)
            .file("sp.crt", pair.1)
            .start()
            .unwrap();
        Self { gateway, api }
    }

    pub fn at(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.api)
    }

    /// What Keycloak answers for somebody, before it gets here.
    pub fn answer(&self, browser: &mut Browser, who: &str) -> Answer {
        self.answer_from(browser, who, "/approvals")
    }

    pub fn answer_from(&self, browser: &mut Browser, who: &str, return_to: &str) -> Answer {
        let begin = browser.get(&self.at(&format!("/auth/login/corp?return_to={return_to}"))).unwrap();
        let page = browser.visit(&begin.location().unwrap(), None).unwrap();
        asked(browser, page, who)
    }

    /// The same for a request that another application seems to have made.
    pub fn answer_as(&self, browser: &mut Browser, who: &str, client: Option<&str>) -> Answer {
        let begin = browser.get(&self.at("/auth/login/corp")).unwrap().location().unwrap();
        let begin = client.map_or(begin.clone(), |client| made_by(&begin, client));
        let page = browser.visit(&begin, None).unwrap();
        asked(browser, page, who)
    }

    pub fn post(&self, browser: &mut Browser, encoded: &str, relay_state: Option<&str>) -> anyhow::Result<Page> {
        let mut fields = vec![("SAMLResponse", encoded)];
        fields.extend(relay_state.map(|state| ("RelayState", state)));
        let headers = ["Origin: http://127.0.0.1:1".to_owned(), "Sec-Fetch-Site: cross-site".to_owned()];
        // Browsers send no cookie with it that is `SameSite=Lax`.
        Browser::default().post(&self.at("/auth/saml/corp/acs"), &headers, &fields).inspect(|page| {
            assert!(page.header("set-cookie").is_none(), "{page:?}");
            let _sent = browser;
        })
    }

    /// Brings an answer as a browser does: posted without cookies, and on from there with them.
    pub fn bring(&self, browser: &mut Browser, answer: &Answer) -> Page {
        let page = self.post(browser, &STANDARD.encode(&answer.text), Some(&answer.relay_state)).unwrap();
        match page.location() {
            Some(on) => browser.get(&on).unwrap(),
            None => page,
        }
    }

    pub fn refuses(&self, browser: &mut Browser, answer: &Answer, name: &str, want: &str) {
        self.refuses_encoded(browser, &STANDARD.encode(&answer.text), Some(&answer.relay_state), name, want);
    }

    /// Nobody signs in by it, the page says so, and the audit log says why.
    pub fn refuses_encoded(&self, browser: &mut Browser, encoded: &str, state: Option<&str>, name: &str, want: &str) {
        let before = self.reasons().len();
        let page = self.post(browser, encoded, state).unwrap();
        let page = page.location().map_or(page, |on| browser.get(&on).unwrap());
        assert!((400..500).contains(&page.status) && page.body.contains("Not signed in"), "{name}: {page:?}");
        assert!(self.me(browser).is_none(), "{name}");
        // It is written down a moment later, and other tests are at it at the same time.
        let mut new = Vec::new();
        for _ in 0..100 {
            new = self.reasons().split_off(before);
            if new.iter().any(|why| why.contains(want)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(new.iter().any(|why| why.contains(want)), "{name}: {new:?}");
        assert!(!new.iter().any(|why| why.contains("alice") || why.contains('<')), "{name}: {new:?}");
    }

    pub fn me(&self, browser: &mut Browser) -> Option<Value> {
        let page = browser.get(&self.at("/auth/me")).unwrap();
        (page.status == 200).then(|| serde_json::from_str(&page.body).unwrap())
    }

    pub fn is_alive(&self) {
        assert_eq!(Browser::default().get(&self.at("/healthz")).unwrap().status, 200);
        World::signed_in(self, "bob");
    }

    pub fn audit(&self) -> String {
        let out = self.gateway.run(["audit", "list", "--state-dir", "state", "--output", "json"]).unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Why people did not sign in, in order.
    fn reasons(&self) -> Vec<String> {
        let audit = self.audit();
        let entries = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter_map(|entry| reason(&entry)).collect()
    }
}

fn reason(value: &Value) -> Option<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("reason").and_then(Value::as_str).map(str::to_owned);
            own.or_else(|| fields.values().find_map(reason))
        }
        Value::Array(items) => items.iter().find_map(reason),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Fills in the form of Keycloak, if it asks, and takes what it has the browser post.
fn asked(browser: &mut Browser, mut page: Page, who: &str) -> Answer {
    if page.body.contains("id=\"kc-form-login\"") {
        let form = page.body.split_once("<form id=\"kc-form-login\"").unwrap().1;
        page.body = format!("<form {form}");
        let next = browser.submit(&page, &[("username", who), ("password", "x")]).unwrap();
        page = browser.follow(next, None).unwrap();
    }
    Answer { text: decoded(&field(&page, "SAMLResponse")), relay_state: field(&page, "RelayState") }
}

fn decoded(encoded: &str) -> String {
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

/// A field of the form that is posted by itself; Keycloak has written its tags in capitals before now.
fn field(page: &Page, name: &str) -> String {
    let inputs = page.body.split('<').filter(|tag| tag.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("input")));
    let attribute = |tag: &str, wanted: &str| {
        let at = tag.to_ascii_lowercase().find(&format!("{wanted}=\""))?;
        let rest = tag.get(at + wanted.len() + 2..)?;
        Some(rest.split('"').next().unwrap_or_default().to_owned())
    };
    let mut named = inputs.filter(|tag| attribute(tag, "name").as_deref() == Some(name));
    let value = named.next().and_then(|tag| attribute(tag, "value"));
    let value = value.unwrap_or_else(|| panic!("no {name} in {}: {}", page.url, page.body));
    value
        .replace("&#x2b;", "+")
        .replace("&#43;", "+")
        .replace("&#x3d;", "=")
        .replace("&#61;", "=")
        .replace("&amp;", "&")
}

/// A request of ours, as if by somebody else; signatures of requests are not asked for from them.
fn made_by(begin: &str, client: &str) -> String {
    let (sso, query) = begin.split_once('?').unwrap();
    let packed = query.split('&').find_map(|p| p.strip_prefix("SAMLRequest=")).unwrap();
    let plain = packed.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let text = miniz_oxide::inflate::decompress_to_vec(&STANDARD.decode(plain).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, rest) = text.split_once("<saml:Issuer>").unwrap();
    let text = format!("{head}<saml:Issuer>{client}</saml:Issuer>{}", rest.split_once("</saml:Issuer>").unwrap().1);
    let packed = STANDARD.encode(miniz_oxide::deflate::compress_to_vec(text.as_bytes(), 6));
    let packed = packed.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let state = query.split('&').find(|p| p.starts_with("RelayState=")).unwrap();
    format!("{sso}?SAMLRequest={packed}&{state}")
}
