//! The OpenAPI document has the methods that each route has, and refers to nothing that it lacks.

use std::collections::BTreeSet;

use client::http::Api;
use serde_json::Value;
use sse_edge::config::Topology;
use tests::world::World;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The methods of a route, from the answer to a method that no route has.
async fn allowed(api: &Api, path: &str) -> BTreeSet<String> {
    let path = path
        .replace("{thread}", "t_a")
        .replace("{user}", "bob")
        .replace("{tseq}", "1")
        .replace("{emoji}", "x");
    let answer = api.call("TRACE", &path, None, &[]).await;
    assert_eq!(answer.status, 405, "no route `{path}`");
    let allow = answer.headers["allow"].to_str().unwrap().to_lowercase();
    allow.split(',').filter(|method| *method != "head").map(Into::into).collect()
}

#[tokio::test]
async fn the_document_names_the_methods_of_each_route_and_no_other() {
    let world = World::start(Topology::PerUser, 1).await;
    let api = Api { token: None, ..world.as_user("alice") };
    let document = api.get("/v1/openapi.json").await.body;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{document}");
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        let told: BTreeSet<String> =
            METHODS.into_iter().filter(|method| item.get(method).is_some()).map(Into::into).collect();
        let place = if path.starts_with("/v1/events") {
            Api { address: world.edges[0].address, ..api.clone() }
        } else {
            api.clone()
        };
        assert_eq!(told, allowed(&place, path).await, "{path}");
    }
}

#[tokio::test]
async fn what_the_document_refers_to_is_in_it() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(Into::into));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let world = World::start(Topology::PerUser, 0).await;
    let document = world.as_user("alice").get("/v1/openapi.json").await.body;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 5, "{found:?}");
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "`{reference}` is not there");
    }
}
