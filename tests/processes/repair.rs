//! `runnel repair`, as a person gives it.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use server::clock::Clock;
use sse_edge::config::Topology;
use tests::{
    process::run,
    world::{World, sweep},
};

async fn repair(world: &World, more: &[&str]) -> (Option<i32>, String, String) {
    let endpoint = world.endpoints.dynamodb.as_ref().unwrap();
    let words = ["repair", "--table", &world.stage, "--dynamodb-endpoint", endpoint];
    let said = run("runnel", &[&words, more].concat()).await;
    let [stdout, stderr] = [said.stdout, said.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (said.status.code(), stdout, stderr)
}

#[tokio::test]
async fn a_table_is_repaired_as_the_dry_run_has_said_and_only_while_nobody_serves_from_it() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    alice.say(&thread, "hi").await;
    let view = format!("M#{thread}");
    for row in ["HEAD", &view] {
        let delete = world.dynamodb.delete_item().table_name(&world.stage);
        let delete = delete.key("pk", AttributeValue::S("U#bob".into()));
        delete.key("sk", AttributeValue::S(row.into())).send().await.unwrap();
    }
    let (code, would, told) = repair(&world, &["--dry-run"]).await;
    assert_eq!(code, Some(0), "{told}");
    let line = format!("put U#bob {view}");
    assert!(would.lines().any(|said| said == line), "{would}");
    assert!(told.contains("rows to be written"), "{told}");
    assert!(world.as_user("bob").get("/v1/threads").await.body["items"].as_array().unwrap().is_empty());
    let (code, stdout, told) = repair(&world, &[]).await;
    assert_eq!((code, stdout.as_str(), told.lines().count()), (Some(0), "", 1), "{told}");
    sweep(&world.fanout(Clock::system())).await;
    let list = world.as_user("bob").get("/v1/threads").await.body;
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["unread"]), (&json!(thread), &json!(1)), "{list}");

    let mut world = world;
    world.add_edge(Topology::PerUser).await;
    let (code, stdout, told) = repair(&world, &[]).await;
    assert_eq!((code, stdout.as_str(), told.lines().count()), (Some(1), "", 1), "{told}");
    assert!(told.contains("stop every edge, API and fan-out"), "{told}");
}
