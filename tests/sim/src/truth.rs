//! What the table holds at the end of a run.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    event::Role,
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    view::{Facts, View},
};
use serde_json::Value;
use store::table::rows::{MemberRow, ThreadRow};

use crate::{
    cloud::{
        request::Item,
        row::{entries, number, read},
        rows::Rows,
    },
    deployment::Deployment,
};

/// A thread log, by tseq.
pub(crate) type Log = BTreeMap<u64, Entry>;

/// An entry of it.
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) by: String,
    pub(crate) body: Value,
}

/// What the table holds.
#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) logs: BTreeMap<String, Log>,
    /// The roles of the members of each thread, by the list of members.
    pub(crate) roles: BTreeMap<String, BTreeMap<String, Role>>,
    /// (user, thread) → the view, with the entries of the user row folded in.
    pub(crate) views: BTreeMap<(String, String), View>,
    /// (user, thread) of views that lie on the shelf.
    shelved: BTreeSet<(String, String)>,
    /// Invitations that a list shows at most.
    pub(crate) invitations_shown: usize,
    pub(crate) heads: BTreeMap<String, u64>,
    /// What is in each inbox, by seq: the thread, and the tseq of a logged event.
    pub(crate) inboxes: BTreeMap<String, BTreeMap<u64, (String, Option<u64>)>>,
    /// The entries of each user row.
    pub(crate) rows: BTreeMap<String, Vec<InboxEntry>>,
    /// (user, queue, edge).
    pub(crate) leases: Vec<(String, String, String)>,
    pub(crate) owed: Vec<String>,
}

pub(crate) fn text(item: &Item, name: &str) -> Option<String> {
    Some(item.get(name)?.text()?.to_owned())
}

impl Truth {
    pub(crate) fn read(deployment: &Deployment) -> Self {
        let mut truth = Self { invitations_shown: deployment.fleet.invitations_shown, ..Self::default() };
        let state = deployment.cloud.state();
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
                ("T#", "M#") => {
                    let member: MemberRow = read(item).expect("a member of this version");
                    if member.left_tseq.is_none() {
                        truth.roles.entry(owner).or_default().insert(member.user.to_string(), member.role);
                    }
                }
                ("U#", "M#") => {
                    let view = read(item).expect("a view of this version");
                    truth.views.insert((owner, sk[2..].to_owned()), view);
                }
                // A view in its place overrides the shelf.
                ("U#", "S#") => {
                    let view = read(item).expect("a view of this version");
                    let place = (owner, sk[2..].to_owned());
                    if !truth.views.contains_key(&place) {
                        truth.shelved.insert(place.clone());
                        truth.views.insert(place, view);
                    }
                }
                ("U#", "HE") => {
                    truth.heads.insert(owner.clone(), number(item, "seq").unwrap_or(0));
                    let folded = number(item, "folded").unwrap_or(0);
                    truth.place(&owner, folded + 1, entries(item));
                    truth.rows.insert(owner.clone(), entries(item));
                    for (name, holder) in item {
                        if let (Some(queue), Some(holder)) = (name.strip_prefix("q#"), holder.text()) {
                            truth.leases.push((owner.clone(), queue.to_owned(), holder.to_owned()));
                        }
                    }
                }
                ("U#", "L#") => {
                    let (last, entries) = (sk[2..].parse::<u64>().expect("a seq"), entries(item));
                    truth.place(&owner, last + 1 - entries.len() as u64, entries);
                }
                ("O#", _) => truth.owed.push(sk.clone()),
                _ => {}
            }
        }
        truth.fold(&state.rows);
        truth
    }

    /// Whether a list may lack a thread: an invitation, since which there have been as many as a list shows.
    pub(crate) fn is_past_list(&self, user: &str, view: &View) -> bool {
        let is_shelved = self.shelved.contains(&(user.to_owned(), view.thread.to_string()));
        let of_user = self.views.iter().filter(|((owner, _), _)| owner == user);
        let later = of_user.filter(|(_, other)| {
            other.left_tseq.is_none() && other.is_invited() && other.activity >= view.activity
        });
        view.is_invited() && (is_shelved || later.count() > self.invitations_shown)
    }

    /// Notes entries that stand in an inbox from `first` on.
    fn place(&mut self, user: &str, first: u64, entries: Vec<InboxEntry>) {
        let inbox = self.inboxes.entry(user.to_owned()).or_default();
        for (seq, entry) in (first..).zip(entries) {
            let tseq = entry.logged().map(|logged| logged.tseq.0);
            inbox.insert(seq, (entry.thread().to_string(), tseq));
        }
    }

    /// Folds the entries of the user rows into the views, as a list does.
    fn fold(&mut self, rows: &Rows) {
        for (user, entries) in std::mem::take(&mut self.rows) {
            let owner = UserId::parse(&user).expect("a user");
            let threads: BTreeSet<ThreadId> = entries.iter().map(|entry| entry.thread().clone()).collect();
            for thread in threads {
                let key = (user.clone(), thread.to_string());
                let of_thread = entries.iter().filter(|entry| entry.thread() == &thread);
                let row: Option<ThreadRow> = rows.get(format!("T#{thread}"), "META".into()).and_then(read);
                let facts = row.map(|row| Facts {
                    kind: row.kind,
                    title: row.title,
                    created: row.created,
                    members: Vec::new(),
                    settings: row.settings,
                });
                let folded = View::fold(self.views.remove(&key), &owner, of_thread, facts.as_ref());
                self.views.extend(folded.map(|view| (key, view)));
            }
        }
    }
}
