//! Threads: created, and read by their members.

use domain::{
    event::{Body, Entry, Member, Role, ThreadKind},
    ids::{ThreadId, UserId},
    limits, wire,
};
use futures_util::future::try_join;

use crate::{
    commit::{Known, Origin, owe},
    error::Error,
    keys,
    retry::Tried,
    rows::{MemberRow, ThreadRow, ViewRow},
    table::{Table, take},
    tx::Tx,
};

/// How the creation of a thread fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is there; its first entry has to be fanned out.
    Fresh(Entry),
    /// It was there before; its first entry may still have to be fanned out.
    Existing(Entry),
    /// The key belongs to another request.
    KeyReused,
    /// A user has [`limits::USER_THREADS`].
    UserFull(UserId),
}

impl Table {
    /// Creates the group `id` with its creator and `others`.
    pub async fn create_group(
        &self,
        origin: &Origin,
        id: ThreadId,
        title: Option<String>,
        others: &[UserId],
    ) -> Result<Created, Error> {
        let owner = Member { user: origin.by.clone(), role: Role::Owner };
        let others = others.iter().map(|user| Member { user: user.clone(), role: Role::Member });
        let members: Vec<Member> = std::iter::once(owner).chain(others).collect();
        let entry = created(origin, id, ThreadKind::Group, title, members.clone());
        let (entry, members) = (&entry, members.as_slice());
        self.decide(origin, |attempt| async move {
            match self.known(origin).await? {
                Some(Known::Same { thread, .. }) => return self.existing(&thread).await,
                Some(Known::Nothing | Known::Other) => return Ok(Tried::Done(Created::KeyReused)),
                None => {}
            }
            // On a later try they may be full by the try before.
            if attempt == 0
                && let Some(full) = self.full(members).await?
            {
                return Ok(Tried::Refused(Created::UserFull(full)));
            }
            self.found(self.begin(origin, entry)?, origin, entry, members).await
        })
        .await
    }

    /// Creates the direct thread of the sender and `other`, or finds it. There is one per pair,
    /// so it needs no idempotency key.
    pub async fn create_direct(&self, origin: &Origin, other: &UserId) -> Result<Created, Error> {
        let id = ThreadId::direct(&origin.by, other);
        let member = |user: &UserId| Member { user: user.clone(), role: Role::Member };
        let members = vec![member(&origin.by), member(other)];
        let entry = created(origin, id.clone(), ThreadKind::Direct, None, members.clone());
        let (id, entry, members) = (&id, &entry, members.as_slice());
        self.decide(origin, |attempt| async move {
            if let Some(entry) = self.entry(id, 1).await? {
                return Ok(Tried::Done(Created::Existing(entry)));
            }
            if attempt == 0
                && let Some(full) = self.full(members).await?
            {
                // Somebody may have created it meanwhile, and filled them by it.
                let created = self.entry(id, 1).await?;
                return Ok(Tried::Done(created.map_or(Created::UserFull(full), Created::Existing)));
            }
            let mut tx = Tx::new(self);
            tx.put_new(&keys::entry(id, 1), &crate::log::row(entry, None))?;
            self.found(tx, origin, entry, members).await
        })
        .await
    }

    async fn full(&self, members: &[Member]) -> Result<Option<UserId>, Error> {
        let users: Vec<UserId> = members.iter().map(|member| member.user.clone()).collect();
        self.full_user(&users).await
    }

    async fn existing(&self, thread: &ThreadId) -> Result<Tried<Created>, Error> {
        let entry = self.entry(thread, 1).await?;
        Ok(entry.map_or(Tried::InVain, |entry| Tried::Done(Created::Existing(entry))))
    }

