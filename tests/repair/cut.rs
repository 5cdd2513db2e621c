//! Rows as a restore may bring them back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use store::table::{Table, keys};
use tests::world::World;

use super::{cast::Cast, deeds::Deed};

/// A row.
pub(crate) type Item = HashMap<String, AttributeValue>;
/// Rows by their keys.
pub(crate) type Rows = BTreeMap<(String, String), Item>;

/// Rows up to which a deed gets every case.
const FEW: usize = 5;
/// Cases of a deed of more rows, beside those that hold or lack one row only.
const MANY: u64 = 12;

/// A deed with the rows from before and after it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) deed: Deed,
    cast: Cast,
    before: Rows,
    after: Rows,
    /// The rows that it changed.
    pub(crate) changed: Vec<(String, String)>,
}

/// Does a deed, and all that comes before it.
pub(crate) async fn done(world: &World, deed: Deed) -> Done {
    let cast = Cast::of(deed, &world.table, deed.name).await;
    let fanout = world.fanout(server::clock::Clock::system());
    let play = async |acts: &'static [super::cast::Act], from: usize, fanout| {
        for (act, key) in acts.iter().zip(from..) {
            cast.play(*act, &format!("key-{key}"), &world.table, fanout).await.unwrap();
        }
    };
    play(deed.history, 0, Some(&fanout)).await;
    play(deed.left, deed.history.len(), None).await;
    let before = rows(world, &cast).await;
    play(deed.last, deed.history.len() + deed.left.len(), None).await;
    let after = rows(world, &cast).await;
    let keys: BTreeSet<&(String, String)> = before.keys().chain(after.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect();
    Done { deed, cast, before, after, changed }
}

impl Done {
    /// Which of the changed rows each case has as they were after the deed, a bit each.
    pub(crate) fn cuts(&self) -> BTreeSet<u32> {
        let many = self.changed.len();
        let all = (1_u32 << many) - 1;
        if many <= FEW {
            return (0..=all).collect();
        }
        let mut random = StdRng::seed_from_u64(7);
        let ones = (0..many).flat_map(|bit| [1 << bit, all ^ (1 << bit)]);
        ones.chain([0, all]).chain((0..MANY).map(|_| random.random_range(0..=all))).collect()
    }

    /// The rows of a case, with a cast of its own in the table that they are for.
    pub(crate) async fn cut(&self, cut: u32, table: &Table, tag: &str) -> (Cast, Vec<Item>) {
        let cast = Cast::of(self.deed, table, tag).await;
        let mut rows = self.before.clone();
        for (_, key) in self.changed.iter().enumerate().filter(|(bit, _)| cut & (1 << bit) != 0) {
            match self.after.get(key) {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        let items = rows.into_values().map(|row| self.recast(row, &cast)).collect();
        (cast, items)
    }

    /// A row with the names of another cast.
    fn recast(&self, row: Item, cast: &Cast) -> Item {
        let names =
            [(self.cast.mark(), cast.mark()), (self.cast.thread.to_string(), cast.thread.to_string())];
        let mut row: Item = row.into_iter().map(|(name, value)| (name, renamed(value, &names))).collect();
        if row["pk"].as_s().unwrap().starts_with("O#") {
            row.insert("pk".into(), AttributeValue::S(keys::outbox(&cast.thread).pk));
        }
        row
    }
}

fn renamed(value: AttributeValue, names: &[(String, String)]) -> AttributeValue {
    match value {
        AttributeValue::S(text) => {
            AttributeValue::S(names.iter().fold(text, |text, (from, to)| text.replace(from, to)))
        }
        AttributeValue::L(values) => {
            AttributeValue::L(values.into_iter().map(|value| renamed(value, names)).collect())
        }
        AttributeValue::M(fields) => {
            AttributeValue::M(fields.into_iter().map(|(name, value)| (name, renamed(value, names))).collect())
        }
        other => other,
    }
}

/// Every row of the table.
pub(crate) async fn all(world: &World) -> Rows {
    let mut rows = Rows::new();
    let mut pages = world.dynamodb.scan().table_name(&world.stage).into_paginator().send();
    while let Some(page) = pages.next().await {
        for row in page.unwrap().items.unwrap_or_default() {
            let part = |name: &str| row[name].as_s().unwrap().clone();
            rows.insert((part("pk"), part("sk")), row);
        }
    }
    rows
}

/// The rows of one cast.
async fn rows(world: &World, cast: &Cast) -> Rows {
    let (mark, thread) = (cast.mark(), cast.thread.to_string());
    let mut rows = all(world).await;
    rows.retain(|_, row| {
        let text = format!("{row:?}");
        text.contains(&mark) || text.contains(&thread)
    });
    rows
}

/// Puts rows.
pub(crate) async fn put(world: &World, items: Vec<Item>) {
    let puts = items.into_iter().map(|item| {
        WriteRequest::builder()
            .put_request(PutRequest::builder().set_item(Some(item)).build().unwrap())
            .build()
    });
    for puts in puts.collect::<Vec<_>>().chunks(25) {
        let put = world.dynamodb.batch_write_item().request_items(&world.stage, puts.to_vec()).send().await;
        assert!(put.unwrap().unprocessed_items.unwrap_or_default().is_empty());
    }
}
