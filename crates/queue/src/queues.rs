//! The queues of one stage.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    config::Config,
    types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName as Attribute},
};
use domain::{ids::QueueId, limits};
use jiff::Timestamp;

use crate::{error::Error, policy::Senders, seal::Seal};

/// The stage where no other is given.
pub const STAGE: &str = "dev";

/// A stage out of a setting: it is part of the queues' names, and of the roles that may use them.
///
/// # Errors
/// What a stage has to be.
pub fn parse_stage(text: &str) -> Result<String, String> {
    let good =
        (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if good { Ok(text.into()) } else { Err("a stage is 1 to 12 of a-z 0-9".into()) }
}

/// Envelopes taken at once: the most that SQS gives. Where so many come there are more.
pub const BATCH: usize = 10;

/// All queues of a stage, told from other stages' by the beginning of their names.
#[derive(Debug, Clone)]
pub struct Queues {
    pub(crate) calls: Client,
    /// What the urls of this deployment's queues begin with, once one of them is known.
    base: Arc<OnceLock<String>>,
    receives: Client,
    prefix: String,
    region: Option<String>,
    seal: Seal,
    senders: Senders,
}

/// An envelope as it came out of a queue.
#[derive(Debug, Clone)]
pub struct Received {
    /// What was posted, without its seal.
    pub body: String,
    /// Whether a writer of this deployment has posted it to this queue.
    pub is_proven: bool,
    /// What [`Queues::ack`] needs.
    pub receipt: String,
    /// When it was posted, by the clock of SQS.
    pub sent_at: Option<Timestamp>,
}

impl Queues {
    /// The queues `runnel-<stage>-<id>`.
    ///
    /// Receives have a client of their own (`receives`), since a long poll outlives the time
    /// limits that are good for every other call.
    pub fn new(calls: Config, receives: Config, stage: &str) -> Self {
        Self {
            prefix: format!("runnel-{stage}-"),
            region: calls.region().map(ToString::to_string),
            calls: Client::from_conf(calls),
            receives: Client::from_conf(receives),
            base: Arc::default(),
            seal: Seal::default(),
            senders: Senders::default(),
        }
    }

    /// The same queues, with envelopes sealed.
    #[must_use]
    pub fn sealed(self, seal: Seal) -> Self {
        Self { seal, ..self }
    }

    /// The same queues. Those that are created from now on take posts of these senders alone.
    #[must_use]
    pub fn only_from(self, senders: Senders) -> Self {
        Self { senders, ..self }
    }

    /// Creates the queue and answers with its url. A queue may need a second until it can be used
    /// (SQS API reference, `CreateQueue`).
    ///
    /// # Errors
    /// [`Error::Throttled`] where too many are created at once.
    pub async fn create(&self, id: &QueueId) -> Result<String, Error> {
        let name = self.named(id.as_str());
        let policy = self.senders.policy(self.region.as_deref(), &name);
        let attributes = [
            (Attribute::MessageRetentionPeriod, seconds(limits::QUEUE_RETENTION)),
            (Attribute::VisibilityTimeout, seconds(limits::QUEUE_VISIBILITY)),
            (Attribute::ReceiveMessageWaitTimeSeconds, seconds(limits::QUEUE_WAIT)),
        ];
        let attributes = attributes.into_iter().chain(policy.map(|policy| (Attribute::Policy, policy)));
        self.make(&name, attributes).await
    }

    /// The url of a queue. All queues of a deployment have the same one but for their names.
    ///
    /// # Errors
    /// While no queue is known, those of the call that asks for this one.
    pub async fn url(&self, id: &QueueId) -> Result<String, Error> {
        let name = self.named(id.as_str());
        if let Some(base) = self.base.get() {
            return Ok(format!("{base}{name}"));
        }
        self.found(&name).await
    }

    /// The url of a queue that exists, by its name.
    pub(crate) async fn found(&self, name: &str) -> Result<String, Error> {
        let found = self.calls.get_queue_url().queue_name(name).send().await?;
        let url =
            found.queue_url.ok_or_else(|| Error::Unavailable("GetQueueUrl answered without a url".into()))?;
        self.learn(&url);
        Ok(url)
    }

    /// Learns from the url of one queue what the others' begin with.
    pub fn learn(&self, url: &str) {
        if let Some((base, _)) = url.rsplit_once('/') {
            self.base.get_or_init(|| format!("{base}/"));
        }
    }

    /// The name of a queue of this stage.
    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Creates a queue that is encrypted with SQS's own key, and answers with its url.
    pub(crate) async fn make(
        &self,
        name: &str,
        attributes: impl IntoIterator<Item = (Attribute, String)>,
    ) -> Result<String, Error> {
        let mut call =
            self.calls.create_queue().queue_name(name).attributes(Attribute::SqsManagedSseEnabled, "true");
        for (attribute, value) in attributes {
            call = call.attributes(attribute, value);
        }
        let created = call.send().await?;
        let url = created
            .queue_url
            .ok_or_else(|| Error::Unavailable("CreateQueue answered without a url".into()))?;
        self.learn(&url);
        Ok(url)
    }

    /// Posts an envelope.
    ///
    /// # Errors
    /// [`Error::Gone`] if the queue does not exist.
    pub async fn post_envelope(&self, url: &str, text: String) -> Result<(), Error> {
        self.post(url, self.seal.close(name(url), text)).await
    }

    /// Posts a body without a seal, such as a job: the fan-out checks each job against the table.
    pub async fn post(&self, url: &str, body: String) -> Result<(), Error> {
        self.calls.send_message().queue_url(url).message_body(body).send().await?;
        Ok(())
    }

    /// Waits up to [`limits::QUEUE_WAIT`] for envelopes, and takes up to [`BATCH`]. Dropping the future
    /// aborts the receive.
    pub async fn receive(&self, url: &str) -> Result<Vec<Received>, Error> {
        let received = self
            .receives
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(i32::try_from(BATCH).unwrap_or(10))
            .wait_time_seconds(i32::try_from(limits::QUEUE_WAIT.as_secs()).unwrap_or(20))
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await?;
        let messages = received.messages.unwrap_or_default();
        Ok(messages
            .into_iter()
            .filter_map(|m| {
                let attributes = m.attributes.unwrap_or_default();
                let sent = attributes.get(&MessageSystemAttributeName::SentTimestamp);
                let sent_at = sent.and_then(|ms| Timestamp::from_millisecond(ms.parse().ok()?).ok());
                let body = m.body.unwrap_or_default();
                let (text, is_proven) = self.seal.open(name(url), &body);
                Some(Received { body: text.to_owned(), is_proven, receipt: m.receipt_handle?, sent_at })
            })
            .collect())
    }

    /// Takes received envelopes out of the queue for good. One that stays is only seen again.
    pub async fn ack(&self, url: &str, received: &[Received]) -> Result<(), Error> {
        if received.is_empty() {
            return Ok(());
        }
        let mut call = self.calls.delete_message_batch().queue_url(url);
        for (i, message) in received.iter().enumerate() {
            let entry =
                DeleteMessageBatchRequestEntry::builder().id(i.to_string()).receipt_handle(&message.receipt);
            call = call.entries(entry.build().expect("an entry has an id and a receipt"));
        }
        call.send().await?;
        Ok(())
    }

    /// Deletes a queue of which only the name is known.
    pub async fn delete_named(&self, id: &QueueId) -> Result<(), Error> {
        match self.url(id).await {
            Ok(url) => self.delete(&url).await,
            Err(Error::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes a queue; one that is gone already counts as deleted.
    pub async fn delete(&self, url: &str) -> Result<(), Error> {
        match self.calls.delete_queue().queue_url(url).send().await.map_err(Error::from) {
            Ok(_) | Err(Error::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A duration as an attribute of a queue.
pub(crate) fn seconds(duration: Duration) -> String {
    duration.as_secs().to_string()
}

/// The name of the queue at a url, which ends with it.
fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}
