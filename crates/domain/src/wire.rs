//! The JSON shapes of the HTTP API and of the frames' `data`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    attachment::{Attachment, Data},
    content::{ReactionState, Reactions, Reply, Told},
    event::{Body, Change, Entry, History, Member, Role, Settings, ThreadKind},
    ids::{Emoji, IdempotencyKey, ThreadId, UserId},
    profile::Face,
    sequence::{MessageNumber, ProfileVersion, ThreadSeq},
    version::Version,
};

/// How to show the users whom an answer names.
pub type Faces = BTreeMap<UserId, Face>;

/// A thread as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Thread {
    /// Its id.
    pub id: ThreadId,
    /// Direct or group.
    pub kind: ThreadKind,
    /// Its title; direct threads have none.
    pub title: Option<String>,
    /// Its members; in a list of threads only the first eight.
    pub members: Vec<Member>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What members may read of the time before they joined.
    pub history: History,
    /// The least of the roles whose holders add members.
    pub adds: Role,
    /// Whether the reader is only invited.
    pub state: ThreadState,
    /// How many messages it has.
    pub number: MessageNumber,
    /// Up to which message number the reader has seen it.
    pub seen: MessageNumber,
    /// `number` − `seen`.
    pub unread: u64,
    /// Its latest message; in a list of threads the text may be cut.
    pub last: Option<Message>,
    /// How far each member has seen it; only where one thread is read, and only up to 64 members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, MessageNumber>>, nullable = false)]
    pub seen_by: Option<BTreeMap<UserId, MessageNumber>>,
    /// How to show its members, up to 100 of them; only where one thread is read or created.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Face>>, nullable = false)]
    pub users: Option<Faces>,
}

impl Thread {
    /// The version of what a request can change of it, for `ETag` and `If-Match`.
    pub fn version(&self) -> Version {
        Version::of_title(self.title.as_deref())
    }
}

/// What a thread is to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ThreadState {
    /// The reader has created it, has accepted it, or takes part.
    Active,
    /// Another user has put the reader into it. Accepting, reading and writing make it active.
    Invited,
}

/// `data` of a `me` frame: what a member has decided about a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The thread.
    pub thread: ThreadId,
    /// What it is to the member from now on.
    pub state: ThreadState,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Its id: the thread's, a full stop, and the tseq.
    #[schema(pattern = r"^[td]_[a-z0-9]{1,40}\.[0-9]{1,20}$")]
    pub id: String,
    /// The thread.
    pub thread: ThreadId,
    /// Its place among the thread's logged events.
    pub tseq: ThreadSeq,
    /// Its place among the thread's messages.
    pub number: MessageNumber,
    /// Who said it.
    pub from: UserId,
    /// The version of the author's profile when they said it; absent if they had none. A client that knows an older one reads
    /// the profile again.
    #[serde(default, skip_serializing_if = "crate::event::is_default")]
    #[schema(required = false)]
    pub from_version: ProfileVersion,
    /// What was said; empty, if attachments say it all; absent once the message is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// Files that belong to it; absent without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// What the application keeps with it; absent if there is nothing.
    #[serde(default, skip_serializing_if = "Data::is_empty")]
    pub data: Data,
    /// Members whom it mentions; absent without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// The message that it replies to; absent if it replies to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reply: Option<Reply>,
    /// Whether it has been deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// When, by the server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When its author last changed what it says; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub edited_at: Option<Timestamp>,
    /// Who has reacted, by reaction, the earliest first; absent without any.
    #[serde(default, skip_serializing_if = "Reactions::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<UserId>>)]
    pub reactions: Reactions,
    /// The tseq of the latest event that changed it: of two copies the one with the larger
    /// `changed` is the newer. Absent if it never was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub changed: Option<ThreadSeq>,
    /// The text is a preview and goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// The `Idempotency-Key` with which it was sent. Only its author gets it, and only if they have sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key: Option<IdempotencyKey>,
}

/// How far a member has read a thread; clients take the maximum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seen {
    /// The thread.
    pub thread: ThreadId,
    /// Who has read.
    pub user: UserId,
    /// Up to which message number.
    pub number: MessageNumber,
}

/// Somebody types, or has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Typing {
    /// The thread.
    pub thread: ThreadId,
    /// Who types.
    pub user: UserId,
    /// Started or stopped.
    pub state: TypingState,
    /// How long it is worth showing, in milliseconds.
    pub ttl_ms: u64,
}

