//! An edge dies with a thousand users, and all of them come to another at once.

use std::time::Duration;

use client::{http::Api, sse::Stream};
use domain::limits;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use sse_edge::config::Topology;
use tests::world::{World, until};
use tokio::time::Instant;

use crate::{ONE, edge_of};

const GROUPS: usize = 25;
/// Of each group, beside its owner: as many as one request names.
const MEMBERS: usize = limits::CREATE_MEMBERS;
/// Requests, and streams that open, at once.
const AT_ONCE: usize = 8;
const OPEN_AT_ONCE: usize = 64;
/// From the crash until all are shown all that was said meanwhile: in a debug build, in which the
/// emulators and all clients share the machine.
const SHOWN_IN: Duration = Duration::from_secs(60);

/// A user, and how far they have been shown their inbox.
struct User {
    name: String,
    stream: Stream,
    seq: u64,
    cursor: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_users_of_a_dead_edge_are_shown_everything_once_by_another() {
    let _one = ONE.lock().await;
    let world = World::start(Topology::PerEdge, 0).await;
    let mut dies = edge_of(&world, Topology::PerEdge).await;
    let lives = edge_of(&world, Topology::PerEdge).await;
    let alice = world.as_user("alice");
    let groups: Vec<String> = stream::iter(0..GROUPS)
        .map(|group| {
            let members: Vec<String> = (0..MEMBERS).map(|n| name(group * MEMBERS + n)).collect();
            let alice = &alice;
            async move { alice.thread(json!({"members": members, "title": "crowd"})).await }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    // Chains of jobs tell so many members.
    until("all have been told of their group", async || world.owed().await == 0).await;
    let (world, groups, alice) = (&world, &groups, &alice);
    let users = stream::iter((0..GROUPS * MEMBERS).map(name))
        .map(async |name| {
            let mut stream = Stream::open(dies.address, &world.token(&name), None).await;
            let hello = stream.expect("hello").await;
            User { name, stream, seq: hello.seq(), cursor: hello.id }
        })
        .buffered(OPEN_AT_ONCE)
        .collect::<Vec<_>>()
        .await;

    let crash = async {
        dies.kill().await;
        let died = Instant::now();
        let users = all(users, async |user| {
            user.stream = Stream::open(lives.address, &world.token(&user.name), Some(&user.cursor)).await;
            let hello = user.stream.expect("hello").await;
            assert_eq!((hello.id.as_str(), &hello.data["status"]), (user.cursor.as_str(), &json!("resumed")));
            user.is_shown("while it dies").await;
        })
        .await;
        (users, died.elapsed())
    };
    let ((users, took), ()) = tokio::join!(crash, say(alice, groups, "while it dies"));
    println!("{} users were shown everything {took:?} after the crash", users.len());
    // Were anything shown twice, it would come first.
    say(alice, groups, "the last").await;
    all(users, async |user| user.is_shown("the last").await).await;
    assert!(took < SHOWN_IN, "{took:?}");
}

fn name(n: usize) -> String {
    format!("u{n:04}")
}

/// Says something in all groups.
async fn say(alice: &Api, groups: &[String], text: &str) {
    let saying = stream::iter(groups).map(|group| alice.say(group, text));
    saying.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}

/// Lets every user do something, some at once.
async fn all(users: Vec<User>, does: impl AsyncFn(&mut User)) -> Vec<User> {
    let does = &does;
    let doing = stream::iter(users).map(|mut user| async move {
        does(&mut user).await;
        user
    });
    doing.buffer_unordered(OPEN_AT_ONCE).collect().await
}

impl User {
    /// Sees that the next that is shown is this message, in the next place.
    async fn is_shown(&mut self, text: &str) {
        let frame = self.stream.expect("message").await;
        assert_eq!((&frame.data["text"], frame.seq()), (&json!(text), self.seq + 1), "{}", self.name);
        (self.seq, self.cursor) = (frame.seq(), frame.id);
    }
}
