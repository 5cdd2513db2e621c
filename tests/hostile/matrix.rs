//! Every route with every kind of credential and role: which status each asker gets, and that a refusal tells nothing.

use client::http::{Answer, Api};
use serde_json::{Value, json};
use server::auth::scope::Scope;
use sse_edge::config::Topology;
use tests::{document::Document, world::World};

/// The sender of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Owner,
    Moderator,
    Member,
    /// Has not accepted yet.
    Invited,
    /// Has left by themselves.
    Left,
    /// Was taken out.
    Removed,
    Stranger,
    /// A service that acts for the member.
    Acting,
    /// A service that may only end sessions and ban, with the member's name.
    Users,
    Anonymous,
    Expired,
    Revoked,
    /// Has a token whose name was changed after it was signed.
    Forged,
    /// Has a token of another stage: another secret has signed it.
    OtherStage,
}

use Asker::{
    Acting, Anonymous, Expired, Forged, Invited, Left, Member, Moderator, OtherStage, Owner, Removed,
    Revoked, Stranger, Users,
};

const ASKERS: [Asker; 14] = [
    Owner, Moderator, Member, Invited, Left, Removed, Stranger, Acting, Users, Anonymous, Expired, Revoked,
    Forged, OtherStage,
];

/// A request, and what the owner, a moderator, a member and a stranger get. `{t}` is a group, and `{m}` a message of the
/// owner in it.
struct Route {
    method: &'static str,
    path: &'static str,
    body: Value,
    answers: [u16; 4],
}

fn route(method: &'static str, path: &'static str, body: Value, answers: [u16; 4]) -> Route {
    Route { method, path, body, answers }
}

const NONE: Value = Value::Null;

fn routes() -> Vec<Route> {
    vec![
        route("GET", "/v1", NONE, [200; 4]),
        route("GET", "/v1/threads", NONE, [200; 4]),
        route("POST", "/v1/threads", json!({"members": ["nobody"]}), [201; 4]),
        route("POST", "/v1/threads", json!({"members": ["nobody"], "title": "new"}), [201; 4]),
        route("GET", "/v1/threads/{t}", NONE, [200, 200, 200, 404]),
        route("PATCH", "/v1/threads/{t}", json!({"title": "other"}), [200, 200, 200, 404]),
        route("GET", "/v1/threads/{t}/messages", NONE, [200, 200, 200, 404]),
        route("POST", "/v1/threads/{t}/messages", json!({"text": "hi"}), [201, 201, 201, 404]),
        route("GET", "/v1/threads/{t}/messages?around={m}", NONE, [200, 200, 200, 404]),
        route(
            "POST",
            "/v1/threads/{t}/messages",
            json!({"text": "hi", "reply_to": 99}),
            [409, 409, 409, 404],
        ),
        route(
            "POST",
            "/v1/threads/{t}/messages",
            json!({"text": "hi", "mentions": ["left"]}),
            [409, 409, 409, 404],
        ),
        route("GET", "/v1/threads/{t}/messages/{m}", NONE, [200, 200, 200, 404]),
        route("GET", "/v1/threads/{t}/messages/1", NONE, [404; 4]),
        route("PATCH", "/v1/threads/{t}/messages/{m}", json!({"text": "ho"}), [200, 403, 403, 404]),
        route("DELETE", "/v1/threads/{t}/messages/{m}", NONE, [204, 204, 403, 404]),
        route("PATCH", "/v1/threads/{t}/messages/1", json!({"text": "ho"}), [404; 4]),
        route("DELETE", "/v1/threads/{t}/messages/99", NONE, [404; 4]),
        route("PUT", "/v1/threads/{t}/messages/{m}/reactions/+1", NONE, [200, 200, 200, 404]),
        route("DELETE", "/v1/threads/{t}/messages/{m}/reactions/+1", NONE, [200, 200, 200, 404]),
        route("POST", "/v1/threads/{t}/seen", json!({"number": 1}), [200, 200, 200, 404]),
        route("POST", "/v1/threads/{t}/typing", json!({"state": "started"}), [202, 202, 202, 404]),
        route("GET", "/v1/threads/{t}/presence", NONE, [200, 200, 200, 404]),
        route("POST", "/v1/threads/{t}/accept", NONE, [204, 204, 204, 404]),
        route("PUT", "/v1/threads/{t}/members/new", NONE, [204, 204, 204, 404]),
        route("PUT", "/v1/threads/{t}/members/new", json!({"role": "moderator"}), [204, 403, 403, 404]),
        route("PUT", "/v1/threads/{t}/members/other", json!({"role": "moderator"}), [204, 403, 403, 404]),
        route("PUT", "/v1/threads/{t}/members/other", json!({"role": "owner"}), [204, 403, 403, 404]),
        route("POST", "/v1/threads/{t}/members", json!({"users": ["new", "newer"]}), [204, 204, 204, 404]),
        route("POST", "/v1/threads/{t}/members", json!({"users": ["new", "left"]}), [403, 403, 403, 404]),
        route("PUT", "/v1/threads/{t}/members/left", NONE, [403, 403, 403, 404]),
        route("DELETE", "/v1/threads/{t}/members/other", NONE, [204, 204, 403, 404]),
        route("DELETE", "/v1/threads/{t}/members/owner", NONE, [204, 403, 403, 404]),
        route("DELETE", "/v1/threads/{t}/members/second", NONE, [204, 403, 403, 404]),
        route("GET", "/v1/me/blocks", NONE, [200; 4]),
        route("PUT", "/v1/me/blocks/nobody", NONE, [204; 4]),
        route("DELETE", "/v1/me/blocks/nobody", NONE, [204; 4]),
        route("PUT", "/v1/me/profile", json!({"name": "Mine"}), [200; 4]),
        route("PUT", "/v1/me/profile", json!({"name": "\u{202e}"}), [422; 4]),
        route("GET", "/v1/users?ids=owner,nobody", NONE, [200; 4]),
        route("POST", "/v1/tickets", NONE, [201; 4]),
        route("POST", "/v1/session", NONE, [204; 4]),
        route("DELETE", "/v1/users/other/sessions", NONE, [403; 4]),
        route("DELETE", "/v1/users/other/sessions/one", NONE, [403; 4]),
        route("PUT", "/v1/users/other/ban", NONE, [403; 4]),
        route("DELETE", "/v1/users/other/ban", NONE, [403; 4]),
    ]
}

