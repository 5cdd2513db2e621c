//! One run: users who talk while things break, then peace, then the verdict. All of it follows
//! from a seed.

use std::time::Duration;

use domain::{ids::UserId, limits};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use server::aws::Configs;
use sse_edge::config::EdgeArgs;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    actor::Actor,
    calm::{self, Calm},
    cloud::weather::Weather,
    deployment::Fleet,
    history::Said,
    lists,
    stage::{Outcome, Stage},
    strangers::{Strangers, is_among_strangers},
};

/// The reason of a reset because of a cursor above the inbox.
const ABOVE: &str = "above";
/// Operations of a run, or a few more.
const OPERATIONS: u64 = 200;
/// Faults of a run, besides the weather.
const FAULTS: usize = 24;
/// About how many milliseconds the users talk.
const TALK: u64 = 45_000;
/// How long the service may need once nothing breaks any more: a head check (60 s and a fifth),
/// a reconnect after a silence, what the sweeper holds for 30 s, and its next look.
const REST: Duration = Duration::from_secs(170);
/// Longer than an inbox keeps its events.
const AGE: Duration = Duration::from_hours(8 * 24);
/// Members of a crowd who never come: enough for a chain of jobs.
const QUIET: usize = limits::INLINE_MEMBERS + 4;

/// Those of them who are added one by one.
const ADDED: usize = 8;

/// Runs `seed`, and keeps all requests and answers if `traced`.
pub(crate) fn run(seed: u64, base: &Configs, traced: bool) -> Outcome {
    rng::seed(seed);
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O");
    let outcome = runtime.block_on(async {
        if is_among_strangers(seed) {
            return Strangers::simulate(seed, base, traced).await;
        }
        match calm::is_calm(seed) {
            Some(kind) => Calm::simulate(seed, kind, base, traced).await,
            None => Run::simulate(seed, base, traced).await,
        }
    });
    runtime.shutdown_background();
    outcome
}

/// What happens besides what the users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Fault,
    /// Nobody does anything for days.
    Age,
    Restore,
}

struct Run {
    stage: Stage,
    rng: StdRng,
    habits: Habits,
    aged: bool,
}

/// What the users of a run are like: other runs, other users, so that rare things are common in some.
#[derive(Debug)]
struct Habits {
    /// How often several do something in one thread at once.
    bursts: f64,
    /// How often a member is taken out of a thread whose last message is edited at once.
    partings: f64,
    /// How many threads are of two.
    direct: f64,
    /// How often a page is loaded anew when its stream has ended.
    reloads: f64,
    /// Whether one thread is so large that jobs fan it out.
    crowd: bool,
    /// How many edges they come to.
    edges: usize,
    /// Whether rows are hidden for long.
    is_hazy: bool,
}

impl Habits {
    fn draw(rng: &mut StdRng) -> Self {
        Self {
            bursts: rng.random_range(0.0..0.3),
            partings: rng.random_range(0.0..0.04),
            direct: rng.random_range(0.1..0.8),
            reloads: rng.random_range(0.02..0.3),
            crowd: rng.random_bool(0.02),
            edges: if rng.random_bool(0.6) { 3 } else { 2 },
            is_hazy: rng.random_bool(0.2),
        }
    }

    /// The weather of a day like any other.
    fn weather(&self) -> Weather {
        if self.is_hazy { Weather::HAZY } else { Weather::FAIR }
    }
}

impl Run {
    async fn simulate(seed: u64, base: &Configs, traced: bool) -> Outcome {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
        let habits = Habits::draw(&mut rng);
        let config = EdgeArgs { drain: Duration::from_secs(10), ..EdgeArgs::default() };
        let mut stage = Stage::set(seed, base, traced, Fleet::of(config, habits.edges)).await;
        stage.people(&mut rng, &(1..=2), habits.reloads);
        for device in &stage.devices {
            let (calm, stop) = (stage.calm.clone(), stage.stop.clone());
            stage.tracker.spawn(device.clone().run(rng.random(), calm, stop));
        }
        let mut run = Self { stage, rng, habits, aged: false };
        run.talk().await;
        // Those who still ask again, and processes that are still away; soon no line breaks any more.
        sleep(Duration::from_secs(15)).await;
        run.stage.calm.cancel();
        sleep(Duration::from_secs(25)).await;
        run.stage.deployment.cloud.state().weather = Weather::CALM;
        sleep(REST).await;
        lists::judge(&run.stage).await;
        if run.habits.is_hazy {
            // A user row was hidden for longer than an edge doubts a cursor above it.
            run.stage.history.known().resets.remove(ABOVE);
        }
        run.stage.end(run.aged)
    }

