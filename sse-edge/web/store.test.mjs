import assert from "node:assert/strict";
import test from "node:test";
import { Sends } from "./sends.js";
import { Store } from "./store.js";

const T = "t_1";
const AT = "2026-11-24T10:00:00.000Z";

function shape(more = {}) {
  return {
    id: T, kind: "group", title: null, members: [{ user: "alice", role: "owner" }, { user: "bob", role: "member" }],
    created_at: AT, number: 0, seen: 0, unread: 0, last: null, ...more,
  };
}

function message(tseq, more = {}) {
  return { thread: T, tseq, number: tseq - 1, from: "bob", text: `m${tseq}`, at: AT, ...more };
}

function aliceWith(more) {
  const store = new Store("alice");
  store.list([shape(more)], store.mark());
  return store;
}

const texts = (store) => store.rows(T).map((row) => row.text);

test("an event that comes twice is shown once", () => {
  const store = aliceWith();
  store.apply("message", message(2));
  store.apply("message", message(2));
  assert.deepEqual(texts(store), ["m2"]);
  assert.equal(store.unread(T), 1);
});

test("messages stand in tseq order however they arrive", () => {
  const store = aliceWith();
  for (const tseq of [4, 2, 5, 3]) store.apply("message", message(tseq));
  store.page(T, { items: [message(5), message(3), message(1)], next: null }, store.mark());
  assert.deepEqual(texts(store), ["m1", "m2", "m3", "m4", "m5"]);
  assert.equal(store.thread(T).last.tseq, 5);
});

test("unread is number less seen, whatever was counted before", () => {
  const store = aliceWith({ number: 7, seen: 4, unread: 3 });
  assert.equal(store.unread(T), 3);
  store.apply("message", message(9, { number: 8 }));
  assert.equal(store.unread(T), 4);
  store.apply("seen", { thread: T, user: "alice", number: 8 });
  assert.equal(store.unread(T), 0);
});

test("an own message implies that all before it was seen", () => {
  const store = aliceWith({ number: 7, seen: 4 });
  store.apply("message", message(9, { number: 8, from: "alice" }));
  assert.equal(store.unread(T), 0);
});

test("seen is a maximum: an older one that comes late changes nothing", () => {
  const store = aliceWith({ number: 7 });
  store.apply("seen", { thread: T, user: "bob", number: 5 });
  store.apply("seen", { thread: T, user: "bob", number: 3 });
  assert.deepEqual(store.seers(T, 5), ["bob"]);
  assert.deepEqual(store.seers(T, 6), []);
  store.apply("seen", { thread: T, user: "alice", number: 6 });
  store.apply("seen", { thread: T, user: "alice", number: 2 });
  assert.equal(store.unread(T), 1);
});

test("a list's shortened last message never replaces the text of a message", () => {
  const store = aliceWith();
  store.apply("message", message(2, { text: "the whole text" }));
  store.list([shape({ number: 1, last: message(2, { text: "the wh", cut: true }) })], store.mark());
  assert.deepEqual(texts(store), ["the whole text"]);
});

test("an older list answer does not take back what an event has said", () => {
  const store = aliceWith();
  const mark = store.mark();
  store.apply("message", message(2));
  store.apply("member", { thread: T, user: "carol", change: "added", by: "bob", tseq: 3, at: AT });
  store.list([shape()], mark);
  assert.equal(store.unread(T), 1);
  assert.deepEqual(store.thread(T).members.map((member) => member.user), ["alice", "bob", "carol"]);
});

test("several members come with one event, whoever is named first", () => {
  const store = aliceWith();
  store.apply("member", { thread: T, user: "carol", others: ["dave"], change: "added", by: "bob", tseq: 3, at: AT });
  assert.deepEqual(store.thread(T).members.map((member) => member.user), ["alice", "bob", "carol", "dave"]);
  const { unknown } = store.apply("member", { thread: "t_new", user: "aaron", others: ["alice", "zoe"], change: "added", state: "invited", by: "bob", tseq: 9, at: AT });
  assert.equal(unknown, true);
  assert.equal(store.thread("t_new").state, "invited");
});

test("an edit without a text changes nothing", () => {
  const store = aliceWith();
  store.apply("message", message(2));
  const before = store.thread(T).messages.get(2);
  store.apply("edit", { thread: T, tseq: 3, message: 2, from: "bob", at: AT });
  assert.deepEqual(store.thread(T).messages.get(2), before);
});

test("an owner who leaves names the next one", () => {
  const store = aliceWith({ members: [{ user: "bob", role: "owner" }, { user: "alice", role: "member" }] });
  store.apply("member", { thread: T, user: "bob", change: "left", owner: "alice", by: "bob", tseq: 3, at: AT });
  assert.deepEqual(store.thread(T).members, [{ user: "alice", role: "owner" }]);
});

