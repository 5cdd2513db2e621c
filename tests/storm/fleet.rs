//! A fleet of processes, each of which may die, stop or start at any time, and the roads between.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use client::http::Api;
use domain::ids::UserId;
use server::{
    auth::{AuthConfig, mint::Minter},
    clock::Clock,
};
use tests::process::{Running, program, run, signal};
use tokio::{
    process::Command,
    sync::{Mutex, MutexGuard},
    time::{sleep, timeout},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::road::Road;

/// Seconds between two pings: a client takes a stream that is silent for three of them for dead.
pub(crate) const PING_SECONDS: u64 = 2;
/// Between two looks of a balancer at its processes, and how long one may take to answer.
const LOOK: Duration = Duration::from_millis(500);
const ANSWERS_IN: Duration = Duration::from_secs(1);
/// How long a process that is asked to end may take.
const ENDS_IN: Duration = Duration::from_secs(30);

/// A process of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Emulators,
    Api(usize),
    Fanout,
    Edge(usize),
}

impl Part {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Emulators,
        Self::Api(0),
        Self::Api(1),
        Self::Fanout,
        Self::Edge(0),
        Self::Edge(1),
        Self::Edge(2),
    ];

    fn place(self) -> usize {
        Self::ALL.iter().position(|part| *part == self).unwrap()
    }

    fn name(self) -> String {
        match self {
            Self::Emulators => "emulators".into(),
            Self::Api(n) => format!("api{n}"),
            Self::Fanout => "fanout".into(),
            Self::Edge(n) => format!("edge{n}"),
        }
    }
}

/// Its processes, and what lies between them and their clients.
pub(crate) struct Fleet {
    /// What clients of the API take.
    pub(crate) to_apis: Road,
    /// What streams take.
    pub(crate) to_edges: Road,
    /// Where logs are, and whatever else somebody may want to look at.
    pub(crate) folder: PathBuf,
    processes: [Mutex<Option<Running>>; 7],
    // Where each was last known to serve.
    addresses: std::sync::Mutex<[SocketAddr; 7]>,
    // Of each process to AWS; the emulators' own is not used.
    to_aws: [Road; 7],
    environment: Vec<(&'static str, String)>,
    minter: Minter,
}

impl Fleet {
    /// Starts all of it; pages may come from `origins`.
    pub(crate) async fn start(topology: &str, folder: PathBuf, origins: &str) -> Arc<Self> {
        let data = folder.join("data");
        // Whichever command comes first makes the secret.
        run("runnel", &["token", "someone", "--data-dir", data.to_str().unwrap()]).await;
        let secret = fs::read_to_string(data.join("secret")).unwrap();
        let auth = AuthConfig { secret: Some(secret.clone().into()), ..AuthConfig::default() };
        let environment = vec![
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", "local".into()),
            ("AWS_SECRET_ACCESS_KEY", "local".into()),
            ("RUNNEL_JWT_SECRET", secret),
            ("RUNNEL_QUEUES", topology.into()),
            ("RUNNEL_DRAIN_SECONDS", "2".into()),
            ("RUNNEL_HEAD_CHECK_SECONDS", "5".into()),
            ("RUNNEL_PING_SECONDS", PING_SECONDS.to_string()),
            ("RUNNEL_RETRY_MS", "500-2000".into()),
            ("RUNNEL_ALLOWED_ORIGINS", origins.into()),
            ("RUNNEL_LOG", "info".into()),
        ];
        let mut to_aws = Vec::new();
        for _ in Part::ALL {
            to_aws.push(Road::build().await);
        }
        let fleet = Arc::new(Self {
            to_apis: Road::build().await,
            to_edges: Road::build().await,
            folder,
            processes: Default::default(),
            addresses: std::sync::Mutex::new([([127, 0, 0, 1], 0).into(); 7]),
            to_aws: to_aws.try_into().ok().unwrap(),
            environment,
            minter: Minter::new(&auth).unwrap(),
        });
        for part in Part::ALL {
            let mut process = fleet.process(part).await;
            *process = Some(fleet.run(part).await);
        }
        fleet
    }

    /// The road from a process to AWS.
    pub(crate) fn to_aws(&self, part: Part) -> &Road {
        &self.to_aws[part.place()]
    }

    /// A process, which nobody else touches meanwhile.
    pub(crate) async fn process(&self, part: Part) -> MutexGuard<'_, Option<Running>> {
        self.processes[part.place()].lock().await
    }

    /// Kills a process, and starts it again after a while.
    pub(crate) async fn kill(&self, part: Part, away: Duration) {
        let mut process = self.process(part).await;
        process.as_mut().unwrap().kill().await;
        sleep(away).await;
        *process = Some(self.run(part).await);
    }

