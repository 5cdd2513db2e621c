//! A calm run: nothing is lost, refused or hidden, and no cursor is compared with the user row for an hour.
//! Streams open, move and close while others write, so that leases are taken and given back all the
//! time; and whatever was acknowledged has to be shown soon.
//!
//! Some calm runs have quiet faults: answers are lost, processes die, and clients hang up. As each client asks until it
//! has an answer, whatever was acknowledged has to be shown within seconds all the same.
//!
//! Among the other faults nobody can say what is late: an envelope may be lost, and the comparison mends it. So
//! a rule without which nothing is lost but time goes unseen there. Here it does not.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use server::aws::Configs;
use sse_edge::config::{EdgeArgs, RetryRange};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::DropGuard;

use crate::{
    cloud::{row::number, weather::Weather},
    deployment::Fleet,
    stage::{Outcome, Stage},
};

/// One run of so many is calm, and one has quiet faults.
const EVERY: u64 = 5;
/// Scenes of a run: each ends in a silence, and then everything has to be shown.
const SCENES: usize = 40;
const EDGES: usize = 3;
/// After this long everything acknowledged is shown by every stream that is as old: some twenty
/// requests take their time. No comparison happens in a calm run, so nothing hides a late event.
const SOON: Duration = Duration::from_secs(1);
/// The same after quiet faults: the SDK asks again for what was lost, and clients come back for what died.
const AFTER_FAULTS: Duration = Duration::from_secs(15);
/// The same after an edge was cut off: the SDK waits for seconds before it asks again, and what a late
/// receive has taken is hidden for 2 s.
const AFTER_A_CUT: Duration = Duration::from_secs(10);
/// The sweeper may deliver at any time what a dead writer has left and a later event has overtaken. What it delivers is
/// shown so soon, even if the answer to a receive is lost.
const AFTER_A_SWEEP: Duration = Duration::from_secs(5);
/// How long a run rests at its end. A delete of an outbox row that meets another transaction leaves the row to the sweeper,
/// which takes it when it looks for the second time.
const REST: Duration = Duration::from_mins(2);
/// For how long a lease is kept after the last stream.
const LINGER: Duration = Duration::from_secs(1);

/// What happens in a calm run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing that anybody would mind.
    Calm,
    /// Answers are lost, processes die, clients hang up.
    QuietFaults,
}

/// Whether the run of a seed is calm, and how. Both topologies have such runs: see [`Stage::set`].
pub(crate) const fn is_calm(seed: u64) -> Option<Kind> {
    match seed % EVERY {
        0 => Some(Kind::Calm),
        2 => Some(Kind::QuietFaults),
        _ => None,
    }
}

/// A calm run.
pub(crate) struct Calm {
    stage: Stage,
    kind: Kind,
    rng: StdRng,
    /// By device; dropping one closes its stream.
    seats: Vec<Option<DropGuard>>,
    /// Each with the actors who belong to it.
    threads: Vec<(String, Vec<usize>)>,
}

/// Something that happens in a scene, to devices, edges and actors by number.
#[derive(Debug, Clone, Copy)]
enum Act {
    Sit { device: usize, edge: usize },
    Rise { device: usize },
    Write { thread: usize, actor: usize, reads: bool },
    Replace { edge: usize },
    Cut { edge: usize, length: Duration },
    Fault(Fault),
}

/// A quiet fault.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillApi { api: usize },
    DoomApi { api: usize, transactions: u32 },
    KillEdge { edge: usize, away: Duration },
    RestartSweeper,
}

/// What happens in a scene and when, and how long it takes until everything is shown.
struct Script {
    acts: Vec<(Duration, Act)>,
    rest: Duration,
}

impl Calm {
    /// Runs a seed.
    pub(crate) async fn simulate(seed: u64, kind: Kind, base: &Configs, traced: bool) -> Outcome {
        let mut rng = StdRng::seed_from_u64(seed ^ 0xca1f);
        let config = EdgeArgs {
            head_check: Duration::from_secs(3_600),
            linger: LINGER,
            drain: Duration::from_secs(1),
            retry_ms: "300-900".parse::<RetryRange>().expect("a range"),
            ..EdgeArgs::default()
        };
        let mut stage = Stage::set(seed, base, traced, Fleet::of(config, EDGES)).await;
        stage.people(&mut rng, &(2..=2), 0.0);
        let seats = stage.devices.iter().map(|_| None).collect();
        stage.actors.iter_mut().for_each(|actor| actor.insists = true);
        let mut run = Self { stage, kind, rng, seats, threads: Vec::new() };
        run.make_threads().await;
        if kind == Kind::Calm {
            run.stage.calm.cancel();
        }
        run.stage.deployment.cloud.state().weather = match kind {
            Kind::Calm => Weather::STILL,
            Kind::QuietFaults => Weather::QUIET,
        };
        for _ in 0..SCENES {
            let script = run.script();
            run.play(script).await;
        }
        for device in 0..run.seats.len() {
            let edge = run.rng.random_range(0..EDGES);
            run.act(Act::Sit { device, edge });
        }
        sleep(REST).await;
        run.stage.end(false)
    }