test("a change of role changes the role, and whoever is made the owner takes it from another", () => {
  const members = [{ user: "alice", role: "owner" }, { user: "bob", role: "member" }, { user: "constructor", role: "member" }];
  const store = aliceWith({ members });
  const change = (tseq, data) => store.apply("member", { thread: T, change: "role", by: "alice", tseq, at: AT, ...data });
  const roles = () => store.thread(T).members.map((member) => member.role);
  change(3, { user: "bob", role: "moderator" });
  assert.deepEqual(roles(), ["owner", "moderator", "member"]);
  change(4, { user: "alice", role: "moderator", owner: "constructor" });
  assert.deepEqual(roles(), ["moderator", "moderator", "owner"]);
});

test("a thread that one has left does not come back with an answer that was under way", () => {
  const store = aliceWith();
  const mark = store.mark();
  store.apply("member", { thread: T, user: "alice", change: "removed", by: "bob", tseq: 3, at: AT });
  store.putThread(shape(), mark, true);
  assert.equal(store.thread(T), undefined);
  const { unknown } = store.apply("member", { thread: T, user: "alice", change: "added", by: "bob", tseq: 4, at: AT });
  assert.equal(unknown, true);
  store.putThread(shape(), store.mark(), true);
  assert.equal(store.threads().length, 1);
});

test("a message of an unknown thread asks for the thread and is kept until it is there", () => {
  const store = new Store("alice");
  const { unknown } = store.apply("message", message(2));
  assert.equal(unknown, true);
  assert.equal(store.threads().length, 0);
  store.putThread(shape({ number: 1 }), store.mark(), true);
  assert.deepEqual(texts(store), ["m2"]);
  assert.equal(store.unread(T), 1);
});

function sending(store, key = "k1", text = "hi") {
  store.send({ thread: T, key, text, at: AT });
}

/** An own message, as the API and the stream give it to its author. */
function own(tseq, key, more = {}) {
  return message(tseq, { from: "alice", text: "hi", key, ...more });
}

test("a send is shown at once, and once when answer then event arrive", () => {
  const store = aliceWith();
  sending(store);
  assert.deepEqual(store.rows(T).map((row) => [row.key, row.state]), [["k1", "sending"]]);
  store.sent("k1", own(2, "k1"));
  store.apply("message", own(2, "k1"));
  assert.deepEqual(store.rows(T).map((row) => [row.key, row.tseq, row.state]), [["k1", 2, "sent"]]);
});

test("a send is shown once when event then answer arrive", () => {
  const store = aliceWith();
  sending(store);
  store.apply("message", own(2, "k1"));
  assert.deepEqual(store.rows(T).map((row) => [row.key, row.tseq]), [["k1", 2]]);
  store.sent("k1", own(2, "k1"));
  assert.deepEqual(store.rows(T).map((row) => [row.key, row.tseq, row.state]), [["k1", 2, "sent"]]);
  assert.equal(store.pending.length, 0);
});

test("the same text from another window, or sent twice, is another message", () => {
  const store = aliceWith();
  sending(store, "k1");
  sending(store, "k2");
  store.apply("message", own(2, "elsewhere"));
  store.apply("message", own(3, "k2"));
  store.page(T, { items: [own(2, "elsewhere")], next: null }, store.mark());
  assert.deepEqual(store.rows(T).map((row) => [row.key, row.tseq]), [["elsewhere", 2], ["k2", 3], ["k1", undefined]]);
  store.sent("k2", own(3, "k2"));
  store.sent("k1", own(4, "k1"));
  assert.deepEqual(store.rows(T).map((row) => row.key), ["elsewhere", "k2", "k1"]);
});

test("a reply shows what it replies to as that is now", () => {
  const store = aliceWith();
  const reply = { tseq: 2, number: 1, from: "bob" };
  const quotes = () => store.rows(T).filter((row) => row.from === "alice").map((row) => row.quote?.text);
  store.send({ thread: T, key: "k1", text: "yes", at: AT, reply });
  assert.deepEqual(quotes(), [undefined], "it is not loaded");
  const page = { items: [own(9, "k0", { reply })], next: "x", included: { messages: [message(2)] } };
  store.page(T, page, store.mark());
  assert.deepEqual(quotes(), ["m2", "m2"]);
  store.apply("edit", { thread: T, tseq: 10, message: 2, from: "bob", text: "changed", at: AT });
  assert.deepEqual(quotes(), ["changed", "changed"]);
  store.apply("delete", { thread: T, tseq: 11, message: 2, from: "bob", at: AT });
  assert.deepEqual(store.rows(T).map((row) => row.quote.deleted), [true, true]);
});

