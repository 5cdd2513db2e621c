//! Users who talk, and have second thoughts: whatever they ask for has a key, and is asked for until
//! it is answered.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    ask::Asker,
    cast::{Cast, DELETED, Thread, Truth},
    fleet::Fleet,
    guests::come_and_go,
};

/// Writers of each thread, so that they get in each other's way.
const WRITERS: usize = 2;
/// Members up to which a thread is a small one, and milliseconds between two messages of a writer
/// there and in a large one: about 12 messages a second in all.
const SMALL: usize = 12;
const PAUSE_MS: u64 = 2_000;
const LARGE_PAUSE_MS: u64 = 8_000;

/// A message, as its author last made it with success.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) thread: String,
    pub(crate) tseq: u64,
    said: String,
    made: Made,
}

/// What its author has made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Said,
    Edited,
    Deleted,
}

impl Ack {
    fn text(&self) -> String {
        match self.made {
            Made::Said => self.said.clone(),
            Made::Edited => edited(&self.said),
            Made::Deleted => DELETED.to_owned(),
        }
    }

    /// Whether this is its text, or one that its author gives it later.
    pub(crate) fn is_shown_by(&self, text: &str) -> bool {
        text == self.text() || (self.made == Made::Said && (text == edited(&self.said) || text == DELETED))
    }
}

fn edited(text: &str) -> String {
    format!("{text}, edited")
}

/// The talk. Dropping it silences it.
pub(crate) struct Talk {
    acks: Arc<Mutex<Vec<Ack>>>,
    asker: Asker,
    quiet: CancellationToken,
    talking: Vec<AbortOnDropHandle<()>>,
}

impl Talk {
    /// Begins it.
    pub(crate) fn start(fleet: &Arc<Fleet>, cast: &Cast) -> Self {
        let (acks, quiet) = (Arc::default(), CancellationToken::new());
        let mut talk = Self { acks, asker: Asker::new(fleet), quiet, talking: Vec::new() };
        for thread in &cast.threads {
            for name in 0..WRITERS {
                let (acks, asker) = (Arc::clone(&talk.acks), talk.asker.clone());
                talk.spawn(Writer { asker, thread: thread.clone(), name, acks }.write(talk.quiet.clone()));
            }
            talk.spawn(come_and_go(talk.asker.clone(), thread.clone(), talk.quiet.clone()));
        }
        talk
    }

    fn spawn(&mut self, talking: impl Future<Output = ()> + Send + 'static) {
        self.talking.push(AbortOnDropHandle::new(TaskTracker::new().spawn(talking)));
    }

    /// Begins no further message, and waits until every one has been answered.
    pub(crate) async fn end(&mut self) {
        self.quiet.cancel();
        for talking in &mut self.talking {
            talking.await.unwrap();
        }
    }

    /// What was answered with success so far.
    pub(crate) fn acks(&self) -> Vec<Ack> {
        self.acks.lock().unwrap().clone()
    }

    /// What was answered with success and is not in the logs exactly once, and answers that should
    /// not have been given.
    pub(crate) fn wrong(&self, truth: &Truth) -> Vec<String> {
        let mut wrong = self.asker.wrong();
        for ack in &*self.acks.lock().unwrap() {
            let log = &truth.texts[&ack.thread];
            let (is, said) = (log.get(&ack.tseq), [ack.said.clone(), edited(&ack.said)]);
            let doubles =
                log.iter().filter(|(tseq, text)| **tseq != ack.tseq && said.contains(*text)).count();
            if is != Some(&ack.text()) || doubles > 0 {
                wrong.push(format!("{ack:?} is {is:?} in the log, and {doubles} times somewhere else"));
            }
        }
        wrong
    }
}

struct Writer {
    asker: Asker,
    thread: Thread,
    name: usize,
    acks: Arc<Mutex<Vec<Ack>>>,
}

impl Writer {
    async fn write(self, quiet: CancellationToken) {
        let pause = if self.thread.members.len() > SMALL { LARGE_PAUSE_MS } else { PAUSE_MS };
        for n in 0.. {
            let pause = Duration::from_millis(rand::random_range(0..2 * pause));
            if quiet.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
            let author = self.thread.members.choose(&mut rand::rng()).unwrap().clone();
            let text = format!("{}-{}-{n}", self.thread.id, self.name);
            let path = format!("/v1/threads/{}/messages", self.thread.id);
            let Some(message) =
                self.asker.until_answered(&author, "POST", &path, json!({"text": text})).await
            else {
                continue;
            };
            let tseq = message["tseq"].as_u64().unwrap();
            let ack = Ack { thread: self.thread.id.clone(), tseq, said: text.clone(), made: Made::Said };
            let place = {
                let mut acks = self.acks.lock().unwrap();
                acks.push(ack);
                acks.len() - 1
            };
            if let Some(made) = self.change(n, &author, &format!("{path}/{tseq}"), &text).await {
                self.acks.lock().unwrap()[place].made = made;
            }
            self.react(n, tseq, &message["number"]).await;
        }
    }

    /// What its author does with a message now and then.
    async fn change(&self, n: usize, author: &str, path: &str, said: &str) -> Option<Made> {
        match n % 8 {
            2 | 6 => {
                let text = json!({"text": edited(said)});
                self.asker.until_answered(author, "PATCH", path, text).await.map(|_| Made::Edited)
            }
            3 => self.asker.until_answered(author, "DELETE", path, Value::Null).await.map(|_| Made::Deleted),
            _ => None,
        }
    }

    /// What others do with a message now and then: they see it, or put a reaction under it.
    async fn react(&self, n: usize, tseq: u64, number: &Value) {
        let user = self.thread.members.choose(&mut rand::rng()).unwrap();
        let thread = format!("/v1/threads/{}", self.thread.id);
        match n % 4 {
            0 if self.thread.members.len() <= SMALL => {
                self.asker
                    .until_answered(user, "POST", &format!("{thread}/seen"), json!({"number": number}))
                    .await;
            }
            1 => {
                let path = format!("{thread}/messages/{tseq}/reactions/%F0%9F%91%8D");
                self.asker.until_answered(user, "PUT", &path, Value::Null).await;
            }
            _ => {}
        }
    }
}
