//! Mistakes that the simulator has to catch. Each breaks or bends a rule of the delivery protocol, or a rule that separates
//! users.
//!
//! A mistake is a line of the shipped code behind a switch: [`mistake!`] is true if the run makes this mistake. Without
//! the feature `planted` the switch is the constant `false`, and the compiler drops the line. Only the simulator's own
//! build has the feature (`tests/run mistakes`). The switches are part of the code, so that they move with the code.

/// Whether the named mistake is to be made here.
///
/// The argument is a variant of [`Mistake`]: `mistake!(NoSweep)`.
#[macro_export]
macro_rules! mistake {
    ($name:ident) => {
        $crate::is_made($crate::Mistake::$name)
    };
}

/// Writes the enum and the table from one list.
macro_rules! mistakes {
    ($($rule:literal { $($name:ident: $behaviour:literal,)+ })+) => {
        /// A mistake, named by the behaviour that it breaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mistake {
            $($(#[doc = concat!("Rule ", $rule, ": ", $behaviour, ".")] $name,)+)+
        }

        #[cfg(feature = "planted")]
        impl Mistake {
            /// Every mistake.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// Its name, as [`VARIABLE`] takes it.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)+)+ }
            }

            /// What it breaks: a rule of docs/DELIVERY.md by its number, or else one of docs/THREATS.md.
            pub const fn rule(self) -> &'static str {
                match self { $($(Self::$name => $rule,)+)+ }
            }

            /// What the code does wrong.
            pub const fn behaviour(self) -> &'static str {
                match self { $($(Self::$name => $behaviour,)+)+ }
            }
        }
    };
}

