//! The table: opened, created, and read.

use std::{collections::HashMap, hash::BuildHasher, ops::Deref, sync::Arc};

use aws_sdk_dynamodb::{
    Client,
    config::Config,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, KeysAndAttributes,
        ScalarAttributeType, TimeToLiveSpecification,
    },
};
use domain::{
    contact::ContactPolicy,
    cursor::Gen,
    ids::{ThreadId, UserId},
    limits,
    sequence::ThreadSeq,
};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::account::Account;

pub mod counter;
pub mod error;
pub mod keys;
mod met;
mod recent_edges;
pub(crate) mod retry;
pub mod rows;
pub(crate) mod tx;
mod user_locks;
pub(crate) mod user_row;

use counter::{Counter, Rate};
use error::{Error, held};
use keys::Key;
use met::Met;
use recent_edges::RecentEdges;
use retry::pause;
use tx::Values;
use user_locks::UserLocks;

/// Name of the table where no other is given.
pub const TABLE: &str = "runnel-dev";

/// A row as DynamoDB has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The one table of a stage, for programs that write. Cheap to clone.
///
/// It has everything that an [`EdgeTable`] has.
#[derive(Debug, Clone)]
pub struct Table {
    edge: EdgeTable,
    pub(crate) locks: UserLocks,
    /// The members of direct threads, which never change: a message to one need not read them.
    pub(crate) pairs: Met<ThreadId, (UserId, UserId)>,
    /// Members whom [`Table::lets_in`] has let in.
    pub(crate) guests: Met<(ThreadId, UserId), ()>,
    /// Members who are not only invited, with their joining.
    pub(crate) participants: Met<(ThreadId, UserId), ThreadSeq>,
    /// What each request asks of its user's row: when it was read last, and what it was.
    pub(crate) accounts: Met<UserId, (Timestamp, Account)>,
    /// What users have done: nobody counts until [`Table::limited`] says so.
    pub(crate) counter: Counter,
    /// What a user needs to have a thread with another user.
    pub(crate) contact: ContactPolicy,
    /// Invitations that a list shows at most.
    pub(crate) invitations_shown: usize,
    /// The key of direct threads' ids, once it was read.
    pub(crate) direct_key: Arc<OnceCell<[u8; 32]>>,
}

/// The table as an edge has it: no public method writes a thread log or appends to an inbox. So a stale or doubled edge
/// can only be slow (rule 10). Cheap to clone.
#[derive(Debug, Clone)]
pub struct EdgeTable {
    pub(crate) client: Client,
    pub(crate) name: String,
    /// Tells this table from one restored out of its backup under the same name.
    id: String,
    /// How long inbox events are kept, in seconds.
    pub(crate) inbox_seconds: i64,
    pub(crate) recent_edges: RecentEdges,
}

impl Deref for Table {
    type Target = EdgeTable;

    fn deref(&self) -> &EdgeTable {
        &self.edge
    }
}

impl Table {
    /// Opens an existing table. `inbox_days` is how long inboxes keep their events.
    ///
    /// # Errors
    /// [`Error::NoTable`] if it does not exist, [`Error::NoDatabase`] if nobody can say.
    pub async fn open(config: Config, name: &str, inbox_days: u16) -> Result<Self, Error> {
        let client = Client::from_conf(config);
        let described = match client.describe_table().table_name(name).send().await {
            Ok(described) => described.table,
            Err(e) if e.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => None,
            Err(e) => return Err(Error::NoDatabase { name: name.into(), source: Box::new(e) }),
        };
        let id = described.and_then(|t| t.table_id).ok_or_else(|| Error::NoTable(name.into()))?;
        let (name, inbox_seconds) = (name.into(), i64::from(inbox_days) * 86_400);
        let edge = EdgeTable { client, name, id, inbox_seconds, recent_edges: RecentEdges::default() };
        let (pairs, guests, participants, accounts) =
            (Met::default(), Met::default(), Met::default(), Met::default());
        let (counter, contact) = (Counter::default(), ContactPolicy::default());
        let (locks, direct_key) = (UserLocks::new(), Arc::default());
        let invitations_shown = limits::INVITATIONS_SHOWN;
        Ok(Self {
            edge,
            locks,
            pairs,
            guests,
            participants,
            accounts,
            counter,
            contact,
            invitations_shown,
            direct_key,
        })
    }

    /// The same table, with users counted so.
    #[must_use]
    pub fn limited(self, rate: Rate) -> Self {
        Self { counter: Counter::new(rate), ..self }
    }

    /// The same table, with this contact policy.
    #[must_use]
    pub fn with_contact(self, contact: ContactPolicy) -> Self {
        Self { contact, ..self }
    }

