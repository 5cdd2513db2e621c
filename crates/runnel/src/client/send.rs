//! `runnel send`: one message, with the retries that every client should have.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use domain::ids::{ThreadId, UserId};
use http::{Method, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Failure, Server, Session, printable, whole};
use crate::banner;

/// Attempts of one request, the first included.
const ATTEMPTS: u32 = 6;
/// Pause before the second attempt. It doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the token of one attempt is valid.
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// Sends `text` from one user to another and prints the message.
///
/// # Errors
/// One sentence that says what to do.
pub async fn send(server: &Server, from: &UserId, to: &UserId, text: &str) -> anyhow::Result<()> {
    let session = Session::new(server, from)?;
    let thread = session.post("/v1/threads", &json!({"members": [to]})).await?;
    let thread: Value = serde_json::from_str(&thread).context("the answer is not JSON")?;
    let thread =
        ThreadId::parse(thread["id"].as_str().unwrap_or_default()).context("the answer is no thread")?;
    let message = session.post(&format!("/v1/threads/{thread}/messages"), &json!({"text": text})).await?;
    banner::message(&printable(&message));
    Ok(())
}

impl Session {
    /// Posts `body` until there is a whole answer that counts. All attempts have one idempotency key, so that they are
    /// one write.
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let key = format!("{:032x}", rand::random::<u128>());
        let mut pause = PAUSE;
        for attempt in 1.. {
            let request = self
                .request(Method::POST, path, TOKEN_LIFE)
                .header(header::CONTENT_TYPE, "application/json")
                .header("idempotency-key", &key)
                .body(Full::new(Bytes::from(body.to_string())))
                .expect("a path and headers of our own make a request");
            let answer = match self.send(request).await {
                Ok(answer) => whole(answer.into_body()).await.map_err(Failure::Broken),
                Err(failure) => Err(failure),
            };
            let failure = match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = match &failure {
                // The first attempt finds out whether there is a server at all.
                Failure::Unreachable(_) if attempt == 1 => None,
                Failure::Refused(refusal) if !refusal.is_passing() => None,
                Failure::Refused(refusal) => Some(refusal.retry_after.unwrap_or(pause)),
                Failure::Unreachable(_) | Failure::Broken(_) => Some(pause),
            };
            let Some(wait) = wait.filter(|_| attempt < ATTEMPTS) else { return Err(self.explain(failure)) };
            banner::retrying(wait);
            sleep(wait).await;
            pause *= 2;
        }
        unreachable!("the loop ends by an answer or by its last attempt")
    }
}
