//! All servers and phases, interleaved: a repetition is over when every server has had its turn, and
//! the next one begins with another server.

use std::{fs, process::Command};

use crate::{
    clock::{SECOND, now},
    end_to_end,
    figures::Figures,
    growth,
    load::Load,
    phases::{Cell, deaf, many, one, rest, storm},
    report,
    server::{Peer, Server, folder},
};

/// What is to be run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// Times that every server has its turn.
    #[arg(long, default_value_t = 5)]
    pub(crate) repetitions: u32,
    /// Which servers.
    #[arg(long, value_enum, value_delimiter = ',',
          default_values_t = [Peer::Raw, Peer::Runnel, Peer::Nchan, Peer::Naive, Peer::Mosquitto])]
    pub(crate) peers: Vec<Peer>,
    /// A tenth of the streams and less time, once: whether everything runs and loses nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Go on from the figures that were kept, with further repetitions.
    #[arg(long)]
    pub(crate) more: bool,
    /// Which phases, of `rest`, `many`, `one`, `storm`, `deaf`, `growth` and `end-to-end`.
    #[arg(long, value_delimiter = ',', default_values_t = ALL.map(String::from))]
    pub(crate) phases: Vec<String>,
}

const ALL: [&str; 7] = ["rest", "many", "one", "storm", "deaf", "growth", "end-to-end"];

impl Plan {
    pub(crate) fn has(&self, phase: &str) -> bool {
        self.phases.iter().any(|wanted| wanted == phase)
    }
}

/// Runs it all. The figures are written after every server's turn.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Figures> {
    let mut figures = if plan.more { report::kept()? } else { Figures::default() };
    figures.machine = machine();
    let before = figures.all.iter().map(|figure| figure.repetition).max().unwrap_or(0);
    let repetitions = before + if plan.quick { 1 } else { plan.repetitions };
    for repetition in before + 1..=repetitions {
        let mut peers = plan.peers.clone();
        peers.rotate_left((repetition as usize - 1) % plan.peers.len());
        for peer in peers {
            say(&format!("repetition {repetition} of {repetitions}: {}", peer.name()));
            turn(plan, peer, repetition, &mut figures)?;
            save(&figures)?;
        }
        if plan.has("growth") && repetition <= before + growth::REPETITIONS {
            say(&format!("repetition {repetition}: growth"));
            growth::run(plan.quick, repetition, &mut figures)?;
        }
        if plan.has("end-to-end") {
            say(&format!("repetition {repetition}: end to end"));
            end_to_end::run(plan.quick, repetition, &mut figures)?;
        }
        save(&figures)?;
    }
    Ok(figures)
}

/// One server's turn. What is measured with most care is Runnel and the limit; for the others one look
/// at rest is enough, and none at the deaf.
fn turn(plan: &Plan, peer: Peer, repetition: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let main = matches!(peer, Peer::Raw | Peer::Runnel);
    let mut load = Load::new();
    let server = Server::start(peer, &mut load)?;
    let (load, server) = (&mut load, &server);
    let quick = plan.quick;
    let mut cell = Cell { load, server, name: peer.name(), repetition, figures, phase: 0, quick };
    if plan.has("rest") && (main || repetition == 1) {
        rest(&mut cell, 10_000)?;
    }
    if plan.has("one") {
        one(&mut cell, 10_000)?;
    }
    if plan.has("many") {
        many(&mut cell, 1_000, 3 * SECOND / 2)?;
        many(&mut cell, 10_000, 2 * SECOND)?;
    }
    if plan.has("storm") {
        storm(&mut cell, 5_000)?;
    }
    if plan.has("deaf") && main {
        deaf(&mut cell, 1_000)?;
    }
    cell.dismiss();
    Ok(())
}

/// Where the figures lie.
pub(crate) fn path() -> anyhow::Result<std::path::PathBuf> {
    Ok(folder()?.join("bench.json"))
}

fn save(figures: &Figures) -> anyhow::Result<()> {
    fs::write(path()?, serde_json::to_string(figures)?)?;
    Ok(())
}

/// Says how far it is.
pub(crate) fn say(what: &str) {
    eprintln!("{:4} s  {what}", now() / SECOND);
}

/// One line on the machine.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("?", |(_, value)| value.trim()).to_owned()
    };
    let version = |program: &str, argument: &str| {
        let said = Command::new(program).arg(argument).output();
        let said = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        said.lines().next().unwrap_or_default().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpus = read("/proc/cpuinfo").matches("processor\t").count().max(cores);
    let memory: u64 = field(&read("/proc/meminfo"), "MemTotal")
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    format!(
        "{cpus} processors ({}), {} GiB, Linux {}; {}; {}; {}",
        field(&read("/proc/cpuinfo"), "model name"),
        memory / 1024 / 1024,
        read("/proc/sys/kernel/osrelease").trim(),
        version("rustc", "--version"),
        version("nginx", "-v"),
        version("mosquitto", "-h"),
    )
}
