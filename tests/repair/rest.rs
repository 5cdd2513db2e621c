//! What is no half of a transaction: tables that are in use, what names the old table's queues,
//! logs with holes, damaged rows.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    ids::{BootId, QueueId, UserId},
    sequence::{MessageNumber, ThreadSeq},
};
use http::StatusCode;
use serde_json::json;
use server::clock::Clock;
use sse_edge::config::Topology;
use store::{
    lease::QueueOf,
    repair::RepairError,
    table::{
        Table,
        keys::{self, Key},
    },
};
use tests::world::World;

use super::{
    cast::{Act, Cast},
    cut,
    halves::repair,
};

async fn delete(world: &World, key: &Key) {
    let delete = world.dynamodb.delete_item().table_name(&world.stage);
    let delete =
        delete.key("pk", AttributeValue::S(key.pk.clone())).key("sk", AttributeValue::S(key.sk.clone()));
    delete.condition_expression("attribute_exists(pk)").send().await.unwrap();
}

/// A group that has been said something in, all of it told.
async fn told(table: &Table, world: &World) -> Cast {
    let cast = Cast::group("x");
    let fanout = world.fanout(Clock::system());
    for (act, key) in
        [Act::Create, Act::Send("one"), Act::React(ThreadSeq(2)), Act::BobSends("two"), Act::Send("three")]
            .into_iter()
            .zip(["a", "b", "c", "d", "e"])
    {
        cast.play(act, key, table, Some(&fanout)).await.unwrap();
    }
    cast
}

/// The same, with a row for each view, as it has once inboxes are folded.
async fn folded(world: &World) -> Cast {
    let cast = told(&world.table, world).await;
    repair(world, false).await;
    cast
}

#[tokio::test]
async fn a_table_that_an_edge_serves_from_is_left_alone() {
    let world = World::start(Topology::PerUser, 1).await;
    let cast = told(&world.table, &world).await;
    delete(&world, &keys::thread(&cast.thread)).await;
    let refused = world.table.repair(Clock::system().now(), false, &|_| ()).await;
    let Err(RepairError::Serving(edge)) = refused else { panic!("{refused:?}") };
    assert_eq!(edge, world.edges[0].edge.boot());
    assert!(!cut::all(&world).await.contains_key(&(keys::thread_pk(&cast.thread), "META".into())));
}

#[tokio::test]
async fn what_names_the_queues_of_the_old_table_goes_unless_the_run_is_dry() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let (table, now) = (&world.table, Clock::system().now());
    let cast = folded(&world).await;
    let bob = cast.user("bob");
    let (queue, boot) = (QueueId::made(7), BootId::made(7));
    table.register_queue(&queue, QueueOf::User(&bob), now).await.unwrap();
    table.add_queue(&bob, &queue, &boot).await.unwrap();
    table.beat(&boot, 0, 1, now).await.unwrap();
    cast.play(Act::Seen(MessageNumber(3)), "f", table, None).await.unwrap();
    delete(&world, &keys::view(&bob, &cast.thread)).await;
    let restored = cut::all(&world).await;
    let (would, lines) = repair(&world, true).await;
    assert_eq!(cut::all(&world).await, restored);
    let (did, same) = repair(&world, false).await;
    assert_eq!((would, &lines), (did, &same));
    let kinds = ["QUEUES#", "EDGE", "#S#"].map(|kind| lines.iter().filter(|l| l.contains(kind)).count());
    assert_eq!(kinds, [1, 1, 1], "{lines:?}");
    assert!(
        table.image(&bob).await.unwrap().row.leases.is_empty() && table.edges().await.unwrap().is_empty()
    );
    assert!(world.registered().await.is_empty());
}

