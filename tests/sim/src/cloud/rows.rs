//! DynamoDB as it is at its worst and still within its contract: transactions that are atomic to
//! writers, but whose items readers see one by one; reads that are stale unless asked not to be;
//! conflicts, throttling, short pages, keys left unprocessed; TTL that deletes late, in any order.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};
use store::table::keys;
use tokio::time::{Duration, Instant};

use super::{
    answer::{Answer, list, one},
    expression::{holds, updated},
    request::{self, Action, Attribute, Item, Request},
    row::{Row, Stored, number},
    weather::Weather,
};

/// How long a `ClientRequestToken` is known (API reference, `TransactWriteItems`).
const TOKEN_LIFE: Duration = Duration::from_mins(10);

type Key = (String, String);

/// Changes that the table's stream keeps.
const STREAMED: usize = 100;

/// Writes that a restore may take back.
const LATEST: usize = 256;

/// What never goes back, by prefixes of a row's keys.
const GROWS: [(&str, &str, &str); 5] = [
    ("U#", "HEAD", "seq"),
    ("U#", "HEAD", "folded"),
    ("U#", "HEAD", "lease_version"),
    ("U#", "M#", "delivered_through"),
    ("U#", "M#", "seen"),
];

/// The rows of the one table.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    items: BTreeMap<Key, Row>,
    tokens: HashMap<String, Sent>,
    /// The outbox rows that were written since somebody asked, the latest of them.
    stream: VecDeque<Key>,
    /// What each message has ever said: the tseq of the change that made it say so, and the text.
    pub(crate) texts: BTreeMap<Key, Vec<(u64, String)>>,
    /// The nth row of every transaction is applied later than the others by so much, whatever the weather.
    pub(crate) late: Option<(usize, Duration)>,
    /// How many rows were.
    pub(crate) were_late: usize,
    /// Writes that took back what only grows.
    pub(crate) went_back: Vec<String>,
    /// The latest writes.
    latest: VecDeque<Written>,
}

/// A transaction that was sent with a token.
#[derive(Debug)]
struct Sent {
    at: Instant,
    applied: Instant,
    keys: Vec<Key>,
}

/// A write, as far as one has to know to take it back.
#[derive(Debug)]
struct Written {
    key: Key,
    before: Option<Arc<Stored>>,
    applied: Instant,
}

