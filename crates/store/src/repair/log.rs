//! Repairs the log of a thread. Fills its gaps, applies its entries to the messages they refer to, and restores the
//! idempotency keys of its entries.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    contact::ContactPolicy,
    content::MessageContent,
    event::{Body, Entry, Member, Role, ThreadKind},
    ids::ThreadId,
    sequence::{MessageNumber, ThreadSeq},
};
use serde::de::DeserializeOwned;

use super::{Repair, story::Story};
use crate::{
    log::{entry, json},
    table::{
        error::Error,
        keys::{self, Key, Sender},
        read,
        rows::{EntryRow, KeyRow, ThreadRow},
    },
    write::commit::key_end,
};

/// Entries that are read at a time: a `BatchGetItem` takes 100 keys.
const PAGE: usize = 100;

impl Repair<'_> {
    /// Repairs the log of a thread up to `tail`, its last entry, and tells what it says.
    pub(super) async fn log(&self, thread: &ThreadId, tail: ThreadSeq) -> Result<Story, Error> {
        let mut story: Option<Story> = None;
        let (mut next, mut number) = (ThreadSeq::FIRST, MessageNumber(0));
        while next <= tail {
            let mut rows = Vec::with_capacity(PAGE);
            for row in self.table.between(thread, next, tail, PAGE, true).await? {
                let by = story.as_ref().map_or(&row.by, |story| &story.creator).clone();
                let fillers = fillers(thread, (next, number), EntryRow { by, ..row.clone() })?;
                for mut filler in fillers {
                    if filler.tseq == ThreadSeq::FIRST {
                        filler = self.first(thread).await?;
                    }
                    self.set(&keys::entry(thread, filler.tseq), None, &filler).await?;
                    rows.push(filler);
                }
                (next, number) = (row.tseq.next(), row.number);
                rows.push(row);
                if story.is_none() {
                    story = Story::begin(&entry(thread, rows[0].clone())?);
                }
            }
            if rows.is_empty() || story.is_none() {
                break;
            }
            self.say_again(thread, &mut rows, tail).await?;
            self.keys(thread, &rows).await?;
            for row in rows {
                let entry = entry(thread, row)?;
                if let Some(story) = &mut story {
                    story.take(&entry);
                }
            }
        }
        story.ok_or_else(|| lost(thread, "it does not begin with the thread"))
    }

    /// The first entry of a thread that has lost it, from what it wrote beside itself.
    async fn first(&self, thread: &ThreadId) -> Result<EntryRow, Error> {
        let row: Option<ThreadRow> = self.table.get(&keys::thread(thread)).await?;
        let row = row.ok_or_else(|| lost(thread, "it is gone, and so is the thread's own row"))?;
        let members = if let Some((a, b)) = &row.pair {
            [a, b].map(|user| Member { user: user.clone(), role: Role::Member }).into()
        } else {
            let members = self.table.members(thread).await?;
            let first = members.into_iter().filter(|member| member.joined_tseq == ThreadSeq::FIRST);
            first.map(|member| Member { user: member.user, role: member.role }).collect()
        };
        let of = if row.pair.is_some() { ThreadKind::Direct } else { ThreadKind::Group };
        // The lost entry said whether it invites. A member who has accepted stays active.
        let invites = self.table.contact == ContactPolicy::Invited;
        let body = json(&Body::Thread { of, title: row.title, members, settings: row.settings, invites });
        Ok(EntryRow {
            tseq: ThreadSeq::FIRST,
            number: MessageNumber(0),
            by: row.creator,
            via: None,
            at: row.created,
            body,
            key: None,
            request: None,
        })
    }

    /// Brings the messages that these entries are about to where the entries leave them.
    async fn say_again(
        &self,
        thread: &ThreadId,
        rows: &mut [EntryRow],
        tail: ThreadSeq,
    ) -> Result<(), Error> {
        let entries = rows.iter().map(|row| entry(thread, row.clone()));
        let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
        let about = |entry: &Entry| entry.changes().map(|message| keys::entry(thread, message));
        let wanted: BTreeSet<Key> = entries.iter().filter_map(about).collect();
        let mut targets = self.rows::<EntryRow>(wanted).await?;
        for (row, entry) in rows.iter_mut().zip(&entries) {
            let own = keys::entry(thread, row.tseq);
            if let Body::Message(said) = &entry.body
                && said.changed.is_some_and(|changed| changed > tail)
            {
                // A lost entry after `tail` changed the message. A later write will get the same tseq, and the message
                // does not contain that write.
                let said = MessageContent { changed: Some(tail), ..(**said).clone() };
                self.replace(
                    &own,
                    row,
                    EntryRow { body: json(&Body::Message(Box::new(said))), ..row.clone() },
                )
                .await?;
            }
            let Some(key) = about(entry) else { continue };
            let Some(target) = targets.get_mut(&key).and_then(Option::as_mut) else { continue };
            let Some(next) = said(thread, target)?.and_then(|said| after(&said, entry)) else { continue };
            if matches!(entry.body, Body::Edit { .. }) {
                // The text of the edit is lost. Without the idempotency key, a retry of the request writes the edit
                // again. The key is removed first: if the repair breaks off here, the next run finds the message
                // unchanged.
                self.replace(&own, row, EntryRow { key: None, request: None, ..row.clone() }).await?;
            }
            let next = EntryRow { body: json(&Body::Message(Box::new(next))), ..target.clone() };
            self.replace(&key, target, next).await?;
        }
        Ok(())
    }

    async fn replace(&self, key: &Key, row: &mut EntryRow, next: EntryRow) -> Result<(), Error> {
        self.set(key, Some(row), &next).await?;
        *row = next;
        Ok(())
    }

    /// Writes the idempotency rows that these entries lack.
    async fn keys(&self, thread: &ThreadId, rows: &[EntryRow]) -> Result<(), Error> {
        let known = |row: &EntryRow| {
            let (key, hash, exp) = (row.key.as_ref()?, row.request.clone()?, key_end(row.at));
            let known = KeyRow { hash, thread: thread.clone(), tseq: row.tseq, exp };
            (exp > self.now.as_second())
                .then(|| (keys::idempotency(&Sender::of(&row.by, row.via.as_ref()), key), known))
        };
        let known: BTreeMap<Key, KeyRow> = rows.iter().filter_map(known).collect();
        let found = self.rows(known.keys().cloned()).await?;
        for (key, row) in &known {
            self.set(key, found.get(key).and_then(Option::as_ref), row).await?;
        }
        Ok(())
    }

    /// Rows of one kind; those that do not exist are left out, those that cannot be read are none.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<HashMap<Key, Option<T>>, Error> {
        let keys: Vec<Key> = keys.into_iter().collect();
        let mut rows = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(PAGE) {
            for (key, item) in self.table.get_many(keys, true).await? {
                let row = read(&key, item).ok();
                rows.insert(key, row);
            }
        }
        Ok(rows)
    }
}

