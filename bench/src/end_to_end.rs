//! The whole service in one process, `runnel`: a request to the API, the emulators of DynamoDB and SQS, the edge, a
//! frame.

mod flood;
mod hangups;
mod pairs;

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use pairs::load;

use crate::{
    figures::Figures,
    server::{SERVER_CPU, beside, folder, on},
    socket::free_port,
};

/// Messages a second that a small team writes at its busiest, and some.
const STEADY: u32 = 50;
/// More than one processor can take, but all of it is sent, however late: what is accepted a second is the most.
const FLOOD: u32 = 1_000;

/// Runs it on a file and in memory.
pub(crate) fn run(quick: bool, repetition: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let seconds = if quick { 1 } else { 3 };
    for (name, on_file) in [("runnel on a file", true), ("runnel in memory", false)] {
        let data = folder()?.join("bench-data");
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let folder = on_file.then_some(data.as_path());
        let (at, server) = start(on(SERVER_CPU, &beside("runnel")?), "off", folder)?;
        let steady = load(at, STEADY, seconds)?;
        figures.add(name, repetition, "e2e p50 ms", steady.p50_ms);
        figures.add(name, repetition, "e2e p99 ms", steady.p99_ms);
        let flood = load(at, FLOOD, seconds)?;
        figures.add(name, repetition, "e2e /s", flood.accepted / flood.seconds);
        figures.add(name, repetition, "lost", steady.lost + flood.lost);
        figures.add(name, repetition, "wrong", steady.wrong + flood.wrong);
        drop(server);
    }
    Ok(())
}

/// Prints what becomes of messages whose senders hang up, with the `runnel` at `program`.
pub(crate) fn hangups(program: &Path) -> anyhow::Result<()> {
    for (name, members) in [("direct", 1), ("group", 2)] {
        let (at, _server) = start(Command::new(program), "off", None)?;
        hangups::measure(at, name, members)?;
    }
    Ok(())
}

/// Prints how floods affect other users, with the `runnel` at `program`.
pub(crate) fn floods(program: &Path) -> anyhow::Result<()> {
    let (at, _server) = start(Command::new(program), "exact", None)?;
    flood::measure(at)
}

/// Starts the service, its data in `folder` or in memory, with this limiter.
fn start(mut command: Command, rate: &str, folder: Option<&Path>) -> anyhow::Result<(SocketAddr, Ends)> {
    let at = free_port();
    command
        .args(["--dev", "--rate", rate, "--listen", &at.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match folder {
        Some(folder) => command.arg("--data-dir").arg(folder),
        None => command.arg("--ephemeral"),
    };
    let server = Ends(command.spawn().context("could not start runnel")?);
    let end = Instant::now() + Duration::from_secs(15);
    while TcpStream::connect(at).is_err() {
        anyhow::ensure!(Instant::now() < end, "runnel does not listen at {at}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((at, server))
}

/// A process that ends with the value.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
