//! What one client has been shown, held against the rules as it comes.
//!
//! Every client reports the same: `{"stream", "event", "id", "data"}` for each frame, and
//! `{"stream", "cursor", "listed": {thread: [[tseq, text, changed], …]}}` for each list.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write as _,
    path::Path,
    sync::Mutex,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::cast::{Cast, Log};

/// All screens, by the names of their streams: `USER/DEVICE`.
pub(crate) struct Screens {
    screens: Mutex<HashMap<String, Screen>>,
    // Everything that was reported, for whoever looks for the cause of a violation.
    record: Mutex<std::io::BufWriter<std::fs::File>>,
    start: Instant,
}

/// What one stream's page knows.
#[derive(Debug, Default)]
struct Screen {
    cursor: String,
    threads: HashMap<String, Told>,
    hellos: usize,
    resets: usize,
    busy: usize,
    wrong: Vec<String>,
}

/// Of one thread, since the last list.
#[derive(Debug, Default)]
struct Told {
    /// Up to here the list knew.
    listed: u64,
    /// The first and the last that were shown since.
    shown: Option<(u64, u64)>,
    texts: BTreeMap<u64, String>,
}

impl Told {
    /// How far it knows the thread without a gap.
    fn reach(&self) -> u64 {
        match self.shown {
            Some((first, last)) if first <= self.listed + 1 => self.listed.max(last),
            _ => self.listed,
        }
    }

    /// Whether an event is the next one. Which is the first, the list may tell later.
    fn event(&mut self, tseq: u64) -> bool {
        let is_next = self.shown.is_none_or(|(_, last)| tseq == last + 1);
        self.shown = Some((self.shown.map_or(tseq, |(first, _)| first), tseq));
        is_next
    }
}

/// What all clients together went through.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) hellos: usize,
    pub(crate) resets: usize,
    pub(crate) busy: usize,
    pub(crate) shown: usize,
}

impl Screens {
    /// None yet; reports are kept in a file.
    pub(crate) fn new(record: &Path) -> Self {
        let record = std::fs::File::create(record).unwrap();
        Self {
            screens: Mutex::default(),
            record: Mutex::new(std::io::BufWriter::new(record)),
            start: Instant::now(),
        }
    }

    /// Takes a report.
    pub(crate) fn note(&self, report: &Value) {
        let at = self.start.elapsed().as_secs_f32();
        writeln!(self.record.lock().unwrap(), "{at:8.3} {report}").unwrap();
        let name = report["stream"].as_str().unwrap();
        let mut screens = self.screens.lock().unwrap();
        let screen = screens.entry(name.to_owned()).or_default();
        if let Some(listed) = report["listed"].as_object() {
            screen.list(report["cursor"].as_str(), listed);
        } else {
            screen.frame(report["event"].as_str().unwrap(), report["id"].as_str().unwrap(), &report["data"]);
        }
    }

    /// How many streams have said hello.
    pub(crate) fn open(&self) -> usize {
        self.screens.lock().unwrap().values().filter(|screen| screen.hellos > 0).count()
    }

    /// Every violation so far.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.record.lock().unwrap().flush().unwrap();
        let screens = self.screens.lock().unwrap();
        let all = screens.iter();
        all.flat_map(|(name, screen)| screen.wrong.iter().map(move |wrong| format!("{name}: {wrong}")))
            .collect()
    }

    /// What has not been shown of the logs, and what was shown otherwise.
    pub(crate) fn missing(&self, cast: &Cast, logs: &HashMap<String, Log>) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, screen) in &*self.screens.lock().unwrap() {
            let user = name.split('/').next().unwrap();
            for thread in cast.of(user) {
                let log = &logs[&thread.id];
                let Some(told) = screen.threads.get(&thread.id) else {
                    missing.push(format!("{name} knows nothing of {}", thread.id));
                    continue;
                };
                if told.reach() < log.tail {
                    missing.push(format!(
                        "{name} knows {} up to {} of {}",
                        thread.id,
                        told.reach(),
                        log.tail
                    ));
                } else if told.texts != log.texts {
                    missing.push(format!("{name} shows {} otherwise than its log has it", thread.id));
                }
            }
        }
        missing
    }

    /// What they went through.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for screen in self.screens.lock().unwrap().values() {
            sums.hellos += screen.hellos;
            sums.resets += screen.resets;
            sums.busy += screen.busy;
            sums.shown += screen.threads.values().map(|told| told.texts.len()).sum::<usize>();
        }
        sums
    }
}

impl Screen {
    fn list(&mut self, cursor: Option<&str>, listed: &serde_json::Map<String, Value>) {
        // With a reset the cursor came before the list.
        if let Some(cursor) = cursor {
            cursor.clone_into(&mut self.cursor);
        }
        for (thread, messages) in listed {
            let told = self.threads.entry(thread.clone()).or_default();
            for message in messages.as_array().unwrap() {
                let tseq = message[0].as_u64().unwrap();
                told.listed = told.listed.max(tseq).max(message[2].as_u64().unwrap_or(0));
                told.texts.insert(tseq, message[1].as_str().unwrap().to_owned());
            }
        }
    }

    fn frame(&mut self, event: &str, id: &str, data: &Value) {
        match event {
            "hello" | "ping" | "typing" | "presence" | "bye" => {
                self.hellos += usize::from(event == "hello");
                // A client that keeps its list's cursor to itself shows it now.
                if self.cursor.is_empty() {
                    id.clone_into(&mut self.cursor);
                }
                self.busy += usize::from(data["reason"] == "busy");
                if id != self.cursor {
                    self.wrong.push(format!("{event} has the id {id}, and the cursor is {}", self.cursor));
                }
            }
            "reset" => {
                self.resets += 1;
                self.threads.clear();
                id.clone_into(&mut self.cursor);
            }
            _ => self.inbox(event, id, data),
        }
    }

    fn inbox(&mut self, event: &str, id: &str, data: &Value) {
        if next(&self.cursor).as_deref() != Some(id) {
            self.wrong.push(format!("{event} with the id {id} behind the cursor {}: {data}", self.cursor));
        }
        id.clone_into(&mut self.cursor);
        // Seen has no place in the thread, and the largest counts.
        let Some(tseq) = data["tseq"].as_u64() else { return };
        let thread = data["thread"].as_str().unwrap_or_else(|| data["thread"]["id"].as_str().unwrap());
        let told = self.threads.entry(thread.to_owned()).or_default();
        let before = told.reach();
        if !told.event(tseq) {
            self.wrong.push(format!("{event} {tseq} of {thread} behind {before}: {data}"));
        }
        if event == "message" {
            told.texts.insert(tseq, data["text"].as_str().unwrap().to_owned());
        }
    }
}

/// The cursor one event further.
fn next(cursor: &str) -> Option<String> {
    let (generation, seq) = cursor.split_once('.')?;
    Some(format!("{generation}.{}", seq.parse::<u64>().ok()? + 1))
}
