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

use domain::limits;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    SHOWN_IN,
    cast::{Cast, DELETED, Thread, Truth},
    talk::Ack,
};

/// All screens, by the names of their streams: `USER/DEVICE`.
pub(crate) struct Screens {
    cast: Cast,
    of: Mutex<HashMap<String, Screen>>,
    // Everything that was reported, for whoever looks for the cause of a violation.
    record: Mutex<BufWriter<File>>,
    start: Instant,
}

/// What one stream's page knows.
#[derive(Debug, Default)]
struct Screen {
    user: String,
    cursor: String,
    threads: HashMap<String, Told>,
    hellos: usize,
    busy: usize,
    shown: BTreeMap<String, usize>,
    /// When it may be back, if it was told to stay away.
    back_at: Option<Instant>,
    wrong: Vec<String>,
}

/// What is not as it should be, and by when it has to be.
pub(crate) type Found = Vec<(String, Instant)>;

/// Of one thread, since the last list.
#[derive(Debug, Default)]
struct Told {
    /// The latest message when it was listed.
    listed: u64,
    /// The last event that was shown since.
    shown: Option<u64>,
    /// Whether the page's user is no member, or not yet.
    away: bool,
    /// The texts of that message, and of all since.
    texts: BTreeMap<u64, String>,
}

/// What all clients together went through.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) hellos: usize,
    pub(crate) busy: usize,
    /// How many events of each name.
    pub(crate) shown: BTreeMap<String, usize>,
}

impl Screens {
    /// None yet; reports are kept in a file.
    pub(crate) fn new(cast: &Cast, record: &Path) -> Self {
        let record = Mutex::new(BufWriter::new(File::create(record).unwrap()));
        Self { cast: cast.clone(), of: Mutex::default(), record, start: Instant::now() }
    }

    /// Takes a report.
    pub(crate) fn note(&self, report: &Value) {
        let at = self.start.elapsed().as_secs_f32();
        writeln!(self.record.lock().unwrap(), "{at:8.3} {report}").unwrap();
        let name = report["stream"].as_str().unwrap();
        let mut screens = self.of.lock().unwrap();
        let screen = screens.entry(name.to_owned()).or_insert_with(|| Screen::of(name, &self.cast));
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

    /// Which messages are not shown where they have to be, when nothing has broken since then.
    pub(crate) fn lack(&self, acks: &[Ack], since: Instant) -> Found {
        let mut lack = Vec::new();
        for (name, screen) in &*self.of.lock().unwrap() {
            let threads: HashMap<&str, &Thread> =
                self.cast.of(&screen.user).map(|thread| (thread.id.as_str(), thread)).collect();
            for ack in acks {
                let Some(thread) = threads.get(ack.thread.as_str()) else { continue };
                let told = screen.threads.get(&ack.thread);
                let text = told.and_then(|told| told.texts.get(&ack.tseq));
                let shown = text.is_some_and(|text| ack.is_shown_by(text));
                if told.is_none_or(|told| told.listed <= ack.tseq) && !shown {
                    lack.push((format!("{name} does not show {ack:?}"), screen.due(since, thread)));
                }
            }
        }
        lack
    }

    /// What is shown otherwise than it is in the end, when nothing was written since then.
    pub(crate) fn missing(&self, truth: &Truth, since: Instant) -> Found {
        let mut missing = Vec::new();
        for (name, screen) in &*self.of.lock().unwrap() {
            let cursor = &truth.cursors[&screen.user];
            if screen.cursor != *cursor {
                let is = format!("{name} is at {}, and its inbox at {cursor}", screen.cursor);
                let due = self.cast.in_the_end(&screen.user).map(|thread| screen.due(since, thread)).max();
                missing.push((is, due.unwrap_or(since + SHOWN_IN)));
            }
            for thread in self.cast.in_the_end(&screen.user) {
                let told = screen.threads.get(&thread.id);
                if !told.is_some_and(|told| told.is(&truth.texts[&thread.id])) {
                    let is = format!("{name} shows of {} {told:?}", thread.id);
                    missing.push((is, screen.due(since, thread)));
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
            for (event, count) in &screen.shown {
                *sums.shown.entry(event.clone()).or_default() += count;
            }
        }
        sums
    }
}

impl Told {
    /// Of a thread that the page's user is not in.
    fn away() -> Self {
        Self { away: true, ..Self::default() }
    }

    /// Whether this is not the next event. `mine`: whether the page's own user was added or removed
    /// by it.
    fn is_out(&self, tseq: u64, mine: Option<bool>) -> bool {
        let follows = self.shown.is_none_or(|shown| tseq == shown + 1);
        // Who is in can only be removed, and who is away only be added.
        !follows || if self.away { mine != Some(true) } else { self.shown.is_some() && mine == Some(true) }
    }

    fn take(&mut self, event: &str, tseq: u64, data: &Value) {
        let (at, text) = match event {
            // One that was deleted before it was shown has no text any more.
            "message" => (tseq, data["text"].as_str().unwrap_or(DELETED)),
            "edit" => (data["message"].as_u64().unwrap(), data["text"].as_str().unwrap()),
            "delete" => (data["message"].as_u64().unwrap(), DELETED),
            _ => return,
        };
        if at >= self.listed {
            self.texts.insert(at, text.to_owned());
        }
    }

    /// Whether it is what the log has, from the list on.
    fn is(&self, log: &BTreeMap<u64, String>) -> bool {
        log.range(self.listed..).eq(&self.texts)
    }
}

impl Screen {
    fn of(name: &str, cast: &Cast) -> Self {
        let user = name.split('/').next().unwrap();
        let visited = cast.visited_by(user).map(|thread| (thread.id.clone(), Told::away()));
        Self { user: user.to_owned(), threads: visited.collect(), ..Self::default() }
    }

    /// By when it shows what was acknowledged in a thread, when nothing has broken since then.
    fn due(&self, since: Instant, thread: &Thread) -> Instant {
        // A killed emulator forgets jobs, which nobody misses before the outbox's hold is over.
        let hold = if thread.is_large() { limits::OUTBOX_HOLD } else { Duration::ZERO };
        self.back_at.map_or(since, |back_at| since.max(back_at)) + SHOWN_IN + hold
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
            told.texts.insert(told.listed, last["text"].as_str().unwrap_or(DELETED).to_owned());
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
        *self.shown.entry(event.to_owned()).or_default() += 1;
        // Seen has no place in the thread, and the largest counts.
        let Some(tseq) = data["tseq"].as_u64() else { return };
        let thread = data["thread"].as_str().unwrap_or_else(|| data["thread"]["id"].as_str().unwrap());
        let told = self.threads.entry(thread.to_owned()).or_default();
        let mine = (event == "member" && data["user"] == self.user).then(|| data["change"] == "added");
        if told.is_out(tseq, mine) {
            self.wrong.push(format!("{event} {tseq} of {thread} behind {:?}: {data}", told.shown));
        }
        told.shown = (mine != Some(false)).then_some(tseq);
        told.away = mine == Some(false);
        if mine == Some(true) {
            // As if it listed now: who was away does not know what has changed meanwhile.
            told.listed = tseq;
            told.texts.clear();
        }
        told.take(event, tseq, data);
    }
}

/// The cursor one event further.
fn next(cursor: &str) -> Option<String> {
    let (generation, seq) = cursor.split_once('.')?;
    Some(format!("{generation}.{}", seq.parse::<u64>().ok()? + 1))
}
