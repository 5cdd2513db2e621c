//! How much a user has done: counted by each process for itself, and what costs most by all of them together.
//!
//! A count of all processes is a row for each user, policy and window. It is added to while the rows of the write are read,
//! and the write commits when both have come back: a count costs one write unit, and usually no time.

use aws_sdk_dynamodb::{
    config::{Config, retry::RetryConfig},
    types::ReturnValue,
};
use domain::{
    ids::UserId,
    limits,
    rate::{Class, Place, Policy, Usage},
};
use futures_util::future::join_all;
use jiff::Timestamp;
use mistakes::mistake;
use tokio::time::timeout;

use crate::table::{Table, counter::Rate, error::Error, keys, tx::n};

pub mod permit;

use permit::{Charge, Permit};

impl Table {
    /// Asks to charge `user` these weights in these classes. The classes of all processes are charged when the permit is
    /// first awaited.
    pub fn permit(&self, user: &UserId, charges: &[(Class, u32)], now: Timestamp) -> Permit {
        let rate = self.counter.rate;
        let charged = charges.iter().filter(|(_, weight)| *weight > 0);
        let charged = charged.flat_map(|(class, weight)| class.policies().iter().map(|p| (p, *weight)));
        let charged: Vec<(&'static Policy, u32)> = charged.collect();
        if rate == Rate::Off || charged.is_empty() {
            return Permit::default();
        }
        let charge = Charge { table: self.clone(), user: user.clone(), place: None, charged, now };
        if rate == Rate::Local
            || mistake!(CountedEach)
            || !charges.iter().any(|(class, _)| class.is_fleet_wide())
        {
            return self.count(charge);
        }
        // A user who is known to have too little left is refused without a write.
        let would_be = |(policy, weight): &(&'static Policy, u32)| {
            let used = self.counter.used_here(&(user.clone(), policy.name, None), policy, now);
            policy.usage(used.saturating_add(*weight), now)
        };
        let exceeded: Vec<Usage> = charge.charged.iter().map(would_be).filter(Usage::is_exceeded).collect();
        if exceeded.is_empty() { Permit::of_table(charge) } else { Permit::known(charge, exceeded) }
    }

    /// The same for what counts by place, by this process alone.
    pub fn permit_in(&self, user: &UserId, place: Place, class: Class, now: Timestamp) -> Permit {
        if self.counter.rate == Rate::Off || (class == Class::Toggle && mistake!(TogglesFree)) {
            return Permit::default();
        }
        let charged = class.policies().iter().map(|policy| (policy, 1)).collect();
        self.count(Charge { table: self.clone(), user: user.clone(), place: Some(place), charged, now })
    }

    /// Whether one more request of `user` may be compared with accepted ones.
    pub(crate) fn may_repeat(&self, user: &UserId, now: Timestamp) -> bool {
        self.permit(user, &[(Class::Repeat, 1)], now).refusal().is_none()
    }

    /// Charges what a write has cost beyond what was asked: the inboxes of a large thread.
    pub async fn weigh(&self, user: &UserId, class: Class, now: Timestamp) {
        if self.counter.rate == Rate::Exact {
            join_all(class.policies().iter().map(|policy| self.add(user, policy, 1, now))).await;
        }
    }

    /// Counts in this process.
    fn count(&self, charge: Charge) -> Permit {
        let Charge { user, place, charged, now, .. } = &charge;
        let usages = charged.iter().map(|(policy, weight)| {
            let used = self.counter.add((user.clone(), policy.name, place.clone()), policy, *weight, *now);
            policy.usage(used, *now)
        });
        let usages = usages.collect();
        Permit::counted(charge, usages)
    }

    /// Charges several policies at once. What is too much in one of them is given back in all.
    pub(crate) async fn charge(
        &self,
        user: &UserId,
        charged: &[(&'static Policy, u32)],
        now: Timestamp,
    ) -> Vec<Usage> {
        let adding = charged.iter().map(|(policy, weight)| self.add(user, policy, i64::from(*weight), now));
        let usages: Vec<Usage> = join_all(adding).await.into_iter().flatten().collect();
        if usages.iter().any(Usage::is_exceeded) {
            self.give_back(user, charged, &usages, now).await;
        }
        usages
    }

    /// Gives back what was charged, as far as it was.
    pub(crate) async fn give_back(
        &self,
        user: &UserId,
        charged: &[(&'static Policy, u32)],
        usages: &[Usage],
        now: Timestamp,
    ) {
        let was_charged = |policy: &Policy| usages.iter().any(|usage| usage.policy == policy);
        let charged = charged.iter().filter(|(policy, _)| was_charged(policy));
        join_all(charged.map(|(policy, weight)| self.add(user, policy, -i64::from(*weight), now))).await;
    }

    /// Adds to a count of all processes. None if that fails or takes long: then the user is let through.
    async fn add(
        &self,
        user: &UserId,
        policy: &'static Policy,
        weight: i64,
        now: Timestamp,
    ) -> Option<Usage> {
        let added = timeout(limits::COUNT_TIME, self.add_to_row(user, policy, weight, now)).await;
        match added {
            Ok(Ok(used)) => {
                self.counter.learn((user.clone(), policy.name, None), policy, now, used);
                Some(policy.usage(used, now))
            }
            Ok(Err(error)) => {
                tracing::warn!(user.id = %user, "cannot count `{}`, so the user is let through: {error}", policy.name);
                None
            }
            Err(_) => {
                tracing::warn!(user.id = %user, "counting `{}` takes too long, so the user is let through", policy.name);
                None
            }
        }
    }

    /// Adds to the row of a count, and tells how much that is now. Sent once: a second time it would count again.
    async fn add_to_row(
        &self,
        user: &UserId,
        policy: &Policy,
        weight: i64,
        now: Timestamp,
    ) -> Result<u32, Error> {
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let window = policy.window(now);
        // A process whose clock is behind by a window still finds it.
        let exp = policy.end(window + 1);
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(keys::rate(user, policy.name, window).item()))
            .update_expression("SET used = if_not_exists(used, :zero) + :weight, exp = :exp")
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":weight", n(weight))
            .expression_attribute_values(":exp", n(exp))
            .return_values(ReturnValue::UpdatedNew)
            .customize()
            .config_override(once)
            .send()
            .await?;
        let used =
            answer.attributes.as_ref().and_then(|found| found.get("used")?.as_n().ok()?.parse::<i64>().ok());
        Ok(u32::try_from(used.unwrap_or(weight).max(0)).unwrap_or(u32::MAX))
    }
}
