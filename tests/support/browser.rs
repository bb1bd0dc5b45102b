//! A browser (Debian's chromium), which its driver controls by the protocol `WebDriver`.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::bindery::free_port;
use super::wait::eventually;

/// A browser without a window. It ends with this value.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    /// Its profile, and the log of the driver.
    #[expect(dead_code, reason = "the folder is removed with this value")]
    folder: TempDir,
}

impl Browser {
    /// Starts a browser.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let log = File::create(folder.path().join("log")).expect("a file");
        // The driver kills its browser when it ends.
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("chromedriver starts: see tests/bed/install");
        let profile = format!("--user-data-dir={}", folder.path().display());
        let mut browser = Self {
            driver,
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            folder,
        };
        // Tests run as root, and the sandbox does not.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            &profile,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}});
        let session = eventually("the browser has started", async || {
            browser.send("POST", "/session", &wanted).await
        })
        .await;
        session["sessionId"]
            .as_str()
            .expect("a session")
            .clone_into(&mut browser.session);
        browser
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.call("url", &json!({"url": url})).await;
    }

    /// Runs the body of a function in the page, and returns its value.
    pub async fn run(&self, script: &str) -> Value {
        self.call("execute/sync", &json!({"script": script, "args": []})).await
    }

    /// Waits until an expression of the page is true.
    pub async fn until(&self, what: &str, expression: &str) {
        eventually(what, async || {
            let value = self.run(&format!("return Boolean({expression})")).await;
            value.as_bool().filter(|&is| is)
        })
        .await;
    }

    /// Returns the text of the first element that a CSS selector finds, as a person sees it.
    pub async fn text(&self, selector: &str) -> String {
        let found = self
            .run(&format!("return document.querySelector({}).innerText", json!(selector)))
            .await;
        found.as_str().expect("a text").to_owned()
    }

    /// Presses keys, one after the other.
    pub async fn press(&self, keys: &[&str]) {
        let press = |key: &&str| {
            [
                json!({"type": "keyDown", "value": key}),
                json!({"type": "keyUp", "value": key}),
            ]
        };
        let actions: Vec<Value> = keys.iter().flat_map(press).collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.call("actions", &actions).await;
    }

    /// Shows the page in this width, in light or dark colors.
    pub async fn look(&self, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", scheme).await;
    }

    /// Returns what the browser has written in the console of the page: errors and refused requests.
    pub async fn log(&self) -> Vec<String> {
        let entries = self.call("se/log", &json!({"type": "browser"})).await;
        let entries = entries.as_array().expect("a list").iter();
        entries
            .map(|entry| entry["message"].as_str().expect("a text").to_owned())
            .collect()
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.call("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
            .await;
    }

    async fn call(&self, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{path}", self.session);
        self.send("POST", &path, body).await.expect("an answer of the browser")
    }

    /// Sends a request to the driver, and returns the value of its answer; `None` if there is none.
    async fn send(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        let body = body.to_string();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.ok()?;
        // The driver keeps the connection open.
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).await.ok()?;
        let mut answer: Value = serde_json::from_slice(&body).ok()?;
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        Some(answer["value"].take())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
