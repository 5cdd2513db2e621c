//! From an envelope to the streams it is for.

use std::sync::Arc;

use domain::{
    envelope::{Envelope, News},
    event::EventName,
    limits,
    wire::Typing,
};
use jiff::Timestamp;
use queue::queues::Received;
use tokio::time::Instant;

use crate::{
    shared::Shared,
    tend::{self, Ask},
    user_streams::UserStreams,
};

/// Hands an envelope over. `of` is whose queue it lay in, if it was one user's.
pub(crate) fn deliver(shared: &Arc<Shared>, received: &Received, of: Option<&Arc<UserStreams>>) {
    shared.meters.envelopes.increment(1);
    let envelope = match Envelope::decode(&received.body) {
        Ok(envelope) => envelope,
        Err(error) => {
            shared.meters.bad_envelopes.increment(1);
            tracing::debug!("ignored an envelope: {error}");
            // It can only have meant: read the inbox.
            if let Some(user) = of {
                tend::ask(shared, user, Ask::HEAD);
            }
            return;
        }
    };
    let typing = envelope.news.as_ref().and_then(typing_of);
    for recipient in &envelope.to {
        let Some(user) = shared.hub.get(&recipient.user) else { continue };
        let ask = match (recipient.place, &envelope.news, &typing) {
            (Some(place), news, _) => user.deliver(place, news.as_ref(), received.sent_at),
            (None, Some(news), Some(typing)) => {
                show_typing(shared, &user, typing, news, received.sent_at);
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
fn show_typing(
    shared: &Shared,
    user: &UserStreams,
    typing: &Typing,
    news: &News,
    sent_at: Option<Timestamp>,
) {
    let age = sent_at.map(|sent_at| shared.clock.now().duration_since(sent_at));
    // A clock that is behind that of SQS makes no age.
    let age = age.and_then(|age| age.try_into().ok()).unwrap_or_default();
    let left = limits::TYPING_TTL.saturating_sub(age);
    let now = Instant::now();
    if left.is_zero() || !user.typing(typing, news.data.get(), now, now + left) {
        shared.meters.typing_shed.increment(1);
    }
}
