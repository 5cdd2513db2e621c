//! `runnel send`: one message, with the retries that every client should have.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use domain::ids::UserId;
use http::{Method, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Failure, Server, Session, whole};
use crate::banner;

/// Attempts of one request, the first included.
const ATTEMPTS: u32 = 5;
/// Pause before the second attempt. It doubles.
const PAUSE: Duration = Duration::from_millis(250);

/// Sends `text` from one user to another and prints the message.
///
/// # Errors
/// One sentence that says what to do.
pub async fn send(server: &Server, from: &UserId, to: &UserId, text: &str) -> anyhow::Result<()> {
    let session = Session::new(server, from)?;
    let thread = session.post("/v1/threads", &json!({"members": [to]})).await?;
    let thread: Value = serde_json::from_str(&thread).context("the answer is not JSON")?;
    let path = format!("/v1/threads/{}/messages", thread["id"].as_str().unwrap_or_default());
    let message = session.post(&path, &json!({"text": text})).await?;
    banner::message(&message);
    Ok(())
}

impl Session {
    /// Posts `body` until there is an answer that counts. All attempts have one idempotency key, so that they are one
    /// write.
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let key = format!("{:032x}", rand::random::<u128>());
        let mut pause = PAUSE;
        for attempt in 1.. {
            let request = self
                .request(Method::POST, path)
                .header(header::CONTENT_TYPE, "application/json")
                .header("idempotency-key", &key)
                .body(Full::new(Bytes::from(body.to_string())))
                .expect("a path and headers of our own make a request");
            let failure = match self.send(request).await {
                Ok(answer) => return whole(answer.into_body()).await,
                Err(failure) => failure,
            };
            let wait = match &failure {
                // The first attempt finds out whether there is a server at all.
                Failure::Unreachable(_) if attempt > 1 => Some(pause),
                Failure::Refused(refusal) if is_passing(refusal.status) => {
                    Some(refusal.retry_after.unwrap_or(pause))
                }
                _ => None,
            };
            let Some(wait) = wait.filter(|_| attempt < ATTEMPTS) else { return Err(self.explain(failure)) };
            sleep(wait).await;
            pause *= 2;
        }
        unreachable!("the loop ends by an answer or by its last attempt")
    }
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}
