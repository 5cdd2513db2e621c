//! A user's inbox: its head, its events, and how one grows (the parts of P3).

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{
    operation::transact_get_items::TransactGetItemsError,
    types::{Get, TransactGetItem},
};
use domain::{
    cursor::Cursor,
    envelope::News,
    event::{Entry, EventName},
    ids::{ThreadId, UserId},
    sequence::{InboxSeq, ThreadSeq},
    wire::Seen,
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::table::{
    EdgeTable, Table,
    error::{Error, cancelled, held},
    keys::{self, Key},
    read, read_good,
    retry::{Stop, retry},
    rows::{HeadRow, InboxRow},
    tx::{ABSENT, ALWAYS, Tx, n, s},
    write,
};

pub mod delivery;
pub mod view;

/// Where a user's inbox ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its generation, as clients see it, and the seq of its last event.
    pub cursor: Cursor,
    /// The earliest `iat` that is still accepted of this user.
    pub authv: Option<Timestamp>,
}

impl Head {
    /// Whether credentials that were issued then are accepted no more.
    pub fn revokes(&self, issued_at: Timestamp) -> bool {
        self.authv.is_some_and(|authv| issued_at < authv)
    }
}

/// An event of an inbox, ready for a frame.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the inbox.
    pub seq: InboxSeq,
    /// What members are told.
    pub news: News,
}

impl EdgeTable {
    /// Where `user`'s inbox ends, read consistently. An inbox that nobody has needed yet begins
    /// here, with a random generation.
    pub async fn head(&self, user: &UserId) -> Result<Head, Error> {
        Ok(self.wire_head(&self.head_row(user).await?))
    }

    /// The HEADs of up to 100 users, perhaps slightly stale unless `consistent`. An absent, damaged or unavailable HEAD
    /// is omitted, so that it does not delay the other users. [`Self::head`] creates an absent HEAD, reports a damaged
    /// one, and reads an unavailable one again.
    pub async fn heads(&self, users: &[UserId], consistent: bool) -> Result<HashMap<UserId, Head>, Error> {
        // BatchGetItem takes no key twice.
        let users: BTreeMap<Key, &UserId> = users.iter().map(|user| (keys::head(user), user)).collect();
        let mut found = HashMap::with_capacity(users.len());
        self.get_some(users.keys().map(Key::item).collect(), consistent, &mut found).await?;
        let mut heads = HashMap::with_capacity(found.len());
        for (key, item) in found {
            if let (Some(user), Ok(row)) = (users.get(&key), read(&key, item)) {
                heads.insert((*user).clone(), self.wire_head(&row));
            }
        }
        Ok(heads)
    }

    /// Up to `limit` events after `seq`, consistently and in order, but perhaps with holes: an
    /// event past its time counts as absent, and so does one not visible yet, or damaged.
    pub async fn inbox(
        &self,
        user: &UserId,
        seq: InboxSeq,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let found = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", s(keys::user_pk(user)))
            .expression_attribute_values(":from", s(keys::inbox_sk(seq.next())))
            .expression_attribute_values(":to", s(keys::inbox_sk(InboxSeq::MAX)))
            .limit(i32::try_from(limit.min(100)).unwrap_or(100))
            .consistent_read(true)
            .send()
            .await?;
        let mut rows: Vec<InboxRow> = read_good(found.items);
        rows.retain(|row| row.exp > now.as_second());
        let mut entries = self.bodies(&rows).await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let seq = row.seq;
            let news = match inboxed(row) {
                Some(Inboxed::Seen(seen)) => Some(seen_news(&seen)),
                Some(Inboxed::Logged { thread, tseq }) => {
                    entries.remove(&keys::entry(&thread, tseq)).map(|entry| news(&entry))
                }
                None => None,
            };
            events.extend(news.map(|news| Event { seq, news }));
        }
        Ok(events)
    }

    /// The log entries that inbox rows stand for: a body lives only there.
    async fn bodies(&self, rows: &[InboxRow]) -> Result<HashMap<Key, Entry>, Error> {
        let wanted: BTreeMap<Key, &ThreadId> =
            rows.iter().filter_map(|row| Some((keys::entry(&row.thread, row.tseq?), &row.thread))).collect();
        self.entries_at(&wanted).await
    }

    pub(crate) async fn head_row(&self, user: &UserId) -> Result<HeadRow, Error> {
        let key = keys::head(user);
        if let Some(row) = self.get(&key).await? {
            return Ok(row);
        }
        let fresh = HeadRow { r#gen: rng::random(), seq: InboxSeq(0), authv: None };
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(write(&key, &fresh)?))
            .condition_expression(if mistake!(InboxBegunTwice) { ALWAYS } else { ABSENT })
            .send()
            .await;
        if held(put)? {
            return Ok(fresh);
        }
        // Somebody else began it: theirs counts.
        self.get(&key).await?.ok_or(Error::Contended)
    }

    pub(crate) fn wire_head(&self, row: &HeadRow) -> Head {
        let authv = row.authv.and_then(|seconds| Timestamp::from_second(seconds).ok());
        Head { cursor: self.cursor(row, row.seq), authv }
    }

    /// The cursor `seq` of the generation of `head`.
    pub(crate) fn cursor(&self, head: &HeadRow, seq: InboxSeq) -> Cursor {
        Cursor { r#gen: self.wire_gen(head.r#gen), seq }
    }
}

