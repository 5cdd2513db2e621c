//! What lies behind each key of [`super::keys`]: the schema, on one page.
//!
//! The user row and its pages are in `table/user_row.rs`: their attributes have no fixed names. A member's view is
//! [`domain::view::View`].
//!
//! `exp`, in seconds since 1970, is the table's TTL attribute. DynamoDB deletes up to days late
//! and in any order, so every reader of a row with `exp` looks at it.

use domain::{
    event::{History, Role, Settings, ThreadKind},
    ids::{BootId, IdempotencyKey, QueueId, ThreadId, UserId},
    mark::Mark,
    sequence::{MessageNumber, ProfileVersion, ThreadSeq},
};
use jiff::Timestamp;
use mistakes::mistake;
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
    /// What holds in it for good.
    #[serde(flatten)]
    pub settings: Settings,
}

/// `T#t` / `M#u`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Who.
    pub user: UserId,
    /// With which rights.
    pub role: Role,
    /// The tseq at which they joined: the first entry that they get.
    pub joined_tseq: ThreadSeq,
    /// The tseq at which they left: the last entry that they get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_tseq: Option<ThreadSeq>,
    /// Who ended the membership. The row of a member who left by themselves stays: they have said that they want out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_by: Option<LeftBy>,
    /// Whether a former member has got everything up to the leaving. No delivery looks at the row again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_told: bool,
    /// Whether they may read only what is not older than their joining: the setting of the thread.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_since_joining: bool,
}

impl MemberRow {
    /// A member who joins a thread with these settings at `tseq`.
    pub fn joined(user: UserId, role: Role, tseq: ThreadSeq, settings: Settings) -> Self {
        let reads_since_joining = settings.history == History::Joined;
        Self {
            user,
            role,
            joined_tseq: tseq,
            left_tseq: None,
            left_by: None,
            is_told: false,
            reads_since_joining,
        }
    }

    /// The tseq of the earliest message that they may read.
    pub fn reads_from(&self) -> ThreadSeq {
        if self.reads_since_joining && !mistake!(HistoryOpen) { self.joined_tseq } else { ThreadSeq::FIRST }
    }
}

/// Who ended a membership, and whether the user may be added again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftBy {
    /// The member, who does not want to be added again.
    Member,
    /// The member, who has since allowed others to add them again.
    Allowed,
    /// The owner of the thread, or a moderator.
    Owner,
}

/// `U#u` / `B#other`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRow {
    /// Who is blocked.
    pub user: UserId,
    /// Since when.
    pub at: Timestamp,
}

/// `U#u` / `PROFILE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRow {
    /// `domain::profile::Profile` as JSON.
    pub profile: String,
    /// Counts its changes.
    pub version: ProfileVersion,
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
    /// The service that acted for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<UserId>,
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

/// `S#sender` or `S#/service` / `K#key`.
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
    /// The tseq (of seen: the message number) that every member has to get.
    pub target: u64,
    /// Since when it lies here, in milliseconds since 1970. For metrics alone: no decision compares it with a clock.
    pub since: i64,
    /// Counts the writes and claims of the row. An observer that has seen it unchanged for long enough takes the row.
    pub claim: u64,
    /// Whether the last change was a claim, and not a write.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub claimed: bool,
    /// How far the chain that holds the row has got: the sort key of the member it went on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_through: Option<String>,
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
    /// The session of that token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Mark>,
    /// `exp` of that token, in seconds since 1970: the stream ends with it.
    pub expires: i64,
    /// Until when the ticket itself is good, in seconds since 1970; also its TTL.
    pub exp: i64,
}
