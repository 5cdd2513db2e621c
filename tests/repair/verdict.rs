//! What must hold of a case.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, ensure};
use domain::{
    event::{Body, Change, Entry, Role},
    sequence::ThreadSeq,
};
use serde_json::{Value, json};
use server::clock::Clock;
use tests::world::World;

use super::{
    cast::{Act, Cast},
    cut,
    deeds::Deed,
};

/// Everybody who is in some case.
const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// One half of a deed.
#[derive(Debug)]
pub(crate) struct Case {
    deed: Deed,
    cut: u32,
    cast: Cast,
    /// Whether whoever did something lately does it again, with the same key.
    retried: bool,
    /// Where each stood before the restore.
    old: BTreeMap<&'static str, String>,
    /// What each has listed since.
    clients: BTreeMap<&'static str, Client>,
}

/// What a client has been shown.
#[derive(Debug, Default)]
struct Client {
    cursor: String,
    messages: BTreeMap<u64, Value>,
    told: Vec<Value>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:b}, retried {}, case {}", self.deed.name, self.cut, self.retried, self.cast.tag)
    }
}

impl Case {
    /// Takes note of where everybody stands.
    pub(crate) async fn new(world: &World, deed: Deed, cut: u32, cast: Cast, retried: bool) -> Self {
        let users = USERS.map(|who| cast.user(who));
        let images = world.table.images(&users, true).await.unwrap();
        let old = images.into_iter().map(|(user, image)| {
            let who = USERS.into_iter().find(|who| cast.user(who) == user).unwrap();
            (who, image.cursor.to_string())
        });
        let old = old.collect();
        Self { deed, cut, cast, retried, old, clients: BTreeMap::new() }
    }

