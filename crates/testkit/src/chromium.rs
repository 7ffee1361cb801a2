//! Debian's Chromium, driven over WebDriver.
use crate::{
    paths::find_program,
    ports::{free_port, wait_for_port},
    process::{Process, ProcessSpec},
};
use anyhow::{Context as _, Result, bail};
use fantoccini::{
    Client, ClientBuilder, Locator, elements::Element, error::CmdError, key::Key, wd::WebDriverCompatibleCommand,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const START_LIMIT: Duration = Duration::from_secs(30);
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// What the browser shows itself on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// 1280 by 800.
    Desktop,
    /// 390 by 844, with touch.
    Phone,
}

/// A browser with a profile of its own, ended when dropped.
#[derive(Debug)]
pub struct Chromium {
    client: Client,
    runtime: Runtime,
    _driver: Process,
    _profile: TempDir,
}

/// What the page has printed to its console, as chromedriver tells it.
#[derive(Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }
    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

impl Chromium {
    /// Starts one.
    ///
    /// # Errors
    /// `Unavailable` where Chromium or its driver is not installed.
    pub fn start(screen: Screen) -> Result<Self> {
        let driver = find_program("chromedriver")?;
        let chromium = find_program("chromium")?;
        let profile = TempDir::with_prefix("doorward-chromium-")?;
        let port = free_port()?;
        let spec = ProcessSpec::new(driver).arg(format!("--port={port}")).directory(profile.path());
        let process = Process::start(spec, profile.path().join("chromedriver.log"))?;
        wait_for_port(SocketAddr::from(([127, 0, 0, 1], port)), START_LIMIT)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let wanted = capabilities(screen, &chromium, profile.path());
        let wanted = wanted.as_object().cloned().context("capabilities are an object")?;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted);
        let client = runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}")))?;
        Ok(Self { client, runtime, _driver: process, _profile: profile })
    }

    /// Opens an address, and waits until it is loaded.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn open(&self, url: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.client.goto(url))?)
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn url(&self) -> Result<String> {
        Ok(self.runtime.block_on(self.client.current_url())?.to_string())
    }

    /// Waits until the first element of the selector is there and seen, and gives its text.
    ///
    /// # Errors
    /// When it does not come.
    pub fn text(&self, css: &str) -> Result<String> {
        self.until(&format!("`{css}`"), || {
            Ok(self
                .script("const e = document.querySelector(arguments[0]); return e && e.innerText;", &[json!(css)])?
                .as_str()
                .map(str::to_owned))
        })
    }

    /// Waits until the page's text has this in it.
    ///
    /// # Errors
    /// When it does not come, with what is there instead.
    pub fn wait_for(&self, text: &str) -> Result<()> {
        self.until(&format!("`{text}`"), || Ok(self.page()?.contains(text).then_some(())))
    }

    /// Waits until the first element of the selector has this in its text.
    ///
    /// # Errors
    /// When it does not come, with what is there instead.
    pub fn wait_in(&self, css: &str, text: &str) -> Result<()> {
        let script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : '';";
        self.until(&format!("`{text}` in `{css}`"), || {
            let found = self.script(script, &[json!(css)])?;
            Ok(found.as_str().is_some_and(|t| t.contains(text)).then_some(()))
        })
    }

    /// The text of the page.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn page(&self) -> Result<String> {
        Ok(self.script("return document.body.innerText;", &[])?.as_str().unwrap_or_default().to_owned())
    }

    /// Clicks on the first element of the selector.
    ///
    /// # Errors
    /// When there is none, or it cannot be clicked on.
    pub fn click(&self, css: &str) -> Result<()> {
        self.runtime.block_on(self.on_the_first(css, async |element: Element| element.click().await))
    }

    /// Types into the first element of the selector.
    ///
    /// # Errors
    /// When there is none.
    pub fn type_into(&self, css: &str, text: &str) -> Result<()> {
        self.runtime.block_on(self.on_the_first(css, async |element: Element| element.send_keys(text).await))
    }

    /// Does this to the first element of the selector: to the one of then, where what was found was replaced meanwhile, as pages
    /// that change live do. Nothing was done to that.
    async fn on_the_first(&self, css: &str, act: impl AsyncFn(Element) -> Result<(), CmdError>) -> Result<()> {
        let end = Instant::now() + WAIT_LIMIT;
        loop {
            let done = act(self.client.find(Locator::Css(css)).await?).await;
            match done {
                Err(e) if e.is_stale_element_reference() && Instant::now() < end => {}
                done => return Ok(done?),
            }
        }
    }

    /// Sends keys to what has the focus.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn press(&self, keys: &str) -> Result<()> {
        Ok(self.runtime.block_on(async { self.client.active_element().await?.send_keys(keys).await })?)
    }

    /// Presses Enter on what has the focus.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn enter(&self) -> Result<()> {
        self.press(&Key::Enter.to_string())
    }

    /// Runs a script in the page, and gives what it returns.
    ///
    /// # Errors
    /// When it throws.
    pub fn script(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        Ok(self.runtime.block_on(self.client.execute(script, arguments.to_vec()))?)
    }

    /// Keeps a picture of what is seen.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn picture(&self, file: &Path) -> Result<()> {
        Ok(std::fs::write(file, self.runtime.block_on(self.client.screenshot())?)?)
    }

    /// What the browser complained about since the last time: errors of scripts, what a policy forbade, files that are not
    /// there.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let log = self.runtime.block_on(self.client.issue_cmd(ConsoleLog))?;
        let entries = log.as_array().into_iter().flatten();
        let bad = entries.filter(|e| matches!(e.get("level").and_then(Value::as_str), Some("SEVERE" | "WARNING")));
        Ok(bad.map(|e| e.get("message").and_then(Value::as_str).unwrap_or_default().to_owned()).collect())
    }

    /// Whether the page is wider than the screen.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn overflows(&self) -> Result<bool> {
        let script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth;";
        Ok(self.script(script, &[])?.as_bool().unwrap_or(true))
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let end = Instant::now() + WAIT_LIMIT;
        loop {
            if let Ok(Some(found)) = look() {
                return Ok(found);
            }
            if Instant::now() > end {
                bail!("waited in vain for {what}; the page says:\n{}", self.page().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Ends Chromium too; the driver is ended by its process.
        let _gone = self.runtime.block_on(self.client.clone().close());
    }
}

fn capabilities(screen: Screen, chromium: &Path, profile: &Path) -> Value {
    // Tests run as root in containers, where Chromium's sandbox cannot.
    let mut arguments = vec![
        "--headless=new".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--hide-scrollbars".to_owned(),
        format!("--user-data-dir={}", profile.join("profile").display()),
    ];
    let mut options = serde_json::Map::new();
    match screen {
        Screen::Desktop => arguments.push("--window-size=1280,800".to_owned()),
        Screen::Phone => {
            let metrics = json!({ "width": 390, "height": 844, "pixelRatio": 2.0, "touch": true });
            options.insert("mobileEmulation".to_owned(), json!({ "deviceMetrics": metrics }));
        }
    }
    options.insert("binary".to_owned(), json!(chromium));
    options.insert("args".to_owned(), json!(arguments));
    json!({ "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } })
}
