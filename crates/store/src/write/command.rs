//! What members do to a thread besides joining and leaving: the entry that each command logs, and the row that it changes
//! in the same transaction.

use domain::{
    content::{Draft, MessageContent, ReactionState, Reply, Revision, Told},
    event::{Body, Entry, Role},
    ids::{Emoji, ThreadId, UserId},
    sequence::ThreadSeq,
    version::Version,
};

use mistakes::mistake;

use super::{Early, Rejection, request::WriteRequest};
use crate::{
    log::{self, json},
    table::{
        Item, keys, read,
        retry::Stop,
        rows::{EntryRow, ThreadRow},
        tx::{Tx, s},
    },
};

/// What a member asks for.
#[derive(Debug, Clone, Copy)]
pub enum Command<'a> {
    /// A new message.
    Message(&'a Draft),
    /// A message of the writer's says something else.
    Edit {
        /// The tseq of the message.
        message: ThreadSeq,
        /// What is different from now on.
        revision: &'a Revision,
    },
    /// A message without what it says: one of the writer's, or any one where the writer moderates.
    Delete {
        /// The tseq of the message.
        message: ThreadSeq,
    },
    /// A reaction of the writer's, put under a message or taken away.
    React {
        /// The tseq of the message.
        message: ThreadSeq,
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

/// What to commit.
#[derive(Debug)]
pub(crate) struct PlannedWrite {
    pub(crate) entry: Entry,
    side_effect: SideEffect,
}

/// The row that changes along with the log.
#[derive(Debug)]
enum SideEffect {
    Nothing,
    /// The message that the entry is about. Conditional on the body as it was read: it was read concurrently with the tail,
    /// and may lack a change that the tail includes.
    Message {
        tseq: ThreadSeq,
        was: String,
        now: String,
    },
    Title(String),
}

impl Command<'_> {
    /// The tseq of the earlier message that it changes or replies to, if there is one.
    pub(crate) fn about(&self) -> Option<ThreadSeq> {
        match self {
            Self::Edit { message, .. } | Self::Delete { message } | Self::React { message, .. } => {
                Some(*message)
            }
            Self::Message(draft) => draft.reply_to,
            Self::Title { .. } => None,
        }
    }

    /// The users whom it mentions.
    pub(crate) fn mentions(&self) -> &[UserId] {
        if let Self::Message(draft) = self { &draft.mentions } else { &[] }
    }
}

impl PlannedWrite {
    /// The entry that follows `tail`, and what changes with it.
    fn new(request: &WriteRequest, tail: &Entry, body: Body, side_effect: SideEffect) -> Self {
        let number = tail.number + u64::from(matches!(body, Body::Message(_)));
        let (thread, key) = (tail.thread.clone(), request.clients_key());
        let entry = Entry {
            thread,
            tseq: tail.tseq + 1,
            number,
            by: request.sender.clone(),
            at: request.now,
            key,
            body,
        };
        Self { entry, side_effect }
    }

    /// Adds what changes along with the log to its transaction.
    pub(crate) fn add_to(&self, tx: &mut Tx<'_>) {
        let thread = &self.entry.thread;
        match &self.side_effect {
            SideEffect::Nothing => {}
            SideEffect::Message { tseq, was, now } => tx.update(
                &keys::entry(thread, *tseq),
                "SET body = :now",
                Some("body = :was"),
                vec![(":now", s(now.as_str())), (":was", s(was.as_str()))],
            ),
            SideEffect::Title(title) => tx.update(
                &keys::thread(thread),
                "SET title = :title",
                Some("attribute_exists(pk)"),
                vec![(":title", s(title.as_str()))],
            ),
        }
    }
}

/// Plans a write from the rows it depends on. None if everything is as the command asks already.
///
/// `group` is the thread's row and the sender's role. A direct thread has no roles, and nothing in its row ever changes.
pub(crate) fn plan(
    request: &WriteRequest,
    (tail, group): (&Entry, Option<(&ThreadRow, Role)>),
    about: Option<&Item>,
    command: Command<'_>,
) -> Result<Option<PlannedWrite>, Early> {
    let (message, body) = match command {
        Command::Message(draft) => {
            let reply = match draft.reply_to {
                Some(_) => Some(reply(&tail.thread, about)?),
                None => None,
            };
            let body = Body::Message(Box::new(MessageContent::of(draft, reply)));
            return Ok(Some(PlannedWrite::new(request, tail, body, SideEffect::Nothing)));
        }
        Command::Title { title } => {
            let (group, _) = group.ok_or(Rejection::DirectTitle)?;
            if !request.expected.allows(&Version::of_title(group.title.as_deref())) {
                return Err(Rejection::Changed.into());
            }
            if group.title.as_deref() == Some(title) {
                return Ok(None);
            }
            let body = Body::Title { title: title.into() };
            return Ok(Some(PlannedWrite::new(request, tail, body, SideEffect::Title(title.into()))));
        }
        // What it tells is known once the message is.
        Command::Edit { message, .. } => (message, Body::Edit { message, told: Told::Nothing }),
        Command::Delete { message } => (message, Body::Delete { message }),
        Command::React { message, emoji, state } => {
            (message, Body::Reaction { message, emoji: emoji.clone(), state })
        }
    };
    let found = about.ok_or(Rejection::NoMessage)?;
    if message > tail.tseq {
        // It was written after the tail was read. The place behind that tail is its own, and DynamoDB refuses a
        // transaction that names one row twice.
        return Err(Stop::Conflict.into());
    }
    let found: EntryRow = read(&keys::entry(&tail.thread, message), found.clone())?;
    let (was, target) = (found.body.clone(), log::entry(&tail.thread, found)?);
    let Body::Message(content) = &target.body else { return Err(Rejection::NoMessage.into()) };
    if !request.expected.allows(&Version::of_message(message, content.changed)) {
        return Err(Rejection::Changed.into());
    }
    let moderates = group.is_some_and(|(_, role)| role != Role::Member || mistake!(AnyoneDeletes));
    let next = change(request, (&target.by, content), command, (tail.tseq + 1, moderates))?;
    Ok(next.map(|next| {
        let body = match body {
            Body::Edit { message, .. } => {
                Body::Edit { message, told: next.said().map_or(Told::Deleted, Told::Said) }
            }
            body => body,
        };
        let side_effect =
            SideEffect::Message { tseq: message, was, now: json(&Body::Message(Box::new(next))) };
        PlannedWrite::new(request, tail, body, side_effect)
    }))
}

/// What a reply keeps of the message that it replies to, which the row `about` has.
fn reply(thread: &ThreadId, about: Option<&Item>) -> Result<Reply, Early> {
    let Some(item) = about else { return Err(Rejection::NoReply.into()) };
    let Some(key) = keys::Key::of(item) else { return Err(Rejection::NoReply.into()) };
    let Entry { tseq, number, by: from, body, .. } = log::entry(thread, read(&key, item.clone())?)?;
    match body {
        // Also to one that has been deleted: its replies may be under way.
        Body::Message(_) => Ok(Reply { tseq, number, from }),
        _ => Err(Rejection::NoReply.into()),
    }
}

/// The message as the event `tseq` leaves it; none if nothing changes. A sender who moderates deletes any message.
fn change(
    request: &WriteRequest,
    (author, content): (&UserId, &MessageContent),
    command: Command<'_>,
    (tseq, moderates): (ThreadSeq, bool),
) -> Result<Option<MessageContent>, Rejection> {
    let is_own = author == &request.sender;
    match command {
        Command::Edit { .. } if !is_own => Err(Rejection::NotAuthor),
        Command::Delete { .. } if !is_own && !moderates => Err(Rejection::NotAuthor),
        Command::Delete { .. } if content.text.is_none() => Ok(None),
        Command::Delete { .. } => Ok(Some(MessageContent::deleted(tseq))),
        Command::Edit { revision, .. } => {
            let was = content.said().ok_or(Rejection::Deleted)?;
            let said = revision.of(was.clone());
            if said == was {
                return Ok(None);
            }
            if said.is_blank() {
                return Err(Rejection::Blank);
            }
            if !said.fits_beside(&content.mentions) {
                return Err(Rejection::TooLong);
            }
            Ok(Some(content.edited(said, tseq, request.now)))
        }
        _ if content.text.is_none() => Err(Rejection::Deleted),
        Command::React { emoji, state, .. } => {
            content.reacted(&request.sender, (emoji, state), tseq).map_err(Rejection::TooMany)
        }
        Command::Message(_) | Command::Title { .. } => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use domain::{ids::IdempotencyKey, sequence::MessageNumber, version::Expected};
    use jiff::Timestamp;

    use super::*;
    use crate::{rate::permit::Permit, table::write};

    #[test]
    fn an_edit_waits_for_a_tail_that_is_not_before_its_message() {
        let alice = UserId::parse("alice").unwrap();
        let request = WriteRequest {
            sender: alice.clone(),
            via: None,
            idempotency_key: IdempotencyKey::parse("k").unwrap(),
            key_from_client: true,
            fingerprint: "f".into(),
            expected: Expected::Any,
            now: Timestamp::UNIX_EPOCH,
            permit: Permit::default(),
        };
        let message = |tseq: u64| Entry {
            thread: ThreadId::parse("t_a").unwrap(),
            tseq: ThreadSeq(tseq),
            number: MessageNumber(tseq),
            by: alice.clone(),
            at: Timestamp::UNIX_EPOCH,
            key: None,
            body: Body::Message(Box::new(MessageContent::new("before"))),
        };
        let (fifth, sixth) = (message(5), message(6));
        let item = write(&keys::entry(&sixth.thread, sixth.tseq), &log::row(&sixth, None)).unwrap();
        let revision = Revision::from("now");
        let edit = Command::Edit { message: ThreadSeq(6), revision: &revision };
        let plan = |tail: &Entry, about: Option<&Item>| plan(&request, (tail, None), about, edit);
        assert!(matches!(plan(&fifth, Some(&item)), Err(Early::Stopped(Stop::Conflict))));
        assert!(matches!(plan(&fifth, None), Err(Early::Rejected(Rejection::NoMessage))));
        assert!(matches!(plan(&sixth, Some(&item)), Ok(Some(_))));
    }
}
