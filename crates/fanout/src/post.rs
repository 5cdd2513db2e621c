//! Posts to the queues: one envelope per queue, with all its recipients (P7).

use std::collections::BTreeMap;

use domain::{
    envelope::{Envelope, News, Recipient},
    ids::UserId,
    limits,
};
use futures_util::future::{join, join_all};
use queue::error::Error;
use store::{inbox::delivery::Delivered, lease::Lease};

use crate::{deliver::Fanout, log};

/// The recipients, and the position of each inbox.
type To<'a> = Vec<(&'a UserId, Option<&'a Delivered>)>;

impl Fanout {
    /// Posts the position of each recipient's inbox. The envelope carries `news` for recipients whose last event is
    /// `news`. Other recipients only get a hint to read their inbox.
    pub(super) async fn post(&self, delivered: &[Delivered], news: Option<&News>) {
        let of =
            |exact: bool| delivered.iter().filter(|t| t.exact == exact).map(|t| (&t.user, Some(t))).collect();
        join(self.post_to(of(true), news), self.post_to(of(false), None)).await;
    }

    /// Reads the leases, after the append, and posts to each queue with a holder. A post that fails is only a delay: the
    /// edge checks HEAD.
    pub(super) async fn post_to(&self, to: To<'_>, news: Option<&News>) {
        let leases = join_all(to.iter().map(|(user, _)| self.table.leases(user))).await;
        let mut queues: BTreeMap<String, Vec<Recipient<'_>>> = BTreeMap::new();
        for ((user, delivered), leases) in to.into_iter().zip(leases) {
            let leases = leases.unwrap_or_else(|error| {
                log(&format!("could not look up the queues of `{user}`, who is not told"), None, &error);
                Vec::new()
            });
            for Lease { url, .. } in leases.into_iter().filter(|lease| lease.holder.is_some()) {
                let recipient =
                    Recipient { user: user.as_str(), place: delivered.map(|delivered| delivered.cursor) };
                queues.entry(url).or_default().push(recipient);
            }
        }
        let mut posts = Vec::with_capacity(queues.len());
        for (url, to) in &queues {
            for to in to.chunks(limits::ENVELOPE_RECIPIENTS) {
                let envelope = Envelope { to: to.to_vec(), news: news.cloned() };
                posts.push(self.queues.post(url, envelope.encode()));
            }
        }
        for error in join_all(posts).await.into_iter().filter_map(Result::err) {
            // Normal for the queue of a dead edge, until its lease expires.
            if matches!(error, Error::Gone) {
                tracing::debug!("a queue does not exist: its users get the event at the next head check");
            } else {
                log(
                    "could not post an envelope: its users get the event at the next head check",
                    None,
                    &error,
                );
            }
        }
    }
}
