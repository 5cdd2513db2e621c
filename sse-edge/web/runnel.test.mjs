import assert from "node:assert/strict";
import test from "node:test";
import { Runnel } from "./runnel.js";

/** What the client needs of a browser, in the hands of the test. */
function world(routes) {
  const streams = [];
  const asked = [];
  const waiting = [];
  const arrived = () => { for (const check of waiting.splice(0)) check(); };
  globalThis.EventSource = class extends EventTarget {
    constructor(url) {
      super();
      this.query = new URL(url, "http://runnel").searchParams;
      streams.push(this);
      arrived();
    }

    close() { this.closed = true; }

    emit(name, data, id) {
      this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(data), lastEventId: id }));
    }
  };
  globalThis.fetch = async (path, { method }) => {
    asked.push(`${method} ${path}`);
    const [status, body] = routes[`${method} ${path.split("?")[0]}`](asked.length, path);
    queueMicrotask(arrived);
    return new Response(JSON.stringify(body), { status });
  };
  const until = async (done) => {
    while (!done()) await Promise.race([new Promise((resolve) => { waiting.push(resolve); }), new Promise(setImmediate)]);
  };
  return { streams, asked, until };
}

function start(routes, on = {}) {
  const said = { lists: [], events: [], states: [], resets: 0, signedOut: 0 };
  const around = world({ "POST /v1/tickets": (count) => [201, { ticket: `ticket-${count}`, expires_in: 30 }], ...routes });
  const client = new Runnel({
    token: "token",
    on: {
      list: (items) => { said.lists.push(items); }, event: (name, data) => { said.events.push([name, data]); },
      state: (state) => { said.states.push(state); }, reset: () => { said.resets += 1; }, signedOut: () => { said.signedOut += 1; },
      ...on,
    },
  });
  client.start();
  return { ...around, said, client };
}

const HELLO = { status: "resumed", ping_s: 15 };

test("it lists all pages, then opens the stream at the cursor of the first", async () => {
  const { streams, until, said, client } = start({
    "GET /v1/threads": (_, path) => path.includes("after=p2")
      ? [200, { items: [{ id: "b" }], next: null, cursor: "g.9" }] : [200, { items: [{ id: "a" }], next: "p2", cursor: "g.5" }],
  });
  await until(() => streams.length === 1);
  assert.deepEqual(said.lists, [[{ id: "a" }, { id: "b" }]]);
  assert.equal(streams[0].query.get("cursor"), "g.5");
  streams[0].emit("hello", HELLO, "g.5");
  streams[0].emit("message", { tseq: 1 }, "g.6");
  assert.deepEqual(said.events, [["message", { tseq: 1 }]]);
  assert.deepEqual(said.states, ["connecting", "live"]);
  client.stop();
});

test("a stream that was cut is opened anew with a fresh ticket, at the last event", async () => {
  const { streams, until, said, client } = start({ "GET /v1/threads": () => [200, { items: [], next: null, cursor: "g.5" }] });
  await until(() => streams.length === 1);
  streams[0].emit("hello", HELLO, "g.5");
  streams[0].emit("typing", {}, "g.5");
  streams[0].emit("seen", {}, "g.6");
  streams[0].dispatchEvent(new Event("error"));
  await until(() => said.states.at(-1) === "reconnecting");
  client.check();
  await until(() => streams.length === 2);
  assert.equal(streams[0].closed, true);
  assert.equal(streams[1].query.get("cursor"), "g.6");
  assert.notEqual(streams[1].query.get("ticket"), streams[0].query.get("ticket"));
  assert.equal(said.lists.length, 1, "no list is due after a mere cut");
  streams[0].emit("message", {}, "g.7");
  assert.equal(said.events.length, 2, "a closed stream is not listened to");
  client.stop();
});

test("a list that a reset made due survives the cut of the stream", async () => {
  let lists = 0;
  const { streams, until, said, client } = start({
    "GET /v1/threads": () => {
      lists += 1;
      return lists === 2 ? [503, { detail: "busy" }] : [200, { items: [], next: null, cursor: `h.${lists}` }];
    },
  });
  await until(() => streams.length === 1);
  streams[0].emit("hello", HELLO, "g.5");
  streams[0].emit("reset", { reason: "gen" }, "h.7");
  assert.equal(said.resets, 1);
  await until(() => said.states.at(-1) === "reconnecting");
  client.check();
  await until(() => streams.length === 2);
  assert.equal(lists, 3);
  assert.equal(said.lists.length, 2);
  assert.equal(streams[1].query.get("cursor"), "h.7", "what lies between reset and list still arrives");
  client.stop();
});

test("a token that is no longer accepted ends it, and says so once", async () => {
  const { asked, until, said } = start({ "GET /v1/threads": () => [401, { detail: "expired" }] });
  await until(() => said.signedOut > 0);
  await new Promise(setImmediate);
  assert.equal(said.signedOut, 1);
  assert.deepEqual(asked, ["GET /v1/threads"]);
});

test("what the page throws neither ends the stream nor moves the cursor back", async () => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  const { streams, until, said, client } = start({
    "GET /v1/threads": () => [200, { items: [], next: null, cursor: "g.5" }],
  }, { event(name) { throw new Error(name); } });
  await until(() => streams.length === 1);
  streams[0].emit("hello", HELLO, "g.5");
  streams[0].emit("message", {}, "g.6");
  assert.deepEqual([reported, streams[0].closed], [["message"], undefined]);
  streams[0].emit("bye", { reason: "age", retry_ms: 1 }, "g.6");
  await until(() => streams.length === 2);
  assert.equal(streams[1].query.get("cursor"), "g.6");
  assert.deepEqual(said.resets, 0);
  client.stop();
  delete globalThis.reportError;
});
