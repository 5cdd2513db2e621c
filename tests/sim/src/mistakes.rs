//! Shows that the simulator catches the mistakes of [`mistakes`].

use std::process::{Command, Stdio};

use mistakes::{Mistake, VARIABLE};

/// Looks for a seed among the first `seeds` that catches each mistake. Answers whether all were caught.
///
/// Each mistake has a process of its own: a program makes at most one, from its beginning.
pub(crate) fn catch_all(only: Option<&str>, seeds: u64, threads: u64) -> Result<bool, String> {
    let sim = std::env::current_exe().map_err(|e| format!("could not find this program: {e}"))?;
    let wanted = |mistake: &&Mistake| only.is_none_or(|only| only == mistake.name());
    let wanted: Vec<_> = Mistake::ALL.iter().filter(wanted).collect();
    if wanted.is_empty() {
        return Err("no mistake has this name: `crates/mistakes` lists them".into());
    }
    println!("| mistake | rule | caught by seed | because |\n|---|---|---|---|");
    let mut caught = 0;
    for mistake in &wanted {
        let (seeds, threads) = (seeds.to_string(), threads.to_string());
        let found = Command::new(&sim)
            .args(["--from", "1", "--seeds", &seeds, "--threads", &threads, "--until-wrong"])
            .env(VARIABLE, mistake.name())
            .stderr(Stdio::null())
            .output()
            .map_err(|e| format!("could not run {}: {e}", sim.display()))?;
        let said = String::from_utf8_lossy(&found.stdout);
        let first = said.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(": "));
        let (seed, why) = first.map_or((format!("**none of {seeds}**"), String::new()), |(seed, why)| {
            caught += 1;
            (seed.to_owned(), short(why))
        });
        println!("| {}: {} | {} | {seed} | {why} |", mistake.name(), mistake.behaviour(), mistake.rule());
    }
    println!("\n{caught} of {} mistakes are caught", wanted.len());
    Ok(caught == wanted.len())
}

/// The beginning of a verdict, fit for a table.
fn short(why: &str) -> String {
    let why = why.split_once("first: ").map_or(why, |(_, first)| first);
    why.chars().take(90).filter(|c| *c != '|').collect()
}
