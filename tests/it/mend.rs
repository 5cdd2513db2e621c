//! Odd moments of the write side: answers that get lost, rows that are damaged or lag behind,
//! requests that change nothing, users with too many threads.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, ReturnValue, WriteRequest};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef},
            dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use domain::{
    event::Settings,
    ids::{IdempotencyKey, ThreadId, UserId},
    limits,
    sequence::{MessageNumber, ThreadSeq},
    version::Expected,
};
use fanout::chat::Chat;
use serde_json::json;
use server::{aws, clock::Clock};
use sse_edge::config::Topology;
use store::{
    rate::permit::Permit,
    table::{Table, error::Error, keys},
    write::{Outcome, WriteError, command::Command, request, seen::Marked},
};
use tests::{
    faults::{Call, Moment},
    world::{World, sweep},
};

/// Keeps transactions from happening, or their answers from coming back, so many times.
#[derive(Debug, Clone, Default)]
struct Outage {
    refused: Arc<AtomicU32>,
    unanswered: Arc<AtomicU32>,
    /// Whether the latest request was one: nothing else is under way while one is.
    transaction: Arc<AtomicBool>,
}

fn one_less(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn is_transaction(request: &aws_smithy_runtime_api::client::orchestrator::HttpRequest) -> bool {
    request.headers().get("x-amz-target").is_some_and(|target| target.ends_with("TransactWriteItems"))
}

#[dyn_dispatch_hint]
impl Intercept for Outage {
    fn name(&self) -> &'static str {
        "outage"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let transaction = is_transaction(context.request());
        self.transaction.store(transaction, Ordering::SeqCst);
        if transaction && one_less(&self.refused) {
            return Err("no table today".into());
        }
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        _: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.transaction.load(Ordering::SeqCst) && one_less(&self.unanswered) {
            return Err("no answer today".into());
        }
        Ok(())
    }
}

/// The table of a world as a client in trouble sees it.
async fn troubled(world: &World) -> (Table, Outage) {
    let outage = Outage::default();
    let config = aws::dynamodb(&world.endpoints).await.unwrap();
    let config = aws_sdk_dynamodb::config::Builder::from(&config).interceptor(outage.clone()).build();
    (Table::open(config, &world.stage, limits::INBOX_DAYS).await.unwrap(), outage)
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn request(by: &str) -> request::WriteRequest {
    let key = IdempotencyKey::made(rand::random());
    request::WriteRequest {
        sender: user(by),
        via: None,
        idempotency_key: key,
        key_from_client: true,
        fingerprint: "a hash".into(),
        expected: Expected::Any,
        now: Clock::system().now(),
        permit: Permit::default(),
    }
}

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

type Item = HashMap<String, AttributeValue>;

/// Takes a row away, as if the items of a transaction had not all become visible.
async fn hide(world: &World, pk: &str, sk: &str) -> Item {
    let deletion = world.dynamodb.delete_item().table_name(&world.stage).key("pk", s(pk)).key("sk", s(sk));
    let deleted = deletion.return_values(ReturnValue::AllOld).send().await.unwrap();
    deleted.attributes.expect("the row was there")
}

async fn show(world: &World, item: Item) {
    world.dynamodb.put_item().table_name(&world.stage).set_item(Some(item)).send().await.unwrap();
}

#[tokio::test]
async fn a_change_that_changes_nothing_uses_up_its_key() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "club"})).await;
    let bob = format!("/v1/threads/{thread}/members/bob");
    let key = [("idempotency-key", "once")];
    assert_eq!(alice.call("PUT", &bob, None, &key).await.status, 204);
    assert_eq!(alice.call("DELETE", &bob, None, &key).await.status, 422, "the key is another request's");
    assert_eq!(alice.call("DELETE", &bob, None, &[]).await.status, 204);
    assert_eq!(alice.call("PUT", &bob, None, &key).await.status, 204);
    assert_eq!(world.as_user("bob").get(&format!("/v1/threads/{thread}")).await.status, 404, "not again");
    let gone = [("idempotency-key", "gone")];
    assert_eq!(alice.call("DELETE", &bob, None, &gone).await.status, 204);
    assert_eq!(alice.call("PUT", &bob, None, &gone).await.status, 422);
}

