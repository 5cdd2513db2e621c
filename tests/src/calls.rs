//! Counts what a client asks of AWS, below the SDK's own retries.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextRef, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

/// Requests by operation, and the write units that they cost with rows of up to 1 KB: one a row,
/// two in a transaction (DynamoDB developer guide, "Read/write capacity").
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<Counted>>);

/// What was counted since it was last taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests by operation.
    pub requests: BTreeMap<String, u64>,
    /// Write units.
    pub write_units: u64,
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
        _: &mut ConfigBag,
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
        Ok(())
    }
}