mistakes! {
    "1" {
        NoIdempotencyRow: "a write leaves no idempotency row",
        EntryReplaced: "an entry replaces the one at its place",
        MemberBeforeTail: "membership is read before the tail",
        NoOutboxRow: "a write adds no outbox row",
        OutboxNotRaised: "a write does not raise the target of an existing outbox row",
    }
    "2" {
        WholeBehindGap: "a direct thread is written whole although an inbox lacks earlier entries",
        WholeWithoutLeases: "a direct thread is written whole although a lease has changed since the row was read",
    }
    "4" {
        OwnEntryOnly: "a writer appends its own entry although earlier ones are missing",
        PlaceTakenTwice: "an append does not compare the place",
        ViewForgotten: "an append takes a member's place from the user row alone",
        ViewBeforeRow: "an append reads the view before the user row",
        ViewReadStale: "an append reads the view without consistency",
        UnreadWithoutBefore: "an append without a read does not ask for the entry before",
        UnreadWithoutAfter: "an append without a read does not ask whether the entry is there",
    }
    "5" {
        CutBeforePage: "a fold cuts the row before the page is put",
        CutBeforeViews: "a fold cuts the row before the views are written",
        CutTwice: "a fold cuts the row although another one has",
        ViewWrittenBlindly: "a fold writes a view that has changed since it was read",
        ShelfUnread: "a view that no list shows is looked for only in its place",
    }
    "6" {
        StreamAtPresent: "a stream starts at the present instead of the client's cursor",
        HelloMovesCursor: "hello carries the cursor of the reset that follows",
        EndlessGap: "a stream waits for ever at a page that has expired",
        ReplayOverGap: "a replay ships over a gap",
    }
    "7" {
        LeasesBeforeAppend: "a writer takes the leases from before its append",
    }
    "8" {
        InboxBeforeLease: "an edge reads the inbox before it takes the lease",
        SecondQueue: "an edge takes a second queue for a user",
        TakenUnconditionally: "an edge takes a queue that another one holds",
        GivenUnconditionally: "an edge gives back a queue that another one holds",
        GivenWhileReceiving: "a lease is given back while its consumer still receives",
        TakenWhileGiving: "a lease is taken while it is being given back",
    }
    "9" {
        NoHeadCheck: "an edge never compares a cursor with the user row",
    }
    "11" {
        NoSweep: "no outbox row is swept",
        RaisedRowDeleted: "a delivery deletes an outbox row that was raised meanwhile",
        MembersCutShort: "a short page ends the list of members",
    }
    "12" {
        LeaverToldMore: "a member who left is told of later events",
        LeaverNotTold: "a member who leaves is not told of it",
        LeaverSeesEdits: "a member who left is shown later changes of earlier messages",
        NoHeir: "an owner who leaves leaves a group that nobody owns",
        AnyoneGivesRoles: "any member gives roles",
        AnyoneRemoves: "any member removes others",
        LeaverAddedAgain: "a member who has left by themselves is added again without being asked",
        BlockedHeard: "a user writes to another who has blocked them",
        AnyoneDeletes: "any member deletes messages of others",
        AnyoneAdds: "a member adds others to a group that keeps it to greater roles",
        HistoryOpen: "a new member reads what is older than their joining although the group keeps it to itself",
        HiddenPosted: "a new member is posted the later text of a message that is older than their joining",
        JoinerNotTold: "a new member is not told of joining",
        JoinerToldAll: "a new member is told of earlier events",
        RejoinerNotTold: "a member who comes back is not told of the leaving",
    }
    "14" {
        SeenNotOwed: "seen is lost when its writer dies",
        SeenBeyondEnd: "a member has seen more messages than there are",
        TypingMovesCursor: "typing carries the user's cursor instead of the stream's",
    }
    "15" {
        DeadEdgeGoesOn: "an edge that is marked dead goes on",
    }
    "16" {
        ShownOverGap: "an edge shows an envelope that is not the next event",
    }
    "17" {
        RepairKeepsGeneration: "a repair keeps the generation of an inbox",
    }
    "18" {
        TailUnsettled: "a writer decides on top of a tail that is not settled",
        UnsettledCursor: "a list's cursor counts an event that is not visible yet",
        FoldUnsettled: "a fold moves an entry that is not settled",
        KeyReadPlainly: "a key whose transaction is under way counts as unknown",
        PassedOver: "a replay passes over a content that is not visible yet",
    }
    "tokens" {
        RevokedAsks: "a process never looks again whether a token was revoked",
        RevokedOpens: "a stream opens with a token that was revoked",
        RevokedStays: "a stream goes on after its token was revoked",
        UserActs: "a token without the scope acts for another user",
        KeysShared: "a service that acts for a user uses the user's idempotency keys",
    }
    "members" {
        InvitedAtOnce: "a user whom another makes a member is active at once",
        StrangerReads: "a stranger reads the messages of a direct thread",
        GuestReads: "a former member reads a thread where a process has met them before",
    }
    "floods" {
        Uncounted: "a write does not wait until it is counted",
        CountedEach: "each process counts for itself what all are to count together",
        CopyCounted: "a copy of an accepted request counts again",
        CopyRefused: "a user above the limit is not told what was accepted before",
        TogglesFree: "a reaction is put under a message and taken away without a limit",
    }
    "seals" {
        SealIgnored: "an envelope counts as proven whatever its seal",
        UnprovenShown: "an envelope that is not proven is shown",
    }
}

/// The environment variable that names the mistake to make.
#[cfg(feature = "planted")]
pub const VARIABLE: &str = "PLANTED_MISTAKE";

/// Whether this mistake is to be made; see [`mistake!`].
#[cfg(feature = "planted")]
pub fn is_made(mistake: Mistake) -> bool {
    static MADE: std::sync::OnceLock<Option<Mistake>> = std::sync::OnceLock::new();
    let named = || {
        let name = std::env::var(VARIABLE).ok()?;
        Mistake::ALL.iter().copied().find(|mistake| mistake.name() == name)
    };
    *MADE.get_or_init(named) == Some(mistake)
}

/// Whether this mistake is to be made; see [`mistake!`]. None is, in a program that ships.
#[cfg(not(feature = "planted"))]
pub const fn is_made(_: Mistake) -> bool {
    false
}
