//! The lists of threads that the API gives at the end, against the table: titles, members, counts and previews.

use std::collections::{BTreeMap, BTreeSet};

use domain::limits;
use serde_json::Value;

use crate::{
    cloud::{request::Item, row::number, rows::Rows},
    stage::Stage,
    truth::{Truth, text},
};

/// Judges what each user's list shows.
pub(crate) async fn judge(stage: &Stage) {
    for actor in &stage.actors {
        let listed = actor.list().await;
        let truth = Truth::read(&stage.deployment);
        let state = stage.deployment.cloud.state();
        for wrong in wrong(&truth, &state.rows, actor.user.as_str(), &listed) {
            stage.history.wrong(wrong);
        }
    }
}

fn wrong(truth: &Truth, rows: &Rows, user: &str, listed: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let listed: BTreeMap<&str, &Value> =
        listed.iter().filter_map(|thread| Some((thread["id"].as_str()?, thread))).collect();
    let threads: BTreeSet<&str> = rows.all().filter_map(|((pk, _), _)| pk.strip_prefix("T#")).collect();
    for thread in threads {
        let pk = format!("T#{thread}");
        let members: Vec<String> = rows
            .of(&pk, "M#")
            .filter(|member| !member.contains_key("left_tseq"))
            .filter_map(|member| text(member, "user"))
            .collect();
        let is_member = members.iter().any(|member| member == user);
        let Some(shows) = listed.get(thread) else {
            let view = truth.views.get(&(user.to_owned(), thread.to_owned()));
            if is_member && !view.is_some_and(|view| truth.is_past_list(user, view)) {
                wrong.push(format!("the list of {user} lacks {thread}"));
            }
            continue;
        };
        if !is_member {
            wrong.push(format!("the list of {user} has {thread}, which is none of theirs"));
            continue;
        }
        let meta = rows.get(pk.clone(), "META".into());
        let title = meta.and_then(|meta| text(meta, "title"));
        if shows["title"].as_str() != title.as_deref() {
            wrong.push(format!("the list of {user} calls {thread} {}, not {title:?}", shows["title"]));
        }
        let named: BTreeSet<&str> =
            shows["members"].as_array().into_iter().flatten().filter_map(|m| m["user"].as_str()).collect();
        let first: BTreeSet<&str> = members.iter().take(limits::LISTED_MEMBERS).map(String::as_str).collect();
        if named != first {
            wrong.push(format!("the list of {user} names {named:?} in {thread}, not {first:?}"));
        }
        let log: Vec<&Item> = rows.of(&pk, "E#").collect();
        let count = log.last().and_then(|entry| number(entry, "number")).unwrap_or(0);
        let (shown, seen, unread) = (&shows["number"], &shows["seen"], &shows["unread"]);
        if shown.as_u64() != Some(count)
            || seen.as_u64().zip(unread.as_u64()).map(|(a, b)| a + b) != Some(count)
        {
            wrong.push(format!(
                "the list of {user} counts {shown} ({seen} seen, {unread} not) in {thread}, not {count}"
            ));
        }
        if let Some(last) = shows["last"].as_object() {
            let tseq = last["tseq"].as_u64().unwrap_or(0);
            let entry = rows.get(pk, format!("E#{tseq:020}")).and_then(|entry| text(entry, "body"));
            let body: Value = entry.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
            if body["text"] != last.get("text").cloned().unwrap_or_default() {
                wrong.push(format!("the list of {user} previews {last:?} of {thread}, not {body}"));
            }
        }
    }
    wrong
}
