//! What must hold when a process has died: whatever was acknowledged is shown to every member
//! once, whatever was not, once or never, and to all or to nobody; every log and inbox is without
//! a hole; nothing is left to do; the thread goes on.

use std::time::Duration;

use anyhow::ensure;
use client::sse::{Frame, Stream};
use serde_json::{Value, json};
use server::clock::Clock;
use tests::world::{World, sweep};
use tokio::time::timeout;

use super::stage::{Stage, Write};

/// How long chains may take before a sweeper comes.
const SWEPT_AFTER: Duration = Duration::from_secs(20);

/// Judges one case, when the sweeper has been and the message `last` was sent.
pub(crate) async fn judge(stage: &Stage<'_>, acknowledged: bool, went_on: bool) -> anyhow::Result<()> {
    let mut counts = Vec::new();
    for who in stage.write.concerns() {
        counts.push((*who, shown(stage, who, acknowledged).await?));
    }
    let first = counts[0].1;
    let seen = matches!(stage.write, Write::Seen | Write::SeenDirect);
    ensure!(counts.iter().all(|(_, count)| (*count > 0) == (first > 0)), "to all or nobody: {counts:?}");
    ensure!(counts.iter().all(|(_, count)| seen || *count <= 1), "at most once: {counts:?}");
    ensure!(!acknowledged || first > 0, "acknowledged and not shown");
    ensure!(went_on == stage.thread.is_some());
    for member in stage.others() {
        let texts = stage.world.inbox_of(&member).await;
        let said = texts.iter().filter(|text| *text == "under test").count();
        ensure!(said == first && texts.ends_with(&["last".into()]), "{member} is told {texts:?}");
    }
    if stage.thread.is_some() {
        log(stage, first > 0).await?;
    }
    Ok(())
}

/// Reads the whole inbox of a user off an edge; how often the write under test is in it.
async fn shown(stage: &Stage<'_>, who: &str, acknowledged: bool) -> anyhow::Result<usize> {
    let me = stage.name(who);
    let list = stage.user(who).get("/v1/threads").await.body;
    let frames = inbox(stage, &me, list["cursor"].as_str().unwrap()).await?;
    let thread: Vec<&Frame> =
        frames.iter().filter(|frame| thread_of(frame) == stage.thread.as_deref()).collect();
    ensure!(thread.len() == frames.len(), "{who} hears of another thread: {frames:?}");
    let mut tseq = None;
    let mut member = false;
    for frame in thread.iter().filter(|frame| frame.event != "seen") {
        let next = frame.data["tseq"].as_u64().unwrap();
        let mine = (frame.event == "member" && frame.data["user"] == json!(me))
            .then(|| frame.data["change"].as_str().unwrap());
        if member {
            ensure!(tseq.is_none_or(|tseq| tseq + 1 == next), "a hole in {who}'s thread: {frames:?}");
        } else {
            ensure!(frame.event == "thread" || mine == Some("added"), "{who} is no member: {frames:?}");
        }
        member = !matches!(mine, Some("removed" | "left"));
        tseq = Some(next);
    }
    let under_test = frames.iter().filter(|frame| is_under_test(stage, frame)).count();
    let last = frames.iter().filter(|frame| frame.data["text"] == "last").count();
    let stays = match (stage.write.joins() == Some(who), stage.write.leaves() == Some(who)) {
        (true, _) => under_test > 0,
        (_, true) => under_test == 0,
        _ => stage.thread.is_some(),
    };
    ensure!(member == stays, "{who}, acknowledged {acknowledged}: {frames:?}");
    ensure!(last == usize::from(stays), "the thread does not go on for {who}: {frames:?}");
    let items = list["items"].as_array().unwrap();
    ensure!(items.len() == usize::from(stays), "{who} lists {items:?}");
    if let [item] = items.as_slice() {
        ensure!(item["last"]["text"] == "last", "{who} lists {item}");
    }
    Ok(under_test)
}

/// The frames of a whole inbox, by a stream that begins before its first event.
async fn inbox(stage: &Stage<'_>, user: &str, head: &str) -> anyhow::Result<Vec<Frame>> {
    let (generation, length) = head.split_once('.').unwrap();
    // Whatever topologies there are take turns.
    let edge = stage.world.edges[stage.tag % stage.world.edges.len()].address;
    let begin = format!("{generation}.0");
    let mut stream = Stream::open(edge, &stage.world.token(user), Some(&begin)).await;
    ensure!(stream.next().await.event == "hello");
    let mut frames = Vec::new();
    for seq in 1..=length.parse().unwrap() {
        let frame = stream.next().await;
        ensure!(frame.id == format!("{generation}.{seq}"), "{seq} of {head}: {frame:?} after {frames:?}");
        frames.push(frame);
    }
    Ok(frames)
}

