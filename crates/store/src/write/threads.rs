//! Threads: created, and read by their members.

use std::collections::BTreeMap;

use domain::{
    contact::ContactPolicy,
    event::{Body, Entry, Member, Role, Settings, ThreadKind},
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    limits,
    sequence::{MessageNumber, ThreadSeq},
    view::{View, seen_by},
    wire,
};
use futures_util::future::{try_join, try_join3};
use mistakes::mistake;

use super::{Early, Outcome, Rejection, WriteError, commit::commit, request::WriteRequest};
use crate::{
    inbox::{fold::facts_as_of, list::as_listed},
    outbox::enqueue,
    table::{
        Table,
        error::Error,
        keys,
        retry::Stop,
        rows::{MemberRow, ThreadRow},
        take,
        tx::Tx,
    },
};

impl Table {
    /// Creates the group `id` with its creator and `others`.
    pub async fn create_group(
        &self,
        request: &WriteRequest,
        id: ThreadId,
        (title, settings): (Option<String>, Settings),
        others: &[UserId],
    ) -> Result<Outcome, WriteError> {
        let owner = Member { user: request.sender.clone(), role: Role::Owner };
        let rest = others.iter().map(|user| Member { user: user.clone(), role: Role::Member });
        let members: Vec<Member> = std::iter::once(owner).chain(rest).collect();
        let invites = self.invites(request);
        let body = Body::Thread { of: ThreadKind::Group, title, members: members.clone(), settings, invites };
        let entry = first(request, id, body);
        let (entry, members) = (&entry, members.as_slice());
        self.may_contact(request).map_err(WriteError::Rejected)?;
        self.decide(request, |attempt| async move {
            // At a later attempt the sender may be full by an earlier one.
            if attempt.number == 0 && self.is_full(&request.sender).await? {
                return Err(Rejection::UserFull.into());
            }
            if self.any_blocks(others, &request.sender).await? {
                return Err(Rejection::Unwilling.into());
            }
            self.commit_thread(self.begin(request, entry)?, request, entry, members).await
        })
        .await
    }

    /// Creates the direct thread of the sender and `other`, or finds it. There is one per pair,
    /// so it needs no idempotency key.
    pub async fn create_direct(&self, request: &WriteRequest, other: &UserId) -> Result<Outcome, WriteError> {
        let id = self.direct_id(&request.sender, other).await?;
        let member = |user: &UserId| Member { user: user.clone(), role: Role::Member };
        let members = vec![member(&request.sender), member(other)];
        let invites = self.invites(request);
        let (of, settings) = (ThreadKind::Direct, Settings::default());
        let body = Body::Thread { of, title: None, members: members.clone(), settings, invites };
        let entry = first(request, id.clone(), body);
        let (id, entry, members) = (&id, &entry, members.as_slice());
        let request = &WriteRequest { key_from_client: false, ..request.clone() };
        if request.permit.refusal().is_some()
            && self.may_repeat(&request.sender, request.now)
            && let Some(entry) = self.entry(id, ThreadSeq::FIRST).await?
        {
            // No new thread, whatever the user has used.
            return Ok(Outcome::Replayed(entry));
        }
        self.decide(request, |attempt| async move {
            if let Some(entry) = self.entry(id, ThreadSeq::FIRST).await? {
                request.permit.give_back(self, &request.sender, request.now).await;
                return Ok(Outcome::Replayed(entry));
            }
            self.may_contact(request)?;
            if attempt.number == 0 && self.is_full(&request.sender).await? {
                // Another writer may have created the thread meanwhile, which filled the sender.
                return match self.entry(id, ThreadSeq::FIRST).await? {
                    Some(entry) => {
                        request.permit.give_back(self, &request.sender, request.now).await;
                        Ok(Outcome::Replayed(entry))
                    }
                    None => Err(Rejection::UserFull.into()),
                };
            }
            if self.any_blocks(std::slice::from_ref(other), &request.sender).await? {
                return Err(Rejection::Unwilling.into());
            }
            self.commit_thread(self.begin(request, entry)?, request, entry, members).await
        })
        .await
    }

