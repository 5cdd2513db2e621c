//! The verdict at the end: what clients show against what the table says, and the table against
//! itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use domain::{event::Role, limits, view::View};
use serde_json::Value;

use crate::{
    cloud::{
        Cloud,
        row::{entries, number},
        rows::Rows,
    },
    deployment::Deployment,
    device::Device,
    history::History,
    page::{Message, Shown, extras},
    rights,
    truth::{Entry, Log, Truth, text},
};

/// Whether an entry changes the membership of a user.
fn is_about(body: &Value, user: &str) -> bool {
    let mut others = body["others"].as_array().into_iter().flatten();
    body["user"] == user || others.any(|other| other == user)
}

/// Whether a new member may read what was said before.
fn is_open(log: &Log) -> bool {
    log.get(&1).is_none_or(|first| first.body["history"] != "joined")
}

/// The memberships of a user: from each joining to the leaving.
fn memberships(user: &str, log: &Log) -> Vec<RangeInclusive<u64>> {
    let (mut since, mut memberships) = (None, Vec::new());
    for (tseq, entry) in log {
        let own = is_about(&entry.body, user);
        let change = entry.body["change"].as_str();
        let joins = match entry.body["kind"].as_str() {
            Some("thread") => {
                entry.body["members"].as_array().is_some_and(|m| m.iter().any(|m| m["user"] == user))
            }
            _ => own && change == Some("added"),
        };
        if joins {
            since = since.or(Some(*tseq));
        }
        if own && matches!(change, Some("removed" | "left")) {
            memberships.extend(since.take().map(|since| since..=*tseq));
        }
    }
    memberships.extend(since.map(|since| since..=u64::MAX));
    memberships
}

/// Whether a member is to be told of each entry: from their joining to their leaving.
fn told_of(user: &str, log: &Log) -> BTreeMap<u64, bool> {
    let memberships = memberships(user, log);
    log.keys().map(|tseq| (*tseq, memberships.iter().any(|told| told.contains(tseq)))).collect()
}

/// A user who has left comes back only with consent, and a thread that was accepted is no invitation.
fn consent(
    truth: &Truth,
    history: &History,
    thread: &str,
    (returned, moved): (&BTreeSet<&str>, &BTreeSet<&str>),
) {
    let mut known = history.known();
    let of = |user: &str| (thread.to_owned(), user.to_owned());
    let unasked: Vec<_> = returned.iter().filter(|user| !known.accepting.contains(&of(user))).collect();
    let mut wrong: Vec<String> =
        unasked.into_iter().map(|user| format!("{user} is in {thread} again without being asked")).collect();
    let accepted = known.accepted.iter().filter(|(of, user)| of == thread && !moved.contains(user.as_str()));
    let is_invited =
        |user: &String| truth.views.get(&(user.clone(), thread.to_owned())).is_some_and(View::is_invited);
    let open = accepted
        .filter(|(_, user)| is_invited(user))
        .map(|(_, user)| format!("{user} has accepted {thread}, and is only invited"));
    wrong.extend(open);
    known.wrong.extend(wrong);
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Moderator => "moderator",
        Role::Member => "member",
    }
}

/// Judges a run that has come to rest. `aged` says that TTL may have eaten inbox events.
pub(crate) fn judge(deployment: &Deployment, devices: &[Arc<Device>], history: &History, aged: bool) {
    let truth = Truth::read(deployment);
    table(&truth, deployment, history, aged);
    texts(&truth, &deployment.cloud, history);
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
    cloud: &Cloud,
    user: &str,
    cursor: &str,
    threads: &BTreeMap<String, Shown>,
) -> Option<String> {
    let end: u64 = cursor.split_once('.')?.1.parse().ok()?;
    let state = cloud.state();
    let pk = format!("U#{user}");
    let row = state.rows.of(&pk, "HEAD").map(|item| (number(item, "seq").unwrap_or(0), entries(item)));
    let pages = state.rows.keyed(&pk, "L#").map(|(sk, item)| (sk[2..].parse().unwrap_or(0), entries(item)));
    for (last, entries) in pages.chain(row) {
        let first = last + 1 - entries.len() as u64;
        for (seq, entry) in (first..).zip(entries) {
            let Some(logged) = entry.logged().filter(|_| seq <= end) else { continue };
            let (thread, tseq) = (logged.thread.to_string(), logged.tseq.0);
            let Some(entry) = state.rows.get(format!("T#{thread}"), format!("E#{tseq:020}")) else {
                continue;
            };
            let body = text(entry, "body")?;
            if let Some(shown) = threads.get(&thread)
                && body.contains("\"kind\":\"message\"")
                && !shown.messages.contains_key(&tseq)
                && !was_added_after(&state.rows, user, &thread, tseq)
            {
                return Some(format!("a list up to {cursor} does not show {tseq} of {thread}"));
            }
        }
    }
    None
}