enum Write<'a> {
    Put(&'a Item),
    Update(&'a str),
    Delete,
    Check,
}

impl Rows {
    /// Answers one request.
    pub(crate) fn answer(
        &mut self,
        operation: &str,
        request: &Request<'_>,
        weather: &Weather,
        rng: &mut StdRng,
    ) -> Answer {
        let now = Instant::now();
        if operation != "DescribeTable" && rng.random_bool(weather.throttle) {
            return Answer::refused("ProvisionedThroughputExceededException");
        }
        match operation {
            // A restored table has another id, and that alone is another generation; here it has not, so
            // that it is on the repair.
            "DescribeTable" => Answer::ok(json!({"Table": {
                "TableName": request.table_name, "TableId": "the-one", "TableStatus": "ACTIVE"}})),
            "GetItem" => {
                let item = self.read(&request.about(), request.consistent_read, weather, rng, now);
                Answer::told(one(item.as_deref()))
            }
            "TransactGetItems" => {
                let keys: Vec<Key> =
                    request.transact_items.iter().map(|action| action.part().about()).collect();
                let reason = |key| if self.is_busy(key, now) { "TransactionConflict" } else { "None" };
                let reasons: Vec<&str> = keys.iter().map(reason).collect();
                if reasons.iter().any(|reason| *reason != "None") {
                    return cancelled(&reasons);
                }
                let found =
                    keys.iter().map(|key| one(self.items.get(key).and_then(|row| row.item.as_deref())));
                Answer::told(format!(r#"{{"Responses":[{}]}}"#, found.collect::<Vec<_>>().join(",")))
            }
            "BatchGetItem" => self.batch_get(request, weather, rng, now),
            "Query" => self.query(request, weather, rng, now),
            "Scan" => self.scan(request, weather, rng),
            "PutItem" => self.single(&Write::Put(&request.item), request, now),
            "UpdateItem" => self.single(&Write::Update(request.update_expression), request, now),
            "DeleteItem" => self.single(&Write::Delete, request, now),
            "TransactWriteItems" => self.transact(request, weather, rng, now),
            other => panic!("the model knows no `{other}`"),
        }
    }

    /// Deletes some of the rows whose `exp` is over.
    pub(crate) fn expire(&mut self, seconds: i64, rng: &mut StdRng) {
        let now = Instant::now();
        for row in self.items.values_mut().filter(|row| now >= row.applied) {
            let exp = row.item.as_ref().and_then(|item| item.item.get("exp")?.digits()?.parse::<i64>().ok());
            if exp.is_some_and(|exp| exp < seconds) && rng.random_bool(0.5) {
                (row.before, row.item) = (None, None);
            }
        }
    }

    /// The table is another one now, restored from a backup: each row is as readers saw it at some moment
    /// in the middle of one of the latest transactions, of which it may hold any half.
    pub(crate) fn restore(&mut self, rng: &mut StdRng) {
        let halves: Vec<Instant> = self.latest.iter().map(|write| write.applied).collect();
        if halves.is_empty() {
            return;
        }
        let moment = halves[rng.random_range(0..halves.len())];
        while let Some(write) = self.latest.pop_back() {
            if write.applied > moment
                && let Some(row) = self.items.get_mut(&write.key)
            {
                row.item = write.before;
            }
        }
        let now = Instant::now();
        for row in self.items.values_mut() {
            (row.changed, row.applied) = (now, now);
            row.before.clone_from(&row.item);
        }
        self.tokens.clear();
    }

    /// Every row that is there, for the judges at the end.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Item)> {
        self.items.iter().filter_map(|(key, row)| Some((key, &row.item.as_ref()?.item)))
    }

    /// The rows of a partition that are there and begin so.
    pub(crate) fn of(&self, pk: &str, prefix: &str) -> impl Iterator<Item = &Item> + use<'_> {
        let (from, to) = prefixed(prefix);
        let rows = self.items.range((pk.to_owned(), from)..=(pk.to_owned(), to));
        rows.filter_map(|(_, row)| Some(&row.item.as_ref()?.item))
    }

    /// The same, each with its sort key.
    pub(crate) fn keyed(&self, pk: &str, prefix: &str) -> impl Iterator<Item = (&str, &Item)> + use<'_> {
        let (from, to) = prefixed(prefix);
        let rows = self.items.range((pk.to_owned(), from)..=(pk.to_owned(), to));
        rows.filter_map(|((_, sk), row)| Some((sk.as_str(), &row.item.as_ref()?.item)))
    }

    /// Since when a row is there as it is, seen or not.
    pub(crate) fn since(&self, pk: String, sk: String) -> Option<Instant> {
        self.items.get(&(pk, sk)).filter(|row| row.item.is_some()).map(|row| row.changed)
    }

    /// A row as it was so long ago, seen or not, if it has changed at most once since.
    pub(crate) fn before(&self, pk: String, sk: String, ago: Duration) -> Option<&Item> {
        let row = self.items.get(&(pk, sk))?;
        let was = if row.changed.elapsed() < ago { &row.before } else { &row.item };
        Some(&was.as_ref()?.item)
    }

    /// A row as it is, seen or not.
    pub(crate) fn get(&self, pk: String, sk: String) -> Option<&Item> {
        Some(&self.items.get(&(pk, sk))?.item.as_ref()?.item)
    }

    /// What the table's stream tells of since the last time: the keys of outbox rows.
    pub(crate) fn stream(&mut self) -> Vec<Key> {
        self.stream.drain(..).collect()
    }

    fn note(&mut self, key: &Key, item: Option<&Arc<Stored>>) {
        if key.0.starts_with("O#") {
            if self.stream.len() == STREAMED {
                self.stream.pop_front();
            }
            self.stream.push_back(key.clone());
        }
        let body = item.filter(|_| key.1.starts_with("E#")).and_then(|item| item.item.get("body")?.text());
        let body: Option<Value> = body.and_then(|body| serde_json::from_str(body).ok());
        if let Some(body) = body
            && let Some(text) = body["text"].as_str()
        {
            let changed = body["changed"].as_u64().unwrap_or(0);
            self.texts.entry(key.clone()).or_default().push((changed, text.to_owned()));
        }
    }

    fn read(
        &self,
        key: &Key,
        consistent: bool,
        weather: &Weather,
        rng: &mut StdRng,
        now: Instant,
    ) -> Option<Arc<Stored>> {
        self.items.get(key)?.seen(consistent, weather, rng, now)
    }

    fn batch_get(&self, request: &Request<'_>, weather: &Weather, rng: &mut StdRng, now: Instant) -> Answer {
        let (mut responses, mut unprocessed) = (Vec::new(), json!({}));
        for (table, part) in &request.batches {
            // It reads them in no order, and leaves unprocessed whichever it likes.
            let mut keys: Vec<&request::Key<'_>> = part.keys.iter().collect();
            keys.shuffle(rng);
            assert!(keys.len() <= 100, "a batch of {} keys", keys.len());
            let most =
                if rng.random_bool(weather.short) { rng.random_range(1..=keys.len()) } else { keys.len() };
            let read =
                |key: &&request::Key<'_>| self.read(&key.pair(), part.consistent_read, weather, rng, now);
            let found: Vec<Arc<Stored>> = keys[..most].iter().filter_map(read).collect();
            responses.push(format!(r#""{table}":{}"#, list(&found)));
            if most < keys.len() {
                unprocessed[table] = json!({"Keys": keys[most..], "ConsistentRead": part.consistent_read});
            }
        }
        Answer::told(format!(
            r#"{{"Responses":{{{}}},"UnprocessedKeys":{unprocessed}}}"#,
            responses.join(",")
        ))
    }

    fn query(&self, request: &Request<'_>, weather: &Weather, rng: &mut StdRng, now: Instant) -> Answer {
        let (from, to) = sort_range(request);
        let pk = request.text(":pk").to_owned();
        let forward = request.scan_index_forward.unwrap_or(true);
        let start = request.exclusive_start_key.as_ref().map(request::Key::pair);
        let mut limit = request.limit.unwrap_or(usize::MAX);
        if rng.random_bool(weather.short) {
            limit = limit.min(rng.random_range(1..=3));
        }
        let mut rows = self.items.range((pk.clone(), from)..=(pk, to));
        let (mut items, mut last) = (Vec::new(), None);
        while let Some((key, row)) = if forward { rows.next() } else { rows.next_back() } {
            if start.as_ref().is_some_and(|start| if forward { key <= start } else { key >= start }) {
                continue;
            }
            if items.len() == limit {
                last = items
                    .last()
                    .map(|item: &Arc<Stored>| json!({"pk": item.item["pk"], "sk": item.item["sk"]}));
                break;
            }
            items.extend(row.seen(request.consistent_read, weather, rng, now));
        }
        let scanned = items.len();
        if let Some(filter) = request.filter_expression {
            items.retain(|item| holds(filter, Some(&item.item), request));
        }
        let mut body = format!(r#"{{"Count":{},"ScannedCount":{scanned}"#, items.len());
        if request.select != "COUNT" {
            body += r#","Items":"#;
            body += &list(&items);
        }
        if let Some(last) = last {
            body += r#","LastEvaluatedKey":"#;
            body += &last.to_string();
        }
        Answer::told(body + "}")
    }

    /// A page of all keys there are.
    fn scan(&self, request: &Request<'_>, weather: &Weather, rng: &mut StdRng) -> Answer {
        assert_eq!(request.projection_expression, "pk, sk");
        let start = request.exclusive_start_key.as_ref().map(request::Key::pair);
        let range = (start.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let most = if rng.random_bool(weather.short) { rng.random_range(1..=3) } else { 100 };
        let mut rows = self.items.range(range).filter(|(_, row)| row.item.is_some());
        let page = rows.by_ref().take(most).map(|((pk, sk), _)| json!({"pk": {"S": pk}, "sk": {"S": sk}}));
        let page: Vec<Value> = page.collect();
        let mut body = json!({"Count": page.len(), "ScannedCount": page.len()});
        if rows.next().is_some() {
            body["LastEvaluatedKey"] = page.last().cloned().unwrap_or_default();
        }
        body["Items"] = json!(page);
        Answer::ok(body)
    }

    fn single(&mut self, write: &Write<'_>, request: &Request<'_>, now: Instant) -> Answer {
        let key = &request.about();
        if self.is_busy(key, now) {
            return Answer::refused("TransactionConflictException");
        }
        let item = |rows: &Self| rows.items.get(key).and_then(|row| row.item.clone());
        if !self.condition_holds(key, request) {
            let mut body =
                json!({"__type": "ConditionalCheckFailedException", "message": "the model says so"});
            if request.return_values_on_condition_check_failure == "ALL_OLD"
                && let Some(item) = item(self)
            {
                body["Item"] = json!(item.item);
            }
            return Answer::because(body);
        }
        let before = item(self);
        self.write(key, write, request, (now, now));
        let returned = match request.return_values {
            // Of an update, the attributes that have not changed as well.
            "ALL_NEW" | "UPDATED_NEW" => item(self),
            "ALL_OLD" => before,
            _ => None,
        };
        Answer::ok(returned.map_or(json!({}), |item| json!({"Attributes": item.item})))
    }

    fn transact(
        &mut self,
        request: &Request<'_>,
        weather: &Weather,
        rng: &mut StdRng,
        now: Instant,
    ) -> Answer {
        let token = request.client_request_token;
        let about =
            || request.transact_items.iter().map(|action| action.part().about()).collect::<Vec<Key>>();
        if let Some(sent) = self.tokens.get(token).filter(|sent| now < sent.at + TOKEN_LIFE) {
            return match () {
                () if sent.keys != about() => Answer::refused("IdempotentParameterMismatchException"),
                // Still under way, or committed: either may be told.
                () if now < sent.applied && rng.random_bool(0.5) => {
                    Answer::refused("TransactionInProgressException")
                }
                () => Answer::ok(json!({})),
            };
        }
        let mut writes = Vec::new();
        for action in &request.transact_items {
            let part = action.part();
            let write = match action {
                Action::Put(put) => Write::Put(&put.item),
                Action::Update(update) => Write::Update(update.update_expression),
                Action::Delete(_) => Write::Delete,
                Action::ConditionCheck(_) | Action::Get(_) => Write::Check,
            };
            writes.push((part.about(), write, part));
        }
        let mut keys: Vec<&Key> = writes.iter().map(|(key, ..)| key).collect();
        keys.sort();
        keys.dedup();
        if writes.len() > 100 || keys.len() != writes.len() {
            return Answer::refused("ValidationException");
        }
        let reasons: Vec<&str> = writes
            .iter()
            .map(|(key, _, part)| {
                if self.is_busy(key, now) || rng.random_bool(weather.conflict) {
                    "TransactionConflict"
                } else if rng.random_bool(weather.throttle / 4.0) {
                    "ThrottlingError"
                } else if self.condition_holds(key, part) {
                    "None"
                } else {
                    "ConditionalCheckFailed"
                }
            })
            .collect();
        if reasons.iter().any(|reason| *reason != "None") {
            return cancelled(&reasons);
        }
        // Each row is applied by itself, and is free from then on. The answer usually comes after the last one; AWS
        // promises that nowhere.
        let spread = Duration::from_millis(rng.random_range(0..=weather.spread_ms));
        let slow = rng.random_bool(weather.late).then(|| rng.random_range(0..writes.len()));
        let mut last = now;
        for (nth, (key, write, part)) in writes.iter().enumerate() {
            let mut applied = now + spread.mul_f64(rng.random::<f64>());
            if let Some((_, by)) = self.late.filter(|(late, _)| *late == nth) {
                applied += by;
                self.were_late += 1;
            }
            if slow == Some(nth) {
                applied += Duration::from_millis(rng.random_range(0..weather.late_ms));
            }
            last = last.max(applied);
            self.write(key, write, part, (now, applied));
        }
        self.tokens.insert(token.to_owned(), Sent { at: now, applied: last, keys: about() });
        let after = if rng.random_bool(weather.early) { Duration::ZERO } else { last - now };
        Answer { after, ..Answer::ok(json!({})) }
    }

    /// Whether a transaction that has the row in it is under way.
    fn is_busy(&self, key: &Key, now: Instant) -> bool {
        self.items.get(key).is_some_and(|row| now < row.applied)
    }

    fn condition_holds(&self, key: &Key, part: &Request<'_>) -> bool {
        let item = self.items.get(key).and_then(|row| Some(&row.item.as_ref()?.item));
        part.condition_expression.is_none_or(|condition| holds(condition, item, part))
    }

    /// What lies on the shelf for the place of a view.
    fn on_shelf(&self, key: &Key) -> Option<&Arc<Stored>> {
        let thread = key.1.strip_prefix(keys::VIEWS)?;
        self.items.get(&(key.0.clone(), format!("{}{thread}", keys::SHELF)))?.item.as_ref()
    }

    /// Writes a row that is applied at `applied`: readers see it from then on, and other writers may have it.
    fn write(
        &mut self,
        key: &Key,
        write: &Write<'_>,
        part: &Request<'_>,
        (now, applied): (Instant, Instant),
    ) {
        let before = self.items.get(key).and_then(|row| row.item.clone());
        let item = match write {
            Write::Put(item) => Some(Stored::new((*item).clone())),
            Write::Update(update) => {
                let text = |text: &str| Attribute::S(text.into());
                let own = Item::from([("pk".into(), text(&key.0)), ("sk".into(), text(&key.1))]);
                Some(Stored::new(updated(update, before.as_ref().map(|before| &before.item), &own, part)))
            }
            Write::Delete => None,
            Write::Check => before.clone(),
        };
        let grows = GROWS.into_iter().filter(|(pk, sk, _)| key.0.starts_with(pk) && key.1.starts_with(sk));
        for (.., name) in grows {
            let of = |item: Option<&Arc<Stored>>| item.and_then(|item| number(&item.item, name));
            let was = before.as_ref().or_else(|| self.on_shelf(key));
            if let (Some(was), Some(is)) = (of(was), of(item.as_ref()))
                && is < was
            {
                self.went_back.push(format!("{name} of {}/{} went back from {was} to {is}", key.0, key.1));
            }
        }
        self.note(key, item.as_ref());
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(Written { key: key.clone(), before: before.clone(), applied });
        self.items.insert(key.clone(), Row { item, before, changed: now, applied });
    }
}

/// A transaction that was cancelled, with a reason for each row.
fn cancelled(reasons: &[&str]) -> Answer {
    let reasons: Vec<Value> = reasons.iter().map(|reason| json!({ "Code": reason })).collect();
    Answer::because(json!({
        "__type": "TransactionCanceledException",
        "message": "the model says so",
        "CancellationReasons": reasons,
    }))
}

fn prefixed(prefix: &str) -> (String, String) {
    (prefix.to_owned(), format!("{prefix}{}", char::MAX))
}

/// Between which sort keys a query looks.
fn sort_range(request: &Request<'_>) -> (String, String) {
    match request.key_condition_expression {
        "pk = :pk" => (String::new(), char::MAX.to_string()),
        "pk = :pk AND begins_with(sk, :prefix)" => prefixed(request.text(":prefix")),
        "pk = :pk AND begins_with(sk, :views)" => prefixed(request.text(":views")),
        "pk = :pk AND sk BETWEEN :from AND :to" => {
            (request.text(":from").to_owned(), request.text(":to").to_owned())
        }
        other => panic!("the model knows no key condition `{other}`"),
    }
}