#[tokio::test]
async fn a_log_with_holes_is_filled_and_goes_on() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let cast = folded(&world).await;
    for lost in [1, 2, 4] {
        delete(&world, &keys::entry(&cast.thread, ThreadSeq(lost))).await;
    }
    for view in ["bob", "dave"].map(|who| keys::view(&cast.user(who), &cast.thread)) {
        delete(&world, &view).await;
    }
    repair(&world, false).await;
    let fanout = world.fanout(Clock::system());
    cast.play(Act::Send("on"), "f", &world.table, Some(&fanout)).await.unwrap();
    for who in ["alice", "bob", "dave"] {
        let list = world.as_user(&cast.name(who)).get("/v1/threads").await.body;
        let item = &list["items"][0];
        assert_eq!(
            (&item["number"], &item["last"]["text"], &item["title"]),
            (&json!(4), &json!("on"), &json!("club"))
        );
    }
    let path = format!("/v1/threads/{}/messages", cast.thread);
    let messages = world.as_user(&cast.name("dave")).get(&path).await.body;
    let texts: Vec<_> =
        messages["items"].as_array().unwrap().iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, [&json!("on"), &json!("three"), &json!(null), &json!(null)]);
}

#[tokio::test]
async fn a_damaged_row_is_told_and_keeps_nothing_else_from_being_repaired() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let cast = folded(&world).await;
    let alice = world.as_user("alice");
    let other = alice.thread(json!({"members": ["bob"], "title": "other"})).await;
    let damage = Key { pk: format!("T#{other}"), sk: keys::entry_sk(ThreadSeq::FIRST) };
    let item = [("pk", damage.pk.clone()), ("sk", damage.sk.clone())];
    let put = world.dynamodb.put_item().table_name(&world.stage);
    let put = item.into_iter().fold(put, |put, (name, text)| put.item(name, AttributeValue::S(text)));
    put.send().await.unwrap();
    delete(&world, &keys::view(&cast.user("bob"), &cast.thread)).await;
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |note: store::repair::Note<'_>| {
        if let store::repair::Note::PassedOver(error) = note {
            told.lock().unwrap().push(error.to_string());
        }
    };
    let report = world.table.repair(Clock::system().now(), false, &tell).await.unwrap();
    assert_eq!(report.passed_over, 1);
    let told = told.into_inner().unwrap();
    assert!(told[0].contains(&damage.to_string()), "{told:?}");
    let bob = UserId::parse("bob").unwrap();
    assert_eq!(
        world.table.views(&bob, &world.table.image(&bob).await.unwrap()).await.unwrap().len(),
        1,
        "what cannot be read is left as it is"
    );
    let path = format!("/v1/threads/{}", cast.thread);
    assert_eq!(world.as_user(&cast.name("bob")).get(&path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_view_on_the_shelf_is_back_in_its_place() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let cast = folded(&world).await;
    let bob = cast.user("bob");
    let (place, shelf) = (keys::view(&bob, &cast.thread), keys::shelved(&bob, &cast.thread));
    let of = |rows: &cut::Rows, key: &Key| rows.get(&(key.pk.clone(), key.sk.clone())).cloned();
    let view = of(&cut::all(&world).await, &place).unwrap();
    let number = |n: u64| AttributeValue::N(n.to_string());
    let put = async |key: &Key, version: u64, accepted: u64| {
        let mut item = view.clone();
        item.extend(
            [("version", version), ("accepted_tseq", accepted)].map(|(name, n)| (name.into(), number(n))),
        );
        item.insert("sk".into(), AttributeValue::S(key.sk.clone()));
        world.dynamodb.put_item().table_name(&world.stage).set_item(Some(item)).send().await.unwrap();
    };
    // No log has what bob accepted. By versions: on the shelf alone, in both places, or nowhere.
    for (in_place, on_shelf, accepted) in [
        (None, Some(5), Some(2)),
        (Some(6), Some(5), Some(1)),
        (Some(5), Some(6), Some(2)),
        (None, None, None),
    ] {
        delete(&world, &place).await;
        if let Some(version) = in_place {
            put(&place, version, 1).await;
        }
        if let Some(version) = on_shelf {
            put(&shelf, version, 2).await;
        }
        repair(&world, false).await;
        let after = cut::all(&world).await;
        assert!(of(&after, &shelf).is_none());
        let mut after = of(&after, &place).unwrap();
        let case = format!("{in_place:?} {on_shelf:?}");
        assert_eq!(after.remove("accepted_tseq"), accepted.map(number), "{case}");
        after.insert("version".into(), view["version"].clone());
        assert_eq!(after, view, "{case}");
    }
}
