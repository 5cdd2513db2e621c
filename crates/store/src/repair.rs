//! Repairs a table restored from a backup so that it can be served (rule 17).
//!
//! DynamoDB backs a table up row by row, so a restored table may contain any half of the latest transactions. The
//! thread log is the truth. Repair rebuilds every other row of a thread from its log, and deletes rows that no log
//! accounts for. Every inbox gets a new generation, so that every client lists again. Repair leaves correct rows of
//! threads as they are. An interrupted or repeated repair therefore does no harm.
//!
//! Repair scans the table three times, in pages. First it folds the users' rows and pages into their views: no log has how
//! far a user has read. Then it repairs the threads, views included. Then it empties the users' rows. Memory holds at most
//! one page, and the members and membership changes of some threads.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use domain::ids::{BootId, ThreadId, UserId};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use crate::table::{
    Item, Table,
    error::Error,
    keys::{Key, Part, Sender},
    write,
};

mod log;
mod rest;
mod story;
mod thread;

/// Threads or users that are repaired at a time.
const AT_ONCE: usize = 16;
/// How long it takes to tell a living edge from one that a restore brought back: one
/// [`BEAT_PERIOD`](domain::limits::BEAT_PERIOD), and a half for a beat that is late.
const WATCH: Duration = Duration::from_millis(7_500);
/// Time between two looks at the edges.
const LOOK: Duration = Duration::from_millis(500);

/// Why a table is not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Somebody serves from it.
    #[error(
        "the edge `{0}` serves from this table: stop every edge, API and fan-out that uses it, and repair it then"
    )]
    Serving(BootId),
    /// The table failed. What was repaired until then is; the rest is left to the next run.
    #[error("the repair broke off; run it again")]
    Table(#[from] Error),
}