    /// The same table, whose lists show at most so many invitations. For tests: with [`limits::INVITATIONS_SHOWN`] the others
    /// seldom come to the shelf.
    #[must_use]
    pub fn showing(self, invitations_shown: usize) -> Self {
        Self { invitations_shown, ..self }
    }

    /// The table as an edge has it.
    pub fn for_edges(&self) -> EdgeTable {
        self.edge.clone()
    }

    /// Creates the table for a deployment in one process, and for tests. On AWS, `template.yaml` creates the table. An
    /// existing table is left unchanged.
    pub async fn create(config: Config, name: &str) -> Result<(), Error> {
        let client = Client::from_conf(config);
        let attribute = |n: &str| {
            let built = AttributeDefinition::builder()
                .attribute_name(n)
                .attribute_type(ScalarAttributeType::S)
                .build();
            built.expect("an attribute has a name and a type")
        };
        let part = |n: &str, t| {
            let built = KeySchemaElement::builder().attribute_name(n).key_type(t).build();
            built.expect("a part of a key has a name and a type")
        };
        let created = client
            .create_table()
            .table_name(name)
            .attribute_definitions(attribute("pk"))
            .attribute_definitions(attribute("sk"))
            .key_schema(part("pk", KeyType::Hash))
            .key_schema(part("sk", KeyType::Range))
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await;
        match created {
            Ok(_) => {}
            Err(e) if e.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        let ttl = TimeToLiveSpecification::builder().attribute_name("exp").enabled(true).build();
        let ttl = ttl.expect("a time to live has an attribute");
        client.update_time_to_live().table_name(name).time_to_live_specification(ttl).send().await?;
        Ok(())
    }
}

impl EdgeTable {
    /// The generation that clients see: another one as soon as the inbox or the table is another.
    pub(crate) fn wire_gen(&self, raw: u64) -> Gen {
        wire_gen(raw, &self.id)
    }

    /// One row, consistently.
    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Error> {
        self.get_item(key).await?.map(|item| read(key, item)).transpose()
    }

    /// The same, as DynamoDB has it.
    pub(crate) async fn get_item(&self, key: &Key) -> Result<Option<Item>, Error> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key.item()));
        Ok(call.consistent_read(true).send().await?.item)
    }

    /// Up to 100 rows at once; those that do not exist are left out.
    ///
    /// DynamoDB reads as many of them as it has capacity or room for, and says which it has not.
    ///
    /// # Errors
    /// [`Error::Throttled`] after [`limits::FUTILE_TRIES`] reads that bring nothing.
    pub(crate) async fn get_many(&self, keys: &[Key], consistent: bool) -> Result<HashMap<Key, Item>, Error> {
        let mut found = HashMap::with_capacity(keys.len());
        let mut wanted: Vec<Item> = keys.iter().map(Key::item).collect();
        let mut in_vain = 0;
        loop {
            let before = wanted.len();
            wanted = self.get_some(wanted, consistent, &mut found).await?;
            if wanted.is_empty() {
                return Ok(found);
            }
            in_vain = if wanted.len() < before { 0 } else { in_vain + 1 };
            if in_vain == limits::FUTILE_TRIES {
                return Err(Error::Throttled("BatchGetItem leaves keys unprocessed each time".into()));
            }
            pause(in_vain + 1).await;
        }
    }

    /// Reads by key, once, into `found`; answers with the keys that DynamoDB has left unprocessed.
    pub(crate) async fn get_some(
        &self,
        keys: Vec<Item>,
        consistent: bool,
        found: &mut HashMap<Key, Item>,
    ) -> Result<Vec<Item>, Error> {
        if keys.is_empty() {
            return Ok(keys);
        }
        let part = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(consistent)
            .build()
            .expect("a read of many has keys");
        let got = self.client.batch_get_item().request_items(&self.name, part).send().await?;
        for item in got.responses.and_then(|mut r| r.remove(&self.name)).unwrap_or_default() {
            if let Some(key) = Key::of(&item) {
                found.insert(key, item);
            }
        }
        let rest = got.unprocessed_keys.and_then(|mut r| r.remove(&self.name));
        Ok(rest.map(|r| r.keys).unwrap_or_default())
    }

    /// The rows of one partition whose sort key begins with `prefix`, at most `cap` of them;
    /// damaged ones are passed over.
    pub(crate) async fn partition<T: DeserializeOwned>(
        &self,
        pk: String,
        prefix: &str,
        cap: usize,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        let mut from = None;
        loop {
            let condition =
                if prefix.is_empty() { "pk = :pk" } else { "pk = :pk AND begins_with(sk, :prefix)" };
            let mut query = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression(condition)
                .expression_attribute_values(":pk", AttributeValue::S(pk.clone()))
                .set_exclusive_start_key(from.take())
                .consistent_read(true);
            if !prefix.is_empty() {
                query = query.expression_attribute_values(":prefix", AttributeValue::S(prefix.into()));
            }
            let found = query.send().await?;
            rows.extend(read_good(found.items));
            from = found.last_evaluated_key;
            if from.is_none() || rows.len() >= cap {
                rows.truncate(cap);
                return Ok(rows);
            }
        }
    }

    /// Puts a row, whatever was there.
    pub(crate) async fn put<T: Serialize>(&self, key: &Key, row: &T) -> Result<(), Error> {
        self.client.put_item().table_name(&self.name).set_item(Some(write(key, row)?)).send().await?;
        Ok(())
    }

    /// Updates a row if a condition holds, and says whether it did.
    pub(crate) async fn update_if(
        &self,
        key: &Key,
        update: &str,
        condition: &str,
        values: Values<'_>,
    ) -> Result<bool, Error> {
        let call = self.client.update_item().table_name(&self.name).set_key(Some(key.item()));
        let call = call.update_expression(update).condition_expression(condition);
        held(call.set_expression_attribute_values(Some(named(values))).send().await)
    }

    /// Deletes a row if a condition holds.
    pub(crate) async fn delete_if(
        &self,
        key: &Key,
        condition: &str,
        values: Values<'_>,
    ) -> Result<(), Error> {
        let call = self.client.delete_item().table_name(&self.name).set_key(Some(key.item()));
        let call = call.condition_expression(condition);
        held(call.set_expression_attribute_values(Some(named(values))).send().await).map(drop)
    }

    /// Deletes a row, whether it was there or not.
    pub(crate) async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.client.delete_item().table_name(&self.name).set_key(Some(key.item())).send().await?;
        Ok(())
    }
}

