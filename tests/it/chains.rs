//! Fan-out to large threads: a chain of jobs that always comes to its end.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use client::PATIENCE;
use domain::{
    ids::{IdempotencyKey, ThreadId, UserId},
    job::Job,
    limits,
    sequence::ThreadSeq,
    version::Expected,
};
use fanout::{deliver::Fanout, lambda::Failures};
use futures_util::future::join_all;
use queue::queues::Received;
use serde_json::{Value, json};
use server::clock::Clock;
use sse_edge::config::Topology;
use store::{
    rate::permit::Permit,
    table::keys,
    write::{Outcome, command::Command, request::WriteRequest},
};
use tests::{
    crowd::one_of,
    world::{World, sweep},
};
use tokio::time::Instant;

/// Jobs as Lambda passes them on.
fn sqs_event(jobs: &[Received]) -> Value {
    let record = |(n, job): (usize, &Received)| json!({"eventSource": "aws:sqs", "messageId": n.to_string(), "body": job.body});
    json!({"Records": jobs.iter().enumerate().map(record).collect::<Vec<_>>()})
}

/// A change of rows as Lambda passes it on.
fn stream_event(keys: &[(&str, &str)]) -> Value {
    let record = |(pk, sk): &(&str, &str)| {
        json!({
            "eventSource": "aws:dynamodb",
            "eventName": "INSERT",
            "dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": sk}}, "SequenceNumber": "1"},
        })
    };
    json!({"Records": keys.iter().map(record).collect::<Vec<_>>()})
}

/// What the schedule passes on.
fn scheduled() -> Value {
    json!({"source": "aws.events", "detail-type": "Scheduled Event"})
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Takes one batch of jobs through the Lambda's handler, and acks them.
async fn work_once(world: &World, fanout: &Fanout, until: Instant) -> Vec<Received> {
    let jobs = world.queues.receive(&world.jobs).await.unwrap();
    assert_eq!(fanout.handle(&sqs_event(&jobs), until).await, Failures::default());
    world.queues.ack(&world.jobs, &jobs).await.unwrap();
    jobs
}

/// Works jobs until there are none; answers with how many there were.
async fn work_all(world: &World, fanout: &Fanout) -> usize {
    let mut worked = 0;
    while world.lying_in(&world.jobs).await > 0 {
        worked += work_once(world, fanout, soon()).await.len();
    }
    worked
}

/// Takes the next job out of the queue: it is lost.
async fn lose_one(world: &World) -> Received {
    let mut jobs = world.queues.receive(&world.jobs).await.unwrap();
    world.queues.ack(&world.jobs, &jobs).await.unwrap();
    assert_eq!(jobs.len(), 1);
    jobs.pop().unwrap()
}

/// Every member's inbox has these, each once and in order.
async fn all_have(world: &World, size: usize, texts: &[&str]) {
    for user in (0..size - 1).map(one_of).chain(["alice".to_owned()]) {
        assert_eq!(world.inbox_of(&user).await, texts, "{user}");
    }
}

#[tokio::test]
async fn a_group_of_120_is_told_once_and_in_order() {
    let world = World::start(Topology::PerEdge, 1).await;
    let thread = world.crowd("alice", 120).await;
    let (mut first, mut last) =
        (world.open(0, &one_of(0), None).await, world.open(0, &one_of(118), None).await);
    first.expect("hello").await;
    last.expect("hello").await;
    let alice = world.as_user("alice");
    for text in ["one", "two", "three"] {
        alice.say(thread.as_str(), text).await;
    }
    for text in ["one", "two", "three"] {
        assert_eq!(first.expect("message").await.data["text"], text);
        assert_eq!(last.expect("message").await.data["text"], text);
    }
    world.settled().await;
    all_have(&world, 120, &["one", "two", "three"]).await;
}

#[tokio::test]
async fn a_group_of_1000_is_told_once_for_a_write_unit_a_member() {
    let world = World::start(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 1_000).await;
    world.calls.take();
    world.as_user("alice").say(thread.as_str(), "to all").await;
    world.settled().await;
    // The commit, a row a member, a claim a link, and the end of the outbox row.
    assert_eq!(world.calls.take().write_units, 4 + 1_000 + 20 + 1);
    all_have(&world, 1_000, &["to all"]).await;
}

#[tokio::test]
async fn a_chain_that_broke_off_is_completed_by_the_sweeper() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 120).await;
    world.as_user("alice").say(thread.as_str(), "hi").await;
    let fanout = world.fanout(Clock::system());
    work_once(&world, &fanout, soon()).await;
    // The second link does its work, and then nobody hears of the third.
    work_once(&world, &fanout, soon()).await;
    lose_one(&world).await;
    assert_eq!(world.inbox_of(&one_of(98)).await, ["hi"]);
    assert!(world.inbox_of(&one_of(99)).await.is_empty());
    // The chain counts as living for longer than a write that delivers by itself.
    let sweepers = [world.fanout(Clock::system()), world.fanout(Clock::system())];
    let (now, event) = (Clock::system().now(), scheduled());
    for passed in [Duration::ZERO, limits::OUTBOX_GRACE + Duration::from_secs(1)] {
        let then: Vec<_> =
            sweepers.iter().map(|sweeper| sweeper.clone().with_clock(Clock::fixed(now + passed))).collect();
        join_all(then.iter().map(|sweeper| sweeper.handle(&event, Instant::now()))).await;
    }
    assert_eq!(world.lying_in(&world.jobs).await, 0, "no second chain beside a living one");
    join_all(sweepers.iter().map(sweep)).await;
    assert_eq!(world.lying_in(&world.jobs).await, 1, "the chain begins once");
    assert_eq!(work_all(&world, &fanout).await, 3);
    assert_eq!(world.owed().await, 0);
    all_have(&world, 120, &["hi"]).await;
}

