//! Five kinds of clients. Each does what docs/WIRE.md asks of a client, and reports what it is
//! shown: some tell it on stdout, a line each, some are asked for it.

use std::{collections::BTreeMap, env, fs::File, ops::Range, process::Stdio, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{browser::Browser, engine::Engine};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    cast::{DEVICES, USERS, user},
    fleet::{Fleet, PING_SECONDS},
    rust,
    screen::Screens,
};

/// Devices of a user by the language that their clients are written in.
const RUST: Range<usize> = 0..3;
const PYTHON: Range<usize> = 3..4;
const NODE: Range<usize> = 4..DEVICES;
/// How many kinds there are.
const KINDS: usize = 5;
/// Between the openings of two streams: an edge makes 20 queues a second at most.
const GENTLY: Duration = Duration::from_millis(20);
/// Between two looks at a page.
const LOOK: Duration = Duration::from_millis(500);
/// How long a stream may say nothing until its client takes it for dead.
pub(crate) const SILENCE: Duration = Duration::from_secs(3 * PING_SECONDS);

/// All clients. Dropping them ends them.
pub(crate) struct Clients {
    fleet: Arc<Fleet>,
    screens: Arc<Screens>,
    // How many streams there are of each kind.
    kinds: BTreeMap<String, usize>,
    skipped: Vec<String>,
    tasks: Vec<AbortOnDropHandle<()>>,
    browsers: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Clients {
    /// Starts them; browsers find their page at `origin`. Of those that cannot be had there are none,
    /// and that is said aloud.
    pub(crate) async fn start(fleet: &Arc<Fleet>, screens: &Arc<Screens>, origin: &str) -> Self {
        let mut clients = Self {
            fleet: Arc::clone(fleet),
            screens: Arc::clone(screens),
            kinds: BTreeMap::new(),
            skipped: Vec::new(),
            tasks: Vec::new(),
            browsers: Vec::new(),
            stop: CancellationToken::new(),
        };
        let mut users = (0..USERS).map(user);
        let engines = [Engine::Chromium, Engine::Firefox];
        let installed = Engine::installed(&engines);
        for engine in engines {
            if installed.contains(&engine) {
                clients.browse(engine, format!("{origin}/"), &users.next().unwrap());
            } else {
                clients.skipped.push(format!("{engine:?}"));
            }
        }
        let users: Vec<String> = users.collect();
        for user in &users {
            clients.rust(user).await;
        }
        clients.program("python3", &["-u", "python.py"], devices(&users, PYTHON)).await;
        clients.program("node", &["--experimental-eventsource", "node.mjs"], devices(&users, NODE)).await;
        clients
    }

    /// How many streams there are.
    pub(crate) fn count(&self) -> usize {
        self.kinds.values().sum()
    }

    /// Who does not take part that should: a kind may be skipped where its program is missing, but
    /// not in CI.
    pub(crate) fn missing(&self) -> Option<String> {
        let whole = self.kinds.len() == KINDS && self.count() == USERS * DEVICES;
        let in_ci = env::var("CI").is_ok_and(|ci| ci == "true");
        println!("{} streams of {:?} take part; skipped: {:?}", self.count(), self.kinds, self.skipped);
        let excused = !self.skipped.is_empty() && !in_ci;
        (!whole && !excused).then(|| {
            format!("streams of {:?} only take part; missing programs: {:?}", self.kinds, self.skipped)
        })
    }

    fn joins(&mut self, kind: &str, streams: usize) {
        *self.kinds.entry(kind.to_owned()).or_default() += streams;
    }

    /// Ends them: a browser would outlive its task.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        join_all(self.browsers).await;
    }

    /// The streams of one user on a page of a browser.
    fn browse(&mut self, engine: Engine, page: String, user: &str) {
        let devices = devices(&[user.to_owned()], 0..DEVICES);
        let devices: Vec<Value> = devices.iter().map(|device| self.told(device)).collect();
        self.joins(&format!("{engine:?}"), devices.len());
        let (screens, stop) = (Arc::clone(&self.screens), self.stop.clone());
        let showing = engine
            .lend(async move |browser: &mut Browser| show(browser, &page, devices, &screens, &stop).await);
        self.browsers.push(TaskTracker::new().spawn_local(showing));
    }

    async fn rust(&mut self, user: &str) {
        for (user, n) in devices(&[user.to_owned()], RUST) {
            let client = rust::Client {
                stream: format!("{user}/{n}"),
                api: self.fleet.as_user(&user),
                edge: self.fleet.to_edges.address,
                screens: Arc::clone(&self.screens),
            };
            self.joins("Rust", 1);
            self.tasks.push(AbortOnDropHandle::new(TaskTracker::new().spawn(client.run())));
            sleep(GENTLY).await;
        }
    }

    /// A program that plays some clients, told of them on its stdin.
    async fn program(&mut self, name: &str, args: &[&str], devices: Vec<Device>) {
        let log = File::create(self.fleet.folder.join(format!("{name}.log"))).unwrap();
        let mut command = Command::new(name);
        command.args(args).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/storm/clients"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let Ok(mut process) = command.spawn() else {
            println!("SKIPPED {name}: not installed");
            self.skipped.push(name.to_owned());
            return;
        };
        let told = devices.iter().map(|device| self.told(device)).collect::<Value>();
        process.stdin.take().unwrap().write_all(format!("{told}\n").as_bytes()).await.unwrap();
        self.joins(name, devices.len());
        let listening = listen(process, Arc::clone(&self.screens));
        self.tasks.push(AbortOnDropHandle::new(TaskTracker::new().spawn(listening)));
    }

    /// What a client of another language has to know.
    fn told(&self, (user, n): &Device) -> Value {
        json!({
            "stream": format!("{user}/{n}"),
            "token": self.fleet.token(user),
            "api": format!("http://{}", self.fleet.to_apis.address),
            "edge": format!("http://{}", self.fleet.to_edges.address),
            "silence_ms": u64::try_from(SILENCE.as_millis()).unwrap(),
        })
    }
}

/// A user, and which of their devices.
type Device = (String, usize);

fn devices(users: &[String], which: Range<usize>) -> Vec<Device> {
    users.iter().flat_map(|user| which.clone().map(|n| (user.clone(), n))).collect()
}

async fn listen(mut process: Child, screens: Arc<Screens>) {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        screens.note(&serde_json::from_str(&line).unwrap());
    }
    panic!("a client program has ended; see its log");
}

/// Some clients on a page of a browser.
async fn show(
    browser: &mut Browser,
    page: &str,
    devices: Vec<Value>,
    screens: &Screens,
    stop: &CancellationToken,
) {
    browser.goto(page).await;
    browser.script("start(arguments[0])", vec![devices.into()]).await;
    while !stop.is_cancelled() {
        let taken = browser.script("return take()", Vec::new()).await;
        taken.as_array().unwrap().iter().for_each(|report| screens.note(report));
        sleep(LOOK).await;
    }
}
