//! Debian's chromedriver, and the browsers it opens.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use tests::chromium::{CHROMEDRIVER, CHROMIUM, capabilities};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::window::Window;

const START: Duration = Duration::from_mins(3);

/// Whether there is a browser to test with.
pub(crate) fn is_installed() -> bool {
    Path::new(CHROMIUM).exists() && Path::new(CHROMEDRIVER).exists()
}

/// A chromedriver of this test alone.
pub(crate) struct Driver {
    process: Child,
    port: u16,
    // Held, so that what it prints later does not break its pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    /// Starts it on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let mut process = Command::new(CHROMEDRIVER)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start chromedriver")?;
        let stdout = process.stdout.take().context("chromedriver has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let port = timeout(START, port(&mut lines)).await.context("chromedriver did not start in time")??;
        Ok(Self { process, port, _stdout: lines })
    }

    /// Opens a browser whose profile is fresh in `profile`.
    pub(crate) async fn open(&self, profile: &Path) -> Result<Window> {
        fs::create_dir_all(profile)?;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(profile))
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .context("chromedriver cannot open chromium")?;
        Ok(Window::new(client))
    }

    /// Ends it, after its windows were closed.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.kill().await.context("cannot end chromedriver")
    }
}

async fn port(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<u16> {
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return Ok(port.trim_end_matches('.').parse()?);
        }
    }
    bail!("chromedriver ended before it served")
}