    /// Asks a process to end, and starts it again. One that takes too long is killed, as they are.
    pub(crate) async fn replace(&self, part: Part) -> Result<(), String> {
        let mut process = self.process(part).await;
        let running = process.as_mut().unwrap();
        signal(running.pid(), "TERM");
        let ended = if let Some(status) = running.ends_in(ENDS_IN).await {
            status.success().then_some(()).ok_or_else(|| format!("{part:?} was asked to end: {status}"))
        } else {
            println!("{part:?} had not ended after {ENDS_IN:?}");
            running.kill().await;
            Ok(())
        };
        *process = Some(self.run(part).await);
        ended
    }

    /// Stops a process as it stands, for a while.
    pub(crate) async fn pause(&self, part: Part, away: Duration) {
        let process = self.process(part).await;
        let pid = process.as_ref().unwrap().pid();
        signal(pid, "STOP");
        sleep(away).await;
        signal(pid, "CONT");
    }

    /// Starts a process; one that cannot begin (AWS may be away) is tried again.
    async fn run(&self, part: Part) -> Running {
        loop {
            let mut process = Running::start_with_log(self.command(part), &self.log(part));
            let begins =
                async { if part == Part::Fanout { process.begins().await } else { process.serves().await } };
            if timeout(ENDS_IN, begins).await == Ok(true) {
                if part == Part::Emulators {
                    self.to_aws.iter().for_each(|road| road.lead_to(vec![process.address]));
                }
                self.addresses.lock().unwrap()[part.place()] = process.address;
                return process;
            }
            sleep(LOOK).await;
        }
    }

    fn log(&self, part: Part) -> PathBuf {
        self.folder.join(format!("{}.log", part.name()))
    }

    fn command(&self, part: Part) -> Command {
        let data = self.folder.join("data");
        let (name, args): (_, &[&str]) = match part {
            Part::Emulators => ("runnel", &["emulators", "--data-dir", data.to_str().unwrap()]),
            Part::Api(_) => ("runnel", &["api"]),
            Part::Fanout => ("runnel", &["fanout"]),
            Part::Edge(_) => ("sse-edge", &[]),
        };
        let mut command = program(name);
        command.args(args);
        if part != Part::Fanout {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("AWS_ENDPOINT_URL", format!("http://{}", self.to_aws(part).address));
        command
    }

    /// A token for a user.
    pub(crate) fn token(&self, user: &str) -> String {
        self.minter.mint(&UserId::parse(user).unwrap(), Duration::from_hours(12), Clock::system().now())
    }

    /// The API as a user uses it.
    pub(crate) fn as_user(&self, user: &str) -> Api {
        Api { address: self.to_apis.address, token: Some(self.token(user)) }
    }

    /// Leads clients to the processes that say they are ready, as a load balancer does.
    pub(crate) fn balance(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let fleet = Arc::clone(self);
        AbortOnDropHandle::new(TaskTracker::new().spawn(async move {
            loop {
                fleet.look().await;
                fleet.revive().await;
                sleep(LOOK).await;
            }
        }))
    }

    /// Starts what has ended by itself, such as a fan-out that found no AWS.
    async fn revive(&self) {
        for part in Part::ALL {
            let Ok(mut process) = self.processes[part.place()].try_lock() else { continue };
            if process.as_mut().is_some_and(Running::has_ended) {
                *process = Some(self.run(part).await);
            }
        }
    }

    /// Looks once at every process that has clients.
    pub(crate) async fn look(&self) {
        let (mut apis, mut edges) = (Vec::new(), Vec::new());
        let ready = Part::ALL.map(|part| async move { (part, self.ready(part).await) });
        for (part, address) in futures_util::future::join_all(ready).await {
            match part {
                Part::Api(_) => apis.extend(address),
                Part::Edge(_) => edges.extend(address),
                _ => {}
            }
        }
        self.to_apis.lead_to(apis);
        self.to_edges.lead_to(edges);
    }

    async fn ready(&self, part: Part) -> Option<SocketAddr> {
        let path = match part {
            Part::Api(_) => "/v1/health",
            Part::Edge(_) => "/v1/ready",
            _ => return None,
        };
        let address = self.addresses.lock().unwrap()[part.place()];
        let api = Api { address, token: None };
        let answer = timeout(ANSWERS_IN, api.try_call("GET", path, None, &[])).await.ok()?.ok()?;
        answer.status.is_success().then_some(address)
    }
}

/// A folder for the run, empty.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = tests::process::out().join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(Path::new(&folder)).unwrap();
    folder
}