impl Key {
    /// The key as DynamoDB has it.
    pub(crate) fn item(&self) -> Item {
        HashMap::from([
            ("pk".into(), AttributeValue::S(self.pk.clone())),
            ("sk".into(), AttributeValue::S(self.sk.clone())),
        ])
    }

    pub(crate) fn of<S: BuildHasher>(item: &HashMap<String, AttributeValue, S>) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        Some(Self { pk: text("pk")?, sk: text("sk")? })
    }
}

/// The generation that clients see of an inbox whose user row has `raw`, in the table `id` (DynamoDB's own
/// `TableId`).
pub fn wire_gen(raw: u64, id: &str) -> Gen {
    let mut hash = Sha256::new();
    hash.update(raw.to_be_bytes());
    hash.update(id.as_bytes());
    let digest = hash.finalize();
    Gen(u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes")))
}

/// Values with their names as a call takes them.
fn named(values: Values<'_>) -> HashMap<String, AttributeValue> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A row out of what a batch read found, if it is there.
pub(crate) fn take<T: DeserializeOwned>(
    found: &mut HashMap<Key, Item>,
    key: &Key,
) -> Result<Option<T>, Error> {
    found.remove(key).map(|item| read(key, item)).transpose()
}

/// A row out of what DynamoDB has.
pub(crate) fn read<T: DeserializeOwned>(key: &Key, item: Item) -> Result<T, Error> {
    serde_dynamo::from_item(item).map_err(|e| Error::Corrupt { key: key.to_string(), source: Box::new(e) })
}

/// A row as DynamoDB will have it.
pub(crate) fn write<T: Serialize>(key: &Key, row: &T) -> Result<Item, Error> {
    let mut item: Item = serde_dynamo::to_item(row)
        .map_err(|e| Error::Corrupt { key: key.to_string(), source: Box::new(e) })?;
    item.extend(key.item());
    Ok(item)
}

/// All rows of a query's items, where each of them counts.
pub(crate) fn read_all<T: DeserializeOwned>(items: Option<Vec<Item>>) -> Result<Vec<T>, Error> {
    items.unwrap_or_default().into_iter().map(read_one).collect()
}

/// The readable rows of a query. A damaged row must not block the rows beside it. Each skipped row is logged as an
/// error, so that skipped rows can be counted in the log.
pub(crate) fn read_good<T: DeserializeOwned>(items: Option<Vec<Item>>) -> Vec<T> {
    let good = |item| match read_one(item) {
        Ok(row) => Some(row),
        Err(error) => {
            let cause = std::error::Error::source(&error);
            tracing::error!(
                store.corrupt_rows = 1,
                failure = "corrupt",
                error = cause,
                "{error}: passed over; mend or delete it"
            );
            None
        }
    };
    items.unwrap_or_default().into_iter().filter_map(good).collect()
}

fn read_one<T: DeserializeOwned>(item: Item) -> Result<T, Error> {
    let key = Key::of(&item).unwrap_or(Key { pk: String::new(), sk: String::new() });
    read(&key, item)
}
