//! The fan-out queue: one a stage, with a queue of its own for jobs that nobody can work.

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use domain::limits;

use crate::{
    error::Error,
    queues::{Queues, seconds},
};

/// What follows the stage's prefix in the name of the fan-out queue.
const JOBS: &str = "fanout";
/// The same for the queue of its dead jobs.
const DEAD: &str = "fanout-dead";

impl Queues {
    /// The url of the fan-out queue: `given`, or else that of `runnel-<stage>-fanout`, which is
    /// made if it does not exist. On AWS `template.yaml` makes it, and gives its url.
    pub async fn fanout(&self, given: Option<&str>) -> Result<String, Error> {
        if let Some(url) = given.filter(|url| !url.is_empty()) {
            self.learn(url);
            return Ok(url.into());
        }
        let name = self.named(JOBS);
        match self.found(&name).await {
            Err(Error::Gone) => {}
            found => return found,
        }
        let dead = [(Attribute::MessageRetentionPeriod, seconds(limits::DEAD_JOB_RETENTION))];
        let dead = self.make(&self.named(DEAD), dead).await?;
        let policy = format!(
            r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":{}}}"#,
            self.arn(&dead).await?,
            limits::JOB_RECEIVES
        );
        let jobs = [
            (Attribute::MessageRetentionPeriod, seconds(limits::JOB_RETENTION)),
            (Attribute::VisibilityTimeout, seconds(limits::JOB_VISIBILITY)),
            (Attribute::ReceiveMessageWaitTimeSeconds, seconds(limits::QUEUE_WAIT)),
            (Attribute::RedrivePolicy, policy),
        ];
        self.make(&name, jobs).await
    }

    async fn arn(&self, url: &str) -> Result<String, Error> {
        let call = self.calls.get_queue_attributes().queue_url(url).attribute_names(Attribute::QueueArn);
        let arn = call.send().await?.attributes.and_then(|mut found| found.remove(&Attribute::QueueArn));
        arn.ok_or_else(|| Error::Unavailable("GetQueueAttributes answered without an ARN".into()))
    }
}
