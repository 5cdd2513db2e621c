//! A user at the API: asks over a network that breaks, and asks again with the same key.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use domain::ids::UserId;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    deployment::Deployment,
    history::{History, Said},
};

/// How often a request is sent twice.
const DOUBLES: f64 = 0.02;

/// How often a request is sent again once it was accepted.
const REPEATS: f64 = 0.2;

/// For how long a client may ask again with one key.
const KEY_LIFE: Duration = Duration::from_hours(24);
/// For how long a user who insists asks. What breaks in such a run is mended within seconds.
const INSISTENCE: Duration = Duration::from_mins(10);

/// A user at the API.
#[derive(Clone)]
pub(crate) struct Actor {
    /// Who.
    pub(crate) user: UserId,
    deployment: Arc<Deployment>,
    history: Arc<History>,
    calm: CancellationToken,
    rng: Arc<Mutex<StdRng>>,
    /// How often a request is sent twice, a moment apart.
    pub(crate) doubles: f64,
    /// How often a request is sent again once it was accepted.
    pub(crate) repeats: f64,
    /// Whether the user asks until there is an answer.
    pub(crate) insists: bool,
}

/// What came back, or that nothing did.
type Got = Option<(StatusCode, Value)>;

/// Whether a write is answered with its thread, which nobody may see who has left it since.
fn shows_thread(path: &str) -> bool {
    !["/messages", "/members", "/seen", "/typing"].iter().any(|part| path.contains(part))
}

