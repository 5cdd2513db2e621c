//! An event as it stands in a user's inbox: where it is logged and what it changes, without what it says.
//!
//! Entries lie in the user row and in pages, as bytes. Equal entries are equal bytes, because a condition of DynamoDB
//! looks for one by its bytes (delivery protocol, rule 4). So every number has one spelling, and no entry is made of
//! anything that an erasure changes.

use crate::{
    event::{Body, Change, Entry},
    ids::{ThreadId, UserId},
    sequence::{MessageNumber, ThreadSeq},
    wire::Seen,
};

/// The version written, and the only one read.
const VERSION: u8 = 1;
/// The bit of the second byte that says who caused the event.
const OWN: u8 = 0x80;
/// The bit of the second byte that says that the owner was only invited.
const INVITED: u8 = 0x40;
/// The second byte of [`InboxEntry::Accepted`].
const ACCEPTED: u8 = 8;
/// The second byte of [`Effect::Hidden`], without [`OWN`].
const HIDDEN: u8 = 9;

/// An event of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboxEntry {
    /// An entry of a thread log.
    Logged(Logged),
    /// How far a member has read.
    Seen(Seen),
    /// The owner accepts their invitation to a thread.
    Accepted(Accepted),
}

/// An invitation that was accepted: a register, whose maximum counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The thread.
    pub thread: ThreadId,
    /// The tseq of the joining that is accepted.
    pub joined_tseq: ThreadSeq,
}

/// An entry of a thread log, as an inbox refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The thread.
    pub thread: ThreadId,
    /// Its place in the thread log.
    pub tseq: ThreadSeq,
    /// How many messages the thread has had, this one included if it is one.
    pub number: MessageNumber,
    /// Whether the owner of the inbox caused it.
    pub own: bool,
    /// Whether the owner was only invited: another one has put them into the thread.
    pub invited: bool,
    /// What it does to the owner's view of the thread.
    pub effect: Effect,
}

/// What an entry does to a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The thread was created with the owner as a member, at this time in milliseconds since 1970.
    Created(u64),
    /// The owner was added, at this time in milliseconds since 1970.
    Joined(u64),
    /// A message was sent, at this time in milliseconds since 1970.
    Message(u64),
    /// The message at this tseq was edited, deleted or reacted to.
    Changed(ThreadSeq),
    /// A message was edited that the owner may not read: it is older than their membership.
    Hidden,
    /// The thread has another title.
    Renamed,
    /// Another user was added, removed, or has left.
    Members,
    /// The owner was removed, or has left. Nothing follows.
    Left,
}

impl Effect {
    /// Whether the owner's membership begins with it.
    pub const fn is_beginning(self) -> bool {
        matches!(self, Self::Created(_) | Self::Joined(_))
    }
}

/// Bytes that are no entry of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an inbox entry of version 1")]
pub struct BadEntry;

impl InboxEntry {
    /// The entry of `owner`'s inbox for a logged event. The owner may read messages from the tseq `reads_from` on.
    pub fn of(entry: &Entry, owner: &UserId, reads_from: ThreadSeq) -> Self {
        let at = u64::try_from(entry.at.as_millisecond()).unwrap_or_default();
        let effect = match &entry.body {
            Body::Thread { .. } => Effect::Created(at),
            Body::Message(_) => Effect::Message(at),
            Body::Edit { message, .. } if *message < reads_from => Effect::Hidden,
            Body::Edit { message, .. } | Body::Delete { message } | Body::Reaction { message, .. } => {
                Effect::Changed(*message)
            }
            Body::Title { .. } => Effect::Renamed,
            Body::Member { .. } if entry.adds(owner) => Effect::Joined(at),
            Body::Member { user, change: Change::Removed | Change::Left, .. } if user == owner => {
                Effect::Left
            }
            Body::Member { .. } => Effect::Members,
        };
        let own = &entry.by == owner;
        Self::Logged(Logged {
            thread: entry.thread.clone(),
            tseq: entry.tseq,
            number: entry.number,
            own,
            invited: entry.invites() && !own && effect.is_beginning(),
            effect,
        })
    }

