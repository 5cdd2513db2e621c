//! What a page holds and shows, as any client would: upserts by thread and tseq.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tokio::time::Instant;

/// What a page holds.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Of the last frame, or of the list.
    pub(crate) cursor: Option<String>,
    /// The cursor is of another table.
    pub(crate) foreign: bool,
    /// How often the table had been restored when the cursor was given.
    pub(crate) restores: u64,
    /// Since when the stream that is open, if one is, has said hello.
    pub(crate) greeted: Option<Instant>,
    /// No list is due.
    pub(crate) listed: bool,
    /// What is shown of each thread.
    pub(crate) threads: BTreeMap<String, Shown>,
}

/// A message as a page has it: `changed` is the tseq of the latest event in it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Who said it.
    pub(crate) from: String,
    /// What it says; nothing, if it is deleted.
    pub(crate) text: Option<String>,
    /// What else it has, as the API names it.
    pub(crate) extras: Map<String, Value>,
    /// Who has reacted, and how.
    pub(crate) reactions: BTreeSet<(String, String)>,
    pub(crate) changed: u64,
}

/// What a page shows of a thread.
#[derive(Debug, Default, Clone)]
pub(crate) struct Shown {
    /// Whether a list had the thread.
    pub(crate) is_listed: bool,
    /// Messages by tseq.
    pub(crate) messages: BTreeMap<u64, Message>,
    /// How far each member has read.
    pub(crate) seen: BTreeMap<String, u64>,
    /// The tseq up to which the stream has told since the list.
    pub(crate) told: Option<u64>,
    /// What the stream has shown since the list.
    pub(crate) streamed: BTreeSet<u64>,
}

impl Page {
    /// As if the table had been another one when the cursor was given.
    pub(crate) fn come_from_elsewhere(&mut self) {
        if let Some((generation, seq)) = self.cursor.as_deref().and_then(|cursor| cursor.split_once('.')) {
            // The last character stands for four bits only.
            let (bytes, last) = generation.split_at(generation.len() - 1);
            let other = bytes.chars().rev().chain(last.chars()).collect::<String>();
            self.foreign |= other != generation;
            self.cursor = Some(format!("{other}.{seq}"));
        }
    }
}

impl Shown {
    /// Shows a message, which its author has read.
    pub(crate) fn say(&mut self, tseq: u64, message: &Value) {
        let (from, number) =
            (message["from"].as_str().unwrap_or_default(), message["number"].as_u64().unwrap_or(0));
        let seen = self.seen.entry(from.to_owned()).or_default();
        *seen = number.max(*seen);
        let new = Message::read(message);
        let shown = self.messages.entry(tseq).or_default();
        if shown.from.is_empty() || new.changed > shown.changed {
            *shown = new;
        }
    }

    /// Applies an event to the message that it is about, unless the message has it already.
    pub(crate) fn change(&mut self, event: &str, tseq: u64, data: &Value) {
        let Some(message) = self.messages.get_mut(&data["message"].as_u64().unwrap_or(0)) else { return };
        if message.changed >= tseq {
            return;
        }
        message.changed = tseq;
        let reaction = || (text(&data["emoji"]), text(&data["from"]));
        match (event, data["state"].as_str()) {
            ("edit", _) if data["deleted"] == true => message.erase(),
            // The reader may not have the text.
            ("edit", _) if data["text"].is_null() => {}
            ("edit", _) => {
                message.text = data["text"].as_str().map(str::to_owned);
                for name in ["attachments", "data"] {
                    message.extras.remove(name);
                    message.extras.extend(data.get(name).map(|new| (name.to_owned(), new.clone())));
                }
            }
            ("reaction", Some("added")) => drop(message.reactions.insert(reaction())),
            ("reaction", _) => drop(message.reactions.remove(&reaction())),
            _ => message.erase(),
        }
    }
}

impl Message {
    fn erase(&mut self) {
        *self = Self { from: std::mem::take(&mut self.from), changed: self.changed, ..Self::default() };
    }

    /// A message as the API and frames have it.
    pub(crate) fn read(data: &Value) -> Self {
        let reactions = data["reactions"].as_object().into_iter().flatten();
        let reactions = reactions.flat_map(|(emoji, users)| {
            users.as_array().into_iter().flatten().map(move |user| (emoji.clone(), text(user)))
        });
        Self {
            from: text(&data["from"]),
            text: data["text"].as_str().map(str::to_owned),
            extras: extras(data),
            reactions: reactions.collect(),
            changed: data["changed"].as_u64().unwrap_or(0),
        }
    }
}

/// What a message has besides its text and reactions: the names are the same in the API and in the log.
pub(crate) fn extras(message: &Value) -> Map<String, Value> {
    let of = |name: &str| Some((name.to_owned(), message.get(name)?.clone()));
    ["attachments", "data", "mentions", "reply"].into_iter().filter_map(of).collect()
}

/// A text, or none.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