    /// Operations and faults at random times.
    async fn talk(&mut self) {
        self.stage.deployment.cloud.state().weather = self.habits.weather();
        if self.habits.crowd {
            self.stage.tracker.spawn(crowd(self.stage.actors.clone()));
        }
        let begin = Instant::now();
        let mut events: Vec<(u64, Event)> = Vec::new();
        events.extend((0..FAULTS).map(|_| (self.rng.random_range(1_000..TALK), Event::Fault)));
        if self.rng.random_bool(0.25) {
            events.push((self.rng.random_range(0..TALK), Event::Age));
        }
        if self.rng.random_bool(0.15) {
            events.push((self.rng.random_range(TALK / 4..TALK), Event::Restore));
        }
        events.sort_unstable();
        let mut events = events.into_iter().peekable();
        let (mut next, mut late) = (0, Duration::ZERO);
        loop {
            let talks = self.stage.history.known().operations < OPERATIONS;
            let event = events.next_if(|(at, _)| !talks || *at < next);
            let at = match event {
                Some((at, _)) => at,
                None if talks => next,
                None => break,
            };
            sleep_until(begin + late + Duration::from_millis(at)).await;
            match event.map(|(_, event)| event) {
                None => {
                    let done = self.operate();
                    self.stage.history.known().operations += done;
                    // Whoever does several things at once is silent for longer.
                    next += (0..done).map(|_| self.rng.random_range(0..2 * TALK / OPERATIONS)).sum::<u64>();
                }
                Some(Event::Fault) => {
                    self.stage.history.known().faults += 1;
                    self.fault();
                }
                Some(Event::Age) => {
                    // TTL eats what is over.
                    self.aged = true;
                    // No write is under way for days, longer than its key is known.
                    self.stage.deployment.end_apis();
                    tokio::time::advance(AGE).await;
                    late += AGE;
                    let deployment = self.stage.deployment.clone();
                    self.stage.tracker.spawn(async move { deployment.start_apis().await });
                    for _ in 0..3 {
                        self.stage.deployment.cloud.expire();
                    }
                }
                Some(Event::Restore) => {
                    let (deployment, history) = (self.stage.deployment.clone(), self.stage.history.clone());
                    self.stage.tracker.spawn(async move { deployment.restore(&history).await });
                }
            }
        }
    }