    /// The thread.
    pub fn thread(&self) -> &ThreadId {
        match self {
            Self::Logged(logged) => &logged.thread,
            Self::Seen(seen) => &seen.thread,
            Self::Accepted(accepted) => &accepted.thread,
        }
    }

    /// Whether it is an edit whose text the owner may not read.
    pub fn is_hidden(&self) -> bool {
        self.logged().is_some_and(|logged| logged.effect == Effect::Hidden)
    }

    /// The entry, if it is one of a thread log.
    pub fn logged(&self) -> Option<&Logged> {
        match self {
            Self::Logged(logged) => Some(logged),
            Self::Seen(_) | Self::Accepted(_) => None,
        }
    }

    /// The bytes: about 30.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Logged(Logged { thread, tseq, number, own, invited, effect }) => {
                let kind = match effect {
                    Effect::Created(_) => 1,
                    Effect::Joined(_) => 2,
                    Effect::Message(_) => 3,
                    Effect::Changed(_) => 4,
                    Effect::Renamed => 5,
                    Effect::Members => 6,
                    Effect::Left => 7,
                    Effect::Hidden => HIDDEN,
                };
                out.push(kind | if *own { OWN } else { 0 } | if *invited { INVITED } else { 0 });
                thread.write(&mut out);
                write_number(tseq.0, &mut out);
                write_number(number.0, &mut out);
                match effect {
                    Effect::Created(at) | Effect::Joined(at) | Effect::Message(at) => {
                        write_number(*at, &mut out);
                    }
                    Effect::Changed(message) => write_number(message.0, &mut out),
                    Effect::Renamed | Effect::Members | Effect::Left | Effect::Hidden => {}
                }
            }
            Self::Seen(Seen { thread, user, number }) => {
                out.push(0);
                thread.write(&mut out);
                write_number(number.0, &mut out);
                out.extend_from_slice(user.as_str().as_bytes());
            }
            Self::Accepted(Accepted { thread, joined_tseq }) => {
                out.push(ACCEPTED);
                thread.write(&mut out);
                write_number(joined_tseq.0, &mut out);
            }
        }
        out
    }

    /// Reads what [`Self::encode`] has written.
    ///
    /// # Errors
    /// [`BadEntry`]: a later version has written it, or it is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadEntry> {
        let [VERSION, kind, rest @ ..] = bytes else { return Err(BadEntry) };
        let rest = &mut &*rest;
        let thread = ThreadId::read(rest).ok_or(BadEntry)?;
        if *kind == 0 {
            let number = MessageNumber(read_number(rest)?);
            let user = str::from_utf8(rest).ok().and_then(|user| UserId::parse(user).ok()).ok_or(BadEntry)?;
            return Ok(Self::Seen(Seen { thread, user, number }));
        }
        if *kind == ACCEPTED {
            let joined_tseq = ThreadSeq(read_number(rest)?);
            let accepted = Self::Accepted(Accepted { thread, joined_tseq });
            return if rest.is_empty() { Ok(accepted) } else { Err(BadEntry) };
        }
        let (tseq, number) = (ThreadSeq(read_number(rest)?), MessageNumber(read_number(rest)?));
        let effect = match kind & !(OWN | INVITED) {
            1 => Effect::Created(read_number(rest)?),
            2 => Effect::Joined(read_number(rest)?),
            3 => Effect::Message(read_number(rest)?),
            4 => Effect::Changed(ThreadSeq(read_number(rest)?)),
            5 => Effect::Renamed,
            6 => Effect::Members,
            7 => Effect::Left,
            HIDDEN => Effect::Hidden,
            _ => return Err(BadEntry),
        };
        let (own, invited) = (kind & OWN != 0, kind & INVITED != 0);
        let may_invite = effect.is_beginning() && !own;
        if rest.is_empty() && (may_invite || !invited) {
            Ok(Self::Logged(Logged { thread, tseq, number, own, invited, effect }))
        } else {
            Err(BadEntry)
        }
    }
}

