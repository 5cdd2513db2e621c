//! A user's inbox: the events of all the user's threads in one order. The newest stand in the user row, the others in
//! pages.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    credential::Credential,
    cursor::Cursor,
    envelope::{Echo, News},
    event::{Body, Entry, EventName},
    ids::{ThreadId, UserId},
    inbox_entry::{Accepted, Effect, InboxEntry},
    sequence::{InboxSeq, ThreadSeq},
    user_row::UserRow,
    wire::{Me, Seen, ThreadState},
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    log::{self, retell},
    table::{
        EdgeTable,
        error::Error,
        keys::{self, Key},
        rows::MemberRow,
        take,
        tx::s,
        user_row,
    },
    visibility::looked_at,
};

pub mod delivery;
pub(crate) mod fold;
pub mod list;
pub(crate) mod shelf;
mod update;

pub(crate) use update::{Change, Updated};

/// A state of a user row: what one read, or the answer of one update, has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Where the inbox ends.
    pub cursor: Cursor,
    /// The row.
    pub row: UserRow,
}

impl Image {
    /// Whether a credential is accepted no more.
    pub fn revokes(&self, credential: &Credential) -> bool {
        self.row.cutoff.revokes(credential)
    }
}

/// An event of an inbox, ready for a frame.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the inbox.
    pub seq: InboxSeq,
    /// What members are told.
    pub news: News,
}

/// The next events of an inbox, without a gap.
#[derive(Debug, Clone)]
pub struct InboxPage {
    /// The events.
    pub events: Vec<Event>,
    /// What follows them.
    pub rest: Rest,
}

/// What follows the events of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing that the image knows of, or events that were not asked for.
    Unread,
    /// An event whose content is not visible yet. It has been committed: read again.
    Late,
    /// Nothing any more: the page with the next event has expired.
    Gone,
}

impl EdgeTable {
    /// Reads a user's row consistently. Creates an absent row with a random generation.
    pub async fn image(&self, user: &UserId) -> Result<Image, Error> {
        let row = self.row(user).await?;
        if let Some(image) = self.image_of(row) {
            return Ok(image);
        }
        // Every row is made by an update like this one, so of many only the first counts.
        self.update(user, &Change::new()).await?.image()
    }

    /// The rows of up to 100 users, perhaps slightly stale unless `consistent`. An absent, damaged or unavailable row is
    /// left out, so that it does not delay the other users. [`Self::image`] makes an absent row, reports a damaged one,
    /// and reads an unavailable one again.
    pub async fn images(&self, users: &[UserId], consistent: bool) -> Result<HashMap<UserId, Image>, Error> {
        // BatchGetItem takes no key twice.
        let users: BTreeMap<Key, &UserId> = users.iter().map(|user| (keys::user_row(user), user)).collect();
        let mut found = HashMap::with_capacity(users.len());
        self.get_some(users.keys().map(Key::item).collect(), consistent, &mut found).await?;
        let mut images = HashMap::with_capacity(found.len());
        for (key, item) in found {
            let row = user_row::read(&key, Some(&item)).ok();
            if let (Some(user), Some(image)) = (users.get(&key), row.and_then(|row| self.image_of(row))) {
                images.insert((*user).clone(), image);
            }
        }
        Ok(images)
    }

    pub(crate) async fn row(&self, user: &UserId) -> Result<UserRow, Error> {
        let key = keys::user_row(user);
        user_row::read(&key, self.get_item(&key).await?.as_ref())
    }

    /// The rows of up to 100 users, read consistently. An absent row has no generation.
    pub(crate) async fn rows(&self, users: &[&UserId]) -> Result<Vec<UserRow>, Error> {
        let keys: Vec<Key> = users.iter().map(|user| keys::user_row(user)).collect();
        let found = self.get_many(&keys, true).await?;
        keys.iter().map(|key| user_row::read(key, found.get(key))).collect()
    }