    /// One operation or several at once; how many.
    fn operate(&mut self) -> u64 {
        let n = self.stage.history.known().operations;
        let actor = self.stage.actors[self.rng.random_range(0..self.stage.actors.len())].clone();
        let other = self.stage.actors[self.rng.random_range(0..self.stage.actors.len())].user.clone();
        let mut threads = self.stage.history.known().threads.clone();
        let kind = if threads.len() < 2 { 0 } else { self.rng.random_range(0..100) };
        if self.rng.random_bool(0.95) {
            // Mostly of those where the user belongs.
            let known = self.stage.history.known();
            threads.retain(|thread| known.members.get(thread).is_some_and(|m| m.contains(&actor.user)));
        }
        if kind < 4 || threads.is_empty() {
            let body = self.thread_of(&actor);
            self.stage.tracker.spawn(async move { actor.create(body).await });
            return 1;
        }
        let thread = threads[self.rng.random_range(0..threads.len())].clone();
        if self.rng.random_bool(self.habits.bursts) {
            return self.burst(n, &actor, &thread, &other);
        }
        if other != actor.user && self.rng.random_bool(self.habits.partings) {
            return self.part(n, actor, thread, other);
        }
        let number = self.rng.random_range(0..60);
        let said: Option<(String, Said)> = {
            let known = self.stage.history.known();
            let nth = self.rng.random_range(0..known.said.len().max(1));
            known.said.iter().nth(nth).map(|(text, said)| (text.clone(), said.clone()))
        };
        let how = self.rng.random_range(0..10);
        let some: Vec<UserId> =
            self.stage.actors.iter().map(|actor| actor.user.clone()).skip(usize::from(how % 3)).collect();
        let mut done = 1;
        if (4..60).contains(&kind) {
            done += self.beside(&actor, &thread);
        }
        if kind >= 98 && self.rng.random_bool(0.5) {
            // Whoever has left may ask again, and is told so although no member any more.
            self.doom_apis();
        }
        self.stage.tracker.spawn(async move {
            match kind {
                4..60 => actor.say_richly(&thread, &format!("words {n}")).await,
                60..74 => {
                    if let Some((text, said)) = said {
                        actor.touch(&text, &said, how).await;
                    }
                }
                74..82 => actor.mark(&thread, number).await,
                82..84 => actor.accept(&thread).await,
                84..89 => actor.types(&thread).await,
                89 => actor.block(&other, how < 7).await,
                90 => actor.add_all(&thread, &some).await,
                91..93 => actor.change(&thread, &other, true).await,
                93..95 => actor.appoint(&thread, &other, how).await,
                95..98 => actor.change(&thread, &other, false).await,
                _ => {
                    actor.change(&thread, &actor.user, false).await;
                    if how < 5 {
                        actor.accept(&thread).await;
                    }
                }
            }
        });
        done
    }

    /// The request for a new thread with some of the other users.
    fn thread_of(&mut self, actor: &Actor) -> Value {
        let group = !self.rng.random_bool(self.habits.direct);
        let rest: Vec<&str> = self.stage.actors.iter().map(|a| a.user.as_str()).collect();
        let most = self.rng.random_range(1..rest.len());
        let members: Vec<&str> = rest.into_iter().filter(|u| *u != actor.user.as_str()).take(most).collect();
        if group {
            let adds = ["member", "member", "member", "moderator", "owner"];
            let adds = adds[self.rng.random_range(0..adds.len())];
            let history = if self.rng.random_bool(0.5) { "joined" } else { "all" };
            json!({"members": members, "title": "all", "history": history, "adds": adds})
        } else {
            json!({"members": [members[0]]})
        }
    }

    /// What the author's other devices do while a message is written, and how much it is.
    fn beside(&mut self, actor: &Actor, thread: &str) -> u64 {
        let mut done = 0;
        if self.rng.random_bool(0.2) {
            // One has read on.
            let (actor, thread) = (actor.clone(), thread.to_owned());
            let after = Duration::from_millis(self.rng.random_range(0..100));
            self.stage.tracker.spawn(async move {
                sleep(after).await;
                actor.mark(&thread, u64::MAX).await;
            });
            done += 1;
        }
        if self.rng.random_bool(0.2) {
            // One loads the page.
            let own =
                self.stage.devices.iter().find(|device| device.user == actor.user).expect("a device").clone();
            let after = Duration::from_millis(self.rng.random_range(0..600));
            self.stage.tracker.spawn(async move {
                sleep(after).await;
                own.look().await;
            });
            done += 1;
        }
        done
    }

    /// Each API dies behind its next transaction.
    fn doom_apis(&self) {
        for api in 0..self.stage.deployment.apis() {
            let deployment = self.stage.deployment.clone();
            self.stage.tracker.spawn(async move { deployment.doom_api(api, 1).await });
        }
    }

