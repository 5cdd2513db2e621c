//! One case's own users and thread, and the write that is under test.

use client::http::{Answer, Api};
use domain::{ids::UserId, limits};
use http::StatusCode;
use serde_json::{Value, json};
use tests::{
    faults::{Call, Fault, Faults, Moment},
    world::{Side, World},
};

/// The idempotency key of the write under test.
const KEY: &str = "the-key";

/// A write of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// A message in a group.
    Message,
    /// A message in a group whose last message nobody has fanned out.
    Behind,
    /// A message in a direct thread.
    Direct,
    /// A message in a group so large that it goes out by a chain of two jobs.
    Large,
    /// A message given another text.
    Edit,
    /// A message deleted.
    Delete,
    /// A reaction put under a message.
    React,
    /// One taken away.
    Unreact,
    /// A group renamed.
    Rename,
    /// Seen in a group.
    Seen,
    /// Seen in a direct thread.
    SeenDirect,
    /// A member put in.
    Add,
    /// One put in again whose removal nobody has fanned out.
    AddAgain,
    /// A member taken out.
    Remove,
    /// A group created, with users who have no inbox yet.
    CreateGroup,
    /// A direct thread created, with users who have no inbox yet.
    CreateDirect,
}

impl Write {
    /// Who has to hear of it, or nobody.
    pub(crate) fn concerns(self) -> &'static [&'static str] {
        match self {
            Self::Add | Self::AddAgain | Self::Remove => &["alice", "bob", "carol"],
            _ => &["alice", "bob"],
        }
    }

    /// The one whom the write makes a member.
    pub(crate) fn joins(self) -> Option<&'static str> {
        matches!(self, Self::Add | Self::AddAgain).then_some("carol")
    }

    /// Whether it is a message.
    pub(crate) fn says(self) -> bool {
        matches!(self, Self::Message | Self::Behind | Self::Direct | Self::Large)
    }

    /// The one who is no member after the write.
    pub(crate) fn leaves(self) -> Option<&'static str> {
        (self == Self::Remove).then_some("carol")
    }
}

/// Where one case plays.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    /// Everything else.
    pub(crate) world: &'a World,
    /// The write under test.
    pub(crate) write: Write,
    /// What tells its users from those of other cases.
    pub(crate) tag: usize,
    /// The thread, if it was there before the write.
    pub(crate) thread: Option<String>,
}

impl<'a> Stage<'a> {
    /// Prepares all that comes before the write.
    pub(crate) async fn set(world: &'a World, write: Write, tag: usize) -> Self {
        let mut stage = Self { world, write, tag, thread: None };
        let alice = stage.user("alice");
        let members: Vec<String> = match write {
            Write::CreateGroup => return stage,
            Write::CreateDirect => {
                // The first of all makes the key of their ids, with calls that no other makes.
                let [a, b] = ["alice", "bob"].map(|who| UserId::parse(&stage.name(who)).unwrap());
                world.table.direct_id(&a, &b).await.unwrap();
                return stage;
            }
            Write::AddAgain | Write::Remove => ["bob", "carol"].map(|who| stage.name(who)).into(),
            _ => vec![stage.name("bob")],
        };
        let new = match write {
            Write::Direct | Write::SeenDirect => json!({"members": members}),
            _ => json!({"members": members, "title": "club"}),
        };
        let thread = alice.thread(new).await;
        stage.thread = Some(thread.clone());
        match write {
            Write::Seen | Write::SeenDirect | Write::Edit | Write::Delete | Write::React => {
                alice.say(&thread, "read me").await;
            }
            Write::Unreact => {
                alice.say(&thread, "read me").await;
                let put = stage.user("bob").call("PUT", &stage.reaction(), None, &[]).await;
                assert!(put.status.is_success(), "{put:?}");
            }
            Write::Large => {
                world.swell(&thread, &stage.name("bob"), stage.others()).await;
            }
            Write::Behind => {
                let path = format!("/v1/threads/{thread}/messages");
                stage.leave_behind("POST", &path, Some(json!({"text": "left behind"}))).await;
            }
            Write::AddAgain => stage.leave_behind("DELETE", &stage.member("carol"), None).await,
            _ => {}
        }
        stage
    }

