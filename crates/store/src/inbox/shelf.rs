//! The shelf: views that no list of threads shows, out of the way of every list (rule 5).
//!
//! A list reads all of a user's views that are in their places. Strangers make views: they invite, and they add members and
//! remove them. So a fold moves the views that no list shows to a key of their own.
//!
//! A view is put on the shelf first, and deleted from its place second. A reader looks in the view's place first, and on the
//! shelf second. So a reader finds each view in its latest state: a view in its place overrides the shelf. The next fold of
//! the thread puts the view back, on condition that the shelf is as it was read. Each move raises the version or keeps it, so
//! a writer that was away for however long changes nothing.

use std::collections::{HashMap, HashSet};

use domain::{
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    limits,
    view::View,
};
use futures_util::{StreamExt as _, stream};
use mistakes::mistake;

use crate::table::{
    EdgeTable, Item, Table,
    error::{Error, held},
    keys::{self, Key},
    read,
    retry::Stop,
    tx::{ABSENT, Tx, n},
    write,
};

/// The condition of a shelf without a later state of the view. The same state may lie there: its writer has died since.
const NO_LATER: &str = "attribute_not_exists(version) OR version <= :version";
/// The condition of a row that is as it was read.
const AS_READ: &str = "version = :version";
/// Views that are shelved side by side.
const SIDE_BY_SIDE: usize = 32;

/// A user's view of a thread, and where it lies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The view; none if nothing of the thread was folded yet.
    pub(crate) view: Option<View>,
    /// Whether it lies on the shelf.
    is_shelved: bool,
}

impl EdgeTable {
    /// What each of up to 100 users has of a thread, in this order, read consistently if `consistent`. A damaged row is an
    /// error of its own.
    pub(crate) async fn views_at(
        &self,
        pairs: &[(&UserId, &ThreadId)],
        consistent: bool,
    ) -> Result<Vec<Result<Found, Error>>, Error> {
        let keys: Vec<Key> = pairs.iter().map(|(user, thread)| keys::view(user, thread)).collect();
        let places = self.get_many(&keys, consistent).await?;
        self.with_shelf(pairs, places, consistent).await
    }

    /// The same, where the rows in the views' places were read already.
    pub(crate) async fn with_shelf(
        &self,
        pairs: &[(&UserId, &ThreadId)],
        mut places: HashMap<Key, Item>,
        consistent: bool,
    ) -> Result<Vec<Result<Found, Error>>, Error> {
        let is_lacking =
            |(user, thread): &&(&UserId, &ThreadId)| !places.contains_key(&keys::view(user, thread));
        let keys: Vec<Key> =
            pairs.iter().filter(is_lacking).map(|(user, thread)| keys::shelved(user, thread)).collect();
        let mut shelf = match keys.as_slice() {
            [] => HashMap::new(),
            _ if mistake!(ShelfUnread) => HashMap::new(),
            keys => self.get_many(keys, consistent).await?,
        };
        let mut found = |(user, thread): &(&UserId, &ThreadId)| {
            let (place, shelved) = (keys::view(user, thread), keys::shelved(user, thread));
            let view = |key: &Key, item| read(key, item).map(Some);
            match (places.remove(&place), shelf.remove(&shelved)) {
                (Some(item), _) => Ok(Found { view: view(&place, item)?, is_shelved: false }),
                (None, Some(item)) => Ok(Found { view: view(&shelved, item)?, is_shelved: true }),
                (None, None) => Ok(Found::default()),
            }
        };
        Ok(pairs.iter().map(&mut found).collect())
    }

    /// What a user has of a thread.
    pub(crate) async fn view_at(&self, user: &UserId, thread: &ThreadId) -> Result<Found, Error> {
        self.views_at(&[(user, thread)], true).await?.pop().unwrap_or_else(|| Ok(Found::default()))
    }
}

