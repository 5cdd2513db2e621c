//! A storm over a fleet of real processes: whatever dies, stops, breaks or is slow, nobody loses,
//! doubles or reorders anything.
//!
//! `RUNNEL_STORM_SECONDS` is how long it lasts, and `RUNNEL_STORM_SEED` repeats the faults of a run.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "a run says what it does, and which clients it skipped")]

mod cast;
mod clients;
mod door;
mod faults;
mod fleet;
mod queues;
mod road;
mod rust;
mod screen;
mod talk;

use std::{collections::HashMap, env, str::FromStr, sync::Arc, time::Duration};

use cast::{Cast, Log};
use clients::Clients;
use door::Door;
use fleet::{Fleet, folder};
use screen::Screens;
use talk::Talk;
use tokio::{
    sync::Mutex,
    task::LocalSet,
    time::{Instant, sleep},
};

/// How long a storm lasts where nobody says otherwise.
const SECONDS: u64 = 120;
/// Everything acknowledged is shown this long after the last fault.
const SHOWN_IN: Duration = Duration::from_secs(20);
/// How long all streams together may take to open, and what was acknowledged late to be late.
const OPEN_IN: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Violations that are named.
const NAMED: usize = 20;
/// One storm at a time: two cores carry no more.
static ONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_reordered_with_a_queue_per_user() {
    LocalSet::new().run_until(storm("per-user")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_reordered_with_a_queue_per_edge() {
    LocalSet::new().run_until(storm("per-edge")).await;
}

async fn storm(topology: &str) {
    let _one = ONE.lock().await;
    let seed = setting("RUNNEL_STORM_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    let length = Duration::from_secs(setting("RUNNEL_STORM_SECONDS").unwrap_or(SECONDS));
    let folder = folder(&format!("storm-{topology}"));
    println!("{topology}: RUNNEL_STORM_SEED={seed}, {length:?}; logs are in {}", folder.display());
    let begun = Instant::now();
    let door = Door::open().await;
    let fleet = Fleet::start(topology, folder.clone(), &door.origin).await;
    fleet.look().await;
    let cast = Arc::new(Cast::gather(&fleet).await);
    println!("{:5.1} s: the fleet runs, and its threads are founded", begun.elapsed().as_secs_f32());
    let screens = Arc::new(Screens::new(&folder.join("shown.log")));
    let balancing = fleet.balance();
    let clients = Clients::start(&fleet, &cast, &screens, &door).await;
    while screens.open() < clients.count() {
        assert!(begun.elapsed() < OPEN_IN, "{} of {} streams open", screens.open(), clients.count());
        sleep(LOOK).await;
    }
    println!("{:5.1} s: {} streams are open", begun.elapsed().as_secs_f32(), clients.count());

    let mut talk = Talk::start(&fleet, &cast);
    let mut wrong = faults::storm(&fleet, faults::plan(seed, length)).await;
    let calm = Instant::now();
    println!("{:5.1} s: the last fault is over", begun.elapsed().as_secs_f32());
    talk.end().await;
    println!("{} writes acknowledged, the last {:.1} s later", talk.count(), calm.elapsed().as_secs_f32());
    let mut logs: HashMap<String, Log> = HashMap::new();
    for thread in &cast.threads {
        logs.insert(thread.id.clone(), cast.log(&fleet, thread).await);
    }
    let mut missing = screens.missing(&cast, &logs);
    while !missing.is_empty() && calm.elapsed() < SHOWN_IN {
        sleep(LOOK).await;
        missing = screens.missing(&cast, &logs);
    }
    println!("{} not shown after {:.1} s", missing.len(), calm.elapsed().as_secs_f32());
    wrong.extend(missing);
    wrong.extend(talk.wrong(&logs));
    clients.end();
    wrong.extend(screens.wrong());
    println!("{:?}", screens.sums());
    drop((clients, balancing));
    let named = wrong.iter().take(NAMED).map(|wrong| format!("\n  {wrong}")).collect::<String>();
    assert!(
        wrong.is_empty(),
        "{} wrong with RUNNEL_STORM_SEED={seed}; logs are in {}:{named}",
        wrong.len(),
        folder.display()
    );
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not `{text}`")))
}