/// What a repair says while it is at it.
#[derive(Debug, Clone, Copy)]
pub enum Note<'a> {
    /// A row is written: it was missing, or not what it should be.
    Put(&'a Key),
    /// A row is deleted.
    Delete(&'a Key),
    /// Something cannot be repaired, and is left as it is: a person has to look.
    PassedOver(&'a Error),
    /// So many rows have been looked at since the last word.
    Looked(usize),
}

/// What a repair came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Rows that were written, or would be.
    pub put: u64,
    /// Rows that were deleted, or would be.
    pub deleted: u64,
    /// Threads and users that cannot be repaired; each has been told.
    pub passed_over: u64,
}

/// Who a repair speaks to.
pub type Tell<'a> = &'a (dyn Fn(Note<'_>) + Sync);

/// A repair under way.
struct Repair<'a> {
    table: &'a Table,
    now: Timestamp,
    /// Nothing is written, only told.
    dry: bool,
    tell: Tell<'a>,
    put: AtomicU64,
    deleted: AtomicU64,
    passed_over: AtomicU64,
}

/// One thing to repair.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Views(UserId),
    Thread(ThreadId),
    User(UserId),
    Sender(Sender),
    Drop(Key),
}

impl Table {
    /// Repairs the whole table, or with `dry` only reports the changes. No process may serve from the table meanwhile.
    ///
    /// # Errors
    /// [`RepairError`]
    pub async fn repair(&self, now: Timestamp, dry: bool, tell: Tell<'_>) -> Result<Report, RepairError> {
        if let Some(edge) = self.serving().await? {
            return Err(RepairError::Serving(edge));
        }
        let [put, deleted, passed_over] = [0; 3].map(AtomicU64::new);
        let repair = Repair { table: self, now, dry, tell, put, deleted, passed_over };
        repair.walk(of_users).await?;
        repair.walk(of_threads).await?;
        repair.walk(of_the_rest).await?;
        let [put, deleted, passed_over] =
            [repair.put, repair.deleted, repair.passed_over].map(AtomicU64::into_inner);
        Ok(Report { put, deleted, passed_over })
    }

    /// An edge that beats, if one does.
    async fn serving(&self) -> Result<Option<BootId>, Error> {
        let mut before: Option<BTreeMap<BootId, u64>> = None;
        let until = tokio::time::Instant::now() + WATCH;
        loop {
            let edges: BTreeMap<BootId, u64> =
                self.edges().await?.into_iter().map(|edge| (edge.boot, edge.beat)).collect();
            let before = before.get_or_insert_with(|| edges.clone());
            let moved = edges.iter().find(|(boot, beat)| before.get(*boot) != Some(*beat));
            if let Some((boot, _)) = moved {
                return Ok(Some(boot.clone()));
            }
            if edges.is_empty() || tokio::time::Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A page of all keys of the table, and where to go on.
    async fn all_keys(&self, from: Option<Item>) -> Result<(Vec<Key>, Option<Item>), Error> {
        let found = self
            .client
            .scan()
            .table_name(&self.name)
            .projection_expression("pk, sk")
            .set_exclusive_start_key(from)
            .consistent_read(true)
            .send()
            .await?;
        let keys = found.items.unwrap_or_default().iter().filter_map(Key::of).collect();
        Ok((keys, found.last_evaluated_key))
    }
}

fn of_users(key: &Key) -> Option<Task> {
    match key.part()? {
        Part::User(user) => Some(Task::Views(user)),
        _ => None,
    }
}

fn of_threads(key: &Key) -> Option<Task> {
    match key.part()? {
        Part::Thread(thread) => Some(Task::Thread(thread)),
        _ => None,
    }
}

/// What is left when the threads are right.
fn of_the_rest(key: &Key) -> Option<Task> {
    match key.part()? {
        Part::Thread(_) => None,
        Part::User(user) => Some(Task::User(user)),
        Part::Sender(user) => Some(Task::Sender(user)),
        // Clients list again, so nothing is owed. The queues and edges belong to the original table.
        Part::Outbox(_) | Part::SeenOutbox | Part::Queue | Part::Edge => Some(Task::Drop(key.clone())),
    }
}

impl Repair<'_> {
    /// Runs the task that `task` returns for each key. A scan returns the rows of a partition one after the other, so
    /// each thread is repaired once. A second repair of a thread would do no harm.
    async fn walk(&self, task: fn(&Key) -> Option<Task>) -> Result<(), Error> {
        let (mut from, mut last) = (None, None);
        loop {
            let (keys, next) = self.table.all_keys(from).await?;
            let mut tasks: Vec<Task> = keys.iter().filter_map(task).collect();
            tasks.dedup();
            if last.is_some() && last.as_ref() == tasks.first() {
                tasks.remove(0);
            }
            // By number: a closure over references makes a future that no other thread may have.
            stream::iter((0..tasks.len()).map(|i| self.see_to(&tasks[i])))
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
            (self.tell)(Note::Looked(keys.len()));
            last = tasks.pop().or(last);
            from = next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn see_to(&self, task: &Task) -> Result<(), Error> {
        let done = match task {
            Task::Views(user) => self.folded(user).await,
            Task::Thread(thread) => self.thread(thread).await,
            Task::User(user) => self.user(user).await,
            Task::Sender(sender) => self.sender(sender).await,
            Task::Drop(key) => self.delete(key).await,
        };
        match done {
            Err(error @ Error::Corrupt { .. }) => {
                self.passed_over.fetch_add(1, Ordering::Relaxed);
                (self.tell)(Note::PassedOver(&error));
                Ok(())
            }
            done => done,
        }
    }

    /// Puts a row, unless it is there as it should be.
    async fn set<T: Serialize + PartialEq>(&self, key: &Key, was: Option<&T>, row: &T) -> Result<(), Error> {
        if was == Some(row) { Ok(()) } else { self.put_item(key, write(key, row)?).await }
    }

    async fn put_item(&self, key: &Key, item: Item) -> Result<(), Error> {
        self.put.fetch_add(1, Ordering::Relaxed);
        (self.tell)(Note::Put(key));
        if self.dry {
            return Ok(());
        }
        self.table.client.put_item().table_name(&self.table.name).set_item(Some(item)).send().await?;
        Ok(())
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.deleted.fetch_add(1, Ordering::Relaxed);
        (self.tell)(Note::Delete(key));
        if self.dry { Ok(()) } else { self.table.delete(key).await }
    }
}