fn thread_of(frame: &Frame) -> Option<&str> {
    let data = &frame.data;
    if frame.event == "thread" { data["thread"]["id"].as_str() } else { data["thread"].as_str() }
}

/// Whether it tells of the write under test.
pub(crate) fn is_under_test(stage: &Stage<'_>, frame: &Frame) -> bool {
    let data = &frame.data;
    let changed = |who: &str, change: &str| {
        frame.event == "member" && data["user"] == json!(stage.name(who)) && data["change"] == change
    };
    match stage.write {
        Write::Edit => frame.event == "edit" && data["message"] == 2 && data["text"] == "under test",
        Write::Delete => frame.event == "delete" && data["message"] == 2,
        Write::React => frame.event == "reaction" && data["state"] == "added",
        Write::Unreact => frame.event == "reaction" && data["state"] == "removed",
        Write::Rename => frame.event == "thread" && data["thread"]["title"] == "renamed",
        Write::Seen | Write::SeenDirect => frame.event == "seen" && data["number"] == 1,
        Write::Add | Write::AddAgain => changed("carol", "added"),
        Write::Remove => changed("carol", "removed"),
        Write::CreateGroup | Write::CreateDirect => frame.event == "thread",
        _ => data["text"] == "under test",
    }
}

/// The log as the API lists it.
async fn log(stage: &Stage<'_>, happened: bool) -> anyhow::Result<()> {
    let (alice, thread) = (stage.user("alice"), stage.thread.as_ref().unwrap());
    let list = alice.get(&format!("/v1/threads/{thread}/messages")).await.body;
    let items = list["items"].as_array().unwrap();
    let numbers: Vec<u64> = items.iter().map(|item| item["number"].as_u64().unwrap()).collect();
    ensure!(numbers == (1..=numbers.len() as u64).rev().collect::<Vec<_>>(), "a hole in the log: {list}");
    let said = items.iter().filter(|item| item["text"] == "under test").count();
    if stage.write.says() {
        ensure!(said == usize::from(happened), "said {said} times: {list}");
    }
    ensure!(is_as_changed(stage.write, items.last().unwrap(), happened), "happened {happened}: {list}");
    let read = alice.get(&format!("/v1/threads/{thread}")).await.body;
    ensure!(read["number"] == json!(numbers.len()), "{read}");
    if matches!(stage.write, Write::Seen | Write::SeenDirect) {
        ensure!(read["seen_by"][stage.name("bob")] == json!(u64::from(happened)), "{read}");
    }
    if stage.write == Write::Rename {
        ensure!(read["title"] == if happened { "renamed" } else { "club" }, "{read}");
    }
    let listed: Vec<Value> = read["members"].as_array().unwrap().iter().map(|m| m["user"].clone()).collect();
    let members = stage.write.concerns().iter().filter(|who| {
        (stage.write.joins() != Some(**who) || happened) && (stage.write.leaves() != Some(**who) || !happened)
    });
    let mut members: Vec<String> = members.map(|who| stage.name(who)).chain(stage.others()).collect();
    members.sort_unstable();
    ensure!(listed == members, "{listed:?} are members, and not {members:?}");
    Ok(())
}

/// Whether the message that is there before the write is as the write makes it, or as it was.
fn is_as_changed(write: Write, message: &Value, happened: bool) -> bool {
    let (text, reactions) = (&message["text"], &message["reactions"]);
    match write {
        Write::Edit => text == if happened { "under test" } else { "read me" },
        Write::Delete => (message["deleted"] == true, text.is_null()) == (happened, happened),
        Write::React => reactions.is_object() == happened,
        Write::Unreact => reactions.is_object() != happened,
        _ => true,
    }
}

/// Waits until the chains of jobs have come to their end. A link that has missed a member, on a
/// machine that is busy, leaves the row to a sweeper.
pub(crate) async fn settle(world: &World) {
    for _ in 2..10 {
        if timeout(SWEPT_AFTER, world.settled()).await.is_ok() {
            return;
        }
        println!("a chain has not come to its end by itself, and is swept");
        sweep(&world.fanout(Clock::system())).await;
    }
    panic!("no sweeper ends these chains");
}

/// No fan-out is left to do.
pub(crate) async fn nothing_is_owed(world: &World) {
    for shard in 0..store::table::keys::SHARDS {
        let due = world.table.outbox(shard).await.unwrap();
        assert!(due.is_empty(), "{due:?}");
    }
}
