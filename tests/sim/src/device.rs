//! One device of a user: a page that lists, opens an `EventSource`, shows what comes, and checks
//! every frame against what was promised.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::body::Body;
use bytes::Bytes;
use domain::ids::UserId;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    actor::Actor,
    cloud::Network,
    deployment::Deployment,
    history::History,
    judge,
    page::{Page, Shown},
};

/// Silence after which a page opens its stream anew: two and a half pings.
const SILENCE: Duration = Duration::from_millis(37_500);

/// A device, shared between its own task and the judges.
pub(crate) struct Device {
    /// Whose it is.
    pub(crate) user: UserId,
    /// Which of theirs.
    pub(crate) name: String,
    actor: Actor,
    deployment: Arc<Deployment>,
    history: Arc<History>,
    /// How often its page is loaded anew.
    reloads: f64,
    state: Mutex<Page>,
}

/// How a connection is to end, unless the service ends it.
struct Line {
    /// The edge at its other end.
    network: Network,
    cut_at: Instant,
    stalls: bool,
}

/// The first frame of a stream, and the cursor that it has to carry.
struct Opening {
    over: bool,
    brought: Option<String>,
}

impl Device {
    /// A device that has not opened anything yet.
    pub(crate) fn new(
        (user, name): (UserId, String),
        actor: Actor,
        deployment: Arc<Deployment>,
        history: Arc<History>,
        reloads: f64,
    ) -> Self {
        Self { user, name, actor, deployment, history, reloads, state: Mutex::default() }
    }

    /// What its page shows.
    pub(crate) fn page(&self) -> MutexGuard<'_, Page> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Uses the service until `stop`. While `calm` is not cancelled, its network is bad.
    pub(crate) async fn run(self: Arc<Self>, seed: u64, calm: CancellationToken, stop: CancellationToken) {
        let mut rng = StdRng::seed_from_u64(seed);
        let life = async {
            sleep(Duration::from_millis(rng.random_range(0..2_000))).await;
            loop {
                let retry = self.connect(&mut rng, &calm, None).await;
                sleep(retry).await;
            }
        };
        stop.run_until_cancelled(life).await;
    }

    /// Uses one edge over a good network, until it is dropped.
    pub(crate) async fn sit(self: Arc<Self>, seed: u64, edge: usize) {
        let calm = CancellationToken::new();
        calm.cancel();
        let mut rng = StdRng::seed_from_u64(seed);
        self.page().greeted = None;
        loop {
            let retry = self.connect(&mut rng, &calm, Some(edge)).await;
            self.page().greeted = None;
            sleep(retry).await;
        }
    }

    /// Lists if that is due, opens a stream at an edge, shows what comes until it ends; says how long
    /// to wait then.
    async fn connect(&self, rng: &mut StdRng, calm: &CancellationToken, edge: Option<usize>) -> Duration {
        let again = Duration::from_millis(rng.random_range(500..3_000));
        if rng.random_bool(self.reloads) && !calm.is_cancelled() {
            // The page is loaded anew.
            *self.page() = Page::default();
        }
        if !self.page().listed && !self.list().await {
            return again;
        }
        if rng.random_bool(0.01) && !calm.is_cancelled() {
            self.page().come_from_elsewhere();
        }
        let brought = self.page().cursor.clone();
        let mut request = Request::get("/v1/events")
            .header("authorization", format!("Bearer {}", self.deployment.token(&self.user)));
        if let Some(cursor) = &brought {
            request = request.header("last-event-id", cursor);
        }
        let request = request.body(Body::empty()).expect("a request");
        let edge = edge.unwrap_or_else(|| rng.random_range(0..self.deployment.edges()));
        let Some((response, network)) = self.deployment.ask_edge(edge, request).await else { return again };
        if response.status() == StatusCode::NO_CONTENT && self.history.known().signed_out.contains(&self.user)
        {
            return again;
        }
        if response.status() != StatusCode::OK {
            self.wrong(&format!("a stream is answered with {}", response.status()));
            return again;
        }
        // Some lines are good, and only what the service does brings their streams up to date.
        let good = calm.is_cancelled() || rng.random_bool(0.45);
        let life = if good { 86_400_000 } else { rng.random_range(100..40_000) };
        let line = Line {
            network: network.clone(),
            cut_at: Instant::now() + Duration::from_millis(life),
            stalls: !calm.is_cancelled() && rng.random_bool(0.2),
        };
        let mut opening = Opening { over: false, brought };
        let reading = self.read(response.into_body(), &mut opening, rng, line, calm);
        tokio::select! {
            biased;
            () = network.dead.cancelled() => Duration::from_millis(2_000),
            retry = reading => retry.max(Duration::from_millis(100)),
        }
    }

