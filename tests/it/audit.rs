//! The audit log: who did what to threads, members, sessions and bans.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use server::auth::scope::Scope;
use sse_edge::config::Topology;
use tests::world::World;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt as _, registry};

/// What was logged, as lines of JSON.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines since the last time: each says what was done by whom, to which user, and with which role.
    fn take(&self, thread: &str) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = lines.filter(|line| line["target"] == "audit").map(|line| {
            assert!(line["span"]["request.id"].is_string(), "{line}");
            let field = |name: &str| line[format!("audit.{name}")].as_str();
            let parts = ["act", "by", "via", "thread", "user", "role"].map(field);
            let parts = parts.map(|part| part.map(|part| if part == thread { "here" } else { part }));
            parts.map(|part| part.unwrap_or("-")).join(" ")
        });
        told.collect()
    }
}

/// Who does what, and the lines of it. A path without a version is one of the group.
type Step = (&'static str, &'static str, &'static str, Option<Value>, &'static [&'static str]);

fn steps() -> Vec<Step> {
    let role = || Some(json!({"role": "moderator"}));
    let users = Some(json!({"users": ["dave", "erin"]}));
    vec![
        ("alice", "PATCH", "", Some(json!({"title": "mine"})), &["renamed_thread alice - here - -"]),
        ("alice", "PUT", "/members/carol", None, &["put_member alice - here carol -"]),
        // What changes nothing is no line, nor what is refused.
        ("alice", "PUT", "/members/carol", None, &[]),
        ("bob", "PUT", "/members/carol", role(), &[]),
        ("alice", "PUT", "/members/carol", role(), &["put_member alice - here carol moderator"]),
        (
            "alice",
            "POST",
            "/members",
            users,
            &["put_member alice - here dave -", "put_member alice - here erin -"],
        ),
        ("alice", "DELETE", "/members/dave", None, &["removed_member alice - here dave -"]),
        ("backend for alice", "DELETE", "/members/erin", None, &["removed_member alice backend here erin -"]),
        ("alice", "POST", "/messages", Some(json!({"text": "hi"})), &[]),
        ("alice", "GET", "", None, &[]),
        ("backend", "DELETE", "/v1/users/bob/sessions", None, &["ended_sessions backend - - bob -"]),
        ("backend", "DELETE", "/v1/users/bob/sessions/s1", None, &["ended_session backend - - bob -"]),
        ("backend", "PUT", "/v1/users/bob/ban", None, &["banned backend - - bob -"]),
        ("backend", "DELETE", "/v1/users/bob/ban", None, &["unbanned backend - - bob -"]),
        ("alice", "DELETE", "/v1/session?everywhere=true", None, &["ended_sessions alice - - alice -"]),
    ]
}

#[tokio::test]
async fn each_change_of_members_titles_and_sessions_is_one_line_that_names_who_made_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    let json = fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
    let filter: Targets = "info".parse().unwrap();
    // The service runs on this test's thread.
    let _logs = tracing::subscriber::set_default(registry().with(filter).with(json));
    let world = World::start(Topology::PerUser, 0).await;
    let backend = world.as_service("backend", &[Scope::Act, Scope::Users]);
    let thread = world.as_user("alice").thread(json!({"members": ["bob"], "title": "ours"})).await;
    assert_eq!(lines.take(&thread), ["created_thread alice - here - -"]);
    for (who, method, path, body, wanted) in steps() {
        let (api, headers) = match who {
            "backend" => (backend.clone(), &[][..]),
            "backend for alice" => (backend.clone(), &[("runnel-user", "alice")][..]),
            user => (world.as_user(user), &[][..]),
        };
        let path =
            if path.starts_with("/v1") { path.to_owned() } else { format!("/v1/threads/{thread}{path}") };
        let answer = api.call(method, &path, body, headers).await;
        assert_eq!(lines.take(&thread), wanted, "{method} {path}: {answer:?}");
    }
}