    /// The image of a row, if the row exists.
    pub(crate) fn image_of(&self, row: UserRow) -> Option<Image> {
        let cursor = Cursor { r#gen: self.wire_gen(row.r#gen?), seq: row.seq };
        Some(Image { cursor, row })
    }

    /// Up to about `limit` events after `after`, consistently and in order.
    ///
    /// `image` is any state of the row of the same generation that has an event after `after`. Pages are read after it:
    /// a fold puts the page before it cuts the row.
    pub async fn inbox(
        &self,
        user: &UserId,
        image: &Image,
        after: InboxSeq,
        limit: usize,
        now: Timestamp,
    ) -> Result<InboxPage, Error> {
        let (mut entries, mut is_gone) = (Vec::new(), false);
        let mut last = after;
        if after < image.row.folded {
            let (pages, are_all) = self.pages(user, after, limit, now).await?;
            for (seq, entry) in pages {
                if seq == last.next() || mistake!(ReplayOverGap) {
                    last = seq;
                    entries.push((seq, entry));
                } else if seq > last {
                    is_gone = true;
                    break;
                }
            }
            is_gone |= are_all && last < image.row.folded && entries.len() < limit;
        }
        if last >= image.row.folded && entries.len() < limit {
            let rest = image.row.after(last).map(|(seq, entry)| (seq, entry.clone()));
            entries.extend(rest.take(limit - entries.len()));
        }
        let wanted = entries.len();
        let events = self.contents(user, entries).await?;
        let rest = match (events.len() < wanted, is_gone) {
            (true, _) => Rest::Late,
            (false, true) => Rest::Gone,
            (false, false) => Rest::Unread,
        };
        Ok(InboxPage { events, rest })
    }

    /// The entries of some pages after `after`, each with its place, and whether there is no further page.
    async fn pages(
        &self,
        user: &UserId,
        after: InboxSeq,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<(InboxSeq, InboxEntry)>, bool), Error> {
        let found = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", s(keys::user_pk(user)))
            .expression_attribute_values(":from", s(keys::page_sk(after.next())))
            .expression_attribute_values(":to", s(keys::page_sk(InboxSeq::MAX)))
            // Each has up to 16 events.
            .limit(i32::try_from(limit / 8 + 1).unwrap_or(1))
            .consistent_read(true)
            .send()
            .await?;
        let are_all = found.last_evaluated_key.is_none();
        let mut entries = Vec::new();
        for item in found.items.unwrap_or_default() {
            let Some(key) = Key::of(&item) else { continue };
            let seq = key.sk.strip_prefix(keys::PAGES).and_then(|seq| seq.parse::<InboxSeq>().ok());
            let (Some(seq), Some(page)) = (seq, user_row::page(&key, &item, now.as_second())?) else { break };
            let before = seq.0.saturating_sub(page.len() as u64);
            entries.extend((before + 1..).map(InboxSeq).zip(page));
        }
        Ok((entries, are_all))
    }

    /// The events of entries, up to the first whose content is not visible yet.
    async fn contents(
        &self,
        user: &UserId,
        entries: Vec<(InboxSeq, InboxEntry)>,
    ) -> Result<Vec<Event>, Error> {
        let found =
            self.entries_at(&looked_at(entries.iter().filter_map(|(_, entry)| entry.logged()))).await?;
        let mut contents = Vec::with_capacity(entries.len());
        for (seq, entry) in &entries {
            match content(entry, &found) {
                Some(content) => contents.push((*seq, content)),
                None if mistake!(PassedOver) => {}
                None => break,
            }
        }
        self.withhold(user, &mut contents).await?;
        Ok(contents.into_iter().map(|(seq, content)| Event { seq, news: content.news() }).collect())
    }

    /// An entry as `user` may see it, who may have left the thread.
    pub async fn entry_for(
        &self,
        user: &UserId,
        thread: &ThreadId,
        tseq: ThreadSeq,
    ) -> Result<Option<Entry>, Error> {
        let Some(entry) = self.entry(thread, tseq).await? else { return Ok(None) };
        let changed = changed(&entry);
        let mut contents = [(InboxSeq(0), Content::Logged(entry, changed))];
        self.withhold(user, &mut contents).await?;
        let [(_, content)] = contents;
        Ok(match content {
            Content::Logged(entry, _) => Some(entry),
            Content::Seen(_) | Content::Me(_) => None,
        })
    }

    /// What `user` may be told of some threads. What they said was read before.
    pub(crate) async fn reaches(
        &self,
        user: &UserId,
        threads: BTreeSet<ThreadId>,
    ) -> Result<BTreeMap<ThreadId, Reach>, Error> {
        let rows: Vec<Key> = threads.iter().map(|thread| keys::member(thread, user)).collect();
        let mut found = self.get_many(&rows, true).await?;
        let mut reaches = BTreeMap::new();
        for (thread, key) in threads.into_iter().zip(&rows) {
            let row: Option<MemberRow> = take(&mut found, key)?;
            reaches.insert(thread, Reach::of(row.as_ref()));
        }
        Ok(reaches)
    }

    /// Removes what a message says if it was changed after the user had left, or if it was changed and is older than a
    /// joining that hides it. Content is stored once, in its latest state. Membership is read after the content (rule 12).
    async fn withhold(&self, user: &UserId, contents: &mut [(InboxSeq, Content)]) -> Result<(), Error> {
        let is_changed = |content: &Content| match content {
            Content::Logged(entry, Some(changed)) if *changed > entry.tseq => Some(entry.thread.clone()),
            _ => None,
        };
        let threads: BTreeSet<ThreadId> = contents
            .iter()
            .filter_map(|(_, content)| is_changed(content))
            .filter(|t| !t.is_direct())
            .collect();
        if threads.is_empty() || mistake!(LeaverSeesEdits) {
            return Ok(());
        }
        let reaches = self.reaches(user, threads).await?;
        for (_, content) in contents {
            if let Content::Logged(entry, Some(changed)) = content
                && *changed > entry.tseq
                && let Some(reach) = reaches.get(&entry.thread)
                && !reach.covers(entry.changes().unwrap_or(entry.tseq), *changed)
            {
                log::withhold(entry);
            }
        }
        Ok(())
    }
}

/// What a user may be told of a thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// The tseq of the earliest message that they may read.
    pub(crate) from: ThreadSeq,
    /// The tseq at which they left, if they have: 0 if it is not known, because the row of a removed member is deleted after
    /// delivery.
    pub(crate) left: Option<ThreadSeq>,
}

