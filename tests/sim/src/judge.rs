//! The verdict at the end: what clients show against what the table says, and the table against
//! itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    cloud::Cloud,
    cloud::request::Item,
    cloud::row::number,
    deployment::Deployment,
    device::Device,
    history::History,
    page::{Message, Shown},
};

/// A thread log, by tseq.
type Log = BTreeMap<u64, Entry>;

struct Entry {
    number: u64,
    by: String,
    body: Value,
}

/// What the table holds.
#[derive(Default)]
struct Truth {
    logs: BTreeMap<String, Log>,
    /// (user, thread) → the view.
    views: BTreeMap<(String, String), Item>,
    heads: BTreeMap<String, u64>,
    /// What is in each inbox, by seq: the thread, and the tseq of a logged event.
    inboxes: BTreeMap<String, BTreeMap<u64, (String, Option<u64>)>>,
    leases: Vec<(String, String, Option<String>)>,
    owed: Vec<String>,
}

pub(crate) fn text(item: &Item, name: &str) -> Option<String> {
    Some(item.get(name)?.text()?.to_owned())
}

impl Truth {
    fn read(cloud: &Cloud) -> Self {
        let mut truth = Self::default();
        let state = cloud.state();
        for ((pk, sk), item) in state.rows.all() {
            let (owner, kind) =
                (pk.split_once('#').map_or("", |(_, owner)| owner).to_owned(), &sk[..2.min(sk.len())]);
            match (&pk[..2.min(pk.len())], kind) {
                ("T#", "E#") => {
                    let body = text(item, "body").and_then(|body| serde_json::from_str(&body).ok());
                    let entry = Entry {
                        number: number(item, "number").unwrap_or(0),
                        by: text(item, "by").unwrap_or_default(),
                        body: body.unwrap_or(Value::Null),
                    };
                    truth.logs.entry(owner).or_default().insert(number(item, "tseq").unwrap_or(0), entry);
                }
                ("U#", "M#") => {
                    truth.views.insert((owner, sk[2..].to_owned()), item.clone());
                }
                ("U#", "HE") => {
                    truth.heads.insert(owner, number(item, "seq").unwrap_or(0));
                }
                ("U#", "L#") => {
                    let what = (text(item, "thread").unwrap_or_default(), number(item, "tseq"));
                    truth.inboxes.entry(owner).or_default().insert(number(item, "seq").unwrap_or(0), what);
                }
                ("U#", "Q#") => truth.leases.push((owner, sk.clone(), text(item, "holder"))),
                ("O#", _) => truth.owed.push(sk.clone()),
                _ => {}
            }
        }
        truth
    }
}

/// Whether a member is to be told of each entry: from their joining to their leaving.
fn told_of(user: &str, log: &Log) -> BTreeMap<u64, bool> {
    let (mut inside, mut told) = (false, BTreeMap::new());
    for (tseq, entry) in log {
        let own = entry.body["user"] == user;
        let change = entry.body["change"].as_str();
        let joins = match entry.body["kind"].as_str() {
            Some("thread") => {
                entry.body["members"].as_array().is_some_and(|m| m.iter().any(|m| m["user"] == user))
            }
            _ => own && change == Some("added"),
        };
        let leaves = own && matches!(change, Some("removed" | "left"));
        inside |= joins;
        told.insert(*tseq, inside);
        inside &= !leaves;
    }
    told
}

/// Judges a run that has come to rest. `aged` says that TTL may have eaten inbox events.
pub(crate) fn judge(deployment: &Deployment, devices: &[Arc<Device>], history: &History, aged: bool) {
    let truth = Truth::read(&deployment.cloud);
    table(&truth, deployment, history, aged);
    acknowledged(&truth, history);
    shown(&truth, history);
    for device in devices {
        pages(&truth, device, history);
    }
    let mut known = history.known();
    let resets: Vec<_> =
        known.resets.iter().filter(|_| !aged).map(|(why, n)| format!("{n} resets: {why}")).collect();
    known.wrong.extend(resets);
}

