//! Sending a message: P1, and P1b for a thread of two.

use domain::{
    event::{Body, Entry},
    ids::{ThreadId, UserId},
};
use futures_util::future::try_join3;

use crate::{
    commit::{Known, Origin, owe},
    error::Error,
    fan::Told,
    inbox, keys,
    retry::{pause, tries},
    rows::{ThreadRow, ViewRow},
    table::{Table, read},
    tx::Outcome,
};

/// How a message fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// In the thread log; the fan-out is owed.
    Committed(Entry),
    /// In the thread log and in both inboxes of a direct thread.
    Whole(Entry, Vec<Told>),
    /// It had been accepted before; the fan-out may still be owed.
    Known(Entry),
    /// The key belongs to another request.
    KeyReused,
    /// No such thread, or none of the sender's.
    NotMember,
}

/// How a try of P1b ended.
enum Whole {
    Done(Vec<Told>),
    /// The general path has to be taken, on fresh reads.
    Lost,
}

impl Table {
    /// Sends `text` to `thread`.
    ///
    /// # Errors
    /// [`Error::Contended`] in a thread with too many writers, [`Error::Unavailable`] if the
    /// outcome is not known: in both cases the same key may be used again.
    pub async fn send(&self, origin: &Origin, thread: &ThreadId, text: &str) -> Result<Sent, Error> {
        let mut failure = Error::Contended;
        for attempt in tries() {
            pause(attempt).await;
            let row = keys::thread(thread);
            let (known, tail, row) =
                try_join3(self.known(origin), self.tail(thread), self.get::<ThreadRow>(&row)).await?;
            match known {
                Some(Known::Same { thread, tseq }) => return self.sent_before(&thread, tseq).await,
                Some(Known::Nothing | Known::Other) => return Ok(Sent::KeyReused),
                None => {}
            }
            let Some((tail, row)) = tail.zip(row) else { return Ok(Sent::NotMember) };
            // Membership is looked at after the tail, on every try: whoever was a member then may
            // be told no longer that they are.
            if !self.may_write(&tail, &row, &origin.by).await? {
                return Ok(Sent::NotMember);
            }
            let entry = Entry {
                thread: thread.clone(),
                tseq: tail.tseq + 1,
                number: tail.number + 1,
                by: origin.by.clone(),
                at: origin.now,
                body: Body::Message { text: text.into() },
            };
            let outcome = match row.pair.filter(|_| attempt == 0) {
                Some(pair) => self.send_whole(origin, &entry, &pair).await.map(|whole| match whole {
                    Whole::Done(told) => Some(Sent::Whole(entry, told)),
                    Whole::Lost => None,
                }),
                None => {
                    self.send_logged(origin, &entry).await.map(|done| done.then_some(Sent::Committed(entry)))
                }
            };
            match outcome {
                Ok(Some(sent)) => return Ok(sent),
                Ok(None) => {}
                // It may have happened: the idempotency row, read again, decides.
                Err(error @ Error::Unavailable(_)) => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    async fn sent_before(&self, thread: &ThreadId, tseq: u64) -> Result<Sent, Error> {
        Ok(self.entry(thread, tseq).await?.map_or(Sent::NotMember, Sent::Known))
    }

    /// Whether `user` may write to the thread whose last entry is `tail`. Nobody joins or leaves a
    /// direct one.
    async fn may_write(&self, tail: &Entry, row: &ThreadRow, user: &UserId) -> Result<bool, Error> {
        match &row.pair {
            Some((a, b)) => Ok(user == a || user == b),
            None => self.is_member_at(tail, user).await,
        }
    }

    /// P1: {idempotency row, entry, outbox row}. Answers whether it was committed.
    async fn send_logged(&self, origin: &Origin, entry: &Entry) -> Result<bool, Error> {
        let mut tx = self.begin(origin, entry)?;
        owe(&mut tx, entry, origin.now)?;
        Ok(matches!(tx.commit().await?, Outcome::Done))
    }

    /// P1b: P1 and both P3 in one transaction of 8 items, if both inboxes have all before it.
    async fn send_whole(
        &self,
        origin: &Origin,
        entry: &Entry,
        pair: &(UserId, UserId),
    ) -> Result<Whole, Error> {
        let users = [&pair.0, &pair.1];
        let views = users.map(|user| keys::view(user, &entry.thread));
        let heads = users.map(keys::head);
        let mut found = self.get_many(&[views.as_slice(), heads.as_slice()].concat(), true).await?;
        let mut tx = self.begin(origin, entry)?;
        let mut told = Vec::with_capacity(users.len());
        for (user, key) in users.into_iter().zip(views) {
            let (Some(view), Some(head)) = (found.remove(&key), inbox::head_in(&mut found, user)?) else {
                return Ok(Whole::Lost);
            };
            let view: ViewRow = read(&key, view)?;
            if view.fan + 1 != entry.tseq {
                return Ok(Whole::Lost);
            }
            let seq = self.copy(&mut tx, user, (&view, &head), std::slice::from_ref(entry), origin.now)?;
            let cursor = self.cursor(&head, seq);
            told.push(Told { user: user.clone(), cursor, exact: true, left: None });
        }
        Ok(match tx.commit().await? {
            Outcome::Done => Whole::Done(told),
            Outcome::Cancelled => Whole::Lost,
        })
    }
}
