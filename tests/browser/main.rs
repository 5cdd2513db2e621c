//! Two real browser windows against Runnel's one process: what people see, also across a kill of the server.
//!
//! Needs Debian's `chromium` and `chromium-driver`, and `runnel` built beforehand in the same profile.

mod changes;
mod driver;
mod server;
mod shots;
mod wait;
mod window;

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};

use crate::{driver::Driver, server::Server, window::Window};

#[tokio::test]
async fn two_windows_chat_across_a_kill_of_the_server() -> Result<()> {
    if !driver::is_installed() {
        println!("SKIPPED: chromium and chromedriver are not installed; tests/run browser installs them");
        return Ok(());
    }
    let scratch = Scratch::new("two-windows")?;
    let mut server = Server::start(&scratch.0.join("data")).await?;
    let driver = Driver::start().await?;
    let alice = driver.open(&scratch.0.join("alice")).await?;
    let bob = driver.open(&scratch.0.join("bob")).await?;
    let outcome = story(&mut server, &alice, &bob).await;
    if outcome.is_err() {
        // Only a help to see why it failed: the outcome matters more than they do.
        drop(shots::one(&alice, "failed-alice").await);
        drop(shots::one(&bob, "failed-bob").await);
    }
    // All before any of them is looked at: a browser left open would outlive the test.
    let closed = [alice.close().await, bob.close().await, driver.stop().await];
    outcome?;
    closed.into_iter().collect()
}

async fn story(server: &mut Server, alice: &Window, bob: &Window) -> Result<()> {
    alice.visit(server.link()).await?;
    shots::everywhere(alice, "sign-in").await?;
    alice.sign_in("alice").await?;
    bob.visit(server.link()).await?;
    bob.sign_in("bob").await?;

    alice.fill_in_thread("bob").await?;
    shots::everywhere(alice, "new-thread").await?;
    alice.start_thread().await?;
    alice.send("Hello Bob").await?;
    alice.shows(&["Hello Bob"]).await?;
    // Bob learns of the thread by the stream alone.
    bob.has_unread(1).await?;
    shots::everywhere(bob, "list").await?;
    bob.open_newest_thread().await?;
    bob.shows(&["Hello Bob"]).await?;
    shots::everywhere(bob, "invitation").await?;
    bob.accept().await?;
    alice.is_told_seen().await?;

    bob.send("Hello Alice").await?;
    alice.shows(&["Hello Bob", "Hello Alice"]).await?;
    alice.send("Shall we meet at the weir?").await?;
    let before = ["Hello Bob", "Hello Alice", "Shall we meet at the weir?"];
    alice.shows(&before).await?;
    bob.shows(&before).await?;
    both_at_once(alice, bob).await?;
    alice.is_told_seen().await?;
    changes::messages(alice, bob).await?;
    shots::everywhere(alice, "thread").await?;
    alice.open_details().await?;
    shots::everywhere(alice, "details").await?;
    alice.close_details().await?;

    across_a_kill(server, alice, bob).await?;
    changes::block(alice, bob).await?;
    changes::title(alice, bob).await?;
    changes::name(alice, bob).await?;
    for window in [alice, bob] {
        ensure!(window.was_never_reloaded().await?, "a window was reloaded");
        let doubled = window.ever_doubled().await?;
        ensure!(doubled.is_empty(), "shown twice at some moment: {doubled:?}");
    }
    Ok(())
}

/// Both send while the other does: whatever the order, it is one order.
async fn both_at_once(alice: &Window, bob: &Window) -> Result<()> {
    let before = alice.messages().await?.len();
    for number in 1..=3 {
        let (line_of_alice, line_of_bob) = (format!("Alice's line {number}"), format!("Bob's line {number}"));
        tokio::try_join!(alice.send(&line_of_alice), bob.send(&line_of_bob))?;
    }
    same_on_both(alice, bob, before + 6).await
}

async fn across_a_kill(server: &mut Server, alice: &Window, bob: &Window) -> Result<()> {
    let before = alice.messages().await?.len();
    server.kill().await?;
    alice.is_not_live().await?;
    bob.is_not_live().await?;

    alice.send("Sent while the server is down").await?;
    alice.shows_as("Sent while the server is down", "sending").await?;
    shots::everywhere(alice, "server-down").await?;
    // The window was a phone in between.
    alice.has_newest_in_view().await?;

    server.start_again().await?;
    alice.is_live().await?;
    bob.is_live().await?;
    alice.shows_as("Sent while the server is down", "sent").await?;
    bob.shows_as("Sent while the server is down", "sent").await?;
    bob.send("And after it is back").await?;
    same_on_both(alice, bob, before + 2).await
}

/// Waits until both windows show the same `count` messages, all sent, in the same order.
async fn same_on_both(alice: &Window, bob: &Window, count: usize) -> Result<()> {
    wait::until("both windows show the same messages", async || {
        let (hers, his) = (alice.messages().await?, bob.messages().await?);
        let told = |list: &[window::Message]| {
            list.iter().map(|message| (message.tseq.clone(), message.text.clone())).collect::<Vec<_>>()
        };
        let sent = hers.iter().chain(&his).all(|message| message.state == "sent");
        let same = told(&hers) == told(&his) && hers.len() == count && sent;
        Ok(if same { Ok(()) } else { Err(format!("alice: {hers:?}, bob: {his:?}")) })
    })
    .await
}

/// A folder of this test run, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover folder is no reason to fail: `cargo clean` takes it away.
        drop(fs::remove_dir_all(&self.0));
    }
}
