//! Five kinds of clients. Each does what docs/WIRE.md asks of a client, and reports what it is
//! shown: some tell it on stdout, a line each, some are asked for it.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tests::{browser::Browser, engine::Engine, http::Api};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    time::sleep,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    cast::{Cast, DEVICES, USERS, user},
    door::Door,
    fleet::{Fleet, PING_SECONDS},
    rust,
    screen::Screens,
};

/// Devices of a user whose client is not written in Rust.
const PYTHON: usize = 3;
const NODE: usize = 4;
/// Between two looks at a page.
const LOOK: Duration = Duration::from_millis(500);
/// How long a stream may say nothing until its client takes it for dead.
pub(crate) const SILENCE: Duration = Duration::from_secs(3 * PING_SECONDS);

/// All clients. Dropping them ends them.
pub(crate) struct Clients {
    count: usize,
    tasks: Vec<AbortOnDropHandle<()>>,
    stop: CancellationToken,
}

impl Clients {
    /// Starts them, one after the other: an edge makes a queue for each user.
    pub(crate) async fn start(
        fleet: &Arc<Fleet>,
        cast: &Arc<Cast>,
        screens: &Arc<Screens>,
        door: &Door,
    ) -> Self {
        let tracker = TaskTracker::new();
        let mut clients = Self { count: 0, tasks: Vec::new(), stop: CancellationToken::new() };
        let (mut python, mut node) = (Vec::new(), Vec::new());
        let engines = Engine::installed().into_iter().filter(|engine| *engine != Engine::WebKit);
        let mut users = (0..USERS).map(user);
        for engine in engines {
            let user = users.next().unwrap();
            let devices: Vec<Value> = (0..DEVICES).map(|n| start_of(fleet, cast, &user, n)).collect();
            clients.count += devices.len();
            let (screens, page, stop) = (Arc::clone(screens), door.page(engine), clients.stop.clone());
            let showing = engine
                .lend(async move |browser: &mut Browser| show(browser, &page, devices, &screens, stop).await);
            clients.tasks.push(AbortOnDropHandle::new(tracker.spawn_local(showing)));
        }
        for user in users {
            for n in 0..DEVICES {
                clients.count += 1;
                match n {
                    PYTHON => python.push(start_of(fleet, cast, &user, n)),
                    NODE => node.push(start_of(fleet, cast, &user, n)),
                    _ => {
                        let client = rust::Client {
                            stream: format!("{user}/{n}"),
                            api: fleet.as_user(&user),
                            edge: fleet.to_edges.address,
                            threads: cast.of(&user).map(|thread| thread.id.clone()).collect(),
                            screens: Arc::clone(screens),
                        };
                        clients.tasks.push(AbortOnDropHandle::new(tracker.spawn(client.run())));
                        sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("storm/clients");
        let (py, js) = (here.join("python.py"), here.join("node.mjs"));
        let mut programs = [
            ("python3", vec!["-u", py.to_str().unwrap()], python),
            ("node", vec!["--experimental-eventsource", "--no-warnings", js.to_str().unwrap()], node),
        ];
        for (program, args, devices) in &mut programs {
            match run(program, args, devices, fleet).await {
                Some(process) => {
                    let screens = Arc::clone(screens);
                    clients.tasks.push(AbortOnDropHandle::new(tracker.spawn(listen(process, screens))));
                }
                None => {
                    println!("SKIPPED {program}: not installed");
                    clients.count -= devices.len();
                }
            }
        }
        clients
    }

    /// How many streams there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Ends those that have to be asked.
    pub(crate) fn end(&self) {
        self.stop.cancel();
    }
}

/// What a client of another language has to know.
fn start_of(fleet: &Fleet, cast: &Cast, user: &str, device: usize) -> Value {
    let threads: Vec<&str> = cast.of(user).map(|thread| thread.id.as_str()).collect();
    json!({
        "stream": format!("{user}/{device}"),
        "token": fleet.token(user),
        "api": format!("http://{}", fleet.to_apis.address),
        "edge": format!("http://{}", fleet.to_edges.address),
        "threads": threads,
        "silence_ms": u64::try_from(SILENCE.as_millis()).unwrap(),
    })
}

/// A program that plays some clients, named on its stdin; none if it is not installed.
async fn run(program: &str, args: &[&str], devices: &[Value], fleet: &Fleet) -> Option<(Child, ChildStdout)> {
    let log = std::fs::File::create(fleet.folder.join(format!("{program}.log"))).unwrap();
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    let mut child = command.spawn().ok()?;
    let line = format!("{}\n", Value::from(devices));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(line.as_bytes()).await.unwrap();
    let stdout = child.stdout.take().unwrap();
    Some((child, stdout))
}

async fn listen((_process, stdout): (Child, ChildStdout), screens: Arc<Screens>) {
    let mut lines = BufReader::new(stdout).lines();
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
    stop: CancellationToken,
) {
    browser.goto(page).await;
    browser.script("start(arguments[0])", vec![devices.into()]).await;
    while !stop.is_cancelled() {
        let taken = browser.script("return take()", Vec::new()).await;
        taken.as_array().unwrap().iter().for_each(|report| screens.note(report));
        sleep(LOOK).await;
    }
}

/// A list as every client reports it: none if it does not come whole.
pub(crate) async fn list(api: &Api, threads: &[String]) -> Option<(String, Value)> {
    let page = api.try_call("GET", "/v1/threads", None, &[]).await.ok()?;
    let cursor = page.body["cursor"].as_str()?.to_owned();
    let mut listed = serde_json::Map::new();
    for thread in threads {
        let messages = crate::cast::messages(api, thread).await?;
        let messages = messages.iter().map(|m| json!([m["tseq"], m["text"], m["changed"]])).collect();
        listed.insert(thread.clone(), messages);
    }
    Some((cursor, listed.into()))
}
