//! Pages of other origins.

use client::{
    http::{Answer, Api},
    sse::Stream,
};
use http::StatusCode;
use serde_json::json;
use sse_edge::config::{EdgeArgs, Topology};
use tests::world::{ORIGIN, World};

const OTHER: &str = "https://app.example.com.evil.example";

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

async fn preflight(api: &Api, path: &str, origin: &str) -> Answer {
    let asks = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key"),
    ];
    let nobody = Api { address: api.address, token: None };
    nobody.call("OPTIONS", path, None, &asks).await
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_use_api_poll_and_stream() {
    let world = World::start(Topology::PerUser, 1).await;
    let (api, edge) = (world.as_user("alice"), world.edge_as_user(0, "alice"));
    for (at, path) in
        [(&api, "/v1/threads"), (&api, "/v1/session"), (&edge, "/v1/events"), (&edge, "/nowhere")]
    {
        let asked = preflight(at, path, ORIGIN).await;
        assert_eq!(asked.status, StatusCode::OK, "{path}");
        assert_eq!(header(&asked, "access-control-allow-origin"), Some(ORIGIN));
        assert_eq!(header(&asked, "access-control-allow-credentials"), Some("true"));
        assert!(header(&asked, "access-control-allow-methods").unwrap().contains("POST"));
        for name in ["authorization", "content-type", "idempotency-key", "last-event-id"] {
            assert!(header(&asked, "access-control-allow-headers").unwrap().contains(name), "{name}");
        }
        let other = preflight(at, path, OTHER).await;
        assert_eq!(header(&other, "access-control-allow-origin"), None, "{path}");
    }
    let from = [("origin", ORIGIN)];
    let body = Some(json!({"members": ["bob"]}));
    let answers = [
        api.call("POST", "/v1/threads", body, &from).await,
        api.call("GET", "/v1/threads/t_none", None, &from).await,
        api.call("DELETE", "/v1/threads", None, &from).await,
        edge.call("GET", "/v1/events/poll?wait=0", None, &from).await,
        Api { address: edge.address, token: None }.call("GET", "/v1/events", None, &from).await,
    ];
    let statuses = answers.each_ref().map(|answer| answer.status.as_u16());
    assert_eq!(statuses, [201, 404, 405, 200, 401]);
    for answer in &answers {
        assert_eq!(header(answer, "access-control-allow-origin"), Some(ORIGIN));
        assert_eq!(header(answer, "access-control-allow-credentials"), Some("true"));
        assert_eq!(header(answer, "vary"), Some("origin"));
        assert!(header(answer, "access-control-expose-headers").unwrap().contains("retry-after"));
    }
    let headers =
        [("authorization", format!("Bearer {}", world.token("alice"))), ("origin", ORIGIN.to_owned())];
    let mut stream = Stream::request(edge.address, "/v1/events", &headers).await;
    assert_eq!(stream.headers["access-control-allow-origin"], ORIGIN);
    stream.expect("hello").await;
}

#[tokio::test]
async fn a_page_of_any_other_origin_may_read_nothing() {
    let world = World::start(Topology::PerUser, 1).await;
    for origin in [OTHER, "null", "http://app.example.com", "https://app.example.com:8443"] {
        for at in [world.as_user("alice"), world.edge_as_user(0, "alice")] {
            let answer = at.call("GET", "/v1/health", None, &[("origin", origin)]).await;
            assert_eq!(header(&answer, "access-control-allow-origin"), None, "{origin}");
            assert_eq!(header(&answer, "vary"), Some("origin"));
        }
    }
}

#[tokio::test]
async fn what_an_edge_counts_is_read_at_an_address_of_its_own_only() {
    let mut world = World::start(Topology::PerUser, 0).await;
    let config =
        EdgeArgs { metrics_listen: Some(([127, 0, 0, 1], 0).into()), ..World::settings(Topology::PerUser) };
    world.add_edge_with(config, server::listener::Options::default()).await;
    assert_eq!(world.edge_as_user(0, "alice").get("/metrics").await.status, StatusCode::NOT_FOUND);
    let address = world.edges[0].metrics_address.unwrap();
    assert!(client::http::text(address, "/metrics").await.contains("edge_streams 0"));
}
