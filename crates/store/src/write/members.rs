//! How the members of a thread change (rule 12).

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    event::{Body, Change, Entry, Role, Settings},
    ids::{ThreadId, UserId},
    limits,
};
use futures_util::future::try_join;
use jiff::Timestamp;
use mistakes::mistake;

use super::{Early, Outcome, Rejection, WriteError, commit::commit, request::WriteRequest};
use crate::{
    inbox::delivery::Parcel,
    outbox::enqueue,
    table::{
        Table,
        error::Error,
        keys,
        retry::Attempt,
        rows::{LeftBy, MemberRow, ThreadRow},
        tx::{ABSENT, Tx, n, s},
    },
};

/// What a change of membership depends on.
#[derive(Debug)]
struct Membership {
    tail: Entry,
    settings: Settings,
    /// The members, and the former ones.
    members: Vec<MemberRow>,
}

impl Membership {
    /// The row of a user who is a member now.
    fn member(&self, user: &UserId) -> Option<&MemberRow> {
        self.members.iter().find(|member| &member.user == user && member.left_tseq.is_none())
    }
}

impl Table {
    /// Adds `user` to `thread`, or gives a member another role. Without a role, a user is added as a member, and a member
    /// keeps the role that they have. The owner alone gives roles above that of a member, or takes them.
    pub async fn put_member(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
        role: Option<Role>,
    ) -> Result<Outcome, WriteError> {
        self.decide(request, |attempt| self.put_once(request, thread, (user, role), attempt)).await
    }

    async fn put_once(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        (user, role): (&UserId, Option<Role>),
        attempt: Attempt,
    ) -> Result<Outcome, Early> {
        let membership = self.read_membership(request, thread, attempt).await?;
        let member = |who: &UserId| membership.member(who);
        let Some(sender) = member(&request.sender) else { return Err(Rejection::NotMember.into()) };
        let is_owner = sender.role == Role::Owner || mistake!(AnyoneGivesRoles);
        match (member(user), role) {
            (Some(_), None) => self.unchanged(request, thread).await,
            (Some(was), Some(role)) if was.role == role => self.unchanged(request, thread).await,
            (_, Some(role)) if !is_owner && role != Role::Member => Err(Rejection::NotOwner.into()),
            // A moderator steps down.
            (Some(was), _) if !is_owner && was.user != request.sender => Err(Rejection::NotOwner.into()),
            (Some(was), Some(role)) => {
                self.change_role(request, membership.tail.clone(), sender, (was, role)).await
            }
            (None, Some(Role::Owner)) => Err(Rejection::NotYetMember.into()),
            (None, role) => self.add_once(request, &membership, (user, &[]), role.unwrap_or_default()).await,
        }
    }

    /// Gives a member another role. An owner who hands the thread over becomes a moderator.
    async fn change_role(
        &self,
        request: &WriteRequest,
        tail: Entry,
        owner: &MemberRow,
        (was, role): (&MemberRow, Role),
    ) -> Result<Outcome, Early> {
        let (changed, role, heir) = match role {
            Role::Owner => (owner, Role::Moderator, Some(was)),
            _ if was.role == Role::Owner => return Err(Rejection::LastOwner.into()),
            role => (was, role, None),
        };
        let heir_id = heir.map(|heir| heir.user.clone());
        let entry = next(request, &tail, &changed.user, (Change::Role, Some(role)), heir_id);
        let mut tx = self.begin(request, &entry)?;
        enqueue(&mut tx, &entry, request.now);
        put_role(&mut tx, &entry.thread, changed, role)?;
        if let Some(heir) = heir {
            put_role(&mut tx, &entry.thread, heir, Role::Owner)?;
        }
        commit(tx, request, &entry).await?;
        Ok(Outcome::Logged(entry, Some(tail)))
    }

    /// Adds up to [`limits::CREATE_MEMBERS`] users to `thread`, by one event. Members keep their roles. If one user cannot be
    /// added, the request adds none.
    pub async fn add_members(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        users: &[UserId],
    ) -> Result<Outcome, WriteError> {
        self.decide(request, |attempt| self.add_all_once(request, thread, users, attempt)).await
    }

