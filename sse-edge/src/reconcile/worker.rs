//! One user's worker: takes and gives back the lease, reads the row, and reads the inbox behind the ring.
//!
//! There is never more than one worker for a user, so that taking and giving back are serial. It starts when work is
//! requested and ends when none is left: an idle user costs no task.

use std::{sync::Arc, thread, time::Duration};

use domain::{cursor::Cursor, limits};
use mistakes::mistake;
use store::{
    inbox::{Image, Rest},
    table::error::Error,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{Reconciler, dispatch::Dispatch};
use crate::{
    context::{backoff, config::Topology},
    upstream::{consumer::Consumer, queues::QueueError},
    user::{
        User,
        lease::{Held, Receiving},
        work::{Work, WorkItem},
    },
};

/// How long taking a lease waits for the heartbeat to be confirmed: longer than the first one needs.
const CONFIRM_WAIT: Duration = Duration::from_secs(1);
/// Longest pause between two calls that fail.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Reads of the row that do not have what an envelope has named, until the envelope counts as none of ours.
const HINT_PATIENCE: u32 = 5;
/// Attempts to give a lease back, before the next resync tries again.
const GIVE_ATTEMPTS: u32 = 3;

/// Starts a worker for each user that the hub names, until the edge stops.
pub(crate) async fn start_workers(deps: Arc<Reconciler>, mut users: mpsc::UnboundedReceiver<Arc<User>>) {
    let starting = async {
        while let Some(user) = users.recv().await {
            deps.cx.tracker.spawn(work(deps.clone(), user));
        }
    };
    deps.cx.until_stop(starting).await;
}

async fn work(deps: Arc<Reconciler>, user: Arc<User>) {
    let worker = Worker { deps: &deps, user: &user, image: None, failures: 0 };
    deps.cx.until_stop(worker.run()).await;
    deps.hub.forget_if_idle(&user);
}

struct Worker<'a> {
    deps: &'a Arc<Reconciler>,
    user: &'a Arc<User>,
    /// The last image of the row.
    image: Option<Arc<Image>>,
    /// Calls in a row that failed, or brought nothing.
    failures: u32,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        // Otherwise the user would never have a worker again.
        if thread::panicking() {
            self.user.worker_lost();
        }
    }
}

