//! The simulator: the code that ships, in a cloud and on a clock of its own.
//!
//! `sim` runs seeds; each is a deployment of several processes, several users with several
//! devices, some hundred operations and some dozen faults, over simulated minutes. What clients
//! show is judged against what was promised. `sim --seed N` replays one run, bit for bit.

#![expect(clippy::print_stdout, reason = "a tool for people")]

mod actor;
mod calm;
mod cloud;
mod deployment;
mod device;
mod history;
mod hour;
mod judge;
mod lambda;
#[cfg(test)]
mod late;
mod lists;
#[cfg(feature = "mistakes")]
mod mistakes;
#[cfg(test)]
mod outage;
mod page;
mod price;
mod restore;
mod rights;
mod run;
mod sdk;
mod stage;
mod strangers;
mod truth;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use clap::Parser;
use mimalloc::MiMalloc;
use server::aws::{Configs, Endpoints, configs};

/// A run is mostly small allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Simulates Runnel under faults.
#[derive(Debug, Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// This seed alone, twice: both runs have to be the same.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: where to write all requests and answers of both runs, to `PATH.1` and `PATH.2`.
    #[arg(long, value_name = "PATH")]
    trace: Option<String>,
    /// End as soon as something is wrong.
    #[arg(long)]
    until_wrong: bool,
    /// Show that each planted mistake is caught by one of the seeds.
    #[cfg(feature = "mistakes")]
    #[arg(long, conflicts_with_all = ["seed", "trace", "hour"])]
    mistakes: bool,
    /// With `--mistakes`: this one alone.
    #[cfg(feature = "mistakes")]
    #[arg(long, value_name = "NAME", requires = "mistakes")]
    mistake: Option<String>,
    /// Count what an hour asks of AWS, price it, and compare both with `docs/COST.md`.
    #[arg(long, conflicts_with_all = ["seed", "trace"])]
    hour: bool,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(stage::panicked));
    #[cfg(feature = "mistakes")]
    if args.mistakes {
        return match mistakes::catch_all(args.mistake.as_deref(), args.seeds, args.threads) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(why) => {
                println!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    let base = base();
    if args.hour {
        return hour(&base);
    }
    match args.seed {
        Some(seed) => replay(seed, &base, args.trace.as_deref()),
        None => many(&args, &base),
    }
}

/// Configurations of the SDK; each process of a run puts its own network below them.
fn base() -> Configs {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let endpoints = Endpoints { dynamodb: Some("http://rows".into()), sqs: Some("http://queues".into()) };
    runtime.block_on(configs(&endpoints)).expect("an emulator has a region")
}

fn hour(base: &Configs) -> ExitCode {
    let wrong = price::compare(&hour::measure(base));
    for line in &wrong {
        println!("{line}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, base: &Configs, path: Option<&str>) -> ExitCode {
    // Each run on a thread of its own: what a thread remembers is part of a run.
    let once = || thread::scope(|scope| scope.spawn(|| run::run(seed, base, true)).join().expect("no panic"));
    let (mut first, mut second) = (once(), once());
    let traces = [&mut first, &mut second].map(|outcome| std::mem::take(&mut outcome.trace));
    if let Some(path) = path {
        for (n, trace) in (1..).zip(&traces) {
            std::fs::write(format!("{path}.{n}"), trace.join("\n")).expect("a place to write to");
        }
    }
    println!("seed {seed}: {first:#?}");
    if traces[0] != traces[1] {
        let same = traces[0].iter().zip(&traces[1]).take_while(|(one, other)| one == other).count();
        println!("but the second run was another one, from request {} on", same + 1);
        return ExitCode::FAILURE;
    }
    if first.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(args: &Args, base: &Configs) -> ExitCode {
    let (next, bad) = (AtomicU64::new(args.from), AtomicU64::new(0));
    let totals = [const { AtomicU64::new(0) }; 5];
    thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.from + args.seeds || (args.until_wrong && bad.load(Ordering::Relaxed) > 0)
                    {
                        return;
                    }
                    let outcome = thread::scope(|own| own.spawn(|| run::run(seed, base, false)).join());
                    let Ok(outcome) = outcome else {
                        bad.fetch_add(1, Ordering::Relaxed);
                        println!("seed {seed}: panicked");
                        continue;
                    };
                    let counts = [
                        outcome.operations,
                        outcome.faults,
                        outcome.restores,
                        outcome.requests,
                        outcome.frames,
                    ];
                    for (total, n) in totals.iter().zip(counts) {
                        total.fetch_add(n, Ordering::Relaxed);
                    }
                    if let Some(first) = outcome.wrong.first() {
                        bad.fetch_add(1, Ordering::Relaxed);
                        println!("seed {seed}: {} wrong; first: {first}", outcome.wrong.len());
                    }
                }
            });
        }
    });
    let [operations, faults, restores, requests, frames] = totals.map(AtomicU64::into_inner);
    let bad = bad.into_inner();
    println!(
        "{} seeds, {bad} bad; {operations} operations, {faults} faults, {restores} restores, {requests} requests, \
         {frames} frames",
        args.seeds
    );
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