    async fn add_all_once(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        users: &[UserId],
        attempt: Attempt,
    ) -> Result<Outcome, Early> {
        let membership = self.read_membership(request, thread, attempt).await?;
        let users: Vec<&UserId> = users.iter().filter(|user| membership.member(user).is_none()).collect();
        match users.split_first() {
            Some((first, others)) => self.add_once(request, &membership, (first, others), Role::Member).await,
            None => self.unchanged(request, thread).await,
        }
    }

    async fn add_once(
        &self,
        request: &WriteRequest,
        membership: &Membership,
        (user, others): (&UserId, &[&UserId]),
        role: Role,
    ) -> Result<Outcome, Early> {
        let Membership { tail, settings, members } = membership;
        let thread = &tail.thread;
        let sender = membership.member(&request.sender).map(|sender| sender.role);
        if sender < Some(settings.adds) && !mistake!(AnyoneAdds) {
            return Err(Rejection::MayNotAdd(settings.adds).into());
        }
        let current = members.iter().filter(|member| member.left_tseq.is_none());
        if current.count() + others.len() >= limits::THREAD_MEMBERS {
            return Err(Rejection::ThreadFull.into());
        }
        self.may_contact(request)?;
        let users: Vec<UserId> = std::iter::once(&user).chain(others).copied().cloned().collect();
        let former = |user: &UserId| members.iter().find(|member| &member.user == user);
        let has_left = |user| former(user).is_some_and(|former| former.left_by == Some(LeftBy::Member));
        if users.iter().any(has_left) && !mistake!(LeaverAddedAgain) {
            return Err(Rejection::Unwilling.into());
        }
        if self.any_blocks(&users, &request.sender).await? {
            return Err(Rejection::Unwilling.into());
        }
        for former in users.iter().filter_map(former) {
            self.tell_of_leaving(former, thread, request.now).await?;
        }
        let special = Some(role).filter(|role| *role != Role::Member);
        let mut entry = next(request, tail, user, (Change::Added, special), None);
        if let Body::Member { invites, others, .. } = &mut entry.body {
            *invites = self.invites(request);
            *others = users[1..].to_vec();
        }
        let mut tx = self.begin(request, &entry)?;
        enqueue(&mut tx, &entry, request.now);
        let joined_tseq = if mistake!(JoinerNotTold) { entry.tseq.next() } else { entry.tseq };
        for user in &users {
            let member = MemberRow::joined(user.clone(), role, joined_tseq, *settings);
            let (condition, values) = match former(user).and_then(|former| former.left_tseq) {
                None => (ABSENT, Vec::new()),
                // The row of one who was removed may have gone meanwhile.
                Some(left) => ("attribute_not_exists(pk) OR left_tseq = :left", vec![(":left", n(left))]),
            };
            tx.put_if(&keys::member(thread, user), &member, condition, values)?;
        }
        commit(tx, request, &entry).await?;
        Ok(Outcome::Logged(entry, Some(tail.clone())))
    }

    /// Completes a former membership before a new one replaces its row, which says how far to deliver.
    async fn tell_of_leaving(
        &self,
        former: &MemberRow,
        thread: &ThreadId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(goal) = former.left_tseq.filter(|_| !former.is_told && !mistake!(RejoinerNotTold)) else {
            return Ok(());
        };
        let parcel = Parcel { thread, goal, fresh: &[], now };
        let position = self.positions(&[&former.user], thread).await?.pop().flatten();
        self.deliver_to_inbox(former, parcel, position).await.map(drop)
    }

    /// Removes `user` from `thread`. The user is told of the removal, and of nothing later. An owner who leaves hands the
    /// thread over in the same commit.
    pub async fn remove_member(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
    ) -> Result<Outcome, WriteError> {
        self.decide(request, |attempt| self.remove_once(request, thread, user, attempt)).await
    }

