//! Two real providers, a gateway, and people who fill in forms.
#![allow(unreachable_pub, reason = "a part of one test")]
use doorward_testkit::{Browser, Gateway, OidcClient, OidcProvider, Page, WEB_SECRET, free_port};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
};

const DOORWARD: &str = env!("CARGO_BIN_EXE_doorward");

pub struct World {
    pub gateway: Gateway,
    api: u16,
    pub providers: [OidcProvider; 2],
}

/// `Authorization` with a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn provider(api: u16, name: &str, public: bool) -> OidcProvider {
    let back = format!("http://127.0.0.1:{api}/auth/callback/{name}");
    let options = OidcProvider::options().web_client("doorward", &[&back], public);
    // The same person by token: an access token whose subject is the client.
    let options = options.client(OidcClient::new("alice"));
    // And one that an agent holds for a person.
    let act = serde_json::json!({ "sub": "sql-bot" });
    let options = options.client(OidcClient::new("carol").claim("act", act));
    let people = [("alice", "sre"), ("bob", "staff"), ("mallory", "staff")];
    people.into_iter().fold(options, |o, (who, group)| o.person(who, &[group])).start().unwrap()
}

impl World {
    pub fn start() -> Self {
        Self::with(|_| String::new())
    }

    /// With more of a configuration, made of the issuer `corp`.
    pub fn with(more: impl FnOnce(&str) -> String) -> Self {
        let api = free_port().unwrap();
        let providers = [provider(api, "corp", false), provider(api, "other", true)];
        let [corp, other] = providers.each_ref().map(OidcProvider::issuer);
        let more = more(&corp);
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
[server.sessions]
idle = "10m"
absolute = "1h"
[[identity.providers]]
name = "corp"
issuer = "{corp}"
client_id = "doorward"
client_secret = {{ env = "CORP_SECRET" }}
scopes = ["openid", "groups"]
[[identity.providers]]
name = "other"
issuer = "{other}"
client_id = "doorward"
{more}
[policy]
files = ["p.cedar"]
"#
        );
        let gateway = Gateway::options(&config)
            .program(DOORWARD)
            .file("p.cedar", "@id(\"all\")\npermit (principal, action, resource);\n")
            .env("CORP_SECRET", WEB_SECRET)
            .start()
            .unwrap();
        Self { gateway, api, providers }
    }

    pub fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.api)
    }

    /// The link for the first administrator, once it was printed.
    pub fn first_link(&self) -> String {
        for _ in 0..200 {
            let log = self.gateway.log();
            if let Some(link) = log.split_whitespace().find(|w| w.contains("/auth/bootstrap?code=")) {
                return link.to_owned();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("no link: {}", self.gateway.log())
    }

    /// What the provider sends the browser back with, before it gets there.
    pub fn answer(&self, browser: &mut Browser, provider: &str, who: &str) -> String {
        self.answer_for(browser, provider, who, "/").location().expect("back to the gateway")
    }

    fn answer_for(&self, browser: &mut Browser, provider: &str, who: &str, return_to: &str) -> Page {
        let begin = self.at(&format!("/auth/login/{provider}?return_to={return_to}"));
        let back = self.at("/auth/callback/");
        let page = browser.visit(&begin, Some(&back)).unwrap();
        self.fill_in(browser, page, who, Some(&back))
    }

    /// Fills in forms of the provider until there are none.
    fn fill_in(&self, browser: &mut Browser, mut page: Page, who: &str, stop: Option<&str>) -> Page {
        for _ in 0..5 {
            if page.status != 200 || !page.body.contains("<form") {
                return page;
            }
            let fields: &[(&str, &str)] =
                if page.body.contains("name=\"login\"") { &[("login", who), ("password", "x")] } else { &[] };
            let next = browser.submit(&page, fields).unwrap();
            page = browser.follow(next, stop).unwrap();
        }
        panic!("no end to forms: {page:?}")
    }

    /// A whole sign-in; gives what the gateway answers at last.
    pub fn sign_in(&self, browser: &mut Browser, provider: &str, who: &str, return_to: &str) -> Page {
        let answer = self.answer_for(browser, provider, who, return_to).location().expect("back to the gateway");
        browser.get(&answer).unwrap()
    }

    pub fn type_in_code(&self, browser: &mut Browser, page: &str, who: &str) {
        let page = browser.visit(page, None).unwrap();
        let end = self.fill_in(browser, page, who, None);
        assert_eq!(end.status, 200, "{end:?}");
    }

    pub fn me(&self, browser: &mut Browser) -> Option<Value> {
        let page = browser.get(&self.at("/auth/me")).unwrap();
        (page.status == 200).then(|| serde_json::from_str(&page.body).unwrap())
    }

    pub fn me_by(&self, headers: &[String]) -> Option<Value> {
        let page = Browser::default().exchange("GET", &self.at("/auth/me"), headers, "").unwrap();
        (page.status == 200).then(|| serde_json::from_str(&page.body).unwrap())
    }

    pub fn audit(&self) -> String {
        let out = self.gateway.run(["audit", "list", "--state-dir", "state", "--output", "json"]).unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    pub fn credentials(&self) -> PathBuf {
        self.gateway.directory().join("home/credentials.json")
    }

    pub fn cli_token(&self) -> String {
        let kept: Value = serde_json::from_slice(&std::fs::read(self.credentials()).unwrap()).unwrap();
        kept["gateways"][self.at("")]["token"].as_str().unwrap().to_owned()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(DOORWARD);
        command.env("DOORWARD_URL", self.at("")).env("DOORWARD_CREDENTIALS", self.credentials());
        command.env_remove("DOORWARD_TOKEN").env_remove("DOORWARD_TOKEN_FILE");
        command
    }

    pub fn doorward(&self, args: &[&str]) -> (bool, String) {
        let out = self.command().args(args).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.success(), text)
    }

    pub fn login(&self, args: &[&str]) -> Login {
        let mut command = self.command();
        command.args(["login", "--no-open"]).args(args).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Login { child, said }
    }
}

/// `doorward login` under way.
pub struct Login {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Login {
    /// The next line with these words.
    pub fn line(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended");
            if line.contains(words) {
                return line;
            }
        }
    }

    pub fn ends_well(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _gone = self.child.kill();
    }
}
