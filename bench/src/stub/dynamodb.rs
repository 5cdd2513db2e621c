//! The calls that an edge makes to DynamoDB.

use serde_json::{Value, json};

use super::truth::{TABLE_ID, Truth};

/// Answers a call.
pub(crate) fn call(truth: &mut Truth, call: &str, body: &[u8]) -> String {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let answer = match call {
        "DescribeTable" => json!({"Table": {"TableId": TABLE_ID, "TableStatus": "ACTIVE"}}),
        "GetItem" => get(truth, &asked["Key"]).map_or(json!({}), |item| json!({"Item": item})),
        "BatchGetItem" => batch(truth, &asked["RequestItems"]),
        "Query" => query(truth, &asked),
        "PutItem" => put(truth, &asked["Item"]),
        "UpdateItem" => update(truth, &asked),
        "DeleteItem" => delete(truth, &asked["Key"]),
        _ => json!({}),
    };
    answer.to_string()
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().unwrap_or_default()
}

fn key(item: &Value) -> (String, String) {
    (text(item, "pk").to_owned(), text(item, "sk").to_owned())
}

fn get(truth: &mut Truth, key_of: &Value) -> Option<Value> {
    let (pk, sk) = key(key_of);
    if let (Some(user), "HEAD") = (pk.strip_prefix("U#"), sk.as_str()) {
        return Some(truth.head(user));
    }
    if let (Some(thread), Some(tseq)) = (pk.strip_prefix("T#"), sk.strip_prefix("E#")) {
        return truth.entry(thread, tseq.parse().ok()?);
    }
    truth.rows.get(&(pk, sk)).cloned()
}

fn batch(truth: &mut Truth, wanted: &Value) -> Value {
    let mut found = serde_json::Map::new();
    for (table, wanted) in wanted.as_object().into_iter().flatten() {
        let keys = wanted["Keys"].as_array().into_iter().flatten();
        found.insert(table.clone(), keys.filter_map(|key| get(truth, key)).collect());
    }
    json!({"Responses": found, "UnprocessedKeys": {}})
}

fn query(truth: &mut Truth, asked: &Value) -> Value {
    let values = &asked["ExpressionAttributeValues"];
    let (pk, from) = (text(values, ":pk"), text(values, ":from"));
    let items = if let (Some(user), Some(seq)) = (pk.strip_prefix("U#"), from.strip_prefix("L#")) {
        let limit = asked["Limit"].as_u64().unwrap_or(100) as usize;
        truth.inbox(user, seq.parse().unwrap_or(1), limit)
    } else {
        let prefix = text(values, ":prefix");
        let rows = truth.rows.range((pk.to_owned(), prefix.to_owned())..);
        let rows = rows.take_while(|(key, _)| key.0 == pk && key.1.starts_with(prefix));
        rows.map(|(_, row)| row.clone()).collect()
    };
    json!({"Count": items.len(), "Items": items})
}

fn put(truth: &mut Truth, item: &Value) -> Value {
    let key = key(item);
    if let (Some(user), true) = (key.0.strip_prefix("U#"), key.1.starts_with("Q#")) {
        let (user, url) = (truth.named(user), text(item, "url"));
        let queues = &mut truth.user_mut(user).queues;
        if !queues.iter().any(|known| known == url) {
            queues.push(url.to_owned());
        }
    }
    truth.rows.insert(key, item.clone());
    json!({})
}

/// Only ever `SET` of plain values: that is how an edge beats.
fn update(truth: &mut Truth, asked: &Value) -> Value {
    let key_of = &asked["Key"];
    let row = truth.rows.entry(key(key_of)).or_insert_with(|| key_of.clone());
    let expression = asked["UpdateExpression"].as_str().unwrap_or_default();
    for set in expression.trim_start_matches("SET ").split(", ") {
        let Some((name, value)) = set.split_once(" = ") else { continue };
        let name = asked["ExpressionAttributeNames"][name].as_str().unwrap_or(name);
        row[name] = asked["ExpressionAttributeValues"][value].clone();
    }
    json!({})
}

fn delete(truth: &mut Truth, key_of: &Value) -> Value {
    let key = key(key_of);
    let row = truth.rows.remove(&key);
    if let (Some(user), Some(row)) = (key.0.strip_prefix("U#"), row) {
        let user = truth.named(user);
        truth.user_mut(user).queues.retain(|url| url != text(&row, "url"));
    }
    json!({})
}
