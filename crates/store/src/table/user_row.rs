//! The user row and the pages of an inbox as DynamoDB has them, and the parts of expressions about them.
//!
//! | attribute | type | holds |
//! |---|---|---|
//! | `gen` | N | 64 random bits: the generation of the inbox |
//! | `seq`, `folded` | N | the last event; the last event that a page has |
//! | `entries` | L of B | the events after `folded`, each as [`InboxEntry`] writes it |
//! | `lease_version` | N | counts the changes of leases |
//! | `h#<boot id>` | S | the queue from which this edge receives the user's events |
//! | `q#<queue id>` | S or N | a queue of the user's: the edge that receives from it, or since when nobody does |
//! | `tokens_valid_from` | N | the earliest `iat` still accepted, in seconds since 1970 |
//! | `ended` | BS | marks of sessions that were ended one by one |
//! | `blocks` | BS | marks of the users whom this one has blocked |
//! | `profile_version` | N | counts the changes of the user's profile |
//!
//! A page has `entries` and `exp`.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::{
    credential::Cutoff,
    ids::{BootId, QueueId},
    inbox_entry::InboxEntry,
    mark::Mark,
    sequence::{InboxSeq, ProfileVersion},
    user_row::{Holder, Lease, UserRow},
};
use jiff::Timestamp;

use super::{
    Item,
    error::Error,
    keys::Key,
    tx::{n, s},
};

/// The name of the attribute with an edge's lease on its own queue.
pub(crate) fn edge_lease(boot: &BootId) -> String {
    format!("h#{boot}")
}

/// The name of the attribute with the lease on a queue of the user's.
pub(crate) fn queue_lease(queue: &QueueId) -> String {
    format!("q#{queue}")
}

/// The value of a lease attribute.
pub(crate) fn holder(holder: &Holder) -> AttributeValue {
    match holder {
        Holder::Edge(boot) | Holder::UserQueue(boot) => s(boot.as_str()),
        Holder::Free(since) => n(since),
    }
}

/// Entries as a list attribute.
pub(crate) fn list(entries: &[InboxEntry]) -> AttributeValue {
    AttributeValue::L(entries.iter().map(binary).collect())
}

/// One entry as an attribute.
pub(crate) fn binary(entry: &InboxEntry) -> AttributeValue {
    AttributeValue::B(entry.encode().into())
}

/// Reads a user row; one that does not exist has no generation.
pub(crate) fn read(key: &Key, item: Option<&Item>) -> Result<UserRow, Error> {
    let Some(item) = item.filter(|item| !item.is_empty()) else { return Ok(UserRow::default()) };
    let bad = |what: &str| corrupt(key, what);
    let number = |name: &str| match item.get(name) {
        None => Ok(None),
        Some(AttributeValue::N(digits)) => digits.parse::<u64>().map(Some).map_err(|_| bad(name)),
        Some(_) => Err(bad(name)),
    };
    let entries = item.get("entries").map_or(Ok(Vec::new()), |list| entries(key, list))?;
    let seq = InboxSeq(number("seq")?.unwrap_or(0));
    let folded = InboxSeq(number("folded")?.unwrap_or(0));
    if folded + entries.len() as u64 != seq {
        return Err(bad("`entries` do not reach from `folded` to `seq`"));
    }
    let marks = |name: &str| marks(item.get(name)).ok_or_else(|| bad(name));
    let (ended, blocks) = (marks("ended")?, marks("blocks")?);
    let moment = |seconds: u64| Timestamp::from_second(seconds.cast_signed()).unwrap_or(Timestamp::MAX);
    let mut leases = Vec::new();
    for (name, value) in item {
        leases.extend(lease(name, value).map_err(|()| bad(name))?);
    }
    // A row's attributes come in no order, and a simulation replays each step.
    leases.sort_by(|a: &Lease, b| a.queue.cmp(&b.queue).then_with(|| a.holder.boot().cmp(&b.holder.boot())));
    Ok(UserRow {
        r#gen: number("gen")?,
        seq,
        folded,
        entries,
        lease_version: number("lease_version")?.unwrap_or(0),
        leases,
        cutoff: Cutoff { valid_from: number("tokens_valid_from")?.map(moment), ended },
        blocks,
        profile_version: ProfileVersion(number("profile_version")?.unwrap_or(0)),
    })
}

/// Marks as an attribute, a set.
pub(crate) fn mark_set(marks: &[Mark]) -> AttributeValue {
    AttributeValue::Bs(marks.iter().map(|mark| Blob::new(mark.bytes())).collect())
}

/// One mark as an attribute.
pub(crate) fn mark(mark: Mark) -> AttributeValue {
    AttributeValue::B(Blob::new(mark.bytes()))
}

/// The marks in a set, which may be absent.
fn marks(set: Option<&AttributeValue>) -> Option<Vec<Mark>> {
    let Some(set) = set else { return Some(Vec::new()) };
    let mark = |bytes: &Blob| bytes.as_ref().try_into().ok().map(Mark::from_bytes);
    set.as_bs().ok()?.iter().map(mark).collect()
}

/// Reads the entries of a page that has not expired at `now`, in seconds since 1970.
pub(crate) fn page(key: &Key, item: &Item, now: i64) -> Result<Option<Vec<InboxEntry>>, Error> {
    let exp = item.get("exp").and_then(|exp| exp.as_n().ok()?.parse::<i64>().ok());
    let exp = exp.ok_or_else(|| corrupt(key, "exp"))?;
    let list = item.get("entries").ok_or_else(|| corrupt(key, "entries"))?;
    if exp <= now { Ok(None) } else { entries(key, list).map(Some) }
}

fn entries(key: &Key, list: &AttributeValue) -> Result<Vec<InboxEntry>, Error> {
    let list = list.as_l().map_err(|_| corrupt(key, "entries"))?;
    let entry = |entry: &AttributeValue| {
        let bytes = entry.as_b().ok()?;
        InboxEntry::decode(bytes.as_ref()).ok()
    };
    list.iter().map(|each| entry(each).ok_or_else(|| corrupt(key, "entries"))).collect()
}

/// The lease in an attribute of this name, if it is one.
fn lease(name: &str, value: &AttributeValue) -> Result<Option<Lease>, ()> {
    let text = || value.as_s().map_err(drop);
    if let Some(boot) = name.strip_prefix("h#") {
        let (boot, queue) = (BootId::parse(boot).map_err(drop)?, QueueId::parse(text()?).map_err(drop)?);
        return Ok(Some(Lease { queue, holder: Holder::Edge(boot) }));
    }
    let Some(queue) = name.strip_prefix("q#") else { return Ok(None) };
    let queue = QueueId::parse(queue).map_err(drop)?;
    let holder = match value {
        AttributeValue::N(since) => Holder::Free(since.parse().map_err(drop)?),
        _ => Holder::UserQueue(BootId::parse(text()?).map_err(drop)?),
    };
    Ok(Some(Lease { queue, holder }))
}

fn corrupt(key: &Key, what: &str) -> Error {
    Error::Corrupt { key: key.to_string(), source: what.into() }
}