impl Table {
    /// Puts the next state of a view into its place, if the view is still as it was found.
    pub(super) async fn put_view(&self, user: &UserId, found: &Found, next: View) -> Result<(), Stop> {
        let (place, shelf) = (keys::view(user, &next.thread), keys::shelved(user, &next.thread));
        let was = found.view.as_ref().map(|view| view.version);
        let next = View { version: was.unwrap_or_default() + 1, ..next };
        if mistake!(ViewWrittenBlindly) {
            let put = self.client.put_item().table_name(&self.name).set_item(Some(write(&place, &next)?));
            return Ok(put.send().await.map(drop).map_err(Error::from)?);
        }
        if let Some(version) = was.filter(|_| !found.is_shelved) {
            let put = self.client.put_item().table_name(&self.name).set_item(Some(write(&place, &next)?));
            let put = put.condition_expression(AS_READ).expression_attribute_values(":version", n(version));
            return if held(put.send().await)? { Ok(()) } else { Err(Stop::Conflict) };
        }
        // Another fold may have put the view into its place and on the shelf since: then the place is empty as well.
        let mut tx = Tx::new(self);
        tx.put_new(&place, &next)?;
        match was {
            None => tx.check(&shelf, ABSENT, Vec::new()),
            Some(version) => tx.check(&shelf, AS_READ, vec![(":version", n(version))]),
        }
        tx.commit().await?;
        // What a transaction has written may be visible later (rule 18), and the user row is cut next: then this view alone
        // says what was delivered.
        let is_visible = self.get::<View>(&place).await?.is_some_and(|view| view.version >= next.version);
        if is_visible { Ok(()) } else { Err(Stop::Conflict) }
    }

    /// Shelves views that no list shows, the oldest first, and [`limits::SHELVED_AT_ONCE`] at most.
    ///
    /// Threads that a user takes part in stay, however many there are: they count towards [`limits::USER_THREADS`].
    pub(super) async fn tidy(&self, user: &UserId) -> Result<(), Error> {
        // The row first, as a list does: an invitation that it has accepted makes room for another one.
        let row = self.row(user).await?;
        let stored: Vec<View> = self.partition(keys::user_pk(user), keys::VIEWS, usize::MAX).await?;
        let (shown, _) = self.shown(View::with_row(stored.clone(), user, &row));
        let shown: HashSet<ThreadId> = shown.into_iter().map(|view| view.thread).collect();
        // The next fold would bring back what the row goes on with.
        let goes_on: HashSet<&ThreadId> = row.entries.iter().map(InboxEntry::thread).collect();
        let mut rest = stored;
        rest.retain(|view| {
            let may_go = view.left_tseq.is_some() || view.is_pending();
            may_go && !shown.contains(&view.thread) && !goes_on.contains(&view.thread)
        });
        rest.sort_unstable_by_key(|view| view.activity);
        rest.truncate(limits::SHELVED_AT_ONCE);
        let shelving: Vec<_> = rest.iter().map(|view| self.shelve(user, view)).collect();
        let done: Vec<_> = stream::iter(shelving).buffer_unordered(SIDE_BY_SIDE).collect().await;
        // One that fails keeps none of the others.
        done.into_iter().collect()
    }

    async fn shelve(&self, user: &UserId, view: &View) -> Result<(), Error> {
        let (shelf, place) = (keys::shelved(user, &view.thread), keys::view(user, &view.thread));
        let put = self.client.put_item().table_name(&self.name).set_item(Some(write(&shelf, view)?));
        let put = put.condition_expression(NO_LATER).expression_attribute_values(":version", n(view.version));
        if !held(put.send().await)? {
            // The view has changed since it was read.
            return Ok(());
        }
        let delete = self.client.delete_item().table_name(&self.name).set_key(Some(place.item()));
        let delete = delete.condition_expression(AS_READ);
        held(delete.expression_attribute_values(":version", n(view.version)).send().await).map(drop)
    }
}
