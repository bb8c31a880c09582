//! The suites in other languages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::server::{ADMIN_UI_PASSWORD, SECRET_KEY, Server, SignIn, Store};

/// Far longer than any suite takes: only one that hangs is ended by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where the repository is.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the JavaScript suites are.
pub(crate) fn js_dir() -> PathBuf {
    root().join("tests/e2e/js")
}

/// A suite of tests, and what it drives the server with.
#[derive(Clone, Copy)]
pub(crate) enum Suite {
    /// The whole contract, with a Socket.IO client of this major version over this transport.
    JavaScript { transport: &'static str, client: &'static str },
    /// Signing in by token, with such a client.
    Tokens { transport: &'static str, client: &'static str },
    /// The whole contract, with python-socketio.
    Python,
    /// Signing in by token, with python-socketio.
    PythonTokens,
    /// The chat page, in Chromium.
    Browser,
    /// Accounts on the chat page.
    BrowserTokens,
    /// The page that shows the description of the API.
    BrowserDocs,
    /// Plain WebSockets of a web page.
    BrowserSockets,
    /// The Socket.IO Admin UI, by its client and in Chromium.
    AdminUi,
}

impl Suite {
    /// How users sign in on the server that it is for.
    pub(crate) fn sign_in(self) -> SignIn {
        match self {
            Self::JavaScript { .. }
            | Self::Python
            | Self::Browser
            | Self::BrowserDocs
            | Self::AdminUi => SignIn::Open,
            Self::Tokens { .. }
            | Self::PythonTokens
            | Self::BrowserTokens
            | Self::BrowserSockets => SignIn::Tokens,
        }
    }

    fn command(self) -> Command {
        let driven = |file, transport, client| {
            let mut command = node(file);
            command.env("TRANSPORT", transport).env("CLIENT", client);
            command
        };
        match self {
            Self::JavaScript { transport, client } => {
                driven("contract.test.mjs", transport, client)
            }
            Self::Tokens { transport, client } => driven("tokens.test.mjs", transport, client),
            Self::Browser => node("page.test.mjs"),
            Self::BrowserTokens => node("page_tokens.test.mjs"),
            Self::BrowserDocs => node("docs.test.mjs"),
            Self::BrowserSockets => node("plain.test.mjs"),
            Self::AdminUi => node("admin.test.mjs"),
            Self::Python => python("Contract"),
            Self::PythonTokens => python("Tokens"),
        }
    }

    /// Runs the suite against the server.
    ///
    /// # Panics
    /// When the suite fails or is not installed.
    pub(crate) async fn run(self, server: &Server) {
        let mut command = self.command();
        command
            .env("BANTER_URL", server.url())
            .env("UPLOAD_DIR", server.upload_dir())
            .env("SECRET_KEY", SECRET_KEY)
            .env("ADMIN_UI_PASSWORD", ADMIN_UI_PASSWORD)
            .env("STORE", if server.store() == Store::Mongodb { "mongodb" } else { "sqlite" });
        succeed(command, server).await;
    }
}

/// Runs a suite's program against the server.
///
/// # Panics
/// When it fails.
pub(crate) async fn succeed(mut command: Command, server: &Server) {
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output())
        .await
        .expect("the suite hangs")
        .expect("the suite starts: are Node.js and Python 3 installed?");
    assert!(
        output.status.success(),
        "the suite failed ({})\n{}\n{}\n--- the server said\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        server.log_tail(),
    );
}

/// A suite of Node.js.
pub(crate) fn node(file: &str) -> Command {
    installed(&js_dir().join("node_modules/.installed.json"));
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=spec"]).arg(js_dir().join(file));
    command
}

/// A Node.js program beside the suites.
pub(crate) fn node_program(file: &str) -> Command {
    installed(&js_dir().join("node_modules/.installed.json"));
    let mut command = Command::new("node");
    command.arg(js_dir().join(file)).kill_on_drop(true);
    command
}

fn python(tests: &str) -> Command {
    let python = root().join("target/real/venv/bin/python");
    installed(&python);
    let mut command = Command::new(python);
    command.arg(root().join("tests/e2e/python/test_contract.py")).arg(tests);
    command
}

/// Asserts that a part of the tests is there.
pub(crate) fn installed(what: &Path) {
    assert!(what.exists(), "{} is not there: run `make real` once", what.display());
}
