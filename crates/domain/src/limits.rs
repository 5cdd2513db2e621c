//! Every limit of the service, with its reason. A limit that is a setting has its default here.

use std::time::Duration;

use crate::rate::Policy;

/// Longest message text, in bytes of UTF-8. Leaves an envelope and a frame far below the 60 KiB
/// at which some SSE clients fail, and a row far below DynamoDB's 400 KB.
pub const MESSAGE_BYTES: usize = 16 * 1024;
/// What a message has besides its text, in bytes of JSON: attachments, mentions and data together.
pub const EXTRAS_BYTES: usize = 4 * 1024;
/// Files of one message.
pub const ATTACHMENTS: usize = 10;
/// Users whom one message mentions: each of them is to be notified.
pub const MENTIONS: usize = 20;
/// Longest address of a file, in bytes. Longer ones fail in some browsers and proxies.
pub const ADDRESS_BYTES: usize = 2_048;
/// Largest request body, in bytes: a message whose every character is escaped, and what else it has.
pub const BODY_BYTES: usize = 40 * 1024;
/// Longest thread title, in bytes.
pub const TITLE_BYTES: usize = 200;
/// Longest name of a user, in characters: what a line of a list has room for.
pub const NAME_CHARS: usize = 80;
/// What an application keeps with a profile, in bytes of JSON. With a name and an address the row stays below 4 KB, which one
/// read unit covers.
pub const PROFILE_DATA_BYTES: usize = 1_024;
/// Longest address of a user's picture, in bytes.
pub const AVATAR_BYTES: usize = 512;
/// Users whose profiles one request reads, or one answer brings: as many as one `BatchGetItem` takes.
pub const PROFILES: usize = 100;
/// Longest part of a message shown in a list of threads, in bytes: two lines on a wide screen.
pub const PREVIEW_BYTES: usize = 160;
/// Longest reaction, in bytes: a kiss of two people, each with a skin tone, has 35.
pub const EMOJI_BYTES: usize = 40;
/// Different reactions under one message: more than anybody reads, and an end to the row's growth.
pub const MESSAGE_EMOJI: usize = 20;
/// Users named under one reaction of a message; from there on a count would say as much.
pub const EMOJI_USERS: usize = 64;
/// Reactions under one message in all: with the longest user ids they and the longest message stay
/// below the 60 KiB at which some SSE clients fail, see below.
pub const MESSAGE_REACTIONS: usize = 128;
/// Longest `Idempotency-Key`, in bytes, as services of the field have it. It lies in the row of its entry, which is larger
/// by so much: a text and a key of more than about 700 bytes cost one write unit more.
pub const KEY_BYTES: usize = 255;
/// Longest user id, in bytes: the `sub` claims of the common identity providers fit.
pub const USER_BYTES: usize = 128;
/// Largest token or cookie looked at, in bytes.
pub const TOKEN_BYTES: usize = 8 * 1024;
/// The idle timeout of connections while less than a fifth of a listener's places is free. A client opens another
/// connection for its next request.
pub const SCARCE_IDLE: Duration = Duration::from_secs(5);
/// Users whom one user has blocked: 8 bytes each in the user row. At most two write units more for each event of a user who
/// blocks so many.
pub const BLOCKS: usize = 200;
/// Ended sessions in a user row, 8 bytes each. One more ends all sessions of the user, and empties the list.
pub const ENDED_SESSIONS: usize = 16;
/// How long a stream lives that a back end has opened for a user: so long does one outlive the back end's own sessions.
pub const ACTED_LIFE: Duration = Duration::from_mins(10);

/// Members of one thread: each message costs one update per member.
pub const THREAD_MEMBERS: usize = 1_000;
/// Members named when a thread is created, and users added to one by one event: a row each, with one of the creator's and
/// four more, fit one transaction of 100 items (`TransactWriteItems`).
pub const CREATE_MEMBERS: usize = 90;
/// Threads that one user has created or accepted: a listing reads them all.
pub const USER_THREADS: usize = 1_000;
/// Invitations that a list shows, the latest: strangers make them, and more would bury those of friends.
pub const INVITATIONS_SHOWN: usize = 100;
/// Views that one fold puts on the shelf: twice as many as can come into their places from one such fold to the next.
pub const SHELVED_AT_ONCE: usize = 2 * INVITATIONS_SHOWN;
/// Members named in a thread list; the thread itself names all.
pub const LISTED_MEMBERS: usize = 8;
/// Members up to which the request that commits an event also fans it out; also the members of
/// one link of a chain of jobs.
pub const INLINE_MEMBERS: usize = 50;
/// Members whose inboxes one link grows at a time: two waves a link, so that it can stop early.
pub const LINK_AT_ONCE: usize = 25;
/// Members up to which `seen` is told to the other members; above it costs N² appends.
pub const SEEN_MEMBERS: usize = 64;
/// Members up to which typing is told at all.
pub const TYPING_MEMBERS: usize = 20;