/// Whether somebody types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TypingState {
    /// Typing now.
    Started,
    /// Not any more.
    Stopped,
}

/// Whether a user has an open stream somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Presence {
    /// The user.
    pub user: UserId,
    /// Whether some edge holds a stream of theirs.
    pub online: bool,
    /// When this was looked up.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A user whom the reader has blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Block {
    /// The user.
    pub user: UserId,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// The token of the next page; none on the last.
    pub next: Option<String>,
}

/// A page of messages, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Messages {
    /// The messages.
    pub items: Vec<Message>,
    /// `before` of the next page, with older messages; none on the last.
    pub next: Option<String>,
    /// `after` of the next page with newer messages; none, if there are none yet. Absent in a list that goes back only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub newer: Option<Option<String>>,
    /// What the messages name beside themselves; absent if that is nothing.
    #[serde(skip_serializing_if = "Included::is_empty")]
    #[schema(required = false)]
    pub included: Included,
    /// How to show those whom the messages name.
    #[schema(value_type = BTreeMap<String, Face>)]
    pub users: Faces,
}

/// What a page names beside its items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Included {
    /// Messages that others on the page reply to, as far as the reader may read them.
    pub messages: Vec<Message>,
}

impl Included {
    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// `data` of an `edit` frame. It tells what the message says now.
#[derive(Debug, Serialize, ToSchema)]
pub struct EditData<'a> {
    /// The thread.
    pub thread: &'a ThreadId,
    /// Its place among the thread's logged events.
    pub tseq: ThreadSeq,
    /// The tseq of the message.
    pub message: ThreadSeq,
    /// Who has done it.
    pub from: &'a UserId,
    /// The text. Absent if the message is deleted, or the reader may not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<&'a str>,
    /// The files; absent without any.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub attachments: &'a [Attachment],
    /// What the application keeps with it; absent if there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub data: Option<&'a Data>,
    /// Whether the message has been deleted since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// When, by the server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// `data` of a `delete` frame.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeleteData<'a> {
    /// The thread.
    pub thread: &'a ThreadId,
    /// Its place among the thread's logged events.
    pub tseq: ThreadSeq,
    /// The tseq of the message.
    pub message: ThreadSeq,
    /// Who has done it.
    pub from: &'a UserId,
    /// When, by the server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// `data` of a `reaction` frame.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReactionData<'a> {
    /// The thread.
    pub thread: &'a ThreadId,
    /// Its place among the thread's logged events.
    pub tseq: ThreadSeq,
    /// The tseq of the message.
    pub message: ThreadSeq,
    /// Who has done it.
    pub from: &'a UserId,
    /// Which reaction.
    pub emoji: &'a Emoji,
    /// Added or removed.
    pub state: ReactionState,
    /// When, by the server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// `data` of a `member` frame.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberData<'a> {
    /// The thread.
    pub thread: &'a ThreadId,
    /// Its place among the thread's logged events.
    pub tseq: ThreadSeq,
    /// Whose membership.
    pub user: &'a UserId,
    /// Who was added with them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub others: &'a [UserId],
    /// What changed.
    pub change: Change,
    /// The role from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<Role>,
    /// Who owns the thread from now on, if that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<&'a UserId>,
    /// `invited`, if those who were added are only invited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub state: Option<ThreadState>,
    /// Who has done it.
    pub by: &'a UserId,
    /// When, by the server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// `data` of a `thread` frame for a thread that was created.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThreadData<'a> {
    /// The thread as it was created.
    pub thread: Thread,
    /// Its place among the thread's logged events.
    pub tseq: ThreadSeq,
    /// Who has done it.
    pub by: &'a UserId,
}

/// `data` of a `thread` frame for a thread with a new title: of the thread only what changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct TitleData<'a> {
    /// Of the thread what has changed.
    pub thread: Titled<'a>,
    /// Its place among the thread's logged events.
    pub tseq: ThreadSeq,
    /// Who has done it.
    pub by: &'a UserId,
    /// When, by the server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// What a new title changes of a thread.
#[derive(Debug, Serialize, ToSchema)]
pub struct Titled<'a> {
    /// Its id.
    pub id: &'a ThreadId,
    /// Its title.
    pub title: &'a str,
}

