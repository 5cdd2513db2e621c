//! From an envelope to the streams of its recipients.

use std::sync::Arc;

use domain::{
    cursor::Cursor,
    envelope::{Echo, Envelope, News},
    event::Delivery,
    ids::UserId,
    limits,
};
use mistakes::mistake;
use queue::queues::{BATCH, Received};
use tokio::time::Instant;

use crate::{
    context::Context,
    replay::ephemeral::Ephemeral,
    user::{User, hub::Hub, work::Work},
    wire::encoded_event::EncodedEvent,
};

/// Hands the envelopes of one queue to the users of the hub.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    pub(crate) cx: Arc<Context>,
    pub(crate) hub: Arc<Hub>,
    /// The user whose queue it is; none for an edge's queue.
    pub(crate) owner: Option<Arc<User>>,
}

/// An envelope's event, as its recipients share it.
enum Payload {
    /// The event has a place in each recipient's inbox.
    Durable(Durable),
    /// The event has no place.
    Ephemeral(Ephemeral),
    /// The envelope has no event, or none that this version can show: only its places count.
    Nothing,
}

/// An event with places, as its recipients share it.
struct Durable {
    event: Arc<EncodedEvent>,
    /// As its author is told it, if they are told more than the others.
    echo: Option<(UserId, Arc<EncodedEvent>)>,
}

impl Durable {
    fn new(news: &News, sent_at: Option<Instant>) -> Self {
        let told =
            |echo: &Echo| (echo.author.clone(), EncodedEvent::told(news, echo.author.as_str(), sent_at));
        Self { event: EncodedEvent::new(news, sent_at), echo: news.echo.as_ref().map(told) }
    }

    fn for_user(&self, user: &UserId) -> &Arc<EncodedEvent> {
        match &self.echo {
            Some((author, event)) if author == user => event,
            _ => &self.event,
        }
    }
}

/// What an envelope led to for one recipient.
#[derive(Debug, PartialEq, Eq)]
enum HandedOver {
    /// The user's worker has this to do.
    Work(Work),
    /// The event was ephemeral and is not shown.
    Shed,
}

impl Payload {
    fn of(news: Option<&News>, sent_at: Option<Instant>) -> Self {
        let Some(news) = news else { return Self::Nothing };
        match news.event.delivery() {
            Delivery::Logged | Delivery::Register => Self::Durable(Durable::new(news, sent_at)),
            Delivery::Ephemeral => Ephemeral::read(news).map_or(Self::Nothing, Self::Ephemeral),
            Delivery::Edge => Self::Nothing,
        }
    }
}

impl Dispatch {
    /// Hands over the envelopes of one receive.
    ///
    /// A full batch means that more wait behind it. Then, and while the edge as a whole is behind, ephemeral events are
    /// shed.
    pub(crate) fn batch(&self, batch: &[Received]) {
        let shed = batch.len() >= BATCH || self.cx.budget.is_exhausted();
        self.cx.metrics.envelopes.increment(batch.len() as u64);
        for received in batch {
            match Envelope::decode(&received.body) {
                Ok(envelope) if received.is_proven || envelope.news.is_none() || mistake!(UnprovenShown) => {
                    self.envelope(&envelope, self.posted_at(received), shed);
                }
                Ok(envelope) => {
                    self.bad("its seal is missing or wrong");
                    self.envelope(&envelope.without_news(), None, shed);
                }
                Err(error) => self.bad(&error.to_string()),
            }
        }
    }

    /// When an envelope was posted, by this process's own clock.
    fn posted_at(&self, received: &Received) -> Option<Instant> {
        let age = self.cx.clock.now().duration_since(received.sent_at?);
        // A clock behind that of SQS gives a negative age, which counts as none.
        Instant::now().checked_sub(age.try_into().unwrap_or_default())
    }

    /// An envelope that cannot be read says "read the inbox" to the owner of its queue.
    fn bad(&self, why: &str) {
        self.cx.metrics.bad_envelopes.increment(1);
        tracing::debug!("ignored an envelope: {why}");
        if let Some(owner) = &self.owner {
            self.hub.request(owner, Work::READ_ROW);
        }
    }

    fn envelope(&self, envelope: &Envelope<'_>, posted_at: Option<Instant>, shed: bool) {
        let payload = Payload::of(envelope.news.as_ref(), posted_at);
        let users = self.hub.get_each(envelope.to.iter().map(|recipient| recipient.user));
        for (recipient, user) in envelope.to.iter().zip(users) {
            if self.owner.as_ref().is_some_and(|owner| owner.id.as_str() != recipient.user) {
                self.bad("it is for another user than the queue");
            } else if let Some(user) = user {
                match hand_over(&user, recipient.place, &payload, posted_at, shed) {
                    HandedOver::Work(work) => self.hub.request(&user, work),
                    HandedOver::Shed => self.cx.metrics.typing_shed.increment(1),
                }
            }
        }
    }
}

