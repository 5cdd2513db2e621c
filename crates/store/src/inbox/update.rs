//! One conditional update of a user row. Its answer is an image of the row, whether its condition held or not: so a
//! writer learns from it who listens, and a loser has read what the next attempt needs.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use domain::ids::UserId;

use super::Image;
use crate::table::{
    EdgeTable,
    error::Error,
    keys,
    retry::{Stop, retry},
    tx::n,
    user_row,
};

/// A change of a user row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    delete: Vec<String>,
    conditions: Vec<String>,
    names: Vec<(String, String)>,
    values: Vec<(String, AttributeValue)>,
}

/// What has become of an update.
#[derive(Debug)]
pub(crate) enum Updated {
    /// The row after it.
    Changed(Image),
    /// The condition did not hold: the row as it is; none, if there is none.
    Refused(Option<Image>),
}

impl Updated {
    /// The row as it is, whether it was changed or not.
    pub(crate) fn image(self) -> Result<Image, Error> {
        match self {
            Self::Changed(image) | Self::Refused(Some(image)) => Ok(image),
            Self::Refused(None) => Err(Error::Contended),
        }
    }
}

impl Change {
    /// A change that makes an absent row, and nothing else.
    pub(crate) fn new() -> Self {
        Self::default().set("gen = if_not_exists(gen, :random)", [(":random", n(rng::random::<u64>()))])
    }

    /// Sets an attribute.
    pub(crate) fn set<const N: usize>(mut self, set: &str, values: [(&str, AttributeValue); N]) -> Self {
        self.set.push(set.to_owned());
        self.values(values)
    }

    /// Removes an attribute, or a place of a list.
    pub(crate) fn remove(mut self, path: impl Into<String>) -> Self {
        self.remove.push(path.into());
        self
    }

    /// Adds to a set.
    pub(crate) fn add<const N: usize>(mut self, add: &str, values: [(&str, AttributeValue); N]) -> Self {
        self.add.push(add.to_owned());
        self.values(values)
    }

    /// Takes from a set.
    pub(crate) fn delete<const N: usize>(
        mut self,
        delete: &str,
        values: [(&str, AttributeValue); N],
    ) -> Self {
        self.delete.push(delete.to_owned());
        self.values(values)
    }

    /// Makes the change conditional.
    pub(crate) fn only_if(mut self, condition: &str) -> Self {
        self.conditions.push(condition.to_owned());
        self
    }

    /// Gives an attribute a name in expressions: its own has a `#`.
    pub(crate) fn name(mut self, name: &str, attribute: String) -> Self {
        self.names.push((name.to_owned(), attribute));
        self
    }

    /// Gives a value a name in expressions.
    pub(crate) fn values<const N: usize>(mut self, values: [(&str, AttributeValue); N]) -> Self {
        self.values.extend(values.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// The update expression.
    pub(crate) fn update_expression(&self) -> String {
        let mut update = format!("SET {}", self.set.join(", "));
        for (clause, parts) in [("REMOVE", &self.remove), ("ADD", &self.add), ("DELETE", &self.delete)] {
            if !parts.is_empty() {
                update.extend([" ", clause, " ", &parts.join(", ")]);
            }
        }
        update
    }

    /// The condition, if there is one.
    pub(crate) fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    /// The values of the expressions.
    pub(crate) fn expression_values(&self) -> impl Iterator<Item = (&str, AttributeValue)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.clone()))
    }
}

impl EdgeTable {
    /// Changes a user's row. A row that a transaction has in hand is tried again: the SDK does not do that by itself.
    ///
    /// # Errors
    /// [`Error::Contended`] if every attempt meets a transaction. Otherwise the update may have taken effect.
    pub(crate) async fn update(&self, user: &UserId, change: &Change) -> Result<Updated, Error> {
        retry(|_| async move {
            match self.update_once(user, change).await {
                Err(Error::Contended) => Err(Stop::Conflict),
                updated => updated.map_err(Stop::Failed),
            }
        })
        .await
    }

    async fn update_once(&self, user: &UserId, change: &Change) -> Result<Updated, Error> {
        let key = keys::user_row(user);
        let mut call = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .update_expression(change.update_expression())
            .set_condition_expression(change.condition())
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, attribute) in &change.names {
            call = call.expression_attribute_names(name, attribute);
        }
        for (name, value) in change.expression_values() {
            call = call.expression_attribute_values(name, value);
        }
        match call.send().await {
            Ok(updated) => {
                let row = user_row::read(&key, updated.attributes.as_ref())?;
                let image = self
                    .image_of(row)
                    .ok_or_else(|| Error::Unavailable("UpdateItem answered without the row".into()))?;
                Ok(Updated::Changed(image))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let row = user_row::read(&key, failed.item.as_ref())?;
                    Ok(Updated::Refused(self.image_of(row)))
                }
                _ => Err(error.into()),
            },
        }
    }
}
