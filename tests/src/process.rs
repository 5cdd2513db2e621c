//! The programs of this workspace as real processes, started as users start them.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use client::PATIENCE;

/// A program of the profile that the test was built in, with nothing in its environment but that nobody
/// is limited. The test itself is `target/PROFILE/deps/…`.
pub fn program(name: &str) -> Command {
    let own = env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join(name);
    assert!(path.exists(), "run `cargo build --workspace --bins`: no `{}`", path.display());
    let mut command = Command::new(path);
    // A test is faster than any user.
    command.env_clear().env("RUNNEL_RATE", "off").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A program with arguments, run to its end.
pub async fn run(name: &str, args: &[&str]) -> Output {
    timeout(PATIENCE, program(name).args(args).output()).await.expect("it ends in time").unwrap()
}

/// A process. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    /// Where it serves, once it has said so.
    pub address: SocketAddr,
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts a process; its stderr goes to `tests/out/processes.log`.
    pub fn start(command: Command) -> Self {
        Self::start_with_log(command, &out().join("processes.log"))
    }

    /// Starts a process; its stderr goes to the end of a file.
    pub fn start_with_log(mut command: Command, log: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(log);
        let mut child = command.stdout(Stdio::piped()).stderr(log.unwrap()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { address: ([127, 0, 0, 1], 0).into(), child, stdout }
    }

    /// Starts a process, and waits for the line on stdout in which it names its address.
    pub async fn serving(command: Command) -> Self {
        let mut process = Self::start(command);
        let serves = timeout(PATIENCE, process.serves()).await.expect("it serves in time");
        assert!(serves, "it serves; see tests/out/processes.log");
        process
    }

    /// Waits for the line on stdout in which it names its address. False if it ends before.
    pub async fn serves(&mut self) -> bool {
        while let Some(line) = self.stdout.next_line().await.unwrap() {
            if let Some((_, rest)) = line.split_once("http://") {
                self.address = rest.split_whitespace().next().unwrap().parse().unwrap();
                return true;
            }
        }
        false
    }

    /// Waits until it says anything on stdout. False if it ends before.
    pub async fn begins(&mut self) -> bool {
        self.stdout.next_line().await.unwrap().is_some()
    }

    /// The next line on stdout; none at the end.
    pub async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.stdout.next_line()).await.expect("it says something in time").unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it, without a moment to say or write anything.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        self.ends_in(PATIENCE).await.expect("it ends in time")
    }

    /// Waits for its end; none if it takes longer.
    pub async fn ends_in(&mut self, longest: Duration) -> Option<ExitStatus> {
        timeout(longest, self.child.wait()).await.ok().map(|end| end.unwrap())
    }

    /// Asks it to stop, and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        self.exit().await
    }
}

/// `tests/out`, where a run leaves what somebody may want to look at.
pub fn out() -> PathBuf {
    let out = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/out"));
    fs::create_dir_all(&out).unwrap();
    out
}

/// Sends a signal to a process.
pub fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(sent.unwrap().success(), "no process {pid}");
}

/// A folder that goes away with the value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("runnel-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its path as an argument.
    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is of no use, and the system clears it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