    /// Adds the rows of a new thread to a transaction and commits it.
    async fn found(
        &self,
        mut tx: Tx<'_>,
        origin: &Origin,
        entry: &Entry,
        members: &[Member],
    ) -> Result<Tried<Created>, Error> {
        let Body::Thread { of: kind, title, .. } = &entry.body else { return Ok(Tried::InVain) };
        let pair = match (kind, members) {
            (ThreadKind::Direct, [a, b]) => Some((a.user.clone(), b.user.clone())),
            _ => None,
        };
        let row = ThreadRow {
            kind: *kind,
            title: title.clone(),
            creator: origin.by.clone(),
            created: origin.now,
            pair,
        };
        tx.put_new(&keys::thread(&entry.thread), &row)?;
        owe(&mut tx, entry, origin.now);
        for member in members {
            let user = member.user.clone();
            let listed = MemberRow { user: user.clone(), role: member.role, joined: 1, left: None };
            tx.put_new(&keys::member(&entry.thread, &user), &listed)?;
            let view = ViewRow {
                thread: entry.thread.clone(),
                kind: *kind,
                title: title.clone(),
                created: origin.now,
                joined: 1,
                left: None,
                fan: 0,
                seen: 0,
                number: 0,
                activity: origin.now.as_millisecond(),
                preview: None,
                members: members.iter().take(limits::LISTED_MEMBERS).cloned().collect(),
            };
            tx.put_new(&keys::view(&user, &entry.thread), &view)?;
        }
        Ok(tx.answer(Created::Fresh(entry.clone())).await)
    }

    /// A thread as `reader` sees it: all its members, and how far each has read.
    pub async fn thread(&self, reader: &UserId, thread: &ThreadId) -> Result<Option<wire::Thread>, Error> {
        let (row, view) = (keys::thread(thread), keys::view(reader, thread));
        let both = self.get_both::<ThreadRow, ViewRow>(&row, &view);
        let ((row, view), members) = try_join(both, self.current_members(thread)).await?;
        let (Some(row), Some(view)) = (row, view.filter(|view| view.left.is_none())) else { return Ok(None) };
        let last = match view.preview {
            Some(tseq) => self.entry(thread, tseq).await?.and_then(|entry| entry.message()),
            None => None,
        };
        let mut seen_by = None;
        if members.len() <= limits::SEEN_MEMBERS {
            let keys: Vec<_> = members.iter().map(|m| keys::view(&m.user, thread)).collect();
            let mut found = self.get_many(&keys, true).await?;
            let mut seen = std::collections::BTreeMap::new();
            for (member, key) in members.iter().zip(&keys) {
                if let Some(view) = take::<ViewRow>(&mut found, key)? {
                    seen.insert(member.user.clone(), view.seen);
                }
            }
            seen_by = Some(seen);
        }
        let members = members.into_iter().map(|m| Member { user: m.user, role: m.role }).collect();
        Ok(Some(wire::Thread { title: row.title, members, seen_by, ..view.listed(last) }))
    }

    /// Up to `limit` messages before the tseq `before`, the latest first, and where to go on.
    pub async fn messages(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Option<(Vec<wire::Message>, Option<u64>)>, Error> {
        let mut messages = Vec::new();
        let mut to = before.map_or(u64::MAX, |before| before.saturating_sub(1));
        let mut asked = limit + 1;
        while to > 0 && messages.len() <= limit {
            let entries = self.latest(thread, to, asked).await?;
            // Between two messages may lie any number of reactions: then as much as a query gives.
            asked = usize::MAX;
            let Some(last) = entries.last() else { break };
            to = last.tseq - 1;
            messages.extend(entries.iter().filter_map(Entry::message));
        }
        // After the read: who is a member still may see all of it.
        if !self.is_member(thread, reader).await? {
            return Ok(None);
        }
        let more = messages.len() > limit;
        messages.truncate(limit);
        let next = messages.last().map(|m| m.tseq).filter(|_| more);
        Ok(Some((messages, next)))
    }
}

fn created(
    origin: &Origin,
    thread: ThreadId,
    of: ThreadKind,
    title: Option<String>,
    members: Vec<Member>,
) -> Entry {
    let body = Body::Thread { of, title, members };
    Entry { thread, tseq: 1, number: 0, by: origin.by.clone(), at: origin.now, body }
}
