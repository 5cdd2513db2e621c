//! What members are told of: the entries of a thread log and of an inbox, and the names of all
//! events on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ids::{Emoji, ThreadId, UserId},
    said::Said,
    wire,
};

/// The name of an SSE event. Never `open` or `error`: `EventSource` raises those itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventName {
    /// First of every stream.
    Hello,
    /// Logged: a message.
    Message,
    /// Logged: a message has another text.
    Edit,
    /// Logged: a message has no text any more.
    Delete,
    /// Logged: somebody has put a reaction under a message, or taken it away.
    Reaction,
    /// Logged: somebody joined or left a thread.
    Member,
    /// Logged: a thread was created, or has another title.
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
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Reaction => "reaction",
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
    /// A message, as it is now.
    Message(Said),
    /// A message got another text.
    Edit {
        /// The tseq of the message.
        message: u64,
        /// The message's text as of now, which is kept with the message and nowhere else: none, if
        /// it has been deleted since.
        #[serde(skip)]
        text: Option<String>,
    },
    /// A message was deleted.
    Delete {
        /// The tseq of the message.
        message: u64,
    },
    /// A reaction to a message.
    Reaction {
        /// The tseq of the message.
        message: u64,
        /// Which reaction.
        emoji: Emoji,
        /// Put there or taken away.
        state: ReactionState,
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
    /// A group got another title.
    Title {
        /// The title.
        title: String,
    },
}

/// What became of a reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReactionState {
    /// It was put there.
    Added,
    /// It was taken away.
    Removed,
}

/// How a membership changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ThreadKind {
    /// Of two users, one per pair; nobody joins or leaves.
    Direct,
    /// Of any number.
    Group,
}

/// A member of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// With which rights.
    pub role: Role,
}

/// What a member may do besides reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
            Body::Message(_) => EventName::Message,
            Body::Edit { .. } => EventName::Edit,
            Body::Delete { .. } => EventName::Delete,
            Body::Reaction { .. } => EventName::Reaction,
            Body::Member { .. } => EventName::Member,
            Body::Thread { .. } | Body::Title { .. } => EventName::Thread,
        }
    }

    /// Whether it counts as a message, and so as unread.
    pub fn is_message(&self) -> bool {
        matches!(self.body, Body::Message(_))
    }

    /// The tseq of the earlier message that it changes, if it changes one.
    pub fn changes(&self) -> Option<u64> {
        match self.body {
            Body::Edit { message, .. } | Body::Delete { message } | Body::Reaction { message, .. } => {
                Some(message)
            }
            _ => None,
        }
    }

    /// The message in it, if it is one.
    pub fn message(&self) -> Option<wire::Message> {
        let Body::Message(said) = &self.body else { return None };
        Some(wire::Message {
            thread: self.thread.clone(),
            tseq: self.tseq,
            number: self.number,
            from: self.by.clone(),
            text: said.text.clone(),
            deleted: said.text.is_none(),
            at: self.at,
            edited_at: said.edited_at,
            reactions: said.reactions.clone(),
            changed: said.changed,
            cut: false,
        })
    }

    /// The `data` of its frame: one line of JSON.
    pub fn data(&self) -> String {
        let json = match &self.body {
            Body::Message(_) => serde_json::to_string(&self.message()),
            Body::Edit { message, text } => serde_json::to_string(&wire::EditData {
                thread: &self.thread,
                tseq: self.tseq,
                message: *message,
                from: &self.by,
                text: text.as_deref(),
                deleted: text.is_none(),
                at: self.at,
            }),
            Body::Delete { message } => serde_json::to_string(&wire::DeleteData {
                thread: &self.thread,
                tseq: self.tseq,
                message: *message,
                from: &self.by,
                at: self.at,
            }),
            Body::Reaction { message, emoji, state } => serde_json::to_string(&wire::ReactionData {
                thread: &self.thread,
                tseq: self.tseq,
                message: *message,
                from: &self.by,
                emoji,
                state: *state,
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
            Body::Thread { of, title, members } => {
                serde_json::to_string(&self.created(*of, title.as_ref(), members))
            }
            Body::Title { title } => serde_json::to_string(&wire::TitleData {
                thread: wire::Titled { id: &self.thread, title },
                tseq: self.tseq,
                by: &self.by,
                at: self.at,
            }),
        };
        json.expect("ids, numbers and strings always serialise")
    }

    fn created(&self, of: ThreadKind, title: Option<&String>, members: &[Member]) -> wire::ThreadData {
        let thread = wire::Thread {
            id: self.thread.clone(),
            kind: of,
            title: title.cloned(),
            members: members.to_vec(),
            created_at: self.at,
            number: 0,
            seen: 0,
            unread: 0,
            last: None,
            seen_by: None,
        };
        wire::ThreadData { thread, tseq: self.tseq }
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
