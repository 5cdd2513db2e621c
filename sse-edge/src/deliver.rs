//! From an envelope to the streams it is for.

use std::sync::Arc;

use domain::{
    envelope::{Envelope, News},
    event::EventName,
    limits,
    wire::Typing,
};
use jiff::Timestamp;
use queue::queues::{BATCH, Received};
use tokio::time::Instant;

use crate::{
    ring::Shown,
    shared::Shared,
    tend::{self, Ask},
    user_streams::UserStreams,
};

/// Hands over what one receive brought. `of` is whose queue it lay in, if it was one user's.
///
/// A full batch means that more waits behind it; then, and while the edge as a whole is behind,
/// nobody is told who types.
pub(crate) fn deliver(shared: &Arc<Shared>, batch: &[Received], of: Option<&Arc<UserStreams>>) {
    let shed = batch.len() >= BATCH || shared.is_behind();
    shared.meters.envelopes.increment(batch.len() as u64);
    for received in batch {
        match Envelope::decode(&received.body) {
            Ok(envelope) => hand_over(shared, &envelope, (received.sent_at, shed), of),
            Err(error) => bad(shared, &error.to_string(), of),
        }
    }
}

/// An envelope that should not be here can only have meant: read the inbox.
fn bad(shared: &Arc<Shared>, why: &str, of: Option<&Arc<UserStreams>>) {
    shared.meters.bad_envelopes.increment(1);
    tracing::debug!("ignored an envelope: {why}");
    if let Some(user) = of {
        tend::ask(shared, user, Ask::HEAD);
    }
}

fn hand_over(
    shared: &Arc<Shared>,
    envelope: &Envelope<'_>,
    (sent_at, shed): (Option<Timestamp>, bool),
    of: Option<&Arc<UserStreams>>,
) {
    let typing = envelope.news.as_ref().and_then(typing_of);
    let now = Instant::now();
    let sent_at = sent_at.and_then(|sent_at| {
        let age = shared.clock.now().duration_since(sent_at);
        // A clock that is behind that of SQS makes no age.
        now.checked_sub(age.try_into().unwrap_or_default())
    });
    let shown = envelope.news.as_ref().filter(|_| typing.is_none()).map(|news| Shown::new(news, sent_at));
    let users = shared.hub.get_each(envelope.to.iter().map(|recipient| recipient.user));
    for (recipient, user) in envelope.to.iter().zip(users) {
        if of.is_some_and(|of| of.user.as_str() != recipient.user) {
            bad(shared, "it is for another user than the queue", of);
            continue;
        }
        let Some(user) = user else { continue };
        let ask = match (recipient.place, &envelope.news, &typing) {
            (Some(place), ..) => user.deliver(place, shown.as_ref()),
            (None, Some(_), Some(_)) if shed => {
                shared.meters.typing_shed.increment(1);
                Ask::NOTHING
            }
            (None, Some(news), Some(typing)) => {
                show_typing(shared, &user, (typing, news), sent_at.unwrap_or(now));
                Ask::NOTHING
            }
            (None, ..) => Ask::HEAD,
        };
        tend::ask(shared, &user, ask);
    }
}

fn typing_of(news: &News) -> Option<Typing> {
    if news.event != EventName::Typing {
        return None;
    }
    serde_json::from_str(news.data.get()).ok()
}

/// A typing event is worth showing for [`limits::TYPING_TTL`] from its post.
fn show_typing(shared: &Shared, user: &UserStreams, (typing, news): (&Typing, &News), sent_at: Instant) {
    let (now, until) = (Instant::now(), sent_at + limits::TYPING_TTL);
    if now >= until || !user.typing(typing, news.data.get(), now, until) {
        shared.meters.typing_shed.increment(1);
    }
}
