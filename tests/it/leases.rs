//! Queues and leases: whatever becomes of them, only time is lost.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use client::sse::Stream;
use domain::{
    cursor::{Cursor, Gen},
    envelope::{Envelope, News, Recipient},
    event::EventName,
    ids::{QueueId, UserId},
    sequence::InboxSeq,
};
use http::StatusCode;
use jiff::ToSpan as _;
use serde_json::json;
use server::{clock::Clock, listener};
use sse_edge::config::{EdgeArgs, Topology};
use tests::{
    crowd::UserQueue,
    faults::{Call, Fault, Moment},
    world::{World, until},
};

both!(
    a_queue_that_somebody_deletes_is_made_anew,
    a_lease_whose_answers_were_lost_goes_with_its_user,
    a_queue_that_was_only_slow_to_appear_is_not_left_behind,
    what_no_writer_of_the_deployment_has_sealed_is_never_shown,
    whatever_lies_in_a_queue_is_taken_out_and_harms_nobody,
    two_that_receive_from_one_queue_cost_time_and_nothing_else,
    a_release_may_race_every_take,
    a_name_that_sqs_refuses_keeps_nobody_from_another,
);

/// The lease of `name` that somebody holds, once there is one.
async fn held(world: &World, name: &str) -> UserQueue {
    let mut found = None;
    until("somebody holds a lease", async || {
        let leases = world.leases(name).await;
        found = leases.into_iter().find(|lease| lease.holder.is_some());
        found.is_some()
    })
    .await;
    found.unwrap()
}

async fn live(world: &World, edge: usize, name: &str) -> Stream {
    let mut stream = world.open(edge, name, None).await;
    stream.expect("hello").await;
    stream
}

async fn a_queue_that_somebody_deletes_is_made_anew(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = live(&world, 0, "bob").await;
    let old = held(&world, "bob").await;
    world.sqs.delete_queue().queue_url(&old.url).send().await.unwrap();
    alice.say(&thread, "into the void").await;
    assert_eq!(bob.expect("message").await.data["text"], "into the void");
    until("another queue is held, and the old one's row is gone", async || {
        let leases = world.leases("bob").await;
        leases.len() == 1 && leases[0].queue != old.queue && leases[0].holder.is_some()
    })
    .await;
    until("the registry knows the new one only", async || world.registered().await.len() == 1).await;
    alice.say(&thread, "into the new one").await;
    assert_eq!(bob.expect("message").await.data["text"], "into the new one");
}

#[tokio::test]
async fn a_lease_whose_answers_were_lost_does_not_outlive_the_queue_of_its_edge() {
    let world = World::start(Topology::PerEdge, 1).await;
    let _alice = live(&world, 0, "alice").await;
    let old = held(&world, "alice").await;
    let put = |nth| Call::to("UpdateItem").about("U#bob").about(old.queue.as_str()).nth(nth);
    world.edges[0].faults.on(put(1), Fault::Reset(Moment::After));
    for nth in 2..100 {
        world.edges[0].faults.on(put(nth), Fault::Reset(Moment::Before));
    }
    let _bob = live(&world, 0, "bob").await;
    assert_eq!(held(&world, "bob").await.queue, old.queue);
    world.sqs.delete_queue().queue_url(&old.url).send().await.unwrap();
    until("bob has a lease, and no other", async || {
        let leases = world.leases("bob").await;
        matches!(&leases[..], [one] if one.queue != old.queue)
    })
    .await;
}

async fn a_lease_whose_answers_were_lost_goes_with_its_user(topology: Topology) {
    let mut world = World::start(topology, 0).await;
    let config = EdgeArgs { linger: Duration::ZERO, ..World::settings(topology) };
    world.add_edge_with(config, listener::Options::default()).await;
    let lease = match topology {
        Topology::PerUser => "\"q#",
        Topology::PerEdge => "\"h#",
    };
    let change = |nth| Call::to("UpdateItem").about("U#bob").about(lease).nth(nth);
    let faults = world.edges[0].faults.clone();
    faults.on(change(1), Fault::Reset(Moment::After));
    for nth in 2..20 {
        faults.on(change(nth), Fault::Reset(Moment::Before));
    }
    // Live, and held as far as the table goes, but not as far as the edge knows.
    let bob = live(&world, 0, "bob").await;
    held(&world, "bob").await;
    drop(bob);
    until("nobody holds it", async || {
        let leases = world.leases("bob").await;
        leases.iter().all(|lease| lease.holder.is_none())
    })
    .await;
}

