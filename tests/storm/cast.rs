//! Who talks with whom, and what each of them has to see in the end.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::http::Api;

use crate::fleet::Fleet;

/// Users that have streams.
pub(crate) const USERS: usize = 40;
/// Streams of each.
pub(crate) const DEVICES: usize = 5;
/// Users without streams, so that one thread is too large to be fanned out by its writer.
const ABSENT: usize = 15;
/// Threads of two.
const DIRECT: usize = 5;
/// Members of the others; the last is everybody.
const GROUPS: [usize; 7] = [3, 4, 6, 8, 10, 12, USERS + ABSENT];
/// Members named at once (`limits::CREATE_MEMBERS`).
const NAMED: usize = domain::limits::CREATE_MEMBERS;

/// A thread and who is in it.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    pub(crate) id: String,
    pub(crate) members: Vec<String>,
}

/// All threads.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    pub(crate) threads: Vec<Thread>,
}

/// A thread's log: of each message its text, and the latest event there is.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) texts: BTreeMap<u64, String>,
    pub(crate) tail: u64,
}

/// The nth user.
pub(crate) fn user(n: usize) -> String {
    format!("u{n:02}")
}

impl Cast {
    /// Founds the threads, each with a first message: what lies before it is of no interest.
    pub(crate) async fn gather(fleet: &Fleet) -> Self {
        let direct = (0..DIRECT).map(|n| vec![user(n), user(USERS - 1 - n)]);
        let groups = GROUPS
            .iter()
            .enumerate()
            .map(|(n, size)| (0..*size).map(|m| user((n * 5 + m) % (USERS + ABSENT))).collect());
        let mut threads = Vec::new();
        for members in direct.chain(groups) {
            threads.push(found(fleet, members).await);
        }
        Self { threads }
    }

    /// The threads of a user.
    pub(crate) fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Thread> {
        self.threads.iter().filter(move |thread| thread.members.iter().any(|member| member == user))
    }

    /// The log of a thread, as the API has it.
    pub(crate) async fn log(&self, fleet: &Fleet, thread: &Thread) -> Log {
        let api = fleet.as_user(&thread.members[0]);
        let mut log = Log::default();
        for message in messages(&api, &thread.id).await.expect("the API answers when all is well") {
            let tseq = message["tseq"].as_u64().unwrap();
            log.tail = log.tail.max(tseq).max(message["changed"].as_u64().unwrap_or(0));
            log.texts.insert(tseq, message["text"].as_str().unwrap().to_owned());
        }
        log
    }
}

async fn found(fleet: &Fleet, members: Vec<String>) -> Thread {
    let api = fleet.as_user(&members[0]);
    let others = &members[1..];
    let (named, more) = others.split_at(others.len().min(NAMED));
    let title = (members.len() > 2).then_some("a group");
    let id = api.thread(json!({"members": named, "title": title})).await;
    for user in more {
        let added = api.call("PUT", &format!("/v1/threads/{id}/members/{user}"), None, &[]).await;
        assert!(added.status.is_success(), "{added:?}");
    }
    api.say(&id, "first").await;
    Thread { id, members }
}

/// All messages of a thread, if every page of them comes.
pub(crate) async fn messages(api: &Api, thread: &str) -> Option<Vec<Value>> {
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/threads/{thread}/messages?limit=100{before}");
        let mut page =
            api.try_call("GET", &path, None, &[]).await.ok().filter(|page| page.status.is_success())?;
        let Value::Array(items) = page.body["items"].take() else { return None };
        all.extend(items);
        let Some(next) = page.body["next"].as_str() else { return Some(all) };
        before = format!("&before={next}");
    }
}
