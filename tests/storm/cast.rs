//! Who talks with whom, and what each of them has to see in the end.

use std::collections::{BTreeMap, HashMap};

use client::http::Api;
use domain::limits;
use serde_json::json;

use crate::fleet::Fleet;

/// Users that have streams.
pub(crate) const USERS: usize = 40;
/// Streams of each.
pub(crate) const DEVICES: usize = 5;
/// Users without streams, so that one thread is too large to be fanned out by its writer, and yet most of
/// those with streams are not in it: what is told by jobs may be late, and nothing else may.
const ABSENT: usize = 45;
/// Threads of two.
const DIRECT: usize = 5;
/// Members of the others.
const GROUPS: [usize; 7] = [3, 4, 6, 8, 10, 12, limits::INLINE_MEMBERS + 5];
/// Members named at once (`limits::CREATE_MEMBERS`).
const NAMED: usize = limits::CREATE_MEMBERS;

/// What is shown in place of the text of a message that was deleted.
pub(crate) const DELETED: &str = "";

/// A thread and who is in it.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    pub(crate) id: String,
    pub(crate) members: Vec<String>,
    /// One who comes and goes.
    pub(crate) guest: Option<String>,
}

impl Thread {
    /// Whether it is fanned out by jobs.
    pub(crate) fn is_large(&self) -> bool {
        self.members.len() > limits::INLINE_MEMBERS
    }
}

/// All threads.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    pub(crate) threads: Vec<Thread>,
}

/// What everybody has to see in the end.
#[derive(Debug)]
pub(crate) struct Truth {
    /// The texts of each thread's log, by their places.
    pub(crate) texts: HashMap<String, BTreeMap<u64, String>>,
    /// Each user's place in their inbox.
    pub(crate) cursors: HashMap<String, String>,
}

/// The nth user.
pub(crate) fn user(n: usize) -> String {
    format!("u{n:02}")
}

impl Cast {
    /// Founds the threads, each with a first message: what lies before it is of no interest.
    pub(crate) async fn gather(fleet: &Fleet) -> Self {
        let direct = (0..DIRECT).map(|n| (vec![user(n), user(USERS - 1 - n)], None));
        let groups = GROUPS.iter().enumerate().map(|(n, size)| {
            let members = (0..*size).map(|m| user((n * 5 + m) % (USERS + ABSENT))).collect();
            (members, (*size <= limits::INLINE_MEMBERS).then(|| user(n * 5 + size)))
        });
        let mut threads = Vec::new();
        for (members, guest) in direct.chain(groups) {
            threads.push(found(fleet, members, guest).await);
        }
        Self { threads }
    }

    /// The threads of a user in the end, when all guests have come.
    pub(crate) fn in_the_end<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Thread> {
        self.of(user).chain(self.visited_by(user))
    }

    /// The threads that a user is a guest of.
    pub(crate) fn visited_by<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Thread> {
        self.threads.iter().filter(move |thread| thread.guest.as_deref() == Some(user))
    }

    /// The threads that a user is always in.
    pub(crate) fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Thread> {
        self.threads.iter().filter(move |thread| thread.members.iter().any(|member| member == user))
    }

    /// The truth as the API has it, when all is well.
    pub(crate) async fn truth(&self, fleet: &Fleet) -> Truth {
        let mut truth = Truth { texts: HashMap::new(), cursors: HashMap::new() };
        for thread in &self.threads {
            let texts = texts(&fleet.as_user(&thread.members[0]), &thread.id).await;
            truth.texts.insert(thread.id.clone(), texts);
        }
        for user in (0..USERS).map(user) {
            let listed = fleet.as_user(&user).get("/v1/threads").await;
            truth.cursors.insert(user, listed.body["cursor"].as_str().unwrap().to_owned());
        }
        truth
    }
}

async fn found(fleet: &Fleet, members: Vec<String>, guest: Option<String>) -> Thread {
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
    Thread { id, members, guest }
}

async fn texts(api: &Api, thread: &str) -> BTreeMap<u64, String> {
    let (mut texts, mut before) = (BTreeMap::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/threads/{thread}/messages?limit=100{before}")).await.body;
        for message in page["items"].as_array().unwrap() {
            let text = message["text"].as_str().unwrap_or(DELETED).to_owned();
            texts.insert(message["tseq"].as_u64().unwrap(), text);
        }
        let Some(next) = page["next"].as_str() else { return texts };
        before = format!("&before={next}");
    }
}