    async fn read(
        &self,
        mut body: Body,
        opening: &mut Opening,
        rng: &mut StdRng,
        line: Line,
        calm: &CancellationToken,
    ) -> Duration {
        let (mut retry, mut pending) = (Duration::from_secs(3), String::new());
        loop {
            if line.stalls && rng.random_bool(0.3) && !calm.is_cancelled() {
                // A slow reader.
                sleep(Duration::from_millis(rng.random_range(0..3_000))).await;
            }
            let until = line.cut_at.min(Instant::now() + SILENCE);
            let next = async {
                let frame = body.frame().await;
                line.network.awake().await;
                frame
            };
            let Ok(Some(Ok(frame))) = timeout_at(until, next).await else { return retry };
            let bytes: Bytes = frame.into_data().unwrap_or_default();
            // The line may break at any byte; what is behind the last blank line is dropped.
            let broken = !calm.is_cancelled() && rng.random_bool(0.005);
            let length = if broken { rng.random_range(0..=bytes.len()) } else { bytes.len() };
            pending.push_str(&String::from_utf8_lossy(&bytes[..length]));
            while let Some((block, rest)) = pending.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                pending = rest;
                if let Some(ms) = self.show(&block, opening) {
                    retry = Duration::from_millis(ms);
                }
                if !self.page().listed {
                    return Duration::from_millis(100);
                }
            }
            if broken {
                return retry;
            }
        }
    }

    /// Shows one block; answers with its `retry`.
    fn show(&self, block: &str, opening: &mut Opening) -> Option<u64> {
        let (mut event, mut data, mut id, mut retry) = (String::new(), Value::Null, String::new(), None);
        for line in block.split('\n').filter(|line| !line.starts_with(':')) {
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap_or(Value::Null),
                Some(("id", text)) => text.clone_into(&mut id),
                Some(("retry", ms)) => retry = ms.parse().ok(),
                _ => self.wrong(&format!("a line that is no field: {line:?}")),
            }
        }
        self.history.known().frames += 1;
        let mut page = self.page();
        if !std::mem::replace(&mut opening.over, true) {
            if event != "hello" && event != "bye" {
                self.wrong(&format!("a stream begins with {event}"));
            }
            if let Some(brought) = opening.brought.as_ref().filter(|brought| **brought != id) {
                self.wrong(&format!("{event} moves the cursor from {brought} to {id}"));
            }
            if event == "hello" {
                page.cursor = Some(id);
                page.greeted = Some(Instant::now());
            }
            return retry;
        }
        let own = page.cursor.clone().unwrap_or_default();
        match event.as_str() {
            "typing" | "ping" | "presence" | "bye" => {
                if id != own {
                    self.wrong(&format!("{event} moves the cursor from {own} to {id}"));
                }
            }
            "reset" => {
                let reason = data["reason"].as_str().unwrap_or_default().to_owned();
                let mut known = self.history.known();
                let foreign = page.foreign || page.restores < known.restores;
                if !(foreign && reason == "generation") {
                    *known.resets.entry(reason).or_default() += 1;
                }
                *page = Page { cursor: Some(id), restores: known.restores, ..Page::default() };
            }
            "hello" => self.wrong("a second hello"),
            _ => {
                if next(&own) != Some(id.clone()) {
                    self.wrong(&format!("{event} at {id} follows {own}: {data}"));
                }
                self.recorded(&id, &event, &data);
                page.cursor = Some(id);
                self.apply(&mut page, &event, &data);
            }
        }
        retry
    }

    /// Two devices, or one device twice, never see two things at one place of an inbox.
    fn recorded(&self, id: &str, event: &str, data: &Value) {
        let place = (self.user.as_str().to_owned(), id.to_owned());
        let mut known = self.history.known();
        let first = known.shown.entry(place).or_insert_with(|| (event.to_owned(), data.clone()));
        // A message that comes late comes as it is then.
        let changes = matches!(event, "message" | "edit");
        let same = if changes { first.1["tseq"] == data["tseq"] } else { first.1 == *data };
        if first.0 != event || !same {
            let wrong = format!("{}: at {id} was {first:?}, is {event} {data}", self.name);
            known.wrong.push(wrong);
        }
    }

    fn apply(&self, page: &mut Page, event: &str, data: &Value) {
        let thread = match event {
            "thread" => data["thread"]["id"].as_str(),
            _ => data["thread"].as_str(),
        };
        let shown = page.threads.entry(thread.unwrap_or_default().to_owned()).or_default();
        if event == "seen" {
            let (user, number) =
                (data["user"].as_str().unwrap_or_default(), data["number"].as_u64().unwrap_or(0));
            let seen = shown.seen.entry(user.to_owned()).or_default();
            *seen = number.max(*seen);
            return;
        }
        if event == "me" {
            return;
        }
        let Some(tseq) = data["tseq"].as_u64() else {
            return self.wrong(&format!("a logged event without tseq: {data}"));
        };
        let mut others = data["others"].as_array().into_iter().flatten();
        let is_own = data["user"] == self.user.as_str() || others.any(|other| other == self.user.as_str());
        let joins = event == "member" && data["change"] == "added" && is_own;
        if joins {
            // A page reads a thread that it comes to know: others have read it before.
            page.listed = false;
            return;
        }
        match shown.told {
            Some(told) if tseq != told + 1 => {
                self.wrong(&format!("{event} {tseq} of {thread:?} follows {told}"));
            }
            _ => {}
        }
        shown.told = Some(tseq);
        if !shown.streamed.insert(tseq) {
            self.wrong(&format!("{event} {tseq} of {thread:?} is shown twice"));
        }
        let message = if event == "edit" { &data["message"] } else { &data["tseq"] };
        self.history.shown(&self.user, thread.unwrap_or_default(), message, &data["text"]);
        match event {
            "message" => {
                if !data["key"].is_null() && data["from"] != self.user.as_str() {
                    self.wrong(&format!("is told the key of another: {data}"));
                }
                shown.say(tseq, data);
            }
            "edit" | "delete" | "reaction" => shown.change(event, tseq, data),
            _ => {}
        }
    }

    async fn list(&self) -> bool {
        let listed = self.look().await;
        let done = listed.is_some();
        if let Some(page) = listed {
            *self.page() = page;
        }
        done
    }

    /// Lists threads, then what is in them: the cursor first, the state second.
    pub(crate) async fn look(&self) -> Option<Page> {
        let restores = self.history.known().restores;
        let (cursor, ids) = self.actor.threads().await?;
        let mut threads = BTreeMap::new();
        for id in ids {
            // One that the user has left meanwhile is no error.
            let shown = self.snapshot(&id).await.ok()?;
            threads.extend(shown.map(|shown| (id, shown)));
        }
        let cloud = &self.deployment.cloud;
        if let Some(wrong) = judge::listed(cloud, self.user.as_str(), &cursor, &threads)
            && self.history.known().restores == restores
        {
            self.wrong(&wrong);
        }
        Some(Page { cursor: Some(cursor), restores, listed: true, threads, ..Page::default() })
    }

    async fn snapshot(&self, id: &str) -> Result<Option<Shown>, ()> {
        let mut shown = Shown { is_listed: true, ..Shown::default() };
        let Some(thread) = self.actor.get(&format!("/v1/threads/{id}")).await? else { return Ok(None) };
        for (user, number) in thread["seen_by"].as_object().into_iter().flatten() {
            shown.seen.insert(user.clone(), number.as_u64().unwrap_or(0));
        }
        let mut next = String::new();
        loop {
            let path = format!("/v1/threads/{id}/messages?limit=100{next}");
            let Some(page) = self.actor.get(&path).await? else { return Ok(None) };
            for message in page["items"].as_array().into_iter().flatten() {
                self.history.shown(&self.user, id, &message["tseq"], &message["text"]);
                shown.say(message["tseq"].as_u64().unwrap_or(0), message);
            }
            match page["next"].as_str() {
                Some(token) => next = format!("&before={token}"),
                None => return Ok(Some(shown)),
            }
        }
    }

    fn wrong(&self, what: &str) {
        self.history.wrong(format!("{}: {what}", self.name));
    }
}

/// The place behind a cursor.
fn next(cursor: &str) -> Option<String> {
    let (generation, seq) = cursor.split_once('.')?;
    Some(format!("{generation}.{}", seq.parse::<u64>().ok()? + 1))
}
