//! `runnel send` and `runnel tail`: a user on a terminal.

use std::net::SocketAddr;

use serde_json::Value;
use tests::process::{Folder, Running, program, run};
use tokio::process::Command;

#[tokio::test]
async fn a_tail_resumes_across_a_kill_and_prints_every_message_once() {
    let folder = Folder::new();
    let mut server = Running::serving(serve(&folder, "127.0.0.1:0")).await;
    let address = server.address;
    let mut tail = Running::start(tail(&folder, address, &[]));
    assert_eq!(next(&mut tail).await["event"], "hello");
    send(&folder, address, "one").await;
    server.kill().await;
    let _server = Running::serving(serve(&folder, &address.to_string())).await;
    send(&folder, address, "two").await;
    send(&folder, address, "three").await;
    let (mut texts, mut hellos, mut last) = (Vec::new(), Vec::new(), Value::Null);
    while texts.len() < 3 {
        let line = next(&mut tail).await;
        match line["event"].as_str() {
            Some("message") => texts.push(line["data"]["text"].as_str().unwrap().to_owned()),
            Some("hello") => hellos.push(line["data"]["status"].clone()),
            _ => {}
        }
        last = line["id"].clone();
    }
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(hellos, ["resumed"]);
    // Another one begins where this one is, and has nothing to tell before the next message.
    let mut second = Running::start(self::tail(&folder, address, &["--cursor", last.as_str().unwrap()]));
    assert_eq!(next(&mut second).await["data"]["status"], "resumed");
    send(&folder, address, "four").await;
    assert_eq!(next(&mut second).await["data"]["text"], "four");
}

#[tokio::test]
async fn a_tail_ends_quietly_when_its_reader_does() {
    let folder = Folder::new();
    let server = Running::serving(serve(&folder, "127.0.0.1:0")).await;
    let mut tail = tail(&folder, server.address, &[]);
    let mut tail =
        tail.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(tail.stdout.take());
    let said = tokio::time::timeout(client::PATIENCE, tail.wait_with_output()).await.unwrap().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
}

#[tokio::test]
async fn a_server_of_another_folder_is_named_as_such() {
    let (folder, other) = (Folder::new(), Folder::new());
    let server = Running::serving(serve(&folder, "127.0.0.1:0")).await;
    run("runnel", &["token", "alice", "--data-dir", other.text()]).await;
    let url = format!("http://{}", server.address);
    for words in [vec!["send", "alice", "bob", "hi"], vec!["tail", "bob"]] {
        let said = run("runnel", &[&words[..], &["--url", &url, "--data-dir", other.text()]].concat()).await;
        let stderr = String::from_utf8(said.stderr).unwrap();
        assert!(!said.status.success() && stderr.contains("name its folder with --data-dir"), "{stderr}");
    }
}

fn serve(folder: &Folder, listen: &str) -> Command {
    let mut command = program("runnel");
    command.args(["--listen", listen, "--data-dir", folder.text(), "--retry-ms", "100-200"]);
    command
}

fn tail(folder: &Folder, address: SocketAddr, more: &[&str]) -> Command {
    let mut command = program("runnel");
    command.args([
        "tail",
        "bob",
        "--json",
        "--url",
        &format!("http://{address}"),
        "--data-dir",
        folder.text(),
    ]);
    command.args(more);
    command
}

async fn next(tail: &mut Running) -> Value {
    serde_json::from_str(&tail.line().await.expect("the tail goes on")).unwrap()
}

async fn send(folder: &Folder, address: SocketAddr, text: &str) {
    let url = format!("http://{address}");
    let said =
        run("runnel", &["send", "alice", "bob", text, "--url", &url, "--data-dir", folder.text()]).await;
    let message: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!((&message["from"], &message["text"]), (&"alice".into(), &text.into()));
}
