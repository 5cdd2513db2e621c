//! Whether a user may do something now.

use std::fmt;

use domain::{
    ids::UserId,
    rate::{Place, Policy, Usage},
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::table::Table;

/// The answer to whether a user may do something. Clones share the question. The default permit allows everything and counts
/// nothing.
#[derive(Clone, Default)]
pub struct Permit {
    /// What this process has counted.
    here: Vec<Counted>,
    /// The charge that the table counts once a task awaits the permit.
    fleet: Option<(Charge, Answer)>,
}

type Answer = Shared<BoxFuture<'static, Vec<Usage>>>;

/// One charge: user, place, policies with weights, and time.
#[derive(Clone)]
pub(crate) struct Charge {
    pub(crate) table: Table,
    pub(crate) user: UserId,
    /// The place, if the class counts by place.
    pub(crate) place: Option<Place>,
    pub(crate) charged: Vec<(&'static Policy, u32)>,
    pub(crate) now: Timestamp,
}

/// A charge with the usages that it has led to.
#[derive(Clone)]
struct Counted {
    charge: Charge,
    usages: Vec<Usage>,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.usages()).finish()
    }
}

impl Counted {
    /// Takes back what was counted: all but what was too much.
    fn take_back(&self) {
        let Charge { table, user, place, charged, now } = &self.charge;
        for ((policy, weight), usage) in charged.iter().zip(&self.usages) {
            if !usage.is_exceeded() {
                let counted = (user.clone(), policy.name, place.clone());
                table.counter.take_back(&counted, policy, *weight, *now);
            }
        }
    }
}

impl Permit {
    /// A permit by counts that this process has made. If one of them is too much, the others are taken back.
    pub(crate) fn counted(charge: Charge, usages: Vec<Usage>) -> Self {
        let permit = Self::known(charge, usages);
        if permit.refusal().is_some() {
            permit.take_back();
        }
        permit
    }

    /// A permit by counts that this process has read.
    pub(crate) fn known(charge: Charge, usages: Vec<Usage>) -> Self {
        Self { here: vec![Counted { charge, usages }], fleet: None }
    }

    /// A permit by the counts of all processes.
    pub(crate) fn of_table(charge: Charge) -> Self {
        let own = charge.clone();
        let answer = async move { own.table.charge(&own.user, &own.charged, own.now).await };
        Self { here: Vec::new(), fleet: Some((charge, answer.boxed().shared())) }
    }

    /// A permit to do what needs this one and one by counts of this process. If one of them refuses, the other is taken back.
    #[must_use]
    pub fn and(self, here: Self) -> Self {
        debug_assert!(here.fleet.is_none(), "the table is asked once");
        let refused = [&self, &here].map(|permit| permit.refusal().is_some());
        match refused {
            [true, false] => here.take_back(),
            [false, true] => self.take_back(),
            _ => {}
        }
        let fleet = self.fleet.filter(|_| refused == [false, false]).map(|(charge, answer)| {
            let counted = here.clone();
            let answer = async move {
                let usages = answer.await;
                if usages.iter().any(Usage::is_exceeded) {
                    counted.take_back();
                }
                usages
            };
            (charge, answer.boxed().shared())
        });
        Self { here: [self.here, here.here].concat(), fleet }
    }

    /// The user's usage of each policy. Usages of the table are left out until they are known. Empty with the limiter off.
    pub fn usages(&self) -> Vec<Usage> {
        let here = self.here.iter().flat_map(|counted| &counted.usages);
        let fleet = self.fleet.as_ref().and_then(|(_, answer)| answer.peek());
        here.chain(fleet.into_iter().flatten()).copied().collect()
    }

    /// Why the user may not, if that is known: of the policies that are exceeded the one that lasts longest.
    pub fn refusal(&self) -> Option<Usage> {
        self.usages().into_iter().filter(Usage::is_exceeded).max_by_key(|usage| usage.ends_in_s)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// The usage of the policy that is exceeded.
    pub async fn granted(&self) -> Result<(), Usage> {
        if self.refusal().is_none()
            && !mistake!(Uncounted)
            && let Some((_, answer)) = &self.fleet
        {
            answer.clone().await;
        }
        self.refusal().map_or(Ok(()), Err)
    }

    /// Gives back what was charged, because the request of `user` is a copy of an accepted one. Above the limit `repeat`
    /// copies stay charged.
    pub(crate) async fn give_back(&self, table: &Table, user: &UserId, now: Timestamp) {
        if mistake!(CopyCounted) || self.granted().await.is_err() || !table.may_repeat(user, now) {
            return;
        }
        self.take_back();
        if let Some((charge, answer)) = &self.fleet {
            table.give_back(user, &charge.charged, &answer.clone().await, now).await;
        }
    }

    fn take_back(&self) {
        self.here.iter().for_each(Counted::take_back);
    }
}
