//! One `TransactWriteItems`, built item by item and answered by position.

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update},
};
use domain::ids::UserId;
use serde::Serialize;

use super::{
    Table,
    error::{Error, cancelled},
    keys::{self, Key},
    retry::Stop,
    write,
};
use crate::inbox::Change;

/// Values of an expression: `:name` and what it stands for.
pub(crate) type Values<'a> = Vec<(&'a str, AttributeValue)>;

/// A transaction under construction.
#[derive(Debug)]
pub(crate) struct Tx<'a> {
    table: &'a Table,
    items: Vec<TransactWriteItem>,
}

/// The condition of a row that must not exist yet.
pub(crate) const ABSENT: &str = "attribute_not_exists(pk)";
/// A condition that always holds, for planted mistakes.
pub(crate) const ALWAYS: &str = "attribute_not_exists(pk) OR attribute_exists(pk)";

pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

impl<'a> Tx<'a> {
    pub(crate) fn new(table: &'a Table) -> Self {
        Self { table, items: Vec::with_capacity(8) }
    }

    /// Puts a row that must not exist yet.
    pub(crate) fn put_new<T: Serialize>(&mut self, key: &Key, row: &T) -> Result<(), Error> {
        self.put_if(key, row, ABSENT, Vec::new())
    }

    /// Puts a row on a condition.
    pub(crate) fn put_if<T: Serialize>(
        &mut self,
        key: &Key,
        row: &T,
        condition: &str,
        values: Values<'_>,
    ) -> Result<(), Error> {
        self.put_row(key, row, Some(condition), values)
    }

    /// Puts a row, whatever was there.
    pub(crate) fn put<T: Serialize>(&mut self, key: &Key, row: &T) -> Result<(), Error> {
        self.put_row(key, row, None, Vec::new())
    }

    fn put_row<T: Serialize>(
        &mut self,
        key: &Key,
        row: &T,
        condition: Option<&str>,
        values: Values<'_>,
    ) -> Result<(), Error> {
        let mut put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(write(key, row)?))
            .set_condition_expression(condition.map(Into::into));
        for (name, value) in values {
            put = put.expression_attribute_values(name, value);
        }
        let put = put.build().expect("a put has a table and an item");
        self.items.push(TransactWriteItem::builder().put(put).build());
        Ok(())
    }

    /// Updates a row; with a `condition`, only if it holds.
    pub(crate) fn update(&mut self, key: &Key, update: &str, condition: Option<&str>, values: Values<'_>) {
        let mut built = Update::builder()
            .table_name(&self.table.name)
            .set_key(Some(key.item()))
            .update_expression(update)
            .set_condition_expression(condition.map(Into::into));
        for (name, value) in values {
            built = built.expression_attribute_values(name, value);
        }
        let built = built.build().expect("an update has a table, a key and an expression");
        self.items.push(TransactWriteItem::builder().update(built).build());
    }

    /// Deletes a row, whether it is there or not.
    pub(crate) fn delete(&mut self, key: &Key) {
        let delete = Delete::builder().table_name(&self.table.name).set_key(Some(key.item()));
        let delete = delete.build().expect("a delete has a table and a key");
        self.items.push(TransactWriteItem::builder().delete(delete).build());
    }

    /// Requires a condition of a row that the transaction does not write.
    pub(crate) fn check(&mut self, key: &Key, condition: &str, values: Values<'_>) {
        let mut check = ConditionCheck::builder()
            .table_name(&self.table.name)
            .set_key(Some(key.item()))
            .condition_expression(condition);
        for (name, value) in values {
            check = check.expression_attribute_values(name, value);
        }
        let check = check.build().expect("a check has a table, a key and a condition");
        self.items.push(TransactWriteItem::builder().condition_check(check).build());
    }

    /// Changes a user's row, on the conditions of the change.
    pub(crate) fn update_user_row(&mut self, user: &UserId, change: &Change) {
        let values = change.expression_values().collect();
        let condition = change.condition();
        self.update(&keys::user_row(user), &change.update_expression(), condition.as_deref(), values);
    }

    /// Commits. The SDK gives each call one `ClientRequestToken` and keeps it over its own
    /// retries, so a retry after a lost answer does not write twice (valid for ten minutes).
    ///
    /// # Errors
    /// [`Cancelled`]
    pub(crate) async fn commit(self) -> Result<(), Cancelled> {
        let sent = self.table.client.transact_write_items().set_transact_items(Some(self.items)).send().await;
        let Err(error) = sent else { return Ok(()) };
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                cancelled.cancellation_reasons().to_vec()
            }
            _ => return Err(Cancelled { failed: Vec::new(), stop: Stop::in_doubt(error.into()) }),
        };
        let failed = reasons.iter().map(|reason| reason.code() == Some("ConditionalCheckFailed")).collect();
        Err(Cancelled { failed, stop: cancelled(&reasons, error).map_or(Stop::Conflict, Stop::in_doubt) })
    }
}

