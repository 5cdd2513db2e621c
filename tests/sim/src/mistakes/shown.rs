//! Mistakes on the way from an inbox to a stream, by the rule that they break.
//! `MISTAKEN` is true where the mistake is to be made.

use super::Mistake;

const BEAT: &str = "sse-edge/src/beat.rs";
const DRIVE: &str = "api-lambda/src/fanout/drive.rs";
const LEASES: &str = "sse-edge/src/leases.rs";
const RING: &str = "sse-edge/src/ring.rs";
const ROUNDS: &str = "sse-edge/src/rounds.rs";
const SPLICE: &str = "sse-edge/src/splice.rs";
const STREAM: &str = "sse-edge/src/stream.rs";
const TEND: &str = "sse-edge/src/tend.rs";
const USER_STREAMS: &str = "sse-edge/src/user_streams.rs";

/// All of them.
pub(super) const MISTAKES: &[Mistake] = &[
    Mistake {
        name: "a stream begins at the present",
        rule: "P5",
        file: STREAM,
        edits: &[(
            "        let mut splice = Splice::new(brought);",
            "        let mut splice = Splice::new(head.filter(|_| MISTAKEN).map_or(brought, Brought::Readable));",
        )],
    },
    Mistake {
        name: "hello carries the cursor of the reset",
        rule: "P5",
        file: SPLICE,
        edits: &[(
            "        let own = *self.own.get_or_insert(head);",
            "        let own = *self.own.get_or_insert(head);
        if MISTAKEN {
            self.own = self.own.map(|own| if own.r#gen == head.r#gen { own } else { head });
        }",
        )],
    },
    Mistake {
        name: "a hole is waited for, for ever",
        rule: "P5",
        file: SPLICE,
        edits: &[(
            "        } else if self.pause.as_ref().is_some_and(|pause| asked_at >= pause.since + limits::HOLE_PATIENCE) {",
            "        } else if !MISTAKEN && self.pause.as_ref().is_some_and(|pause| asked_at >= pause.since + limits::HOLE_PATIENCE) {",
        )],
    },
    Mistake {
        name: "an envelope is shown over a gap",
        rule: "P6",
        file: RING,
        edits: &[("        if seq != self.end + 1 {", "        if seq != self.end + 1 && !(MISTAKEN && seq > self.end) {")],
    },
    Mistake {
        name: "an edge reads the inbox before it takes the lease",
        rule: "P7",
        file: TEND,
        edits: &[
            (
                "        let held = self.user.held();\n",
                "        if MISTAKEN {
            self.read_head().await;
        }
        let held = self.user.held();\n",
            ),
            (
                "        // First the lease, then the inbox.\n        self.user.ask(Ask::HEAD);",
                "        if !MISTAKEN { self.user.ask(Ask::HEAD); }",
            ),
        ],
    },
    Mistake {
        name: "a writer reads the leases before it appends",
        rule: "P7",
        file: DRIVE,
        edits: &[
            (
                "        let now = self.clock.now();\n        let in_time",
                "        let early = members.iter().filter(|_| MISTAKEN).map(|member| self.table.leases(&member.user));
        let early = join_all(early).await;
        let now = self.clock.now();\n        let in_time",
            ),
            (
                "        self.post(&told, fresh.map(inbox::news).as_ref()).await;",
                "        let reached = |user: &UserId| members.iter().zip(&early).any(|(member, leases)| {
            let held = |leases: &Vec<store::leases::Lease>| leases.iter().any(|lease| lease.holder.is_some());
            member.user == *user && leases.as_ref().is_ok_and(held)
        });
        let reached: Vec<Told> = told.iter().filter(|told| !MISTAKEN || reached(&told.user)).cloned().collect();
        self.post(&reached, fresh.map(inbox::news).as_ref()).await;",
            ),
        ],
    },
    Mistake {
        name: "no cursor is compared with HEAD",
        rule: "P8",
        file: ROUNDS,
        edits: &[("        if round.check {", "        if round.check && !MISTAKEN {")],
    },
    Mistake {
        name: "an edge takes a second queue for a user",
        rule: "P8",
        file: LEASES,
        edits: &[(
            "    if let Some(row) = own.next() {",
            "    if let Some(row) = own.next().filter(|_| !MISTAKEN) {",
        )],
    },
    Mistake {
        name: "a replay ships over a hole",
        rule: "P9",
        file: SPLICE,
        edits: &[(
            ".take_while(|(seq, next)| seq == next).count();",
            ".take_while(|(seq, next)| MISTAKEN || seq == next).count();",
        )],
    },
    Mistake {
        name: "typing carries the user's cursor, not the stream's",
        rule: "P14",
        file: USER_STREAMS,
        edits: &[(
            "        match splice.step(view, now) {",
            "        if MISTAKEN
            && let Some(view) = view
            && let Some((version, data)) = state.typings.as_ref().and_then(|typings| typings.after(*shown, now))
        {
            *shown = version;
            let id = crate::frames::Id(Some(view.cursor()));
            return Next::Typing(Frame::new(frame::lines(EventName::Typing, data), id));
        }
        match splice.step(view, now) {",
        )],
    },
    Mistake {
        name: "an edge that counts as dead goes on",
        rule: "P15",
        file: BEAT,
        edits: &[(
            "            Ok(Beat::Confirmed) => {",
            "            Ok(Beat::Refused) if MISTAKEN => {
                shared.fresh.confirm(&boot, sent_at);
                count += 1;
                limits::BEAT_PERIOD
            }
            Ok(Beat::Confirmed) => {",
        )],
    },
    Mistake {
        name: "a lease is given back while its pump still receives",
        rule: "Queues",
        file: TEND,
        edits: &[(
            "            // Nothing may be received on a queue that others may hold.\n            receiving.stop().await;",
            "            if MISTAKEN {
                self.shared.tracker.spawn(async move {
                    tokio::time::sleep(limits::QUEUE_WAIT).await;
                    receiving.stop().await;
                });
            } else {
                receiving.stop().await;
            }",
        )],
    },
    Mistake {
        name: "a lease is taken while it is given back",
        rule: "Queues",
        file: TEND,
        edits: &[(
            "        for attempt in 0..GIVE_TRIES {",
            "        if MISTAKEN {
            let (shared, user) = (self.shared.clone(), self.user.clone());
            self.shared.tracker.spawn(async move { leases::give(&shared, &user.user, known.as_ref(), &me).await.is_ok() });
            return;
        }
        for attempt in 0..GIVE_TRIES {",
        )],
    },
];