impl Worker<'_> {
    async fn run(mut self) {
        while let Some(item) = self.user.next_work() {
            match item {
                WorkItem::DropQueue => self.drop_queue().await,
                WorkItem::Release => self.release().await,
                WorkItem::TakeLease => self.take_lease().await,
                WorkItem::ReadRow => self.read_row().await,
                WorkItem::CatchUp(after) => self.catch_up(after).await,
            }
        }
    }

    async fn take_lease(&mut self) {
        let (cx, now) = (&self.deps.cx, Instant::now);
        let Some(me) = cx.identity.confirmed_within(CONFIRM_WAIT).await else {
            self.user.schedule().lease_failed(now(), false);
            return self.user.lease_unanswered();
        };
        let before =
            if mistake!(InboxBeforeLease) { self.deps.rows.image(&self.user.id).await.ok() } else { None };
        let held = self.user.held();
        let (queue, image) = match self.deps.take_lease(self.user, &me).await {
            Ok(taken) => taken,
            Err(error) => {
                // While queue creation is throttled, streams rely on comparisons alone, as the throttle intends.
                let in_doubt = !matches!(error, QueueError::Throttled);
                if in_doubt {
                    cx.failed("take a lease", &error);
                }
                self.user.schedule().lease_failed(now(), in_doubt);
                return self.user.lease_unanswered();
            }
        };
        cx.metrics.lease_takes.increment(1);
        if held.as_ref() == Some(&queue.id) && cx.identity.boot() == me {
            self.user.schedule().lease_renewed(now());
        } else {
            let receiving = match cx.config.queues {
                Topology::PerUser => Receiving::Own(self.consume(queue.url)),
                Topology::PerEdge => Receiving::Edges,
            };
            // The edge may have been marked dead meanwhile, and the lease with it.
            let counts = || cx.identity.boot() == me;
            let replaced = self.user.lease_taken(Held { queue: queue.id, receiving }, now(), counts);
            if let Some(held) = replaced {
                held.receiving.stop().await;
            }
        }
        let image = before.unwrap_or_else(|| Arc::new(image));
        self.user.lease_answered(&image);
        self.image = Some(image);
    }

    /// Starts to receive from the user's own queue.
    fn consume(&self, url: String) -> Consumer {
        let (hub, user) = (self.deps.hub.clone(), self.user.clone());
        let dispatch = Dispatch { cx: self.deps.cx.clone(), hub: hub.clone(), owner: Some(user.clone()) };
        let on_gone = move || hub.request(&user, Work::DROP_QUEUE);
        Consumer::spawn(&self.deps.cx, url, move |batch| dispatch.batch(batch), on_gone)
    }

    async fn read_row(&mut self) {
        match self.deps.rows.image(&self.user.id).await {
            Ok(image) => {
                self.failures = 0;
                self.user.row_read(&image);
                self.image = Some(image);
            }
            Err(error) => {
                self.user.request(Work::READ_ROW);
                self.pause("read a user row", &error).await;
            }
        }
    }

    async fn catch_up(&mut self, after: Cursor) {
        let cx = &self.deps.cx;
        let known = self.image.clone().filter(|image| has_more(image, after));
        let image = match known {
            Some(image) => image,
            None => match self.deps.rows.image(&self.user.id).await {
                Ok(image) => image,
                Err(error) => return self.pause("read a user row", &error).await,
            },
        };
        self.image = Some(image.clone());
        if image.cursor.r#gen != after.r#gen {
            return self.user.row_read(&image);
        }
        if !has_more(&image, after) {
            // An envelope has named an event that its writer may just be writing.
            self.rest().await;
            if self.failures > HINT_PATIENCE {
                self.user.hint_disproved(image.cursor);
            }
            return;
        }
        let permit = cx.budget.calls.acquire().await;
        let page =
            cx.table.inbox(&self.user.id, &image, after.seq, limits::REPLAY_PAGE, cx.clock.now()).await;
        drop(permit);
        cx.metrics.replays.increment(1);
        match page {
            Ok(page) if self.user.page_read(&page.events) => self.failures = 0,
            Ok(page) if page.rest == Rest::Gone => {
                cx.metrics.holes.increment(1);
                tracing::warn!(user.id = %self.user.id, "skipped a gap after {after} in an inbox");
                self.user.skip_gap(after, &image);
            }
            // The next event is in the inbox, and its content is not visible yet: it is waited for.
            Ok(_) => self.rest().await,
            Err(error) => self.pause("read an inbox", &error).await,
        }
    }

    async fn release(&mut self) {
        let Some((held, in_doubt)) = self.user.release_lease() else { return };
        if held.is_none() && !in_doubt {
            return;
        }
        let mut known = None;
        if let Some(Held { queue, receiving }) = held {
            // An edge must not receive from a queue that another edge may hold.
            if mistake!(GivenWhileReceiving) {
                self.deps.cx.tracker.spawn(async move {
                    sleep(limits::QUEUE_WAIT).await;
                    receiving.stop().await;
                });
            } else {
                receiving.stop().await;
            }
            known = (!in_doubt).then_some(queue);
        }
        let me = self.deps.cx.identity.boot();
        if mistake!(TakenWhileGiving) {
            let (deps, user) = (self.deps.clone(), self.user.clone());
            let give = async move { deps.give_lease(&user.id, known.as_ref(), &me).await.is_ok() };
            self.deps.cx.tracker.spawn(give);
            return;
        }
        for attempt in 0..GIVE_ATTEMPTS {
            let permit = self.deps.cx.budget.calls.acquire().await;
            let given = self.deps.give_lease(&self.user.id, known.as_ref(), &me).await;
            drop(permit);
            let Err(error) = given else { return };
            self.deps.cx.failed("give a lease back", &error);
            sleep(backoff(attempt, PAUSE_MAX)).await;
        }
        // The table may still have the lease; the next resync gives it back.
        self.user.schedule().doubt_lease();
    }

    async fn drop_queue(&mut self) {
        // Only if its consumer has ended: another lease may have been taken meanwhile.
        let lost = if self.user.held().is_none() { self.user.schedule().lose_lease() } else { None };
        if let Some(Held { queue, .. }) = lost {
            let me = self.deps.cx.identity.boot();
            if let Err(error) = self.deps.drop_queue(&self.user.id, &queue, &me).await {
                self.deps.cx.failed("drop the row of a queue that is gone", &error);
                self.user.schedule().doubt_lease();
            }
        }
        self.user.request(Work::TAKE_LEASE);
    }

    async fn pause(&mut self, what: &str, error: &Error) {
        self.deps.cx.failed(what, error);
        self.rest().await;
    }

    async fn rest(&mut self) {
        sleep(backoff(self.failures, PAUSE_MAX)).await;
        self.failures += 1;
    }
}

