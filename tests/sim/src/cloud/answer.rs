//! What the cloud answers.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Duration;

use super::row::Stored;

/// An answer, and how long it takes until it may be given.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body, JSON.
    pub(crate) body: String,
    /// Nothing is answered before.
    pub(crate) after: Duration,
}

impl Answer {
    /// 200.
    pub(crate) fn ok(body: Value) -> Self {
        Self::told(body.to_string())
    }

    /// 200 with a body that is JSON already.
    pub(crate) fn told(body: String) -> Self {
        Self { status: 200, body, after: Duration::ZERO }
    }

    /// 400 with the name of an exception.
    pub(crate) fn refused(exception: &str) -> Self {
        Self::because(json!({"__type": exception, "message": "the model says so"}))
    }

    /// 400 with reasons.
    pub(super) fn because(body: Value) -> Self {
        Self { status: 400, body: body.to_string(), after: Duration::ZERO }
    }
}

/// What an answer says of one row.
pub(super) fn one(item: Option<&Stored>) -> String {
    item.map_or_else(|| "{}".to_owned(), |item| format!(r#"{{"Item":{}}}"#, item.json()))
}

/// What an answer says of several rows.
pub(super) fn list(items: &[Arc<Stored>]) -> String {
    let items: Vec<&str> = items.iter().map(|item| item.json()).collect();
    format!("[{}]", items.join(","))
}