/// Why a transaction has no known success.
#[derive(Debug)]
pub(crate) struct Cancelled {
    /// Which conditions did not hold, by position. A conflict with another transaction is none: it says nothing of the
    /// outcome of either.
    failed: Vec<bool>,
    /// What to do. [`Stop::Conflict`]: nothing was written, because another writer was faster; the next attempt reads
    /// everything again. [`Stop::Indeterminate`]: everything may be written. [`Stop::Failed`]: nothing was written.
    pub(crate) stop: Stop,
}

impl Cancelled {
    /// Whether the condition of the item at this position did not hold.
    pub(crate) fn failed_at(&self, position: usize) -> bool {
        self.failed.get(position) == Some(&true)
    }
}

impl From<Cancelled> for Stop {
    fn from(cancelled: Cancelled) -> Self {
        cancelled.stop
    }
}

#[cfg(test)]
mod tests {
    use client::aws::{Answer, Aws};
    use domain::ids::{ThreadId, UserId};
    use serde_json::json;

    use super::*;
    use crate::table::keys;

    /// How a transaction ends that AWS answers so.
    async fn ended(answer: Answer) -> Result<(), Stop> {
        let aws = Aws::new(move |_, _| answer.clone());
        let table = Table::open(aws.dynamodb(), "table", 7).await.unwrap();
        let mut tx = Tx::new(&table);
        let member = keys::member(&ThreadId::parse("t_a").unwrap(), &UserId::parse("alice").unwrap());
        tx.update(&member, "SET role = :role", Some(ABSENT), vec![(":role", s("owner"))]);
        Ok(tx.commit().await?)
    }

    fn cancelled_by(codes: &[&str]) -> Answer {
        let reasons: Vec<_> = codes.iter().map(|code| json!({"Code": code})).collect();
        Answer::Refused("TransactionCanceledException", json!({"CancellationReasons": reasons}))
    }

    #[tokio::test]
    async fn a_lost_race_is_a_conflict() {
        assert!(ended(Answer::Ok(json!({}))).await.is_ok());
        for codes in [["None", "ConditionalCheckFailed"], ["TransactionConflict", "None"]] {
            let ended = ended(cancelled_by(&codes)).await;
            assert!(matches!(ended, Err(Stop::Conflict)), "{codes:?}: {ended:?}");
        }
    }

    #[tokio::test]
    async fn what_may_have_been_committed_is_in_doubt() {
        let throttled = ended(cancelled_by(&["ConditionalCheckFailed", "ThrottlingError"])).await;
        assert!(matches!(throttled, Err(Stop::Indeterminate(Error::Throttled(_)))), "{throttled:?}");
        let under_way = Answer::Refused("TransactionInProgressException", json!({}));
        for answer in [under_way, Answer::Lost] {
            let ended = ended(answer.clone()).await;
            assert!(
                matches!(ended, Err(Stop::Indeterminate(Error::Unavailable(_)))),
                "{answer:?}: {ended:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_wrong_request_is_not_tried_again() {
        let wrong = Answer::Refused("ValidationException", json!({}));
        for answer in [cancelled_by(&["ValidationError", "ConditionalCheckFailed"]), wrong] {
            let ended = ended(answer.clone()).await;
            assert!(matches!(ended, Err(Stop::Failed(Error::Refused(_)))), "{answer:?}: {ended:?}");
        }
    }
}
