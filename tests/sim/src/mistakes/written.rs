//! Mistakes in what is written, by the rule that they break.
//! `MISTAKEN` is true where the mistake is to be made.

use super::Mistake;

const BEFORE: &str = "crates/store/src/before.rs";
const COMMIT: &str = "crates/store/src/commit.rs";
const FAN: &str = "crates/store/src/fan.rs";
const INBOX: &str = "crates/store/src/inbox.rs";
const LIST: &str = "api-lambda/src/routes/threads.rs";
const MEMBERS: &str = "crates/store/src/members.rs";
const MESSAGES: &str = "crates/store/src/messages.rs";
const OUTBOX: &str = "crates/store/src/outbox.rs";
const REPAIR: &str = "crates/store/src/repair/rest.rs";
const SEEN: &str = "crates/store/src/seen.rs";
const SWEEP: &str = "api-lambda/src/fanout/sweep.rs";
const VIEWS: &str = "crates/store/src/views.rs";

/// All of them.
pub(super) const MISTAKES: &[Mistake] = &[
    Mistake {
        name: "a write leaves no idempotency row",
        rule: "P1",
        file: COMMIT,
        edits: &[(
            "        tx.put_if(&key, &row, KEY_ABSENT, vec![(\":now\", n(origin.now.as_second()))])?;",
            "        if !MISTAKEN { tx.put_if(&key, &row, KEY_ABSENT, vec![(\":now\", n(origin.now.as_second()))])?; }",
        )],
    },
    Mistake {
        name: "an entry is written whoever was faster",
        rule: "P1",
        file: COMMIT,
        edits: &[(
            "        tx.put_new(&keys::entry(&entry.thread, entry.tseq), &log::row(entry, Some(origin)))?;",
            "        let always = if MISTAKEN { \"attribute_exists(pk) OR attribute_not_exists(pk)\" } else { \"attribute_not_exists(pk)\" };
        tx.put_if(&keys::entry(&entry.thread, entry.tseq), &log::row(entry, Some(origin)), always, Vec::new())?;",
        )],
    },
    Mistake {
        name: "membership is judged before the key",
        rule: "P1",
        file: BEFORE,
        edits: &[(
            "        match known(origin, take(&mut found, &key)?) {",
            "        if MISTAKEN
            && let Some(tail) = &tail
            && !self.is_member_at(tail, &origin.by).await?
        {
            return Ok(Err(Tried::Done(Over::NotMember.into())));
        }
        match known(origin, take(&mut found, &key)?) {",
        )],
    },
    Mistake {
        name: "membership is read before the tail",
        rule: "P1",
        file: MESSAGES,
        edits: &[
            (
                "        let before = match self.before(origin, thread, asked.about()).await? {",
                "        let early = MISTAKEN && self.is_member(thread, &origin.by).await?;
        if early {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        let before = match self.before(origin, thread, asked.about()).await? {",
            ),
            (
                "        if !self.may_write(&before.tail, &before.thread, &origin.by).await? {",
                "        if !early && !self.may_write(&before.tail, &before.thread, &origin.by).await? {",
            ),
        ],
    },
    Mistake {
        name: "a write owes no fan-out",
        rule: "P1",
        file: MESSAGES,
        edits: &[(
            "        owe(&mut tx, &draft.entry, origin.now);",
            "        if !MISTAKEN { owe(&mut tx, &draft.entry, origin.now); }",
        )],
    },
    Mistake {
        name: "a row that is owed already is not raised",
        rule: "P1",
        file: COMMIT,
        edits: &[(
            "        \"SET upto = :upto, thread = :thread,",
            "        if MISTAKEN { \"SET upto = if_not_exists(upto, :upto), thread = :thread, since = if_not_exists(since, :now), due = :due REMOVE reached\" } else { \"SET upto = :upto, thread = :thread,",
        ), (
            "due = :due REMOVE reached\",\n        None,",
            "due = :due REMOVE reached\" },\n        None,",
        )],
    },
    Mistake {
        name: "a thread of two is written whole behind a gap",
        rule: "P1b",
        file: MESSAGES,
        edits: &[("            if view.fan + 1 != entry.tseq {", "            if !MISTAKEN && view.fan + 1 != entry.tseq {")],
    },
    Mistake {
        name: "a fan-out copies its own entry only",
        rule: "P3",
        file: FAN,
        edits: &[("attempt == 0 && view.fan + 1 == until", "attempt == 0 && (MISTAKEN || view.fan + 1 == until)")],
    },
    Mistake {
        name: "two appends take one place",
        rule: "P3",
        file: INBOX,
        edits: &[
            (
                "            tx.put_new(&keys::inbox(user, seq), &InboxRow { seq, ..row })?;",
                "            let always = if MISTAKEN { \"attribute_exists(pk) OR attribute_not_exists(pk)\" } else { \"attribute_not_exists(pk)\" };
            tx.put_if(&keys::inbox(user, seq), &InboxRow { seq, ..row }, always, Vec::new())?;",
            ),
            (
                "            Some(\"gen = :gen AND seq = :was\"),",
                "            Some(if MISTAKEN { \"gen = :gen AND :was = :was\" } else { \"gen = :gen AND seq = :was\" }),",
            ),
        ],
    },
    Mistake {
        name: "an author's message takes back what they have seen",
        rule: "P3",
        file: VIEWS,
        edits: &[(
            "            condition.push_str(\" AND seen = :unseen\");",
            "            if !MISTAKEN { condition.push_str(\" AND seen = :unseen\"); }",
        )],
    },
    Mistake {
        name: "an inbox is begun twice",
        rule: "P4",
        file: INBOX,
        edits: &[(
            "            .condition_expression(\"attribute_not_exists(pk)\")",
            "            .condition_expression(if MISTAKEN { \"attribute_not_exists(pk) OR attribute_exists(pk)\" } else { \"attribute_not_exists(pk)\" })",
        )],
    },
    Mistake {
        name: "a repair leaves the generation",
        rule: "P4",
        file: REPAIR,
        edits: &[(
            "r#gen: chance::random(), seq,",
            "r#gen: if MISTAKEN { was.as_ref().map_or(0, |was| was.r#gen) } else { chance::random() }, seq,",
        )],
    },
    Mistake {
        name: "a repair leaves HEAD below an event",
        rule: "P4",
        file: REPAIR,
        edits: &[("|was| was.seq).max(last);", "|was| was.seq).max(if MISTAKEN { 0 } else { last });")],
    },
    Mistake {
        name: "nobody sweeps",
        rule: "P11",
        file: SWEEP,
        edits: &[("        for shard in 0..keys::SHARDS {", "        for shard in 0..if MISTAKEN { 0 } else { keys::SHARDS } {")],
    },
    Mistake {
        name: "a row that asks for more is deleted",
        rule: "P11",
        file: OUTBOX,
        edits: &[(
            "            .condition_expression(\"upto = :upto\")",
            "            .condition_expression(if MISTAKEN { \"attribute_exists(pk) OR upto = :upto\" } else { \"upto = :upto\" })",
        )],
    },
    Mistake {
        name: "a short page ends the list of members",
        rule: "P11",
        file: MEMBERS,
        edits: &[("            if start.is_none() {", "            if MISTAKEN || start.is_none() {")],
    },
    Mistake {
        name: "who has left is told of what follows",
        rule: "P12",
        file: VIEWS,
        edits: &[(
            "        self.left.map_or(goal, |left| goal.min(left))",
            "        if MISTAKEN { return goal; }
        self.left.map_or(goal, |left| goal.min(left))",
        )],
    },
    Mistake {
        name: "who leaves is not told of it",
        rule: "P12",
        file: VIEWS,
        edits: &[("|left| goal.min(left))", "|left| goal.min(if MISTAKEN { left - 1 } else { left }))")],
    },
    Mistake {
        name: "who joins is not told of it",
        rule: "P12",
        file: MEMBERS,
        edits: &[("        fan: entry.tseq - 1,", "        fan: entry.tseq - u64::from(!MISTAKEN),")],
    },
    Mistake {
        name: "who joins is told of all that was before",
        rule: "P12",
        file: MEMBERS,
        edits: &[(
            "    let key = keys::view(user, &entry.thread);\n    match old",
            "    let view = if MISTAKEN { ViewRow { fan: 0, ..view } } else { view };
    let key = keys::view(user, &entry.thread);\n    match old",
        )],
    },
    Mistake {
        name: "who comes back is not told of their leaving",
        rule: "P12",
        file: MEMBERS,
        edits: &[
            (
                "        if let Some(left) = old.as_ref().and_then(|view| view.left) {",
                "        if let Some(left) = old.as_ref().and_then(|view| view.left).filter(|_| !MISTAKEN) {",
            ),
            (
                "\"left_at = :left AND fan >= :left\"",
                "if MISTAKEN { \"left_at = :left\" } else { \"left_at = :left AND fan >= :left\" }",
            ),
        ],
    },
    Mistake {
        name: "a list's cursor counts what cannot be seen yet",
        rule: "P13",
        file: LIST,
        edits: &[(
            "table.settled_head(&reader.user).await.map_err",
            "if MISTAKEN { table.head(&reader.user).await } else { table.settled_head(&reader.user).await }.map_err",
        )],
    },
    Mistake {
        name: "seen goes back",
        rule: "P14",
        file: SEEN,
        edits: &[
            (
                "            let forward = \"seen < :seen AND attribute_not_exists(left_at)\";",
                "            let forward = if MISTAKEN { \"attribute_not_exists(left_at)\" } else { \"seen < :seen AND attribute_not_exists(left_at)\" };",
            ),
            ("            if number <= view.seen {", "            if number <= view.seen && !MISTAKEN {"),
        ],
    },
    Mistake {
        name: "seen is told to nobody if its writer dies",
        rule: "P14",
        file: SEEN,
        edits: &[(
            "                owe_seen(&mut tx, &seen(number), now);",
            "                if !MISTAKEN { owe_seen(&mut tx, &seen(number), now); }",
        )],
    },
    Mistake {
        name: "more is seen than was said",
        rule: "P14",
        file: SEEN,
        edits: &[(
            "            let number = number.min(tail.number);",
            "            let number = if MISTAKEN { number } else { number.min(tail.number) };",
        )],
    },
];
