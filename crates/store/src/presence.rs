//! Who is online, as far as a reader may know.

use std::collections::HashSet;

use domain::{
    ids::{BootId, ThreadId, UserId},
    limits,
    user_row::UserRow,
    view::View,
};
use jiff::Timestamp;

use crate::table::{Table, error::Error, rows::MemberRow};

impl Table {
    /// Those of some members of `thread` with an open stream on any edge. The lease holder has a recent heartbeat by the wall
    /// clock. The result is good enough to show, and never for safety.
    ///
    /// Left out are those who have blocked `reader`, and those who are only invited: any stranger may invite.
    pub async fn online(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        members: &[MemberRow],
        now: Timestamp,
    ) -> Result<HashSet<UserId>, Error> {
        let fresh = |at: Timestamp| now.duration_since(at).unsigned_abs() < limits::BEAT_DEAD;
        let edges = self.edges_lately().await?;
        let alive: HashSet<&BootId> =
            edges.iter().filter(|e| !e.dead && fresh(e.at)).map(|e| &e.boot).collect();
        let is_here = |row: &UserRow| {
            let mut boots = row.leases.iter().filter_map(|lease| lease.holder.boot());
            boots.any(|boot| alive.contains(boot)) && !row.has_blocked(reader)
        };
        let mut online = HashSet::new();
        for members in members.chunks(100) {
            let users: Vec<UserId> = members.iter().map(|member| member.user.clone()).collect();
            let mut images = self.images(&users, false).await?;
            let here = members.iter().filter_map(|member| Some((member, images.remove(&member.user)?.row)));
            let here = here.filter(|(_, row)| is_here(row));
            let (own, others): (Vec<_>, Vec<_>) = here.partition(|(member, _)| &member.user == reader);
            online.extend(own.into_iter().map(|(member, _)| member.user.clone()));
            online.extend(self.taking_part(thread, others).await?);
        }
        Ok(online)
    }

    /// Those of up to 100 members who are not only invited, by their views and rows. A member who takes part does so until
    /// they leave. A member whose view cannot be read, or is one of an earlier membership, is left out.
    async fn taking_part(
        &self,
        thread: &ThreadId,
        members: Vec<(&MemberRow, UserRow)>,
    ) -> Result<Vec<UserId>, Error> {
        let place = |member: &MemberRow| (thread.clone(), member.user.clone());
        let is_known = |member: &MemberRow| self.participants.get(&place(member)) == Some(member.joined_tseq);
        let (known, unknown): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(member, _)| is_known(member));
        let mut taking_part: Vec<UserId> = known.into_iter().map(|(member, _)| member.user.clone()).collect();
        let pairs: Vec<_> = unknown.iter().map(|(member, _)| (&member.user, thread)).collect();
        let found = self.views_at(&pairs, false).await?;
        for ((member, row), found) in unknown.into_iter().zip(found) {
            let view = found.ok().and_then(|found| found.view);
            let entries = row.entries.iter().filter(|entry| entry.thread() == thread);
            let view = View::fold(view, &member.user, entries, None);
            let is_of_now = |view: &View| view.joined_tseq == member.joined_tseq && view.left_tseq.is_none();
            if view.is_some_and(|view| is_of_now(&view) && !view.is_invited()) {
                self.participants.put(place(member), member.joined_tseq);
                taking_part.push(member.user.clone());
            }
        }
        Ok(taking_part)
    }
}
