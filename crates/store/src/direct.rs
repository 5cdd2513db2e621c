//! The ids of direct threads: a code over the pair, under a key that the table holds. A restored table has the key as well.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::ids::{ThreadId, UserId};

use crate::table::{
    Table,
    error::{Error, held},
    keys,
    tx::ABSENT,
};

impl Table {
    /// The id of the one direct thread of two users, whether it exists or not.
    pub async fn direct_id(&self, a: &UserId, b: &UserId) -> Result<ThreadId, Error> {
        let key = self.direct_key.get_or_try_init(|| self.read_direct_key()).await?;
        Ok(ThreadId::direct(key, a, b))
    }

    /// Reads the key, or makes it: of many processes only the first one's counts.
    async fn read_direct_key(&self) -> Result<[u8; 32], Error> {
        let key = keys::direct_key();
        loop {
            let get = self.client.get_item().table_name(&self.name).set_key(Some(key.item()));
            if let Some(item) = get.consistent_read(true).send().await?.item {
                let bytes = item.get("key").and_then(|bytes| bytes.as_b().ok()?.as_ref().try_into().ok());
                return bytes.ok_or_else(|| Error::Corrupt { key: key.to_string(), source: "key".into() });
            }
            let made = [rng::random::<u128>().to_be_bytes(), rng::random::<u128>().to_be_bytes()].concat();
            let mut item = key.item();
            item.insert("key".into(), AttributeValue::B(Blob::new(made)));
            let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
            held(put.condition_expression(ABSENT).send().await)?;
        }
    }
}