#[tokio::test]
async fn jobs_that_come_twice_end_where_the_first_has_been() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 120).await;
    world.as_user("alice").say(thread.as_str(), "hi").await;
    let fanout = world.fanout(Clock::system());
    let mut bodies = Vec::new();
    while world.lying_in(&world.jobs).await > 0 {
        let jobs = work_once(&world, &fanout, soon()).await;
        // Each comes once more, and all before it as well.
        bodies.extend(jobs);
        assert_eq!(fanout.handle(&sqs_event(&bodies), soon()).await, Failures::default());
    }
    assert_eq!(bodies.len(), 3, "each copy would have posted a link of its own: {bodies:?}");
    assert_eq!(world.owed().await, 0);
    all_have(&world, 120, &["hi"]).await;
}

#[tokio::test]
async fn a_job_whose_row_has_moved_on_goes_on_and_leaves_the_row() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 60).await;
    let alice = world.as_user("alice");
    let fanout = world.fanout(Clock::system());
    alice.say(thread.as_str(), "one").await;
    let first = lose_one(&world).await;
    alice.say(thread.as_str(), "two").await;
    let second = lose_one(&world).await;
    // The chain of the first message comes to its end, and the row is still there.
    fanout.handle(&sqs_event(std::slice::from_ref(&first)), soon()).await;
    work_all(&world, &fanout).await;
    assert_eq!((world.owed().await, world.inbox_of(&one_of(58)).await), (1, vec!["one".to_owned()]));
    fanout.handle(&sqs_event(&[second]), soon()).await;
    work_all(&world, &fanout).await;
    assert_eq!(world.owed().await, 0);
    // Long after the end of its chain a job is of no consequence.
    fanout.handle(&sqs_event(&[first]), soon()).await;
    assert_eq!(world.lying_in(&world.jobs).await, 0);
    all_have(&world, 60, &["one", "two"]).await;
}

#[tokio::test]
async fn a_link_without_time_hands_itself_on_from_the_member_reached() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 60).await;
    world.as_user("alice").say(thread.as_str(), "hi").await;
    let fanout = world.fanout(Clock::system());
    work_once(&world, &fanout, Instant::now()).await;
    let next = lose_one(&world).await;
    let job = Job::decode(&next.body).unwrap();
    assert_eq!(job.after.as_ref().map(UserId::as_str), Some("alice"), "the first in key order");
    fanout.handle(&sqs_event(&[next]), Instant::now()).await;
    assert_eq!(work_all(&world, &fanout).await, 2);
    assert_eq!(world.owed().await, 0);
    all_have(&world, 60, &["hi"]).await;
}

