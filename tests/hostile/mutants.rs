//! Good requests with some of their bytes changed.

use std::{collections::BTreeMap, env, fs, time::Duration};

use futures_util::{StreamExt as _, stream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;
use sse_edge::config::Topology;
use tests::{raw::Raw, world::World};
use tokio::{io::AsyncWriteExt as _, time::timeout};

/// How many mutants, unless `RUNNEL_MUTANTS` says otherwise.
const MUTANTS: u64 = 5_000;
/// Sent at a time.
const AT_ONCE: usize = 32;
/// How long one waits for an answer, which does not come if the server waits for the rest of the request.
const WAIT: Duration = Duration::from_millis(250);
/// After so many the group is another one.
const GENERATION: usize = 200;
/// What the memory of the process may grow by, in bytes: emulators, streams and all.
const GROWTH: u64 = 256 * 1024 * 1024;

/// Pieces that parsers of HTTP, JSON and tokens care about.
const PIECES: [&str; 28] = [
    "\r\n",
    "\n",
    "\r\n\r\n",
    "\0",
    " ",
    "\t",
    ":",
    "%00",
    "%2f",
    "%23",
    "../",
    "?",
    "&",
    "=",
    "#",
    "{",
    "}",
    "[",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "-1",
    "18446744073709551616",
    "1e999",
    "content-length: 7\r\n",
    "transfer-encoding: chunked\r\n",
    "\u{feff}",
];

/// A message with everything that one may have.
const RICH: &str = r#"{"text":"hi","reply_to":2,"mentions":["bob"],"data":{"a":{"b":1}},"attachments":[{"url":"https://files.example/a","type":"a/b","name":"a","size":1,"width":2,"height":3}]}"#;

/// A whole profile.
const PROFILE: &str = r#"{"name":"Alice","avatar":"https://files.example/a","data":{"a":1}}"#;

/// A good request, in the parts that are mutated.
struct Good {
    method: &'static str,
    path: String,
    body: &'static str,
}

/// A good request for every route.
fn good(thread: &str, message: &str) -> Vec<Good> {
    let of = |rest: &str| format!("/v1/threads/{thread}{rest}");
    let at = |rest: &str| of(&format!("/messages/{message}{rest}"));
    let good = |method, path, body| Good { method, path, body };
    let group = r#"{"members":["carol"],"title":"t","history":"joined","adds":"owner"}"#;
    vec![
        good("GET", "/v1/threads?limit=5&state=active".into(), ""),
        good("POST", "/v1/threads".into(), group),
        good("GET", of(""), ""),
        good("PATCH", of(""), r#"{"title":"other"}"#),
        good("GET", of("/messages?limit=5"), ""),
        good("GET", of("/messages?around=2"), ""),
        good("POST", of("/messages"), r#"{"text":"hi"}"#),
        good("POST", of("/messages"), RICH),
        good("GET", at(""), ""),
        good("PATCH", at(""), r#"{"text":"ho"}"#),
        good("PATCH", at(""), r#"{"attachments":[],"data":{"a":[1,2.5,null]}}"#),
        good("DELETE", at(""), ""),
        good("PUT", at("/reactions/+1"), ""),
        good("DELETE", at("/reactions/+1"), ""),
        good("POST", of("/seen"), r#"{"number":1}"#),
        good("POST", of("/typing"), r#"{"state":"started"}"#),
        good("GET", of("/presence"), ""),
        good("POST", of("/accept"), ""),
        good("POST", of("/members"), r#"{"users":["carol","erin"]}"#),
        good("PUT", of("/members/dave"), r#"{"role":"member"}"#),
        good("DELETE", of("/members/dave"), ""),
        good("GET", "/v1/me/blocks".into(), ""),
        good("PUT", "/v1/me/blocks/erin".into(), ""),
        good("DELETE", "/v1/me/blocks/erin".into(), ""),
        good("PUT", "/v1/me/profile".into(), PROFILE),
        good("GET", "/v1/users?ids=alice,bob".into(), ""),
        good("POST", "/v1/tickets".into(), ""),
        good("POST", "/v1/session".into(), ""),
        good("PUT", "/v1/users/erin/ban".into(), ""),
        good("DELETE", "/v1/users/erin/sessions/one".into(), ""),
        good("GET", "/v1/events/poll?wait=0&cursor=0000000000000.1".into(), ""),
        good("GET", "/v1/events".into(), ""),
        good("GET", "/v1".into(), ""),
        good("GET", "/v1/openapi.json".into(), ""),
    ]
}

/// A mutant of one of these requests: its path, its body, its headers, or any of it; and whether an edge serves the request.
fn mutant(good: &[Good], token: &str, rng: &mut StdRng) -> (Vec<u8>, bool) {
    let Good { method, path, body } = good.choose(rng).unwrap();
    let is_of_edge = path.starts_with("/v1/events");
    let mut path = path.clone().into_bytes();
    let mut body = body.as_bytes().to_vec();
    let key: u32 = rng.random();
    let mut headers = format!(
        "host: api\r\nconnection: close\r\nauthorization: Bearer {token}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\n"
    )
    .into_bytes();
    let part = rng.random_range(0..10);
    match part {
        0..4 => mutate(&mut path, good, rng),
        4..8 => mutate(&mut body, good, rng),
        8 => mutate(&mut headers, good, rng),
        _ => {}
    }
    let length = format!("content-length: {}\r\n\r\n", body.len());
    let head = [method.as_bytes(), b" ", &path, b" HTTP/1.1\r\n", &headers, length.as_bytes()].concat();
    let mut whole = [head, body].concat();
    if part == 9 {
        mutate(&mut whole, good, rng);
    }
    (whole, is_of_edge)
}

/// Changes some bytes, in one to three places.
fn mutate(bytes: &mut Vec<u8>, good: &[Good], rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            bytes.push(rng.random());
        }
        let at = rng.random_range(0..bytes.len());
        let end = (at + rng.random_range(1..20)).min(bytes.len());
        match rng.random_range(0..7) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part.repeat(rng.random_range(1..20)));
            }
            4 => drop(bytes.splice(at..at, PIECES.choose(rng).unwrap().bytes())),
            5 => drop(bytes.splice(at..end, PIECES.choose(rng).unwrap().bytes())),
            _ => {
                let other = good.choose(rng).unwrap();
                let other = if rng.random() { other.path.as_str() } else { other.body };
                bytes.splice(at..end, other.bytes());
            }
        }
    }
}

/// Sends a mutant of a member's or of a stranger's. Answers with the status, and with what is wrong.
async fn send(
    world: &World,
    good: &[Good],
    [member, stranger]: [&str; 2],
    seed: u64,
) -> (Option<u16>, Option<String>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let is_strange = rng.random_bool(0.25);
    let (bytes, is_of_edge) = mutant(good, if is_strange { stranger } else { member }, &mut rng);
    let address = if is_of_edge { world.edges[0].address } else { world.api };
    let mut raw = Raw::open(address).await;
    raw.socket.write_all(&bytes).await.ok();
    timeout(WAIT, raw.end()).await.ok();
    let statuses = raw.statuses();
    let fault = statuses.iter().any(|status| *status >= 500);
    let leak = is_strange && raw.got.contains("a secret of alice");
    let wrong = (fault || leak).then(|| format!("{seed}: {}\n{}", String::from_utf8_lossy(&bytes), raw.got));
    (statuses.first().copied(), wrong)
}

/// The memory that the process has in use, in bytes.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mutant_of_a_good_request_breaks_anything() {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse().ok());
    let count = number("RUNNEL_MUTANTS").unwrap_or(MUTANTS);
    let seed: u64 = number("RUNNEL_MUTANTS_SEED").unwrap_or_else(rand::random);
    println!("{count} mutants; RUNNEL_MUTANTS_SEED={seed} repeats them");
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let (bob, mallory) = (world.token("bob"), world.token("mallory"));
    let before = resident();
    let (mut answers, mut wrong) = (BTreeMap::<_, u64>::new(), Vec::new());
    for from in (0..count).step_by(GENERATION) {
        // Some mutants delete the message, or take the member out.
        let thread = alice.thread(json!({"members": ["bob"], "title": "all"})).await;
        let message = alice.say(&thread, "a secret of alice and bob").await["tseq"].to_string();
        let good = &good(&thread, &message);
        let generation = from..count.min(from + GENERATION as u64);
        let sent = stream::iter(generation)
            .map(|n| send(&world, good, [&bob, &mallory], seed.wrapping_add(n)))
            .buffer_unordered(AT_ONCE);
        for (status, fault) in sent.collect::<Vec<_>>().await {
            *answers.entry(status.unwrap_or(0)).or_default() += 1;
            wrong.extend(fault);
        }
    }
    println!("answers by status, 0 for none: {answers:?}");
    assert!(answers.get(&200) > Some(&(count / 20)), "mutants reach the routes");
    assert!(wrong.is_empty(), "{} of {count}, seed {seed}; the first: {}", wrong.len(), wrong[0]);
    let growth = resident().saturating_sub(before);
    println!("{} MiB more memory", growth / 1024 / 1024);
    assert!(growth < GROWTH, "{growth} bytes");
    // The API and the edge still serve their users.
    world.edges[0].streams(0).await;
    let carol = alice.thread(json!({"members": ["carol"], "title": "after"})).await;
    let mut stream = world.open(0, "carol", None).await;
    stream.expect("hello").await;
    alice.say(&carol, "hi").await;
    assert_eq!(stream.expect("message").await.data["text"], "hi");
}
