//! What members are told of: the entries of a thread log and of an inbox, and the names of all
//! events on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ThreadId, UserId},
    wire,
};

/// The name of an SSE event. Never `open` or `error`: `EventSource` raises those itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventName {
    /// First of every stream.
    Hello,
    /// Logged: a message.
    Message,
    /// Logged: somebody joined or left a thread.
    Member,
    /// Logged: a thread was created.
    Thread,
    /// Register: how far a member has read; the maximum counts.
    Seen,
    /// Ephemeral: somebody types.
    Typing,
    /// The connection lives.
    Ping,
    /// The cursor is of no use: drop the state and list again.
    Reset,
    /// Last of a stream that the edge ends.
    Bye,
}

impl EventName {
    /// The name as it stands behind `event: `.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Message => "message",
            Self::Member => "member",
            Self::Thread => "thread",
            Self::Seen => "seen",
            Self::Typing => "typing",
            Self::Ping => "ping",
            Self::Reset => "reset",
            Self::Bye => "bye",
        }
    }
}

/// One logged event of a thread, as it lies in the thread log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The thread.
    pub thread: ThreadId,
    /// Its place among the thread's logged events: 1, 2, 3…
    pub tseq: u64,
    /// How many messages the thread has, this one included if it is one.
    pub number: u64,
    /// Who caused it.
    pub by: UserId,
    /// When, by the writer's clock. Never used for order.
    pub at: Timestamp,
    /// What happened.
    pub body: Body,
}

/// What a logged event says; its only copy is in the thread log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Body {
    /// A message.
    Message {
        /// What was said.
        text: String,
    },
    /// A change of membership.
    Member {
        /// Whose membership.
        user: UserId,
        /// What changed.
        change: Change,
    },
    /// The thread came to be: always the entry with tseq 1.
    Thread {
        /// Direct or group.
        of: ThreadKind,
        /// Its title, if it has one.
        title: Option<String>,
        /// Its members from the start.
        members: Vec<Member>,
    },
}

/// How a membership changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Somebody else (or the user) put them in.
    Added,
    /// Somebody else took them out.
    Removed,
    /// They went by themselves.
    Left,
}

/// The two kinds of thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThreadKind {
    /// Of two users, one per pair; nobody joins or leaves.
    Direct,
    /// Of any number.
    Group,
}

/// A member of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// With which rights.
    pub role: Role,
}

/// What a member may do besides reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Created the thread; may take others out.
    Owner,
    /// May put others in, and leave.
    Member,
}

impl Entry {
    /// The name under which streams carry it.
    pub fn name(&self) -> EventName {
        match self.body {
            Body::Message { .. } => EventName::Message,
            Body::Member { .. } => EventName::Member,
            Body::Thread { .. } => EventName::Thread,
        }
    }

    /// Whether it counts as a message, and so as unread.
    pub fn is_message(&self) -> bool {
        matches!(self.body, Body::Message { .. })
    }

    /// The message in it, if it is one.
    pub fn message(&self) -> Option<wire::Message> {
        let Body::Message { text } = &self.body else { return None };
        Some(wire::Message {
            thread: self.thread.clone(),
            tseq: self.tseq,
            number: self.number,
            from: self.by.clone(),
            text: text.clone(),
            at: self.at,
            cut: false,
        })
    }

    /// The `data` of its frame: one line of JSON.
    pub fn data(&self) -> String {
        let json = match &self.body {
            Body::Message { text } => serde_json::to_string(&wire::MessageData {
                thread: &self.thread,
                tseq: self.tseq,
                number: self.number,
                from: &self.by,
                text,
                at: self.at,
            }),
            Body::Member { user, change } => serde_json::to_string(&wire::MemberData {
                thread: &self.thread,
                tseq: self.tseq,
                user,
                change: *change,
                by: &self.by,
                at: self.at,
            }),
            Body::Thread { of, title, members } => serde_json::to_string(&wire::ThreadData {
                thread: wire::Thread {
                    id: self.thread.clone(),
                    kind: *of,
                    title: title.clone(),
                    members: members.clone(),
                    created_at: self.at,
                    number: 0,
                    seen: 0,
                    unread: 0,
                    last: None,
                    seen_by: None,
                },
                tseq: self.tseq,
            }),
        };
        json.expect("ids, numbers and strings always serialise")
    }
}

/// What an inbox event stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inboxed {
    /// The entry of a thread log.
    Logged {
        /// The thread.
        thread: ThreadId,
        /// The entry's place in it.
        tseq: u64,
    },
    /// A member has read up to a message number.
    Seen(wire::Seen),
}
