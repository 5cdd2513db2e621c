use std::time::Duration;

use domain::{
    cursor::{Cursor, Gen},
    ids::QueueId,
    limits,
};
use jiff::Timestamp;
use store::inbox::Head;

use super::*;
use crate::user_streams::{
    lease::{Held, Receiving},
    turns::Job,
};

fn is_known(hub: &Hub, user: &str) -> bool {
    hub.get_each([user].into_iter())[0].is_some()
}

fn handle() -> Arc<Handle> {
    Arc::new(Handle::new(Timestamp::UNIX_EPOCH))
}

#[tokio::test]
async fn a_user_without_streams_and_lease_is_forgotten() {
    let (hub, alice, now) = (Hub::default(), UserId::parse("alice").unwrap(), Instant::now());
    let one = handle();
    let (user, ask) = hub.join(&alice, one.clone(), 1, now).unwrap();
    assert_eq!(ask, Ask::LEASE);
    hub.forget_if_idle(&user);
    assert!(is_known(&hub, "alice"));
    hub.leave(&user, &one, now);
    hub.without_streams().await;
    hub.forget_if_idle(&user);
    assert!(!is_known(&hub, "alice"));
    hub.empty().await;
}

#[tokio::test]
async fn a_look_at_all_passes_nobody_over_whoever_comes_and_goes_meanwhile() {
    let (hub, now) = (Hub::default(), Instant::now());
    let join = |n: usize| {
        let (user, one) = (UserId::parse(&format!("user{n}")).unwrap(), handle());
        let (streams, _) = hub.join(&user, one.clone(), usize::MAX, now).unwrap();
        (streams, one)
    };
    let users: Vec<_> = (0..4 * LOOK).map(join).collect();
    let mut seen = std::collections::HashSet::new();
    let looking = hub.look(now, |user| {
        seen.insert(user.user.clone());
        let check = user.user.as_str() == "user7";
        Round { ask: Ask::NOTHING, check, checked_at: None, until: now }
    });
    let moving = async {
        // One who was not looked at yet, and one who was, go in each pause; somebody comes.
        for n in 0..3 {
            for (gone, its) in [&users[20 + n], &users[4 * LOOK - 1 - n]] {
                hub.leave(gone, its, now);
                hub.forget_if_idle(gone);
            }
            join(10 * LOOK + n);
            yield_now().await;
        }
    };
    let (looked, ()) = tokio::join!(looking, moving);
    let due: Vec<_> = looked.due.iter().map(|(user, _)| user.user.as_str()).collect();
    assert_eq!(due, ["user7"]);
    let stayed =
        users.iter().enumerate().filter(|(n, _)| !(20..23).contains(n)).map(|(_, (user, _))| &user.user);
    assert!(stayed.clone().all(|user| seen.contains(user)));
}

/// A hub whose users are tended and compared with HEAD by hand.
struct Life {
    hub: Hub,
    now: Instant,
    joined: Vec<(Arc<UserStreams>, Arc<Handle>)>,
    tended: Vec<Arc<UserStreams>>,
    compared: Vec<Arc<UserStreams>>,
    passed_over: usize,
}

