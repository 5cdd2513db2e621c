use std::time::Duration;

use domain::user_row::UserRow;
use domain::{
    cursor::{Cursor, Gen},
    ids::QueueId,
    limits,
    sequence::InboxSeq,
};
use jiff::Timestamp;
use store::inbox::Image;

use super::*;
use crate::user::{
    lease::{Held, Receiving},
    work::WorkItem,
};

fn is_known(hub: &Hub, user: &str) -> bool {
    hub.get_each([user].into_iter())[0].is_some()
}

fn handle() -> Arc<StreamHandle> {
    Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH))
}

#[tokio::test]
async fn a_user_without_streams_and_lease_is_forgotten() {
    let ((hub, _starts), alice, now) = (Hub::new(), UserId::parse("alice").unwrap(), Instant::now());
    let one = handle();
    let (user, ask) = hub.join(&alice, one.clone(), 1, now).unwrap();
    assert_eq!(ask, Work::TAKE_LEASE);
    hub.forget_if_idle(&user);
    assert!(is_known(&hub, "alice"));
    hub.leave(&user, &one, now);
    hub.without_streams().await;
    hub.forget_if_idle(&user);
    assert!(!is_known(&hub, "alice"));
    hub.empty().await;
}

#[tokio::test]
async fn a_visit_reaches_every_user_that_stays_whichever_come_and_go() {
    let ((hub, _starts), now) = (Hub::new(), Instant::now());
    let join = |n: usize| {
        let (user, one) = (UserId::parse(&format!("user{n}")).unwrap(), handle());
        let (streams, _) = hub.join(&user, one.clone(), usize::MAX, now).unwrap();
        (streams, one)
    };
    let users: Vec<_> = (0..4 * VISITED_AT_ONCE).map(join).collect();
    let mut seen = std::collections::HashSet::new();
    let looking = hub.visit(now, |user| {
        seen.insert(user.id.clone());
        let check = user.id.as_str() == "user7";
        Due { work: Work::NOTHING, check, overdue_since: None, until: now }
    });
    let moving = async {
        // In each pause, a user that was not visited yet leaves, and one that was, and a new one comes.
        for n in 0..3 {
            for (gone, its) in [&users[20 + n], &users[4 * VISITED_AT_ONCE - 1 - n]] {
                hub.leave(gone, its, now);
                hub.forget_if_idle(gone);
            }
            join(10 * VISITED_AT_ONCE + n);
            yield_now().await;
        }
    };
    let (visit, ()) = tokio::join!(looking, moving);
    let due: Vec<_> = visit.due.iter().map(|(user, _)| user.id.as_str()).collect();
    assert_eq!(due, ["user7"]);
    let stayed =
        users.iter().enumerate().filter(|(n, _)| !(20..23).contains(n)).map(|(_, (user, _))| &user.id);
    assert!(stayed.clone().all(|user| seen.contains(user)));
}

/// A hub whose workers and head checks are done by hand.
struct Life {
    hub: Hub,
    now: Instant,
    joined: Vec<(Arc<User>, Arc<StreamHandle>)>,
    starts: mpsc::UnboundedReceiver<Arc<User>>,
    working: Vec<Arc<User>>,
    checked: Vec<Arc<User>>,
    passed_over: usize,
}