test("an edit replaces all that a message says, and a deletion leaves none of it", () => {
  const store = aliceWith();
  const files = [{ url: "https://files.example/a" }];
  store.apply("message", message(2, { attachments: files, data: { a: 1 }, mentions: ["alice"], reply: { tseq: 1 } }));
  store.apply("edit", { thread: T, tseq: 3, message: 2, from: "bob", text: "new", data: { b: 2 }, at: AT });
  const [edited] = store.rows(T);
  assert.deepEqual([edited.text, edited.attachments, edited.data, edited.mentions], ["new", undefined, { b: 2 }, ["alice"]]);
  store.apply("delete", { thread: T, tseq: 4, message: 2, from: "bob", at: AT });
  const [{ text, attachments, data, mentions, reply }] = store.rows(T);
  assert.deepEqual([text, attachments, data, mentions, reply], Array(5).fill(undefined));
});

test("a refused send stays, can be tried again under its key, or dropped", () => {
  const store = aliceWith();
  sending(store);
  store.failed("k1", "too long");
  assert.deepEqual(store.rows(T).map((row) => [row.state, row.detail]), [["failed", "too long"]]);
  store.find("k1").mentions = ["bob"];
  const again = store.retry("k1");
  assert.deepEqual([again.state, again.mentions], ["sending", undefined], "bob may have left, which was the reason");
  store.failed("k1", "too long");
  store.drop("k1");
  assert.deepEqual(store.rows(T), []);
});

test("after a reset the list replaces what was known, also by smaller numbers", () => {
  const store = aliceWith({ number: 9, seen: 9 });
  store.list([shape({ id: "t_gone" })], store.mark());
  store.page(T, { items: [message(9), message(10)], next: "older" }, store.mark());
  sending(store);
  const stale = store.mark();
  store.reset();
  assert.equal(store.stale(T), true);
  assert.deepEqual(texts(store), ["m9", "m10", "hi"], "shown until the new list is there");
  assert.equal(store.list([shape({ number: 99 })], stale), false, "a list asked for before the reset");
  store.apply("message", message(4));
  store.list([shape({ number: 2, seen: 1, last: message(3) })], store.mark());
  assert.deepEqual(store.threads().map((thread) => thread.id), [T]);
  assert.equal(store.page(T, { items: [message(9)], next: null }, stale), false);
  store.page(T, { items: [message(3), message(2)], next: null }, store.mark());
  assert.deepEqual(texts(store), ["m2", "m3", "m4", "hi"]);
  assert.equal(store.unread(T), 2);
  assert.equal(store.thread(T).earlier, null);
  assert.equal(store.stale(T), false);
});

test("typing ends by itself, with a message, and with a stop", () => {
  const store = aliceWith();
  const typing = (state) => store.apply("typing", { thread: T, user: "bob", state, ttl_ms: 6000 }, 1000);
  typing("started");
  assert.deepEqual(store.typers(T, 6999), ["bob"]);
  assert.equal(store.nextTypingEnd(1000), 7000);
  assert.deepEqual(store.typers(T, 7000), []);
  store.apply("message", message(2), 2000);
  assert.deepEqual(store.typers(T, 2000), []);
  typing("started");
  typing("stopped");
  assert.deepEqual(store.typers(T, 1000), []);
});

// ---- sends -----------------------------------------------------------------------------------

function memory(items = {}) {
  return {
    items, getItem: (name) => items[name] ?? null,
    setItem: (name, value) => { items[name] = value; }, removeItem: (name) => { delete items[name]; },
  };
}

/** A server that answers each request as the test says. */
function server() {
  const asked = [];
  let arrived = () => {};
  return {
    asked,
    send: (thread, text, key) => new Promise((answer, refuse) => {
      asked.push({ thread, text, key, answer, refuse });
      arrived();
    }),
    /** Resolves when `count` requests have arrived. */
    async has(count) {
      while (asked.length < count) await new Promise((resolve) => { arrived = resolve; });
    },
  };
}

const passing = { passing: true, status: 503, retryAfter: 0, message: "busy" };
const refusal = { passing: false, status: 413, message: "too long" };
const settled = () => new Promise((resolve) => { setImmediate(resolve); });