/// New messages of one user: nobody types faster for long, and a program that does is a flood.
pub const SENDS: [Policy; 1] = [Policy::new("send", 20, 10)];
/// Edits, deletions, reactions, titles, and members put in or taken out, of one user.
pub const CHANGES: [Policy; 1] = [Policy::new("change", 40, 10)];
/// New threads of one user.
pub const CREATIONS: [Policy; 2] = [Policy::new("create", 10, 60), Policy::new("create-hour", 60, 3_600)];
/// Users whom one user brings into threads: each of them finds one more in their list.
pub const INVITATIONS: [Policy; 1] = [Policy::new("invite", 200, 3_600)];
/// Marks of how far one user has read: a page that is scrolled sends some each second.
pub const MARKS: [Policy; 1] = [Policy::new("seen", 5, 1)];
/// Signs of typing of one user in one thread: one a second, and its end.
pub const TYPING: [Policy; 1] = [Policy::new("typing", 2, 2)];
/// Reactions that one user adds to or removes from one message. A user seldom needs more, and each change is an event of the
/// thread.
pub const TOGGLES: [Policy; 1] = [Policy::new("toggle", 10, 60)];
/// Profiles that one user sets: with the next message, everybody who gets it reads the new one.
pub const PROFILE_CHANGES: [Policy; 1] = [Policy::new("profile", 20, 3_600)];
/// Tickets and cookies for streams of one user: all the streams that a user may have, opened several times.
pub const TICKETS: [Policy; 1] = [Policy::new("ticket", 30, 60)];
/// Reads of one user: a page that is loaded makes some at once.
pub const READS: [Policy; 1] = [Policy::new("read", 20, 1)];
/// Accepted requests of one user that are repeated, and do not count again: a network that loses answers makes some.
pub const REPEATS: [Policy; 1] = [Policy::new("repeat", 40, 10)];

/// How long a write waits for a count of its user's requests. After that it goes on without.
pub const COUNT_TIME: Duration = Duration::from_millis(500);

/// Items of one page of a list.
pub const PAGE_ITEMS: usize = 50;
/// Reads of the log for one page of messages: each brings up to 1 MB (`Query`). A thread where more lies between two
/// messages has short pages.
pub const MESSAGE_READS: usize = 3;
/// Most items a client may ask for in one page.
pub const PAGE_ITEMS_MAX: usize = 100;

/// Entries appended to a user row by one update: as many as a page takes, so that a fold soon makes room.
pub const APPEND_BATCH: usize = 16;
/// Tries in vain, one after the other, before the request is told to come back (503): writes that others
/// win, reads of what is not visible yet or that bring nothing.
pub const FUTILE_TRIES: u32 = 8;
/// Inbox events behind which a stream is told to list again instead of replaying.
pub const REPLAY_EVENTS: u64 = 1_000;
/// Inbox events read at once while replaying: a `BatchGetItem` takes 100 keys.
pub const REPLAY_PAGE: usize = 50;
/// Bytes of these that a stream keeps while it ships them, or one event: a reader that takes them one by
/// one must not make the edge hold 50 of the longest.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Frames that the hub keeps per connected user; a stream further behind reads the inbox.
pub const RING_FRAMES: usize = 64;
/// Bytes of these frames: a user with a queue of their own and eight streams that do not read may cost half
/// a MiB all in. Beyond three of the longest messages in one receive, the inbox is read for what came first.
pub const RING_BYTES: usize = 64 * 1024;
/// Reads of inboxes that all streams of an edge together may have under way: a crowd that comes back
/// after an outage of DynamoDB must not be the next one.
pub const INBOX_READS: usize = 64;
/// Streams of one user on one edge: several windows and devices, no runaway tab.
pub const USER_STREAMS: usize = 8;
/// Streams of one client address on one edge (`RUNNEL_ADDRESS_STREAMS`): an office behind one
/// address, but no flood.
pub const ADDRESS_STREAMS: usize = 256;
/// Streams of one edge (`RUNNEL_MAX_STREAMS`); below [`CONNECTIONS`], so that whoever comes on top
/// can still be told to come back later.
pub const EDGE_STREAMS: usize = 18_000;
/// Open connections of one process; below the 20,000 files a process may usually have.
pub const CONNECTIONS: usize = 19_000;
/// Events in one answer to a poll; the client comes back for the rest at once.
pub const POLL_EVENTS: usize = 100;
/// Bytes of events in one answer to a poll beyond which it takes no more.
pub const POLL_BYTES: usize = 256 * 1024;
/// Queues that one edge creates in a second: `CreateQueue` has an unpublished throttle.
pub const QUEUE_CREATES_PER_SECOND: u32 = 20;
/// Largest envelope written, in bytes; SQS takes 256 KiB everywhere. A larger one carries no
/// event and only says that the inbox is to be read.
pub const ENVELOPE_BYTES: usize = 200 * 1024;
/// Recipients of one envelope: a `per-edge` queue serves many members of one thread.
pub const ENVELOPE_RECIPIENTS: usize = 500;

