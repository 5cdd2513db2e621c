//! A scripted hour: so many edges, streams and messages, and all that this asks of AWS. It passes on
//! a clock of its own, so that everything periodic is there as often as in a real one.

use std::{sync::Arc, time::Duration};

use domain::ids::UserId;
use jiff::Timestamp;
use serde_json::json;
use server::{aws::Configs, clock::Clock};
use sse_edge::config::{EdgeArgs, Topology};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    actor::Actor,
    cloud::{Cloud, bill::Bill},
    deployment::{Deployment, Fleet},
    device::Device,
    history::History,
};

/// What is measured.
const HOUR: Duration = Duration::from_hours(1);
/// Until everything has begun: leases, first checks.
const SETTLE: Duration = Duration::from_mins(3);
const EDGES: usize = 2;
/// Users of a scripted hour, each with one stream; they talk in pairs.
const STREAMS: usize = 40;
/// Users of the hour that tells what an edge asks for by itself, which is what is left when their streams are
/// taken away: an edge without streams has no queue, and the more there are the less exact is the rest.
const FEW: usize = 8;
/// Messages that each pair exchanges in it.
const MESSAGES: usize = 30;
/// Hours that are averaged: when streams end and look for what they missed is drawn, and in one hour it differs by a twentieth
/// from the next.
const HOURS: u64 = 2;

/// One row of the table: what causes requests, and how many in an hour.
pub(crate) type Row = (String, Bill);

/// What each thing that there may be more of costs: the difference that it makes.
pub(crate) fn measure(base: &Configs) -> Vec<Row> {
    let hour = |topology, edges, streams, messages| {
        let hours = (1..=HOURS).map(|seed| run(base, topology, (edges, streams, messages), seed));
        hours.sum::<Bill>() / f64::from(u32::try_from(HOURS).expect("few"))
    };
    let count = |n: usize| f64::from(u32::try_from(n).expect("few"));
    let bare = hour(Topology::PerUser, 0, 0, 0);
    let mut rows = vec![("the deployment, for an hour".to_owned(), bare)];
    for (name, topology) in [("per-user", Topology::PerUser), ("per-edge", Topology::PerEdge)] {
        let few = hour(topology, EDGES, FEW, 0);
        let (quiet, more) = (hour(topology, EDGES, STREAMS, 0), hour(topology, EDGES, 2 * STREAMS, 0));
        let busy = hour(topology, EDGES, STREAMS, MESSAGES);
        let stream = (more - quiet) / count(STREAMS);
        let edge = (few - bare - stream * count(FEW)) / count(EDGES);
        let message = (busy - quiet) / count(STREAMS / 2 * MESSAGES);
        rows.push((format!("an edge, for an hour, {name}"), edge));
        rows.push((format!("a stream, for an hour, {name}"), stream));
        rows.push((format!("a message between two streams, {name}"), message));
    }
    rows
}

fn run(base: &Configs, topology: Topology, script: (usize, usize, usize), seed: u64) -> Bill {
    rng::seed(seed);
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O");
    let bill = runtime.block_on(pass(base, topology, script, seed));
    runtime.shutdown_background();
    bill
}

async fn pass(
    base: &Configs,
    topology: Topology,
    (edges, streams, messages): (usize, usize, usize),
    seed: u64,
) -> Bill {
    let (tracker, stop, calm) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    // Nobody's network is bad.
    calm.cancel();
    let clock = Clock::tokio(Timestamp::from_second(1_800_000_000).expect("a time"));
    let cloud = Cloud::new(seed, clock.clone(), tracker.clone());
    let config = EdgeArgs { queues: topology, drain: Duration::from_secs(10), ..EdgeArgs::default() };
    let started = Deployment::start(cloud.clone(), (clock, tracker.clone()), base, Fleet::of(config, edges));
    let (deployment, history) = (started.await, Arc::new(History::default()));
    let mut pairs = Vec::new();
    for n in 0..streams {
        let user = UserId::parse(&format!("user{n}")).expect("a user");
        let seed = u64::try_from(n).expect("few");
        let mut actor = Actor::new(user.clone(), deployment.clone(), history.clone(), calm.clone(), seed);
        actor.repeats = 0.0;
        let (device, of) = (format!("user{n}/0"), deployment.clone());
        let device = Arc::new(Device::new((user, device), actor.clone(), of, history.clone(), 0.0));
        tracker.spawn(device.run(seed, calm.clone(), stop.clone()));
        if n % 2 == 1 {
            let before = history.known().threads.len();
            actor.create(json!({"members": [format!("user{}", n - 1)]})).await;
            pairs.push((actor, history.known().threads[before].clone()));
        }
    }
    sleep(SETTLE).await;
    cloud.state().bill = Bill::default();
    let pause = HOUR / u32::try_from(messages.max(1)).expect("few");
    for n in 0..messages.max(1) {
        if messages > 0 {
            for (actor, thread) in &pairs {
                actor.say(thread, &format!("words {n} in {thread}")).await;
            }
        }
        sleep(pause).await;
    }
    let bill = cloud.state().bill;
    stop.cancel();
    deployment.stop();
    let known = history.known();
    assert!(known.wrong.is_empty(), "{:?}", known.wrong);
    bill
}
