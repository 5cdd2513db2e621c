//! What goes wrong, and when: all of it follows from a seed.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::{
    fleet::{Fleet, Part},
    queues,
    road::{Lots, Road, Strike, Weather},
};

/// Time between the beginnings of two faults.
const PERIOD: Duration = Duration::from_secs(2);
/// The longest that a process is stopped, and the emulators: without AWS nothing goes on at all.
const PAUSE_SECONDS: f32 = 40.0;
const EMULATORS_PAUSE_SECONDS: f32 = 6.0;
/// The longest that bad weather lasts.
const WEATHER_SECONDS: f32 = 8.0;

/// One fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    at: Duration,
    lasts: Duration,
    what: What,
}

/// Its kind.
#[derive(Debug, Clone, Copy)]
enum What {
    /// SIGKILL; the process starts again after a while.
    Kill(Part),
    /// SIGTERM; the process starts again when it has ended.
    Replace(Part),
    /// SIGSTOP, and SIGCONT after a while.
    Pause(Part),
    /// Connections of a road break.
    Strike(Way, Strike, Lots),
    /// A road is bad for a while.
    Weather(Way, Weather, Lots),
    /// Somebody deletes a queue that is in use.
    DeleteQueue,
}

/// Which road.
#[derive(Debug, Clone, Copy)]
enum Way {
    ToApis,
    ToEdges,
    /// Of one process to AWS.
    ToAws(Part),
    /// Of all of them.
    AllToAws,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5.1} s, for {:4.1} s: {:?}", self.at.as_secs_f32(), self.lasts.as_secs_f32(), self.what)
    }
}

/// The faults of a run. All have ended when it has.
pub(crate) fn plan(seed: u64, length: Duration) -> Vec<Fault> {
    let mut rng = StdRng::seed_from_u64(seed);
    let count = u32::try_from(length.as_secs() / PERIOD.as_secs()).unwrap();
    let faults = (0..count).map(|n| {
        let (what, longest) = draw(&mut rng);
        let at = PERIOD * n;
        let lasts = rng.random_range(0.0..1.0) * longest;
        let lasts = Duration::from_secs_f32(lasts).min(length.saturating_sub(at));
        Fault { at, lasts, what }
    });
    faults.collect()
}

/// A kind, and how many seconds it lasts at most.
fn draw(rng: &mut StdRng) -> (What, f32) {
    const SERVERS: [Part; 6] =
        [Part::Edge(0), Part::Edge(1), Part::Edge(2), Part::Api(0), Part::Api(1), Part::Fanout];
    let server = *SERVERS.choose(rng).unwrap();
    let edge = Part::Edge(rng.random_range(0..3));
    let lots = Lots(rng.random_range(1..=Lots::ALL.0));
    let door = if rng.random_bool(0.7) { Way::ToEdges } else { Way::ToApis };
    let to_aws = if rng.random_bool(0.7) { Way::ToAws(server) } else { Way::AllToAws };
    let strike = *[Strike::Cut, Strike::Rst, Strike::HalfClose].choose(rng).unwrap();
    let weather = *[Weather::BlackHole, Weather::Dribble].choose(rng).unwrap();
    let of_aws =
        *[Weather::Throttles, Weather::Fails, Weather::BlackHole, Weather::Dribble].choose(rng).unwrap();
    match rng.random_range(0..16) {
        0..3 => (What::Kill(if rng.random_bool(0.6) { edge } else { server }), 4.0),
        3 => (What::Kill(Part::Emulators), 1.0),
        4..6 => (What::Replace(server), 0.0),
        6..8 => (What::Pause(if rng.random_bool(0.7) { edge } else { server }), PAUSE_SECONDS),
        8 => (What::Pause(Part::Emulators), EMULATORS_PAUSE_SECONDS),
        9..11 => (What::Strike(door, strike, lots), 0.0),
        11 => (What::Strike(to_aws, strike, lots), 0.0),
        12 => (What::Weather(door, weather, Lots(rng.random_range(1..=2))), WEATHER_SECONDS),
        13..15 => (What::Weather(to_aws, of_aws, lots), WEATHER_SECONDS / 2.0),
        _ => (What::DeleteQueue, 0.0),
    }
}

/// Does all of it. What should not have happened on the way.
pub(crate) async fn storm(fleet: &Arc<Fleet>, plan: Vec<Fault>) -> Vec<String> {
    let start = Instant::now();
    let (tracker, wrong) = (TaskTracker::new(), Arc::new(Mutex::new(Vec::new())));
    for fault in plan {
        sleep_until(start + fault.at).await;
        println!("{fault}");
        let (fleet, wrong) = (Arc::clone(fleet), Arc::clone(&wrong));
        tracker.spawn(async move {
            if let Err(error) = fault.strike(&fleet).await {
                wrong.lock().unwrap().push(error);
            }
        });
    }
    tracker.close();
    tracker.wait().await;
    wrong.lock().unwrap().split_off(0)
}

impl Fault {
    async fn strike(&self, fleet: &Fleet) -> Result<(), String> {
        match self.what {
            What::Kill(part) => fleet.kill(part, self.lasts).await,
            What::Replace(part) => return fleet.replace(part).await,
            What::Pause(part) => fleet.pause(part, self.lasts).await,
            What::Strike(way, strike, lots) => {
                for road in way.roads(fleet) {
                    road.strike(strike, lots);
                }
            }
            What::Weather(way, weather, lots) => {
                let roads = way.roads(fleet);
                for road in &roads {
                    road.weather(weather, lots);
                }
                tokio::time::sleep(self.lasts).await;
                for road in roads {
                    road.weather(Weather::Fair, Lots::ALL);
                }
            }
            What::DeleteQueue => queues::delete_one(fleet).await,
        }
        Ok(())
    }
}

impl Way {
    fn roads(self, fleet: &Fleet) -> Vec<&Road> {
        match self {
            Self::ToApis => vec![&fleet.to_apis],
            Self::ToEdges => vec![&fleet.to_edges],
            Self::ToAws(part) => vec![fleet.to_aws(part)],
            Self::AllToAws => Part::ALL.map(|part| fleet.to_aws(part)).into(),
        }
    }
}
