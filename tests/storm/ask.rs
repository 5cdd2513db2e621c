//! Whoever asks the API for something in a storm, until there is an answer that counts.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::StatusCode;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::fleet::Fleet;

/// How long an answer is waited for, and the pause before the next try.
const ANSWERS_IN: Duration = Duration::from_secs(5);
const AGAIN_MS: std::ops::Range<u64> = 200..1_000;

/// Asks at any API of the fleet. Clones are the same.
#[derive(Clone)]
pub(crate) struct Asker {
    fleet: Arc<Fleet>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Asker {
    pub(crate) fn new(fleet: &Arc<Fleet>) -> Self {
        Self { fleet: Arc::clone(fleet), wrong: Arc::default() }
    }

    /// Answers that should not have been given.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// Asks with one key until there is an answer that counts; none if it is that this cannot be.
    pub(crate) async fn until_answered(
        &self,
        user: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Option<Value> {
        let api = self.fleet.as_user(user);
        let key = format!("{:032x}", rand::random::<u128>());
        loop {
            let body = (!body.is_null()).then(|| body.clone());
            let headers = [("idempotency-key", key.as_str())];
            let answer = timeout(ANSWERS_IN, api.try_call(method, path, body, &headers)).await;
            if let Ok(Ok(answer)) = answer {
                if answer.status.is_success() {
                    return Some(answer.body);
                }
                if answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS {
                    self.wrong.lock().unwrap().push(format!("{method} {path} by {user}: {answer:?}"));
                    return None;
                }
            }
            sleep(Duration::from_millis(rand::random_range(AGAIN_MS))).await;
        }
    }
}