#[tokio::test]
async fn a_member_who_cannot_be_told_keeps_the_row_and_nobody_waiting() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 120).await;
    let client = &world.dynamodb;
    let of = |text: &str| AttributeValue::S(text.to_owned());
    let user = format!("U#{}", one_of(7));
    let row = client.get_item().table_name(&world.stage).key("pk", of(&user)).key("sk", of("HEAD"));
    let row = row.send().await.unwrap().item;
    let damaged = client.put_item().table_name(&world.stage).set_item(row.clone()).item("gen", of("damaged"));
    damaged.send().await.unwrap();
    world.as_user("alice").say(thread.as_str(), "hi").await;
    let fanout = world.fanout(Clock::system());
    work_all(&world, &fanout).await;
    for others in [one_of(6), one_of(8), one_of(118)] {
        assert_eq!(world.inbox_of(&others).await, ["hi"], "{others} has not waited");
    }
    assert_eq!(world.owed().await, 1, "the first link has missed one");
    client.put_item().table_name(&world.stage).set_item(row).send().await.unwrap();
    sweep(&fanout).await;
    work_all(&world, &fanout).await;
    assert_eq!(world.owed().await, 0);
    all_have(&world, 120, &["hi"]).await;
}

#[tokio::test]
async fn a_member_added_during_a_chain_hears_of_it_and_of_nothing_before() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 120).await;
    let alice = world.as_user("alice");
    alice.say(thread.as_str(), "hi").await;
    let fanout = world.fanout(Clock::system());
    work_once(&world, &fanout, soon()).await;
    // Before all that the chain has passed, in key order.
    let member = format!("/v1/threads/{thread}/members/a-new-one");
    assert_eq!(alice.call("PUT", &member, None, &[]).await.status, 204);
    work_all(&world, &fanout).await;
    assert_eq!(world.owed().await, 0);
    assert_eq!(world.inbox_of("a-new-one").await, ["+a-new-one"]);
    all_have(&world, 120, &["hi", "+a-new-one"]).await;
}

#[tokio::test]
async fn a_job_that_cannot_be_done_comes_again_until_it_lies_with_the_dead() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 60).await;
    world.as_user("alice").say(thread.as_str(), "hi").await;
    world.dynamodb.delete_table().table_name(&world.stage).send().await.unwrap();
    let fanout = world.fanout(Clock::system());
    let sqs = &world.sqs;
    for _ in 0..limits::JOB_RECEIVES {
        let jobs = world.queues.receive(&world.jobs).await.unwrap();
        let failures = fanout.handle(&sqs_event(&jobs), soon()).await;
        assert_eq!(
            serde_json::to_value(&failures).unwrap(),
            json!({"batchItemFailures": [{"itemIdentifier": "0"}]})
        );
        let again = sqs.change_message_visibility().queue_url(&world.jobs).visibility_timeout(0);
        again.receipt_handle(&jobs[0].receipt).send().await.unwrap();
    }
    let none = sqs.receive_message().queue_url(&world.jobs).wait_time_seconds(0).send().await.unwrap();
    assert!(none.messages.unwrap_or_default().is_empty());
    let dead =
        sqs.get_queue_url().queue_name(format!("runnel-{}-fanout-dead", world.stage)).send().await.unwrap();
    assert_eq!(world.lying_in(&dead.queue_url.unwrap()).await, 1);
}

