//! A real Chromium, driven through the WebDriver protocol.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, free_port};
use super::{Connection, PATIENCE, Reply, request, wait_for};

/// The key under which WebDriver passes elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    driver: Process,
    address: SocketAddr,
    session: String,
    _folder: TempDir,
}

impl Browser {
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let port = free_port();
        let mut command = Command::new("chromedriver");
        // Chromium runs in the driver's folder, so that it leaves nothing elsewhere.
        command.arg(format!("--port={port}")).env("HOME", folder.path()).env("TMPDIR", folder.path());
        let mut driver = Process::start("chromedriver", command, &folder.path().join("chromedriver.log"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let is_ready = wait_for(PATIENCE, || {
            assert!(driver.exited().is_none(), "chromedriver ended:\n{}", driver.log());
            call(address, "GET", "/status", &Value::Null).filter(|status| status["ready"] == true)
        });
        is_ready.expect("chromedriver is never ready");
        let data = format!("--user-data-dir={}", folder.path().join("chromium").display());
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            // A microphone that beeps, and a person who lets the page use it.
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            &data,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"}}}});
        let session = call(address, "POST", "/session", &wanted).expect("a session");
        let session = session["sessionId"].as_str().map(str::to_owned);
        let session = session.unwrap_or_else(|| panic!("no browser:\n{}", driver.log()));
        Self { driver, address, session, _folder: folder }
    }

    pub fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        let element = self.find(css);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into a field as a person would.
    #[track_caller]
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.post(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Says yes to the question that the page asks.
    #[track_caller]
    pub fn accept(&self) {
        self.post("/alert/accept", &json!({}));
    }

    /// Chooses a file in a field for files.
    #[track_caller]
    pub fn choose_file(&self, css: &str, path: &Path) {
        self.type_into(css, &path.to_string_lossy());
    }

    /// The visible text of an element; blank while there is none.
    pub fn text(&self, css: &str) -> String {
        let script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : '';";
        self.run(script, &json!([css])).as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page and returns what it returns.
    pub fn run(&self, script: &str, args: &Value) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": args}))
    }

    #[track_caller]
    pub fn wait_for_text(&self, css: &str, part: &str) {
        let found = wait_for(PATIENCE, || self.text(css).contains(part).then_some(()));
        assert!(found.is_some(), "{css} never says {part:?}; it says {:?}", self.text(css));
    }

    /// Waits until the element can be seen and used.
    #[track_caller]
    pub fn wait_until_shown(&self, css: &str) {
        let script = "const e = document.querySelector(arguments[0]); return !!e && e.checkVisibility();";
        let shown = wait_for(PATIENCE, || (self.run(script, &json!([css])) == true).then_some(()));
        assert!(shown.is_some(), "{css} is never shown; the page says {:?}", self.text("body"));
    }

    /// Errors that the page logged.
    pub fn errors(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        let severe = log.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    fn find(&self, css: &str) -> String {
        self.wait_until_shown(css);
        let found = self.post("/element", &json!({"using": "css selector", "value": css}));
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {css}: {found}")).to_owned()
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        call(self.address, "POST", &path, body).unwrap_or_else(|| panic!("the browser does not answer to {path}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium; killing the driver alone would leave it behind.
        let _ = call(self.address, "DELETE", &format!("/session/{}", self.session), &Value::Null);
        self.driver.signal(Signal::TERM);
    }
}

/// The `value` of WebDriver's answer.
fn call(address: SocketAddr, method: &str, path: &str, body: &Value) -> Option<Value> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let headers =
        ["Content-Type: application/json".to_owned(), format!("Host: {address}"), "Connection: close".to_owned()];
    let reply: Reply = Connection::open(address).ok()?.exchange(&request(method, path, &headers, &body)).ok()?;
    Some(reply.json()["value"].clone())
}
