//! Every key of the table, and nothing else. The rows behind them are in [`super::rows`].
//!
//! | row | partition key | sort key |
//! |---|---|---|
//! | thread | `T#t_4k…` | `META` |
//! | member list | `T#t_4k…` | `M#alice` |
//! | thread log | `T#t_4k…` | `E#00000000000000000018` |
//! | idempotency | `S#alice`, or `S#/backend` for a service | `K#<key>` |
//! | count of a user's requests | `S#alice` | `R#send#<window>` |
//! | outbox | `O#11` | `T#t_4k…`, or `T#t_4k…#S#alice` for seen |
//! | member view | `U#alice` | `M#t_4k…` |
//! | member view that no list shows | `U#alice` | `S#t_4k…` |
//! | user row | `U#alice` | `HEAD` |
//! | page of the inbox | `U#alice` | `L#<seq of its last event>` |
//! | block | `U#alice` | `B#bob` |
//! | profile | `U#alice` | `PROFILE` |
//! | queue registry | `QUEUES#3` | `<queue id>` |
//! | edge | `EDGE` | `<boot id>` |
//! | ticket | `K#<ticket>` | `TICKET` |
//! | key of direct threads' ids | `SECRET` | `DIRECT` |
//!
//! No id holds `#` (`domain::ids`) but an idempotency key, which is the last field of its key. So fields cannot run into each
//! other. Numbers are written with 20 digits, so that text order is number order.

use domain::{
    ids::{BootId, IdempotencyKey, QueueId, ThreadId, TicketId, UserId},
    sequence::{InboxSeq, ThreadSeq},
};
use sha2::{Digest, Sha256};

/// Shards of the outbox and of the queue registry: each is one partition that a sweep reads whole.
pub const SHARDS: u8 = 16;

/// The key of one row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
}

impl Key {
    /// Whether this is the key of an outbox row.
    pub fn is_outbox(&self) -> bool {
        self.pk.starts_with("O#")
    }
}

/// What a row belongs to, told by its key alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A thread, a member of it or an entry of its log.
    Thread(ThreadId),
    /// The idempotency key of a sender.
    Sender(Sender),
    /// The outbox row of a thread's log.
    Outbox(ThreadId),
    /// The outbox row of somebody's seen.
    SeenOutbox,
    /// A user's row, page or view.
    User(UserId),
    /// The queue registry.
    Queue,
    /// An edge.
    Edge,
}

impl Key {
    /// What the row of this key belongs to; none for a ticket, and for a row that is not ours.
    pub fn part(&self) -> Option<Part> {
        let (kind, id) = self.pk.split_once('#').unwrap_or((&self.pk, ""));
        match kind {
            "T" => ThreadId::parse(id).ok().map(Part::Thread),
            "S" => Sender::parse(id).map(Part::Sender),
            "O" if self.sk.contains("#S#") => Some(Part::SeenOutbox),
            "O" => self.sk.strip_prefix("T#").and_then(|id| ThreadId::parse(id).ok()).map(Part::Outbox),
            "U" => UserId::parse(id).ok().map(Part::User),
            "QUEUES" => Some(Part::Queue),
            EDGES => Some(Part::Edge),
            _ => None,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pk, self.sk)
    }
}

fn key(pk: String, sk: impl Into<String>) -> Key {
    Key { pk, sk: sk.into() }
}

/// The profile of a user.
pub fn profile(user: &UserId) -> Key {
    key(user_pk(user), "PROFILE")
}

/// The partition of a thread.
pub fn thread_pk(thread: &ThreadId) -> String {
    format!("T#{thread}")
}

/// The partition of a user.
pub fn user_pk(user: &UserId) -> String {
    format!("U#{user}")
}

/// What the sort keys of a thread's members begin with.
pub const MEMBERS: &str = "M#";
/// What the sort keys of a thread's log begin with.
pub const ENTRIES: &str = "E#";
/// What the sort keys of a user's views begin with.
pub const VIEWS: &str = "M#";
/// What the sort keys of a user's shelved views begin with.
pub const SHELF: &str = "S#";
/// What the sort keys of a user's pages begin with.
pub const PAGES: &str = "L#";
/// What the sort keys of a user's blocks begin with.
pub const BLOCKS: &str = "B#";
/// What the sort keys of a sender's idempotency keys begin with.
pub const IDEMPOTENCY: &str = "K#";

/// A thread.
pub fn thread(thread: &ThreadId) -> Key {
    key(thread_pk(thread), "META")
}

/// A member in a thread's list.
pub fn member(thread: &ThreadId, user: &UserId) -> Key {
    key(thread_pk(thread), format!("{MEMBERS}{user}"))
}