impl Asker {
    /// What this one gets where those four get `answers`.
    fn answer(self, route: &Route) -> u16 {
        let [owner, moderator, member, stranger] = route.answers;
        match self {
            Owner => owner,
            Moderator => moderator,
            // Allows the members to add them again.
            Left if route.path.ends_with("/accept") => 204,
            Left | Removed | Stranger => stranger,
            // Its cookie would be one of the service.
            Acting if route.path == "/v1/session" => 403,
            Member | Invited | Acting => member,
            Users => 403,
            Anonymous | Expired | Revoked | Forged | OtherStage => 401,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Owner => "owner",
            Moderator => "moderator",
            Invited => "invited",
            Left => "left",
            Removed => "removed",
            Stranger => "stranger",
            _ => "member",
        }
    }
}

/// The tokens of one world.
struct Doors {
    world: World,
    revoked: Api,
    /// Tokens that the world does not take: expired, forged, of another stage.
    bad: [Api; 3],
}

impl Doors {
    async fn open() -> Self {
        let world = World::start(Topology::PerUser, 0).await;
        // Who is revoked is a user of their own, so that the others' tokens stay good.
        let revoked = world.as_user("revoked");
        assert_eq!(revoked.call("DELETE", "/v1/session?session=true", None, &[]).await.status, 204);
        let good = world.token("member");
        let [head, _, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
        let other = world.token("owner");
        let body = other.split('.').nth(1).unwrap();
        let forged = format!("{head}.{body}.{signature}");
        let expired = world.token_from("member", std::time::Duration::from_hours(2));
        let bad = [expired, forged, world.foreign_token("member")];
        let bad = bad.map(|token| Api { token: Some(token), ..revoked.clone() });
        Self { world, revoked, bad }
    }

    /// The token and the headers of an asker.
    fn of(&self, asker: Asker) -> (Api, Vec<(&'static str, &'static str)>) {
        let world = &self.world;
        let for_member = vec![("runnel-user", "member")];
        match asker {
            Acting => (world.as_service("backend", &[Scope::Act]), for_member),
            Users => (world.as_service("backend", &[Scope::Users]), for_member),
            Anonymous => (Api { token: None, ..self.revoked.clone() }, Vec::new()),
            Expired => (self.bad[0].clone(), Vec::new()),
            Forged => (self.bad[1].clone(), Vec::new()),
            OtherStage => (self.bad[2].clone(), Vec::new()),
            Revoked => (self.revoked.clone(), Vec::new()),
            _ => (world.as_user(asker.name()), Vec::new()),
        }
    }

    /// What a group's owner sees of it.
    async fn as_is(&self, thread: &str) -> [Value; 2] {
        let owner = self.world.as_user("owner");
        let thread = format!("/v1/threads/{thread}");
        let messages = format!("{thread}/messages");
        let mut bodies = [owner.get(&thread).await.body, owner.get(&messages).await.body];
        for body in &mut bodies {
            // The members may have other profiles by now, which are not the group's.
            body["users"].take();
        }
        bodies
    }

    /// A group with its members and former members, and a message of its owner.
    async fn group(&self) -> (String, Value) {
        let owner = self.world.as_user("owner");
        let members = ["moderator", "second", "member", "other", "invited", "left", "removed"];
        let thread = owner.thread(json!({"members": members, "title": "all"})).await;
        let path = |user: &str| format!("/v1/threads/{thread}/members/{user}");
        for user in ["moderator", "second"] {
            let role = Some(json!({"role": "moderator"}));
            assert_eq!(owner.call("PUT", &path(user), role, &[]).await.status, 204);
        }
        let left = self.world.as_user("left");
        assert_eq!(left.call("DELETE", &path("left"), None, &[]).await.status, 204);
        assert_eq!(owner.call("DELETE", &path("removed"), None, &[]).await.status, 204);
        self.world.as_user("member").say(&thread, "here").await;
        let said = owner.say(&thread, "a secret").await;
        (thread, said["tseq"].clone())
    }
}

#[tokio::test]
async fn everybody_gets_on_every_route_what_is_theirs_and_nothing_else() {
    let doors = Doors::open().await;
    let (mut cases, mut wrong) = (0, Vec::new());
    let document = Document::of(&doors.revoked).await;
    let untouched = doors.group().await;
    let before = doors.as_is(&untouched.0).await;
    for route in routes() {
        for asker in ASKERS {
            // What succeeds may change the group.
            let changes = asker.answer(&route) < 400 && route.method != "GET";
            let (thread, message) = if changes { doors.group().await } else { untouched.clone() };
            let path = route.path.replace("{t}", &thread).replace("{m}", &message.to_string());
            let body = Some(route.body.clone()).filter(|body| !body.is_null());
            let (api, headers) = doors.of(asker);
            let answer = api.call(route.method, &path, body, &headers).await;
            let wanted = asker.answer(&route);
            // Of two that create the direct thread with the same user, the second finds it.
            let is_found = wanted == 201 && answer.status == 200 && route.path == "/v1/threads";
            if (answer.status != wanted && !is_found) || !is_proper(&answer) {
                wrong.push(format!("{asker:?}: {} {path}: not {wanted}: {answer:?}", route.method));
            }
            wrong.extend(document.objection(route.method, &path, &answer));
            cases += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{cases} cases");
    assert!(cases >= 400);
    assert_eq!(doors.as_is(&untouched.0).await, before, "what is refused changes nothing");
}

/// Whether a refusal is a problem, and tells nothing.
fn is_proper(answer: &Answer) -> bool {
    let text = answer.body.to_string();
    answer.status.is_success()
        || (answer.body["status"] == answer.status.as_u16()
            && answer.headers.get("content-type").is_some_and(|kind| kind == "application/problem+json")
            && !text.contains("secret"))
}

#[tokio::test]
async fn a_blocked_user_gets_what_one_gets_whose_thread_is_closed() {
    let doors = Doors::open().await;
    let (alice, bob) = (doors.world.as_user("alice"), doors.world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let own = alice.say(&thread, "mine").await["tseq"].clone();
    bob.say(&thread, "stop").await;
    assert_eq!(bob.call("PUT", "/v1/me/blocks/alice", None, &[]).await.status, 204);
    let of = |rest: &str| format!("/v1/threads/{thread}{rest}");
    let message = of(&format!("/messages/{own}"));
    for (method, path, body, status) in [
        ("POST", of("/messages"), json!({"text": "why"}), 403),
        ("PATCH", message.clone(), json!({"text": "why"}), 403),
        ("DELETE", message.clone(), NONE, 403),
        ("PUT", format!("{message}/reactions/+1"), NONE, 403),
        ("DELETE", format!("{message}/reactions/+1"), NONE, 200),
        ("POST", "/v1/threads".into(), json!({"members": ["bob", "carol"]}), 403),
        ("POST", "/v1/threads".into(), json!({"members": ["bob"]}), 200),
        ("GET", of(""), NONE, 200),
        ("GET", of("/messages"), NONE, 200),
        ("GET", message.clone(), NONE, 200),
        ("GET", of("/presence"), NONE, 200),
        ("POST", of("/seen"), json!({"number": 1}), 200),
        ("POST", of("/typing"), json!({"state": "started"}), 202),
        ("PUT", of("/members/carol"), NONE, 409),
        ("DELETE", of("/members/alice"), NONE, 409),
        ("DELETE", of("/members/bob"), NONE, 409),
    ] {
        let body = Some(body).filter(|body| !body.is_null());
        let answer = alice.call(method, &path, body, &[]).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(!answer.body.to_string().contains("block"), "{answer:?}");
    }
}
