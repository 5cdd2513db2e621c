//! What an engine does when it is told to come back, later or never.

use std::time::Duration;

use domain::{ids::UserId, limits};
use serde_json::{Value, json};
use server::{clock::Clock, listener};
use sse_edge::config::{EdgeArgs, Topology};
use tests::{
    browser::{Browser, PATIENCE},
    engine::Engine,
    world::{World, until},
};
use tokio::time::{Instant, sleep};

use crate::{
    passage::{Cut, How, Plan},
    proxy::Proxy,
};

/// `retry` of the edges, in milliseconds.
pub(crate) const RETRY_MS: u32 = 1_000;
/// How much later than asked an engine may come: Firefox adds half a second, and machines are busy.
const LATE: Duration = Duration::from_secs(3);
/// In the data of hello, behind its `retry`.
const IN_HELLO: Cut = Cut { at: 60, how: How::Fin };
/// Between two looks at a page.
const LOOK: Duration = Duration::from_millis(20);
/// `readyState` of an `EventSource` that is on its way back, and of one that has given up.
const CONNECTING: u8 = 0;
const CLOSED: u8 = 2;

/// Two edges, and one that has no room.
pub(crate) struct Doors<'a> {
    world: World,
    proxy: Proxy,
    browser: &'a mut Browser,
    engine: Engine,
}

/// What a page was shown, and the state of its stream.
#[derive(Debug)]
struct Looked {
    state: u8,
    shown: Vec<(String, Value, String)>,
}

impl Looked {
    fn all(&self, event: &str) -> Vec<&(String, Value, String)> {
        self.shown.iter().filter(|shown| shown.0 == event).collect()
    }
}

impl<'a> Doors<'a> {
    /// Opens them.
    pub(crate) async fn open(engine: Engine, browser: &'a mut Browser) -> Self {
        let mut world = World::start(Topology::PerUser, 0).await;
        let retry_ms = format!("{RETRY_MS}-{RETRY_MS}").parse().unwrap();
        let config =
            EdgeArgs { retry_ms, head_check: Duration::from_secs(1), ..World::settings(Topology::PerUser) };
        for max_streams in [config.max_streams, config.max_streams, 0] {
            let config = EdgeArgs { max_streams, ..config.clone() };
            world.add_edge_with(config, listener::Options::default()).await;
        }
        let users = ["bob", "dave"].map(|user| (user.to_owned(), world.token(user)));
        let proxy = Proxy::start(world.edges[0].address, &users).await;
        browser.goto(&format!("http://{}/", proxy.address)).await;
        Self { world, proxy, browser, engine }
    }

    /// An edge ends: the stream is back at another one when it was told to, with its cursor. How
    /// long it took.
    pub(crate) async fn drain(&mut self) -> String {
        let alice = self.world.as_user("alice");
        let thread = alice.thread(json!({"members": ["bob"]})).await;
        self.follow("drained", "bob").await;
        self.until("drained", |looked| looked.all("hello").len() == 1).await;
        alice.say(&thread, "before").await;
        self.until("drained", |looked| looked.all("message").len() == 1).await;
        self.proxy.send_to(self.world.edges[1].address);
        self.world.edges[0].edge.drain().await;
        let looked = self.until("drained", |looked| looked.all("hello").len() == 2).await;
        let (_, data, id) = looked.all("bye")[0];
        assert_eq!(data, &json!({"reason": "drain", "retry_ms": RETRY_MS}));
        alice.say(&thread, "after").await;
        let looked = self.until("drained", |looked| looked.all("message").len() > 1).await;
        let texts: Vec<&Value> = looked.all("message").iter().map(|shown| &shown.1["text"]).collect();
        assert_eq!(texts, ["before", "after"], "{:?}", self.engine);
        let [first, second] = &self.proxy.requests("drained")[..] else { panic!("it came twice") };
        assert_eq!((&first.last_event_id, &second.last_event_id), (&None, &Some(id.clone())));
        let away = second.at - first.last;
        let retry = Duration::from_millis(RETRY_MS.into());
        assert!((retry..retry + LATE).contains(&away), "{:?} was away for {away:?}", self.engine);
        format!("after {} ms, with its cursor", away.as_millis())
    }

