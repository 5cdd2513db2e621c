//! The cloud: DynamoDB and SQS in memory, below the AWS SDK, and a network that fails.
//!
//! The code above it is the code that ships. A process of the deployment reaches the cloud by a
//! [`Network`] of its own, so that it can die, or be cut off, alone.

pub(crate) mod answer;
pub(crate) mod bill;
pub(crate) mod expression;
pub(crate) mod queues;
pub(crate) mod request;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod weather;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use jiff::SignedDuration;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use server::clock::Clock;
use tokio::{
    sync::oneshot,
    time::{Duration, Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    answer::Answer,
    bill::Bill,
    queues::{Queues, Receive},
    request::Request,
    rows::Rows,
    weather::Weather,
};
use crate::deployment::SKEW;

/// The longest that a receive waits (API reference, `ReceiveMessage`).
const WAIT: Duration = Duration::from_secs(20);

/// By how many microseconds a second the clock of a process may be fast or slow: five minutes in the longest run.
const DRIFT_PPM: i64 = 400;

/// All that the cloud holds.
#[derive(Debug)]
pub(crate) struct Cloud {
    state: Mutex<State>,
    clock: Clock,
    tracker: TaskTracker,
}

/// What lies in the cloud, and how it behaves just now.
#[derive(Debug)]
pub(crate) struct State {
    /// DynamoDB.
    pub(crate) rows: Rows,
    /// SQS.
    pub(crate) queues: Queues,
    /// How both behave.
    pub(crate) weather: Weather,
    /// The service that is away, if one is: what its requests begin with.
    pub(crate) away: Option<&'static str>,
    /// Requests served so far.
    pub(crate) requests: u64,
    /// What AWS would charge for them.
    pub(crate) bill: Bill,
    /// All requests and answers, if somebody wants to read them.
    pub(crate) trace: Option<Vec<String>>,
    rng: StdRng,
}

impl Cloud {
    /// An empty cloud whose misfortunes follow from `seed`.
    pub(crate) fn new(seed: u64, clock: Clock, tracker: TaskTracker) -> Arc<Self> {
        let state = State {
            rows: Rows::default(),
            queues: Queues::new(),
            weather: Weather::CALM,
            away: None,
            requests: 0,
            bill: Bill::default(),
            trace: None,
            rng: StdRng::seed_from_u64(seed),
        };
        Arc::new(Self { state: Mutex::new(state), clock, tracker })
    }

    /// What lies in it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of a process: no two show the same time or run alike, and some are minutes off.
    pub(crate) fn clock_of_a_process(&self) -> Clock {
        let most = SKEW.as_secs();
        let rng = &mut self.state().rng;
        let (skew, ppm) = (rng.random_range(-most..=most), rng.random_range(-DRIFT_PPM..=DRIFT_PPM));
        Clock::tokio_drifting(self.clock.now() + SignedDuration::from_secs(skew), ppm)
    }

    /// TTL deletes some of what is over.
    pub(crate) fn expire(&self) {
        let seconds = self.clock.now().as_second();
        let State { rows, rng, .. } = &mut *self.state();
        rows.expire(seconds, rng);
    }

    /// The table is restored from a backup.
    pub(crate) fn restore(&self) {
        let State { rows, rng, .. } = &mut *self.state();
        rows.restore(rng);
    }

    /// Somebody deletes a queue.
    pub(crate) fn delete_a_queue(&self) {
        let State { queues, rng, .. } = &mut *self.state();
        queues.delete_any(rng);
    }

    /// Somebody puts rubbish into queues.
    pub(crate) fn litter(&self, body: &str) {
        let now_ms = self.clock.now().as_millisecond();
        let State { queues, rng, .. } = &mut *self.state();
        queues.litter(body, rng, now_ms);
    }

    fn serve_rows(&self, operation: &str, body: &[u8]) -> Answer {
        let State { rows, weather, bill, rng, .. } = &mut *self.state();
        let request = Request::of(body);
        bill.count(operation, &request);
        rows.answer(operation, &request, weather, rng)
    }

    fn serve_queues(&self, operation: &str, body: &[u8]) -> Answer {
        let now_ms = self.clock.now().as_millisecond();
        let State { queues, weather, bill, rng, .. } = &mut *self.state();
        bill.count_call();
        queues.answer(operation, body, weather, rng, now_ms)
    }

    /// A receive waits. One whose caller has gone may still take messages, which are then hidden
    /// from others for a while.
    async fn receive(&self, body: &[u8], answer: &mut oneshot::Sender<Answer>) -> Option<Answer> {
        let request: Receive = serde_json::from_slice(body).expect("a request that the model knows");
        let until = Instant::now() + WAIT;
        let (haunts, notice) = {
            let State { weather, bill, rng, .. } = &mut *self.state();
            bill.count_call();
            (rng.random_bool(weather.haunt), Duration::from_millis(weather.notice_ms))
        };
        loop {
            let (changed, next) = {
                let State { queues, rng, .. } = &mut *self.state();
                match queues.receive(&request, rng) {
                    Ok(answer) => return Some(answer),
                    Err(wait) => wait,
                }
            };
            let wake = next.map_or(until, |next| next.min(until));
            tokio::select! {
                biased;
                () = changed.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
                () = closed(answer, notice), if !haunts => return None,
            }
            if Instant::now() >= until {
                return Some(Answer::told("{}".into()));
            }
        }
    }

    fn note(&self, operation: &str, asked: &[u8], answer: &Answer) {
        let mut state = self.state();
        state.requests += 1;
        if let Some(trace) = &mut state.trace {
            // The SDK draws its tokens elsewhere, and nothing but their being equal matters.
            let mut asked: Value = serde_json::from_slice(asked).expect("a body of JSON");
            asked.as_object_mut().and_then(|asked| asked.remove("ClientRequestToken"));
            let (now, Answer { status, body, .. }) = (self.clock.now(), answer);
            trace.push(format!("{now} {operation} {asked} -> {status} {body}"));
        }
    }
}

/// Waits until the cloud has noticed that a caller has gone.
async fn closed(answer: &mut oneshot::Sender<Answer>, notice: Duration) {
    answer.closed().await;
    sleep(notice).await;
}

/// One process's way to the cloud.
#[derive(Clone)]
pub(crate) struct Network {
    cloud: Arc<Cloud>,
    /// Cancelled when the process dies: from then on it neither asks nor hears anything.
    pub(crate) dead: CancellationToken,
    cut_until: Arc<Mutex<Instant>>,
    paused_until: Arc<Mutex<Instant>>,
    /// Transactions after which the process dies, before it hears of the last one.
    doom: Arc<Mutex<Option<u32>>>,
}

impl Network {
    /// The way of a process that lives until `dead`.
    pub(crate) fn new(cloud: Arc<Cloud>, dead: CancellationToken) -> Self {
        let now = || Arc::new(Mutex::new(Instant::now()));
        Self { cloud, dead, cut_until: now(), paused_until: now(), doom: Arc::default() }
    }

    /// Nothing goes out or comes in until then.
    pub(crate) fn cut(&self, until: Instant) {
        *self.cut_until.lock().expect("nothing panics while it holds this") = until;
    }

    /// The process stands still until then: its clients hear nothing of it either.
    pub(crate) fn pause(&self, until: Instant) {
        self.cut(until);
        *self.paused_until.lock().expect("nothing panics while it holds this") = until;
    }

    /// Waits while the process stands still.
    pub(crate) async fn awake(&self) {
        let until = *self.paused_until.lock().expect("nothing panics while it holds this");
        tokio::time::sleep_until(until).await;
    }

    /// The process dies once `transactions` more have been committed.
    pub(crate) fn doom(&self, transactions: u32) {
        *self.doom.lock().expect("nothing panics while it holds this") = Some(transactions);
    }

    /// Counts down to a death that was foretold.
    fn committed(&self) {
        let mut doom = self.doom.lock().expect("nothing panics while it holds this");
        if let Some(left) = doom.as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.dead.cancel();
            }
        }
    }

    /// Waits while the process is cut off, and for ever once it is dead.
    async fn passes(&self) {
        loop {
            let until = *self.cut_until.lock().expect("nothing panics while it holds this");
            if self.dead.is_cancelled() {
                std::future::pending::<()>().await;
            }
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    async fn call(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let (service, operation) = target.split_once('.').expect("a target");
        let body = request.body().bytes().expect("a body in memory");
        let (there, back, fate) = self.draw();
        self.passes().await;
        sleep(there).await;
        let away = self.cloud.state().away.is_some_and(|away| service.starts_with(away));
        if fate == Fate::Error || away {
            return Err(ConnectorError::io("the connection was reset".into()));
        }
        self.passes().await;
        let answer = match (service, operation) {
            (_, "ReceiveMessage") => self.receive(body).await?,
            ("AmazonSQS", _) => self.cloud.serve_queues(operation, body),
            _ => self.cloud.serve_rows(operation, body),
        };
        if !answer.after.is_zero() {
            sleep(answer.after).await;
        }
        if operation == "TransactWriteItems" && answer.status == 200 {
            self.committed();
        }
        sleep(back).await;
        self.passes().await;
        if fate == Fate::Lost {
            return Err(ConnectorError::io("the connection broke before the answer".into()));
        }
        self.cloud.note(operation, body, &answer);
        let status = StatusCode::try_from(answer.status).expect("a status");
        Ok(HttpResponse::new(status, SdkBody::from(answer.body)))
    }

    /// The cloud goes on with a receive whatever becomes of the caller.
    async fn receive(&self, body: &[u8]) -> Result<Answer, ConnectorError> {
        let (mut answer, answered) = oneshot::channel();
        let (cloud, body) = (self.cloud.clone(), body.to_vec());
        self.cloud.tracker.spawn(async move {
            if let Some(received) = cloud.receive(&body, &mut answer).await {
                let _ = answer.send(received);
            }
        });
        answered.await.map_err(|gone| ConnectorError::io(gone.into()))
    }

    fn draw(&self) -> (Duration, Duration, Fate) {
        let State { weather, rng, .. } = &mut *self.cloud.state();
        let mut leg = || {
            let slow = rng.random_bool(weather.slow);
            Duration::from_micros(if slow {
                rng.random_range(0..4_000_000)
            } else {
                rng.random_range(200..weather.leg_us)
            })
        };
        let (there, back) = (leg(), leg());
        let fate = match rng.random::<f64>() {
            x if x < weather.error => Fate::Error,
            x if x < weather.error + weather.lost => Fate::Lost,
            _ => Fate::Fine,
        };
        (there, back, fate)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    Error,
    Lost,
}

impl HttpConnector for Network {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().call(request))
    }
}

impl HttpClient for Network {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}