test("sends of one thread go one after another, and a busy server gets the same key again", async () => {
  const store = aliceWith();
  const remote = server();
  const sends = new Sends({ store, send: remote.send, storage: memory(), changed() {} });
  sends.add({ thread: T, key: "k1", text: "a", at: AT });
  sends.add({ thread: T, key: "k2", text: "b", at: AT });
  await settled();
  assert.equal(remote.asked.length, 1);
  remote.asked[0].refuse(passing);
  await remote.has(2);
  assert.equal(remote.asked[1].key, "k1");
  remote.asked[1].answer(message(2, { from: "alice", text: "a" }));
  await remote.has(3);
  assert.equal(remote.asked[2].key, "k2");
  remote.asked[2].refuse(refusal);
  await settled();
  assert.deepEqual(store.rows(T).map((row) => [row.text, row.state]), [["a", "sent"], ["b", "failed"]]);
});

test("a reload sends what waits, under the same key", async () => {
  const storage = memory();
  const before = server();
  new Sends({ store: aliceWith(), send: before.send, storage, changed() {} }).add({ thread: T, key: "k1", text: "a", at: AT });
  const after = server();
  const store = aliceWith();
  new Sends({ store, send: after.send, storage, changed() {} }).restore();
  await after.has(1);
  assert.equal(after.asked[0].key, "k1");
  after.asked[0].answer(message(2, { from: "alice", text: "a" }));
  await settled();
  assert.deepEqual(texts(store), ["a"]);
  assert.equal(storage.items["runnel.sends.alice"], "[]");
});

// ---- edits, deletions, reactions, titles ------------------------------------------------------

function touch(name, tseq, message, more = {}) {
  return [name, { thread: T, tseq, message, from: "bob", at: AT, ...more }];
}

function withOne() {
  const store = new Store("alice");
  store.list([shape({ number: 1, last: said(2, 1, "hallo") })], store.mark());
  store.page(T, { items: [said(2, 1, "hallo")], next: null }, store.mark());
  return store;
}

function said(tseq, number, text, more = {}) {
  return { thread: T, tseq, number, from: "bob", text, at: AT, ...more };
}

const row = (store) => store.rows(T)[0];

test("an edit shows in the log and in the list, and an older copy does not undo it", () => {
  const store = withOne();
  const mark = store.mark();
  store.apply(...touch("edit", 3, 2, { text: "hello" }));
  assert.deepEqual([row(store).text, row(store).edited_at, store.thread(T).last.text], ["hello", AT, "hello"]);
  store.page(T, { items: [said(2, 1, "hallo")], next: null }, mark);
  store.putThread(shape({ number: 1, last: said(2, 1, "hallo") }), mark);
  assert.deepEqual([row(store).text, store.thread(T).last.text], ["hello", "hello"]);
  assert.equal(store.unread(T), 1);
});

test("events in any copy already there change nothing", () => {
  const store = withOne();
  store.page(T, { items: [said(2, 1, "third", { edited_at: AT, changed: 5, reactions: { "👍": ["bob"] } })], next: null }, store.mark());
  store.apply(...touch("edit", 3, 2, { text: "second" }));
  store.apply(...touch("reaction", 4, 2, { emoji: "👍", state: "removed" }));
  assert.deepEqual([row(store).text, row(store).reactions], ["third", { "👍": ["bob"] }]);
});

test("what becomes of a message before its page arrives is not forgotten", () => {
  const store = new Store("alice");
  store.list([shape({ number: 1 })], store.mark());
  const mark = store.mark();
  store.apply(...touch("reaction", 3, 2, { emoji: "👍", state: "added" }));
  store.apply(...touch("edit", 4, 2, { text: "hello" }));
  store.page(T, { items: [said(2, 1, "hallo")], next: null }, mark);
  assert.deepEqual([row(store).text, row(store).reactions], ["hello", { "👍": ["bob"] }]);
});

test("a deleted message keeps its place and nothing else", () => {
  for (const end of [touch("delete", 4, 2), touch("edit", 4, 2, { deleted: true })]) {
    const store = withOne();
    store.apply(...touch("reaction", 3, 2, { emoji: "👍", state: "added" }));
    store.apply(...end);
    assert.deepEqual([row(store).deleted, row(store).text, row(store).reactions], [true, undefined, undefined]);
    assert.ok(store.thread(T).last.deleted && !JSON.stringify(store.thread(T).last).includes("hallo"));
    store.apply(...touch("edit", 3, 2, { text: "late" }));
    assert.equal(row(store).text, undefined);
  }
});

test("an own deletion shows at once, and its event after it", () => {
  const store = withOne();
  store.erase(T, 2);
  assert.equal(row(store).deleted, true);
  store.apply(...touch("delete", 3, 2));
  assert.equal(row(store).changed, 3);
});

