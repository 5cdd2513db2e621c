//! Posts to the queues: one envelope per queue, with all its recipients (rule 7). The queues come from an image of the
//! user row that contains the event, so nothing is read here.

use std::collections::BTreeMap;

use domain::{
    envelope::{Envelope, News, Recipient},
    ids::QueueId,
    limits,
};
use futures_util::future::{join, join_all};
use queue::error::Error;
use store::inbox::delivery::Delivered;

use crate::{deliver::Fanout, log};

/// The recipients by queue.
pub(super) type ByQueue<'a> = BTreeMap<&'a QueueId, Vec<Recipient<'a>>>;

impl Fanout {
    /// Posts the position of each recipient's inbox. The envelope carries `news` for recipients whose last event is
    /// `news`. Other recipients only get a hint to read their inbox. False if a post has failed.
    pub(super) async fn post(&self, delivered: &[Delivered], news: Option<&News>) -> bool {
        let of = |exact: bool| {
            let mut queues = ByQueue::new();
            for to in delivered.iter().filter(|to| to.exact == exact) {
                for queue in &to.queues {
                    let recipient = Recipient { user: to.user.as_str(), place: Some(to.cursor) };
                    queues.entry(queue).or_default().push(recipient);
                }
            }
            queues
        };
        let (exact, hints) = join(self.post_to(of(true), news), self.post_to(of(false), None)).await;
        exact && hints
    }

    /// Posts to each queue. False if a post failed for another reason than a missing queue. Then a listener may not have
    /// been notified.
    pub(super) async fn post_to(&self, queues: ByQueue<'_>, news: Option<&News>) -> bool {
        let mut posts = Vec::with_capacity(queues.len());
        for (queue, to) in &queues {
            for to in to.chunks(limits::ENVELOPE_RECIPIENTS) {
                let envelope = Envelope { to: to.to_vec(), news: news.cloned() };
                posts.push(async move {
                    let url = self.queues.url(queue).await?;
                    self.queues.post_envelope(&url, envelope.encode()).await
                });
            }
        }
        let mut all = true;
        for error in join_all(posts).await.into_iter().filter_map(Result::err) {
            // Normal for the queue of a dead edge, until the user's next lease.
            if matches!(error, Error::Gone) {
                tracing::debug!("a queue does not exist: its users get the event at the next comparison");
            } else {
                all = false;
                log("could not post an envelope, so the delivery is tried again", None, &error);
            }
        }
        all
    }
}