/// The entries that fill the gap from `next` up to `row`. The lost content cannot be restored, but without fillers
/// every inbox would wait for the next entry for ever. First come deleted messages, as many as the message numbers
/// require. Then come deletions of entries that never were messages, which have no effect.
fn fillers(
    thread: &ThreadId,
    (next, number): (ThreadSeq, MessageNumber),
    row: EntryRow,
) -> Result<Vec<EntryRow>, Error> {
    if next == row.tseq {
        return Ok(Vec::new());
    }
    let last = if entry(thread, row.clone())?.is_message() { row.number.previous() } else { row.number };
    let filler = |tseq, number| {
        let message = number < last;
        let body = if message {
            Body::Message(Box::new(MessageContent::deleted(tseq)))
        } else {
            Body::Delete { message: tseq }
        };
        let number = number + u64::from(message);
        (number, EntryRow { tseq, number, body: json(&body), key: None, request: None, ..row.clone() })
    };
    let mut number = number;
    let fill = (next.0..row.tseq.0).map(ThreadSeq).map(|tseq| {
        // The first entry of a thread is no message.
        let first = tseq == ThreadSeq::FIRST;
        let (after, row) = filler(tseq, if first { last } else { number });
        number = if first { MessageNumber(0) } else { after };
        row
    });
    Ok(fill.collect())
}