test("a reaction comes once and goes", () => {
  const store = withOne();
  for (let n = 0; n < 2; n += 1) store.apply(...touch("reaction", 3, 2, { emoji: "👍", state: "added" }));
  store.apply(...touch("reaction", 4, 2, { emoji: "👍", state: "added", from: "alice" }));
  assert.deepEqual(row(store).reactions, { "👍": ["bob", "alice"] });
  store.apply(...touch("reaction", 5, 2, { emoji: "👍", state: "removed" }));
  store.apply(...touch("reaction", 6, 2, { emoji: "👍", state: "removed", from: "alice" }));
  assert.deepEqual(row(store).reactions, {});
});

/** What every object of the language has by itself, and so may be taken for one's own. */
const INHERITED = ["constructor", "__proto__", "toString", "valueOf", "hasOwnProperty"];

test("a reaction may be called anything", () => {
  for (const emoji of INHERITED) {
    const store = withOne();
    store.apply(...touch("reaction", 3, 2, { emoji: "👍", state: "added" }));
    store.apply(...touch("reaction", 4, 2, { emoji, state: "added" }));
    store.apply(...touch("reaction", 5, 2, { emoji, state: "added", from: "alice" }));
    assert.deepEqual(Object.entries(row(store).reactions), [["👍", ["bob"]], [emoji, ["bob", "alice"]]]);
    store.apply(...touch("reaction", 6, 2, { emoji, state: "removed" }));
    store.apply(...touch("reaction", 7, 2, { emoji, state: "removed", from: "alice" }));
    assert.deepEqual(Object.entries(row(store).reactions), [["👍", ["bob"]]]);
  }
});

test("a user may be called anything", () => {
  for (const user of INHERITED) {
    const store = new Store("alice");
    const members = [{ user: "alice", role: "owner" }, { user, role: "member" }];
    const seenBy = JSON.parse(`{"alice":0,${JSON.stringify(user)}:0}`);
    store.list([shape({ members, number: 3, seen_by: seenBy })], store.mark());
    assert.deepEqual(store.seers(T, 1), []);
    store.apply("seen", { thread: T, user, number: 2 });
    assert.deepEqual(store.seers(T, 2), [user]);
    store.apply("typing", { thread: T, user, state: "started", ttl_ms: 6_000 }, 1);
    assert.deepEqual(store.typers(T, 2), [user]);
    store.apply("message", message(9, { number: 4, from: user }));
    assert.deepEqual(store.seers(T, 4), [user]);
  }
});

test("a new title stays, whatever snapshot was on its way", () => {
  const store = withOne();
  const mark = store.mark();
  const renamed = ["thread", { thread: { id: T, title: "ours" }, tseq: 3, by: "bob", at: AT }];
  store.apply(...renamed);
  store.putThread(shape({ title: "old" }), mark);
  assert.equal(store.thread(T).title, "ours");
  assert.equal(store.thread(T).members.length, 2, "and nothing else of the thread is lost");
  store.putThread(shape({ title: "newer" }), store.mark());
  assert.equal(store.thread(T).title, "newer");
  assert.equal(new Store("alice").apply(...renamed).unknown, true);
});

test("an invitation ends with the first thing that this user does in the thread, on whatever device", () => {
  const invited = () => {
    const store = aliceWith();
    store.apply("thread", { thread: { ...shape(), id: "t_new", state: "invited" }, tseq: 1, by: "bob" });
    assert.equal(store.thread("t_new").state, "invited");
    return store;
  };
  const thread = "t_new";
  for (const [name, data] of [
    ["me", { thread, state: "active" }],
    ["seen", { thread, user: "alice", number: 1 }],
    ["message", { thread, tseq: 2, number: 1, from: "alice", text: "hi", at: AT }],
    ["reaction", { thread, tseq: 3, message: 2, from: "alice", emoji: "+1", state: "added", at: AT }],
    ["member", { thread, tseq: 3, user: "carol", change: "added", by: "alice", at: AT }],
  ]) {
    const store = invited();
    const mark = store.mark();
    store.apply("message", { thread, tseq: 2, number: 1, from: "bob", text: "hi", at: AT });
    store.apply("seen", { thread, user: "bob", number: 1 });
    assert.equal(store.thread(thread).state, "invited", name);
    store.apply(name, data);
    assert.equal(store.thread(thread).state, "active", name);
    // An answer that was under way knows less.
    store.putThread({ ...shape(), id: thread, state: "invited" }, mark, true);
    assert.equal(store.thread(thread).state, "active", name);
  }
  const store = aliceWith();
  store.apply("thread", { thread: { ...shape(), id: thread, state: "invited" }, tseq: 1, by: "alice" });
  assert.equal(store.thread(thread).state, "active");
});
