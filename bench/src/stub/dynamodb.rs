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
        return Some(truth.user_row(user));
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
        truth.pages(user, seq.parse().unwrap_or(1), limit)
    } else {
        let prefix = text(values, ":prefix");
        let rows = truth.rows.range((pk.to_owned(), prefix.to_owned())..);
        let rows = rows.take_while(|(key, _)| key.0 == pk && key.1.starts_with(prefix));
        rows.map(|(_, row)| row.clone()).collect()
    };
    json!({"Count": items.len(), "Items": items})
}

fn put(truth: &mut Truth, item: &Value) -> Value {
    truth.rows.insert(key(item), item.clone());
    json!({})
}

/// A change of a lease, or a beat: `SET` of plain values.
fn update(truth: &mut Truth, asked: &Value) -> Value {
    let key_of = &asked["Key"];
    let expression = asked["UpdateExpression"].as_str().unwrap_or_default();
    let (names, values) = (&asked["ExpressionAttributeNames"], &asked["ExpressionAttributeValues"]);
    if let (Some(name), "HEAD") = (text(key_of, "pk").strip_prefix("U#"), text(key_of, "sk")) {
        if let Some(lease) = names["#lease"].as_str() {
            let value =
                expression.split_once("#lease = ").and_then(|(_, rest)| rest.split([',', ' ']).next());
            let user = truth.named(name);
            truth.user_mut(user).lease(lease, value.map(|value| values[value].clone()));
        }
        return json!({"Attributes": truth.user_row(name)});
    }
    let row = truth.rows.entry(key(key_of)).or_insert_with(|| key_of.clone());
    for set in expression.trim_start_matches("SET ").split(", ") {
        let Some((name, value)) = set.split_once(" = ") else { continue };
        row[names[name].as_str().unwrap_or(name)] = values[value].clone();
    }
    json!({})
}

fn delete(truth: &mut Truth, key_of: &Value) -> Value {
    truth.rows.remove(&key(key_of));
    json!({})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_answered_with_the_row_that_has_it() {
        let mut truth = Truth::default();
        let change = |expression: &str| {
            let key = json!({"pk": {"S": "U#a"}, "sk": {"S": "HEAD"}});
            json!({
                "Key": key, "UpdateExpression": expression, "ExpressionAttributeNames": {"#lease": "h#boot"},
                "ExpressionAttributeValues": {":queue": {"S": "queue"}},
            })
        };
        let set = "SET gen = if_not_exists(gen, :random), #lease = :queue";
        assert_eq!(update(&mut truth, &change(set))["Attributes"]["h#boot"]["S"], "queue");
        let user = truth.named("a");
        assert_eq!(truth.user(user).queues().collect::<Vec<_>>(), ["queue"]);
        update(&mut truth, &change("SET gen = if_not_exists(gen, :random) REMOVE #lease"));
        assert_eq!(truth.user(user).queues().count(), 0);
    }

    #[test]
    fn what_is_in_no_page_is_in_the_row() {
        let mut truth = Truth::default();
        let user = truth.named("a");
        for tseq in 1..=100 {
            truth.append("t_x", tseq, &[user], "hi");
            let row = truth.user_row("a");
            let folded: usize = row["folded"]["N"].as_str().unwrap().parse().unwrap();
            let pages = truth.pages("a", 1, 100);
            assert_eq!(
                (pages.len() * 16, folded + row["entries"]["L"].as_array().unwrap().len()),
                (folded, tseq as usize)
            );
        }
    }
}