/// The range of sort keys of a thread's members, after `after` or from the first. `!` sorts below every character of a
/// user id, and `\u{7f}` above.
pub fn members_after(after: Option<&UserId>) -> (String, String) {
    let from = after.map_or_else(|| MEMBERS.into(), |user| format!("{MEMBERS}{user}!"));
    (from, format!("{MEMBERS}\u{7f}"))
}

/// An entry of a thread log.
pub fn entry(thread: &ThreadId, tseq: ThreadSeq) -> Key {
    key(thread_pk(thread), entry_sk(tseq))
}

/// The sort key of a thread log's entry.
pub fn entry_sk(tseq: ThreadSeq) -> String {
    format!("{ENTRIES}{tseq:020}")
}

/// Who holds idempotency keys. No user id has a `/`, so the keys of a service are never those of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// A user.
    User(UserId),
    /// A service that acts for users.
    Service(UserId),
}

impl Sender {
    /// Who holds the keys of writes of `user` that a service may have made.
    pub fn of(user: &UserId, via: Option<&UserId>) -> Self {
        via.map_or_else(|| Self::User(user.clone()), |service| Self::Service(service.clone()))
    }

    fn parse(text: &str) -> Option<Self> {
        let service = text.strip_prefix('/').map(|service| UserId::parse(service).map(Self::Service));
        service.unwrap_or_else(|| UserId::parse(text).map(Self::User)).ok()
    }
}

/// An idempotency key of a sender.
pub fn idempotency(sender: &Sender, idempotency: &IdempotencyKey) -> Key {
    key(sender_pk(sender), format!("{IDEMPOTENCY}{idempotency}"))
}

/// What `user` has used of a policy in one window.
pub fn rate(user: &UserId, policy: &str, window: u64) -> Key {
    key(format!("S#{user}"), format!("R#{policy}#{window}"))
}

/// The partition of a sender's idempotency keys.
pub fn sender_pk(sender: &Sender) -> String {
    match sender {
        Sender::User(user) => format!("S#{user}"),
        Sender::Service(service) => format!("S#/{service}"),
    }
}

/// The outbox row of a thread's log.
pub fn outbox(thread: &ThreadId) -> Key {
    key(shard_pk("O", thread.as_str()), format!("T#{thread}"))
}

/// The outbox row of a member's seen.
pub fn seen_outbox(thread: &ThreadId, user: &UserId) -> Key {
    key(shard_pk("O", thread.as_str()), format!("T#{thread}#S#{user}"))
}

/// The partition of an outbox shard, below [`SHARDS`].
pub fn outbox_pk(shard: u8) -> String {
    format!("O#{shard}")
}

/// A member's view of a thread.
pub fn view(user: &UserId, thread: &ThreadId) -> Key {
    key(user_pk(user), format!("{VIEWS}{thread}"))
}

/// A member's view of a thread, on the shelf.
pub fn shelved(user: &UserId, thread: &ThreadId) -> Key {
    key(user_pk(user), format!("{SHELF}{thread}"))
}

/// That `user` has blocked `other`.
pub fn block(user: &UserId, other: &UserId) -> Key {
    key(user_pk(user), format!("{BLOCKS}{other}"))
}

/// A user's row.
pub fn user_row(user: &UserId) -> Key {
    key(user_pk(user), "HEAD")
}

/// The page of a user's inbox whose last event is at `last`. So the first page after a cursor is the one that has the
/// next event.
pub fn page(user: &UserId, last: InboxSeq) -> Key {
    key(user_pk(user), page_sk(last))
}

/// The sort key of a page.
pub fn page_sk(last: InboxSeq) -> String {
    format!("{PAGES}{last:020}")
}

/// A queue in the registry.
pub fn queue(queue: &QueueId) -> Key {
    key(shard_pk("QUEUES", queue.as_str()), queue.as_str())
}

/// The partition of a registry shard, below [`SHARDS`].
pub fn queues_pk(shard: u8) -> String {
    format!("QUEUES#{shard}")
}

/// The partition of all edges.
pub const EDGES: &str = "EDGE";

/// An edge.
pub fn edge(boot: &BootId) -> Key {
    key(EDGES.into(), boot.as_str())
}

/// A ticket.
pub fn ticket(ticket: &TicketId) -> Key {
    key(format!("K#{ticket}"), "TICKET")
}

/// The key of direct threads' ids.
pub fn direct_key() -> Key {
    key("SECRET".into(), "DIRECT")
}