#[tokio::test]
async fn a_write_that_changes_nothing_uses_up_its_key() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    for members in [json!({"members": ["bob"]}), json!({"members": ["bob"], "title": "club"})] {
        let thread = alice.thread(members.clone()).await;
        let said = alice.say(&thread, "one").await;
        let message = format!("/v1/threads/{thread}/messages/{}", said["tseq"]);
        let (thread, up) = (format!("/v1/threads/{thread}"), format!("{message}/reactions/+1"));
        let text = |text: &str| Some(json!({"text": text}));
        let title = |title: &str| Some(json!({"title": title}));
        // What is so already, and what somebody does next.
        let mut writes = vec![
            (("DELETE", &up, None), ("PUT", &up, None)),
            (("PUT", &up, None), ("DELETE", &up, None)),
            (("PATCH", &message, text("one")), ("PATCH", &message, text("two"))),
        ];
        if members["title"] == "club" {
            writes.push((("PATCH", &thread, title("club")), ("PATCH", &thread, title("pub"))));
        }
        let now = async || {
            let messages = alice.get(&format!("{thread}/messages")).await.body;
            (messages, alice.get(&thread).await.body)
        };
        for (n, (same, next)) in writes.into_iter().enumerate() {
            let key = [("idempotency-key", &*format!("{n} {}", said["thread"]).replace(['"', ' '], "-"))];
            let again = async || alice.call(same.0, same.1, same.2.clone(), &key).await.status;
            let before = now().await;
            assert_eq!(again().await, 200);
            assert_eq!(now().await, before, "{same:?}");
            assert_eq!(alice.call(next.0, next.1, next.2.clone(), &[]).await.status, 200);
            let after = now().await;
            assert_ne!(after, before);
            assert_eq!(again().await, 200, "its answer was lost, so it comes again");
            assert_eq!(now().await, after, "{same:?} is not done late");
            assert_eq!(alice.call(next.0, next.1, next.2, &key).await.status, 422, "the key is another's");
        }
    }
}

#[tokio::test]
async fn a_change_whose_entry_cannot_be_seen_yet_is_waited_for() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "club"})).await;
    let carol = format!("/v1/threads/{thread}/members/carol");
    for (method, tseq) in [("PUT", 2), ("DELETE", 3)] {
        let change = async || alice.call(method, &carol, None, &[("idempotency-key", method)]).await;
        assert_eq!(change().await.status, 204);
        let entry = hide(&world, &format!("T#{thread}"), &keys::entry_sk(ThreadSeq(tseq))).await;
        // The second look for what the key is known for: the first has found an entry that is not there.
        let again = world
            .faults
            .hold(Call::to("TransactGetItems").about(format!("K#{method}")).nth(2), Moment::Before);
        let repeating = async { assert_eq!(change().await.status, 204, "it has been accepted before") };
        let appearing = async {
            again.reached().await;
            show(&world, entry.clone()).await;
            again.release();
        };
        tokio::join!(repeating, appearing);
        hide(&world, &format!("T#{thread}"), &keys::entry_sk(ThreadSeq(tseq))).await;
        assert_eq!(change().await.status, 503, "not for ever");
        show(&world, entry).await;
    }
}

#[tokio::test]
async fn a_creation_during_an_outage_says_so() {
    let world = World::start(Topology::PerUser, 0).await;
    let (table, outage) = troubled(&world).await;
    outage.refused.store(limits::FUTILE_TRIES * 2, Ordering::SeqCst);
    let id = ThreadId::group(rand::random());
    let group = table.create_group(&request("alice"), id, (None, Settings::default()), &[user("bob")]).await;
    assert!(matches!(group, Err(WriteError::Failed(Error::Unavailable(_)))), "{group:?}");
    let direct = table.create_direct(&request("alice"), &user("bob")).await;
    assert!(matches!(direct, Err(WriteError::Failed(Error::Unavailable(_)))), "{direct:?}");
    // And an answer that gets lost does not hide what has happened.
    outage.unanswered.store(1, Ordering::SeqCst);
    let direct = table.create_direct(&request("alice"), &user("bob")).await;
    assert!(matches!(direct, Ok(Outcome::Recovered(_))), "{direct:?}");
}

