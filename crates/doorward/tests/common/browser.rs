//! A person's browser on the pages of a gateway.
use super::World;
use doorward_testkit::{Chromium, Screen};

/// What the people of these tests may see and do. The shipped roles are for people of an issuer of people.
pub const PEOPLE: &str = r#"
@id("people") permit (principal in Group::"dba", action in [Action::"view_connections", Action::"view_sessions",
    Action::"replay_session", Action::"kill_session", Action::"view_audit", Action::"export_audit",
    Action::"view_policies", Action::"view_settings"], resource);
"#;

/// The demonstration's world, with people.
pub fn demo() -> World {
    let world = World::demo();
    let policy = std::fs::read_to_string(world.gateway.directory().join("policy.cedar")).unwrap();
    world.gateway.write("policy.cedar", &format!("{policy}\n{PEOPLE}")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    world
}

/// A person's browser.
pub struct Visit {
    pub browser: Chromium,
    pub site: String,
}

impl Visit {
    pub fn new(api: u16, screen: Screen) -> Self {
        Self { browser: Chromium::start(screen).unwrap(), site: format!("http://127.0.0.1:{}", api) }
    }

    pub fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.site)).unwrap();
    }

    pub fn sign_in(&self, token: &str, next: &str) {
        self.open(next);
        // Typing a long token key by key is slow.
        let script = "document.getElementById('token').value = arguments[0];";
        self.browser.text("#token").unwrap();
        self.browser.script(script, &[token.into()]).unwrap();
        self.browser.click("main button").unwrap();
    }

    pub fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("DOORWARD_PICTURES") {
            self.browser.picture(&std::path::Path::new(&folder).join(format!("{name}.png"))).unwrap();
        }
    }

    pub fn theme(&self, theme: &str) {
        self.browser.script("document.documentElement.dataset.theme = arguments[0];", &[theme.into()]).unwrap();
    }

    pub fn no_complaints(&self) {
        assert_eq!(self.browser.complaints().unwrap(), Vec::<String>::new());
    }
}
