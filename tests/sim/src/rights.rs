//! Who may do what in a group, by its log: who has which role, and whether each change was its author's to make.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::truth::{Entry, Log};

/// A group, as far as its log has been read.
#[derive(Default)]
struct Group<'a> {
    /// The members with their roles: who came first is first.
    members: Vec<(&'a str, &'a str)>,
    /// The least role whose holders add members.
    adds: &'a str,
    wrong: Vec<String>,
    /// Those who have left by themselves.
    gone: BTreeSet<&'a str>,
    /// Those who have come back after that.
    returned: BTreeSet<&'a str>,
    /// Those whose membership has changed since the beginning.
    moved: BTreeSet<&'a str>,
}

/// A greater role may do all that a lesser one may.
fn rank(role: &str) -> Option<usize> {
    ["member", "moderator", "owner"].iter().position(|known| *known == role)
}

/// What a log says of rights.
pub(crate) struct Rights<'a> {
    /// The roles at its end.
    pub(crate) roles: BTreeMap<&'a str, &'a str>,
    /// The changes that were not their author's to make.
    pub(crate) wrong: Vec<String>,
    /// Those who were added again after they had left by themselves.
    pub(crate) returned: BTreeSet<&'a str>,
    /// Those whose membership has ended or begun more than once.
    pub(crate) moved: BTreeSet<&'a str>,
}

/// Reads a log.
pub(crate) fn read(log: &Log) -> Rights<'_> {
    let mut group = Group::default();
    for (tseq, entry) in log {
        let may = match entry.body["kind"].as_str() {
            Some("thread") => group.begin(entry),
            Some("member") => group.change(entry),
            Some("edit" | "delete") => group.touch(log, entry),
            _ => true,
        };
        if !may {
            group.wrong.push(format!("{} had no right to do {tseq}: {}", entry.by, entry.body));
        }
    }
    let owners = group.members.iter().filter(|(_, role)| *role == "owner").count();
    let is_group = log.values().next().is_some_and(|first| first.body["of"] == "group");
    if is_group && !group.members.is_empty() && owners != 1 {
        group.wrong.push(format!("{owners} members own it"));
    }
    let Group { members, wrong, returned, moved, .. } = group;
    Rights { roles: members.into_iter().collect(), wrong, returned, moved }
}

impl<'a> Group<'a> {
    fn begin(&mut self, entry: &'a Entry) -> bool {
        let members = entry.body["members"].as_array().into_iter().flatten();
        let mut members: Vec<_> =
            members.filter_map(|m| Some((m["user"].as_str()?, m["role"].as_str()?))).collect();
        members.sort_unstable();
        self.members = members;
        self.adds = entry.body["adds"].as_str().unwrap_or("member");
        true
    }

    fn role(&self, user: &str) -> Option<&'a str> {
        self.members.iter().find(|(member, _)| *member == user).map(|(_, role)| *role)
    }

    fn set(&mut self, user: &str, role: &'a str) {
        if let Some(member) = self.members.iter_mut().find(|(member, _)| *member == user) {
            member.1 = role;
        }
    }

    fn change(&mut self, entry: &'a Entry) -> bool {
        let by = self.role(&entry.by);
        let (Some(user), role) = (entry.body["user"].as_str(), entry.body["role"].as_str()) else {
            return false;
        };
        match entry.body["change"].as_str() {
            Some("added") => {
                let others = entry.body["others"].as_array().into_iter().flatten();
                for user in [user].into_iter().chain(others.filter_map(Value::as_str)) {
                    self.moved.insert(user);
                    if self.gone.remove(user) {
                        self.returned.insert(user);
                    }
                    self.members.push((user, role.unwrap_or("member")));
                }
                by.is_some_and(|by| rank(by) >= rank(self.adds)) && (role.is_none() || by == Some("owner"))
            }
            Some("role") => {
                self.set(user, role.unwrap_or_default());
                if let Some(heir) = entry.body["owner"].as_str() {
                    self.set(heir, "owner");
                }
                // A moderator steps down.
                let steps_down = entry.by == user && role == Some("member");
                let hands_over = entry.body["owner"].is_null() || entry.by == user;
                (by == Some("owner") || steps_down) && hands_over
            }
            Some("removed") => {
                self.moved.insert(user);
                let was = self.leave(entry, user);
                by == Some("owner") || (by == Some("moderator") && was == Some("member"))
            }
            _ => {
                self.moved.insert(user);
                self.gone.insert(user);
                self.leave(entry, user);
                entry.by == user
            }
        }
    }

    /// Takes a member out, and hands an owner's group on. Answers with the role that ends.
    fn leave(&mut self, entry: &Entry, user: &str) -> Option<&'a str> {
        let was = self.role(user);
        self.members.retain(|(member, _)| *member != user);
        let moderator = self.members.iter().find(|(_, role)| *role == "moderator");
        let heir = moderator.or(self.members.first()).filter(|_| was == Some("owner")).map(|(heir, _)| *heir);
        if entry.body["owner"].as_str() != heir {
            self.wrong.push(format!("{} hands the group to {}, not {heir:?}", entry.by, entry.body["owner"]));
        }
        if let Some(heir) = heir {
            self.set(heir, "owner");
        }
        was
    }

    fn touch(&self, log: &Log, entry: &Entry) -> bool {
        let message = entry.body["message"].as_u64().and_then(|tseq| log.get(&tseq));
        let is_own = message.is_some_and(|message| message.by == entry.by);
        let moderates = matches!(self.role(&entry.by), Some("owner" | "moderator"));
        is_own || (moderates && entry.body["kind"] == "delete")
    }
}
