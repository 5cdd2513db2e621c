//! Whether a user may do something now.

use std::fmt;

use domain::{
    ids::UserId,
    rate::{Policy, Usage},
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use jiff::Timestamp;

use crate::table::Table;

/// The answer to whether a user may do something. Clones share the question.
#[derive(Debug, Clone, Default)]
pub struct Permit(Answer);

#[derive(Clone, Default)]
enum Answer {
    /// Nobody counts.
    #[default]
    Yes,
    /// This process has counted.
    Here(Vec<Usage>),
    /// The table counts when somebody awaits the answer.
    Table(Charge, Shared<BoxFuture<'static, Vec<Usage>>>),
}

/// Who is charged how much of what, and when.
#[derive(Clone)]
struct Charge {
    table: Table,
    user: UserId,
    charged: Vec<(&'static Policy, u32)>,
    now: Timestamp,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Yes => "Yes",
            Self::Here(_) => "Here",
            Self::Table(..) => "Table",
        };
        f.write_str(name)
    }
}

impl Permit {
    /// A permit by the counts of this process.
    pub(crate) fn here(usages: Vec<Usage>) -> Self {
        Self(Answer::Here(usages))
    }

    /// A permit by the counts of all processes.
    pub(crate) fn of_table(
        table: Table,
        user: UserId,
        charged: Vec<(&'static Policy, u32)>,
        now: Timestamp,
    ) -> Self {
        let charge = Charge { table, user, charged, now };
        let own = charge.clone();
        let answer = async move { own.table.charge(&own.user, &own.charged, own.now).await };
        Self(Answer::Table(charge, answer.boxed().shared()))
    }

    /// The user's usage of each policy; empty while it is not known, and if nobody counts.
    pub fn usages(&self) -> &[Usage] {
        match &self.0 {
            Answer::Yes => &[],
            Answer::Here(usages) => usages,
            Answer::Table(_, answer) => answer.peek().map_or(&[], Vec::as_slice),
        }
    }

    /// Why the user may not, if that is known.
    pub fn refusal(&self) -> Option<Usage> {
        refusal(self.usages())
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// The usage of the policy that is exceeded.
    pub async fn granted(&self) -> Result<(), Usage> {
        let refused = match &self.0 {
            Answer::Table(_, answer) => refusal(&answer.clone().await),
            _ => self.refusal(),
        };
        refused.map_or(Ok(()), Err)
    }

    /// Gives back what was charged, because the request is a copy of an accepted one. Above the limit `repeat` copies
    /// stay charged.
    pub(crate) async fn give_back(&self) {
        let Answer::Table(Charge { table, user, charged, now }, answer) = &self.0 else { return };
        let usages = answer.clone().await;
        if refusal(&usages).is_none() && table.may_repeat(user, *now) {
            table.give_back(user, charged, &usages, *now).await;
        }
    }
}

/// Of the policies that are exceeded the one that lasts longest.
fn refusal(usages: &[Usage]) -> Option<Usage> {
    usages.iter().copied().filter(Usage::is_exceeded).max_by_key(|usage| usage.ends_in_s)
}