/// A list holds every message that lies in the inbox up to its cursor: no stream tells of it again.
pub(crate) fn listed(
    (cloud, history): (&Cloud, &History),
    user: &str,
    cursor: &str,
    threads: &BTreeMap<String, Shown>,
) -> Option<String> {
    let end: u64 = cursor.split_once('.')?.1.parse().ok()?;
    let (state, known) = (cloud.state(), history.known());
    let inbox = state.rows.of(&format!("U#{user}"), "L#");
    for item in inbox.filter(|item| number(item, "seq").is_some_and(|seq| seq <= end)) {
        let (thread, Some(tseq)) = (text(item, "thread")?, number(item, "tseq")) else { continue };
        // A restore may have lost it, and another message be there by now.
        if number(item, "seq").is_some_and(|seq| known.base.lost.contains(&(user.to_owned(), seq))) {
            continue;
        }
        let Some(entry) = state.rows.get(format!("T#{thread}"), format!("E#{tseq:020}")) else { continue };
        let body = text(entry, "body")?;
        if let Some(shown) = threads.get(&thread)
            && body.contains("\"kind\":\"message\"")
            && !shown.messages.contains_key(&tseq)
        {
            return Some(format!("a list up to {cursor} does not show {tseq} of {thread}"));
        }
    }
    None
}

/// The table is whole: no hole in a log or inbox, nothing owed, every view at its end.
fn table(truth: &Truth, deployment: &Deployment, history: &History, aged: bool) {
    for back in &deployment.cloud.state().rows.went_back {
        history.wrong(back);
    }
    for owed in &truth.owed {
        history.wrong(format!("the outbox still holds {owed}"));
    }
    for (thread, log) in &truth.logs {
        let mut messages = 0;
        for (at, (tseq, entry)) in (1..).zip(log) {
            messages += u64::from(entry.body["kind"] == "message");
            if *tseq != at || entry.number != messages {
                history.wrong(format!(
                    "{thread}: entry {tseq} stands at {at}, number {} at {messages}",
                    entry.number
                ));
            }
        }
    }
    if !aged {
        inboxes(truth, history);
    }
    for ((user, thread), view) in &truth.views {
        let Some(log) = truth.logs.get(thread) else { continue };
        let (tail, tail_entry) = log.last_key_value().expect("a log has a first entry");
        let end = number(view, "left_at").unwrap_or(*tail);
        let fan = number(view, "fan").unwrap_or(0);
        if fan < end || fan > *tail {
            history.wrong(format!("the view of {user} in {thread} is at {fan}, not {end}"));
        }
        if number(view, "left_at").is_none() {
            let (messages, seen) = (number(view, "messages").unwrap_or(0), number(view, "seen").unwrap_or(0));
            if messages != tail_entry.number || seen > messages {
                history.wrong(format!("the view of {user} in {thread} counts {messages}, seen {seen}"));
            }
            let last = log.values().rev().find(|entry| entry.body["kind"] == "message");
            let preview = number(view, "preview");
            let told = told_of(user, log);
            let joined = number(view, "joined").unwrap_or(0);
            let mut since = log.iter().rev().filter(|(tseq, _)| **tseq >= joined);
            let own_last = since.find(|(tseq, e)| e.body["kind"] == "message" && told[*tseq]);
            if own_last.is_some() && last.is_some() && preview != own_last.map(|(tseq, _)| *tseq) {
                history.wrong(format!("the view of {user} in {thread} previews {preview:?}"));
            }
        }
    }
    let living: Vec<String> = deployment.boots().iter().map(|boot| boot.as_str().to_owned()).collect();
    let mut held: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (user, queue, holder) in &truth.leases {
        if let Some(holder) = holder.as_ref().filter(|holder| living.contains(holder)) {
            *held.entry((user, holder)).or_default() += 1;
        }
        let _ = queue;
    }
    for ((user, edge), n) in held.into_iter().filter(|(_, n)| *n > 1) {
        history.wrong(format!("edge {edge} holds {n} queues of {user}"));
    }
}

