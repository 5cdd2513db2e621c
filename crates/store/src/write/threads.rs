//! Threads: created, and read by their members.

use domain::{
    event::{Body, Entry, Member, Role, ThreadKind},
    ids::{ThreadId, UserId},
    limits,
    sequence::{MessageNumber, ThreadSeq},
    wire,
};
use futures_util::future::try_join;

use super::{Early, Outcome, Rejection, WriteError, commit::enqueue, request::WriteRequest};
use crate::table::{
    Table,
    error::Error,
    keys,
    retry::Stop,
    rows::{MemberRow, ThreadRow, ViewRow},
    take,
    tx::Tx,
};

impl Table {
    /// Creates the group `id` with its creator and `others`.
    pub async fn create_group(
        &self,
        request: &WriteRequest,
        id: ThreadId,
        title: Option<String>,
        others: &[UserId],
    ) -> Result<Outcome, WriteError> {
        let owner = Member { user: request.sender.clone(), role: Role::Owner };
        let others = others.iter().map(|user| Member { user: user.clone(), role: Role::Member });
        let members: Vec<Member> = std::iter::once(owner).chain(others).collect();
        let entry = created(request, id, ThreadKind::Group, title, members.clone());
        let (entry, members) = (&entry, members.as_slice());
        self.decide(request, |attempt| async move {
            if let Some(known) = self.known(request).await? {
                return Err(self.answer_known(known).await?);
            }
            // At a later attempt a member may be full by an earlier one.
            if attempt.number == 0
                && let Some(full) = self.full(members).await?
            {
                return Err(Rejection::UserFull(full).into());
            }
            self.commit_thread(self.begin(request, entry)?, request, entry, members).await
        })
        .await
    }

    /// Creates the direct thread of the sender and `other`, or finds it. There is one per pair,
    /// so it needs no idempotency key.
    pub async fn create_direct(&self, request: &WriteRequest, other: &UserId) -> Result<Outcome, WriteError> {
        let id = ThreadId::direct(&request.sender, other);
        let member = |user: &UserId| Member { user: user.clone(), role: Role::Member };
        let members = vec![member(&request.sender), member(other)];
        let entry = created(request, id.clone(), ThreadKind::Direct, None, members.clone());
        let (id, entry, members) = (&id, &entry, members.as_slice());
        self.decide(request, |attempt| async move {
            if let Some(entry) = self.entry(id, ThreadSeq::FIRST).await? {
                return Ok(Outcome::Replayed(entry));
            }
            if attempt.number == 0
                && let Some(full) = self.full(members).await?
            {
                // Another writer may have created the thread meanwhile, which filled the user.
                let created = self.entry(id, ThreadSeq::FIRST).await?.map(Outcome::Replayed);
                return Err(Early::decided(created.ok_or(Rejection::UserFull(full))));
            }
            let mut tx = Tx::new(self);
            tx.put_new(&keys::entry(id, ThreadSeq::FIRST), &crate::log::row(entry, None))?;
            self.commit_thread(tx, request, entry, members).await
        })
        .await
    }

    async fn full(&self, members: &[Member]) -> Result<Option<UserId>, Error> {
        let users: Vec<UserId> = members.iter().map(|member| member.user.clone()).collect();
        self.full_user(&users).await
    }

    /// Adds the rows of a new thread to a transaction and commits it.
    async fn commit_thread(
        &self,
        mut tx: Tx<'_>,
        request: &WriteRequest,
        entry: &Entry,
        members: &[Member],
    ) -> Result<Outcome, Early> {
        let Body::Thread { of: kind, title, .. } = &entry.body else { return Err(Stop::Conflict.into()) };
        let pair = match (kind, members) {
            (ThreadKind::Direct, [a, b]) => Some((a.user.clone(), b.user.clone())),
            _ => None,
        };
        let row = ThreadRow {
            kind: *kind,
            title: title.clone(),
            creator: request.sender.clone(),
            created: request.now,
            pair,
        };
        tx.put_new(&keys::thread(&entry.thread), &row)?;
        enqueue(&mut tx, entry, request.now);
        for member in members {
            let user = member.user.clone();
            let listed =
                MemberRow { user: user.clone(), role: member.role, joined: ThreadSeq::FIRST, left: None };
            tx.put_new(&keys::member(&entry.thread, &user), &listed)?;
            let view = ViewRow {
                thread: entry.thread.clone(),
                kind: *kind,
                title: title.clone(),
                created: request.now,
                joined: ThreadSeq::FIRST,
                left: None,
                fan: ThreadSeq(0),
                seen: MessageNumber(0),
                number: MessageNumber(0),
                activity: request.now.as_millisecond(),
                preview: None,
                members: members.iter().take(limits::LISTED_MEMBERS).cloned().collect(),
            };
            tx.put_new(&keys::view(&user, &entry.thread), &view)?;
        }
        tx.commit().await?;
        Ok(Outcome::Logged(entry.clone()))
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
        before: Option<ThreadSeq>,
        limit: usize,
    ) -> Result<Option<(Vec<wire::Message>, Option<ThreadSeq>)>, Error> {
        let mut messages = Vec::new();
        let mut to = before.map_or(ThreadSeq::MAX, ThreadSeq::previous);
        let mut asked = limit + 1;
        while to > ThreadSeq(0) && messages.len() <= limit {
            let entries = self.latest(thread, to, asked).await?;
            // Between two messages may lie any number of reactions: then as much as a query gives.
            asked = usize::MAX;
            let Some(last) = entries.last() else { break };
            to = last.tseq.previous();
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
    request: &WriteRequest,
    thread: ThreadId,
    of: ThreadKind,
    title: Option<String>,
    members: Vec<Member>,
) -> Entry {
    let body = Body::Thread { of, title, members };
    Entry {
        thread,
        tseq: ThreadSeq::FIRST,
        number: MessageNumber(0),
        by: request.sender.clone(),
        at: request.now,
        body,
    }
}
