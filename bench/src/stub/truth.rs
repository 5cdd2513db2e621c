//! Threads, inboxes, and every other row that an edge writes itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Value, json};

/// How the table calls itself; inbox generations are told by it.
pub(crate) const TABLE_ID: &str = "bench";
/// When an inbox row runs out, in seconds since 1970: not in our time.
const EXP: &str = "9999999999";

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    users: Vec<User>,
    by_name: HashMap<String, usize>,
    /// The texts of each thread, the first at 0, and its name as inboxes share it.
    threads: HashMap<String, (Arc<str>, Vec<String>)>,
    /// What an edge writes: itself, queues, leases.
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
    /// The queues of those edges where the user is.
    pub(crate) queues: Vec<String>,
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
            queues: Vec::new(),
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

    /// `HEAD` of a user.
    pub(crate) fn head(&mut self, name: &str) -> Value {
        let user = self.named(name);
        let user = &self.users[user];
        json!({
            "pk": {"S": format!("U#{name}")}, "sk": {"S": "HEAD"},
            "gen": {"N": user.raw.to_string()}, "seq": {"N": user.seq().to_string()},
        })
    }

    /// Up to `limit` rows of an inbox from `seq` on.
    pub(crate) fn inbox(&mut self, name: &str, seq: u64, limit: usize) -> Vec<Value> {
        let user = self.named(name);
        let pieces = self.users[user].inbox.iter();
        let rows = pieces
            .flat_map(|Piece { thread, first, count }| (*first..first + count).map(move |t| (thread, t)));
        let rows = rows.enumerate();
        let rows = rows.skip(seq.saturating_sub(1) as usize).take(limit);
        rows.map(|(at, (thread, tseq))| {
            json!({
                "pk": {"S": format!("U#{name}")}, "sk": {"S": format!("L#{:020}", at + 1)},
                "seq": {"N": (at + 1).to_string()}, "thread": {"S": &**thread},
                "tseq": {"N": tseq.to_string()}, "exp": {"N": EXP},
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