/// Hands the payload of an envelope to one recipient.
fn hand_over(
    user: &User,
    place: Option<Cursor>,
    payload: &Payload,
    posted_at: Option<Instant>,
    shed: bool,
) -> HandedOver {
    HandedOver::Work(match (place, payload) {
        (Some(place), Payload::Durable(event)) => {
            user.envelope_received(place, Some(event.for_user(&user.id)))
        }
        (Some(place), Payload::Ephemeral(_) | Payload::Nothing) => user.envelope_received(place, None),
        (None, Payload::Ephemeral(ephemeral)) => {
            if shed || !show(user, ephemeral, posted_at) {
                return HandedOver::Shed;
            }
            Work::NOTHING
        }
        (None, Payload::Durable(_) | Payload::Nothing) => Work::READ_ROW,
    })
}

/// An ephemeral event is worth showing for [`limits::TYPING_TTL`] from its post. False if it comes too late or too often.
fn show(user: &User, ephemeral: &Ephemeral, posted_at: Option<Instant>) -> bool {
    let now = Instant::now();
    let until = posted_at.unwrap_or(now) + limits::TYPING_TTL;
    now < until && user.ephemeral_received(ephemeral.clone(), now, until)
}

#[cfg(test)]
mod tests {
    use domain::{
        cursor::Gen,
        event::EventName,
        ids::{ThreadId, UserId},
        sequence::InboxSeq,
        user_row::UserRow,
        wire::{Typing, TypingState},
    };
    use store::inbox::Image;

    use super::*;

    const NOTHING: HandedOver = HandedOver::Work(Work::NOTHING);

    fn at(seq: u64) -> Cursor {
        Cursor { r#gen: Gen(1), seq: InboxSeq(seq) }
    }

    /// A user whose ring ends at 5.
    fn alice() -> Arc<User> {
        let user = User::new(UserId::parse("alice").unwrap(), Arc::default(), Instant::now());
        user.row_read(&Image { cursor: at(5), row: UserRow::default() });
        user
    }

    fn payload(event: EventName) -> Payload {
        let bob = UserId::parse("bob").unwrap();
        let typing =
            Typing { thread: ThreadId::group(1), user: bob, state: TypingState::Started, ttl_ms: 6_000 };
        Payload::of(Some(&News::new(event, serde_json::to_string(&typing).unwrap())), None)
    }

    #[test]
    fn an_event_with_the_next_place_is_shown_and_one_with_a_later_place_is_read_from_the_inbox() {
        for event in [EventName::Message, EventName::Seen] {
            let user = alice();
            assert_eq!(hand_over(&user, Some(at(6)), &payload(event), None, true), NOTHING);
            let work = hand_over(&user, Some(at(8)), &payload(event), None, false);
            assert_eq!(work, HandedOver::Work(Work::CATCH_UP));
        }
    }

    #[test]
    fn an_ephemeral_event_causes_no_read_and_is_shed_while_the_edge_is_behind() {
        let (user, typing) = (alice(), payload(EventName::Typing));
        assert_eq!(hand_over(&user, None, &typing, None, true), HandedOver::Shed);
        assert_eq!(hand_over(&user, None, &typing, None, false), NOTHING);
        assert_eq!(user.latest_ephemeral(), 1);
        let old = Instant::now().checked_sub(limits::TYPING_TTL);
        assert_eq!(hand_over(&alice(), None, &typing, old, false), HandedOver::Shed);
    }

    #[test]
    fn an_event_that_only_a_later_version_knows_causes_no_read_unless_it_has_a_place() {
        let later = Envelope::decode("2 poke\nalice,bob\n{}").unwrap();
        assert!(later.to.is_empty());
        let body = format!("2 poke\nalice {}\n{{}}", at(6));
        let later = Envelope::decode(&body).unwrap();
        let nothing = Payload::of(later.news.as_ref(), None);
        let work = hand_over(&alice(), later.to[0].place, &nothing, None, false);
        assert_eq!(work, HandedOver::Work(Work::CATCH_UP));
    }

    #[test]
    fn an_envelope_without_event_and_place_says_read_head() {
        let work = hand_over(&alice(), None, &Payload::Nothing, None, false);
        assert_eq!(work, HandedOver::Work(Work::READ_ROW));
    }
}
