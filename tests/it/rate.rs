//! How often a user may do what, and what that costs.

use std::sync::OnceLock;

use aws_sdk_dynamodb::types::AttributeValue;
use client::http::{Answer, Api};
use domain::ids::UserId;
use jiff::Timestamp;
use serde_json::json;
use server::clock::Clock;
use sse_edge::config::Topology;
use store::table::{counter::Rate, keys};
use tests::{
    faults::{Call, Fault},
    world::{Side, World, until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A time that stands still within a window of each length, some windows of 10 s after the first.
fn midway(windows: i64) -> Clock {
    static HOUR: OnceLock<i64> = OnceLock::new();
    let hour = HOUR.get_or_init(|| Clock::system().now().as_second() / 3_600);
    Clock::fixed(Timestamp::from_second(hour * 3_600 + 5 + windows * 10).unwrap())
}

async fn limited(world: &World, rate: Rate) -> Side {
    world.limited_side(rate, midway(0)).await
}

fn user(world: &World, side: &Side, user: &str) -> Api {
    Api { address: side.api, token: Some(world.token_at(user, midway(0).now())) }
}

async fn say(api: &Api, thread: &str, key: &str) -> Answer {
    let path = format!("/v1/threads/{thread}/messages");
    api.call("POST", &path, Some(json!({"text": key})), &[("idempotency-key", key)]).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn whoever_floods_is_told_when_to_come_back_and_what_was_accepted_stays_known() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = limited(&world, Rate::Exact).await;
    let alice = user(&world, &side, "alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    for n in 1..=20 {
        let answer = say(&alice, &thread, &format!("k{n}")).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(header(&answer, "ratelimit-policy"), r#""send";q=20;w=10"#);
        assert_eq!(header(&answer, "ratelimit"), format!(r#""send";r={};t=5"#, 20 - n));
    }
    let refused = say(&alice, &thread, "k21").await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.problem(), "rate-limited");
    assert_eq!((header(&refused, "retry-after"), header(&refused, "ratelimit")), ("5", r#""send";r=0;t=5"#));
    // A lost answer is asked for again with the same key.
    assert_eq!(say(&alice, &thread, "k1").await.status, 200);
    // Another class, another user, and the next window.
    let path = format!("/v1/threads/{thread}/messages/2/reactions/+1");
    assert_eq!(alice.call("PUT", &path, None, &[]).await.status, 200);
    assert_eq!(say(&user(&world, &side, "bob"), &thread, "b1").await.status, 201);
    let later = world.limited_side(Rate::Exact, midway(1)).await;
    assert_eq!(say(&user(&world, &later, "alice"), &thread, "k21").await.status, 201);
}

#[tokio::test]
async fn a_repeated_request_does_not_count_again() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = limited(&world, Rate::Exact).await;
    let alice = user(&world, &side, "alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    for n in 0..19 {
        for status in [201, 200] {
            assert_eq!(say(&alice, &thread, &format!("k{n}")).await.status, status);
        }
    }
    let last = say(&alice, &thread, "k19").await;
    assert_eq!((last.status.as_u16(), header(&last, "ratelimit")), (201, r#""send";r=0;t=5"#));
}

#[tokio::test]
async fn all_processes_count_together_or_each_for_itself() {
    let world = World::start(Topology::PerUser, 0).await;
    for (rate, others) in [(Rate::Exact, 429), (Rate::Local, 201)] {
        let (one, other) = (limited(&world, rate).await, limited(&world, rate).await);
        let sender = format!("alice-{rate:?}");
        let alice = user(&world, &one, &sender);
        let thread = alice.thread(json!({"members": ["bob"]})).await;
        for n in 0..20 {
            assert_eq!(say(&alice, &thread, &format!("k{n}")).await.status, 201);
        }
        assert_eq!(say(&alice, &thread, "k20").await.status, 429);
        assert_eq!(say(&user(&world, &other, &sender), &thread, "k20").await.status, others, "{rate:?}");
    }
}

#[tokio::test]
async fn a_count_costs_one_unit_and_no_round_trip_and_a_refusal_nothing() {
    let world = World::start(Topology::PerUser, 0).await;
    let mut costs = Vec::new();
    for rate in [Rate::Off, Rate::Exact] {
        let side = limited(&world, rate).await;
        let alice = user(&world, &side, &format!("alice-{rate:?}"));
        let thread = alice.thread(json!({"members": ["bob"]})).await;
        // What a process reads once of each thread and user.
        say(&alice, &thread, "first").await;
        side.calls.take();
        assert_eq!(say(&alice, &thread, "second").await.status, 201);
        costs.push(side.calls.take());
        if rate == Rate::Off {
            continue;
        }
        for n in 0..30 {
            say(&alice, &thread, &format!("k{n}")).await;
        }
        side.calls.take();
        for n in 0..100 {
            assert_eq!(say(&alice, &thread, &format!("x{n}")).await.status, 429);
        }
        let refused = side.calls.take();
        let reads: u64 = refused.requests.values().sum();
        assert_eq!(refused.write_units, 0, "{refused:?}");
        // A key that may be known is looked for, but not for ever.
        assert!(reads <= 40, "{refused:?}");
    }
    let [off, exact] = &costs[..] else { panic!("{costs:?}") };
    assert_eq!(exact.write_units, off.write_units + 1, "{costs:?}");
    assert_eq!(exact.in_a_row, off.in_a_row, "{costs:?}");
}

#[tokio::test]
async fn each_class_has_its_limit() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = limited(&world, Rate::Exact).await;
    let alice = user(&world, &side, "alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    alice.thread(json!({"members": ["carol"]})).await;
    say(&alice, &thread, "one").await;
    let of = |rest: &str| format!("/v1/threads/{thread}{rest}");
    let title = json!({"members": ["bob", "carol"], "title": "more"});
    let flood = [
        // Two threads were created before.
        ("POST", "/v1/threads".into(), Some(title), 8),
        ("PUT", of("/messages/2/reactions/+1"), None, 10),
        // Ten reactions were changes, too.
        ("PATCH", of("/messages/2"), Some(json!({"text": "two"})), 30),
        ("POST", of("/seen"), Some(json!({"number": 1})), 5),
        ("GET", of("/messages"), None, 20),
        ("POST", "/v1/tickets".into(), None, 30),
        ("PUT", "/v1/me/profile".into(), Some(json!({"name": "Alice"})), 20),
    ];
    for (method, path, body, most) in flood {
        for n in 0..=most {
            let answer = alice.call(method, &path, body.clone(), &[]).await;
            assert_eq!(answer.status == 429, n == most, "{n}: {method} {path}: {answer:?}");
            assert!(!header(&answer, "ratelimit").is_empty(), "{method} {path}: {answer:?}");
        }
    }
    // Typing counts by thread, and as a read.
    let bob = user(&world, &side, "bob");
    let other = bob.thread(json!({"members": ["carol"]})).await;
    for (thread, status) in [(&thread, 202), (&thread, 202), (&thread, 429), (&other, 202)] {
        let typing = format!("/v1/threads/{thread}/typing");
        assert_eq!(bob.post(&typing, json!({"state": "started"})).await.status, status);
    }
    let typing = format!("/v1/threads/{thread}/typing");
    assert_eq!(alice.post(&typing, json!({"state": "started"})).await.status, 429);
}

#[tokio::test]
async fn a_user_who_is_known_to_be_above_a_limit_costs_no_write_unit() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = limited(&world, Rate::Exact).await;
    let alice = user(&world, &side, "alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let group = alice.thread(json!({"members": ["bob"], "title": "ours"})).await;
    say(&alice, &thread, "one").await;
    let of = |thread: &str, rest: &str| format!("/v1/threads/{thread}{rest}");
    let (group, new) = (&group, json!({"members": ["bob", "carol"], "title": "more"}));
    let floods = [
        ("send", "POST", of(&thread, "/messages"), Some(json!({"text": "hi"})), 20),
        ("toggle", "PUT", of(&thread, "/messages/2/reactions/+1"), None, 10),
        ("change", "PATCH", of(&thread, "/messages/2"), Some(json!({"text": "two"})), 40),
        ("create", "POST", "/v1/threads".into(), Some(new), 10),
        ("seen", "POST", of(&thread, "/seen"), Some(json!({"number": 1})), 5),
        ("typing", "POST", of(group, "/typing"), Some(json!({"state": "started"})), 2),
        ("ticket", "POST", "/v1/tickets".into(), None, 30),
        ("profile", "PUT", "/v1/me/profile".into(), Some(json!({"name": "Alice"})), 20),
        ("read", "GET", of(&thread, "/messages"), None, 20),
    ];
    for (class, method, path, body, most) in floods {
        // Until it is used up: the classes share some of it.
        for _ in 0..most {
            alice.call(method, &path, body.clone(), &[]).await;
        }
        side.calls.take();
        for n in 0..19 * most {
            let answer = alice.call(method, &path, body.clone(), &[]).await;
            assert_eq!(answer.status, 429, "{class} {n}: {answer:?}");
        }
        let above = side.calls.take();
        assert_eq!((above.write_units, above.requests.len()), (0, 0), "{class}: {above:?}");
    }
}

#[tokio::test]
async fn a_reaction_under_one_message_is_put_and_taken_away_ten_times_a_minute() {
    let world = World::start(Topology::PerUser, 0).await;
    for rate in [Rate::Exact, Rate::Local] {
        let side = limited(&world, rate).await;
        let alice = user(&world, &side, &format!("alice-{rate:?}"));
        let thread = alice.thread(json!({"members": ["bob"]})).await;
        let messages = [say(&alice, &thread, "one").await, say(&alice, &thread, "two").await];
        let toggle = async |message: &Answer, n: usize, key: &str| {
            let path = format!("/v1/threads/{thread}/messages/{}/reactions/+1", message.body["tseq"]);
            let method = if n.is_multiple_of(2) { "PUT" } else { "DELETE" };
            alice.call(method, &path, None, &[("idempotency-key", key)]).await.status.as_u16()
        };
        let [first, second] = &messages;
        for n in 0..10 {
            // A lost answer is asked for again, and does not count.
            for _ in 0..2 {
                assert_eq!(toggle(first, n, &format!("k{n}")).await, 200, "{rate:?} {n}");
            }
        }
        for _ in 0..5 {
            assert_eq!(toggle(first, 10, "k10").await, 429);
        }
        assert_eq!((toggle(first, 3, "k3").await, toggle(second, 10, "other").await), (200, 200));
        // Eleven changes were accepted, and what was refused counts as none.
        let path = format!("/v1/threads/{thread}/messages/{}", first.body["tseq"]);
        for n in 11..=40 {
            let answer = alice.call("PATCH", &path, Some(json!({"text": n.to_string()})), &[]).await;
            assert_eq!(answer.status == 429, n == 40, "{rate:?} {n}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn whom_one_brings_into_threads_counts_each() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = limited(&world, Rate::Exact).await;
    let alice = user(&world, &side, "alice");
    // What is refused uses nothing up.
    for (group, count, status) in
        [("a", 80, 201), ("b", 80, 201), ("c", 41, 429), ("d", 40, 201), ("e", 1, 429)]
    {
        let members: Vec<String> = (0..count).map(|n| format!("{group}{n}")).collect();
        let answer = alice.post("/v1/threads", json!({"members": members, "title": group})).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn a_message_to_many_counts_as_several() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 120).await.to_string();
    let side = limited(&world, Rate::Exact).await;
    let (worker, stop) = (side.fanout(midway(0)), CancellationToken::new());
    let end = stop.clone();
    TaskTracker::new().spawn(async move { worker.work_until(end).await });
    let alice = user(&world, &side, "alice");
    assert_eq!(say(&alice, &thread, "one").await.status, 201);
    let window = midway(0).now().as_second() / 10;
    let row = keys::rate(&UserId::parse("alice").unwrap(), "send", u64::try_from(window).unwrap());
    // One for the message, and one for each fifty members after the first.
    until("the links are counted", async || {
        let get = world.dynamodb.get_item().table_name(&world.stage);
        let get =
            get.key("pk", AttributeValue::S(row.pk.clone())).key("sk", AttributeValue::S(row.sk.clone()));
        let found = get.consistent_read(true).send().await.unwrap().item;
        found.is_some_and(|item| item["used"].as_n().is_ok_and(|used| used == "3"))
    })
    .await;
    let second = say(&alice, &thread, "two").await;
    assert_eq!(header(&second, "ratelimit"), r#""send";r=16;t=5"#);
    stop.cancel();
}

#[tokio::test]
async fn a_table_that_cannot_count_refuses_nobody() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = limited(&world, Rate::Exact).await;
    let alice = user(&world, &side, "alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    side.faults.on(Call::to("UpdateItem").about("R#send"), Fault::Refuse(400, "ValidationException"));
    let answer = say(&alice, &thread, "one").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(header(&answer, "ratelimit"), "");
}

#[tokio::test]
async fn nobody_counts_where_that_is_wished() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = limited(&world, Rate::Off).await;
    let alice = user(&world, &side, "alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    for n in 0..25 {
        let answer = say(&alice, &thread, &format!("k{n}")).await;
        assert_eq!((answer.status.as_u16(), header(&answer, "ratelimit")), (201, ""));
    }
}

#[tokio::test]
async fn a_thread_that_is_there_is_found_whatever_was_used() {
    let world = World::start(Topology::PerUser, 0).await;
    let (one, other) = (limited(&world, Rate::Exact).await, limited(&world, Rate::Exact).await);
    let alice = user(&world, &one, "alice");
    for n in 0..10 {
        let answer = alice.post("/v1/threads", json!({"members": [format!("u{n}")]})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    // Both a process that knows and one that does not.
    for side in [&one, &other] {
        let alice = user(&world, side, "alice");
        assert_eq!(alice.post("/v1/threads", json!({"members": ["u3"]})).await.status, 200);
        assert_eq!(alice.post("/v1/threads", json!({"members": ["new"]})).await.status, 429);
    }
}
