//! What may have been done last before the backup.

use super::cast::Act;
use domain::{
    event::Role,
    sequence::{MessageNumber, ThreadSeq},
};

/// What a group has been through.
const GROUP: &[Act] = &[
    Act::Create,
    Act::Send("one"),
    Act::BobSends("two"),
    Act::Edit(ThreadSeq(2), "one again"),
    Act::Send("old secret"),
    Act::Delete(ThreadSeq(5)),
    Act::React(ThreadSeq(2)),
    Act::Add("carol"),
    Act::Remove("carol"),
    Act::Title("club two"),
    Act::Send("new secret"),
    Act::Seen(MessageNumber(2)),
];

/// What a direct thread has been through.
const DIRECT: &[Act] = &[
    Act::CreateDirect,
    Act::Send("one"),
    Act::BobSends("two"),
    Act::Edit(ThreadSeq(2), "one again"),
    Act::Send("old secret"),
    Act::Delete(ThreadSeq(5)),
    Act::Send("new secret"),
    Act::Seen(MessageNumber(2)),
];

/// The tseq of the message that deeds are about.
const ONE: ThreadSeq = ThreadSeq(2);

/// The last that was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed {
    pub(crate) name: &'static str,
    pub(crate) direct: bool,
    /// What was done, and told to all.
    pub(crate) history: &'static [Act],
    /// What was done then, and told to nobody.
    pub(crate) left: &'static [Act],
    /// What a restore holds a half of.
    pub(crate) last: &'static [Act],
}

const fn group(name: &'static str, left: &'static [Act], last: &'static [Act]) -> Deed {
    Deed { name, direct: false, history: GROUP, left, last }
}

const fn direct(name: &'static str, left: &'static [Act], last: &'static [Act]) -> Deed {
    Deed { name, direct: true, history: DIRECT, left, last }
}

/// All deeds. One store call is one transaction, but for the head of an inbox, which is put before
/// the first.
pub(crate) const DEEDS: &[Deed] = &[
    group("message", &[], &[Act::Send("said")]),
    group("message-behind", &[Act::BobSends("left")], &[Act::Send("said")]),
    group("two-messages", &[], &[Act::Send("said"), Act::BobSends("replied")]),
    group("message-and-fan", &[], &[Act::Send("said"), Act::Fan("bob")]),
    group("fan", &[Act::Send("said")], &[Act::Fan("bob")]),
    group("fan-to-author", &[Act::Send("said")], &[Act::Fan("alice")]),
    group("fan-of-two", &[Act::Send("said"), Act::Title("three")], &[Act::Fan("bob")]),
    group("edit", &[], &[Act::Edit(ONE, "one more")]),
    group("delete", &[], &[Act::Delete(ThreadSeq(11))]),
    group("react", &[], &[Act::React(ThreadSeq(3))]),
    group("title", &[], &[Act::Title("three")]),
    group("title-and-fan", &[], &[Act::Title("three"), Act::Fan("bob")]),
    group("add", &[], &[Act::Add("erin")]),
    group("add-and-fan", &[], &[Act::Add("erin"), Act::Fan("erin")]),
    group("add-both", &[], &[Act::AddBoth(["carol", "erin"])]),
    group("add-both-and-fan", &[], &[Act::AddBoth(["carol", "erin"]), Act::Fan("erin")]),
    group("add-again", &[], &[Act::Add("carol")]),
    group("appoint", &[], &[Act::Appoint("bob", Role::Moderator)]),
    group("hand-over", &[], &[Act::Appoint("dave", Role::Owner)]),
    group("remove", &[], &[Act::Remove("dave")]),
    group("remove-and-fan", &[], &[Act::Remove("dave"), Act::Fan("dave")]),
    group("seen", &[], &[Act::Seen(MessageNumber(4))]),
    group("fan-seen", &[Act::Seen(MessageNumber(4))], &[Act::FanSeen(MessageNumber(4))]),
    group("nothing", &[], &[Act::Add("bob")]),
    Deed { name: "create", direct: false, history: &[], left: &[], last: &[Act::Create] },
    Deed {
        name: "create-and-fan",
        direct: false,
        history: &[],
        left: &[Act::Create],
        last: &[Act::Fan("bob")],
    },
    direct("direct", &[], &[Act::Send("said")]),
    direct("direct-reply", &[], &[Act::BobSends("said")]),
    direct("direct-edit", &[], &[Act::Edit(ONE, "one more")]),
    direct("direct-delete", &[], &[Act::Delete(ThreadSeq(7))]),
    direct("direct-seen", &[], &[Act::Seen(MessageNumber(4))]),
    Deed { name: "direct-create", direct: true, history: &[], left: &[], last: &[Act::CreateDirect] },
];
