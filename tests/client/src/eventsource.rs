//! How clients read a stream's bytes, cut anywhere.

/// An EventSource as the HTML standard has it (section 9.2.6), and two that differ from it.
#[derive(Debug, Clone)]
pub struct EventSource {
    kind: Kind,
    buffer: String,
    event: String,
    data: Option<String>,
    id: String,
    /// What it has shown: event and data.
    pub shown: Vec<(String, String)>,
    /// What it reconnects with.
    pub last_event_id: String,
    /// How long it waits before that, in milliseconds, once it has been told.
    pub retry_ms: Option<u64>,
}

/// Whose reading of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What a cut leaves half read is dropped: the standard, Chromium, Firefox.
    Standard,
    /// What a cut leaves half read is glued to the next connection's first bytes: WebKit.
    Glues,
    /// The id counts as soon as its line is read: some client libraries.
    EagerId,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Glues, Self::EagerId];
}

impl EventSource {
    /// One that has shown nothing, and whose page had the cursor from elsewhere.
    pub fn new(kind: Kind, cursor: &str) -> Self {
        Self {
            kind,
            buffer: String::new(),
            event: String::new(),
            data: None,
            id: cursor.to_owned(),
            shown: Vec::new(),
            last_event_id: cursor.to_owned(),
            retry_ms: None,
        }
    }

    /// Reads some bytes of a connection. They are cut at any byte: what no longer is UTF-8 reads
    /// as U+FFFD, as in a browser.
    pub fn read(&mut self, bytes: &[u8]) {
        self.buffer.push_str(&String::from_utf8_lossy(bytes));
        while let Some(end) = self.buffer.find('\n') {
            let line: String = self.buffer.drain(..=end).collect();
            self.line(line.trim_end_matches('\n'));
        }
    }

    /// The page has the cursor from elsewhere.
    pub fn resume_at(&mut self, cursor: &str) {
        cursor.clone_into(&mut self.id);
        cursor.clone_into(&mut self.last_event_id);
    }

    /// The connection breaks.
    pub fn cut(&mut self) {
        if self.kind == Kind::Glues {
            return;
        }
        self.buffer.clear();
        self.event.clear();
        self.data = None;
        // The id buffer begins anew with what was dispatched last.
        self.id.clone_from(&self.last_event_id);
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                let data = self.data.get_or_insert_default();
                data.push_str(value);
                data.push('\n');
            }
            "id" if !value.contains('\0') => {
                value.clone_into(&mut self.id);
                if self.kind == Kind::EagerId {
                    self.last_event_id.clone_from(&self.id);
                }
            }
            "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_event_id.clone_from(&self.id);
        let event = std::mem::take(&mut self.event);
        if let Some(mut data) = self.data.take() {
            data.pop();
            self.shown.push((event, data));
        }
    }
}
