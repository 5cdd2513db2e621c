//! One endpoint for both emulators, for fleets of processes on one machine.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, Uri, uri::Authority};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::ServiceExt as _;

use super::{door::guarded, dynamodb::DynamoDb, sqs};

#[derive(Debug, Clone)]
struct Front {
    client: Client<HttpConnector, Body>,
    dynamodb: Authority,
    sqs: Router,
}

/// Serves both on `listen` until the future is dropped. `X-Amz-Target` tells them apart. `table` is announced with the
/// address.
pub async fn serve(listen: SocketAddr, dynamodb: &DynamoDb, table: &str) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on `{listen}`: stop what listens there, or choose another with --listen")
    })?;
    let address = listener.local_addr()?;
    let authority = dynamodb.url().trim_start_matches("http://").parse()?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let queues = sqs::Queues::new(address);
    let front = Front { client, dynamodb: authority, sqs: queues.router() };
    crate::banner::emulators(address, table);
    tokio::select! {
        served = axum::serve(listener, guarded(Router::new().fallback(forward).with_state(front))) => served?,
        () = queues.sweep_forever() => {}
    }
    Ok(())
}

async fn forward(State(front): State<Front>, mut request: Request) -> Response {
    let target = request.headers().get("x-amz-target").and_then(|t| t.to_str().ok()).unwrap_or_default();
    if !target.starts_with("DynamoDB") {
        return front.sqs.oneshot(request).await.into_response();
    }
    let uri = Uri::builder().scheme("http").authority(front.dynamodb).path_and_query("/").build();
    *request.uri_mut() = uri.expect("an authority and a path make a url");
    match front.client.request(request).await {
        Ok(response) => response.map(Body::new),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
