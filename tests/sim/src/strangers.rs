//! A run among strangers: nothing breaks, and users try what they may not do. They flood, use revoked tokens, name other
//! users, read threads of others, and post to queues.

use std::time::Duration;

use axum::body::Body;
use domain::{
    cursor::Cursor,
    envelope::{Envelope, News, Recipient},
    event::EventName,
};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json, value::RawValue};
use server::{auth::scope::Scope, aws::Configs};
use sse_edge::config::EdgeArgs;
use store::table::counter::Rate;
use tokio::time::sleep;

use crate::{
    deployment::Fleet,
    stage::{Outcome, Stage},
};

/// One run of so many.
const EVERY: u64 = 25;
/// The first of them.
const FIRST: u64 = 8;
/// Messages of one user in each window of this length (docs/WIRE.md).
const SENDS: usize = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// Changes of one user's reactions under one message in a minute.
const TOGGLES: usize = 10;
/// A revocation counts everywhere after this long.
const REVOKED: Duration = Duration::from_secs(10);
/// Something that was written is shown.
const SOON: Duration = Duration::from_secs(3);

/// Whether the run of a seed is one among strangers.
pub(crate) const fn is_among_strangers(seed: u64) -> bool {
    seed % EVERY == FIRST
}

/// A run among strangers: users 0 and 1 talk, user 2 is in their group, and user 3 is a stranger.
pub(crate) struct Strangers {
    stage: Stage,
    /// The token of each user.
    tokens: Vec<String>,
    /// The thread of users 0 and 1.
    direct: String,
    /// The group of users 0, 1 and 2.
    group: String,
}

/// A request of one user to one API.
struct Ask<'a> {
    api: usize,
    token: &'a str,
    method: &'a str,
    path: String,
    body: Option<Value>,
    key: Option<String>,
    /// For whom a service acts.
    acts_for: Option<&'a str>,
}

impl Ask<'_> {
    fn of<'a>(token: &'a str, method: &'a str, path: String) -> Ask<'a> {
        Ask { api: 0, token, method, path, body: None, key: None, acts_for: None }
    }
}

impl Strangers {
    /// Runs a seed.
    pub(crate) async fn simulate(seed: u64, base: &Configs, traced: bool) -> Outcome {
        let mut rng = StdRng::seed_from_u64(seed);
        // Comparisons with the user row would hide a missed notification.
        let config = EdgeArgs { head_check: Duration::from_hours(1), ..EdgeArgs::default() };
        let mut stage =
            Stage::set(seed, base, traced, Fleet { rate: Rate::Exact, ..Fleet::of(config, 2) }).await;
        stage.people(&mut rng, &(1..=1), 0.0);
        stage.calm.cancel();
        let tokens: Vec<String> =
            stage.actors.iter().map(|actor| stage.deployment.token(&actor.user)).collect();
        let mut run = Self { stage, tokens, direct: String::new(), group: String::new() };
        run.direct = run.thread(json!({"members": ["user1"]})).await;
        run.group = run.thread(json!({"members": ["user1", "user2"], "title": "all"})).await;
        for device in &run.stage.devices {
            let (calm, stop) = (run.stage.calm.clone(), run.stage.stop.clone());
            run.stage.tracker.spawn(device.clone().run(rng.random(), calm, stop));
        }
        sleep(SOON).await;
        run.invited().await;
        run.flood().await;
        run.toggle().await;
        run.services().await;
        run.read().await;
        run.forge().await;
        run.revoke().await;
        sleep(Duration::from_mins(2)).await;
        run.stage.end(false)
    }

    async fn thread(&self, body: Value) -> String {
        let ask = Ask { body: Some(body), ..self.by(0, "POST", "/v1/threads".into()) };
        let (_, thread) = self.ask(ask).await;
        thread["id"].as_str().expect("nothing fails in this run").to_owned()
    }

    fn by<'a>(&'a self, user: usize, method: &'a str, path: String) -> Ask<'a> {
        Ask::of(&self.tokens[user], method, path)
    }