/// How long an inbox keeps an event (`RUNNEL_INBOX_DAYS`).
pub const INBOX_DAYS: u16 = 7;
/// How long an idempotency key is remembered; a phone may send its outbox a day later.
pub const KEY_LIFE: Duration = Duration::from_hours(48);
/// The longest that a write may run. Its client may have given up long before and asked again with the same key: once
/// the key is forgotten, a try of the first request would write a second time.
pub const WRITE_LIFE: Duration = Duration::from_secs(300);
/// How long a ticket may wait for its stream.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);
/// How long `typing` is shown after its post.
pub const TYPING_TTL: Duration = Duration::from_secs(6);
/// Least time between two typing events of one user in one thread on one edge.
pub const TYPING_PERIOD: Duration = Duration::from_secs(1);

/// How long an outbox row stays unchanged before an observer takes it: until then the request that wrote it delivers.
pub const OUTBOX_GRACE: Duration = Duration::from_secs(5);
/// The same for a row that is claimed: longer than one link of a chain works.
pub const OUTBOX_HOLD: Duration = Duration::from_secs(30);
/// How young the entry before a new one has to be for an append without a read: a member's row then has it, unless many
/// events of other threads have come since.
pub const HOT_THREAD: Duration = Duration::from_mins(2);
/// The longest that one link of a chain works before it hands the rest on.
pub const LINK_TIME: Duration = Duration::from_secs(20);
/// What a Lambda keeps of its time to hand on what it has not done.
pub const LAMBDA_RESERVE: Duration = Duration::from_secs(3);
/// The longest that one sweep of the outbox takes rows up.
pub const SWEEP_TIME: Duration = Duration::from_secs(45);
/// Outbox rows that a sweep runs at a time.
pub const SWEEP_AT_ONCE: usize = 8;
/// How long a received job is hidden before another receive may have it: longer than a link
/// holds the outbox row, so that it finds the row free.
pub const JOB_VISIBILITY: Duration = Duration::from_secs(60);
/// How long a job is kept: the outbox row outlives it.
pub const JOB_RETENTION: Duration = Duration::from_hours(1);
/// Receives of a job after which it lies with the dead: the outbox row stays, and the sweeper.
pub const JOB_RECEIVES: u32 = 5;
/// How long a dead job is kept for a person to look at: the longest that SQS allows.
pub const DEAD_JOB_RETENTION: Duration = Duration::from_hours(14 * 24);

/// How long a process of the API believes what it has read of a user's revocations. With the read's own delay, a revoked
/// token is refused everywhere within ten seconds.
pub const CUTOFF_READ: Duration = Duration::from_secs(8);

/// Time between two beats of an edge.
pub const BEAT_PERIOD: Duration = Duration::from_secs(5);
/// Without a confirmed beat for this long an edge receives and acks nothing.
pub const BEAT_LAPSE: Duration = Duration::from_secs(15);
/// A beat that has not moved for this long on an observer's own clock marks its edge dead; also
/// the age up to which an edge's row counts for presence.
pub const BEAT_DEAD: Duration = Duration::from_secs(30);
/// How old the list of edges may be that presence is told from.
pub const EDGES_LATELY: Duration = Duration::from_secs(5);
/// How long an edge keeps a user's lease after the last stream.
pub const LINGER: Duration = Duration::from_secs(10);
/// Time between two looks of one edge for queues that nobody uses: each reads the whole registry.
pub const REAP_PERIOD: Duration = Duration::from_hours(12);
/// How long a user's queue may lie unused before the reaper takes it.
pub const QUEUE_IDLE: Duration = Duration::from_hours(72);
/// How long a queue in the registry may have no lease: whoever creates it is about to put one.
pub const QUEUE_ORPHANED: Duration = Duration::from_hours(1);
/// How long a cursor above the inbox is read again before it is believed: the image may have been an old one.
pub const CURSOR_PATIENCE: Duration = Duration::from_secs(2);
/// The longest pause between two reads of a content that is not visible yet.
pub const LATE_PAUSE: Duration = Duration::from_secs(2);