/// Whether an image has an event after a cursor of the same generation.
fn has_more(image: &Image, after: Cursor) -> bool {
    image.cursor.r#gen == after.r#gen && image.cursor.seq > after.seq
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use client::aws::{Answer, Aws};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{
        context::{
            config::EdgeArgs,
            testing::{context, user},
        },
        fleet::peers::Peers,
        upstream::row_reader::RowReader,
        user::{hub::Hub, stream_handle::StreamHandle},
    };

    /// The parts around one user with one stream, and the names of the calls that were made.
    struct Setup {
        reconciler: Arc<Reconciler>,
        alice: Arc<User>,
        handle: Arc<StreamHandle>,
        calls: Arc<Mutex<Vec<String>>>,
    }

    async fn setup(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Setup {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let made = calls.clone();
        let aws = Aws::new(move |operation, _| {
            made.lock().unwrap().push(operation.to_owned());
            answer(operation)
        });
        let cx = context(&aws, EdgeArgs { queues: Topology::PerUser, ..EdgeArgs::default() }).await;
        cx.identity.confirm(&cx.identity.boot(), Instant::now());
        let (hub, _) = Hub::new();
        let (hub, heads) = (Arc::new(hub), RowReader::start(&cx));
        let reconciler = Reconciler::new(cx.clone(), hub.clone(), heads, Arc::new(Peers::new(cx)));
        let handle = Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH));
        let (alice, work) = hub.join(&user("alice"), handle.clone(), 10, Instant::now()).unwrap();
        alice.request(work);
        Setup { reconciler: Arc::new(reconciler), alice, handle, calls }
    }

    impl Setup {
        /// Runs the worker until nothing is left to do.
        async fn work(&self) {
            let working = work(self.reconciler.clone(), self.alice.clone());
            tokio::time::timeout(Duration::from_mins(1), working).await.expect("the work ends");
        }

        fn calls(&self) -> Vec<String> {
            self.calls.lock().unwrap().clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_cannot_be_taken_is_left_to_the_schedule() {
        let row = json!({"pk": {"S": "U#alice"}, "sk": {"S": "HEAD"}, "gen": {"N": "1"}});
        let setup = setup(move |operation| match operation {
            "BatchGetItem" => Answer::Ok(json!({"Responses": {"table": [row]}, "UnprocessedKeys": {}})),
            _ => Answer::Lost,
        })
        .await;
        setup.work().await;
        assert!(setup.alice.held().is_none());
        assert_eq!(
            setup.calls(),
            ["GetItem", "BatchGetItem"],
            "no other attempt follows at once, and the row is read"
        );
        let later = Instant::now() + Duration::from_mins(1);
        let due = setup.alice.due(later, limits::HEAD_CHECK, limits::LINGER);
        assert_eq!(due.work, Work::TAKE_LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_cannot_be_given_back_stays_in_doubt_and_is_tried_again() {
        let setup = setup(|_| Answer::Lost).await;
        setup.alice.next_work();
        let (sender, receiving) =
            (Held { queue: domain::ids::QueueId::made(1), receiving: Receiving::Edges }, Instant::now());
        assert!(setup.alice.lease_taken(sender, receiving, || true).is_none());
        setup.alice.leave(&setup.handle, Instant::now());
        setup.alice.request(Work::RELEASE);
        setup.work().await;
        assert_eq!(setup.calls().len(), GIVE_ATTEMPTS as usize);
        let later = Instant::now() + limits::LINGER + Duration::from_mins(1);
        assert_eq!(setup.alice.due(later, limits::HEAD_CHECK, limits::LINGER).work, Work::RELEASE);
    }
}
