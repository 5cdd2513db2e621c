//! What AWS charges for, counted request by request, whatever the answer.

use std::{
    iter::Sum,
    ops::{Div, Mul, Sub},
};

use super::request::Request;

/// Units and requests.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Bill {
    /// Read units of DynamoDB: one a consistent read of up to 4 KB, half of one otherwise. Each query is
    /// taken for one of up to 4 KB ("Read and write operations", DynamoDB developer guide).
    pub(crate) reads: f64,
    /// Write units of DynamoDB: one a row of up to 1 KB, two in a transaction.
    pub(crate) writes: f64,
    /// Requests of SQS: a receive is one, whether it finds something or not; so is a batch.
    pub(crate) queues: f64,
}

impl Bill {
    /// Adds a request to SQS.
    pub(crate) fn count_call(&mut self) {
        self.queues += 1.0;
    }

    /// Adds a request to DynamoDB.
    pub(crate) fn count(&mut self, operation: &str, request: &Request<'_>) {
        let unit = |read: &Request<'_>| if read.consistent_read { 1.0 } else { 0.5 };
        let count = |n: usize| f64::from(u32::try_from(n).expect("few"));
        match operation {
            "GetItem" | "Query" => self.reads += unit(request),
            "BatchGetItem" => {
                let tables = request.batches.values();
                self.reads += tables.map(|read| unit(read) * count(read.keys.len())).sum::<f64>();
            }
            "TransactGetItems" => self.reads += 2.0 * count(request.transact_items.len()),
            "TransactWriteItems" => self.writes += 2.0 * count(request.transact_items.len()),
            "PutItem" | "UpdateItem" | "DeleteItem" => self.writes += 1.0,
            // Where the tables are is asked once a process, at no charge; what only a repair asks for is no
            // part of an hour.
            _ => {}
        }
    }
}

impl Sub for Bill {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            reads: self.reads - other.reads,
            writes: self.writes - other.writes,
            queues: self.queues - other.queues,
        }
    }
}

impl Sum for Bill {
    fn sum<I: Iterator<Item = Self>>(bills: I) -> Self {
        bills.fold(Self::default(), |sum, other| Self {
            reads: sum.reads + other.reads,
            writes: sum.writes + other.writes,
            queues: sum.queues + other.queues,
        })
    }
}

impl Div<f64> for Bill {
    type Output = Self;

    fn div(self, by: f64) -> Self {
        Self { reads: self.reads / by, writes: self.writes / by, queues: self.queues / by }
    }
}

impl Mul<f64> for Bill {
    type Output = Self;

    fn mul(self, by: f64) -> Self {
        Self { reads: self.reads * by, writes: self.writes * by, queues: self.queues * by }
    }
}