    /// Commits something of alice's, by a process that then dies.
    async fn leave_behind(&self, method: &str, path: &str, body: Option<Value>) {
        let side = self.world.side().await;
        side.faults.on(Call::to("TransactWriteItems"), Fault::Die(Moment::After));
        let alice = Api { address: side.api, ..self.user("alice") };
        let answer = until_death(&side.faults, alice.call(method, path, body, &[])).await;
        assert!(answer.is_none(), "{answer:?}");
        side.kill();
    }

    /// The name of one of its users.
    pub(crate) fn name(&self, who: &str) -> String {
        format!("{who}-{}", self.tag)
    }

    /// The members besides those whom [`Write::concerns`] names: in a large thread, all that come
    /// between alice and bob.
    pub(crate) fn others(&self) -> impl Iterator<Item = String> {
        let many = if self.write == Write::Large { limits::INLINE_MEMBERS } else { 0 };
        (0..many).map(|n| self.name(&format!("b{n:02}")))
    }

    /// The healthy API, as one of its users has it.
    pub(crate) fn user(&self, who: &str) -> Api {
        self.world.as_user(&self.name(who))
    }

    fn member(&self, who: &str) -> String {
        format!("/v1/threads/{}/members/{}", self.thread.as_ref().unwrap(), self.name(who))
    }

    /// The one message.
    fn message(&self) -> String {
        format!("/v1/threads/{}/messages/2", self.thread.as_ref().unwrap())
    }

    fn reaction(&self) -> String {
        format!("{}/reactions/+1", self.message())
    }

    /// Asks for the write at `side`, or the healthy API, always with the same key.
    pub(crate) async fn ask(&self, side: Option<&Side>) -> Answer {
        let (who, method, path, body) = self.request();
        let mut api = self.user(who);
        api.address = side.map_or(api.address, |side| side.api);
        api.call(method, &path, body, &[("idempotency-key", KEY)]).await
    }

    /// The same request as the bytes that a client sends.
    pub(crate) fn raw(&self) -> String {
        let (who, method, path, body) = self.request();
        let token = self.user(who).token.unwrap();
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: api\r\nauthorization: Bearer {token}\r\nidempotency-key: {KEY}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    /// Who asks for the write, and how.
    fn request(&self) -> (&'static str, &'static str, String, Option<Value>) {
        let thread = self.thread.as_deref().unwrap_or_default();
        match self.write {
            Write::Message | Write::Behind | Write::Direct | Write::Large => {
                let path = format!("/v1/threads/{thread}/messages");
                ("alice", "POST", path, Some(json!({"text": "under test"})))
            }
            Write::Seen | Write::SeenDirect => {
                ("bob", "POST", format!("/v1/threads/{thread}/seen"), Some(json!({"number": 1})))
            }
            Write::Edit => ("alice", "PATCH", self.message(), Some(json!({"text": "under test"}))),
            Write::Delete => ("alice", "DELETE", self.message(), None),
            Write::React => ("bob", "PUT", self.reaction(), None),
            Write::Unreact => ("bob", "DELETE", self.reaction(), None),
            Write::Rename => {
                ("bob", "PATCH", format!("/v1/threads/{thread}"), Some(json!({"title": "renamed"})))
            }
            Write::Add | Write::AddAgain => ("alice", "PUT", self.member("carol"), None),
            Write::Remove => ("alice", "DELETE", self.member("carol"), None),
            Write::CreateGroup => {
                let body = json!({"members": [self.name("bob")], "title": "club"});
                ("alice", "POST", "/v1/threads".into(), Some(body))
            }
            Write::CreateDirect => {
                ("alice", "POST", "/v1/threads".into(), Some(json!({"members": [self.name("bob")]})))
            }
        }
    }

    /// A later message, if there is a thread.
    pub(crate) async fn say(&mut self, text: &str) -> bool {
        let alice = self.user("alice");
        if self.thread.is_none() {
            let list = alice.get("/v1/threads").await.body;
            self.thread = list["items"][0]["id"].as_str().map(Into::into);
        }
        let Some(thread) = &self.thread else { return false };
        let path = format!("/v1/threads/{thread}/messages");
        let said = alice.post(&path, json!({"text": text})).await;
        assert_eq!(said.status, StatusCode::CREATED, "{said:?}");
        true
    }
}

/// What `doing` comes to, unless the process dies first.
pub(crate) async fn until_death<T>(faults: &Faults, doing: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = faults.died() => None,
        done = doing => Some(done),
    }
}