    async fn ask(&self, ask: Ask<'_>) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header("authorization", format!("Bearer {}", ask.token))
            .header("content-type", "application/json");
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(user) = ask.acts_for {
            request = request.header("runnel-user", user);
        }
        let body = ask.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = self.stage.deployment.ask_api(ask.api, request.body(body).expect("a request")).await;
        let answer = answer.expect("nothing fails in this run");
        let status = answer.status();
        self.stage.history.known().operations += 1;
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Sends a message, and answers with the status.
    async fn say(&self, user: usize, api: usize, key: &str) -> u16 {
        let path = format!("/v1/threads/{}/messages", self.direct);
        let ask = Ask { api, key: Some(key.into()), ..self.by(user, "POST", path) };
        self.ask(Ask { body: Some(json!({ "text": key })), ..ask }).await.0.as_u16()
    }

    /// Records a result that differs from the expected one.
    fn expect<T: PartialEq + std::fmt::Debug>(&self, what: &str, is: &T, wanted: &T) {
        if is != wanted {
            self.stage.history.wrong(format!("{what}: {is:?}, not {wanted:?}"));
        }
    }

    /// Waits for a time that lies a second within a window.
    async fn next_window(&self) {
        let window = i64::try_from(WINDOW.as_millis()).expect("short");
        let passed = self.stage.deployment.clock.now().as_millisecond().rem_euclid(window);
        let left = u64::try_from(window - passed).expect("positive");
        sleep(Duration::from_millis(left + 1_000)).await;
    }

    /// Members whom another has made members are invited first.
    async fn invited(&self) {
        for thread in [&self.direct, &self.group] {
            let (_, thread) = self.ask(self.by(1, "GET", format!("/v1/threads/{thread}"))).await;
            self.expect("the state of a thread that another has begun", &thread["state"], &json!("invited"));
        }
    }

    /// One user sends three times as much as they may, to all processes in turn, and asks for what was accepted again.
    async fn flood(&self) {
        self.next_window().await;
        let mut accepted = Vec::new();
        for n in 0..3 * SENDS {
            let key = format!("flood{n}");
            match self.say(0, n % 2, &key).await {
                201 => accepted.push(key),
                status => self.expect("a message above the limit", &status, &429),
            }
        }
        self.expect("messages that are accepted in one window", &accepted.len(), &SENDS);
        self.expect("a message of another user", &self.say(1, 0, "calm").await, &201);
        for (n, key) in accepted.iter().enumerate() {
            self.expect("an accepted message, asked for again", &self.say(0, n % 2, key).await, &200);
        }
        // Copies do not count.
        self.next_window().await;
        for n in 0..SENDS {
            let key = format!("copied{n}");
            for (copy, status) in [(0, 201), (1, 200)] {
                self.expect("a message or its copy", &self.say(0, copy, &key).await, &status);
            }
        }
    }

    /// A member puts a reaction under one message, and takes it away, again and again.
    async fn toggle(&self) {
        let mut changed = 0;
        for n in 0..2 * TOGGLES {
            let method = if n % 2 == 0 { "PUT" } else { "DELETE" };
            let path = format!("/v1/threads/{}/messages/2/reactions/+1", self.direct);
            changed += usize::from(self.ask(self.by(1, method, path)).await.0 == StatusCode::OK);
        }
        self.expect("changes of one reaction in a minute", &changed, &TOGGLES);
    }

    /// A back end acts for a user with keys of its own. A user does not act for another.
    async fn services(&self) {
        let path = || format!("/v1/threads/{}/messages", self.group);
        let say = |text: &str| Some(json!({ "text": text }));
        let own = Ask { body: say("own"), key: Some("shared".into()), ..self.by(1, "POST", path()) };
        self.expect("a message", &self.ask(own).await.0.as_u16(), &201);
        let backend = self.stage.deployment.service("backend", &[Scope::Act]);
        let acted =
            Ask { key: Some("shared".into()), acts_for: Some("user1"), ..Ask::of(&backend, "POST", path()) };
        let acted = self.ask(Ask { body: say("for user1"), ..acted }).await;
        self.expect("a message of a service with a key that the user has used", &acted.0.as_u16(), &201);
        let pretends = Ask { body: say("as user1"), acts_for: Some("user1"), ..self.by(3, "POST", path()) };
        self.expect("a user who names another", &self.ask(pretends).await.0.as_u16(), &403);
        let unscoped = self.stage.deployment.service("other", &[Scope::Users]);
        let acts =
            Ask { body: say("as user1"), acts_for: Some("user1"), ..Ask::of(&unscoped, "POST", path()) };
        self.expect("a service without the scope", &self.ask(acts).await.0.as_u16(), &403);
    }

    /// A stranger and a former member read.
    async fn read(&self) {
        let messages = |thread: &str| format!("/v1/threads/{thread}/messages");
        for thread in [&self.direct, &self.group] {
            let (status, _) = self.ask(self.by(3, "GET", messages(thread))).await;
            self.expect("a stranger who reads", &status.as_u16(), &404);
        }
        // Each process has met the member, and one of them hears of the removal.
        for api in 0..2 {
            let ask = Ask { api, ..self.by(2, "GET", messages(&self.group)) };
            self.expect("a member who reads", &self.ask(ask).await.0.as_u16(), &200);
        }
        let removal = self.by(0, "DELETE", format!("/v1/threads/{}/members/user2", self.group));
        self.expect("the removal of a member", &self.ask(removal).await.0.as_u16(), &204);
        for api in 0..2 {
            let ask = Ask { api, ..self.by(2, "GET", messages(&self.group)) };
            self.expect("a former member who reads", &self.ask(ask).await.0.as_u16(), &404);
        }
    }

    /// A principal of the account posts what would be the next event of a user. The devices would show it.
    async fn forge(&self) {
        let user = &self.stage.actors[1].user;
        let cursor = self.stage.devices[1].page().cursor.clone().unwrap_or_default();
        let Ok(Cursor { r#gen, seq }) = cursor.parse() else {
            return self.stage.history.wrong(format!("{user} is shown nothing"));
        };
        let place = Cursor { r#gen, seq: seq.next() };
        let data =
            json!({"thread": self.direct, "tseq": 1_000, "number": 1_000, "from": "user0", "text": "forged"});
        let data = RawValue::from_string(data.to_string()).expect("it is JSON");
        let envelope = Envelope {
            to: vec![Recipient { user: user.as_str(), place: Some(place) }],
            news: Some(News { event: EventName::Message, data, echo: None }),
        };
        for _ in 0..8 {
            self.stage.deployment.cloud.litter(&envelope.encode());
        }
        sleep(SOON).await;
    }

    /// A user signs out everywhere. Nothing takes the token any more, and their device is shown nothing until they sign in
    /// again.
    async fn revoke(&self) {
        let device = &self.stage.devices[3];
        self.next_window().await;
        let thread = self.thread(json!({"members": ["user3"]})).await;
        // Both processes know that the token counts.
        for api in 0..2 {
            let ask = Ask { api, ..self.by(3, "GET", "/v1/threads".into()) };
            self.expect("a token", &self.ask(ask).await.0.as_u16(), &200);
        }
        sleep(SOON).await;
        let is_shown = |tseq: u64| {
            device.page().threads.get(&thread).is_some_and(|shown| shown.messages.contains_key(&tseq))
        };
        let say = async || {
            let ask = self.by(0, "POST", format!("/v1/threads/{thread}/messages"));
            let (status, message) = self.ask(Ask { body: Some(json!({"text": "private"})), ..ask }).await;
            self.expect("a message", &status.as_u16(), &201);
            sleep(SOON).await;
            message["tseq"].as_u64().unwrap_or(0)
        };
        self.expect("a message is shown", &is_shown(say().await), &true);
        self.stage.history.known().signed_out.insert(device.user.clone());
        let end = self.by(3, "DELETE", "/v1/session?everywhere=true".into());
        self.expect("the end of all sessions", &self.ask(end).await.0.as_u16(), &204);
        sleep(SOON).await;
        let later = say().await;
        self.expect("a message is shown to a device that is signed out", &is_shown(later), &false);
        sleep(REVOKED).await;
        for api in 0..2 {
            for path in ["/v1/threads".to_owned(), format!("/v1/threads/{thread}/messages")] {
                let ask = Ask { api, ..self.by(3, "GET", path) };
                self.expect("a revoked token", &self.ask(ask).await.0.as_u16(), &401);
            }
        }
        self.expect("a message is shown to a device that is signed out", &is_shown(later), &false);
        self.stage.deployment.sign_out(&device.user);
        // A device may be asking with the token of before.
        sleep(SOON).await;
        self.stage.history.known().signed_out.clear();
    }
}