const MINUTE: Duration = Duration::from_secs(60);
const HEAD: Head = Head { cursor: Cursor { r#gen: Gen(1), seq: 5 }, authv: None };

impl Life {
    fn ask(&mut self, user: &Arc<UserStreams>, what: Ask) {
        if self.hub.ask(user, what) {
            self.tended.push(user.clone());
        }
    }

    fn join(&mut self) {
        let (user, one) = (UserId::parse(&format!("u{}", chance::between(0..4))).unwrap(), handle());
        if let Ok((user, ask)) = self.hub.join(&user, one.clone(), 20, self.now) {
            self.ask(&user, ask);
            self.joined.push((user, one));
        }
    }

    fn leave(&mut self) {
        if let Some((user, one)) = any(&mut self.joined) {
            self.hub.leave(&user, &one, self.now);
        }
    }

    /// Another name, or a queue that is gone.
    fn lose_leases(&mut self) {
        for user in self.hub.all() {
            match chance::between(0..3) {
                0 => self.ask(&user, Ask::DROP_QUEUE),
                1 => {
                    user.lose_lease();
                    self.ask(&user, Ask::AGAIN);
                }
                _ => {
                    user.unconfirmed();
                    self.ask(&user, Ask::AGAIN);
                }
            }
        }
    }

    fn tend(&mut self) {
        let Some(user) = any(&mut self.tended) else { return };
        let held = Held { queue: QueueId::made(1), receiving: Receiving::Edges };
        match user.next_job() {
            None => return self.hub.forget_if_idle(&user),
            Some(Job::TakeLease) => match chance::between(0..3) {
                0 => user.no_lease(self.now),
                1 => {
                    user.doubt();
                    user.no_lease(self.now);
                }
                _ => drop(user.hold(held, self.now, || true)),
            },
            Some(Job::Release) => {
                if user.release().is_some() && chance::random() {
                    user.doubt();
                }
            }
            Some(Job::DropQueue) => {
                user.lose_lease();
                user.ask(Ask::LEASE);
            }
            Some(Job::ReadHead) => user.settle(&HEAD),
            Some(Job::CatchUp(_)) => unreachable!("HEAD stays"),
        }
        self.tended.push(user);
    }

    fn compare(&mut self) {
        let Some(user) = any(&mut self.compared) else { return };
        match chance::between(0..4) {
            0 => user.check_at(self.now + Duration::from_secs(2)),
            1 => user.not_compared(self.now),
            _ => {
                let ask = user.compare(&HEAD, self.now);
                self.ask(&user, ask);
            }
        }
        self.hub.compared(&[user]);
    }

    /// Whoever the look at everybody passes over has nothing to be asked about.
    async fn look(&mut self) {
        let now = self.now;
        let mut seen = Vec::new();
        let round = |user: &UserStreams| user.round(now, MINUTE, MINUTE / 2);
        let looked = self.hub.look(now, |user| {
            seen.push(user.user.clone());
            round(user)
        });
        let looked = looked.await;
        let all = self.hub.all();
        for user in all.iter().filter(|user| !seen.contains(&user.user)) {
            assert!(!round(user).is_due(), "{user:?} at {now:?}");
            self.passed_over += 1;
        }
        assert_eq!(looked.oldest, all.iter().filter_map(|user| round(user).checked_at).min());
        for (user, round) in looked.due {
            self.ask(&user, round.ask);
            if round.check {
                self.compared.push(user);
            }
        }
    }
}

fn any<T>(of: &mut Vec<T>) -> Option<T> {
    (!of.is_empty()).then(|| of.swap_remove(chance::between(0..of.len())))
}

#[tokio::test]
async fn a_look_passes_over_those_only_of_whom_time_asks_nothing() {
    let start = Instant::now();
    let mut passed_over = 0;
    for seed in 0..200 {
        println!("seed {seed}");
        chance::seed(seed);
        let (joined, tended, compared) = Default::default();
        let hub = Hub::default();
        let mut life = Life { hub, now: start, joined, tended, compared, passed_over };
        for _ in 0..600 {
            match chance::between(0..40) {
                0 => life.join(),
                1 => life.leave(),
                2..12 => life.tend(),
                12..20 => life.compare(),
                20 if chance::between(0..8) == 0 => life.lose_leases(),
                21 if chance::between(0..8) == 0 => life.hub.check_all(life.now),
                _ => {
                    life.now += Duration::from_millis(chance::between(900..1_100));
                    life.look().await;
                }
            }
        }
        passed_over = life.passed_over;
    }
    assert!(passed_over > 10_000, "{passed_over}");
}

#[test]
fn the_ninth_stream_of_a_user_is_refused_and_others_are_not_until_the_edge_is_full() {
    let (hub, now) = (Hub::default(), Instant::now());
    let [alice, bob] = ["alice", "bob"].map(|name| UserId::parse(name).unwrap());
    let most = limits::USER_STREAMS + 1;
    for _ in 0..limits::USER_STREAMS {
        assert!(hub.join(&alice, handle(), most, now).is_ok());
    }
    assert_eq!(hub.join(&alice, handle(), most, now).unwrap_err(), Cap::User);
    assert!(hub.join(&bob, handle(), most, now).is_ok());
    assert_eq!(hub.join(&bob, handle(), most, now).unwrap_err(), Cap::Edge);
    assert_eq!(hub.streams(), most);
}