fn lost(thread: &ThreadId, what: &str) -> Error {
    Error::Corrupt { key: keys::entry(thread, ThreadSeq::FIRST).to_string(), source: what.into() }
}

/// What the message in a row says.
fn said(thread: &ThreadId, row: &EntryRow) -> Result<Option<MessageContent>, Error> {
    match entry(thread, row.clone())?.body {
        Body::Message(said) => Ok(Some(*said)),
        _ => Ok(None),
    }
}

/// The message once `entry` has happened to it; none, if it has.
fn after(said: &MessageContent, entry: &Entry) -> Option<MessageContent> {
    let next = MessageContent { changed: Some(entry.tseq), ..said.clone() };
    match &entry.body {
        Body::Delete { .. } if said.text.is_some() => Some(MessageContent::deleted(entry.tseq)),
        _ if said.changed.is_some_and(|changed| changed >= entry.tseq) => None,
        Body::Reaction { emoji, state, .. } if said.text.is_some() => {
            Some(said.reacted(&entry.by, (emoji, *state), entry.tseq).ok().flatten().unwrap_or(next))
        }
        _ => Some(next),
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        content::{ReactionState, Told},
        ids::{Emoji, UserId},
    };
    use jiff::Timestamp;

    use super::*;

    fn at(tseq: u64, body: Body) -> Entry {
        let (thread, by) = (ThreadId::parse("t_a").unwrap(), UserId::parse("bob").unwrap());
        let (tseq, number, at) = (ThreadSeq(tseq), MessageNumber(1), Timestamp::UNIX_EPOCH);
        Entry { thread, tseq, number, by, at, key: None, body }
    }

    #[test]
    fn an_entry_happens_to_its_message_once() {
        let said = MessageContent::new("hi");
        let emoji = Emoji::parse("+1").unwrap();
        for body in [
            Body::Delete { message: ThreadSeq(2) },
            Body::Edit { message: ThreadSeq(2), told: Told::Nothing },
            Body::Reaction { message: ThreadSeq(2), emoji, state: ReactionState::Added },
        ] {
            let next = after(&said, &at(7, body.clone())).unwrap();
            assert_eq!(after(&next, &at(7, body.clone())), None, "{body:?}");
            assert_eq!(next.changed, Some(ThreadSeq(7)));
            assert_eq!(next.text.is_none(), matches!(body, Body::Delete { .. }));
            assert_eq!(next.reactions.len(), usize::from(matches!(body, Body::Reaction { .. })));
        }
    }

    #[test]
    fn a_hole_is_filled_so_that_tseq_and_number_count_on() {
        let thread = ThreadId::parse("t_a").unwrap();
        let row =
            Entry { number: MessageNumber(5), ..at(9, Body::Message(Box::new(MessageContent::new("hi")))) };
        let fill = fillers(&thread, (ThreadSeq(6), MessageNumber(3)), crate::log::row(&row, None)).unwrap();
        let told: Vec<_> = fill.iter().map(|row| (row.tseq.0, row.number.0)).collect();
        assert_eq!(told, [(6, 4), (7, 4), (8, 4)]);
        let entries: Vec<_> = fill.into_iter().map(|row| entry(&thread, row).unwrap()).collect();
        assert_eq!(entries.iter().map(Entry::is_message).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(
            fillers(&thread, (ThreadSeq(9), MessageNumber(4)), crate::log::row(&row, None)).unwrap(),
            []
        );
    }
}