    async fn remove_once(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
        attempt: Attempt,
    ) -> Result<Outcome, Early> {
        let Membership { tail, members, .. } = self.read_membership(request, thread, attempt).await?;
        let member = |who: &UserId| members.iter().find(|m| &m.user == who && m.left_tseq.is_none());
        let Some(leaver) = member(user) else { return self.unchanged(request, thread).await };
        let (change, by) =
            if user == &request.sender { (Change::Left, "member") } else { (Change::Removed, "owner") };
        let sender = member(&request.sender).map_or(Role::Member, |sender| sender.role);
        if change == Change::Removed && !may_remove(sender, leaver.role) {
            return Err(Rejection::NotModerator.into());
        }
        let heir = if leaver.role == Role::Owner && !mistake!(NoHeir) { heir(&members, user) } else { None };
        let entry = next(request, &tail, user, (change, None), heir.map(|heir| heir.user.clone()));
        let mut tx = self.begin(request, &entry)?;
        enqueue(&mut tx, &entry, request.now);
        tx.update(
            &keys::member(thread, user),
            "SET left_tseq = :left, left_by = :by",
            Some("attribute_exists(pk) AND attribute_not_exists(left_tseq)"),
            vec![(":left", n(entry.tseq)), (":by", s(by))],
        );
        if let Some(heir) = heir {
            put_role(&mut tx, thread, heir, Role::Owner)?;
        }
        commit(tx, request, &entry).await?;
        self.turn_out(thread, user);
        Ok(Outcome::Logged(entry, Some(tail)))
    }

    /// Notes that a former member has got everything up to the leaving, unless they have come back. The row of one who
    /// was removed goes. The row of one who left by themselves stays: it says that they want out.
    pub async fn forget_member(&self, thread: &ThreadId, member: &MemberRow) -> Result<(), Error> {
        let Some(left) = member.left_tseq else { return Ok(()) };
        let (key, as_left) = (keys::member(thread, &member.user), "left_tseq = :left");
        if member.left_by != Some(LeftBy::Owner) {
            let values = vec![(":true", AttributeValue::Bool(true)), (":left", n(left))];
            return self.update_if(&key, "SET is_told = :true", as_left, values).await.map(drop);
        }
        self.delete_if(&key, as_left, vec![(":left", n(left))]).await
    }

    /// The tail of a group, settled, and then its settings and members. The sender is one of them.
    async fn read_membership(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        attempt: Attempt,
    ) -> Result<Membership, Early> {
        self.enter(request, thread, attempt).await?;
        let tail = self.tail(thread).await?.ok_or(Rejection::NotMember)?;
        self.settle(&tail).await?;
        let row = async { self.get::<ThreadRow>(&keys::thread(thread)).await };
        let (row, members) = try_join(row, self.members(thread)).await?;
        let row = row.ok_or(Rejection::NotMember)?;
        if !members.iter().any(|m| m.user == request.sender && m.left_tseq.is_none()) {
            self.turn_out(thread, &request.sender);
            return Err(Rejection::NotMember.into());
        }
        if row.pair.is_some() {
            return Err(Rejection::DirectMembers.into());
        }
        Ok(Membership { tail, settings: row.settings, members })
    }
}

/// Whether a member with one role takes out a member with the other.
fn may_remove(sender: Role, leaver: Role) -> bool {
    match sender {
        Role::Owner => true,
        Role::Moderator => leaver == Role::Member,
        Role::Member => mistake!(AnyoneRemoves),
    }
}

/// Who owns a thread when `leaver` has left it: the moderator who has been there for longest, or else such a member.
fn heir<'a>(members: &'a [MemberRow], leaver: &UserId) -> Option<&'a MemberRow> {
    let rest = members.iter().filter(|member| member.left_tseq.is_none() && &member.user != leaver);
    rest.min_by_key(|member| (member.role != Role::Moderator, member.joined_tseq, &member.user))
}

/// Adds the role of a member, who must still be one, to a transaction.
fn put_role(tx: &mut Tx<'_>, thread: &ThreadId, member: &MemberRow, role: Role) -> Result<(), Error> {
    // The whole row: `role` is a reserved word of DynamoDB, and no expression here has attribute names.
    let row = MemberRow { role, ..member.clone() };
    let condition = "joined_tseq = :joined AND attribute_not_exists(left_tseq)";
    tx.put_if(&keys::member(thread, &member.user), &row, condition, vec![(":joined", n(member.joined_tseq))])
}

/// The entry that follows `tail`.
fn next(
    request: &WriteRequest,
    tail: &Entry,
    user: &UserId,
    (change, role): (Change, Option<Role>),
    owner: Option<UserId>,
) -> Entry {
    Entry {
        thread: tail.thread.clone(),
        tseq: tail.tseq + 1,
        number: tail.number,
        by: request.sender.clone(),
        at: request.now,
        key: request.clients_key(),
        body: Body::Member { user: user.clone(), others: Vec::new(), change, role, owner, invites: false },
    }
}