    /// Adds the rows of a new thread to a transaction and commits it.
    async fn commit_thread(
        &self,
        mut tx: Tx<'_>,
        request: &WriteRequest,
        entry: &Entry,
        members: &[Member],
    ) -> Result<Outcome, Early> {
        let Body::Thread { of: kind, title, settings, .. } = &entry.body else {
            return Err(Stop::Conflict.into());
        };
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
            settings: *settings,
        };
        tx.put_new(&keys::thread(&entry.thread), &row)?;
        enqueue(&mut tx, entry, request.now);
        for member in members {
            let listed = MemberRow::joined(member.user.clone(), member.role, ThreadSeq::FIRST, *settings);
            tx.put_new(&keys::member(&entry.thread, &member.user), &listed)?;
        }
        commit(tx, request, entry).await?;
        Ok(Outcome::Logged(entry.clone(), None))
    }

    /// A thread as `reader` sees it: all its members, and how far each has read. Content comes first, membership after
    /// it: whoever is a member still may see all of it.
    pub async fn thread(&self, reader: &UserId, thread: &ThreadId) -> Result<Option<wire::Thread>, Error> {
        let (image, is_in) = try_join(self.image(reader), self.lets_in(thread, reader)).await?;
        if !is_in {
            return Ok(None);
        }
        let row = async { self.get::<ThreadRow>(&keys::thread(thread)).await };
        let (view, row, members) =
            try_join3(self.view_of(reader, thread, &image), row, self.current_members(thread)).await?;
        let (Some(row), true) = (row, members.iter().any(|member| &member.user == reader)) else {
            return Ok(None);
        };
        let view = match view.filter(|view| view.left_tseq.is_none()) {
            // The delivery that makes it is still under way.
            None => self.unknown_view(reader, thread).await?,
            known => known,
        };
        let Some(view) = view else { return Ok(None) };
        let last = async {
            let Some(tseq) = view.preview else { return Ok::<_, Error>(None) };
            Ok(self.entry(thread, tseq).await?.and_then(|entry| entry.message_for(reader)))
        };
        let with_seen = members.len() <= limits::SEEN_MEMBERS;
        let users: Vec<&UserId> = members.iter().map(|member| &member.user).filter(|_| with_seen).collect();
        let (last, rows) = try_join(last, self.rows(&users)).await?;
        // The views come after the rows, and the reader's membership after everything that only a member may see.
        let views = users.iter().map(|user| keys::view(user, thread));
        let member = keys::member(thread, reader);
        let mut found = self.get_many(&views.chain([member.clone()]).collect::<Vec<_>>(), true).await?;
        let member: Option<MemberRow> = take(&mut found, &member)?;
        let Some(member) = member.filter(|member| member.left_tseq.is_none()) else {
            self.turn_out(thread, reader);
            return Ok(None);
        };
        // A user who was added again meanwhile may not read the last message where the group hides what is older.
        let last = last.filter(|last| last.tseq >= member.reads_from());
        let pairs: Vec<_> = users.iter().map(|user| (*user, thread)).collect();
        let viewed = self.with_shelf(&pairs, found, true).await?;
        let mut seen_of = BTreeMap::new();
        for ((user, row), viewed) in users.into_iter().zip(rows).zip(viewed) {
            let viewed = viewed?.view;
            let entries = row.entries.iter().filter(|entry| entry.thread() == thread);
            // What the reader was told of the others counts as well: their own rows may be a moment late.
            let told = image.row.entries.iter().filter(|entry| entry.thread() == thread);
            let known = if user == reader { view.seen } else { view.others_seen };
            let told = seen_by(user, reader, told).max(known);
            let own = seen_by(user, user, entries).max(viewed.map(|view| view.seen).unwrap_or_default());
            // A member who has blocked the reader no longer shows how far they read.
            let is_hidden = thread.is_direct() && row.has_blocked(reader);
            let number = if is_hidden { told } else { told.max(own) };
            seen_of.insert(user.clone(), number);
        }
        let members = members.into_iter().map(|m| Member { user: m.user, role: m.role }).collect();
        // As it is now, whatever the view has.
        let facts = facts_as_of(row, members);
        Ok(Some(wire::Thread { seen_by: with_seen.then_some(seen_of), ..as_listed(view, facts, last) }))
    }

    /// The view of a member to whom nothing was delivered yet: as of the joining, with everything before it seen.
    async fn unknown_view(&self, reader: &UserId, thread: &ThreadId) -> Result<Option<View>, Error> {
        let member: Option<MemberRow> = self.get(&keys::member(thread, reader)).await?;
        let Some(member) = member.filter(|member| member.left_tseq.is_none()) else { return Ok(None) };
        let Some(joined) = self.entry(thread, member.joined_tseq).await? else { return Ok(None) };
        Ok(View::fold(None, reader, [&InboxEntry::of(&joined, reader, member.reads_from())], None))
    }
}

impl Table {
    /// Whether the users whom a request makes members are only invited. A back end asks them itself.
    pub(crate) fn invites(&self, request: &WriteRequest) -> bool {
        self.contact == ContactPolicy::Invited && request.via.is_none() && !mistake!(InvitedAtOnce)
    }

    /// Whether a request may make other users members.
    pub(crate) fn may_contact(&self, request: &WriteRequest) -> Result<(), Rejection> {
        let may = self.contact != ContactPolicy::Service || request.via.is_some();
        if may { Ok(()) } else { Err(Rejection::ServiceOnly) }
    }
}

/// The entry that a thread begins with.
fn first(request: &WriteRequest, thread: ThreadId, body: Body) -> Entry {
    Entry {
        thread,
        tseq: ThreadSeq::FIRST,
        number: MessageNumber(0),
        by: request.sender.clone(),
        at: request.now,
        key: request.clients_key(),
        body,
    }
}
