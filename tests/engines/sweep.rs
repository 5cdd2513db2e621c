//! A stream that is cut at every byte, and what an engine has shown in the end.

use std::{collections::HashMap, sync::Arc};

use client::sse::Stream;
use serde_json::{Value, json};
use sse_edge::config::{EdgeArgs, Topology};
use tests::{
    browser::{Browser, PATIENCE},
    engine::Engine,
    world::{World, until},
};
use tokio::time::{Instant, sleep};

use crate::{
    passage::{Cut, How, Plan, unframed},
    proxy::{Proxy, Request},
};

/// Each with as many streams at a time as the browser holds connections to one host: together far
/// below what one user may have.
const USERS: usize = 20;
/// Streams at a time; most of them wait for their `retry`.
const AT_A_TIME: usize = 120;
/// The text of the last message.
const END: &str = "the end";
/// Between two looks at what has ended.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// Users who have missed the same.
pub(crate) struct Stage {
    _world: World,
    proxy: Proxy,
    readers: Vec<Reader>,
}

/// One of them.
struct Reader {
    user: String,
    /// Where it begins.
    cursor: String,
    /// What it has missed.
    missed: Vec<Shown>,
    /// What the edge answers it there, up to the last event that it missed.
    answer: Arc<Vec<u8>>,
    /// The body in it.
    body: Vec<u8>,
}

/// One event as a page is shown it.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    event: String,
    /// As JSON; as text if it is none.
    data: Value,
    id: String,
}

/// Event, data and id of everything that a page was shown.
type Told = Vec<(String, String, String)>;

/// One `EventSource`, and where it is cut.
#[derive(Debug, Clone)]
struct Lane {
    name: String,
    reader: usize,
    cuts: Vec<Cut>,
}

/// What has become of all cuts.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many streams were cut.
    pub(crate) lanes: usize,
    /// Those that were not shown exactly what they missed, and how.
    pub(crate) wrong: Vec<String>,
    /// Requests with the id of the last frame that was sent as a whole.
    pub(crate) exact: usize,
    /// Hellos that carried what a cut had left over.
    pub(crate) glued: usize,
}

impl Stage {
    /// Has everything said that readers will have missed.
    pub(crate) async fn set() -> Self {
        let mut world = World::start(Topology::PerEdge, 0).await;
        let config = EdgeArgs { retry_ms: "100-200".parse().unwrap(), ..World::settings(Topology::PerEdge) };
        world.add_edge_with(config, server::listener::Options::default()).await;
        let users: Vec<String> = (0..USERS).map(|n| format!("reader{n:02}")).collect();
        let tokens: Vec<_> = users.iter().map(|user| (user.clone(), world.token(user))).collect();
        let proxy = Proxy::start(world.edges[0].address, &tokens).await;
        let alice = world.as_user("alice");
        let thread = alice.thread(json!({"members": users, "title": "the weir"})).await;
        let mut cursors = Vec::new();
        for user in &users {
            let list = world.as_user(user).get("/v1/threads").await;
            cursors.push(list.body["cursor"].as_str().unwrap().to_owned());
        }
        say_all(&world, &thread, &users[0]).await;
        let mut readers = Vec::new();
        for ((user, token), cursor) in tokens.into_iter().zip(cursors) {
            readers.push(Reader::new(&proxy, (user, token), cursor).await);
        }
        assert!(readers.iter().all(|reader| reader.body.len() == readers[0].body.len()));
        Self { _world: world, proxy, readers }
    }

    /// How many bytes there are to cut behind.
    pub(crate) fn length(&self) -> usize {
        self.readers[0].body.len()
    }

