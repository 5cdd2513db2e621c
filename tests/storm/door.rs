//! Where the browsers' page is: an origin of its own, other than the API's and the edges'.

use axum::{Router, response::Html, routing::get};
use tokio::net::TcpListener;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

const PAGE: &str = include_str!("clients/page.html");

/// The page's server.
pub(crate) struct Door {
    /// Its origin.
    pub(crate) origin: String,
    _serving: AbortOnDropHandle<()>,
}

impl Door {
    /// Opens it.
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", get(async || Html(PAGE)));
        let serving = TaskTracker::new().spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { origin, _serving: AbortOnDropHandle::new(serving) }
    }
}
