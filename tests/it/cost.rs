//! What each operation asks of AWS; `docs/COST.md` holds the table, which may only go down.

use serde_json::json;
use sse_edge::config::Topology;
use tests::{calls::Counted, world::World};

/// A row of the table.
fn row(operation: &str, counted: &Counted) -> String {
    let of = |names: &[&str]| names.iter().filter_map(|name| counted.requests.get(*name)).sum::<u64>();
    let reads = of(&["GetItem", "BatchGetItem", "Query", "TransactGetItems"]);
    let writes = of(&["TransactWriteItems", "PutItem", "UpdateItem", "DeleteItem"]);
    let posts = of(&["SendMessage"]);
    format!("| {operation} | {reads} | {writes} | {} | {posts} | {} |", counted.write_units, counted.in_a_row)
}

#[tokio::test]
async fn every_operation_costs_what_the_docs_say() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let direct = alice.thread(json!({"members": ["bob"]})).await;
    let group = alice.thread(json!({"members": ["bob"], "title": "two"})).await;
    for user in ["alice", "bob"] {
        let mut stream = world.open(0, user, None).await;
        stream.expect("hello").await;
        alice.say(&direct, "here?").await;
        stream.expect("message").await;
        // Its queue stays held for a while.
    }
    let mut table = Vec::new();
    world.calls.take();
    alice.get("/v1/threads").await;
    table.push(row("list of two new threads", &world.calls.take()));
    // Two inboxes have 4 entries each by now, and are folded at 24.
    for n in 0..20 {
        alice.say(if n % 2 == 0 { &direct } else { &group }, "hi").await;
    }
    world.calls.take();
    alice.get("/v1/threads").await;
    table.push(row("list of threads", &world.calls.take()));
    let said = alice.say(&direct, "hi").await;
    table.push(row("message in a direct thread, two queues held", &world.calls.take()));
    let grouped = alice.say(&group, "hi").await;
    table.push(row("message in a group of two, two queues held", &world.calls.take()));
    alice.call("PATCH", &format!("/v1/threads/{group}"), Some(json!({"title": "both"})), &[]).await;
    table.push(row("new title of a group of two", &world.calls.take()));
    for (operation, method, rest, body) in [
        ("edit", "PATCH", "", Some(json!({"text": "ho"}))),
        ("reaction", "PUT", "/reactions/+1", None),
        ("the same reaction again", "PUT", "/reactions/+1", None),
        ("deletion", "DELETE", "", None),
    ] {
        for (kind, message) in [("direct thread", &said), ("group of two", &grouped)] {
            let thread = message["thread"].as_str().unwrap();
            let path = format!("/v1/threads/{thread}/messages/{}{rest}", message["tseq"]);
            let answer = alice.call(method, &path, body.clone(), &[]).await;
            assert!(answer.status.is_success(), "{answer:?}");
            table.push(row(&format!("{operation} in a {kind}"), &world.calls.take()));
        }
    }
    bob.post(&format!("/v1/threads/{direct}/seen"), json!({"number": 12})).await;
    table.push(row("seen in a direct thread", &world.calls.take()));
    bob.post(&format!("/v1/threads/{direct}/typing"), json!({"state": "started"})).await;
    table.push(row("typing in a direct thread", &world.calls.take()));
    let presence = format!("/v1/threads/{direct}/presence");
    alice.get(&presence).await;
    world.calls.take();
    alice.get(&presence).await;
    table.push(row("presence in a direct thread, edges known", &world.calls.take()));
    alice.get(&format!("/v1/threads/{direct}/messages")).await;
    table.push(row("list of messages", &world.calls.take()));
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COST.md")).unwrap();
    let first = docs.lines().skip_while(|line| !line.starts_with("| operation |")).skip(2);
    let told: Vec<&str> = first.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(told, table, "docs/COST.md should read\n{}", table.join("\n"));
}