    /// Those whose clients are looked at: two, and whoever comes or goes.
    fn clients_of(&self) -> impl Iterator<Item = &'static str> + use<> {
        let deed = self.deed;
        USERS.into_iter().filter(move |who| {
            let moved = |act: &Act| match act {
                Act::Add(moved) | Act::Remove(moved) => moved == who,
                Act::AddBoth(both) => both.contains(who),
                _ => false,
            };
            ["alice", "bob"].contains(who) || deed.left.iter().chain(deed.last).any(moved)
        })
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/threads/{}{rest}", self.cast.thread)
    }

    /// Every client is reset, and lists again.
    pub(crate) async fn list(&mut self, world: &World) -> anyhow::Result<()> {
        for (who, cursor) in
            self.old.iter().filter(|(who, _)| self.clients_of().any(|client| client == **who))
        {
            let poll = world.poll(0, &self.cast.name(who), Some(cursor), 0).await.body;
            ensure!(poll["reset"]["reason"] == "generation", "{who} at {cursor}: {poll}");
        }
        for who in self.clients_of() {
            let api = world.as_user(&self.cast.name(who));
            let list = api.get("/v1/threads").await.body;
            let cursor = list["cursor"].as_str().context("a cursor")?.to_owned();
            let messages = self.messages(world, who).await;
            self.clients.insert(who, Client { cursor, messages, told: Vec::new() });
        }
        // Of what the log says is deleted, nothing is there, before anybody does anything.
        for entry in self.log(world).await? {
            if let Body::Delete { message } = entry.body {
                let target = world.table.entry(&self.cast.thread, message).await?.context("the message")?;
                ensure!(target.message().is_none_or(|message| message.text.is_none()), "{target:?}");
            }
        }
        Ok(())
    }

    /// Whatever was done last is done again, and somebody says something.
    pub(crate) async fn go_on(&mut self, world: &World) -> anyhow::Result<()> {
        let fanout = world.fanout(Clock::system());
        let lately = self.deed.left.iter().chain(self.deed.last).zip(self.deed.history.len()..);
        for (act, key) in lately.filter(|_| self.retried) {
            self.cast.play(*act, &format!("key-{key}"), &world.table, Some(&fanout)).await?;
        }
        if !self.log(world).await?.is_empty() {
            self.cast.play(Act::Send("last"), "key-last", &world.table, Some(&fanout)).await?;
        }
        Ok(())
    }

    async fn log(&self, world: &World) -> anyhow::Result<Vec<Entry>> {
        let mut log = world.table.latest(&self.cast.thread, ThreadSeq::MAX, 100).await?;
        log.reverse();
        Ok(log)
    }

    /// What everybody has been shown, and what they would list.
    pub(crate) async fn judge(&mut self, world: &World) -> anyhow::Result<()> {
        let log = self.log(world).await?;
        let number = check(&log)?;
        let members = members(&log);
        if self.retried {
            self.has_happened(&log, &members)?;
        }
        let texts: Vec<_> = log.iter().filter_map(|entry| entry.message()?.text).collect();
        for text in ["said", "replied", "left", "last"] {
            let said = texts.iter().filter(|said| *said == text).count();
            ensure!(said <= 1, "`{text}` is said {said} times");
        }
        for who in self.clients_of() {
            self.read_on(world, who).await?;
            let me = self.cast.name(who);
            let api = world.as_user(&me);
            let list = api.get("/v1/threads").await.body;
            let items = list["items"].as_array().context("items")?;
            ensure!(items.len() == usize::from(members.contains_key(&me)), "{who} lists {list}");
            let [item] = items.as_slice() else { continue };
            ensure!(item["number"] == number && item["last"]["text"] == "last", "{who}: {item} of {number}");
            let unread = item["unread"].as_u64().context("unread")?;
            ensure!((unread == 0) == (who == "alice"), "{who} has not read what alice says: {item}");
            let thread = api.get(&self.path("")).await.body;
            ensure!(thread["title"] == item["title"], "{thread} {item}");
            let named = |of: &Value| -> BTreeMap<String, Value> {
                let members = of["members"].as_array().into_iter().flatten();
                members.map(|m| (m["user"].as_str().unwrap().to_owned(), m["role"].clone())).collect()
            };
            ensure!(named(&thread) == members && named(item) == members, "{thread} {item}, not {members:?}");
            let listed: Vec<_> = self.messages(world, who).await.values().map(shown).collect();
            let client = &self.clients[who];
            let known: Vec<_> = client.messages.values().map(shown).collect();
            ensure!(known == listed, "{who} shows {known:#?}\nand lists {listed:#?}\n{:?}", client.told);
        }
        Ok(())
    }

    /// What a user lists of the thread.
    async fn messages(&self, world: &World, who: &str) -> BTreeMap<u64, Value> {
        let api = world.as_user(&self.cast.name(who));
        let list = api.get(&self.path("/messages?limit=100")).await.body;
        let messages = list["items"].as_array().cloned().unwrap_or_default();
        messages.into_iter().map(|message| (message["tseq"].as_u64().unwrap(), message)).collect()
    }

    /// What was done last has been done once.
    fn has_happened(&self, log: &[Entry], members: &BTreeMap<String, Value>) -> anyhow::Result<()> {
        let message = |tseq| log.iter().find(|entry| entry.tseq == tseq).and_then(Entry::message);
        for act in self.deed.left.iter().chain(self.deed.last) {
            let happened = match act {
                Act::Send(text) | Act::BobSends(text) => {
                    let said =
                        |entry: &&Entry| entry.message().is_some_and(|m| m.text.as_deref() == Some(text));
                    log.iter().filter(said).count() == 1
                }
                Act::Edit(tseq, text) => message(*tseq).unwrap().text.as_deref() == Some(text),
                Act::Delete(tseq) => message(*tseq).unwrap().deleted,
                Act::React(tseq) => message(*tseq).unwrap().reactions.len() == 1,
                Act::Title(title) => {
                    log.iter().any(|entry| matches!(&entry.body, Body::Title { title: now } if now == title))
                }
                Act::Add(who) => members.contains_key(&self.cast.name(who)),
                Act::AddBoth(both) => both.iter().all(|who| members.contains_key(&self.cast.name(who))),
                Act::Remove(who) => !members.contains_key(&self.cast.name(who)),
                Act::Appoint(who, role) => {
                    let who = self.cast.user(who);
                    let is_it = |entry: &&Entry| match &entry.body {
                        Body::Member { owner: Some(heir), .. } if *role == Role::Owner => heir == &who,
                        Body::Member { user, role: Some(now), .. } => (user, now) == (&who, role),
                        _ => false,
                    };
                    log.iter().filter(is_it).count() == 1
                }
                Act::Create | Act::CreateDirect => !log.is_empty(),
                Act::Seen(_) | Act::Fan(_) | Act::FanSeen(_) => true,
            };
            ensure!(happened, "{act:?} has not happened: {log:#?}");
        }
        Ok(())
    }

    /// Reads the inbox from where the client listed, to its end.
    async fn read_on(&mut self, world: &World, who: &'static str) -> anyhow::Result<()> {
        let listed = self.messages(world, who).await;
        let client = self.clients.get_mut(who).unwrap();
        let mut tseq = None;
        loop {
            let poll = world.poll(0, &self.cast.name(who), Some(&client.cursor), 0).await.body;
            ensure!(poll["reset"].is_null() && poll["cursor"].is_string(), "{who}: {poll}");
            let events = poll["events"].as_array().unwrap();
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                let seq = |id: &str| id.split_once('.').unwrap().1.parse::<u64>().unwrap();
                let id = event["id"].as_str().unwrap();
                ensure!(seq(id) == seq(&client.cursor) + 1, "{who}: {poll} after {}", client.cursor);
                id.clone_into(&mut client.cursor);
                client.told.push(event.clone());
                if let Some(next) = event["data"]["tseq"].as_u64() {
                    let added = event["event"] == "member" && event["data"]["change"] == "added";
                    if added && event["data"]["user"] == self.cast.name(who) {
                        // Whoever joins may read all, and lists it.
                        client.messages = listed.range(..next).map(|(at, m)| (*at, m.clone())).collect();
                    }
                    ensure!(added || tseq.is_none_or(|tseq| tseq + 1 == next), "{who}: {:?}", client.told);
                    tseq = Some(next);
                }
                client.show(event);
            }
        }
    }
}

