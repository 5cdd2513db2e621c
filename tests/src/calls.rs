//! Counts what a client asks of AWS, below the SDK's own retries.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
            dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use serde_json::Value;

/// Requests by operation, the write units that they cost with rows of up to 1 KB: one a row,
/// two in a transaction (DynamoDB developer guide, "Read/write capacity"), and how many of them
/// wait for one another.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<Counted>>);

/// What was counted since it was last taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests by operation.
    pub requests: BTreeMap<String, u64>,
    /// Write units.
    pub write_units: u64,
    /// The longest row of requests each of which was made when the one before it had been answered:
    /// the round trips that an operation takes.
    pub in_a_row: u64,
    /// Bytes of the answers, as far as DynamoDB has said how long they are.
    pub answered: u64,
}

/// The place of a request in the longest row that it ends.
#[derive(Debug)]
struct Place(u64);

impl Storable for Place {
    type Storer = StoreReplace<Self>;
}

impl Calls {
    /// What was counted, and begins anew.
    pub fn take(&self) -> Counted {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[dyn_dispatch_hint]
impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "calls"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body: Value =
            serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        let mut counted = self.0.lock().unwrap();
        counted.write_units += match operation.as_str() {
            "TransactWriteItems" => {
                2 * body["TransactItems"].as_array().map_or(0, |items| items.len() as u64)
            }
            "PutItem" | "UpdateItem" | "DeleteItem" => 1,
            _ => 0,
        };
        *counted.requests.entry(operation).or_default() += 1;
        config.interceptor_state().store_put(Place(counted.in_a_row + 1));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Place(place)) = config.load::<Place>() {
            let mut counted = self.0.lock().unwrap();
            counted.in_a_row = counted.in_a_row.max(*place);
        }
        let length = context.response().and_then(|response| response.headers().get("content-length"));
        self.0.lock().unwrap().answered += length.and_then(|length| length.parse().ok()).unwrap_or(0);
        Ok(())
    }
}
