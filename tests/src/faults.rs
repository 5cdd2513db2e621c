//! Faults between one process and AWS: below the SDK and its retries, above the emulators.
//!
//! ```text
//! side.faults.on(Call::to("TransactWriteItems").about("L#"), Fault::Reset(Moment::After));
//! let held = side.faults.hold(Call::to("Query").about("L#"), Moment::Before);
//! side.faults.on(Call::any().nth(7), Fault::Die(Moment::Before));
//! ```

use std::sync::{Arc, Mutex, MutexGuard};

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use tokio::sync::watch;

use ::client::PATIENCE;

pub mod client;

/// The faults of one process, and the calls that it has made. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    plan: Mutex<Plan>,
    answered: watch::Sender<Vec<Made>>,
    dead: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    made: Vec<Made>,
}

/// What is to happen to a call.
#[derive(Debug)]
struct Verdict {
    made: Made,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Rule {
    call: Call,
    fault: Fault,
    seen: usize,
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Made {
    /// The operation.
    pub operation: String,
    /// The kinds of rows that it speaks of, as their keys begin, each once.
    pub rows: Vec<&'static str>,
}

/// Which call.
#[derive(Debug, Clone)]
pub struct Call {
    operation: Option<&'static str>,
    like: Option<Made>,
    about: Vec<String>,
    nth: usize,
}

/// On which side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// AWS has not heard of it.
    Before,
    /// AWS has done it, and the answer is lost.
    After,
}

/// What happens to a call, once.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection breaks.
    Reset(Moment),
    /// AWS refuses with this status and error code: 500 `InternalServerError`,
    /// 400 `ThrottlingException`.
    Refuse(u16, &'static str),
    /// The transaction is cancelled, with these codes for its first rows, and `None` for the others.
    Cancel(&'static [&'static str]),
    /// `BatchGetItem` is answered with nothing but all its keys, unprocessed.
    Unprocessed,
    /// `BatchGetItem` reads the last of its keys, and leaves the others unprocessed.
    OneProcessed,
    /// The process dies: neither this call nor any later one comes back, and no later one is made.
    Die(Moment),
    /// The call waits until it is let go.
    Hold(Moment, Held),
}

/// A call that waits, or will.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Call {
    /// Any call.
    pub const fn any() -> Self {
        Self { operation: None, like: None, about: Vec::new(), nth: 1 }
    }

    /// A call of the same kind as one that was made.
    pub const fn like(made: Made) -> Self {
        Self { operation: None, like: Some(made), about: Vec::new(), nth: 1 }
    }

    /// A call of one operation.
    pub const fn to(operation: &'static str) -> Self {
        Self { operation: Some(operation), like: None, about: Vec::new(), nth: 1 }
    }

    /// Only one whose body holds this text too.
    #[must_use]
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.about.push(text.into());
        self
    }

    /// Only the nth of them, from 1 on.
    #[must_use]
    pub const fn nth(mut self, nth: usize) -> Self {
        self.nth = nth;
        self
    }

    fn is(&self, made: &Made, body: &str) -> bool {
        self.operation.is_none_or(|wanted| wanted == made.operation)
            && self.like.as_ref().is_none_or(|wanted| wanted == made)
            && self.about.iter().all(|text| body.contains(text))
    }
}

impl Held {
    /// Waits until a call waits here.
    pub async fn reached(&self) {
        wait(&self.0.reached).await;
    }

    /// Lets it go.
    pub fn release(&self) {
        self.0.open.send_replace(true);
    }

    async fn pass(&self) {
        self.0.reached.send_replace(true);
        // The sender lives as long as `self`.
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }
}

impl Faults {
    /// Plans a fault for a call that is still to come. It strikes once.
    pub fn on(&self, call: Call, fault: Fault) {
        self.plan().rules.push(Rule { call, fault, seen: 0 });
    }

    /// Plans that a call waits.
    pub fn hold(&self, call: Call, moment: Moment) -> Held {
        let held = Held::default();
        self.on(call, Fault::Hold(moment, held.clone()));
        held
    }

    /// Waits until the process has died.
    pub async fn died(&self) {
        let _ = self.0.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// Waits until such a call has been answered.
    pub async fn answered(&self, is: impl Fn(&Made) -> bool) {
        let mut answered = self.0.answered.subscribe();
        let answered = answered.wait_for(|calls| calls.iter().any(&is));
        let _ = tokio::time::timeout(PATIENCE, answered).await.expect("such a call is made in time");
    }

    /// Plans no more faults.
    pub fn forget(&self) {
        self.plan().rules.clear();
    }

    /// Whether no fault is still to come.
    pub fn have_struck(&self) -> bool {
        self.plan().rules.is_empty()
    }

    /// The calls made since they were last taken.
    pub fn take(&self) -> Vec<Made> {
        std::mem::take(&mut self.plan().made)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.plan.lock().unwrap()
    }

    fn is_dead(&self) -> bool {
        *self.0.dead.borrow()
    }

    fn die(&self) {
        self.0.dead.send_replace(true);
    }

    /// Takes note of a call, and says what is to happen to it.
    fn judge(&self, request: &HttpRequest) -> Verdict {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let made = Made { operation, rows: rows(&body) };
        let mut plan = self.plan();
        plan.made.push(made.clone());
        let mut struck = None;
        for (place, rule) in plan.rules.iter_mut().enumerate() {
            if rule.call.is(&made, &body) {
                rule.seen += 1;
                if rule.seen == rule.call.nth && struck.is_none() {
                    struck = Some(place);
                }
            }
        }
        let fault = struck.map(|place| plan.rules.remove(place).fault);
        Verdict { made, fault }
    }

    fn note_answer(&self, made: Made) {
        self.0.answered.send_modify(|answered| answered.push(made));
    }
}

impl Made {
    /// Whether it is this operation on these kinds of rows.
    pub fn is(&self, operation: &str, rows: &[&str]) -> bool {
        self.operation == operation && self.rows == rows
    }

    /// Whether AWS is another afterwards.
    pub fn writes(&self) -> bool {
        !["GetItem", "BatchGetItem", "Query", "DescribeTable"].contains(&self.operation.as_str())
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.operation)?;
        self.rows.iter().try_for_each(|row| write!(f, " {row}"))
    }
}

/// What the keys of rows begin with (`store::keys`).
fn rows(body: &str) -> Vec<&'static str> {
    const KINDS: [&str; 14] =
        ["S#", "K#", "TICKET", "O#", "T#", "META", "E#", "U#", "M#", "HEAD", "L#", "Q#", "QUEUES#", "EDGE"];
    KINDS.into_iter().filter(|kind| body.contains(&format!("\"{kind}"))).collect()
}

async fn wait(flag: &watch::Sender<bool>) {
    let mut flag = flag.subscribe();
    let raised = tokio::time::timeout(PATIENCE, flag.wait_for(|raised| *raised)).await;
    raised.expect("the call that is to be held comes in time").unwrap();
}