    /// Cuts at every byte, in both ways, and some streams twice: again at every byte of their
    /// second hello.
    pub(crate) async fn every_byte(&self, engine: Engine, browser: &mut Browser) -> Outcome {
        let once = (0..=self.length()).flat_map(|at| [How::Fin, How::Rst].map(|how| vec![Cut { at, how }]));
        let hello = find_end(&self.readers[0].body, 1).unwrap();
        // In the middle of the data of a message.
        let middle = Cut { at: hello + 80, how: How::Rst };
        let twice = (0..=hello + 20).map(|at| vec![middle, Cut { at, how: How::Rst }]);
        self.cut(engine, browser, once.chain(twice).collect(), false).await
    }

    /// Cuts streams that have no opening at every byte of their first message.
    pub(crate) async fn without_opening(&self, engine: Engine, browser: &mut Browser) -> Outcome {
        let [begin, end] = [1, 2].map(|frames| find_end(&self.readers[0].body, frames).unwrap());
        let message = begin..end;
        let cuts = message.map(|at| vec![Cut { at, how: How::Rst }]);
        self.cut(engine, browser, cuts.collect(), true).await
    }

    async fn cut(
        &self,
        engine: Engine,
        browser: &mut Browser,
        cuts: Vec<Vec<Cut>>,
        without_opening: bool,
    ) -> Outcome {
        let mut lanes = HashMap::new();
        for (n, cuts) in cuts.into_iter().enumerate() {
            let (name, reader) = (format!("{engine:?}-{without_opening}-{n}"), n % USERS);
            let recorded = Some(self.readers[reader].answer.clone());
            let plan = Plan { recorded, cuts: cuts.clone(), without_opening, hurry_ms: None };
            self.proxy.plan(&name, plan);
            lanes.insert(name.clone(), Lane { name, reader, cuts });
        }
        let mut outcome = Outcome { lanes: lanes.len(), ..Outcome::default() };
        browser.goto(&format!("http://{}/", self.proxy.address)).await;
        let mut list: Vec<&Lane> = lanes.values().collect();
        list.sort_by_key(|lane| lane.cuts[0].at);
        let list: Vec<Value> = list.into_iter().map(|lane| self.in_page(lane)).collect();
        browser.script("followAll(arguments[0], arguments[1])", vec![list.into(), AT_A_TIME.into()]).await;
        let mut since = Instant::now();
        while !lanes.is_empty() {
            let over = browser.script("return takeOver()", Vec::new()).await;
            let over: Vec<(String, Told)> = serde_json::from_value(over).unwrap();
            if !over.is_empty() {
                since = Instant::now();
            }
            for (name, told) in over {
                let lane = lanes.remove(&name).expect("each ends once");
                self.judge(engine, &lane, told, &mut outcome);
            }
            if since.elapsed() > PATIENCE {
                let never = lanes.values().map(|lane| {
                    format!("{:?} never came to its end: {:?}", lane.cuts, self.proxy.requests(&lane.name))
                });
                outcome.wrong.extend(never);
                break;
            }
            sleep(LOOK).await;
        }
        outcome
    }

    /// Name, path and the id of the last event.
    fn in_page(&self, Lane { name, reader, .. }: &Lane) -> Value {
        let Reader { user, cursor, missed, .. } = &self.readers[*reader];
        json!([name, format!("/{user}/{name}/v1/events?cursor={cursor}"), missed.last().unwrap().id])
    }