impl Actor {
    /// An actor whose luck follows from `seed`, until `calm`.
    pub(crate) fn new(
        user: UserId,
        deployment: Arc<Deployment>,
        history: Arc<History>,
        calm: CancellationToken,
        seed: u64,
    ) -> Self {
        Self {
            user,
            deployment,
            history,
            calm,
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            doubles: DOUBLES,
            repeats: REPEATS,
            insists: false,
        }
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>, key: Option<&str>) -> Got {
        let api = self.draw(|rng| rng.random_range(0..self.deployment.apis()));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.deployment.token(&self.user)));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let begun = Instant::now();
        let asking = self.deployment.ask_api(api, request.body(body).expect("a request"));
        let hangs_up = !self.calm.is_cancelled() && self.draw(|rng| rng.random_bool(0.02));
        let patience = if hangs_up { self.draw(|rng| rng.random_range(0..60)) } else { 3_600_000 };
        let response = timeout(Duration::from_millis(patience), asking).await.ok()??;
        let status = response.status();
        let bytes = response.into_body().collect().await.ok()?.to_bytes();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            self.history.wrong(format!("{method} {path} is answered with 500"));
        }
        if let Some(key) = key.filter(|_| status.is_client_error() && !shows_thread(path)) {
            let (pk, sk) = (format!("S#{}", self.user), format!("K#{key}"));
            let since = self.deployment.cloud.state().rows.since(pk, sk);
            if since.is_some_and(|since| since <= begun) && begun.elapsed() < KEY_LIFE {
                self.history.wrong(format!("{method} {path} was accepted, and is answered with {status}"));
            }
        }
        let lost = !self.calm.is_cancelled() && self.draw(|rng| rng.random_bool(0.02));
        if lost { None } else { Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))) }
    }

    /// Asks with one key until there is an answer that is no fault, or patience ends.
    async fn insist(&self, method: &str, path: &str, body: Option<Value>) -> Got {
        self.insist_while(|| true, method, path, body).await
    }

    /// The same, but it begins no try once `goes_on` says so.
    ///
    /// A try that was not answered may still be under way. A refusal behind it says nothing about it, so that the
    /// outcome is not known.
    async fn insist_while(
        &self,
        goes_on: impl Fn() -> bool,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Got {
        let key = self.draw(|rng| format!("k{:032x}", rng.random::<u128>()));
        let tries = if self.insists { u32::MAX } else { self.draw(|rng| rng.random_range(1..6)) };
        let (begun, mut is_under_way) = (Instant::now(), false);
        for _ in 0..tries {
            if begun.elapsed() > KEY_LIFE || !goes_on() {
                break;
            }
            if self.insists && begun.elapsed() > INSISTENCE {
                self.history.wrong(format!("{method} {path} is not answered for ten minutes"));
                break;
            }
            match self.ask_once_or_twice(method, path, body.as_ref(), &key).await {
                Some((status, _)) if status.is_client_error() && is_under_way => return None,
                Some((status, answer)) if !status.is_server_error() => {
                    // A mark of seen has no key: sent again, it marks what was said meanwhile.
                    let is_same =
                        !path.ends_with("/seen") && !path.ends_with("/accept") && !shows_thread(path);
                    if is_same && status.is_success() && self.draw(|rng| rng.random_bool(self.repeats)) {
                        self.repeat((method, path, body.as_ref()), &key, &answer).await;
                    }
                    return Some((status, answer));
                }
                Some(_) => {}
                None => is_under_way = true,
            }
            // Some ask again at once, while the writer's transaction is still being applied.
            let pause = self.draw(|rng| if rng.random_bool(0.3) { 0..60 } else { 10..4_000 });
            sleep(Duration::from_millis(self.draw(|rng| rng.random_range(pause)))).await;
        }
        None
    }

    /// Sends an accepted request again: it has the same answer, whatever has changed since.
    async fn repeat(&self, request: (&str, &str, Option<&Value>), key: &str, first: &Value) {
        let (method, path, body) = request;
        let (begun, restores) = (Instant::now(), self.history.known().restores);
        let Some((status, second)) = self.ask(method, path, body.cloned(), Some(key)).await else { return };
        let is_known = begun.elapsed() < KEY_LIFE && self.history.known().restores == restores;
        let is_same =
            status.is_success() && (&first["tseq"], &first["id"]) == (&second["tseq"], &second["id"]);
        if is_known && !status.is_server_error() && !is_same {
            self.history.wrong(format!(
                "{method} {path} is answered with {first}, and repeated with {status} {second}"
            ));
        }
    }

    /// Asks, and perhaps once more before the answer: two that succeed say the same.
    async fn ask_once_or_twice(&self, method: &str, path: &str, body: Option<&Value>, key: &str) -> Got {
        let once = || self.ask(method, path, body.cloned(), Some(key));
        // Nobody insists on the second of two marks of seen, which may mark more than the first.
        let is_once = self.insists && path.ends_with("/seen");
        if is_once || !self.draw(|rng| rng.random_bool(self.doubles)) {
            return once().await;
        }
        let pause = Duration::from_millis(self.draw(|rng| rng.random_range(0..100)));
        let begun = Instant::now();
        let again = async {
            sleep(pause).await;
            // Days may have passed meanwhile, and a key that nobody knows any more writes again.
            if begun.elapsed() > KEY_LIFE { None } else { once().await }
        };
        let answers = tokio::join!(once(), again);
        if let (Some((one, first)), Some((other, second))) = &answers
            && one.is_success()
            && other.is_success()
            && (&first["tseq"], &first["id"]) != (&second["tseq"], &second["id"])
        {
            self.history.wrong(format!("{method} {path} with one key is answered with {first} and {second}"));
        }
        let is_success = |got: &Got| got.as_ref().is_some_and(|(status, _)| status.is_success());
        match answers {
            (one, _) if is_success(&one) => one,
            // Of two copies one may be refused and the other accepted: the sender has joined meanwhile.
            (Some(_), other) => other,
            (None, other) => other.filter(|(status, _)| status.is_success()),
        }
    }

    /// Reads something: nothing, if it is not there for this user.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, ()> {
        match self.ask("GET", path, None, None).await {
            Some((StatusCode::OK, body)) => Ok(Some(body)),
            Some((StatusCode::NOT_FOUND, _)) => Ok(None),
            _ => Err(()),
        }
    }

    /// The cursor and the ids of all threads.
    pub(crate) async fn threads(&self) -> Option<(String, Vec<String>)> {
        let (mut cursor, mut ids, mut path) = (None, Vec::new(), "/v1/threads?limit=100".to_owned());
        loop {
            let page = self.get(&path).await.ok()??;
            cursor = cursor.or_else(|| page["cursor"].as_str().map(str::to_owned));
            ids.extend(page["items"].as_array()?.iter().filter_map(|t| t["id"].as_str().map(str::to_owned)));
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/threads?limit=100&after={next}"),
                None => return Some((cursor?, ids)),
            }
        }
    }

    /// All threads as a list shows them. Nothing fails.
    pub(crate) async fn list(&self) -> Vec<Value> {
        let (mut items, mut path) = (Vec::new(), "/v1/threads?limit=100".to_owned());
        loop {
            let Ok(Some(page)) = self.get(&path).await else {
                self.history.wrong(format!("a list of {} fails in peace", self.user));
                return items;
            };
            items.extend(page["items"].as_array().into_iter().flatten().cloned());
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/threads?limit=100&after={next}"),
                None => return items,
            }
        }
    }

    /// Says something that nobody else says.
    pub(crate) async fn say(&self, thread: &str, text: &str) {
        self.send(thread, text, json!({ "text": text })).await;
    }

    /// The same, now and then with more than a text.
    pub(crate) async fn say_richly(&self, thread: &str, text: &str) {
        let mut body = json!({ "text": text });
        self.adorn(thread, &mut body);
        self.send(thread, text, body).await;
    }

    async fn send(&self, thread: &str, text: &str, body: Value) {
        let from = self.user.as_str().into();
        let said = Said { thread: thread.into(), from, tseq: None, refused: false };
        self.history.known().said.insert(text.into(), said);
        let path = format!("/v1/threads/{thread}/messages");
        let is_blocked = || self.history.known().is_blocked_in(thread, &self.user);
        let was_blocked = is_blocked();
        let Some((status, message)) = self.insist("POST", &path, Some(body)).await else { return };
        if was_blocked && is_blocked() && status.is_success() {
            self.history.wrong(format!("{} wrote `{text}` to one who has blocked them", self.user));
        }
        let mut known = self.history.known();
        let said = known.said.get_mut(text).expect("just put there");
        if status.is_success() {
            said.tseq = message["tseq"].as_u64();
            if message["text"] != text {
                known.wrong.push(format!("`{text}` is answered with {message}"));
            }
        } else {
            said.refused = true;
        }
    }

    /// Gives some messages data, a file, a mention, or a message to reply to.
    fn adorn(&self, thread: &str, body: &mut Value) {
        let kind = self.draw(|rng| rng.random_range(0..8));
        let known = self.history.known();
        let told =
            known.said.values().filter(|said| said.thread == thread).filter_map(|said| said.tseq).max();
        match (kind, told) {
            (0, _) => body["data"] = json!({"mood": {"n": 1}}),
            (1, _) => {
                body["attachments"] = json!([{"url": "https://files.example/a.png", "type": "image/png"}]);
            }
            (2, _) => body["mentions"] = json!([self.user.as_str()]),
            (3, Some(tseq)) => body["reply_to"] = json!(tseq),
            _ => {}
        }
    }

    /// Creates a thread, and answers with its id.
    pub(crate) async fn create(&self, body: Value) -> Option<String> {
        let (status, thread) = self.insist("POST", "/v1/threads", Some(body)).await?;
        let id = thread["id"].as_str().filter(|_| status.is_success())?;
        let mut known = self.history.known();
        let members = thread["members"].as_array().into_iter().flatten();
        let members = members.filter_map(|m| UserId::parse(m["user"].as_str()?).ok()).collect();
        known.members.insert(id.to_owned(), members);
        if !known.threads.iter().any(|thread| thread == id) {
            known.threads.push(id.to_owned());
        }
        Some(id.to_owned())
    }

    /// Puts a member in, or takes one out.
    pub(crate) async fn change(&self, thread: &str, user: &UserId, added: bool) {
        let method = if added { "PUT" } else { "DELETE" };
        let path = format!("/v1/threads/{thread}/members/{}", user.as_str());
        if let Some((StatusCode::NO_CONTENT, _)) = self.insist(method, &path, None).await {
            let mut known = self.history.known();
            let members = known.members.entry(thread.to_owned()).or_default();
            if added {
                members.insert(user.clone());
            } else {
                members.remove(user);
            }
        }
    }

    /// Puts several members in at once.
    pub(crate) async fn add_all(&self, thread: &str, users: &[UserId]) {
        let path = format!("/v1/threads/{thread}/members");
        if let Some((StatusCode::NO_CONTENT, _)) =
            self.insist("POST", &path, Some(json!({ "users": users }))).await
        {
            let mut known = self.history.known();
            known.members.entry(thread.to_owned()).or_default().extend(users.iter().cloned());
        }
    }

    /// Accepts an invitation, or allows others to add the user again.
    pub(crate) async fn accept(&self, thread: &str) {
        let of = (thread.to_owned(), self.user.as_str().to_owned());
        self.history.known().accepting.insert(of.clone());
        if let Some((StatusCode::NO_CONTENT, _)) =
            self.insist("POST", &format!("/v1/threads/{thread}/accept"), None).await
        {
            self.history.known().accepted.insert(of);
        }
    }

    /// Blocks another user, or unblocks them.
    pub(crate) async fn block(&self, other: &UserId, blocks: bool) {
        let (pair, path) = ((self.user.clone(), other.clone()), format!("/v1/me/blocks/{other}"));
        let restores = {
            let mut known = self.history.known();
            if blocks {
                known.blocking.insert(pair.clone());
            } else {
                known.blocks.remove(&pair);
                known.unblocking.insert(pair.clone());
            }
            known.restores
        };
        let method = if blocks { "PUT" } else { "DELETE" };
        let answer = self.insist(method, &path, None).await;
        let mut known = self.history.known();
        let is_known = blocks && known.restores == restores && !known.unblocking.contains(&pair);
        if is_known && matches!(answer, Some((StatusCode::NO_CONTENT, _))) {
            known.blocks.insert(pair, restores);
        }
    }

    /// Gives a member a role, or tries to.
    pub(crate) async fn appoint(&self, thread: &str, user: &UserId, how: u8) {
        let role = match how {
            0..6 => "moderator",
            6..8 => "member",
            _ => "owner",
        };
        let path = format!("/v1/threads/{thread}/members/{}", user.as_str());
        let answer = self.insist("PUT", &path, Some(json!({ "role": role }))).await;
        if let Some((StatusCode::NO_CONTENT, _)) = answer {
            self.history.known().members.entry(thread.to_owned()).or_default().insert(user.clone());
        }
    }

    /// Says something, takes a member out, and then says it differently. The member is told of the first words at most; where
    /// they are put in again, of what is said from then on.
    pub(crate) async fn part(&self, thread: &str, text: &str, member: &UserId, returns: bool) {
        let restores = self.history.known().restores;
        // Behind a restore another message may have the place of this one.
        let is_there = || self.history.known().restores == restores;
        self.say(thread, text).await;
        self.change(thread, member, false).await;
        let said = self.history.known().said[text].clone();
        if is_there() {
            self.touch(text, &said, 1).await;
        }
        if returns {
            self.change(thread, member, true).await;
            // Some members have a stream again by then.
            sleep(Duration::from_millis(self.draw(|rng| rng.random_range(0..10_000)))).await;
            if is_there() {
                self.touch(text, &said, 2).await;
            }
        }
    }

    /// Marks a thread as seen, as far as it goes or some way back.
    pub(crate) async fn mark(&self, thread: &str, number: u64) {
        let path = format!("/v1/threads/{thread}/seen");
        let answer = self.insist("POST", &path, Some(json!({ "number": number }))).await;
        if let Some((StatusCode::OK, seen)) = answer {
            let marked = seen["number"].as_u64().unwrap_or(0);
            let mut known = self.history.known();
            let before = known.seen.entry((thread.to_owned(), self.user.as_str().to_owned())).or_default();
            *before = marked.max(*before);
        }
    }

    /// Changes a message that the user has said, or reacts to one that somebody has. Moderators delete others' as well.
    pub(crate) async fn touch(&self, text: &str, said: &Said, how: u8) {
        let Some(tseq) = said.tseq else { return };
        let path = format!("/v1/threads/{}/messages/{tseq}", said.thread);
        // Behind a restore another message may have the place of this one.
        let restores = self.history.known().restores;
        let same = || self.history.known().restores == restores;
        let own = said.from == self.user.as_str();
        let reaction = format!("{path}/reactions/%F0%9F%91%8D");
        match how {
            0 => drop(self.insist_while(same, "DELETE", &path, None).await),
            1..4 if own => {
                let body = match how {
                    3 => json!({ "data": {"edited": true}, "attachments": [] }),
                    _ => json!({ "text": format!("{text}, or rather {how}") }),
                };
                self.insist_while(same, "PATCH", &path, Some(body)).await;
            }
            4..7 => drop(self.insist_while(same, "PUT", &reaction, None).await),
            7..9 => drop(self.insist_while(same, "DELETE", &reaction, None).await),
            _ => {
                let body = json!({ "title": format!("as of {text}") });
                self.insist("PATCH", &format!("/v1/threads/{}", said.thread), Some(body)).await;
            }
        }
    }

    /// Types.
    pub(crate) async fn types(&self, thread: &str) {
        self.ask("POST", &format!("/v1/threads/{thread}/typing"), Some(json!({"state": "started"})), None)
            .await;
    }
}
