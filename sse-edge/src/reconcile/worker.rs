//! One user's worker: takes and gives back the lease, reads HEAD, and reads the inbox behind the ring.
//!
//! There is never more than one worker for a user, so that taking and giving back are serial. It starts when work is
//! requested and ends when none is left: an idle user costs no task.

use std::{sync::Arc, thread, time::Duration};

use domain::{cursor::Cursor, limits};
use mistakes::mistake;
use store::table::error::Error;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{Reconciler, dispatch::Dispatch};
use crate::{
    context::{backoff, config::Topology},
    replay::gap::Gap,
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
    let worker = Worker { deps: &deps, user: &user, gap: None, failures: 0 };
    deps.cx.until_stop(worker.run()).await;
    deps.hub.forget_if_idle(&user);
}

struct Worker<'a> {
    deps: &'a Arc<Reconciler>,
    user: &'a Arc<User>,
    /// The event behind this cursor was missing when the inbox was read.
    gap: Option<(Cursor, Gap)>,
    /// Calls that failed in a row.
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
                WorkItem::ReadHead => self.read_head().await,
                WorkItem::CatchUp(after) => self.catch_up(after).await,
            }
        }
    }

    async fn take_lease(&mut self) {
        let (cx, now) = (&self.deps.cx, Instant::now);
        let Some(me) = cx.identity.confirmed_within(CONFIRM_WAIT).await else {
            return self.user.schedule().lease_failed(now(), false);
        };
        if mistake!(InboxBeforeLease) {
            self.read_head().await;
        }
        let held = self.user.held();
        let queue = match self.deps.take_lease(&self.user.id, &me, held.as_ref()).await {
            Ok(queue) => queue,
            Err(error) => {
                // While queue creation is throttled, streams rely on head checks alone, as the throttle intends.
                let in_doubt = !matches!(error, QueueError::Throttled);
                if in_doubt {
                    cx.failed("take a lease", &error);
                }
                return self.user.schedule().lease_failed(now(), in_doubt);
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
        // The lease comes first, then the inbox.
        if !mistake!(InboxBeforeLease) {
            self.user.request(Work::READ_HEAD);
        }
    }

    /// Starts to receive from the user's own queue.
    fn consume(&self, url: String) -> Consumer {
        let (hub, user) = (self.deps.hub.clone(), self.user.clone());
        let dispatch = Dispatch { cx: self.deps.cx.clone(), hub: hub.clone(), owner: Some(user.clone()) };
        let on_gone = move || hub.request(&user, Work::DROP_QUEUE);
        Consumer::spawn(&self.deps.cx, url, move |batch| dispatch.batch(batch), on_gone)
    }

    async fn read_head(&mut self) {
        match self.deps.heads.head(&self.user.id).await {
            Ok(head) => {
                self.failures = 0;
                self.user.head_read(&head);
            }
            Err(error) => {
                self.user.request(Work::READ_HEAD);
                self.pause("read an inbox's head", &error).await;
            }
        }
    }

    async fn catch_up(&mut self, after: Cursor) {
        let cx = &self.deps.cx;
        let permit = cx.budget.calls.acquire().await;
        let (asked_at, now) = (Instant::now(), cx.clock.now());
        let page = cx.table.inbox(&self.user.id, after.seq, limits::REPLAY_PAGE, now).await;
        drop(permit);
        cx.metrics.replays.increment(1);
        match page {
            Ok(events) => {
                self.failures = 0;
                if self.user.page_read(&events) {
                    self.gap = None;
                } else {
                    self.at_gap(after, asked_at).await;
                }
            }
            Err(error) => self.pause("read an inbox", &error).await,
        }
    }

    /// The event behind `after` was missing when the inbox was read: it is late, or lost, or never existed.
    async fn at_gap(&mut self, after: Cursor, asked_at: Instant) {
        let now = Instant::now();
        let known = self.gap.filter(|(place, _)| *place == after).map(|(_, gap)| gap);
        let believed = known.is_some_and(|gap| gap.is_believed(asked_at));
        if known.is_none() || believed {
            let head = match self.deps.heads.head(&self.user.id).await {
                Ok(head) => head,
                Err(error) => return self.pause("read an inbox's head", &error).await,
            };
            let exists = head.cursor.r#gen == after.r#gen && head.cursor.seq > after.seq;
            if believed || !exists {
                if self.user.skip_gap(after, &head) {
                    self.deps.cx.metrics.holes.increment(1);
                    tracing::warn!(user.id = %self.user.id, "skipped a gap after {after} in an inbox");
                }
                self.gap = None;
                return;
            }
        }
        let mut gap = known.unwrap_or(Gap::since(now));
        let until = gap.read_again_at(Instant::now());
        self.gap = Some((after, gap));
        sleep_until(until).await;
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
        sleep(backoff(self.failures, PAUSE_MAX)).await;
        self.failures += 1;
    }
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
        upstream::head_reader::HeadReader,
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
        let (hub, heads) = (Arc::new(hub), HeadReader::start(&cx));
        let reconciler = Reconciler::new(cx.clone(), hub.clone(), heads, Arc::new(Peers::new(cx)));
        let handle = Arc::new(StreamHandle::new(Timestamp::UNIX_EPOCH));
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
        let head = json!({"pk": {"S": "U#alice"}, "sk": {"S": "HEAD"}, "gen": {"N": "1"}, "seq": {"N": "5"}});
        let setup = setup(move |operation| match operation {
            "BatchGetItem" => Answer::Ok(json!({"Responses": {"table": [head]}, "UnprocessedKeys": {}})),
            _ => Answer::Lost,
        })
        .await;
        setup.work().await;
        assert!(setup.alice.held().is_none());
        assert_eq!(
            setup.calls(),
            ["Query", "BatchGetItem"],
            "no other attempt follows at once, and HEAD is read"
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