/// Each inbox is without a hole, and tells of each entry that is to be told: all of them, or what a
/// restore has left to tell.
fn inboxes(truth: &Truth, history: &History) {
    let mut wrong = Vec::new();
    let mut known = history.known();
    for (user, inbox) in &truth.inboxes {
        let head = truth.heads.get(user).copied().unwrap_or(0);
        let first = known.base.heads.get(user).copied().unwrap_or(0) + 1;
        let inbox: Vec<_> = inbox.range(first..).collect();
        if !inbox.iter().map(|(seq, _)| **seq).eq(first..=head) {
            let seqs: Vec<_> = inbox.iter().map(|(seq, _)| seq).collect();
            wrong.push(format!("the inbox of {user} is not {first} to {head}: {seqs:?}"));
        }
        for (thread, log) in &truth.logs {
            let of_thread = inbox.iter().filter(|(_, (of, _))| of == thread);
            let told: Vec<u64> = of_thread.filter_map(|(_, (_, tseq))| *tseq).collect();
            let fan = known.base.fans.get(&(user.clone(), thread.clone())).copied().unwrap_or(0);
            let due = told_of(user, log).into_iter().filter(|(tseq, due)| *due && *tseq > fan);
            let due: Vec<u64> = due.map(|(tseq, _)| tseq).collect();
            if told != due {
                wrong.push(format!("the inbox of {user} tells {told:?} of {thread}, not {due:?}"));
            }
        }
    }
    known.wrong.append(&mut wrong);
}

/// What was accepted is there once; what was not, at most once.
fn acknowledged(truth: &Truth, history: &History) {
    let mut places: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for (thread, log) in &truth.logs {
        for (tseq, entry) in log {
            // Edits keep the words that a message began with, and deletions are told apart below.
            if let Some(text) = entry.body["text"].as_str() {
                let begun = text.split_once(", or rather").map_or(text, |(begun, _)| begun);
                places.entry(begun).or_default().push((thread, *tseq));
            }
        }
    }
    let mut wrong = Vec::new();
    let mut known = history.known();
    for (text, said) in &known.said {
        let found = places.get(text.as_str()).map_or(&[][..], Vec::as_slice);
        match (said.tseq, found) {
            (Some(tseq), [(thread, at)]) if *thread == said.thread && *at == tseq => {}
            (None, []) => {}
            (Some(tseq), []) if deleted(truth, &said.thread, tseq) => {}
            (None, [_]) if !said.refused => {}
            (accepted, found) => {
                wrong.push(format!("`{text}` was accepted at {accepted:?} and is at {found:?}"));
            }
        }
    }
    for ((thread, user), number) in &known.seen {
        if let Some(view) = truth.views.get(&(user.clone(), thread.clone()))
            && view.get("left_at").is_none()
            && !rejoined(user, truth.logs.get(thread))
            && self::number(view, "seen").unwrap_or(0) < *number
        {
            wrong.push(format!("{user} marked {number} of {thread} as seen, and it is not"));
        }
    }
    let spoken = known.said.values().map(|said| (&said.thread, &said.from));
    let spoken: BTreeSet<(&String, &String)> = spoken.collect();
    for (thread, from) in spoken {
        let Some(log) = truth.logs.get(thread) else { continue };
        let told = told_of(from, log);
        for (tseq, _) in log.iter().filter(|(tseq, entry)| entry.by == *from && !told[*tseq]) {
            wrong.push(format!("{from} wrote {tseq} of {thread} without belonging there"));
        }
    }
    known.wrong.extend(wrong);
}

