//! Who is online, as far as a reader may know.

use std::collections::HashSet;

use domain::{
    ids::{BootId, ThreadId, UserId},
    limits,
    user_row::UserRow,
    view::View,
};
use jiff::Timestamp;

use crate::table::{Table, error::Error, keys, take};

impl Table {
    /// Those of the members `users` of `thread` with an open stream on any edge. The lease holder has a recent heartbeat by
    /// the wall clock. The result is good enough to show, and never for safety.
    ///
    /// Left out are those who have blocked `reader`, and those who are only invited: any stranger may invite.
    pub async fn online(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        users: &[UserId],
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
        for users in users.chunks(100) {
            let images = self.images(users, false).await?.into_iter();
            let here = images.map(|(user, image)| (user, image.row)).filter(|(_, row)| is_here(row));
            let (own, others): (Vec<_>, Vec<_>) = here.partition(|(user, _)| user == reader);
            online.extend(own.into_iter().map(|(user, _)| user));
            online.extend(self.taking_part(thread, others).await?);
        }
        Ok(online)
    }

    /// Those of some members of `thread` who are not only invited to it, by their views and rows. Who was met as one stays
    /// one until they leave.
    async fn taking_part(
        &self,
        thread: &ThreadId,
        members: Vec<(UserId, UserRow)>,
    ) -> Result<Vec<UserId>, Error> {
        let is_known = |user: &UserId| self.participants.get(&(thread.clone(), user.clone())).is_some();
        let (known, unknown): (Vec<_>, Vec<_>) = members.into_iter().partition(|(user, _)| is_known(user));
        let mut taking_part: Vec<UserId> = known.into_iter().map(|(user, _)| user).collect();
        let users: Vec<&UserId> = unknown.iter().map(|(user, _)| user).collect();
        let mut views = self.views_of(&users, thread).await?;
        for (user, row) in unknown {
            let view: Option<View> = take(&mut views, &keys::view(&user, thread))?;
            let entries = row.entries.iter().filter(|entry| entry.thread() == thread);
            if View::fold(view, &user, entries, None).is_some_and(|view| !view.is_invited()) {
                self.participants.put((thread.clone(), user.clone()), ());
                taking_part.push(user);
            }
        }
        Ok(taking_part)
    }
}