    /// One of all, and some of two.
    async fn make_threads(&mut self) {
        for of in [vec![0, 1, 2, 3], vec![0, 1], vec![1, 2], vec![2, 3]] {
            let actors: Vec<_> = of.iter().map(|actor| &self.stage.actors[*actor]).collect();
            let others: Vec<&str> = actors[1..].iter().map(|actor| actor.user.as_str()).collect();
            let body = if of.len() > 2 {
                json!({"members": others, "title": "all"})
            } else {
                json!({"members": others})
            };
            let thread = actors[0].create(body).await.expect("nothing fails in a calm run");
            self.threads.push((thread, of));
        }
    }

    /// Draws a scene.
    fn script(&mut self) -> Script {
        if self.kind == Kind::QuietFaults {
            return self.quiet_faults();
        }
        let device = self.rng.random_range(0..self.seats.len());
        // Whatever the scene before has begun is at another point each time.
        let start = self.millis(0..2_500);
        let mut acts = Vec::new();
        let (middle, rest) = match self.rng.random_range(0..100) {
            // A stream opens, or moves to another edge or its own.
            0..45 => {
                acts.extend([(start, Act::Rise { device }), (start + self.millis(0..60), self.sit(device))]);
                (start, SOON)
            }
            // The last stream of a user goes, and one comes about when the lease is given back.
            45..85 => {
                let returns = start + LINGER + self.millis(0..1_200);
                let edge = self.rng.random_range(0..EDGES);
                let last = self.rng.random_bool(0.6);
                let back = if last { Act::Sit { device, edge } } else { self.sit(device) };
                acts.extend([(Duration::ZERO, Act::Rise { device: device ^ 1 }), (returns, back)]);
                if last {
                    acts.push((Duration::ZERO, Act::Sit { device, edge }));
                }
                acts.push((start, Act::Rise { device }));
                (returns, SOON)
            }
            85..90 => {
                acts.push((start, Act::Rise { device }));
                (start, SOON)
            }
            90..95 => {
                let edge = self.rng.random_range(0..EDGES);
                acts.push((start, Act::Replace { edge }));
                (start + self.millis(0..1_500), SOON)
            }
            _ => self.cut(device, &mut acts),
        };
        for _ in 0..self.rng.random_range(1..=4) {
            let at = (middle + self.millis(0..600)).saturating_sub(Duration::from_millis(150));
            acts.push((at, self.write(device)));
        }
        acts.sort_by_key(|(at, _)| *at);
        Script { acts, rest }
    }

    /// Two devices move or go, and others write, while something breaks.
    fn quiet_faults(&mut self) -> Script {
        let device = self.rng.random_range(0..self.seats.len());
        let mut acts = Vec::new();
        if self.rng.random_bool(0.4) {
            // A user's streams go, and one comes about when the lease is given back.
            let at = self.millis(0..1_000);
            acts.extend([device, device ^ 1].map(|device| (at, Act::Rise { device })));
            acts.push((at + LINGER + self.millis(0..1_200), self.sit(device)));
        } else {
            for device in [device, device ^ 1] {
                let at = self.millis(0..3_000);
                acts.push((at, Act::Rise { device }));
                if self.rng.random_bool(0.8) {
                    acts.push((at + self.millis(1..60), self.sit(device)));
                }
            }
        }
        for _ in 0..self.rng.random_range(0..3) {
            let (at, away) = (self.millis(0..3_000), self.millis(0..3_000));
            let (api, edge) =
                (self.rng.random_range(0..self.stage.deployment.apis()), self.rng.random_range(0..EDGES));
            let fault = match self.rng.random_range(0..100) {
                0..30 => Fault::KillApi { api },
                30..70 => Fault::DoomApi { api, transactions: self.rng.random_range(1..3) },
                70..95 => Fault::KillEdge { edge, away },
                _ => Fault::RestartSweeper,
            };
            acts.push((at, Act::Fault(fault)));
        }
        for _ in 0..self.rng.random_range(1..=4) {
            acts.push((self.millis(0..3_000), self.write(device)));
        }
        acts.sort_by_key(|(at, _)| *at);
        Script { acts, rest: AFTER_FAULTS }
    }