fn deleted(truth: &Truth, thread: &str, tseq: u64) -> bool {
    let entry = truth.logs.get(thread).and_then(|log| log.get(&tseq));
    entry.is_some_and(|entry| entry.body["kind"] == "message" && entry.body["text"].is_null())
}

/// Whoever comes back has seen all that was before.
fn rejoined(user: &str, log: Option<&Log>) -> bool {
    log.is_some_and(|log| log.values().any(|e| e.body["user"] == user && e.body["change"] == "added"))
}

/// Nobody is told of what is none of theirs, and what they are told is so.
fn shown(truth: &Truth, history: &History) {
    let mut wrong = Vec::new();
    let mut known = history.known();
    for ((user, id), (event, data)) in &known.shown {
        let thread = data["thread"].as_str().or_else(|| data["thread"]["id"].as_str()).unwrap_or_default();
        let Some(log) = truth.logs.get(thread) else {
            wrong.push(format!("{user} was shown {event} of a thread that is not there: {data}"));
            continue;
        };
        if event == "seen" {
            continue;
        }
        let tseq = data["tseq"].as_u64().unwrap_or(0);
        let told = told_of(user, log).get(&tseq).copied().unwrap_or(false);
        let kind = log.get(&tseq).and_then(|entry| entry.body["kind"].as_str()).unwrap_or_default();
        let same = event == kind || (event == "thread" && kind == "title");
        if !told || !same {
            wrong.push(format!("{user} was shown at {id}, though not to be told of it: {event} {data}"));
        }
    }
    known.wrong.extend(wrong);
}

/// Whether a page shows a message as the log has it.
fn is(message: &Message, entry: &Entry) -> bool {
    let reactions = entry.body["reactions"].as_object().into_iter().flatten();
    let reactions: BTreeSet<(String, String)> = reactions
        .flat_map(|(emoji, users)| {
            let users = users.as_array().into_iter().flatten();
            users.map(move |user| (emoji.clone(), user.as_str().unwrap_or_default().to_owned()))
        })
        .collect();
    message.from == entry.by
        && message.text.as_deref() == entry.body["text"].as_str()
        && message.reactions == reactions
}

/// A page shows every message that is its user's to see, and how far the members have read.
fn pages(truth: &Truth, device: &Device, history: &History) {
    let user = device.user.as_str();
    let page = device.page();
    for ((_, thread), view) in truth.views.iter().filter(|((owner, _), _)| owner == user) {
        let Some(log) = truth.logs.get(thread).filter(|_| view.get("left_at").is_none()) else { continue };
        let Some(shown) = page.threads.get(thread) else {
            history.wrong(format!("{} does not show {thread}", device.name));
            continue;
        };
        let joined = number(view, "joined").unwrap_or(0);
        let missing: Vec<u64> = log
            .iter()
            .filter(|(tseq, e)| e.body["kind"] == "message" && **tseq >= joined)
            .filter(|(tseq, e)| shown.messages.get(tseq).is_none_or(|m| !is(m, e)))
            .map(|(tseq, _)| *tseq)
            .collect();
        if !missing.is_empty() {
            history.wrong(format!("{} does not show {missing:?} of {thread}", device.name));
        }
        let extra =
            shown.messages.keys().any(|tseq| log.get(tseq).is_none_or(|e| e.body["kind"] != "message"));
        if extra {
            history.wrong(format!("{} shows messages of {thread} that are not there", device.name));
        }
        for ((member, _), other) in
            truth.views.iter().filter(|((_, of), v)| of == thread && v.get("left_at").is_none())
        {
            let (is, shows) =
                (number(other, "seen").unwrap_or(0), shown.seen.get(member).copied().unwrap_or(0));
            let since = number(other, "joined").unwrap_or(0) <= joined;
            if since && !rejoined(member, Some(log)) && is != shows {
                history.wrong(format!(
                    "{} shows that {member} has read {shows} of {thread}, not {is}",
                    device.name
                ));
            }
        }
    }
}