fn shard_pk(kind: &str, id: &str) -> String {
    format!("{kind}#{}", Sha256::digest(id.as_bytes())[0] % SHARDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The arguments of every key function.
    #[derive(Debug, Clone, PartialEq)]
    enum Row {
        Thread(ThreadId),
        Member(ThreadId, UserId),
        Entry(ThreadId, ThreadSeq),
        Idempotency(Sender, IdempotencyKey),
        Outbox(ThreadId),
        SeenOutbox(ThreadId, UserId),
        View(UserId, ThreadId),
        Shelved(UserId, ThreadId),
        Block(UserId, UserId),
        Profile(UserId),
        Inbox(UserId),
        Page(UserId, InboxSeq),
        Queue(QueueId),
        Edge(BootId),
        Ticket(TicketId),
    }

    impl Row {
        fn key(&self) -> Key {
            match self {
                Self::Thread(t) => thread(t),
                Self::Member(t, u) => member(t, u),
                Self::Entry(t, n) => entry(t, *n),
                Self::Idempotency(u, k) => idempotency(u, k),
                Self::Outbox(t) => outbox(t),
                Self::SeenOutbox(t, u) => seen_outbox(t, u),
                Self::View(u, t) => view(u, t),
                Self::Shelved(u, t) => shelved(u, t),
                Self::Block(u, other) => block(u, other),
                Self::Profile(u) => profile(u),
                Self::Inbox(u) => user_row(u),
                Self::Page(u, n) => page(u, *n),
                Self::Queue(q) => queue(q),
                Self::Edge(b) => edge(b),
                Self::Ticket(t) => ticket(t),
            }
        }
    }

    impl Row {
        fn part(&self) -> Option<Part> {
            Some(match self.clone() {
                Self::Thread(t) | Self::Member(t, _) | Self::Entry(t, _) => Part::Thread(t),
                Self::Idempotency(u, _) => Part::Sender(u),
                Self::Outbox(t) => Part::Outbox(t),
                Self::SeenOutbox(..) => Part::SeenOutbox,
                Self::View(u, _)
                | Self::Shelved(u, _)
                | Self::Block(u, _)
                | Self::Profile(u)
                | Self::Inbox(u)
                | Self::Page(u, _) => Part::User(u),
                Self::Queue(_) => Part::Queue,
                Self::Edge(_) => Part::Edge,
                Self::Ticket(_) => return None,
            })
        }
    }

    /// Few characters, the ones that keys are made of, so that collisions would be found.
    fn row() -> impl Strategy<Value = Row> {
        let user = "[A-Z:|.~]{1,4}|META|HEAD|TICKET|EDGE".prop_map(|t| UserId::parse(&t).unwrap());
        let thread = "[td]_[a-z0-9]{1,3}".prop_map(|t| ThreadId::parse(&t).unwrap());
        let short = "[a-z0-9]{1,3}";
        let number = prop_oneof![0..20u64, any::<u64>()];
        (0..16u8, user, thread, (short, "[a-z#/KRSM]{1,4}"), number, any::<u128>()).prop_map(
            |(kind, u, t, (s, k), n, random)| match kind {
                0 => Row::Thread(t),
                1 => Row::Member(t, u),
                2 => Row::Entry(t, ThreadSeq(n)),
                3 => Row::Idempotency(Sender::User(u), IdempotencyKey::parse(&k).unwrap()),
                4 => Row::Outbox(t),
                5 => Row::SeenOutbox(t, u),
                6 => Row::View(u, t),
                7 => Row::Inbox(u),
                8 => Row::Page(u, InboxSeq(n)),
                9 => Row::Queue(QueueId::parse(&s).unwrap()),
                10 => Row::Edge(BootId::parse(&s).unwrap()),
                11 => Row::Idempotency(Sender::Service(u), IdempotencyKey::parse(&k).unwrap()),
                12 => Row::Block(u, UserId::parse(&s).unwrap()),
                13 => Row::Shelved(u, t),
                14 => Row::Profile(u),
                _ => Row::Ticket(TicketId::made(random)),
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn two_rows_never_share_a_key(a in row(), b in row()) {
            prop_assert_eq!(a == b, a.key() == b.key(), "{:?} {:?}", a, b);
        }

        #[test]
        fn a_key_tells_what_its_row_belongs_to(row in row()) {
            prop_assert_eq!(row.key().part(), row.part());
        }

        #[test]
        fn number_order_is_key_order(a: u64, b: u64) {
            prop_assert_eq!(a.cmp(&b), entry_sk(ThreadSeq(a)).cmp(&entry_sk(ThreadSeq(b))));
            prop_assert_eq!(a.cmp(&b), page_sk(InboxSeq(a)).cmp(&page_sk(InboxSeq(b))));
        }
    }
}