/// Seven bits a byte, the lowest first; all bytes but the last have the top bit.
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn read_number(from: &mut &[u8]) -> Result<u64, BadEntry> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(BadEntry)?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        // Bits beyond the 64th, or a last byte that says nothing: another spelling of a number.
        if bits << shift >> shift != bits || (*byte == 0 && shift > 0) {
            return Err(BadEntry);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(BadEntry)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn thread() -> impl Strategy<Value = ThreadId> {
        prop_oneof![
            any::<u128>().prop_map(ThreadId::group),
            "[td]_[a-z0-9]{1,40}".prop_map(|id| ThreadId::parse(&id).unwrap()),
        ]
    }

    fn effect() -> impl Strategy<Value = Effect> {
        prop_oneof![
            any::<u64>().prop_map(Effect::Created),
            any::<u64>().prop_map(Effect::Joined),
            any::<u64>().prop_map(Effect::Message),
            any::<u64>().prop_map(|tseq| Effect::Changed(ThreadSeq(tseq))),
            Just(Effect::Renamed),
            Just(Effect::Members),
            Just(Effect::Left),
            Just(Effect::Hidden),
        ]
    }

    fn entry() -> impl Strategy<Value = InboxEntry> {
        let user = "[A-Za-z0-9_.@|:+=~-]{1,128}".prop_map(|id| UserId::parse(&id).unwrap());
        prop_oneof![
            (thread(), any::<u64>(), any::<u64>(), any::<[bool; 2]>(), effect()).prop_map(
                |(thread, tseq, number, [own, invited], effect)| InboxEntry::Logged(Logged {
                    thread,
                    tseq: ThreadSeq(tseq),
                    number: MessageNumber(number),
                    own,
                    invited: invited && !own && effect.is_beginning(),
                    effect,
                })
            ),
            (thread(), any::<u64>()).prop_map(|(thread, joined)| {
                InboxEntry::Accepted(Accepted { thread, joined_tseq: ThreadSeq(joined) })
            }),
            (thread(), user, any::<u64>()).prop_map(|(thread, user, number)| {
                InboxEntry::Seen(Seen { thread, user, number: MessageNumber(number) })
            }),
        ]
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_went(entry in entry()) {
            prop_assert_eq!(InboxEntry::decode(&entry.encode()), Ok(entry));
        }

        #[test]
        fn equal_entries_are_equal_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60), entry in entry(), at: prop::sample::Index, byte: u8) {
            let mut bent = entry.encode();
            let at = at.index(bent.len());
            bent[at] = byte;
            for bytes in [bytes, bent] {
                if let Ok(entry) = InboxEntry::decode(&bytes) {
                    prop_assert_eq!(entry.encode(), bytes);
                }
            }
        }

        #[test]
        fn a_part_of_an_entry_is_none(entry in entry(), cut: prop::sample::Index) {
            let bytes = entry.encode();
            let read = InboxEntry::decode(&bytes[..cut.index(bytes.len())]);
            // A name may be cut into another name; a number may not.
            let is_name = matches!((&entry, &read), (InboxEntry::Seen(_), Ok(InboxEntry::Seen(_))));
            prop_assert!(read.is_err() || is_name, "{:?}", read);
        }
    }

    #[test]
    fn a_message_takes_about_thirty_bytes() {
        let logged = Logged {
            thread: ThreadId::group(7),
            tseq: ThreadSeq(100_000),
            number: MessageNumber(90_000),
            own: false,
            invited: false,
            effect: Effect::Message(1_790_000_000_000),
        };
        assert_eq!(InboxEntry::Logged(logged).encode().len(), 31);
    }
}
