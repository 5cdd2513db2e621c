//! What one client has been shown, held against the rules as it comes.
//!
//! Every client reports the same: `{"stream", "event", "id", "data"}` for each frame, and
//! `{"stream", "cursor", "listed"}` for each list of threads, as `GET /v1/threads` has them; without
//! the cursor where a reset has told it already, which none should.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    SHOWN_IN,
    cast::{Cast, Truth},
    talk::Ack,
};

/// All screens, by the names of their streams: `USER/DEVICE`.
pub(crate) struct Screens {
    of: Mutex<HashMap<String, Screen>>,
    // Everything that was reported, for whoever looks for the cause of a violation.
    record: Mutex<BufWriter<File>>,
    start: Instant,
}

/// What one stream's page knows.
#[derive(Debug, Default)]
struct Screen {
    cursor: String,
    threads: HashMap<String, Told>,
    hellos: usize,
    busy: usize,
    /// When it may be back, if it was told to stay away.
    back_at: Option<Instant>,
    wrong: Vec<String>,
}

/// What is not as it should be, and whether it may still become so, its client having been told to
/// stay away.
pub(crate) type Found = Vec<(String, bool)>;

/// Of one thread, since the last list.
#[derive(Debug, Default)]
struct Told {
    /// The latest message when it was listed.
    listed: u64,
    /// The last event that was shown since.
    shown: Option<u64>,
    /// The texts of that message, and of all since.
    texts: BTreeMap<u64, String>,
}

/// What all clients together went through.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) hellos: usize,
    pub(crate) busy: usize,
    pub(crate) shown: usize,
}

impl Screens {
    /// None yet; reports are kept in a file.
    pub(crate) fn new(record: &Path) -> Self {
        let record = File::create(record).unwrap();
        Self { of: Mutex::default(), record: Mutex::new(BufWriter::new(record)), start: Instant::now() }
    }

    /// Takes a report.
    pub(crate) fn note(&self, report: &Value) {
        let at = self.start.elapsed().as_secs_f32();
        writeln!(self.record.lock().unwrap(), "{at:8.3} {report}").unwrap();
        let name = report["stream"].as_str().unwrap();
        let mut screens = self.of.lock().unwrap();
        let screen = screens.entry(name.to_owned()).or_default();
        if let Some(listed) = report["listed"].as_array() {
            screen.list(report["cursor"].as_str(), listed);
        } else {
            screen.frame(report["event"].as_str().unwrap(), report["id"].as_str().unwrap(), &report["data"]);
        }
    }

    /// How many streams have said hello.
    pub(crate) fn open(&self) -> usize {
        self.of.lock().unwrap().values().filter(|screen| screen.hellos > 0).count()
    }

    /// Every violation so far.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.record.lock().unwrap().flush().unwrap();
        let screens = self.of.lock().unwrap();
        let all = screens.iter();
        all.flat_map(|(name, screen)| screen.wrong.iter().map(move |wrong| format!("{name}: {wrong}")))
            .collect()
    }

    /// Which messages are not shown where they have to be.
    pub(crate) fn lack(&self, cast: &Cast, acks: &[Ack]) -> Found {
        let mut lack = Vec::new();
        for (name, screen) in &*self.of.lock().unwrap() {
            let user = name.split('/').next().unwrap();
            let threads: Vec<&str> = cast.of(user).map(|thread| thread.id.as_str()).collect();
            for ack in acks.iter().filter(|ack| threads.contains(&ack.thread.as_str())) {
                let told = screen.threads.get(&ack.thread);
                let text = told.and_then(|told| told.texts.get(&ack.tseq));
                if told.is_none_or(|told| told.listed <= ack.tseq) && text != Some(&ack.text) {
                    lack.push((format!("{name} does not show {ack:?}"), screen.may_be_late()));
                }
            }
        }
        lack
    }

    /// What is shown otherwise than it is in the end.
    pub(crate) fn missing(&self, cast: &Cast, truth: &Truth) -> Found {
        let mut missing = Vec::new();
        for (name, screen) in &*self.of.lock().unwrap() {
            let user = name.split('/').next().unwrap();
            let cursor = &truth.cursors[user];
            if screen.cursor != *cursor {
                let is = format!("{name} is at {}, and its inbox at {cursor}", screen.cursor);
                missing.push((is, screen.may_be_late()));
            }
            for thread in cast.of(user) {
                let told = screen.threads.get(&thread.id);
                if !told.is_some_and(|told| told.is(&truth.texts[&thread.id])) {
                    let is = format!("{name} shows of {} {told:?}", thread.id);
                    missing.push((is, screen.may_be_late()));
                }
            }
        }
        missing
    }

    /// What they went through.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for screen in self.of.lock().unwrap().values() {
            sums.hellos += screen.hellos;
            sums.busy += screen.busy;
            sums.shown += screen.threads.values().map(|told| told.texts.len()).sum::<usize>();
        }
        sums
    }
}

impl Told {
    /// Whether it is what the log has, from the list on.
    fn is(&self, log: &BTreeMap<u64, String>) -> bool {
        log.range(self.listed..).eq(&self.texts)
    }
}

impl Screen {
    fn may_be_late(&self) -> bool {
        self.back_at.is_some_and(|back_at| back_at + SHOWN_IN > Instant::now())
    }

    fn list(&mut self, cursor: Option<&str>, threads: &[Value]) {
        if let Some(cursor) = cursor {
            cursor.clone_into(&mut self.cursor);
        }
        for thread in threads {
            let told = self.threads.entry(thread["id"].as_str().unwrap().to_owned()).or_default();
            let last = &thread["last"];
            // None is there as long as the first one is on its way.
            let Some(tseq) = last["tseq"].as_u64() else { continue };
            told.listed = tseq;
            told.texts.insert(told.listed, last["text"].as_str().unwrap().to_owned());
            // Messages that came meanwhile may be older than the list.
            told.texts = told.texts.split_off(&told.listed);
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
                if data["reason"] == "busy" {
                    self.busy += 1;
                    let retry = Duration::from_millis(data["retry_ms"].as_u64().unwrap());
                    self.back_at = Some(Instant::now() + retry);
                }
                if id != self.cursor {
                    self.wrong.push(format!("{event} has the id {id}, and the cursor is {}", self.cursor));
                }
            }
            "reset" => {
                // Nothing in a storm asks for one: DynamoDB forgets nothing that it has acknowledged,
                // and nobody is away for a thousand events.
                self.wrong.push(format!("reset to {id} behind the cursor {}: {data}", self.cursor));
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
        if told.shown.is_some_and(|shown| tseq != shown + 1) {
            self.wrong.push(format!("{event} {tseq} of {thread} behind {:?}: {data}", told.shown));
        }
        told.shown = Some(tseq);
        if event == "message" && tseq >= told.listed {
            told.texts.insert(tseq, data["text"].as_str().unwrap().to_owned());
        }
    }
}

/// The cursor one event further.
fn next(cursor: &str) -> Option<String> {
    let (generation, seq) = cursor.split_once('.')?;
    Some(format!("{generation}.{}", seq.parse::<u64>().ok()? + 1))
}