impl Client {
    /// As docs/WIRE.md says that a client does.
    fn show(&mut self, event: &Value) {
        let data = &event["data"];
        if event["event"] == "message" {
            self.messages.insert(data["tseq"].as_u64().unwrap(), data.clone());
            return;
        }
        let target = data["message"].as_u64().and_then(|tseq| self.messages.get_mut(&tseq));
        let Some(message) = target else { return };
        if message["changed"].as_u64() >= data["tseq"].as_u64() {
            return;
        }
        message["changed"] = data["tseq"].clone();
        match event["event"].as_str().unwrap() {
            "edit" if data["deleted"] == true => *message = deleted(message),
            "edit" => message["text"] = data["text"].clone(),
            "delete" => *message = deleted(message),
            "reaction" => {
                let users = &mut message["reactions"][data["emoji"].as_str().unwrap()];
                match users.as_array_mut() {
                    Some(users) => users.push(data["from"].clone()),
                    None => *users = json!([data["from"]]),
                }
            }
            other => panic!("no event `{other}` is about a message"),
        }
    }
}

fn deleted(message: &Value) -> Value {
    json!({"tseq": message["tseq"], "deleted": true, "changed": message["changed"]})
}

/// What a person sees of a message.
fn shown(message: &Value) -> Value {
    json!([message["tseq"], message["text"], message["deleted"], message["reactions"]])
}

/// The log is without a hole; answers with how many messages it has.
fn check(log: &[Entry]) -> anyhow::Result<u64> {
    let mut number = 0;
    for (entry, tseq) in log.iter().zip(1..) {
        number += u64::from(entry.is_message());
        ensure!((entry.tseq.0, entry.number.0) == (tseq, number), "{log:#?}");
    }
    Ok(number)
}

/// The members that a log knows, with their roles.
fn members(log: &[Entry]) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for entry in log {
        match &entry.body {
            Body::Thread { members, .. } => {
                all.extend(members.iter().map(|member| (member.user.to_string(), json!(member.role))));
            }
            Body::Member { user, others, change, role, owner, .. } => {
                match change {
                    Change::Added => {
                        let role = json!(role.unwrap_or(Role::Member));
                        all.extend(others.iter().map(|other| (other.to_string(), role.clone())));
                        all.insert(user.to_string(), role)
                    }
                    Change::Role => all.insert(user.to_string(), json!(role)),
                    Change::Removed | Change::Left => all.remove(user.as_str()),
                };
                all.extend(owner.iter().map(|heir| (heir.to_string(), json!(Role::Owner))));
            }
            _ => {}
        }
    }
    all
}

/// No fan-out is left to do.
pub(crate) async fn nothing_is_owed(world: &World) {
    for shard in 0..store::table::keys::SHARDS {
        let due = world.table.outbox(shard).await.unwrap();
        assert!(due.is_empty(), "{due:?}");
    }
}

/// No row holds the text that was deleted before the restore. (The other one was deleted last, so
/// that some restores know nothing of it.)
pub(crate) async fn no_secret_is_left(world: &World) {
    for row in cut::all(world).await.values() {
        assert!(!format!("{row:?}").contains("old secret"), "{row:?}");
    }
}