/// Whether a user was added to a thread behind an entry. Who comes back may not read what they were told before, where the
/// group keeps that to itself.
fn was_added_after(rows: &Rows, user: &str, thread: &str, tseq: u64) -> bool {
    let pk = format!("T#{thread}");
    let is_joined =
        rows.of(&pk, "META").find_map(|row| text(row, "history")).is_some_and(|is| is == "joined");
    let later = rows.keyed(&pk, "E#").filter(|(_, item)| number(item, "tseq").is_some_and(|at| at > tseq));
    let bodies = later.filter_map(|(_, item)| serde_json::from_str(&text(item, "body")?).ok());
    let mut added = bodies.filter(|body: &Value| body["change"] == "added");
    is_joined && added.any(|body| is_about(&body, user))
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
    for (thread, log) in &truth.logs {
        let none = BTreeMap::new();
        let roles = truth.roles.get(thread).unwrap_or(&none);
        let roles = roles.iter().map(|(user, role)| (user.as_str(), name_of(*role))).collect();
        let rights = rights::read(log);
        if rights.roles != roles {
            history.wrong(format!("{thread} has {roles:?}, not {:?}", rights.roles));
        }
        for wrong in rights.wrong {
            history.wrong(format!("{thread}: {wrong}"));
        }
        consent(truth, history, thread, (&rights.returned, &rights.moved));
    }
    if !aged {
        inboxes(truth, history);
    }
    for ((user, thread), view) in &truth.views {
        let Some(log) = truth.logs.get(thread) else { continue };
        let (tail, tail_entry) = log.last_key_value().expect("a log has a first entry");
        let end = view.left_tseq.map_or(*tail, |left| left.0);
        let through = view.delivered_through.0;
        if through != end {
            history.wrong(format!("the view of {user} in {thread} is at {through}, not {end}"));
        }
        if view.left_tseq.is_none() {
            let (messages, seen) = (view.message_count.0, view.seen.0);
            if messages != tail_entry.number || seen > messages {
                history.wrong(format!("the view of {user} in {thread} counts {messages}, seen {seen}"));
            }
            let last = log.values().rev().find(|entry| entry.body["kind"] == "message");
            let preview = view.preview.map(|tseq| tseq.0);
            let told = told_of(user, log);
            let joined = view.joined_tseq.0;
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
        if living.contains(holder) {
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
            && view.left_tseq.is_none()
            && !rejoined(user, truth.logs.get(thread))
            && view.seen.0 < *number
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
    log.is_some_and(|log| log.values().any(|e| is_about(&e.body, user) && e.body["change"] == "added"))
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
        if event == "me" {
            if !known.accepting.contains(&(thread.to_owned(), user.clone())) {
                wrong.push(format!("{user} was shown at {id} to have accepted {thread}, and never did"));
            }
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

/// Each text that somebody was shown was in the log while they belonged to the thread: also of an older message, nobody
/// is told what it says since they left. Where a group keeps the time before a joining to itself, each was said after it.
fn texts(truth: &Truth, cloud: &Cloud, history: &History) {
    let state = cloud.state();
    let mut known = history.known();
    if known.restores > 0 {
        // A restore forgets what was said.
        return;
    }
    let mut wrong = Vec::new();
    for (user, thread, tseq, text) in &known.texts {
        let Some(log) = truth.logs.get(thread) else { continue };
        let memberships = memberships(user, log);
        let is_open = is_open(log);
        let might = |changed: u64| {
            memberships.iter().any(|member| changed <= *member.end() && (is_open || tseq >= member.start()))
        };
        let said = state.rows.texts.get(&(format!("T#{thread}"), format!("E#{tseq:020}")));
        if !said.is_some_and(|said| said.iter().any(|(changed, said)| said == text && might(*changed))) {
            wrong.push(format!(
                "{user} was shown `{text}` as {tseq} of {thread}: not while they belonged there"
            ));
        }
    }
    known.wrong.append(&mut wrong);
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
        && message.extras == extras(&entry.body)
        && message.reactions == reactions
}

/// A page shows every message that is its user's to see, and how far the members have read.
fn pages(truth: &Truth, device: &Device, history: &History) {
    let user = device.user.as_str();
    let page = device.page();
    for ((_, thread), view) in truth.views.iter().filter(|((owner, _), _)| owner == user) {
        let Some(log) = truth.logs.get(thread).filter(|_| view.left_tseq.is_none()) else { continue };
        let shown = page.threads.get(thread);
        let is_of_others = log.get(&view.joined_tseq.0).is_none_or(|entry| entry.by != user);
        let may_lack = truth.invitations_shown < limits::INVITATIONS_SHOWN && is_of_others;
        let is_partial = may_lack && shown.is_none_or(|shown| !shown.is_listed);
        if is_partial && shown.is_none() {
            // The page was loaded when the list lacked the thread, and there was no news in it since.
            continue;
        }
        let Some(shown) = shown else {
            history.wrong(format!("{} does not show {thread}", device.name));
            continue;
        };
        let joined = view.joined_tseq.0;
        // Of a thread that no list had, a page shows what has come since its first event.
        let first = if is_partial { shown.streamed.first().copied().unwrap_or(u64::MAX) } else { joined };
        let missing: Vec<u64> = log
            .iter()
            .filter(|(tseq, e)| e.body["kind"] == "message" && **tseq >= joined.max(first))
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
        if is_partial {
            continue;
        }
        for ((member, _), other) in
            truth.views.iter().filter(|((_, of), v)| of == thread && v.left_tseq.is_none())
        {
            // A page shows no message from before a hidden joining, so marks of seen below it do not show either.
            let hidden = if is_open(log) { 0 } else { log.get(&joined).map_or(0, |entry| entry.number) };
            let shows = shown.seen.get(member).copied().unwrap_or(0).max(hidden);
            let is = other.seen.0.max(hidden);
            let since = other.joined_tseq.0 <= joined;
            // How far two have read, who have blocked each other, is not told.
            if thread.starts_with("d_") && history.known().may_hide(&device.user, member) {
                continue;
            }
            if since && !rejoined(member, Some(log)) && is != shows {
                history.wrong(format!(
                    "{} shows that {member} has read {shows} of {thread}, not {is}",
                    device.name
                ));
            }
        }
    }
}
