//! The whole service in one process, `runnel`: a request to the API, DynamoDB's and SQS's emulators, the
//! edge, a frame. The load is that of `tests/src/bin/load.rs`.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

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
        let at = free_port().to_string();
        let mut command = on(SERVER_CPU, &beside("runnel")?);
        command.args(["--listen", &at]).stdout(Stdio::null()).stderr(Stdio::null());
        if on_file {
            command.arg("--data-dir").arg(&data);
        } else {
            command.arg("--ephemeral");
        }
        let server = Ends(command.spawn().context("could not start runnel")?);
        let end = Instant::now() + Duration::from_secs(15);
        while TcpStream::connect(&at).is_err() {
            anyhow::ensure!(Instant::now() < end, "runnel does not listen at {at}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let steady = load(&at, STEADY, seconds)?;
        figures.add(name, repetition, "e2e p50 ms", steady.p50_ms);
        figures.add(name, repetition, "e2e p99 ms", steady.p99_ms);
        let flood = load(&at, FLOOD, seconds)?;
        figures.add(name, repetition, "e2e /s", flood.accepted / flood.seconds);
        figures.add(name, repetition, "lost", steady.lost + flood.lost);
        figures.add(name, repetition, "wrong", steady.wrong + flood.wrong);
        drop(server);
    }
    Ok(())
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

/// What `load` prints.
struct Loaded {
    accepted: f64,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    lost: f64,
    wrong: f64,
}

fn load(at: &str, rate: u32, seconds: u32) -> anyhow::Result<Loaded> {
    let mut command = Command::new(beside("load")?);
    command.args(["--address", at, "--rate", &rate.to_string(), "--seconds", &seconds.to_string()]);
    let said = command.stderr(Stdio::inherit()).output().context("could not run load")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    parse(&said).with_context(|| format!("`load` said {said:?}"))
}

fn parse(said: &str) -> Option<Loaded> {
    let number = |text: &str| text.trim_end_matches([',', ';']).parse::<f64>().ok();
    let words: Vec<&str> = said.split_whitespace().collect();
    let after = |word: &str| words.get(words.iter().position(|w| *w == word)? + 1).and_then(|w| number(w));
    Some(Loaded {
        accepted: number(words.first()?)?,
        seconds: after("in")?,
        p50_ms: after("p50")?,
        p99_ms: after("p99")?,
        lost: after("lost")?,
        wrong: after("doubled")? + after("reordered")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_load_are_understood() {
        let said = "495 messages accepted in 10.1 s, 0 not accepted; due → frame: p50 4.5 ms, p99 9.1 ms, max 12.0 ms; lost 1, doubled 2, reordered 3\n";
        let loaded = parse(said).unwrap();
        assert_eq!((loaded.accepted, loaded.seconds, loaded.p50_ms, loaded.p99_ms), (495.0, 10.1, 4.5, 9.1));
        assert_eq!((loaded.lost, loaded.wrong), (1.0, 5.0));
        assert!(parse("error").is_none());
    }
}
