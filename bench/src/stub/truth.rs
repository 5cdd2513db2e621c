//! Threads, inboxes, and every other row that an edge writes itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{
    ids::ThreadId,
    inbox_entry::{Effect, InboxEntry, Logged},
    sequence::{MessageNumber, ThreadSeq},
};
use serde_json::{Map, Value, json};

/// How the table calls itself; inbox generations are told by it.
pub(crate) const TABLE_ID: &str = "bench";
/// When a page expires, in seconds since 1970: not in our time.
const EXP: &str = "9999999999";
/// Events of a page.
const PAGE: u64 = 16;
/// Events that a user row keeps at least when it is folded: it is folded at 24.
const KEPT: u64 = 8;
/// When each message was sent, in milliseconds since 1970.
const SENT_AT: u64 = 1_767_225_600_000;

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    users: Vec<User>,
    by_name: HashMap<String, usize>,
    /// The texts of each thread, the first at 0, and its name as inboxes share it.
    threads: HashMap<String, (Arc<str>, Vec<String>)>,
    /// What an edge writes, without the leases: itself and queues.
    pub(crate) rows: BTreeMap<(String, String), Value>,
}

/// One user's inbox.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    /// The generation as the table has it.
    raw: u64,
    /// The generation as clients see it.
    pub(crate) generation: String,
    /// How many events there are.
    seq: u64,
    /// Where they stand, in one piece as long as they follow each other in one thread.
    inbox: Vec<Piece>,
    /// The attributes that tell who holds the user's queues.
    leases: Map<String, Value>,
    /// How often they have changed.
    lease_version: u64,
}

/// Entries of one thread, one behind the other.
#[derive(Debug)]
struct Piece {
    thread: Arc<str>,
    first: u32,
    count: u32,
}

impl User {
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// The last event that a page has.
    fn folded(&self) -> u64 {
        self.seq.saturating_sub(KEPT) / PAGE * PAGE
    }

    /// The queues to post to, by their ids.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &str> {
        self.leases.iter().filter_map(|(name, value)| match name.strip_prefix("h#") {
            Some(_) => value["S"].as_str(),
            None => value["S"].as_str().and_then(|_| name.strip_prefix("q#")),
        })
    }

    /// Sets or removes the lease in an attribute of this name.
    pub(crate) fn lease(&mut self, name: &str, value: Option<Value>) {
        self.lease_version += 1;
        match value {
            Some(value) => self.leases.insert(name.to_owned(), value),
            None => self.leases.remove(name),
        };
    }

    /// The events after `after` up to `to`, as a list attribute.
    fn entries(&self, after: u64, to: u64) -> Value {
        let pieces = self.inbox.iter();
        let all = pieces
            .flat_map(|Piece { thread, first, count }| (*first..first + count).map(move |t| (thread, t)));
        let events = all.skip(after as usize).take((to - after) as usize);
        let entry = |(thread, tseq): (&Arc<str>, u32)| {
            let logged = Logged {
                thread: ThreadId::parse(thread).expect("a thread's name"),
                tseq: ThreadSeq(tseq.into()),
                number: MessageNumber(tseq.into()),
                own: false,
                invited: false,
                effect: Effect::Message(SENT_AT),
            };
            json!({"B": BASE64_STANDARD.encode(InboxEntry::Logged(logged).encode())})
        };
        json!({"L": events.map(entry).collect::<Vec<_>>()})
    }

    fn append(&mut self, thread: &Arc<str>, tseq: u32) {
        self.seq += 1;
        match self.inbox.last_mut() {
            Some(last) if Arc::ptr_eq(&last.thread, thread) && last.first + last.count == tseq => {
                last.count += 1;
            }
            _ => self.inbox.push(Piece { thread: thread.clone(), first: tseq, count: 1 }),
        }
    }
}

impl Truth {
    /// The users of these names, new ones if need be.
    pub(crate) fn users(&mut self, names: impl Iterator<Item = String>) -> Vec<usize> {
        names.map(|name| self.named(&name)).collect()
    }

    pub(crate) fn named(&mut self, name: &str) -> usize {
        if let Some(user) = self.by_name.get(name) {
            return *user;
        }
        let user = self.users.len();
        let raw = user as u64 + 1;
        self.users.push(User {
            name: name.to_owned(),
            raw,
            generation: store::table::wire_gen(raw, TABLE_ID).to_string(),
            seq: 0,
            inbox: Vec::new(),
            leases: Map::new(),
            lease_version: 0,
        });
        self.by_name.insert(name.to_owned(), user);
        user
    }

    pub(crate) fn user(&self, user: usize) -> &User {
        &self.users[user]
    }

    pub(crate) fn user_mut(&mut self, user: usize) -> &mut User {
        &mut self.users[user]
    }

    /// Puts a message into a thread, and into the inboxes of `users`.
    pub(crate) fn append(&mut self, thread: &str, tseq: u32, users: &[usize], text: &str) {
        let (thread, texts) =
            self.threads.entry(thread.to_owned()).or_insert_with(|| (thread.into(), Vec::new()));
        texts.push(text.to_owned());
        assert_eq!(texts.len(), tseq as usize, "messages are counted from 1");
        for user in users {
            self.users[*user].append(thread, tseq);
        }
    }

    /// A user row.
    pub(crate) fn user_row(&mut self, name: &str) -> Value {
        let user = self.named(name);
        let user = &self.users[user];
        let folded = user.folded();
        let mut row = json!({
            "pk": {"S": format!("U#{name}")}, "sk": {"S": "HEAD"},
            "gen": {"N": user.raw.to_string()}, "seq": {"N": user.seq.to_string()},
            "folded": {"N": folded.to_string()}, "entries": user.entries(folded, user.seq),
            "lease_version": {"N": user.lease_version.to_string()},
        });
        row.as_object_mut().expect("it is one").extend(user.leases.clone());
        row
    }

    /// Up to `limit` pages of an inbox, from the one with the event `seq` on.
    pub(crate) fn pages(&mut self, name: &str, seq: u64, limit: usize) -> Vec<Value> {
        let user = self.named(name);
        let user = &self.users[user];
        let ends = (seq.max(1).div_ceil(PAGE)..=user.folded() / PAGE).map(|page| page * PAGE).take(limit);
        ends.map(|end| {
            json!({
                "pk": {"S": format!("U#{name}")}, "sk": {"S": format!("L#{end:020}")},
                "entries": user.entries(end - PAGE, end), "exp": {"N": EXP},
            })
        })
        .collect()
    }

    /// An entry of a thread's log.
    pub(crate) fn entry(&self, thread: &str, tseq: u64) -> Option<Value> {
        let text = self.threads.get(thread)?.1.get(tseq as usize - 1)?;
        let body = json!({"kind": "message", "text": text}).to_string();
        Some(json!({
            "pk": {"S": format!("T#{thread}")}, "sk": {"S": format!("E#{tseq:020}")},
            "tseq": {"N": tseq.to_string()}, "number": {"N": tseq.to_string()}, "by": {"S": "bench"},
            "at": {"S": "2026-01-01T00:00:00Z"}, "body": {"S": body},
        }))
    }
}
