//! The page of `sse-edge/web`, as somebody uses it who has another browser than its makers.

use client::http::Api;
use http::StatusCode;
use serde_json::{Value, json};
use tests::process::{Folder, Running, program};
use tokio::time::{Instant, sleep};

use tests::{
    browser::{Browser, PATIENCE},
    engine::Engine,
};

const LOOK: std::time::Duration = std::time::Duration::from_millis(50);
/// What the page shows: its connection, and of each message its text and its state.
const READ: &str = r#"
    const all = (name, of) => [...document.querySelectorAll(`[data-testid="${name}"]`)].map(of);
    return {
        connection: all("connection", (node) => node.textContent)[0],
        messages: all("message", (node) => [node.querySelector('[data-testid="text"]').textContent, node.dataset.state]),
        visible: [...document.querySelectorAll("[data-testid]")]
            .filter((node) => node.checkVisibility() && !node.disabled).map((node) => node.dataset.testid),
    };
"#;

/// Signs in, sends, receives, and goes on after the server was killed and started again.
pub(crate) async fn chat(engine: Engine, browser: &mut Browser) {
    let folder = Folder::new();
    let mut server = start(&folder, "127.0.0.1:0").await;
    let address = server.address;
    browser.goto(&format!("http://{address}/")).await;
    write(browser, "name", "alice").await;
    click(browser, "sign-in").await;
    is_live(browser).await;
    click(browser, "new-thread").await;
    write(browser, "members", "bob").await;
    click(browser, "create").await;
    send(browser, "Hello Bob").await;
    shows(browser, &["Hello Bob"]).await;

    let mut bob = Api { address, token: None };
    let session = bob.post("/dev/session", json!({"user": "bob"})).await;
    assert_eq!(session.status, StatusCode::OK);
    bob.token = session.body["token"].as_str().map(ToOwned::to_owned);
    let thread = bob.thread(json!({"members": ["alice"]})).await;
    bob.say(&thread, "Hello Alice 👋").await;
    shows(browser, &["Hello Bob", "Hello Alice 👋"]).await;
    browser.picture(&format!("page-{engine:?}-thread")).await;

    server.kill().await;
    until(browser, "it notices", |page| page["connection"] != "Live").await;
    let _server = start(&folder, &address.to_string()).await;
    bob.say(&thread, "Still there?").await;
    is_live(browser).await;
    shows(browser, &["Hello Bob", "Hello Alice 👋", "Still there?"]).await;
    send(browser, "Yes").await;
    shows(browser, &["Hello Bob", "Hello Alice 👋", "Still there?", "Yes"]).await;
    browser.picture(&format!("page-{engine:?}-later")).await;
}

async fn start(folder: &Folder, listen: &str) -> Running {
    let mut command = program("runnel");
    command.args(["--dev", "--listen", listen, "--data-dir", folder.at("data").to_str().unwrap()]);
    Running::serving(command).await
}

async fn send(browser: &mut Browser, text: &str) {
    write(browser, "composer", text).await;
    click(browser, "send").await;
}

/// Types into a field, as soon as it is there.
async fn write(browser: &mut Browser, testid: &str, text: &str) {
    is_there(browser, testid).await;
    browser.write(&hook(testid), text).await;
}

async fn click(browser: &mut Browser, testid: &str) {
    is_there(browser, testid).await;
    browser.click(&hook(testid)).await;
}

async fn is_there(browser: &mut Browser, testid: &str) {
    let is_visible =
        |page: &Value| page["visible"].as_array().unwrap().iter().any(|visible| visible == testid);
    until(browser, testid, is_visible).await;
}

async fn is_live(browser: &mut Browser) {
    until(browser, "it is live", |page| page["connection"] == "Live").await;
}

/// Waits until exactly these messages are shown, all sent.
async fn shows(browser: &mut Browser, texts: &[&str]) {
    let messages: Vec<_> = texts.iter().map(|text| json!([text, "sent"])).collect();
    until(browser, "the messages are shown", |page| page["messages"] == json!(messages)).await;
}

async fn until(browser: &mut Browser, what: &str, is: impl Fn(&Value) -> bool) {
    let start = Instant::now();
    loop {
        let page = browser.script(READ, Vec::new()).await;
        if is(&page) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "in time: {what}; there is {page}");
        sleep(LOOK).await;
    }
}

fn hook(testid: &str) -> String {
    format!(r#"[data-testid="{testid}"]"#)
}