    /// A stream that was cut comes back where there is no room: it is told so in a way that it
    /// outlives.
    pub(crate) async fn busy(&mut self) -> String {
        self.proxy.plan("busy", Plan { cuts: vec![IN_HELLO], hurry_ms: Some(RETRY_MS), ..Plan::default() });
        self.follow("busy", "bob").await;
        let (proxy, full) = (&self.proxy, self.world.edges[2].address);
        until("the stream is cut", async || proxy.requests("busy").iter().any(|first| first.ended)).await;
        proxy.send_to(full);
        let looked = self.until("busy", |looked| !looked.all("bye").is_empty()).await;
        let (_, data, _) = looked.all("bye")[0];
        // What the cut left over stands in lines before the frame's own.
        let own = data.as_str().and_then(|data| data.rsplit('\n').next());
        assert_eq!(own.is_some(), self.engine.glues(), "{:?}: {data:?}", self.engine);
        let data = own.map_or_else(|| data.clone(), |own| serde_json::from_str(own).unwrap());
        assert_eq!(data["reason"], "busy");
        let retry_ms = u32::try_from(data["retry_ms"].as_u64().unwrap()).unwrap();
        assert!(limits::RETRY_LATER_MS.contains(&retry_ms));
        self.until("busy", |looked| looked.state == CONNECTING).await;
        self.proxy.send_to(self.world.edges[1].address);
        self.until("busy", |looked| !looked.all("hello").is_empty()).await;
        "comes back".to_owned()
    }

    /// A user is revoked: 204, and the stream never comes back.
    pub(crate) async fn revoked(&mut self) -> String {
        self.proxy.plan("revoked", Plan { hurry_ms: Some(RETRY_MS), ..Plan::default() });
        self.follow("revoked", "dave").await;
        self.until("revoked", |looked| !looked.all("hello").is_empty()).await;
        revoke(&self.world, "dave").await;
        let looked = self.until("revoked", |looked| looked.state == CLOSED).await;
        assert_eq!(looked.all("bye")[0].1["reason"], "revoked");
        let requests = self.proxy.requests("revoked");
        assert!(requests.last().unwrap().head.starts_with(b"HTTP/1.1 204"), "{requests:?}");
        // Meanwhile another stream comes back twice, when it is told to.
        self.proxy.plan("meanwhile", Plan { cuts: vec![IN_HELLO, IN_HELLO], ..Plan::default() });
        self.follow("meanwhile", "bob").await;
        self.until("meanwhile", |looked| !looked.shown.is_empty()).await;
        assert_eq!(self.proxy.requests("meanwhile").len(), 3);
        assert_eq!(self.proxy.requests("revoked").len(), requests.len(), "{:?}", self.engine);
        assert_eq!(self.look("revoked").await.state, CLOSED);
        "stays away".to_owned()
    }

    async fn follow(&mut self, lane: &str, user: &str) {
        let path = format!("/{user}/{lane}/v1/events");
        self.browser.script("follow(arguments[0], arguments[1])", vec![lane.into(), path.into()]).await;
    }

    async fn look(&mut self, lane: &str) -> Looked {
        let looked = self.browser.script("return look(arguments[0])", vec![lane.into()]).await;
        let state = serde_json::from_value(looked["state"].clone()).unwrap();
        let shown: Vec<(String, String, String)> = serde_json::from_value(looked["shown"].clone()).unwrap();
        let read = |data: String| serde_json::from_str(&data).unwrap_or(Value::String(data));
        let shown = shown.into_iter().map(|(event, data, id)| (event, read(data), id));
        Looked { state, shown: shown.collect() }
    }

    async fn until(&mut self, lane: &str, is: impl Fn(&Looked) -> bool) -> Looked {
        let start = Instant::now();
        loop {
            let looked = self.look(lane).await;
            if is(&looked) {
                return looked;
            }
            let requests = self.proxy.requests(lane);
            assert!(start.elapsed() < PATIENCE, "{:?} `{lane}`: {looked:?} {requests:?}", self.engine);
            sleep(LOOK).await;
        }
    }
}

/// Accepts no credentials of `user` that were issued up to now.
async fn revoke(world: &World, user: &str) {
    let since = Clock::system().now() + Duration::from_mins(1);
    world.fanout(Clock::system()).table.revoke(&UserId::parse(user).unwrap(), since, since).await.unwrap();
}