const MINUTE: Duration = Duration::from_secs(60);
fn image() -> Image {
    Image { cursor: Cursor { r#gen: Gen(1), seq: InboxSeq(5) }, row: UserRow::default() }
}

impl Life {
    fn request(&mut self, user: &Arc<User>, work: Work) {
        self.hub.request(user, work);
    }

    fn join(&mut self) {
        let (user, one) = (UserId::parse(&format!("u{}", rng::range(0..4))).unwrap(), handle());
        if let Ok((user, ask)) = self.hub.join(&user, one.clone(), 20, self.now) {
            self.request(&user, ask);
            self.joined.push((user, one));
        }
    }

    fn leave(&mut self) {
        if let Some((user, one)) = any(&mut self.joined) {
            self.hub.leave(&user, &one, self.now);
        }
    }

    /// Another boot id, or a queue that is gone.
    fn lose_leases(&mut self) {
        for user in self.hub.all() {
            match rng::range(0..3) {
                0 => self.request(&user, Work::DROP_QUEUE),
                1 => {
                    user.schedule().lose_lease();
                    self.request(&user, Work::REPAIR);
                }
                _ => {
                    user.schedule().unconfirm_lease();
                    self.request(&user, Work::REPAIR);
                }
            }
        }
    }

    fn work(&mut self) {
        while let Ok(user) = self.starts.try_recv() {
            self.working.push(user);
        }
        let Some(user) = any(&mut self.working) else { return };
        let held = Held { queue: QueueId::made(1), receiving: Receiving::Edges };
        match user.next_work() {
            None => return self.hub.forget_if_idle(&user),
            Some(WorkItem::TakeLease) => match rng::range(0..2) {
                0 => user.schedule().lease_failed(self.now, rng::random()),
                _ => drop(user.lease_taken(held, self.now, || true)),
            },
            Some(WorkItem::Release) => {
                if user.release_lease().is_some() && rng::random() {
                    user.schedule().doubt_lease();
                }
            }
            Some(WorkItem::DropQueue) => {
                user.schedule().lose_lease();
                user.request(Work::TAKE_LEASE);
            }
            Some(WorkItem::ReadRow) => user.row_read(&image()),
            Some(WorkItem::CatchUp(_)) => unreachable!("the row stays"),
        }
        self.working.push(user);
    }

    fn check(&mut self) {
        let Some(user) = any(&mut self.checked) else { return };
        match rng::range(0..4) {
            0 => user.schedule().check_from(self.now + Duration::from_secs(2)),
            1 => user.schedule().checked(),
            _ => {
                let ask = user.row_compared(&image(), rng::random());
                self.request(&user, ask);
            }
        }
        user.schedule().check_ended();
    }

    /// A user that the visit passes over needs nothing.
    async fn visit(&mut self) {
        let now = self.now;
        let mut seen = Vec::new();
        let due = |user: &User| user.due(now, MINUTE, MINUTE / 2);
        let visit = self.hub.visit(now, |user| {
            seen.push(user.id.clone());
            due(user)
        });
        let visit = visit.await;
        let all = self.hub.all();
        for user in all.iter().filter(|user| !seen.contains(&user.id)) {
            assert!(!due(user).is_now(), "{user:?} at {now:?}");
            self.passed_over += 1;
        }
        assert_eq!(visit.longest_overdue, all.iter().filter_map(|user| due(user).overdue_since).min());
        for (user, due) in visit.due {
            self.request(&user, due.work);
            if due.check {
                self.checked.push(user);
            }
        }
    }
}

fn any<T>(of: &mut Vec<T>) -> Option<T> {
    (!of.is_empty()).then(|| of.swap_remove(rng::range(0..of.len())))
}

#[tokio::test]
async fn a_visit_passes_over_only_users_that_need_nothing() {
    let start = Instant::now();
    let mut passed_over = 0;
    for seed in 0..200 {
        println!("seed {seed}");
        rng::seed(seed);
        let (joined, working, checked) = Default::default();
        let (hub, starts) = Hub::new();
        let mut life = Life { hub, starts, now: start, joined, working, checked, passed_over };
        for _ in 0..600 {
            match rng::range(0..40) {
                0 => life.join(),
                1 => life.leave(),
                2..12 => life.work(),
                12..20 => life.check(),
                20 if rng::range(0..8) == 0 => life.lose_leases(),
                21 if rng::range(0..8) == 0 => life.hub.check_all(life.now),
                _ => {
                    life.now += Duration::from_millis(rng::range(900..1_100));
                    life.visit().await;
                }
            }
        }
        passed_over = life.passed_over;
    }
    assert!(passed_over > 10_000, "{passed_over}");
}

#[test]
fn the_ninth_stream_of_a_user_is_refused_and_others_are_not_until_the_edge_is_full() {
    let ((hub, _starts), now) = (Hub::new(), Instant::now());
    let [alice, bob] = ["alice", "bob"].map(|name| UserId::parse(name).unwrap());
    let most = limits::USER_STREAMS + 1;
    for _ in 0..limits::USER_STREAMS {
        assert!(hub.join(&alice, handle(), most, now).is_ok());
    }
    assert_eq!(hub.join(&alice, handle(), most, now).unwrap_err(), Limit::User);
    assert!(hub.join(&bob, handle(), most, now).is_ok());
    assert_eq!(hub.join(&bob, handle(), most, now).unwrap_err(), Limit::Edge);
    assert_eq!(hub.streams(), most);
}