async fn a_queue_that_was_only_slow_to_appear_is_not_left_behind(topology: Topology) {
    let world = World::start(topology, 1).await;
    // As often as it takes until it is believed.
    for n in 1..=5 {
        let gone = Fault::Refuse(400, "AWS.SimpleQueueService.NonExistentQueue");
        world.edges[0].faults.on(Call::to("ReceiveMessage").nth(n), gone);
    }
    let mut bob = live(&world, 0, "bob").await;
    let old = held(&world, "bob").await;
    let mut new = held(&world, "bob").await;
    until("another one is held", async || {
        new = held(&world, "bob").await;
        new.queue != old.queue
    })
    .await;
    until("the old one is deleted", async || world.queues_of_users().await == [new.url.clone()]).await;
    until("the registry knows the new one only", async || {
        let rows = world.registered().await;
        rows.len() == 1 && rows[0].queue == new.queue
    })
    .await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    bob.expect("thread").await;
    alice.say(&thread, "into the new one").await;
    assert_eq!(bob.expect("message").await.data["text"], "into the new one");
}

async fn what_no_writer_of_the_deployment_has_sealed_is_never_shown(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = live(&world, 0, "bob").await;
    let lease = held(&world, "bob").await;
    let other = world.beside(format!("{}0", world.stage), topology, 0).await;
    let user = UserId::parse("bob").unwrap();
    let place = world.table.image(&user).await.unwrap().cursor;
    let place = Some(Cursor { seq: place.seq + 1, ..place });
    let data = |text: &str| json!({"thread": thread, "tseq": 2, "number": 1, "from": "alice", "text": text, "at": "2026-11-30T10:00:00Z"});
    let forged = |text: &str| {
        let news = News::new(EventName::Message, data(text).to_string());
        Envelope { to: vec![Recipient { user: "bob", place }], news: Some(news) }.encode()
    };
    world.queues.post(&lease.url, forged("without a seal")).await.unwrap();
    other.queues.post_envelope(&lease.url, forged("sealed by others")).await.unwrap();
    world.queues.post(&lease.url, forged("with rubbish") + "\nseal AAAA").await.unwrap();
    until("all were taken", async || world.edges[0].metrics().contains("edge_bad_envelopes_total 3\n")).await;
    alice.say(&thread, "hi").await;
    assert_eq!(bob.expect("message").await.data["text"], "hi");
}

async fn whatever_lies_in_a_queue_is_taken_out_and_harms_nobody(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "three"})).await;
    let mut bob = live(&world, 0, "bob").await;
    let mut carol = live(&world, 0, "carol").await;
    let lease = held(&world, "bob").await;
    let forged = |user: &str| {
        let data = json!({"thread": thread, "tseq": 9, "number": 9, "from": "mallory", "text": "forged"});
        let news = News::new(EventName::Message, data.to_string());
        let place = Some(Cursor { r#gen: Gen(7), seq: InboxSeq(1) });
        let to = vec![Recipient { user, place }];
        Envelope { to, news: Some(news) }.encode()
    };
    let stale = "99 of\nanother version".to_owned();
    let poison =
        ["garbage".to_owned(), "{}".into(), "\u{fffd}".repeat(9), stale, forged("carol"), forged("bob")];
    for _ in 0..6 {
        for body in &poison {
            world.queues.post(&lease.url, body.clone()).await.unwrap();
        }
    }
    let nothing = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    until("the queue is empty: all were acknowledged", async || {
        let asked = world.sqs.get_queue_attributes().queue_url(&lease.url);
        let got = asked.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
        nothing.iter().all(|name| got[&QueueAttributeName::from(*name)] == "0")
    })
    .await;
    // An envelope for another user is none in a user's queue.
    let bad = match topology {
        Topology::PerUser => 42,
        Topology::PerEdge => 36,
    };
    let line = format!("edge_bad_envelopes_total {bad}\n");
    assert!(world.edges[0].metrics().contains(&line), "{}", world.edges[0].metrics());
    alice.say(&thread, "hi").await;
    for stream in [&mut bob, &mut carol] {
        assert_eq!(stream.expect("message").await.data["text"], "hi");
    }
}

async fn two_that_receive_from_one_queue_cost_time_and_nothing_else(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = live(&world, 0, "bob").await;
    let lease = held(&world, "bob").await;
    let stealing = async {
        loop {
            let stolen = world.queues.receive(&lease.url).await.unwrap();
            world.queues.ack(&lease.url, &stolen).await.unwrap();
        }
    };
    let talking = async {
        for n in 0..20 {
            alice.say(&thread, &n.to_string()).await;
        }
        for n in 0..20 {
            assert_eq!(bob.expect("message").await.data["text"], n.to_string());
        }
    };
    tokio::select! {
        () = stealing => {}
        () = talking => {}
    }
}

async fn a_release_may_race_every_take(topology: Topology) {
    let mut world = World::start(topology, 0).await;
    let config = EdgeArgs { linger: Duration::ZERO, ..World::settings(topology) };
    for _ in 0..2 {
        world.add_edge_with(config.clone(), listener::Options::default()).await;
    }
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = live(&world, 0, "bob").await;
    let mut cursor = String::new();
    // The once-a-second resync gives back each lease of a user without a stream.
    let takes = |world: &World| {
        let of = |text: String| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix("edge_lease_takes_total "));
            line.unwrap().parse().unwrap()
        };
        world.edges.iter().map(|edge| of(edge.metrics())).sum::<u64>()
    };
    let mut n = 0;
    while takes(&world) < 6 || n < 20 {
        assert!(n < 4_000, "leases are given back");
        drop(bob);
        alice.say(&thread, &format!("{n} away")).await;
        let edge = n / 2 % 2;
        bob = world.open(edge, "bob", (n > 0).then_some(cursor.as_str())).await;
        bob.expect("hello").await;
        if n > 0 {
            assert_eq!(bob.expect("message").await.data["text"], format!("{n} away"));
        }
        alice.say(&thread, &format!("{n} here")).await;
        let shown = bob.expect("message").await;
        assert_eq!(shown.data["text"], format!("{n} here"));
        cursor = shown.id;
        n += 1;
    }
}

