//! What members are told of: the entries of a thread log and of an inbox, and the names of all
//! events on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    content::{MessageContent, ReactionState, Told},
    ids::{Emoji, IdempotencyKey, ThreadId, UserId},
    sequence::{MessageNumber, ThreadSeq},
};

/// The name of an SSE event. Never `open` or `error`: `EventSource` raises those itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventName {
    /// First of every stream.
    Hello,
    /// Logged: a message.
    Message,
    /// Logged: a message says something else.
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
    /// Register: what a member has decided about a thread, for that member alone.
    Me,
    /// Ephemeral: somebody types.
    Typing,
    /// The connection lives.
    Ping,
    /// The cursor is of no use: drop the state and list again.
    Reset,
    /// Last of a stream that the edge ends.
    Bye,
}

/// How an event reaches a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// By the inbox, at a place of its own; a row of the thread log has its content.
    Logged,
    /// By the inbox, at a place of its own; the maximum counts, and nothing is logged.
    Register,
    /// By an envelope alone, and only to streams that are live. It has no place and no memory.
    Ephemeral,
    /// Written by the edge itself. It never stands in an envelope.
    Edge,
}

impl EventName {
    /// How the event reaches a stream. A new event does not compile without an answer.
    pub const fn delivery(self) -> Delivery {
        match self {
            Self::Message | Self::Edit | Self::Delete | Self::Reaction | Self::Member | Self::Thread => {
                Delivery::Logged
            }
            Self::Seen | Self::Me => Delivery::Register,
            Self::Typing => Delivery::Ephemeral,
            Self::Hello | Self::Ping | Self::Reset | Self::Bye => Delivery::Edge,
        }
    }

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
            Self::Me => "me",
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
    pub tseq: ThreadSeq,
    /// How many messages the thread has, this one included if it is one.
    pub number: MessageNumber,
    /// Who caused it.
    pub by: UserId,
    /// When, by the writer's clock. Never used for order.
    pub at: Timestamp,
    /// The idempotency key that its author has chosen, if they have. Nobody else is told.
    pub key: Option<IdempotencyKey>,
    /// What happened.
    pub body: Body,
}

/// What a logged event says; its only copy is in the thread log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Body {
    /// A message, as it is now.
    Message(Box<MessageContent>),
    /// A message was made to say something else.
    Edit {
        /// The tseq of the message.
        message: ThreadSeq,
        /// What the message says now, which is kept with the message and nowhere else.
        #[serde(skip)]
        told: Told,
    },
    /// A message was deleted.
    Delete {
        /// The tseq of the message.
        message: ThreadSeq,
    },
    /// A reaction to a message.
    Reaction {
        /// The tseq of the message.
        message: ThreadSeq,
        /// Which reaction.
        emoji: Emoji,
        /// Put there or taken away.
        state: ReactionState,
    },
    /// A change of membership.
    Member {
        /// Whose membership.
        user: UserId,
        /// Who was added with them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<UserId>,
        /// What changed.
        change: Change,
        /// Their role from now on: with [`Change::Role`], and with [`Change::Added`] where it is not [`Role::Member`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
        /// Who owns the thread from now on, if it was the owner who left or handed it over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<UserId>,
        /// Whether a user who was added is only invited.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        invites: bool,
    },
    /// The thread came to be: always the entry with tseq 1.
    Thread {
        /// Direct or group.
        of: ThreadKind,
        /// Its title, if it has one.
        title: Option<String>,
        /// Its members from the start.
        members: Vec<Member>,
        /// What holds in it for good.
        #[serde(flatten)]
        settings: Settings,
        /// Whether the members besides its creator are only invited.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        invites: bool,
    },
    /// A group got another title.
    Title {
        /// The title.
        title: String,
    },
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
    /// They have another role.
    Role,
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

/// What holds in a group from its creation on. A direct thread has the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What a member may read of the time before they joined.
    #[serde(default, skip_serializing_if = "is_default")]
    pub history: History,
    /// The least of the roles whose holders add members.
    #[serde(default, skip_serializing_if = "is_default")]
    pub adds: Role,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    value == &T::default()
}

/// What a member of a group may read of the time before they joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// Everything.
    #[default]
    All,
    /// Nothing. They are told that an older message was edited, deleted or reacted to, by whom, and with which reaction. They
    /// are never told what it says.
    Joined,
}

/// A member of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// With which rights.
    pub role: Role,
}

/// What a member may do besides reading and writing. A greater role may do all that a lesser one may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Puts others in, unless the group keeps that to greater roles, and leaves.
    #[default]
    Member,
    /// Takes members out, and deletes messages of others.
    Moderator,
    /// Created the thread, or took it over. Gives roles, and may do to everybody what moderators may do to members.
    Owner,
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

    /// Whether those whom it makes members, besides its author, are only invited.
    pub fn invites(&self) -> bool {
        matches!(self.body, Body::Thread { invites: true, .. } | Body::Member { invites: true, .. })
    }

    /// Whether it adds `user` to a thread that was there before.
    pub fn adds(&self, user: &UserId) -> bool {
        match &self.body {
            Body::Member { user: first, others, change: Change::Added, .. } => {
                first == user || others.contains(user)
            }
            _ => false,
        }
    }

    /// Whether it counts as a message, and so as unread.
    pub fn is_message(&self) -> bool {
        matches!(self.body, Body::Message(_))
    }

    /// The tseq of the earlier message that it changes, if it changes one.
    pub fn changes(&self) -> Option<ThreadSeq> {
        match self.body {
            Body::Edit { message, .. } | Body::Delete { message } | Body::Reaction { message, .. } => {
                Some(message)
            }
            _ => None,
        }
    }
}