    fn judge(&self, engine: Engine, lane: &Lane, told: Told, outcome: &mut Outcome) {
        let reader = &self.readers[lane.reader];
        let shown: Vec<Shown> =
            told.into_iter().map(|(event, data, id)| Shown { event, data: read(&data), id }).collect();
        let requests = self.proxy.requests(&lane.name);
        let (hellos, events): (Vec<_>, Vec<_>) =
            shown.into_iter().filter(|shown| shown.event != "ping").partition(|shown| shown.event == "hello");
        let mut wrong = |what: String| outcome.wrong.push(format!("{engine:?} {:?}: {what}", lane.cuts));
        if events != reader.missed {
            wrong(format!("was shown {events:?}"));
        }
        if requests.len() != lane.cuts.len() + 1 {
            wrong(format!("came {} times", requests.len()));
        }
        for hello in &hellos {
            let Value::String(data) = &hello.data else { continue };
            // What is glued to a hello stands in lines before its own.
            let own = data.rsplit('\n').next().unwrap_or_default();
            if !engine.glues() || !read(own).is_object() {
                wrong(format!("was greeted with {data:?}"));
            }
            outcome.glued += 1;
        }
        // Whatever is glued to it, a hello has the cursor that its stream was asked for.
        let asked = requests.last().unwrap().last_event_id.as_ref().unwrap_or(&reader.cursor);
        if hellos.last().is_none_or(|hello| &hello.id != asked) {
            wrong(format!("was greeted at {:?}, not `{asked}`", hellos.last()));
        }
        // It may have read less than it was sent, but is never ahead of that.
        let mut behind = vec![None];
        for request in &requests {
            if !behind.contains(&request.last_event_id) {
                wrong(format!("came with {:?}, not one of {behind:?}", request.last_event_id));
            }
            outcome.exact += usize::from(behind.last() == Some(&request.last_event_id));
            behind.extend(ids(request).into_iter().map(Some));
        }
    }
}

impl Reader {
    async fn new(proxy: &Proxy, (user, token): (String, String), cursor: String) -> Self {
        let path = format!("/{user}/first-{user}/v1/events?cursor={cursor}");
        let cookie = [("cookie", format!("runnel={token}"))];
        let mut stream = Stream::request(proxy.address, &path, &cookie).await;
        stream.expect("hello").await;
        let mut missed: Vec<Shown> = Vec::new();
        while missed.last().is_none_or(|last| last.data["text"] != END) {
            let frame = stream.next().await;
            missed.push(Shown { event: frame.event, data: frame.data, id: frame.id });
        }
        let kinds: Vec<&str> = missed.iter().map(|shown| shown.event.as_str()).collect();
        assert_eq!(kinds, ["message", "edit", "seen", "member", "message"]);
        // The proxy takes note of what it has passed on behind doing so.
        let first = || proxy.requests(&format!("first-{user}")).remove(0);
        until("all of it is noted", async || find_end(&first().body, missed.len()).is_some()).await;
        let Request { head, mut body, .. } = first();
        body.truncate(find_end(&body, missed.len()).unwrap());
        let answer = Arc::new([head, body.clone()].concat());
        Self { user, cursor, missed, answer, body }
    }
}

/// Everything that readers miss, and a last word that shows that nothing follows.
async fn say_all(world: &World, thread: &str, reader: &str) {
    let (alice, path) = (world.as_user("alice"), format!("/v1/threads/{thread}"));
    let said = alice.say(thread, "zwei \u{2028} drei\n\ndata: forged\nid: 9\n\n日本 😀").await;
    let at = format!("{path}/messages/{}", said["tseq"]);
    alice.call("PATCH", &at, Some(json!({"text": "one, edited"})), &[]).await;
    let seen = world.as_user(reader).post(&format!("{path}/seen"), json!({"number": 1})).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert_eq!(alice.call("PUT", &format!("{path}/members/carol"), None, &[]).await.status, 204);
    alice.say(thread, END).await;
}

fn read(data: &str) -> Value {
    serde_json::from_str(data).unwrap_or_else(|_| data.into())
}

/// Where the chunk of the frame number `frames` ends, if it does.
fn find_end(body: &[u8], frames: usize) -> Option<usize> {
    let ends = body.windows(4).enumerate().filter(|(_, window)| window == b"\n\n\r\n");
    ends.map(|(at, _)| at + 4).nth(frames - 1)
}

/// The ids of the frames that are there as a whole.
fn ids(request: &Request) -> Vec<String> {
    let said = unframed(&request.body);
    let said = String::from_utf8_lossy(&said);
    let Some((whole, _)) = said.rsplit_once("\n\n") else { return Vec::new() };
    whole.split("\n\n").map(|frame| frame.rsplit_once("\nid: ").unwrap().1.to_owned()).collect()
}
