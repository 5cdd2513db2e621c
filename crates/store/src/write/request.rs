//! A write as it comes from a client.

use domain::{
    ids::{IdempotencyKey, UserId},
    version::Expected,
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    rate::permit::Permit,
    table::keys::{self, Key, Sender},
};

/// Who writes, with which idempotency key, and when.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    /// The sender.
    pub sender: UserId,
    /// The service that writes for the sender.
    pub via: Option<UserId>,
    /// The key of the request, or one made for it.
    pub idempotency_key: IdempotencyKey,
    /// Whether the key came with the request. A key that was made for it never comes again.
    pub key_from_client: bool,
    /// A hash of the command: the same key with another command is refused.
    pub fingerprint: String,
    /// Which version of the message or thread it changes.
    pub expected: Expected,
    /// The writer's time.
    pub now: Timestamp,
    /// Whether the sender may write as much: awaited before the commit.
    pub permit: Permit,
}

impl WriteRequest {
    /// The key, if the client has chosen it.
    pub(crate) fn clients_key(&self) -> Option<IdempotencyKey> {
        self.key_from_client.then(|| self.idempotency_key.clone())
    }

    /// The row of the request's idempotency key.
    pub(crate) fn key(&self) -> Key {
        let service = self.via.as_ref().filter(|_| !mistake!(KeysShared));
        keys::idempotency(&Sender::of(&self.sender, service), &self.idempotency_key)
    }
}