#[tokio::test]
async fn a_seen_whose_answer_was_lost_is_told_all_the_same() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = ThreadId::parse(&alice.thread(json!({"members": ["bob"]})).await).unwrap();
    alice.say(thread.as_str(), "hi").await;
    let (table, outage) = troubled(&world).await;
    outage.unanswered.store(1, Ordering::SeqCst);
    let now = Clock::system().now();
    for _ in 0..2 {
        let marked = table.mark_seen(&user("bob"), &thread, MessageNumber(1), now).await.unwrap();
        let Marked::Delivered(_, told) = &marked else { panic!("{marked:?}") };
        let users: Vec<&str> = told.iter().map(|told| told.user.as_str()).collect();
        assert_eq!(users, ["bob", "alice"]);
    }
    let marked = table.mark_seen(&user("bob"), &thread, MessageNumber(0), now).await.unwrap();
    assert!(matches!(marked, Marked::Already(_)), "{marked:?}");
}

#[tokio::test]
async fn an_edit_whose_answer_was_lost_is_told_with_its_text() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "club"})).await;
    let said = alice.say(&thread, "hi").await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    let (table, outage) = troubled(&world).await;
    outage.unanswered.store(1, Ordering::SeqCst);
    let message = ThreadSeq(said["tseq"].as_u64().unwrap());
    let revision = "ho".into();
    let command = Command::Edit { message, revision: &revision };
    let thread = ThreadId::parse(&thread).unwrap();
    let mut fanout = world.fanout(Clock::system());
    fanout.table = table;
    let outcome = Chat::new(fanout).write(&request("alice"), &thread, command).await.unwrap();
    assert!(matches!(outcome, Outcome::Recovered(_)), "{outcome:?}");
    assert_eq!(bob.expect("edit").await.data["text"], "ho");
}

#[tokio::test]
async fn a_mark_that_nobody_was_told_of_is_told_when_it_is_asked_again_behind_an_own_message() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "club"})).await;
    alice.say(&thread, "one").await;
    let id = ThreadId::parse(&thread).unwrap();
    let now = Clock::system().now();
    let marked = world.table.mark_seen(&user("bob"), &id, MessageNumber(1), now).await.unwrap();
    assert!(matches!(marked, Marked::Committed(_)), "{marked:?}");
    bob.say(&thread, "two").await;
    assert_eq!(world.owed().await, 1);
    let path = format!("/v1/threads/{thread}/seen");
    let again = bob.post(&path, json!({"number": 2})).await;
    assert_eq!((again.status.as_u16(), &again.body["number"]), (200, &json!(2)));
    assert_eq!(world.owed().await, 0);
    // Also by a mark that goes less far.
    let marked = world.table.mark_seen(&user("carol"), &id, MessageNumber(1), now).await.unwrap();
    assert!(matches!(marked, Marked::Committed(_)), "{marked:?}");
    world.as_user("carol").say(&thread, "three").await;
    let again = world.as_user("carol").post(&path, json!({"number": 1})).await;
    assert_eq!((&again.body["number"], world.owed().await), (&json!(3), 0));
}

#[tokio::test]
async fn a_damaged_row_stops_nothing_beside_it() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = ThreadId::parse(&alice.thread(json!({"members": ["bob"], "title": "club"})).await).unwrap();
    let client = &world.dynamodb;
    let damage = async |pk: &str, sk: &str| {
        let put = client.put_item().table_name(&world.stage).item("pk", s(pk)).item("sk", s(sk));
        put.item("exp", s("soon")).send().await.unwrap();
    };
    damage(&keys::thread_pk(&thread), "M#aaron").await;
    damage(&keys::user_pk(&user("bob")), "M#t_damaged").await;
    for shard in 0..keys::SHARDS {
        damage(&keys::outbox_pk(shard), "T#t_0").await;
    }
    let draft = "left behind".into();
    world.table.write(&request("alice"), &thread, Command::Message(&draft)).await.unwrap();
    sweep(&world.fanout(Clock::system())).await;
    assert_eq!(world.owed().await, 0);
    assert_eq!(world.inbox_of("bob").await, ["left behind"]);
    alice.say(thread.as_str(), "and on").await;
    assert_eq!(world.inbox_of("bob").await, ["left behind", "and on"]);
    let threads = world.as_user("bob").get("/v1/threads").await;
    assert_eq!(threads.body["items"][0]["id"], thread.as_str());
    // Nor does it tell those who are no members that it is there.
    damage(&keys::thread_pk(&thread), &keys::entry_sk(ThreadSeq::FIRST)).await;
    let first = format!("/v1/threads/{thread}/messages/1");
    for (who, status) in [("bob", 500), ("mallory", 404)] {
        assert_eq!(world.as_user(who).call("DELETE", &first, None, &[]).await.status, status, "{who}");
    }
}