impl Table {
    /// The settled HEAD of `user`: every event up to it is visible.
    ///
    /// The items of one transaction become visible one by one. HEAD may count an event whose message or view is not
    /// visible yet. A list read at that moment would lack an event that its cursor has passed. DynamoDB rejects a
    /// transactional read while a transaction that includes HEAD is in progress (DynamoDB developer guide, "Transaction
    /// conflict handling"). Every append includes HEAD.
    ///
    /// # Errors
    /// [`Error::Contended`] if every attempt meets a transaction in progress.
    pub async fn settled_head(&self, user: &UserId) -> Result<Head, Error> {
        let key = &keys::head(user);
        let item = retry(|_| async move {
            let get = Get::builder().table_name(&self.name).set_key(Some(key.item())).build();
            let get = get.expect("a get has a table and a key");
            let wanted = TransactGetItem::builder().get(get).build();
            let got = match self.client.transact_get_items().transact_items(wanted).send().await {
                Ok(got) => got,
                Err(error) => {
                    let reasons = match error.as_service_error() {
                        Some(TransactGetItemsError::TransactionCanceledException(cancelled)) => {
                            cancelled.cancellation_reasons().to_vec()
                        }
                        _ => return Err(Stop::Failed(error.into())),
                    };
                    return Err(cancelled(&reasons, error).map_or(Stop::Conflict, Stop::Failed));
                }
            };
            Ok(got.responses.unwrap_or_default().pop().and_then(|found| found.item))
        });
        match item.await? {
            Some(item) => Ok(self.wire_head(&read(key, item)?)),
            None => self.head(user).await,
        }
    }

    /// Accepts no credentials of `user` any more that were issued before `since`. What was revoked
    /// once stays revoked: an earlier `since` than the last changes nothing.
    pub async fn revoke(&self, user: &UserId, since: Timestamp) -> Result<(), Error> {
        retry(|_| async move {
            self.head_row(user).await?;
            let set = self
                .client
                .update_item()
                .table_name(&self.name)
                .set_key(Some(keys::head(user).item()))
                .update_expression("SET authv = :since")
                .condition_expression(
                    "attribute_exists(pk) AND (attribute_not_exists(authv) OR authv < :since)",
                )
                .expression_attribute_values(":since", n(since.as_second()))
                .send()
                .await;
            // It may conflict with a transaction that appends to the inbox.
            held(set).map(|_| ()).map_err(Stop::in_doubt)
        })
        .await
    }

    /// Adds an append to a transaction: the rows after `head`, and the new HEAD on condition that no other writer has
    /// moved it. Returns the last seq.
    pub(crate) fn grow(
        tx: &mut Tx<'_>,
        user: &UserId,
        head: &HeadRow,
        rows: Vec<InboxRow>,
    ) -> Result<InboxSeq, Error> {
        let (absent, unmoved) = if mistake!(PlaceTakenTwice) {
            (ALWAYS, "gen = :gen AND :was = :was")
        } else {
            (ABSENT, "gen = :gen AND seq = :was")
        };
        let mut seq = head.seq;
        for row in rows {
            seq = seq.next();
            tx.put_if(&keys::inbox(user, seq), &InboxRow { seq, ..row }, absent, Vec::new())?;
        }
        tx.update(
            &keys::head(user),
            "SET seq = :seq",
            Some(unmoved),
            vec![(":seq", n(seq)), (":gen", n(head.r#gen)), (":was", n(head.seq))],
        );
        Ok(seq)
    }

    /// The inbox row of a logged event; its seq is given by [`Table::grow`].
    pub(crate) fn logged_row(&self, entry: &Entry, now: Timestamp) -> InboxRow {
        InboxRow {
            seq: InboxSeq(0),
            thread: entry.thread.clone(),
            tseq: Some(entry.tseq),
            reader: None,
            number: None,
            exp: now.as_second().saturating_add(self.inbox_seconds),
        }
    }

    /// The inbox row of seen; its seq is given by [`Table::grow`].
    pub(crate) fn seen_row(&self, seen: &Seen, now: Timestamp) -> InboxRow {
        InboxRow {
            seq: InboxSeq(0),
            thread: seen.thread.clone(),
            tseq: None,
            reader: Some(seen.user.clone()),
            number: Some(seen.number),
            exp: now.as_second().saturating_add(self.inbox_seconds),
        }
    }
}

/// A logged event as members are told of it.
pub fn news(entry: &Entry) -> News {
    News::new(entry.name(), entry.data())
}

/// Seen as members are told of it.
pub fn seen_news(seen: &Seen) -> News {
    News::new(EventName::Seen, serde_json::to_string(seen).expect("ids and numbers always serialise"))
}

/// What an inbox row stands for.
enum Inboxed {
    /// An entry of a thread log.
    Logged { thread: ThreadId, tseq: ThreadSeq },
    /// A member has read up to a message number.
    Seen(Seen),
}

/// What an inbox row stands for; none if this version does not know its kind.
fn inboxed(row: InboxRow) -> Option<Inboxed> {
    match (row.tseq, row.reader, row.number) {
        (Some(tseq), None, None) => Some(Inboxed::Logged { thread: row.thread, tseq }),
        (None, Some(user), Some(number)) => Some(Inboxed::Seen(Seen { thread: row.thread, user, number })),
        _ => None,
    }
}
