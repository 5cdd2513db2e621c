//! DynamoDB or SQS is away for ten minutes. No edge may look unwell meanwhile: an orchestrator would replace it, with all
//! of its streams.

use std::sync::Arc;

use axum::body::Body;
use domain::ids::UserId;
use http::Request;
use jiff::Timestamp;
use serde_json::json;
use server::clock::Clock;
use sse_edge::config::{EdgeArgs, Topology};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    actor::Actor,
    cloud::Cloud,
    deployment::{Deployment, Fleet},
    device::Device,
    history::History,
};

/// How long the service is away.
const AWAY: Duration = Duration::from_mins(10);
/// Time between two looks of a load balancer, as in `infra/edge.yaml`.
const LOOK: Duration = Duration::from_secs(10);
/// Until everything has begun, or is as it was before.
const SETTLE: Duration = Duration::from_mins(3);
const EDGES: usize = 2;
const USERS: usize = 8;

#[test]
fn edges_stay_ready_while_dynamodb_is_away() {
    for topology in [Topology::PerUser, Topology::PerEdge] {
        run(topology, "DynamoDB");
    }
}

#[test]
fn edges_stay_ready_while_sqs_is_away() {
    for topology in [Topology::PerUser, Topology::PerEdge] {
        run(topology, "AmazonSQS");
    }
}

fn run(topology: Topology, service: &'static str) {
    rng::seed(1);
    fastrand::seed(1);
    let base = crate::base();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O");
    runtime.block_on(async {
        let (tracker, stop, calm) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        // Nobody's network is bad.
        calm.cancel();
        let clock = Clock::tokio(Timestamp::from_second(1_800_000_000).expect("a time"));
        let cloud = Cloud::new(1, clock.clone(), tracker.clone());
        let config = EdgeArgs { queues: topology, ..EdgeArgs::default() };
        let (deployment, history) = (
            Deployment::start(cloud.clone(), (clock, tracker.clone()), &base, Fleet::of(config, EDGES)).await,
            Arc::new(History::default()),
        );
        let mut actors = Vec::new();
        for n in 0..USERS {
            let user = UserId::parse(&format!("user{n}")).expect("a user");
            let seed = u64::try_from(n).expect("few");
            let actor = Actor::new(user.clone(), deployment.clone(), history.clone(), calm.clone(), seed);
            let of = (user, format!("user{n}/0"));
            let device = Device::new(of, actor.clone(), deployment.clone(), history.clone(), 0.0);
            tracker.spawn(Arc::new(device).run(seed, calm.clone(), stop.clone()));
            actors.push(actor);
        }
        actors[0].create(json!({"members": ["user1"]})).await;
        let thread = history.known().threads[0].clone();
        sleep(SETTLE).await;
        let streams = || (0..EDGES).map(|at| deployment.streams(at)).sum::<usize>();
        assert_eq!(streams(), USERS);
        cloud.state().away = Some(service);
        let begin = Instant::now();
        while begin.elapsed() < AWAY {
            for at in 0..EDGES {
                let request = Request::get("/v1/ready").body(Body::empty()).expect("a request");
                let (answer, _) = deployment.ask_edge(at, request).await.expect("an edge that lives");
                let away = begin.elapsed();
                assert_eq!(answer.status(), 200, "edge {at}, {topology:?}, {service} is away for {away:?}");
            }
            sleep(LOOK).await;
        }
        assert_eq!(streams(), USERS, "nobody was sent away, {topology:?}, {service}");
        cloud.state().away = None;
        actors[0].say(&thread, "back again").await;
        sleep(SETTLE).await;
        stop.cancel();
        deployment.stop();
        let known = history.known();
        assert!(known.wrong.is_empty(), "{:?}", known.wrong);
    });
    runtime.shutdown_background();
}
