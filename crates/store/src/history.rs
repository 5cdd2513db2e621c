//! The messages of a thread, as its members read them.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    event::{Body, Entry},
    ids::{ThreadId, UserId},
    limits,
    sequence::ThreadSeq,
    wire::Message,
};
use mistakes::mistake;

use crate::{
    log::entry,
    table::{
        Table,
        error::Error,
        keys::{self, Key},
        read,
        rows::MemberRow,
    },
};

/// Which messages of a thread to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Those before this tseq: [`ThreadSeq::MAX`] for the latest of all.
    Before(ThreadSeq),
    /// Those after this tseq.
    After(ThreadSeq),
    /// The one at this tseq, as many before it, and as many after it.
    Around(ThreadSeq),
}

/// Messages of a thread, without a gap between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePage {
    /// The messages, the latest first.
    pub messages: Vec<Message>,
    /// Before which tseq there may be older ones.
    pub older: Option<ThreadSeq>,
    /// After which tseq there may be newer ones, as far as the window goes that way.
    pub newer: Option<ThreadSeq>,
    /// Messages to which others on the page reply, and which are not on it.
    pub replied: Vec<Message>,
}

/// What lies on one side of a place in a thread.
struct Side {
    /// The messages, the nearest first.
    messages: Vec<Entry>,
    /// The last tseq that was read; none at the end of the thread.
    through: Option<ThreadSeq>,
    /// The nearest message that is left out, if one was read.
    beyond: Option<ThreadSeq>,
}

impl Side {
    /// Keeps the nearest `limit` messages.
    fn cut(&mut self, limit: usize) {
        if let Some(beyond) = self.messages.get(limit) {
            self.beyond = Some(beyond.tseq);
            self.messages.truncate(limit);
            self.through = self.messages.last().map(|entry| entry.tseq);
        }
    }
}

impl Table {
    /// A message, as it is now.
    pub async fn message(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        tseq: ThreadSeq,
    ) -> Result<Option<Message>, Error> {
        if !self.lets_in(thread, reader).await? {
            return Ok(None);
        }
        let found = if let Some(entry) = self.entry(thread, tseq).await? {
            Some(entry)
        } else {
            // A message that was just acknowledged may not be visible yet (rule 18).
            let key = keys::entry(thread, tseq);
            let row = self.applied(&key).await?.map(|item| read(&key, item)).transpose()?;
            row.map(|row| entry(thread, row)).transpose()?
        };
        let Some(first) = self.readable_from(reader, thread).await? else { return Ok(None) };
        Ok(found.filter(|entry| entry.tseq >= first).and_then(|entry| entry.message_for(reader)))
    }

    /// Up to `limit` messages of a window. Fewer, if so much else lies between them that [`limits::MESSAGE_READS`] do not
    /// bring more. None, if the reader is no member.
    pub async fn messages(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        window: Window,
        limit: usize,
    ) -> Result<Option<MessagePage>, Error> {
        if !self.lets_in(thread, reader).await? && !mistake!(StrangerReads) {
            return Ok(None);
        }
        let (before, older_limit, after, newer_limit) = match window {
            Window::Before(before) => (before, limit, None, 0),
            Window::After(after) => (after.next(), 0, Some(after), limit),
            Window::Around(at) => (at.next(), limit - limit / 2, Some(at), limit / 2),
        };
        let mut reads = limits::MESSAGE_READS;
        let older = self.older(thread, before, older_limit, &mut reads).await?;
        let newer = match after {
            Some(after) => self.newer(thread, after, newer_limit, &mut reads).await?,
            None => Side { messages: Vec::new(), through: None, beyond: None },
        };
        let latest_first = newer.messages.iter().rev().chain(&older.messages);
        let replied = self.replied(thread, latest_first.clone()).await?;
        // Content comes first, membership after it.
        let Some(first) = self.readable_from(reader, thread).await? else { return Ok(None) };
        let readable = |entry: &Entry| entry.message_for(reader).filter(|message| message.tseq >= first);
        Ok(Some(MessagePage {
            messages: latest_first.filter_map(readable).collect(),
            older: older
                .through
                .filter(|through| *through > first && older.beyond.is_none_or(|tseq| tseq >= first)),
            newer: newer.through,
            replied: replied.iter().filter_map(readable).collect(),
        }))
    }

    /// Up to `limit` messages before `before`, the latest first.
    async fn older(
        &self,
        thread: &ThreadId,
        before: ThreadSeq,
        limit: usize,
        reads: &mut usize,
    ) -> Result<Side, Error> {
        let mut side = Side { messages: Vec::new(), through: Some(before), beyond: None };
        let mut asked = limit + 1;
        while let Some(from) = side.through.filter(|from| *from > ThreadSeq::FIRST)
            && side.messages.len() <= limit
            && limit > 0
            && *reads > 0
        {
            *reads -= 1;
            let entries = self.latest(thread, from.previous(), asked).await?;
            // Between two messages may lie any number of reactions: then as much as a query gives.
            asked = usize::MAX;
            side.through = entries.last().map(|last| last.tseq).filter(|tseq| *tseq > ThreadSeq::FIRST);
            side.messages.extend(entries.into_iter().filter(Entry::is_message));
        }
        side.cut(limit);
        Ok(side)
    }

    /// Up to `limit` messages after `after`, the earliest first.
    async fn newer(
        &self,
        thread: &ThreadId,
        after: ThreadSeq,
        limit: usize,
        reads: &mut usize,
    ) -> Result<Side, Error> {
        let mut side = Side { messages: Vec::new(), through: Some(after), beyond: None };
        let mut asked = limit + 1;
        while let Some(from) = side.through
            && side.messages.len() <= limit
            && limit > 0
            && *reads > 0
        {
            *reads -= 1;
            let entries = self.entries(thread, from.next(), ThreadSeq::MAX, asked).await?;
            asked = usize::MAX;
            side.through = entries.last().map(|last| last.tseq);
            side.messages.extend(entries.into_iter().filter(Entry::is_message));
        }
        side.cut(limit);
        Ok(side)
    }

    /// The messages to which some entries reply, other than these.
    async fn replied<'a>(
        &self,
        thread: &ThreadId,
        page: impl Iterator<Item = &'a Entry> + Clone,
    ) -> Result<Vec<Entry>, Error> {
        let on_page: BTreeSet<ThreadSeq> = page.clone().map(|entry| entry.tseq).collect();
        let replied = |entry: &Entry| match &entry.body {
            Body::Message(content) => content.reply.as_ref().map(|reply| reply.tseq),
            _ => None,
        };
        let wanted = page.filter_map(replied).filter(|tseq| !on_page.contains(tseq));
        let wanted: BTreeMap<Key, &ThreadId> =
            wanted.map(|tseq| (keys::entry(thread, tseq), thread)).collect();
        let mut found: Vec<Entry> = self.entries_at(&wanted).await?.into_values().collect();
        found.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.tseq));
        Ok(found)
    }

    /// From which tseq on a member may read the thread: all of it, or all since the joining. None, if the reader is no
    /// member any more. Call it after what it lets through was read.
    async fn readable_from(&self, reader: &UserId, thread: &ThreadId) -> Result<Option<ThreadSeq>, Error> {
        // The members of a direct thread never change.
        if thread.is_direct() || mistake!(GuestReads) {
            return Ok(Some(ThreadSeq::FIRST));
        }
        let row: Option<MemberRow> = self.get(&keys::member(thread, reader)).await?;
        let member = row.filter(|row| row.left_tseq.is_none());
        if member.is_none() {
            self.turn_out(thread, reader);
        }
        Ok(member.map(|member| member.reads_from()))
    }
}