    /// Several do something in one thread at once, while a process may die in the middle of it.
    fn burst(&mut self, n: u64, actor: &Actor, thread: &str, other: &UserId) -> u64 {
        let mut done = 0;
        let mut soon = || Duration::from_millis(self.rng.random_range(0..60));
        let (dies, returns) = (soon(), soon());
        if self.rng.random_bool(0.5) {
            let (deployment, transactions) = (self.stage.deployment.clone(), self.rng.random_range(1..5));
            let api = self.rng.random_range(0..deployment.apis());
            self.stage.tracker.spawn(async move {
                sleep(dies).await;
                deployment.doom_api(api, transactions).await;
            });
        }
        if self.rng.random_bool(0.3) && *other != actor.user {
            // Gone, and back at once, perhaps before everybody has been told.
            let (actor, thread, other) = (actor.clone(), thread.to_owned(), other.clone());
            let waits = self.rng.random_bool(0.5);
            if !waits && self.habits.direct < 0.3 {
                // Where most threads are groups, nobody is left who tells of the first before the second.
                self.doom_apis();
            }
            self.stage.tracker.spawn(async move {
                let back = async {
                    sleep(returns).await;
                    actor.change(&thread, &other, true).await;
                };
                if waits {
                    actor.change(&thread, &other, false).await;
                    back.await;
                } else {
                    tokio::join!(actor.change(&thread, &other, false), back);
                }
            });
            done += 2;
        }
        let parts = self.rng.random_range(2..5);
        for k in 0..parts {
            let actor = self.stage.actors[self.rng.random_range(0..self.stage.actors.len())].clone();
            let (thread, text) = (thread.to_owned(), format!("words {n}.{k}"));
            let (after, reads) =
                (Duration::from_millis(self.rng.random_range(0..60)), self.rng.random_bool(0.4));
            self.stage.tracker.spawn(async move {
                sleep(after).await;
                if reads {
                    actor.mark(&thread, u64::MAX).await;
                } else {
                    actor.say_richly(&thread, &text).await;
                }
            });
        }
        done + parts
    }

    /// A member is taken out while their devices look for another edge, and is told of the past later.
    fn part(&mut self, n: u64, actor: Actor, thread: String, other: UserId) -> u64 {
        for edge in 0..self.stage.deployment.edges() {
            let (deployment, after) =
                (self.stage.deployment.clone(), Duration::from_millis(self.rng.random_range(0..2_000)));
            self.stage.tracker.spawn(async move { deployment.kill_edge(edge, after).await });
        }
        let (text, returns) = (format!("words {n}"), self.rng.random_bool(0.7));
        self.stage.tracker.spawn(async move { actor.part(&thread, &text, &other, returns).await });
        3
    }

    /// Breaks something.
    fn fault(&mut self) {
        let deployment = self.stage.deployment.clone();
        let (api, edge) =
            (self.rng.random_range(0..deployment.apis()), self.rng.random_range(0..deployment.edges()));
        let short = Duration::from_millis(self.rng.random_range(0..20_000));
        match self.rng.random_range(0..100) {
            0..20 => drop(self.stage.tracker.spawn(async move { deployment.kill_api(api).await })),
            20..36 => drop(self.stage.tracker.spawn(async move { deployment.kill_edge(edge, short).await })),
            36..46 => drop(self.stage.tracker.spawn(async move { deployment.replace_edge(edge).await })),
            46..52 => drop(self.stage.tracker.spawn(async move { deployment.restart_sweeper().await })),
            52..64 => deployment.cut(self.rng.random_range(0..64), short * 2),
            64..70 => deployment.pause(self.rng.random_range(0..64), short * 2),
            70..88 => {
                deployment.cloud.state().weather = Weather::STORM;
                let weather = self.habits.weather();
                self.stage.tracker.spawn(async move {
                    sleep(short / 3).await;
                    deployment.cloud.state().weather = weather;
                });
            }
            88..94 => deployment.cloud.delete_a_queue(),
            94..97 => deployment.cloud.litter("99 of\nanother version"),
            _ => deployment.cloud.litter("rubbish"),
        }
    }
}

/// A thread of more members than a writer serves inline. Its first is the one who makes it.
async fn crowd(actors: Vec<Actor>) {
    let quiet: Vec<String> = (0..QUIET).map(|n| format!("quiet{n:02}")).collect();
    let (first, rest) = quiet.split_at(QUIET - ADDED);
    let members: Vec<&str> =
        actors.iter().skip(1).map(|a| a.user.as_str()).chain(first.iter().map(String::as_str)).collect();
    let Some(thread) = actors[0].create(json!({"members": members, "title": "crowd"})).await else { return };
    for user in rest {
        let user = UserId::parse(user).expect("a user");
        actors[0].change(&thread, &user, true).await;
    }
}