    /// The edge of a user's one stream is cut off, perhaps until it counts as dead; shortly before it
    /// comes back another edge gets a stream of theirs.
    fn cut(&mut self, device: usize, acts: &mut Vec<(Duration, Act)>) -> (Duration, Duration) {
        let edge = self.rng.random_range(0..EDGES);
        let other = (edge + self.rng.random_range(1..EDGES)) % EDGES;
        let (begins, length) = (Duration::from_secs(3), self.millis(12_000..60_000));
        let ends = begins + length;
        acts.extend([
            (Duration::ZERO, Act::Rise { device: device ^ 1 }),
            (Duration::ZERO, Act::Sit { device, edge }),
            (begins, Act::Cut { edge, length }),
            (ends.saturating_sub(self.millis(0..8_000)), Act::Sit { device: device ^ 1, edge: other }),
        ]);
        for _ in 0..4 {
            acts.push((ends + self.millis(0..1_000), self.write(device)));
        }
        (ends, AFTER_A_CUT)
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    fn sit(&mut self, device: usize) -> Act {
        Act::Sit { device, edge: self.rng.random_range(0..EDGES) }
    }

    /// Somebody writes or reads in a thread of the device's user.
    fn write(&mut self, device: usize) -> Act {
        let user = device / 2;
        let of: Vec<usize> =
            (0..self.threads.len()).filter(|thread| self.threads[*thread].1.contains(&user)).collect();
        let thread = of[self.rng.random_range(0..of.len())];
        let actors = &self.threads[thread].1;
        let actor = actors[self.rng.random_range(0..actors.len())];
        Act::Write { thread, actor, reads: self.rng.random_bool(0.2) }
    }

    /// Plays a scene to its end, and then everything has to be shown.
    async fn play(&mut self, script: Script) {
        let begin = Instant::now();
        let mut writes = Vec::new();
        for (at, act) in script.acts {
            sleep_until(begin + at).await;
            writes.extend(self.act(act));
        }
        for write in writes {
            let _ = write.await;
        }
        sleep(script.rest).await;
        self.judge(script.rest);
    }

    /// Has something happen; what is waited for at the end of the scene.
    fn act(&mut self, act: Act) -> Option<JoinHandle<()>> {
        let Stage { deployment, history, tracker, actors, devices, stop, .. } = &self.stage;
        match act {
            Act::Rise { device } => self.seats[device] = None,
            Act::Sit { device, edge } => {
                let (seat, device_of) = (stop.child_token(), devices[device].clone());
                let sits = device_of.sit(self.rng.random(), edge);
                tracker.spawn(seat.clone().run_until_cancelled_owned(sits));
                self.seats[device] = Some(seat.drop_guard());
            }
            Act::Write { thread, actor, reads } => {
                let mut known = history.known();
                known.operations += 1;
                let (n, thread, actor) =
                    (known.operations, self.threads[thread].0.clone(), actors[actor].clone());
                return Some(tracker.spawn(async move {
                    if reads {
                        actor.mark(&thread, u64::MAX).await;
                    } else {
                        actor.say_richly(&thread, &format!("words {n}")).await;
                    }
                }));
            }
            Act::Replace { edge } => {
                history.known().faults += 1;
                let deployment = deployment.clone();
                tracker.spawn(async move { deployment.replace_edge(edge).await });
            }
            Act::Cut { edge, length } => {
                history.known().faults += 1;
                deployment.cut_edge(edge, length);
            }
            Act::Fault(fault) => {
                history.known().faults += 1;
                let deployment = deployment.clone();
                tracker.spawn(async move {
                    match fault {
                        Fault::KillApi { api } => deployment.kill_api(api).await,
                        Fault::DoomApi { api, transactions } => deployment.doom_api(api, transactions).await,
                        Fault::KillEdge { edge, away } => deployment.kill_edge(edge, away).await,
                        Fault::RestartSweeper => deployment.restart_sweeper().await,
                    }
                });
            }
        }
        None
    }

    /// Each stream that has been open for so long stands where its user's inbox ends.
    fn judge(&self, soon: Duration) {
        for (device, _) in self.stage.devices.iter().zip(&self.seats).filter(|(_, seat)| seat.is_some()) {
            let page = device.page();
            let (Some(since), Some(cursor)) = (page.greeted, &page.cursor) else { continue };
            let state = self.stage.deployment.cloud.state();
            let ago = match self.kind {
                Kind::Calm => Duration::ZERO,
                Kind::QuietFaults => AFTER_A_SWEEP,
            };
            let head = state.rows.before(format!("U#{}", device.user), "HEAD".into(), ago);
            let head = head.and_then(|head| number(head, "seq")).unwrap_or(0);
            let at = cursor.split_once('.').and_then(|(_, seq)| seq.parse().ok()).unwrap_or(0);
            if since.elapsed() >= soon && at < head {
                let age = since.elapsed().as_secs_f32();
                let late = format!("{} is late: {age} s old, it is at {cursor}, not {head}", device.name);
                self.stage.history.wrong(late);
            }
        }
    }
}
