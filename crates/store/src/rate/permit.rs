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

/// The answer to whether a user may do something. Clones share the question. By default nobody counts.
#[derive(Clone, Default)]
pub struct Permit {
    /// What this process has counted.
    here: Vec<(Charge, Vec<Usage>)>,
    /// What the table counts when somebody awaits the answer.
    fleet: Option<(Charge, Shared<BoxFuture<'static, Vec<Usage>>>)>,
}

/// Who is charged how much of what, and when.
#[derive(Clone)]
pub(crate) struct Charge {
    pub(crate) table: Table,
    pub(crate) user: UserId,
    /// Where it counts by itself.
    pub(crate) place: Option<Place>,
    pub(crate) charged: Vec<(&'static Policy, u32)>,
    pub(crate) now: Timestamp,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.usages()).finish()
    }
}

impl Permit {
    /// A permit by the counts of this process.
    pub(crate) fn here(charge: Charge, usages: Vec<Usage>) -> Self {
        Self { here: vec![(charge, usages)], fleet: None }
    }

    /// A permit by the counts of all processes.
    pub(crate) fn of_table(charge: Charge) -> Self {
        let own = charge.clone();
        let answer = async move { own.table.charge(&own.user, &own.charged, own.now).await };
        Self { here: Vec::new(), fleet: Some((charge, answer.boxed().shared())) }
    }

    /// A permit to do what needs both. At most one of them asks the table.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.here.extend(other.here);
        Self { here: self.here, fleet: self.fleet.or(other.fleet) }
    }

    /// The user's usage of each policy; without those of the table while they are not known, and empty if nobody counts.
    pub fn usages(&self) -> Vec<Usage> {
        let here = self.here.iter().flat_map(|(_, usages)| usages);
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

    /// Gives back what was charged, because the request is a copy of an accepted one. Above the limit `repeat` copies
    /// stay charged.
    pub(crate) async fn give_back(&self) {
        let first =
            self.here.first().map(|(charge, _)| charge).or(self.fleet.as_ref().map(|(charge, _)| charge));
        let Some(Charge { table, user, now, .. }) = first else { return };
        if mistake!(CopyCounted) || self.granted().await.is_err() || !table.may_repeat(user, *now) {
            return;
        }
        for (charge, _) in &self.here {
            table.take_back(charge);
        }
        if let Some((charge, answer)) = &self.fleet {
            table.give_back(user, &charge.charged, &answer.clone().await, *now).await;
        }
    }
}
