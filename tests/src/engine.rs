//! The three engines: what they need, and how each is started and ended.

use std::{panic, panic::AssertUnwindSafe, path::Path, process::Stdio};

use fantoccini::{ClientBuilder, wd::Capabilities};
use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::{
    fs,
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

use crate::{
    browser::{Browser, PATIENCE},
    chromium::{CHROMEDRIVER, CHROMIUM, capabilities},
    marionette::Marionette,
    process::Folder,
    world::until_within,
};

const FIREFOX: &str = "/usr/bin/firefox-esr";
const WEBKIT: &str = "/usr/bin/WebKitWebDriver";
const XVFB: &str = "/usr/bin/Xvfb";

/// Port 0: it chooses, and writes down which. The others keep it from asking Mozilla anything.
const PREFERENCES: &str = "
    user_pref('marionette.port', 0);
    user_pref('app.normandy.enabled', false);
    user_pref('services.settings.server', 'data:,');
    user_pref('datareporting.policy.dataSubmissionEnabled', false);
    user_pref('browser.startup.page', 0);
    user_pref('network.captive-portal-service.enabled', false);
    user_pref('network.connectivity-service.enabled', false);
";

/// A browser engine, as Debian has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Chromium.
    Chromium,
    /// Firefox ESR.
    Firefox,
    /// `WebKitGTK`.
    WebKit,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Chromium, Self::Firefox, Self::WebKit];

    /// Those of some that are installed; the others are named aloud.
    #[expect(clippy::print_stdout, reason = "a run says what it skipped")]
    pub fn installed(of: &[Self]) -> Vec<Self> {
        let is_here = |engine: &Self| {
            let missing: Vec<&str> = engine
                .needs()
                .iter()
                .filter_map(|(program, package)| (!Path::new(program).exists()).then_some(*package))
                .collect();
            if !missing.is_empty() {
                println!("SKIPPED {engine:?}: Debian's {missing:?} not installed; `tests/run` does it");
            }
            missing.is_empty()
        };
        of.iter().copied().filter(is_here).collect()
    }

    /// Programs, and the package of each.
    fn needs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Chromium => &[(CHROMIUM, "chromium"), (CHROMEDRIVER, "chromium-driver")],
            Self::Firefox => &[(FIREFOX, "firefox-esr")],
            Self::WebKit => &[(WEBKIT, "webkit2gtk-driver"), (XVFB, "xvfb")],
        }
    }

    /// Whether it glues what a cut leaves half read to the next connection's first bytes.
    pub fn glues(self) -> bool {
        self == Self::WebKit
    }

    /// Lends a fresh browser out, and ends it whatever happens: one left open would outlive the test.
    pub async fn lend<T>(self, story: impl AsyncFnOnce(&mut Browser) -> T) -> T {
        let profile = Folder::new();
        let (mut browser, processes) = match self {
            Self::Chromium => chromium(&profile).await,
            Self::Firefox => firefox(&profile).await,
            Self::WebKit => webkit().await,
        };
        let told = AssertUnwindSafe(story(&mut browser)).catch_unwind().await;
        browser.close().await;
        for mut process in processes {
            process.kill().await.unwrap();
        }
        told.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

async fn chromium(profile: &Folder) -> (Browser, Vec<Child>) {
    let mut driver = spawn(Command::new(CHROMEDRIVER).arg("--port=0").stdout(Stdio::piped()));
    let line = line_with(driver.stdout.take(), "started successfully on port ").await;
    let port = line.trim_end_matches('.').parse().unwrap();
    let capabilities = capabilities(profile.path());
    (session(port, capabilities).await, vec![driver])
}

/// Firefox has no driver in Debian, but is spoken to as a driver would.
async fn firefox(profile: &Folder) -> (Browser, Vec<Child>) {
    fs::write(profile.at("user.js"), PREFERENCES).await.unwrap();
    let args = ["--headless", "--marionette", "--no-remote", "--width=1280", "--height=800", "--profile"];
    let process = spawn(Command::new(FIREFOX).args(args).arg(profile.path()).stdout(Stdio::null()));
    let mut port = None;
    until_within(PATIENCE, "Firefox says where it listens", async || {
        let text = fs::read_to_string(profile.at("MarionetteActivePort")).await.unwrap_or_default();
        port = text.trim().parse::<u16>().ok();
        port.is_some()
    })
    .await;
    (Browser::Marionette(Marionette::connect(port.unwrap()).await), vec![process])
}

/// `WebKitGTK` draws on a screen, if only on one that nobody sees.
async fn webkit() -> (Browser, Vec<Child>) {
    let screen = ["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"];
    let mut xvfb = spawn(Command::new(XVFB).args(screen).stdout(Stdio::piped()));
    let display = line_with(xvfb.stdout.take(), "").await;
    let port = free_port();
    let driver = spawn(
        Command::new(WEBKIT)
            .args(["--host=127.0.0.1", &format!("--port={port}")])
            .env("DISPLAY", format!(":{display}"))
            .stdout(Stdio::null()),
    );
    let answers = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    until_within(PATIENCE, "WebKit's driver listens", answers).await;
    (session(port, Capabilities::new()).await, vec![driver, xvfb])
}

/// It cannot choose a port itself.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// What follows `mark` in the first line that has it.
async fn line_with(from: Option<impl AsyncRead + Unpin>, mark: &str) -> String {
    let mut lines = BufReader::new(from.expect("its stdout is piped")).lines();
    loop {
        let line = timeout(PATIENCE, lines.next_line()).await.expect("it starts in time").unwrap();
        if let Some((_, rest)) = line.expect("it says that it started").split_once(mark) {
            return rest.to_owned();
        }
    }
}

async fn session(port: u16, capabilities: Capabilities) -> Browser {
    let mut builder = ClientBuilder::new(HttpConnector::new());
    let url = format!("http://127.0.0.1:{port}");
    let client = builder.capabilities(capabilities).connect(&url).await;
    Browser::Driver(client.expect("the driver opens its browser"))
}