#[tokio::test]
async fn a_damaged_view_of_one_member_keeps_a_thread_from_nobody_else() {
    let world = World::start(Topology::PerUser, 0).await;
    let thread = ThreadId::group(7);
    let others = ["bob", "carol"].map(user);
    let settings = (Some("club".to_owned()), Settings::default());
    world.table.create_group(&request("alice"), thread.clone(), settings, &others).await.unwrap();
    let view = keys::view(&user("bob"), &thread);
    let put =
        world.dynamodb.put_item().table_name(&world.stage).item("pk", s(&view.pk)).item("sk", s(&view.sk));
    put.send().await.unwrap();
    world.as_user("alice").say(thread.as_str(), "hi").await;
    for who in ["alice", "carol"] {
        assert_eq!(world.inbox_of(who).await, ["hi"], "{who}");
        assert_eq!(world.as_user(who).get("/v1/threads").await.body["items"][0]["number"], 1, "{who}");
    }
}

#[tokio::test]
async fn a_user_with_a_thousand_threads_accepts_no_more() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, busy) = (world.as_user("alice"), world.as_user("busy"));
    let known = [("idempotency-key", "known")];
    let group = json!({"members": ["bob"], "title": "first"});
    let first = busy.call("POST", "/v1/threads", Some(group.clone()), &known).await;
    assert_eq!(first.status, 201);
    let club = alice.thread(json!({"members": ["bob"], "title": "club"})).await;
    let plant = async |views: Vec<(usize, &[(&str, u32)])>| {
        for views in views.chunks(25) {
            let puts = views.iter().map(|(n, numbers)| {
                let put = PutRequest::builder().item("pk", s("U#busy")).item("sk", s(format!("M#t_{n}")));
                let put = numbers
                    .iter()
                    .fold(put, |put, (name, number)| put.item(*name, AttributeValue::N(number.to_string())));
                WriteRequest::builder().put_request(put.build().unwrap()).build()
            });
            let puts: Vec<_> = puts.collect();
            world.dynamodb.batch_write_item().request_items(&world.stage, puts).send().await.unwrap();
        }
    };
    // Threads of their own, one that they have read in, and one that they have accepted: one less than the most.
    let read: &[_] = &[("unasked", 0), ("seen", 1), ("joined_tseq", 1)];
    let accepted: &[_] = &[("unasked", 0), ("seen", 0), ("joined_tseq", 3), ("accepted_tseq", 3)];
    let views =
        (0..limits::USER_THREADS - 1).map(|n| (n, [&[][..], read, accepted][n.min(2) * usize::from(n < 3)]));
    plant(views.collect()).await;
    // What others have begun does not count, nor what was left.
    let pending: &[_] = &[("unasked", 0), ("seen", 0), ("joined_tseq", 3), ("accepted_tseq", 1)];
    let left: &[_] = &[("left_tseq", 2)];
    plant((0..100).map(|n| (10_000 + n, [pending, left][n % 2])).collect()).await;
    assert_eq!(
        busy.post("/v1/threads", json!({"members": ["bob", "carol"], "title": "fits"})).await.status,
        201
    );
    plant(vec![(20_000, &[])]).await;
    let refused = busy.post("/v1/threads", json!({"members": ["bob", "carol"]})).await;
    assert_eq!(refused.status, 409);
    assert_eq!((refused.problem(), &refused.body["limit"]), ("user-full", &json!(1_000)));
    // Others invite them all the same, and learn nothing of it. Only accepting is one too many.
    let direct = alice.thread(json!({"members": ["busy"]})).await;
    assert_eq!(alice.call("PUT", &format!("/v1/threads/{club}/members/busy"), None, &[]).await.status, 204);
    assert_eq!(busy.call("POST", &format!("/v1/threads/{direct}/accept"), None, &[]).await.status, 409);
    busy.say(&direct, "too many to list you").await;
    // What was accepted before is answered as it was.
    assert_eq!(busy.call("POST", "/v1/threads", Some(group), &known).await.status, 200);
}
