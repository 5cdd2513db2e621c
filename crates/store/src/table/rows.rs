//! What lies behind each key of [`super::keys`]: the schema, on one page.
//!
//! `exp`, in seconds since 1970, is the table's TTL attribute. DynamoDB deletes up to days late
//! and in any order, so every reader of a row with `exp` looks at it.

use domain::{
    event::{Member, Role, ThreadKind},
    ids::{BootId, IdempotencyKey, QueueId, ThreadId, UserId},
    sequence::{InboxSeq, MessageNumber, ThreadSeq},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `T#t` / `META`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadRow {
    /// Direct or group.
    pub kind: ThreadKind,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who created it.
    pub creator: UserId,
    /// When.
    pub created: Timestamp,
    /// The two members of a direct thread, which never change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<(UserId, UserId)>,
}

/// `T#t` / `M#u`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Who.
    pub user: UserId,
    /// With which rights.
    pub role: Role,
    /// The tseq at which they joined: the first that they are told of.
    pub joined: ThreadSeq,
    /// The tseq at which they left: the last that they are told of.
    /// (`LEFT` is a reserved word of DynamoDB's expressions.)
    #[serde(rename = "left_at", default, skip_serializing_if = "Option::is_none")]
    pub left: Option<ThreadSeq>,
}

/// `T#t` / `E#tseq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// Its place in the thread.
    pub tseq: ThreadSeq,
    /// Messages so far, this one included.
    pub number: MessageNumber,
    /// Who caused it.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// `domain::event::Body` as JSON; the only copy of what was said. An edit or a deletion
    /// overwrites it in the transaction that logs them.
    pub body: String,
    /// The idempotency key of the write. With `request` it duplicates the content of the key's own row. So after a
    /// restore with only one of the two rows, a repair can write or delete the key's row. None if a retry is recognised
    /// in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<IdempotencyKey>,
    /// Hash of the request that used the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// `S#sender` / `K#key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Hash of the request that used the key.
    pub hash: String,
    /// The thread that it wrote to.
    pub thread: ThreadId,
    /// The entry that it wrote; 0 if there was nothing to write.
    pub tseq: ThreadSeq,
    /// Seconds since 1970.
    pub exp: i64,
}

/// `O#shard` / `T#t` or `T#t#S#u`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// The thread.
    pub thread: ThreadId,
    /// Whose seen this is; absent for the thread's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<UserId>,
    /// The tseq (of seen: the message number) that every member has to be told of.
    pub upto: u64,
    /// Since when it lies here, in milliseconds since 1970.
    pub since: i64,
    /// When the sweeper may take it up, in milliseconds since 1970.
    pub due: i64,
    /// How far the chain that holds the row has got: the sort key of the member it went on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<String>,
}

/// `U#u` / `M#t`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRow {
    /// The thread.
    pub thread: ThreadId,
    /// Direct or group.
    pub kind: ThreadKind,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When the thread was created.
    pub created: Timestamp,
    /// The tseq at which this member joined.
    pub joined: ThreadSeq,
    /// The tseq at which they left.
    /// (`LEFT` is a reserved word of DynamoDB's expressions.)
    #[serde(rename = "left_at", default, skip_serializing_if = "Option::is_none")]
    pub left: Option<ThreadSeq>,
    /// The last tseq copied to this member's inbox.
    pub fan: ThreadSeq,
    /// The message number up to which they have read.
    pub seen: MessageNumber,
    /// Messages as of `fan`. (`NUMBER` is a reserved word of DynamoDB's expressions.)
    #[serde(rename = "messages")]
    pub number: MessageNumber,
    /// The latest message or the creation, in milliseconds since 1970: orders the list of threads.
    pub activity: i64,
    /// The tseq of the latest message as of `fan`. What it says is kept with the message and
    /// nowhere else, so that a list never shows what has been edited away or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<ThreadSeq>,
    /// At most [`domain::limits::LISTED_MEMBERS`] of its members.
    pub members: Vec<Member>,
}

/// `U#u` / `HEAD`. Never has an `exp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRow {
    /// 64 random bits.
    pub r#gen: u64,
    /// The largest seq ever given out.
    pub seq: InboxSeq,
    /// The earliest `iat` still accepted of this user, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authv: Option<i64>,
}

/// `U#u` / `L#seq`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InboxRow {
    /// Its place in the inbox.
    pub seq: InboxSeq,
    /// The thread.
    pub thread: ThreadId,
    /// Of a logged event: its place in the thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tseq: Option<ThreadSeq>,
    /// Of seen: who has read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<UserId>,
    /// Of seen: up to which message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<MessageNumber>,
    /// Seconds since 1970; an event past it counts as absent.
    pub exp: i64,
}

/// `U#u` / `Q#queue`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseRow {
    /// The queue.
    pub queue: QueueId,
    /// Where it is posted to.
    pub url: String,
    /// Who receives from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<BootId>,
    /// Since when nobody does, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<i64>,
    /// Seconds since 1970; only of an edge's queue, which nobody else can take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
}

/// `QUEUES#shard` / `queue`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueRow {
    /// The queue.
    pub queue: QueueId,
    /// Whose it is; absent for an edge's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Which edge's it is; absent for a user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<BootId>,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
}

/// `EDGE` / `boot`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EdgeRow {
    /// Which edge.
    pub boot: BootId,
    /// Counts its beats.
    pub beat: u64,
    /// The time of its last beat by its own clock: good for presence, never for safety.
    pub at: Timestamp,
    /// Its open streams.
    pub streams: u64,
    /// Whether an observer has marked it dead.
    #[serde(default)]
    pub dead: bool,
}

/// `K#ticket` / `TICKET`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TicketRow {
    /// For whom it opens a stream.
    pub user: UserId,
    /// `iat` of the token that asked for it, in seconds since 1970.
    pub issued: i64,
    /// `exp` of that token, in seconds since 1970: the stream ends with it.
    pub expires: i64,
    /// Until when the ticket itself is good, in seconds since 1970; also its TTL.
    pub exp: i64,
}
