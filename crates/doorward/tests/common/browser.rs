//! A person's browser on the pages of a gateway.
use super::{SCHEMA, World};
use doorward_testkit::{Chromium, Screen};

/// What the people of these tests may see and do. The shipped roles are for people of an issuer of people.
pub fn people(group: &str) -> String {
    format!("\n@id(\"people\") permit (principal in Group::\"{group}\", action in Action::\"administer\", resource);\n")
}

/// The demonstration's world, with people.
pub fn demo() -> World {
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/orders.cedar");
    let policy = std::fs::read_to_string(policy).unwrap();
    let world = World::with(&format!("{policy}{}", people("dba")), "");
    world.postgres.exec(&format!("set role {};\n{SCHEMA}", world.postgres.user())).unwrap();
    world
}

/// Marks what can be used on a page.
const REACHABLE: &str = "for (const e of document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, \
    [tabindex=\"0\"]')) if (!e.disabled && e.checkVisibility()) e.dataset.reachable = '';";

/// Finds texts that do not stand out from what is behind them.
const FAINT: &str = r"
const parts = (c) => (c.match(/[\d.]+/g) || []).map(Number);
const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const over = (top, below) => { const a = top[3] ?? 1; return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a)); };
const behind = (e) => {
  if (!e) return [255, 255, 255];
  const c = parts(getComputedStyle(e).backgroundColor);
  return c.length === 4 && c[3] === 0 ? behind(e.parentElement) : over(c, behind(e.parentElement));
};
const out = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !e.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
  if (e.closest('script, .hear, [hidden], :disabled, .editor textarea, option')) continue;
  const back = behind(e), front = over(parts(getComputedStyle(e).color), back);
  const [a, b] = [light(back), light(front)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) out.push(`${ratio.toFixed(2)} ${e.tagName}.${e.className}: ${walker.currentNode.data.trim().slice(0, 40)}`);
}
return [...new Set(out)].slice(0, 10);
";

/// What somebody says to a request that waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Deny,
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
        self.until("return document.readyState === 'complete' && !document.getElementById('token');", true);
    }

    /// The text of a field, at once: typing a long one key by key is slow.
    pub fn fill(&self, id: &str, text: &str) {
        let script = "const e = document.getElementById(arguments[0]); e.value = arguments[1]; \
            e.dispatchEvent(new Event('input', { bubbles: true }));";
        self.browser.script(script, &[id.into(), text.into()]).unwrap();
    }

    /// Waits until a script in the page says this.
    pub fn until(&self, script: &str, wanted: impl Into<serde_json::Value>) {
        let (wanted, end) = (wanted.into(), std::time::Instant::now() + std::time::Duration::from_secs(20));
        loop {
            let found = self.browser.script(script, &[]).unwrap_or_default();
            if found == wanted {
                return;
            }
            assert!(
                std::time::Instant::now() < end,
                "{script}: {found}, not {wanted}: {}",
                self.browser.page().unwrap()
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Out, and at the page of signing in: whoever goes on before the form is sent is signed in still.
    pub fn sign_out(&self) {
        self.browser.click("form[action='/sign-out'] button").unwrap();
        self.browser.wait_for("Your identity token").unwrap();
    }

    /// Opens the one request that waits in the inbox, sees what it says, and decides it with a comment.
    pub fn decide(&self, verdict: Verdict, statement: &str, about: &[&str], comment: &str) {
        self.open("/approvals");
        self.browser.wait_in(".inbox", "ci-bot").unwrap();
        self.is_sound();
        self.browser.click("[data-open]").unwrap();
        self.browser.wait_for("Exactly this would run").unwrap();
        assert_eq!(self.browser.text("#statement").unwrap(), statement);
        let page = self.browser.page().unwrap();
        for part in about {
            assert!(page.contains(part), "no {part:?} in: {page}");
        }
        self.is_sound();
        self.browser.type_into("#comment", comment).unwrap();
        let (button, told) = match verdict {
            Verdict::Approve => ("[data-approve]", "Your approval is recorded"),
            Verdict::Deny => ("[data-deny]", "the caller has been told"),
        };
        self.browser.click(button).unwrap();
        self.browser.wait_for(told).unwrap();
        self.browser.wait_for(comment).unwrap();
        self.is_sound();
    }

    /// Changes the speed of the player of a terminal, which shows `text` in the end, and seeks its beginning, where it does not.
    pub fn plays(&self, text: &str) {
        self.browser.text(".ap-player").unwrap();
        let speed = "const e = document.getElementById('speed'); e.value = '8'; e.dispatchEvent(new Event('change'));";
        self.browser.script(speed, &[]).unwrap();
        self.browser.wait_in(".ap-term-text", text).unwrap();
        self.until("return document.activeElement.className;", "ap-wrapper");
        self.browser.press("0").unwrap();
        let shown = "return document.querySelector('.ap-term-text').innerText;";
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while self.browser.script(shown, &[]).unwrap().as_str().unwrap().contains(text) {
            assert!(std::time::Instant::now() < end, "it does not go back to its beginning");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        self.no_complaints();
    }

    /// The page has nothing in it that a caller's text made, fits its screen, and Chromium has nothing to complain about.
    pub fn is_sound(&self) {
        let made = "return document.querySelectorAll('main img, main script, main iframe, main b, main i, main svg:not(.chart)').length \
            + (document.title.includes('Doorward') ? 0 : 1);";
        assert_eq!(self.browser.script(made, &[]).unwrap(), 0, "{}", self.browser.url().unwrap());
        assert!(!self.browser.overflows().unwrap(), "{} is wider than the screen", self.browser.url().unwrap());
        self.no_complaints();
    }

    /// Tab leads to everything that can be used, from the link past the navigation on, and shows where it is.
    pub fn is_used_by_keys(&self) {
        self.browser.script("document.activeElement.blur(); window.scrollTo(0, 0);", &[]).unwrap();
        self.browser.script(REACHABLE, &[]).unwrap();
        let here = "const e = document.activeElement; e.dataset.reached = getComputedStyle(e).outlineStyle === 'none' ? 'unseen' : 'seen'; \
            return e.className + ':' + document.querySelectorAll('[data-reachable]:not([data-reached=seen])').length;";
        let url = self.browser.url().unwrap();
        self.browser.press("\u{e004}").unwrap();
        let mut found = self.browser.script(here, &[]).unwrap().as_str().unwrap().to_owned();
        for _ in 0..300 {
            if found.ends_with(":0") {
                return;
            }
            self.browser.press("\u{e004}").unwrap();
            found = self.browser.script(here, &[]).unwrap().as_str().unwrap().to_owned();
        }
        let left = "return [...document.querySelectorAll('[data-reachable]:not([data-reached=seen])')].map((e) => e.outerHTML.slice(0, 90));";
        panic!("{url}: Tab does not lead to, or does not show: {}", self.browser.script(left, &[]).unwrap());
    }

    /// All text stands out from what is behind it as WCAG 2.2 (1.4.3) asks: 4.5 to 1.
    pub fn is_readable(&self) {
        assert_eq!(self.browser.script(FAINT, &[]).unwrap(), serde_json::json!([]), "{}", self.browser.url().unwrap());
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