impl Message {
    /// The message as a list of threads shows it: its text perhaps cut.
    #[must_use]
    pub fn preview(mut self) -> Self {
        if let Some(text) = &mut self.text {
            let kept = preview(text, crate::limits::PREVIEW_BYTES).len();
            self.cut = kept < text.len();
            text.truncate(kept);
        }
        self
    }

    /// Its version, for `ETag` and `If-Match`.
    pub fn version(&self) -> Version {
        Version::of_message(self.tseq, self.changed)
    }
}

/// The beginning of a text, at most `bytes` long and never cut inside a character.
fn preview(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// How entries read on the wire.
impl Entry {
    /// The message in it, if it is one.
    pub fn message(&self) -> Option<Message> {
        let Body::Message(content) = &self.body else { return None };
        Some(Message {
            id: format!("{}.{}", self.thread, self.tseq),
            thread: self.thread.clone(),
            tseq: self.tseq,
            number: self.number,
            from: self.by.clone(),
            from_version: content.from_version,
            text: content.text.clone(),
            attachments: content.attachments.clone(),
            data: content.data.clone(),
            mentions: content.mentions.clone(),
            reply: content.reply.clone(),
            deleted: content.text.is_none(),
            at: self.at,
            edited_at: content.edited_at,
            reactions: content.reactions.clone(),
            changed: content.changed,
            cut: false,
            key: None,
        })
    }

    /// The same as `reader` reads it: with its key, if they are its author.
    pub fn message_for(&self, reader: &UserId) -> Option<Message> {
        let key = self.key.clone().filter(|_| reader == &self.by);
        self.message().map(|message| Message { key, ..message })
    }

    /// The `data` of its frame: one line of JSON, the same for everybody.
    pub fn data(&self) -> String {
        let json = match &self.body {
            Body::Message(_) => serde_json::to_string(&self.message()),
            Body::Edit { message, told } => {
                let said = if let Told::Said(said) = told { Some(said) } else { None };
                serde_json::to_string(&EditData {
                    thread: &self.thread,
                    tseq: self.tseq,
                    message: *message,
                    from: &self.by,
                    text: said.map(|said| said.text.as_str()),
                    attachments: said.map_or(&[], |said| &said.attachments),
                    data: said.map(|said| &said.data).filter(|data| !data.is_empty()),
                    deleted: *told == Told::Deleted,
                    at: self.at,
                })
            }
            Body::Delete { message } => serde_json::to_string(&DeleteData {
                thread: &self.thread,
                tseq: self.tseq,
                message: *message,
                from: &self.by,
                at: self.at,
            }),
            Body::Reaction { message, emoji, state } => serde_json::to_string(&ReactionData {
                thread: &self.thread,
                tseq: self.tseq,
                message: *message,
                from: &self.by,
                emoji,
                state: *state,
                at: self.at,
            }),
            Body::Member { user, others, change, role, owner, .. } => serde_json::to_string(&MemberData {
                thread: &self.thread,
                tseq: self.tseq,
                user,
                others,
                change: *change,
                role: *role,
                owner: owner.as_ref(),
                state: self.invites().then_some(ThreadState::Invited),
                by: &self.by,
                at: self.at,
            }),
            Body::Thread { of, title, members, settings, .. } => {
                serde_json::to_string(&self.created(*of, title.as_ref(), members, *settings))
            }
            Body::Title { title } => serde_json::to_string(&TitleData {
                thread: Titled { id: &self.thread, title },
                tseq: self.tseq,
                by: &self.by,
                at: self.at,
            }),
        };
        json.expect("ids, numbers and strings always serialise")
    }

    fn created(
        &self,
        of: ThreadKind,
        title: Option<&String>,
        members: &[Member],
        Settings { history, adds }: Settings,
    ) -> ThreadData<'_> {
        let thread = Thread {
            id: self.thread.clone(),
            kind: of,
            title: title.cloned(),
            members: members.to_vec(),
            created_at: self.at,
            history,
            adds,
            state: if self.invites() { ThreadState::Invited } else { ThreadState::Active },
            number: MessageNumber(0),
            seen: MessageNumber(0),
            unread: 0,
            last: None,
            seen_by: None,
            users: None,
        };
        ThreadData { thread, tseq: self.tseq, by: &self.by }
    }
}
