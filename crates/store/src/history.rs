//! The messages of a thread, as its members read them.

use domain::{
    event::Entry,
    ids::{ThreadId, UserId},
    limits,
    sequence::ThreadSeq,
    wire,
};
use mistakes::mistake;

use crate::{
    log::entry,
    table::{Table, error::Error, keys, read, rows::MemberRow},
};

impl Table {
    /// A message, as it is now.
    pub async fn message(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        tseq: ThreadSeq,
    ) -> Result<Option<wire::Message>, Error> {
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
        Ok(found.filter(|entry| entry.tseq >= first).and_then(|entry| entry.message()))
    }

    /// Up to `limit` messages before the tseq `before`, the latest first, and where to go on. Fewer, if so much else lies
    /// between them that [`limits::MESSAGE_READS`] do not bring more.
    pub async fn messages(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        before: Option<ThreadSeq>,
        limit: usize,
    ) -> Result<Option<(Vec<wire::Message>, Option<ThreadSeq>)>, Error> {
        if !self.lets_in(thread, reader).await? && !mistake!(StrangerReads) {
            return Ok(None);
        }
        let mut messages = Vec::new();
        // Everything from here on was read.
        let mut from = before.unwrap_or(ThreadSeq::MAX);
        let mut asked = limit + 1;
        for _ in 0..limits::MESSAGE_READS {
            if from <= ThreadSeq::FIRST || messages.len() > limit {
                break;
            }
            let entries = self.latest(thread, from.previous(), asked).await?;
            // Between two messages may lie any number of reactions: then as much as a query gives.
            asked = usize::MAX;
            from = entries.last().map_or(ThreadSeq::FIRST, |last| last.tseq);
            messages.extend(entries.iter().filter_map(Entry::message));
        }
        let Some(first) = self.readable_from(reader, thread).await? else { return Ok(None) };
        messages.retain(|message| message.tseq >= first);
        if messages.len() > limit {
            messages.truncate(limit);
            from = messages.last().map_or(from, |message| message.tseq);
        }
        let next = Some(from).filter(|from| *from > first);
        Ok(Some((messages, next)))
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
