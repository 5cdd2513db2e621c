//! What stands between a browser and an edge, and cuts connections: by TCP bytes, so that a cut may
//! fall inside the framing of HTTP as well.
//!
//! A lane is one `EventSource`: `/USER/LANE/v1/events?…`. The user's cookie has the path `/USER`, so
//! that one page can hold the streams of many.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::passage::{How, Passage, Plan};

const PAGE: &str = include_str!("page.html");
/// No head is longer.
const HEAD_BYTES: usize = 16 * 1024;

/// A proxy. Dropping it cuts everything.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// One request that a lane has made.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// When it came.
    pub(crate) at: Instant,
    /// Its `Last-Event-ID`.
    pub(crate) last_event_id: Option<String>,
    /// What was passed on of the answer, as it stood on the wire: its head.
    pub(crate) head: Vec<u8>,
    /// And its body.
    pub(crate) body: Vec<u8>,
    /// When the last of it was about to be passed on: its reader cannot have known of an end before.
    pub(crate) last: Instant,
    /// Whether it was cut, or the edge has ended it.
    pub(crate) ended: bool,
}

struct Shared {
    edge: Mutex<SocketAddr>,
    cookies: String,
    plans: Mutex<HashMap<String, Plan>>,
    requests: Mutex<HashMap<String, Vec<Request>>>,
}

impl Proxy {
    /// Starts one in front of an edge, for users with their tokens.
    pub(crate) async fn start(edge: SocketAddr, users: &[(String, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cookie = |(user, token): &(String, String)| {
            format!("Set-Cookie: runnel={token}; Path=/{user}; HttpOnly; SameSite=Lax\r\n")
        };
        let cookies = users.iter().map(cookie).collect::<Vec<_>>().concat();
        let shared = Arc::new(Shared {
            edge: Mutex::new(edge),
            cookies,
            plans: Mutex::default(),
            requests: Mutex::default(),
        });
        let (tracker, stop, served) = (TaskTracker::new(), CancellationToken::new(), shared.clone());
        let inner = (tracker.clone(), stop.clone());
        tracker.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((browser, _)) = listener.accept().await {
                let served = served.clone();
                // A connection that breaks is what browsers and this proxy are here for.
                let serving = async move { drop(serve(&served, browser).await) };
                inner.0.spawn(inner.1.clone().run_until_cancelled_owned(serving));
            }
        }));
        Self { address, shared, _stop: stop.drop_guard() }
    }

    /// Sends whoever comes from now on to another edge.
    pub(crate) fn send_to(&self, edge: SocketAddr) {
        *self.shared.edge.lock().unwrap() = edge;
    }

    /// What is to happen to a lane.
    pub(crate) fn plan(&self, lane: &str, plan: Plan) {
        self.shared.plans.lock().unwrap().insert(lane.to_owned(), plan);
    }

    /// What a lane has asked for so far.
    pub(crate) fn requests(&self, lane: &str) -> Vec<Request> {
        self.shared.requests.lock().unwrap().get(lane).cloned().unwrap_or_default()
    }
}

impl Shared {
    /// Writes a request down; its place, and what is to happen to its answer.
    fn begin(&self, lane: &str, last_event_id: Option<String>) -> (usize, Passage) {
        let mut requests = self.requests.lock().unwrap();
        let requests = requests.entry(lane.to_owned()).or_default();
        let at = Instant::now();
        let (head, body) = (Vec::new(), Vec::new());
        requests.push(Request { at, last_event_id, head, body, last: at, ended: false });
        let place = requests.len() - 1;
        let plan = self.plans.lock().unwrap().get(lane).cloned().unwrap_or_default();
        (place, Passage::new(plan, place))
    }

    fn note(&self, lane: &str, place: usize, note: impl FnOnce(&mut Request)) {
        note(&mut self.requests.lock().unwrap().get_mut(lane).unwrap()[place]);
    }
}

async fn serve(shared: &Shared, mut browser: TcpStream) -> io::Result<()> {
    browser.set_nodelay(true)?;
    let head = head(&mut browser).await?;
    let Some((lane, request)) = to_edge(&head) else {
        return page(shared, browser, &head).await;
    };
    let (place, mut passage) = shared.begin(&lane, header(&head, "last-event-id"));
    if let Some(recorded) = passage.recorded() {
        let ended = pass(shared, (&lane, place), &mut passage, &recorded, &mut browser).await?;
        assert!(ended, "a recorded answer is long enough to be cut");
        return Ok(());
    }
    let address = *shared.edge.lock().unwrap();
    let mut edge = TcpStream::connect(address).await?;
    edge.write_all(request.as_bytes()).await?;
    let (mut bytes, mut nothing) = (vec![0; 4096], [0; 1]);
    loop {
        let read = tokio::select! {
            read = edge.read(&mut bytes) => read?,
            // It says no more: it can only have gone, perhaps since the edge's last chunk told it to.
            _ = browser.read(&mut nothing) => {
                shared.note(&lane, place, |request| request.ended = true);
                return Ok(());
            }
        };
        if pass(shared, (&lane, place), &mut passage, &bytes[..read], &mut browser).await? {
            return Ok(());
        }
    }
}

/// Passes some bytes on, none at their end; whether that was all.
async fn pass(
    shared: &Shared,
    (lane, place): (&str, usize),
    passage: &mut Passage,
    bytes: &[u8],
    browser: &mut TcpStream,
) -> io::Result<bool> {
    let (pass, cut) = passage.pass(bytes);
    let at = Instant::now();
    browser.write_all(&pass).await?;
    let is_over = cut.is_some() || bytes.is_empty();
    shared.note(lane, place, |request| {
        request.head = passage.head().to_vec();
        request.body = passage.body().to_vec();
        if !pass.is_empty() {
            request.last = at;
        }
        request.ended = is_over;
    });
    if cut.is_some_and(|cut| cut.how == How::Rst) {
        browser.set_zero_linger()?;
    }
    Ok(is_over)
}

async fn head(browser: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES {
        head.push(browser.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The lane, and the request as the edge gets it: one a connection.
fn to_edge(head: &str) -> Option<(String, String)> {
    let (user, rest) = head.strip_prefix("GET /")?.split_once('/')?;
    let (lane, rest) = rest.split_once('/')?;
    if !rest.starts_with("v1/events") || user.contains(' ') || lane.contains(' ') {
        return None;
    }
    let lines =
        rest.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let rest: String = lines.collect();
    let rest = rest.strip_suffix("\r\n")?;
    Some((lane.to_owned(), format!("GET /{rest}Connection: close\r\n\r\n")))
}

fn header(head: &str, wanted: &str) -> Option<String> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned()))
}

async fn page(shared: &Shared, mut browser: TcpStream, head: &str) -> io::Result<()> {
    let (status, body) = if head.starts_with("GET / ") { ("200 OK", PAGE) } else { ("404 Not Found", "") };
    let cookies = &shared.cookies;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n{cookies}\r\n{body}"
    );
    browser.write_all(answer.as_bytes()).await?;
    browser.shutdown().await
}
