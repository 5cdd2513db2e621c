//! `runnel emulators`: DynamoDB and SQS for the other processes of a machine.

use std::sync::Arc;

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use client::http::Api;
use domain::ids::QueueId;
use queue::{error::Error, queues::Queues};
use serde_json::json;
use server::aws::{self, Configs, Endpoints};
use store::table::TABLE;
use tests::process::{Folder, Running, program};
use tokio::{sync::Semaphore, task::JoinSet};

async fn start(folder: &Folder) -> (Running, Configs) {
    let mut command = program("runnel");
    command.args(["emulators", "--listen", "127.0.0.1:0", "--data-dir", folder.text()]);
    let emulators = Running::serving(command).await;
    let url = format!("http://{}", emulators.address);
    let configs = aws::configs(&Endpoints { dynamodb: Some(url.clone()), sqs: Some(url) }).await.unwrap();
    (emulators, configs)
}

#[tokio::test]
async fn what_dynamodb_has_acknowledged_survives_a_kill() {
    let folder = Folder::new();
    let (mut emulators, configs) = start(&folder).await;
    let client = Client::new(&configs.dynamodb);
    let (mut writers, acknowledged) = (JoinSet::new(), Arc::new(Semaphore::new(0)));
    for writer in 0..8 {
        let (client, acknowledged) = (client.clone(), Arc::clone(&acknowledged));
        writers.spawn(async move {
            let mut written = 0_u32;
            while put(&client, writer, written).await {
                written += 1;
                acknowledged.add_permits(1);
            }
            written
        });
    }
    // While they write.
    let _many = acknowledged.acquire_many(200).await.unwrap();
    emulators.kill().await;
    let written = writers.join_all().await;
    let (_emulators, configs) = start(&folder).await;
    let client = Client::new(&configs.dynamodb);
    let mut found = 0;
    let mut pages = client.scan().table_name(TABLE).into_paginator().send();
    while let Some(page) = pages.next().await {
        found += page.unwrap().count();
    }
    let (written, found) = (written.iter().sum::<u32>(), u32::try_from(found).unwrap());
    // Of each writer, one more may have been written whose answer never came.
    assert!((written..=written + 8).contains(&found), "{written} acknowledged, {found} found");
}

#[tokio::test]
async fn the_table_has_the_name_that_is_asked_for() {
    let folder = Folder::new();
    let mut command = program("runnel");
    command.args(["emulators", "--listen", "0", "--data-dir", folder.text()]).env("RUNNEL_TABLE", "chat-dev");
    let emulators = Running::serving(command).await;
    let endpoints = Endpoints { dynamodb: Some(format!("http://{}", emulators.address)), sqs: None };
    let client = Client::new(&aws::dynamodb(&endpoints).await.unwrap());
    assert_eq!(client.list_tables().send().await.unwrap().table_names(), ["chat-dev"]);
}

async fn put(client: &Client, writer: u32, number: u32) -> bool {
    let put = client
        .put_item()
        .table_name(TABLE)
        .item("pk", AttributeValue::S(format!("writer {writer}")))
        .item("sk", AttributeValue::S(format!("{number:06}")));
    put.send().await.is_ok()
}

#[tokio::test]
async fn a_queue_is_posted_to_received_from_and_deleted() {
    let folder = Folder::new();
    let (_emulators, configs) = start(&folder).await;
    let queues = Queues::new((&configs.sqs).into(), (&configs.sqs_receive).into(), "test");
    let url = queues.create(&QueueId::made(1)).await.unwrap();
    let (received, posted) = tokio::join!(queues.receive(&url), queues.post(&url, "for who waits".into()));
    posted.unwrap();
    let received = received.unwrap();
    assert_eq!(received[0].body, "for who waits");
    queues.ack(&url, &received).await.unwrap();
    queues.post(&url, "for who comes".into()).await.unwrap();
    let bodies: Vec<String> = queues.receive(&url).await.unwrap().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, ["for who comes"]);
    queues.delete(&url).await.unwrap();
    assert!(matches!(queues.receive(&url).await, Err(Error::Gone)));
}

#[tokio::test]
async fn no_page_in_a_browser_reaches_the_emulators() {
    let folder = Folder::new();
    let (emulators, _) = start(&folder).await;
    let api = Api { address: emulators.address, token: None };
    for target in ["DynamoDB_20120810.ListTables", "AmazonSQS.ListQueues"] {
        let plain = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.0")];
        let signature = (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/x/aws4_request, SignedHeaders=host, Signature=0",
        );
        let headers = [plain[0], plain[1], signature, ("x-amz-date", "20260101T000000Z")];
        assert_eq!(api.call("POST", "/", Some(json!({})), &headers).await.status, 200, "{target}");
        // A page that asks openly, and one whose own name leads here.
        for page in [("origin", "http://localhost:3000"), ("host", "evil.example")] {
            let headers = [&headers[..], &[page]].concat();
            assert_eq!(
                api.call("POST", "/", Some(json!({})), &headers).await.status,
                403,
                "{target} {page:?}"
            );
        }
    }
}
