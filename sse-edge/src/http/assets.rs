//! The page and the JS client of `web/`, compiled in.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
};

use axum::{
    Router,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// What a page of ours may do: load what it is served with, talk to where it came from.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
                      object-src 'none'";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal $kind:ident),* $(,)?) => {
        /// Every file: its name, its type, what is in it.
        const FILES: &[(&str, &str, &[u8])] =
            &[$(($name, $kind, include_bytes!(concat!("../../web/", $name)))),*];
    };
}

files! {
    "index.html" HTML,
    "app.css" CSS,
    "icon.svg" SVG,
    "app.js" JS,
    "chat.js" JS,
    "details.js" JS,
    "dom.js" JS,
    "format.js" JS,
    "list.js" JS,
    "log.js" JS,
    "menu.js" JS,
    "message.js" JS,
    "people.js" JS,
    "profile.js" JS,
    "runnel.js" JS,
    "sends.js" JS,
    "signin.js" JS,
    "start.js" JS,
    "store.js" JS,
}

/// The page at `/`, and each file under its name.
pub fn router() -> Router {
    FILES.iter().fold(Router::new(), |router, (name, kind, bytes)| {
        let path = if *name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let tag = tag(bytes);
        router.route(&path, get(move |headers: HeaderMap| async move { serve(&headers, kind, bytes, &tag) }))
    })
}

/// The OpenAPI document at its path, for an edge that is a process of its own: where the API is beside it, the API serves it.
pub fn document() -> Router {
    let bytes = include_bytes!("../../../docs/openapi.json");
    let tag = tag(bytes);
    let answer = move |headers: HeaderMap| async move { serve(&headers, "application/json", bytes, &tag) };
    Router::new().route("/v1/openapi.json", get(answer))
}

fn serve(headers: &HeaderMap, kind: &'static str, bytes: &'static [u8], tag: &HeaderValue) -> Response {
    let common = [
        (header::ETAG, tag.clone()),
        // Kept, but asked for each time: a deployment must not mix two versions.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(tag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let own = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (common, own, bytes).into_response()
}

/// Names the content: another build of the same files has the same.
fn tag(bytes: &[u8]) -> HeaderValue {
    let mut hash = DefaultHasher::new();
    bytes.hash(&mut hash);
    HeaderValue::try_from(format!("\"{:016x}\"", hash.finish())).expect("hexadecimal digits in quotes")
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::Request};
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str, tag: Option<&HeaderValue>) -> Response {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(tag) = tag {
            request.headers_mut().insert(header::IF_NONE_MATCH, tag.clone());
        }
        router().oneshot(request).await.unwrap()
    }

    #[test]
    fn every_file_of_the_folder_is_served_but_for_the_tests() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let wanted = !name.contains(".test.")
                && [".html", ".css", ".js", ".svg"].iter().any(|e| name.ends_with(e));
            assert_eq!(FILES.iter().any(|(file, ..)| *file == name), wanted, "`{name}` in pages.rs");
        }
    }

    #[tokio::test]
    async fn the_page_may_load_only_its_own_and_is_not_sent_twice() {
        let page = ask("/", None).await;
        assert_eq!(page.status(), 200);
        assert_eq!(page.headers()["content-type"], HTML);
        assert_eq!(page.headers()["cache-control"], "no-cache");
        assert_eq!(page.headers()["content-security-policy"], POLICY);
        let again = ask("/", Some(&page.headers()["etag"])).await;
        assert_eq!(again.status(), 304);
        assert_eq!(ask("/app.js", Some(&page.headers()["etag"])).await.status(), 200);
        assert_eq!(ask("/store.test.mjs", None).await.status(), 404);
    }
}
