//! Runnel's one process, as users start it, and the ways it ends.

use std::{
    env,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::shots;

/// How long a start may take; both emulators start within it on a busy machine.
const START: Duration = Duration::from_mins(3);

/// The process and what it takes to start it again as it was.
pub(crate) struct Server {
    data_dir: PathBuf,
    running: Running,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) async fn start(data_dir: &Path) -> Result<Self> {
        let running = Running::launch(data_dir, "127.0.0.1:0").await?;
        Ok(Self { data_dir: data_dir.to_owned(), running })
    }

    /// The link that it has printed for people: `http://127.0.0.1:PORT/#word=WORD`.
    pub(crate) fn link(&self) -> &str {
        &self.running.link
    }

    /// Kills it with SIGKILL: it has no moment to say or write anything.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.running.process.kill().await.context("cannot kill the server")
    }

    /// Starts it on the same port and data as before.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        self.running = Running::launch(&self.data_dir, &self.running.address).await?;
        Ok(())
    }
}

struct Running {
    process: Child,
    address: String,
    link: String,
    // Held, so that what it prints later does not break its pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Running {
    async fn launch(data_dir: &Path, listen: &str) -> Result<Self> {
        let program = program()?;
        fs::create_dir_all(shots::folder())?;
        let log = OpenOptions::new().create(true).append(true).open(shots::folder().join("server.log"))?;
        let mut process = Command::new(&program)
            .args(["--listen", listen, "--data-dir"])
            .arg(data_dir)
            // A test is faster than any user.
            .env("RUNNEL_RATE", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let stdout = process.stdout.take().context("the server has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let (address, link) =
            timeout(START, served_at(&mut lines)).await.context("the server did not start in time")??;
        Ok(Self { process, address, link, _stdout: lines })
    }
}

/// Its address, and the link for people.
async fn served_at(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<(String, String)> {
    let mut served = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, address)) = line.split_once("Runnel serves on http://") {
            address.trim().clone_into(&mut served);
        }
        if line.contains("/#word=") {
            return Ok((served, line.trim().to_owned()));
        }
    }
    bail!("the server ended before it served; see `tests/out/server.log`")
}

/// `runnel` of the profile this test was built in: `target/PROFILE/deps/browser-…` is the test itself.
fn program() -> Result<PathBuf> {
    let own = env::current_exe()?;
    let profile = own.ancestors().nth(2).context("the test lies outside of a target folder")?;
    let program = profile.join("runnel");
    ensure!(program.exists(), "`{}` is missing: run `cargo build -p runnel` first", program.display());
    Ok(program)
}
