//! A storm over a fleet of real processes: whatever dies, stops, breaks or is slow, nobody loses,
//! doubles or reorders anything.
//!
//! `RUNNEL_STORM_SECONDS` is how long it lasts, and `RUNNEL_STORM_SEED` repeats the faults of a run.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "a run says what it does, and which clients it skipped")]

mod ask;
mod cast;
mod clients;
mod door;
mod faults;
mod fleet;
mod guests;
mod queues;
mod road;
mod rust;
mod screen;
mod talk;

use std::{env, str::FromStr, sync::Arc, time::Duration};

use cast::Cast;
use clients::Clients;
use door::Door;
use faults::Fault;
use fleet::{Fleet, folder};
use screen::{Found, Screens};
use talk::Talk;
use tokio::{
    sync::Mutex,
    task::LocalSet,
    time::{Instant, sleep},
};

/// How long a storm lasts where nobody says otherwise.
const SECONDS: u64 = 120;
/// Everything acknowledged is shown this long after the last fault; what is acknowledged only then,
/// this long after the last answer.
const SHOWN_IN: Duration = Duration::from_secs(20);
/// How long all streams together may take to open.
const OPEN_IN: Duration = Duration::from_secs(180);
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
    let door = Door::open().await;
    let fleet = Fleet::start(topology, folder.clone(), &door.origin).await;
    fleet.look().await;
    let cast = Arc::new(Cast::gather(&fleet).await);
    let screens = Arc::new(Screens::new(&cast, &folder.join("shown.log")));
    let _balancing = fleet.balance();
    let clients = Clients::start(&fleet, &screens, &door.origin).await;
    let mut wrong = match all_open(&screens, clients.count()).await {
        Ok(()) => weather(&fleet, &cast, &screens, faults::plan(seed, length)).await,
        Err(error) => vec![error],
    };
    wrong.extend(clients.missing());
    clients.end().await;
    let count = wrong.len();
    let named: Vec<String> = wrong.into_iter().take(NAMED).collect();
    let named = named.join("\n  ");
    let folder = folder.display();
    assert!(count == 0, "{count} wrong with RUNNEL_STORM_SEED={seed}; logs are in {folder}:\n  {named}");
}

async fn all_open(screens: &Screens, count: usize) -> Result<(), String> {
    let begun = Instant::now();
    while screens.open() < count {
        if begun.elapsed() > OPEN_IN {
            return Err(format!("{} of {count} streams open", screens.open()));
        }
        sleep(LOOK).await;
    }
    println!("{count} streams are open, the last {:.1} s later", begun.elapsed().as_secs_f32());
    Ok(())
}

/// The storm, and what is wrong after it.
async fn weather(fleet: &Arc<Fleet>, cast: &Cast, screens: &Screens, plan: Vec<Fault>) -> Vec<String> {
    let mut talk = Talk::start(fleet, cast);
    let mut wrong = faults::storm(fleet, plan).await;
    let (calm, acks) = (Instant::now(), talk.acks());
    let answered = async {
        talk.end().await;
        Instant::now()
    };
    let shown = within(calm, async || screens.lack(&acks, calm));
    let (late, answered) = tokio::join!(shown, answered);
    let mut truth = cast.truth(fleet).await;
    let missing = within(answered, async || {
        truth = cast.truth(fleet).await;
        screens.missing(&truth, answered)
    });
    let missing = missing.await;
    println!("{} acknowledged, the last {:?} after the faults", talk.acks().len(), answered - calm);
    println!("{:?}", screens.sums());
    wrong.extend(screens.wrong());
    wrong.extend(talk.wrong(&truth));
    wrong.extend(late);
    wrong.extend(missing);
    wrong
}

/// Looks until nothing is wrong, or something is too late.
async fn within(since: Instant, mut look: impl AsyncFnMut() -> Found) -> Vec<String> {
    loop {
        let found = look().await;
        if found.is_empty() || found.iter().any(|(_, due)| *due < Instant::now()) {
            println!("all but {} shown {:?} later", found.len(), since.elapsed());
            return found.into_iter().map(|(wrong, _)| wrong).collect();
        }
        sleep(LOOK).await;
    }
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not `{text}`")))
}
