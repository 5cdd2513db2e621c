//! What members do to a thread besides joining and leaving: the entry that each write logs, and
//! the row that it changes in the same transaction.

use domain::{
    content::{MessageContent, ReactionState, TooMany},
    event::{Body, Entry},
    ids::{Emoji, ThreadId, UserId},
};

use crate::{
    before::Before,
    commit::Origin,
    error::Error,
    keys,
    log::{self, json},
    rows::EntryRow,
    table::read,
    tx::{Tx, s},
};

/// A write as it is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// A new message.
    Message {
        /// What it says.
        text: &'a str,
    },
    /// Another text for a message of the writer's.
    Edit {
        /// The tseq of the message.
        message: u64,
        /// What it says from now on.
        text: &'a str,
    },
    /// A message of the writer's without its text.
    Delete {
        /// The tseq of the message.
        message: u64,
    },
    /// A reaction of the writer's, put under a message or taken away.
    React {
        /// The tseq of the message.
        message: u64,
        /// Which reaction.
        emoji: &'a Emoji,
        /// Put there or taken away.
        state: ReactionState,
    },
    /// Another title for a group.
    Title {
        /// The title.
        title: &'a str,
    },
}

/// Why a member may not do what they asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such message.
    NoMessage,
    /// Only its author changes a message.
    NotAuthor,
    /// The message has been deleted.
    Deleted,
    /// There is no room for the reaction.
    TooMany(TooMany),
    /// A direct thread has no title.
    Direct,
}

/// What there is to commit.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) entry: Entry,
    also: Also,
}

/// What changes along with the log.
#[derive(Debug)]
enum Also {
    Nothing,
    /// The message that the entry is about. Only as it was read: that was beside the tail and not after
    /// it, so the tail may count a change which what was read does not have.
    Message {
        tseq: u64,
        was: String,
        now: String,
    },
    Title(String),
}

impl Asked<'_> {
    /// The tseq of the message that it changes, if it changes one.
    pub(crate) fn about(&self) -> Option<u64> {
        match self {
            Self::Edit { message, .. } | Self::Delete { message } | Self::React { message, .. } => {
                Some(*message)
            }
            Self::Message { .. } | Self::Title { .. } => None,
        }
    }
}

impl Draft {
    /// The entry that follows `tail`, and what changes with it.
    fn new(origin: &Origin, tail: &Entry, body: Body, also: Also) -> Self {
        let number = tail.number + u64::from(matches!(body, Body::Message(_)));
        let thread: ThreadId = tail.thread.clone();
        let entry =
            Entry { thread, tseq: tail.tseq + 1, number, by: origin.by.clone(), at: origin.now, body };
        Self { entry, also }
    }

    /// Adds what changes along with the log to its transaction.
    pub(crate) fn add_to(&self, tx: &mut Tx<'_>) {
        let thread = &self.entry.thread;
        match &self.also {
            Also::Nothing => {}
            Also::Message { tseq, was, now } => tx.update(
                &keys::entry(thread, *tseq),
                "SET body = :now",
                Some("body = :was"),
                vec![(":now", s(now.as_str())), (":was", s(was.as_str()))],
            ),
            Also::Title(title) => tx.update(
                &keys::thread(thread),
                "SET title = :title",
                Some("attribute_exists(pk)"),
                vec![(":title", s(title.as_str()))],
            ),
        }
    }
}

/// Turns a write into what there is to commit, out of what was read before it. Nothing, if all is as
/// asked for already.
pub(crate) fn draft(
    origin: &Origin,
    before: &Before,
    asked: Asked<'_>,
) -> Result<Result<Option<Draft>, Refusal>, Error> {
    let Before { tail, thread, about } = before;
    let (message, body) = match asked {
        Asked::Message { text } => {
            return Ok(Ok(Some(Draft::new(
                origin,
                tail,
                Body::Message(MessageContent::new(text)),
                Also::Nothing,
            ))));
        }
        Asked::Title { .. } if thread.pair.is_some() => return Ok(Err(Refusal::Direct)),
        Asked::Title { title } if thread.title.as_deref() == Some(title) => return Ok(Ok(None)),
        Asked::Title { title } => {
            let body = Body::Title { title: title.into() };
            return Ok(Ok(Some(Draft::new(origin, tail, body, Also::Title(title.into())))));
        }
        Asked::Edit { message, text } => (message, Body::Edit { message, text: Some(text.into()) }),
        Asked::Delete { message } => (message, Body::Delete { message }),
        Asked::React { message, emoji, state } => {
            (message, Body::Reaction { message, emoji: emoji.clone(), state })
        }
    };
    let Some(found) = about else { return Ok(Err(Refusal::NoMessage)) };
    let found: EntryRow = read(&keys::entry(&tail.thread, message), found.clone())?;
    let (was, target) = (found.body.clone(), log::entry(&tail.thread, found)?);
    let Body::Message(said) = &target.body else { return Ok(Err(Refusal::NoMessage)) };
    Ok(change(origin, (&target.by, said), asked, tail.tseq + 1).map(|next| {
        next.map(|next| {
            let also = Also::Message { tseq: message, was, now: json(&Body::Message(next)) };
            Draft::new(origin, tail, body, also)
        })
    }))
}

/// The message as the event `tseq` leaves it; none, if nothing changes.
fn change(
    origin: &Origin,
    (author, said): (&UserId, &MessageContent),
    asked: Asked<'_>,
    tseq: u64,
) -> Result<Option<MessageContent>, Refusal> {
    let own = author == &origin.by;
    match asked {
        Asked::Edit { .. } | Asked::Delete { .. } if !own => Err(Refusal::NotAuthor),
        Asked::Delete { .. } if said.text.is_none() => Ok(None),
        Asked::Delete { .. } => Ok(Some(MessageContent::deleted(tseq))),
        _ if said.text.is_none() => Err(Refusal::Deleted),
        Asked::Edit { text, .. } if said.text.as_deref() == Some(text) => Ok(None),
        Asked::Edit { text, .. } => Ok(Some(said.edited(text, tseq, origin.now))),
        Asked::React { emoji, state, .. } => {
            said.reacted(&origin.by, (emoji, state), tseq).map_err(Refusal::TooMany)
        }
        Asked::Message { .. } | Asked::Title { .. } => Ok(None),
    }
}