/// How exact an edge keeps the time of its streams. No stream needs it better, and pings that are written together cost
/// less than each by itself.
pub const TIMER_TICK: Duration = Duration::from_millis(100);
/// Time between two pings (`RUNNEL_PING_SECONDS`); proxies cut at 30 to 60 s of silence.
pub const PING: Duration = Duration::from_secs(15);
/// The longest that a poll waits: below the 29 s at which API gateways give up, and the 30 s of
/// CloudFront.
pub const POLL_WAIT: Duration = Duration::from_secs(25);
/// Time from activity to the next comparison of a user's cursor with the user row (`RUNNEL_HEAD_CHECK_SECONDS`). While
/// nothing is found, each further one takes twice as long, up to [`HEAD_CHECK_MAX`].
pub const HEAD_CHECK: Duration = Duration::from_secs(60);
/// The longest time between two comparisons. They cover only double faults: a writer that dies between commit and post
/// and whose client never asks again, or an envelope lost inside SQS.
pub const HEAD_CHECK_MAX: Duration = Duration::from_mins(10);
/// No byte written for this long closes a stream.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// How long a request head may take to arrive; axum's own `serve` has no such limit.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Age at which a stream ends, ± 20 % at random, so that a fleet rebalances.
pub const STREAM_AGE: Duration = Duration::from_mins(60);
/// `retry` of streams that are told to come back later, in milliseconds.
pub const RETRY_LATER_MS: std::ops::RangeInclusive<u32> = 10_000..=60_000;

/// How long a queue keeps an envelope: the inbox is the truth.
pub const QUEUE_RETENTION: Duration = Duration::from_mins(2);
/// How long a received envelope is hidden before another receive may have it.
pub const QUEUE_VISIBILITY: Duration = Duration::from_secs(2);
/// How long a receive waits: the longest that SQS allows.
pub const QUEUE_WAIT: Duration = Duration::from_secs(20);

const _: () = assert!(
    MESSAGE_BYTES * 2 + EXTRAS_BYTES + 1_000 < BODY_BYTES,
    "a message of quotes, and what is around it, must fit a body"
);
/// The rest of a frame with a message: its name and id, the thread three times, the author twice, the key, and numbers.
const FRAME_REST: usize = 2 * USER_BYTES + KEY_BYTES + 800;
const _: () = assert!(
    MESSAGE_BYTES * 2
        + EXTRAS_BYTES
        + MESSAGE_REACTIONS * (USER_BYTES + 3)
        + MESSAGE_EMOJI * (EMOJI_BYTES + 6)
        + FRAME_REST
        < 59 * 1024,
    "a message and its reactions fit a frame",
);
const _: () =
    assert!(NAME_CHARS * 4 + AVATAR_BYTES + PROFILE_DATA_BYTES < 3 * 1024, "a profile is one read unit");
const _: () = assert!(CREATE_MEMBERS + 1 + 4 <= 100, "creation is one transaction");
const _: () = assert!(LINK_TIME.as_secs() < OUTBOX_HOLD.as_secs(), "a link that works is not swept");
const _: () = assert!(OUTBOX_HOLD.as_secs() < JOB_VISIBILITY.as_secs(), "a job that comes again may go on");
const _: () = assert!(BEAT_PERIOD.as_secs() * 3 <= BEAT_LAPSE.as_secs(), "two beats may be lost");
const _: () = assert!(BEAT_LAPSE.as_secs() < BEAT_DEAD.as_secs(), "an edge stops before others take over");
const _: () = assert!(WRITE_LIFE.as_secs() * 100 < KEY_LIFE.as_secs(), "no write outlives its key");
const _: () = assert!(EDGE_STREAMS < CONNECTIONS, "a full edge still answers");
const _: () = assert!(PING.as_secs() < 30, "CloudFront cuts after 30 s of silence");
