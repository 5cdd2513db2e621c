//! A table whose rows were copied to another one, as a restore does, and nobody ran `runnel repair`.

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use serde_json::json;
use sse_edge::config::Topology;
use tests::world::World;

both!(every_cursor_of_a_table_is_reset_by_a_copy_of_it);

async fn every_cursor_of_a_table_is_reset_by_a_copy_of_it(topology: Topology) {
    let table = World::start(topology, 1).await;
    let alice = table.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    alice.say(&thread, "before").await;
    let mut cursors = Vec::new();
    for user in ["alice", "bob"] {
        cursors.push((user, table.open(0, user, None).await.expect("hello").await.id));
    }
    let copy = table.beside(format!("{}copy", table.stage), topology, 1).await;
    copy_rows(&table, &copy).await;
    let mut streams = Vec::new();
    for (user, old) in cursors {
        // The old table still knows it.
        let hello = table.open(0, user, Some(&old)).await.expect("hello").await;
        assert_eq!((hello.data["status"].as_str(), &hello.id), (Some("resumed"), &old));
        let mut stream = copy.open(0, user, Some(&old)).await;
        stream.expect("hello").await;
        let reset = stream.expect("reset").await;
        assert_eq!(reset.data["reason"], "generation", "{user}");
        let ((was, place), (is, same)) = (old.split_once('.').unwrap(), reset.id.split_once('.').unwrap());
        assert_ne!(was, is, "the rows are the same, and the table is not");
        assert_eq!(place, same, "{user}");
        streams.push((stream, reset.seq()));
    }
    copy.as_user("alice").say(&thread, "after").await;
    for (stream, seq) in &mut streams {
        let shown = stream.expect("message").await;
        assert_eq!((&shown.data["text"], shown.seq()), (&json!("after"), *seq + 1));
    }
}

async fn copy_rows(from: &World, to: &World) {
    let mut pages = from.dynamodb.scan().table_name(&from.stage).into_paginator().send();
    while let Some(page) = pages.next().await {
        for items in page.unwrap().items().chunks(25) {
            let put = |item| {
                WriteRequest::builder()
                    .put_request(PutRequest::builder().set_item(Some(item)).build().unwrap())
                    .build()
            };
            let puts: Vec<WriteRequest> = items.iter().cloned().map(put).collect();
            to.dynamodb.batch_write_item().request_items(&to.stage, puts).send().await.unwrap();
        }
    }
}