#[tokio::test]
async fn who_has_left_is_not_told_by_a_late_chain_what_was_changed_since() {
    let world = World::start_idle(Topology::PerUser, 1).await;
    let thread = world.crowd("alice", 60).await;
    let (alice, leaver) = (world.as_user("alice"), one_of(58));
    let mut stream = world.open(0, &leaver, None).await;
    stream.expect("hello").await;
    let said = alice.say(thread.as_str(), "then").await;
    let path = format!("/v1/threads/{thread}");
    let removed = alice.call("DELETE", &format!("{path}/members/{leaver}"), None, &[]).await;
    let message = format!("{path}/messages/{}", said["tseq"]);
    let edited = alice.call("PATCH", &message, Some(json!({"text": "now"})), &[]).await;
    assert_eq!((removed.status.as_u16(), edited.status.as_u16()), (204, 200));
    while world.lying_in(&world.jobs).await > 0 {
        let jobs = world.queues.receive(&world.jobs).await.unwrap();
        world.queues.ack(&world.jobs, &jobs).await.unwrap();
    }
    // The chain of the message reads it as it is by now.
    let late = Job::first(thread.clone(), ThreadSeq(said["tseq"].as_u64().unwrap()));
    world.queues.post(&world.jobs, late.encode()).await.unwrap();
    work_all(&world, &world.fanout(Clock::system())).await;
    let told = stream.expect("message").await.data;
    assert_eq!((&told["tseq"], &told["text"]), (&said["tseq"], &Value::Null));
}

#[tokio::test]
async fn garbage_is_acked_and_everything_beside_it_is_done() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 60).await;
    world.as_user("alice").say(thread.as_str(), "hi").await;
    let too_far = Job::first(thread.clone(), ThreadSeq(1_000)).encode();
    let nowhere = Job::first(ThreadId::parse("t_none").unwrap(), ThreadSeq::FIRST).encode();
    for body in ["null", "{}", &too_far, &nowhere] {
        world.queues.post(&world.jobs, body.into()).await.unwrap();
    }
    let fanout = world.fanout(Clock::system());
    let odd = json!({"Records": [{"eventSource": "aws:s3"}, 7, {"eventSource": "aws:dynamodb"}]});
    assert_eq!(fanout.handle(&odd, soon()).await, Failures::default());
    assert_eq!(work_all(&world, &fanout).await, 6);
    assert_eq!(world.owed().await, 0);
    all_have(&world, 60, &["hi"]).await;
}

#[tokio::test]
async fn a_chain_that_cannot_be_handed_on_goes_on_where_it_is() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let thread = world.crowd("alice", 120).await;
    world.as_user("alice").say(thread.as_str(), "hi").await;
    lose_one(&world).await;
    let nowhere = format!("{}-not", world.jobs);
    let fanout = Fanout::new(world.table.clone(), world.queues.clone(), nowhere, Clock::system());
    sweep(&fanout).await;
    assert_eq!(world.owed().await, 0);
    all_have(&world, 120, &["hi"]).await;
}

#[tokio::test]
async fn the_tables_stream_and_the_schedule_drive_rows_that_are_due() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "three"})).await;
    let id = ThreadId::parse(&thread).unwrap();
    let clock = Clock::system();
    // Commits, and then nothing: the writer is dead.
    let commit = async |text: &str| {
        let request = WriteRequest {
            sender: UserId::parse("alice").unwrap(),
            via: None,
            idempotency_key: IdempotencyKey::made(rand::random()),
            key_from_client: true,
            fingerprint: text.into(),
            expected: Expected::Any,
            now: clock.now(),
            permit: Permit::default(),
        };
        assert!(matches!(
            world.table.write(&request, &id, Command::Message(&text.into())).await.unwrap(),
            Outcome::Logged(..)
        ));
    };
    commit("one").await;
    let row = keys::outbox(&id);
    let event = stream_event(&[("U#bob", "HEAD"), (&row.pk, &row.sk), (&row.pk, &row.sk)]);
    let fanout = world.fanout(clock.clone());
    fanout.handle(&event, Instant::now()).await;
    assert!(world.inbox_of("bob").await.is_empty(), "not due yet: the writer may be at it");
    fanout.handle(&event, soon()).await;
    assert_eq!((world.inbox_of("bob").await, world.owed().await), (vec!["one".to_owned()], 0));
    // What the stream says of its own deletion.
    fanout.handle(&event, soon()).await;
    commit("two").await;
    fanout.handle(&scheduled(), soon()).await;
    assert_eq!(
        (world.inbox_of("bob").await, world.owed().await),
        (vec!["one".to_owned(), "two".to_owned()], 0)
    );
}
