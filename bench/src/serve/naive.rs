//! What one writes in an afternoon: axum's `Sse`, one tokio broadcast channel a topic, no history.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
    routing::{get, post},
    serve::ListenerExt as _,
};
use serde::Deserialize;
use tokio::sync::broadcast;
use tokio_stream::{Stream, StreamExt as _, wrappers::BroadcastStream};

use crate::server::PING_SECONDS;

/// Messages that a slow subscriber may be behind.
const BEHIND: usize = 64;

type Said = (u64, Arc<str>);
type Topics = Arc<Mutex<HashMap<String, (broadcast::Sender<Said>, u64)>>>;

#[derive(Deserialize)]
struct Wanted {
    topic: String,
}

/// Serves for ever.
pub(crate) async fn serve(at: SocketAddr) -> anyhow::Result<()> {
    let router = Router::new().route("/sub", get(subscribe)).route("/pub", post(publish));
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    // axum's own 128 would lose some of many that connect at once, for a second each.
    let listener = socket.listen(4096)?.tap_io(|socket| drop(socket.set_nodelay(true)));
    axum::serve(listener, router.with_state(Topics::default())).await?;
    Ok(())
}

async fn subscribe(
    State(topics): State<Topics>,
    Query(wanted): Query<Wanted>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut topics = topics.lock().unwrap_or_else(PoisonError::into_inner);
    let (sender, _) = topics.entry(wanted.topic).or_insert_with(|| (broadcast::channel(BEHIND).0, 0));
    let said = BroadcastStream::new(sender.subscribe()).filter_map(Result::ok);
    let events = said.map(|(id, data)| Ok(Event::default().event("message").data(&*data).id(id.to_string())));
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(PING_SECONDS)))
}

async fn publish(State(topics): State<Topics>, Query(wanted): Query<Wanted>, body: String) -> StatusCode {
    let mut topics = topics.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((sender, said)) = topics.get_mut(&wanted.topic) {
        *said += 1;
        // Nobody may listen any more.
        let _ = sender.send((*said, body.into()));
    }
    StatusCode::NO_CONTENT
}