impl Reach {
    fn of(row: Option<&MemberRow>) -> Self {
        let (from, left) = (ThreadSeq::FIRST, Some(ThreadSeq(0)));
        row.map_or(Self { from, left }, |row| Self { from: row.reads_from(), left: row.left_tseq })
    }

    /// Whether it includes the state of a message that was last changed at `changed`.
    fn covers(self, message: ThreadSeq, changed: ThreadSeq) -> bool {
        message >= self.from && self.left.is_none_or(|left| changed <= left)
    }
}

/// What an entry stands for, and the tseq of the latest change of what it shows.
enum Content {
    Logged(Entry, Option<ThreadSeq>),
    Seen(Seen),
    Me(Me),
}

impl Content {
    fn news(&self) -> News {
        match self {
            Self::Logged(entry, _) => news(entry),
            Self::Seen(seen) => seen_news(seen),
            Self::Me(me) => me_news(me),
        }
    }
}

/// What an entry stands for; none while it is not visible.
fn content(entry: &InboxEntry, found: &HashMap<Key, Entry>) -> Option<Content> {
    let logged = match entry {
        InboxEntry::Seen(seen) => return Some(Content::Seen(seen.clone())),
        InboxEntry::Accepted(Accepted { thread, .. }) => {
            return Some(Content::Me(Me { thread: thread.clone(), state: ThreadState::Active }));
        }
        InboxEntry::Logged(logged) => logged,
    };
    let mut content = found.get(&keys::entry(&logged.thread, logged.tseq))?.clone();
    if let Effect::Changed(message) = logged.effect {
        let message = found.get(&keys::entry(&logged.thread, message))?;
        let changed = changed(message);
        let is_there = retell(&mut content, Some(message)) && changed >= Some(logged.tseq);
        if !is_there {
            return None;
        }
        return Some(Content::Logged(content, changed));
    }
    if logged.effect == Effect::Hidden {
        log::withhold(&mut content);
    }
    let changed = changed(&content);
    Some(Content::Logged(content, changed))
}

/// The tseq of the latest change of a message.
fn changed(entry: &Entry) -> Option<ThreadSeq> {
    let Body::Message(content) = &entry.body else { return None };
    content.changed
}

/// A logged event as members are told of it, and the author of a message of its key too.
pub fn news(entry: &Entry) -> News {
    let key = entry.key.clone().filter(|_| entry.is_message());
    let echo = key.map(|key| Echo { author: entry.by.clone(), key });
    News { echo, ..News::new(entry.name(), entry.data()) }
}

/// Seen as members are told of it.
pub fn seen_news(seen: &Seen) -> News {
    News::new(EventName::Seen, serde_json::to_string(seen).expect("ids and numbers always serialise"))
}

/// What a member has decided, as their own devices are told of it.
pub fn me_news(me: &Me) -> News {
    News::new(EventName::Me, serde_json::to_string(me).expect("ids always serialise"))
}
