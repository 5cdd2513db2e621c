//! Who plays in a case, and what they do.

use anyhow::bail;
use domain::{
    content::ReactionState,
    event::{History, Role, Settings},
    ids::{Emoji, IdempotencyKey, ThreadId, UserId},
    sequence::{MessageNumber, ThreadSeq},
    version::Expected,
};
use fanout::deliver::Fanout;
use jiff::Timestamp;
use server::clock::Clock;
use store::{
    inbox::delivery::Parcel,
    rate::permit::Permit,
    table::Table,
    write::{Outcome, command::Command, request::WriteRequest, seen::Marked},
};

use super::deeds::Deed;

/// Something that alice does, or bob where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// The group is created, with bob and dave.
    Create,
    /// The direct thread with bob is created.
    CreateDirect,
    /// A message.
    Send(&'static str),
    /// A message of bob's.
    BobSends(&'static str),
    /// Another text for the message with this tseq.
    Edit(ThreadSeq, &'static str),
    /// The message with this tseq goes.
    Delete(ThreadSeq),
    /// A reaction of bob's.
    React(ThreadSeq),
    /// Another title.
    Title(&'static str),
    /// A member comes.
    Add(&'static str),
    /// Two members come at once.
    AddBoth([&'static str; 2]),
    /// A member gets a role.
    Appoint(&'static str, Role),
    /// A member goes.
    Remove(&'static str),
    /// Bob has read as far as this.
    Seen(MessageNumber),
    /// The log is brought to a member's inbox.
    Fan(&'static str),
    /// That bob has read as far as this is brought to alice's inbox.
    FanSeen(MessageNumber),
}

/// The users of one case, and their thread.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    /// What tells their names from those of others.
    pub(crate) tag: String,
    /// Their thread.
    pub(crate) thread: ThreadId,
}

impl Cast {
    pub(crate) fn group(tag: &str) -> Self {
        Self { tag: tag.into(), thread: ThreadId::group(rand::random()) }
    }

    /// The cast of a deed.
    pub(crate) async fn of(deed: Deed, table: &Table, tag: &str) -> Self {
        if deed.direct { Self::direct(table, tag).await } else { Self::group(tag) }
    }

    async fn direct(table: &Table, tag: &str) -> Self {
        let mut cast = Self::group(tag);
        cast.thread = table.direct_id(&cast.user("alice"), &cast.user("bob")).await.unwrap();
        cast
    }

    /// What all of its names end with, and no others do.
    pub(crate) fn mark(&self) -> String {
        format!("={}=", self.tag)
    }

    pub(crate) fn name(&self, who: &str) -> String {
        format!("{who}{}", self.mark())
    }

    pub(crate) fn user(&self, who: &str) -> UserId {
        UserId::parse(&self.name(who)).unwrap()
    }

    fn request(&self, who: &str, act: Act, key: &str, now: Timestamp) -> WriteRequest {
        WriteRequest {
            sender: self.user(who),
            via: None,
            idempotency_key: IdempotencyKey::parse(key).unwrap(),
            key_from_client: true,
            // Another one for another request, and not what it says.
            fingerprint: format!("{:?}", std::mem::discriminant(&act)),
            expected: Expected::Any,
            now,
            permit: Permit::default(),
        }
    }

    /// Does it, always with the same key, and with `fanout` tells the members.
    pub(crate) async fn play(
        &self,
        act: Act,
        key: &str,
        table: &Table,
        fanout: Option<&Fanout>,
    ) -> anyhow::Result<()> {
        let now = Clock::system().now();
        let by = |who| self.request(who, act, key, now);
        let (alice, thread) = (by("alice"), &self.thread);
        let emoji = Emoji::parse("+1").unwrap();
        let write = async |by: WriteRequest, command: Command<'_>| table.write(&by, thread, command).await;
        let sent = match act {
            Act::Create => {
                let others = ["bob", "dave"].map(|who| self.user(who));
                let named =
                    (Some("club".to_owned()), Settings { history: History::Joined, adds: Role::Moderator });
                return written(table.create_group(&alice, thread.clone(), named, &others).await?, fanout)
                    .await;
            }
            Act::CreateDirect => {
                return written(table.create_direct(&alice, &self.user("bob")).await?, fanout).await;
            }
            Act::AddBoth(both) => {
                let users = both.map(|who| self.user(who));
                return written(table.add_members(&alice, thread, &users).await?, fanout).await;
            }
            Act::Add(who) => {
                return written(table.put_member(&alice, thread, &self.user(who), None).await?, fanout).await;
            }
            Act::Appoint(who, role) => {
                let appointed = table.put_member(&alice, thread, &self.user(who), Some(role)).await?;
                return written(appointed, fanout).await;
            }
            Act::Remove(who) => {
                return written(table.remove_member(&alice, thread, &self.user(who)).await?, fanout).await;
            }
            Act::Seen(number) => {
                let marked = table.mark_seen(&self.user("bob"), thread, number, now).await?;
                return seen(marked, fanout).await;
            }
            Act::Fan(who) => {
                let tail = table.tail(thread).await?.unwrap().tseq;
                let user = self.user(who);
                let members = table.members(thread).await?;
                let Some(member) = members.iter().find(|member| member.user == user) else { return Ok(()) };
                let parcel = Parcel { thread, goal: tail, fresh: &[], now };
                let position = table.positions(&[&user], thread).await?.pop().flatten();
                table.deliver_to_inbox(member, parcel, position).await?;
                return Ok(());
            }
            Act::FanSeen(number) => {
                let seen = domain::wire::Seen { thread: thread.clone(), user: self.user("bob"), number };
                table.deliver_seen(&self.user("alice"), &seen, now).await?;
                return Ok(());
            }
            Act::Send(text) => write(alice, Command::Message(&text.into())).await?,
            Act::BobSends(text) => write(by("bob"), Command::Message(&text.into())).await?,
            Act::Edit(message, text) => {
                write(alice, Command::Edit { message, revision: &text.into() }).await?
            }
            Act::Delete(message) => write(alice, Command::Delete { message }).await?,
            Act::React(message) => {
                let state = ReactionState::Added;
                write(by("bob"), Command::React { message, emoji: &emoji, state }).await?
            }
            Act::Title(title) => write(alice, Command::Title { title }).await?,
        };
        written(sent, fanout).await
    }
}

async fn written(outcome: Outcome, fanout: Option<&Fanout>) -> anyhow::Result<()> {
    let entry = match outcome {
        Outcome::Logged(entry, _) | Outcome::Recovered(entry) | Outcome::Replayed(entry) => entry,
        Outcome::LoggedAndDelivered(..) | Outcome::Unchanged => return Ok(()),
    };
    if let Some(fanout) = fanout {
        fanout.logged(&entry, None).await;
    }
    Ok(())
}

async fn seen(marked: Marked, fanout: Option<&Fanout>) -> anyhow::Result<()> {
    match (marked, fanout) {
        (Marked::Committed(seen) | Marked::Owed { owed: seen, .. }, Some(fanout)) => fanout.seen(&seen).await,
        (Marked::Committed(_) | Marked::Owed { .. } | Marked::Delivered(..) | Marked::Already(_), _) => {}
        (other, _) => bail!("{other:?}"),
    }
    Ok(())
}
