//! What every run is made of: a cloud, a deployment in it, users with devices, and what came of them.

use std::{cell::RefCell, ops::RangeInclusive, panic::PanicHookInfo, sync::Arc, time::Duration};

use domain::{ids::UserId, limits};
use jiff::Timestamp;
use rand::{RngExt as _, rngs::StdRng};
use server::{aws::Configs, clock::Clock};
use sse_edge::config::{EdgeArgs, Topology};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    actor::Actor,
    cloud::Cloud,
    deployment::{Deployment, Fleet, Sweeping, Works},
    device::Device,
    history::History,
    judge::judge,
};

/// Twice as often as on AWS: a run is short.
const SWEEPS_EVERY: Duration = Duration::from_secs(30);
const APIS: usize = 2;
const USERS: usize = 4;
/// The seeds, of each five, whose lists show one invitation.
const FEW_INVITATIONS: u64 = 3;

/// How a run went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    /// Requests that the cloud served.
    pub(crate) requests: u64,
    /// Operations that users tried.
    pub(crate) operations: u64,
    /// Faults.
    pub(crate) faults: u64,
    /// How often the table was restored.
    pub(crate) restores: u64,
    /// Frames that devices were shown.
    pub(crate) frames: u64,
    /// All requests and answers, if they were asked for.
    pub(crate) trace: Vec<String>,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Takes note of a panic on the thread of a run, wherever it is caught.
pub(crate) fn panicked(why: &PanicHookInfo<'_>) {
    PANICS.with_borrow_mut(|panics| panics.push(why.to_string()));
}

/// Where a run takes place.
pub(crate) struct Stage {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) history: Arc<History>,
    pub(crate) tracker: TaskTracker,
    pub(crate) actors: Vec<Actor>,
    pub(crate) devices: Vec<Arc<Device>>,
    /// Cancelled once the clients' network is good.
    pub(crate) calm: CancellationToken,
    /// Cancelled when the devices are no longer used.
    pub(crate) stop: CancellationToken,
}

impl Stage {
    /// A deployment like this, without users. Every other seed has the other topology.
    pub(crate) async fn set(seed: u64, base: &Configs, traced: bool, fleet: Fleet) -> Self {
        let tracker = TaskTracker::new();
        let start = Timestamp::from_second(1_800_000_000).expect("a time");
        let clock = Clock::tokio(start);
        let cloud = Cloud::new(seed, clock.clone(), tracker.clone());
        cloud.state().trace = traced.then(Vec::new);
        let queues = if seed.is_multiple_of(2) { Topology::PerUser } else { Topology::PerEdge };
        let edge_args = EdgeArgs { queues, ..fleet.edge_args };
        let works = if seed.is_multiple_of(3) { Works::Events } else { Works::Jobs };
        // In some runs most invitations are more than a list shows.
        let invitations_shown = if seed % 5 == FEW_INVITATIONS { 1 } else { limits::INVITATIONS_SHOWN };
        let sweeping = Sweeping { every: SWEEPS_EVERY, works };
        let fleet = Fleet { apis: APIS, edge_args, sweeping, invitations_shown, ..fleet };
        let deployment = Deployment::start(cloud, (clock, tracker.clone()), base, fleet).await;
        Self {
            deployment,
            history: Arc::default(),
            tracker,
            actors: Vec::new(),
            devices: Vec::new(),
            calm: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Users come, each with some devices, whose pages are loaded anew so often.
    pub(crate) fn people(&mut self, rng: &mut StdRng, devices: &RangeInclusive<usize>, reloads: f64) {
        for n in 0..USERS {
            let user = UserId::parse(&format!("user{n}")).expect("a user");
            let (deployment, history) = (self.deployment.clone(), self.history.clone());
            let actor = Actor::new(user.clone(), deployment, history, self.calm.clone(), rng.random());
            for d in 0..rng.random_range(devices.clone()) {
                let name = (user.clone(), format!("user{n}/{d}"));
                let (deployment, history) = (self.deployment.clone(), self.history.clone());
                self.devices.push(Arc::new(Device::new(name, actor.clone(), deployment, history, reloads)));
            }
            self.actors.push(actor);
        }
    }

    /// Judges what has come to rest, and ends everything. `aged` says that TTL may have eaten inbox
    /// events.
    pub(crate) fn end(self, aged: bool) -> Outcome {
        judge(&self.deployment, &self.devices, &self.history, aged);
        self.stop.cancel();
        self.deployment.stop();
        let (requests, trace) = {
            let mut state = self.deployment.cloud.state();
            (state.requests, state.trace.take().unwrap_or_default())
        };
        let mut known = std::mem::take(&mut *self.history.known());
        known.wrong.splice(0..0, PANICS.take());
        Outcome {
            wrong: known.wrong,
            requests,
            operations: known.operations,
            faults: known.faults,
            restores: known.restores,
            frames: known.frames,
            trace,
        }
    }
}
