//! What happened, as far as somebody outside of the service can know, and what was wrong with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

use domain::ids::UserId;
use serde_json::Value;

use crate::restore::Base;

/// Shared by all actors of a run.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Known>);

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Ids of threads that somebody got to know.
    pub(crate) threads: Vec<String>,
    /// Who belongs to them, as far as the answers say.
    pub(crate) members: BTreeMap<String, BTreeSet<UserId>>,
    /// (thread, user) of those who have tried to accept an invitation.
    pub(crate) accepting: BTreeSet<(String, String)>,
    /// (thread, user) of those who were told that they have accepted.
    pub(crate) accepted: BTreeSet<(String, String)>,
    /// (user, blocked user) of blocks that were answered → how often the table had been restored by then.
    pub(crate) blocks: BTreeMap<(UserId, UserId), u64>,
    /// (user, other user) of those who have tried to block.
    pub(crate) blocking: BTreeSet<(UserId, UserId)>,
    /// (user, blocked user) of those who have tried to unblock. Such a request may still be under way.
    pub(crate) unblocking: BTreeSet<(UserId, UserId)>,
    /// Messages by their text, which is said once in a run.
    pub(crate) said: BTreeMap<String, Said>,
    /// Users who are signed out: their streams are refused.
    pub(crate) signed_out: BTreeSet<UserId>,
    /// The furthest that a user has marked a thread as seen, and was told so.
    pub(crate) seen: BTreeMap<(String, String), u64>,
    /// What streams showed at a place of a user's inbox: (user, id) → (event, data).
    pub(crate) shown: BTreeMap<(String, String), (String, Value)>,
    /// What users were shown of messages: (user, thread, tseq of the message, text).
    pub(crate) texts: BTreeSet<(String, String, u64, String)>,
    /// Resets that clients were given, by reason.
    pub(crate) resets: BTreeMap<String, u64>,
    /// How often the table was restored.
    pub(crate) restores: u64,
    /// Where everything stood behind the last restore.
    pub(crate) base: Base,
    /// Operations tried.
    pub(crate) operations: u64,
    /// Faults caused.
    pub(crate) faults: u64,
    /// Frames shown.
    pub(crate) frames: u64,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
}

/// A message as its sender knows it.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Where.
    pub(crate) thread: String,
    /// By whom.
    pub(crate) from: String,
    /// Its place, if it was accepted.
    pub(crate) tseq: Option<u64>,
    /// Whether it was refused for good.
    pub(crate) refused: bool,
}

impl Known {
    /// Whether one of two users may have blocked the other at some time.
    pub(crate) fn may_hide(&self, a: &UserId, b: &str) -> bool {
        self.blocking
            .iter()
            .any(|(user, other)| (user, other.as_str()) == (a, b) || (user.as_str(), other) == (b, a))
    }

    /// Whether another member of a direct thread has certainly blocked `user`.
    pub(crate) fn is_blocked_in(&self, thread: &str, user: &UserId) -> bool {
        let members = self.members.get(thread).filter(|_| thread.starts_with("d_"));
        let mut pairs = members.into_iter().flatten().map(|other| (other.clone(), user.clone()));
        pairs.any(|pair| self.blocks.get(&pair) == Some(&self.restores))
    }
}

impl History {
    /// What is known.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A user was shown the text of a message.
    pub(crate) fn shown(&self, user: &UserId, thread: &str, tseq: &Value, text: &Value) {
        if let (Some(tseq), Some(text)) = (tseq.as_u64(), text.as_str()) {
            let shown = (user.as_str().to_owned(), thread.to_owned(), tseq, text.to_owned());
            self.known().texts.insert(shown);
        }
    }

    /// Something is wrong.
    pub(crate) fn wrong(&self, what: impl Into<String>) {
        self.known().wrong.push(what.into());
    }
}
