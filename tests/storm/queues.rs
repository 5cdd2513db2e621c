//! Somebody at the console of SQS.

use rand::seq::IndexedRandom as _;
use server::aws::{self, Endpoints};

use crate::fleet::{Fleet, Part};

/// Deletes a queue of the fleet, whichever, but the one of jobs. Where SQS cannot be reached,
/// nothing happens.
pub(crate) async fn delete_one(fleet: &Fleet) {
    let url = format!("http://{}", fleet.to_aws(Part::Emulators).address);
    let endpoints = Endpoints { dynamodb: Some(url.clone()), sqs: Some(url) };
    let sqs = aws_sdk_sqs::Client::new(&aws::configs(&endpoints).await.unwrap().sqs);
    let Ok(listed) = sqs.list_queues().send().await else { return };
    let queues: Vec<String> =
        listed.queue_urls.unwrap_or_default().into_iter().filter(|url| !url.contains("fanout")).collect();
    let chosen = queues.choose(&mut rand::rng()).cloned();
    if let Some(queue) = chosen {
        let _ = sqs.delete_queue().queue_url(queue).send().await;
    }
}