async fn a_name_that_sqs_refuses_keeps_nobody_from_another(topology: Topology) {
    let world = World::start(topology, 1).await;
    // As it does for a minute with that of a queue that was deleted.
    world.edges[0].faults.on(Call::to("CreateQueue"), Fault::Refuse(400, "QueueDeletedRecently"));
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = live(&world, 0, "bob").await;
    let lease = held(&world, "bob").await;
    assert_eq!(world.queues_of_users().await, std::slice::from_ref(&lease.url));
    let registered: Vec<QueueId> = world.registered().await.into_iter().map(|row| row.queue).collect();
    assert_eq!(registered.len(), 2, "the refused name was another: {registered:?}");
    assert!(registered.contains(&lease.queue));
    alice.say(&thread, "hi").await;
    assert_eq!(bob.expect("message").await.data["text"], "hi");
}

#[tokio::test]
async fn a_crowd_is_served_while_its_queues_are_created_one_by_one() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let users: Vec<String> = (0..39).map(|n| format!("u{n}")).collect();
    let thread = alice.thread(json!({"members": users, "title": "crowd"})).await;
    let mut streams = Vec::new();
    for user in &users {
        streams.push(world.open(0, user, None).await);
    }
    for stream in &mut streams {
        stream.expect("hello").await;
    }
    alice.say(&thread, "hi").await;
    for stream in &mut streams {
        assert_eq!(stream.expect("message").await.data["text"], "hi");
    }
    until("each has a queue in the end", async || world.registered().await.len() == 39).await;
}

#[tokio::test]
async fn the_queue_of_a_user_who_was_away_for_days_is_reaped_and_made_anew() {
    let mut world = World::start(Topology::PerUser, 0).await;
    let config = EdgeArgs { linger: Duration::ZERO, ..World::settings(Topology::PerUser) };
    world.add_edge_with(config.clone(), listener::Options::default()).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let bob = live(&world, 0, "bob").await;
    let _carol = live(&world, 0, "carol").await;
    let (old, kept) = (held(&world, "bob").await, held(&world, "carol").await);
    drop(bob);
    until("bob's lease is given back", async || world.leases("bob").await[0].holder.is_none()).await;
    let later = Clock::fixed(Clock::system().now() + 73.hours());
    world.add_reaper(later).await;
    until("bob's queue is gone, and carol's is not", async || {
        world.queues_of_users().await == [kept.url.clone()]
    })
    .await;
    until("so are its rows", async || {
        world.leases("bob").await.is_empty() && world.registered().await.len() == 1
    })
    .await;
    let mut bob = live(&world, 0, "bob").await;
    assert_ne!(held(&world, "bob").await.queue, old.queue);
    alice.say(&thread, "hi").await;
    assert_eq!(bob.expect("message").await.data["text"], "hi");
}

#[tokio::test]
async fn what_a_dead_edge_leaves_is_reaped_and_a_living_ones_is_not() {
    for topology in [Topology::PerUser, Topology::PerEdge] {
        let mut world = World::start(topology, 2).await;
        let (_bob, mut carol) = (live(&world, 0, "bob").await, live(&world, 1, "carol").await);
        let (dead, alive) = (held(&world, "bob").await, held(&world, "carol").await);
        let boot = world.edges[0].edge.boot();
        world.edges[0].kill();
        // What an observer does after half a minute.
        world.table.remove_edge(&boot).await.unwrap();
        world.add_reaper(Clock::system()).await;
        match topology {
            Topology::PerUser => {
                until("nobody holds bob's queue, which stays", async || {
                    world.leases("bob").await[0].holder.is_none()
                })
                .await;
                assert_eq!(world.queues_of_users().await.len(), 2);
            }
            Topology::PerEdge => {
                until("the dead edge's queue is gone", async || {
                    !world.queues_of_users().await.contains(&dead.url)
                })
                .await;
                until("it is struck off", async || world.registered().await.len() == 1).await;
            }
        }
        assert!(world.queues_of_users().await.contains(&alive.url));
        let alice = world.as_user("alice");
        let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "three"})).await;
        carol.expect("thread").await;
        let polled = world.poll(1, "bob", None, 0).await;
        assert_eq!(polled.status, StatusCode::OK);
        alice.say(&thread, "hi").await;
        assert_eq!(carol.expect("message").await.data["text"], "hi");
    }
}
