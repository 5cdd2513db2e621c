/**
 * Runnel's client: the HTTP API, and a stream that mends itself. It renders nothing and keeps no
 * state but its place in the stream; use it as it is in any page.
 *
 * ```js
 * const runnel = new Runnel({ token, on: {
 *   listing() {},                // a list is about to be asked for; what it returns is `mark` below
 *   list(threads, mark, users) {}, // the complete list: replace what you have (false: ask again)
 *   event(name, data) {},        // message, edit, delete, reaction, member, thread, seen, typing: upsert them
 *   reset() {},                  // what you have is out of date; a list follows by itself
 *   state(state) {},             // connecting | live | reconnecting
 *   signedOut(error) {},         // the token is no longer accepted
 * }});
 * runnel.start();
 * await runnel.send(thread, "hi", uuid());
 * ```
 * Events may come twice, and again after a list that already contains them. The client lists first
 * and follows the stream from the list's cursor, so nothing falls between the two.
 */

/** Events that carry something to show. The others (hello, ping, reset, bye) are handled here. */
const SHOWN = ["message", "edit", "delete", "reaction", "member", "thread", "seen", "me", "typing", "presence"];
/** How long one request may take, in milliseconds. */
const REQUEST_MS = 20_000;
/** How long a stream may take to say hello, in milliseconds. */
const HELLO_MS = 10_000;
/** A stream that lasted this long was a good one: the next pause is a short one again. */
const LIVED_MS = 5_000;
/** Longest pause between two tries to open the stream, in milliseconds. */
const PAUSE_MAX_MS = 10_000;

/** A request that did not succeed. `status` is 0 when no answer came at all. */
export class RunnelError extends Error {
  constructor(status, detail, retryAfter, problem) {
    super(detail);
    this.name = "RunnelError";
    this.status = status;
    /** The name of the problem, as in docs/PROBLEMS.md. */
    this.problem = problem;
    /** How long the server asks to wait, in milliseconds, if it said so. */
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

export class Runnel {
  #token;
  #base;
  #on;
  #source = null;
  #cursor = null;
  #listDue = true;
  #heardAt = 0;
  #pingMs = 15_000;
  #state = "";
  #stopped = true;
  #wake = () => {};

  /**
   * @param {object} options
   * @param {string} options.token a bearer token of the identity provider
   * @param {string} [options.base] where the API is; the page's own origin by default
   * @param {object} [options.on] callbacks, see above
   */
  constructor({ token, base = "", on = {} }) {
    this.#token = token;
    this.#base = base;
    this.#on = on;
  }

  // ---- stream --------------------------------------------------------------------------------

  /** Lists the threads, then follows the stream until `stop`. Once per client. */
  start() {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#run();
  }

  /** Ends the stream for good. */
  stop() {
    this.#stopped = true;
    this.#source?.close();
    this.#wake();
  }

  /**
   * Looks at the stream at once: call it when the page comes to the front or the network returns.
   * @param {boolean} [force] open anew even if the stream seems alive (after a network change)
   */
  check(force = false) {
    const silent = Date.now() - this.#heardAt > this.#pingMs + 3_000;
    if (!this.#source || force || silent) this.#wake();
  }

  async #run() {
    let failures = 0;
    this.#say("connecting");
    while (!this.#stopped) {
      let pause = 0;
      try {
        if (this.#listDue) await this.#list();
        const ended = await this.#follow();
        if (ended.lived) failures = 0;
        pause = ended.pause;
      } catch (error) {
        if (this.#stopped) return;
        pause = error.retryAfter ?? 0;
      }
      if (this.#stopped) return;
      this.#say("reconnecting");
      await this.#sleep(pause || between(failures));
      failures += 1;
    }
  }

  /** The list that is due stays due until all of its pages are here, whatever the stream does. */
  async #list() {
    const items = [];
    let users = {};
    let page = {};
    let first;
    const mark = this.#tell("listing");
    do {
      page = await this.threads({ after: page.next });
      first ??= page.cursor;
      items.push(...page.items);
      // A user may be called `__proto__`.
      users = { ...users, ...page.users };
    } while (page.next && !this.#stopped);
    if (this.#stopped) return;
    // Only where there is no cursor yet: one that came from a reset is older than this list, and
    // what lies between must still arrive for threads whose messages are already loaded.
    this.#cursor ??= first;
    if (this.#tell("list", items, mark, users) !== false) this.#listDue = false;
    else return this.#list();
  }

  /** One stream from open to end. Resolves with what the end was like. */
  async #follow() {
    const { ticket } = await this.ticket();
    if (this.#stopped) return { lived: false, pause: 0 };
    const query = new URLSearchParams({ ticket });
    if (this.#cursor) query.set("cursor", this.#cursor);
    const source = new EventSource(`${this.#base}/v1/events?${query}`);
    this.#source = source;
    const opened = Date.now();
    return new Promise((resolve) => {
      let heard = false;
      let timer;
      const end = (pause = 0) => {
        clearTimeout(timer);
        source.close();
        if (this.#source === source) this.#source = null;
        resolve({ lived: heard && Date.now() - opened > LIVED_MS, pause });
      };
      const watch = () => {
        clearTimeout(timer);
        timer = setTimeout(end, heard ? 2.5 * this.#pingMs : HELLO_MS);
      };
      this.#wake = () => end(1);
      // The ticket in the URL is spent, so the browser's own retry would be refused.
      source.addEventListener("error", () => end());
      this.#listen(source, (name, data) => {
        watch();
        if (name === "hello") {
          heard = true;
          this.#pingMs = (data.ping_s ?? 15) * 1000;
          watch();
          if (!this.#listDue) this.#say("live");
        } else if (name === "reset") {
          this.#listDue = true;
          this.#tell("reset");
          this.#list().then(() => this.#source === source && this.#say("live"), () => end());
        } else if (name === "bye") {
          end(data.reason === "ticket" ? 300 + Math.random() * 700 : (data.retry_ms ?? 0));
        }
      });
      watch();
    });
  }

  #listen(source, control) {
    const take = (name, show) => (event) => {
      if (this.#source !== source) return;
      this.#heardAt = Date.now();
      const data = JSON.parse(event.data);
      if (show) this.#tell("event", name, data);
      if (event.lastEventId) this.#cursor = event.lastEventId;
      control(name, data);
    };
    for (const name of ["hello", "ping", "reset", "bye"]) source.addEventListener(name, take(name, false));
    for (const name of SHOWN) source.addEventListener(name, take(name, true));
  }

  #sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #say(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#tell("state", state);
  }

  /** Calls the page. What it throws is its own, and neither ends the stream nor moves its cursor back. */
  #tell(name, ...what) {
    try {
      return this.#on[name]?.(...what);
    } catch (error) {
      globalThis.reportError?.(error);
      return undefined;
    }
  }

  // ---- API -----------------------------------------------------------------------------------

  /** Sets the cookie by which a stream without ticket is known, and so tests the token. */
  session() {
    return this.#call("POST", "/v1/session");
  }

  /** Clears that cookie; with `everywhere`, all that was begun with this token or an earlier one ends. */
  endSession({ everywhere } = {}) {
    return this.#call("DELETE", `/v1/session${search({ everywhere })}`);
  }

  /** A ticket for one opening of the stream: `{ticket, expires_in}`. */
  ticket() {
    return this.#call("POST", "/v1/tickets");
  }

  /** One page of threads: `{items, next, cursor, users}`. `after` is the `next` of the page before. */
  threads({ after, limit } = {}) {
    return this.#call("GET", `/v1/threads${search({ after, limit })}`);
  }

  /** One thread with all of its members, `seen_by` and `users`. */
  thread(thread) {
    return this.#call("GET", at(thread));
  }

  /** Starts a thread; one other member and no title is the direct thread with them. */
  createThread(members, title, key = uuid()) {
    return this.#call("POST", "/v1/threads", { body: { members, ...(title ? { title } : {}) }, key });
  }

  /** Adds a member to a group thread. */
  addMember(thread, user, key = uuid()) {
    return this.#call("PUT", at(thread, "members", user), { key });
  }

  /** Removes a member from a group thread; oneself: leaves it. */
  removeMember(thread, user, key = uuid()) {
    return this.#call("DELETE", at(thread, "members", user), { key });
  }

  /** Accepts the invitation to a thread. */
  accept(thread) {
    return this.#call("POST", at(thread, "accept"));
  }

  /** Up to 100 users as others see them: `[{user, name, avatar, data, version}]`. */
  async users(ids) {
    return (await this.#call("GET", `/v1/users${search({ ids: ids.join(",") })}`)).items;
  }

  /** Replaces the profile of the signed-in user: `{name, avatar, data}`; resolves with the user. */
  setProfile(profile) {
    return this.#call("PUT", "/v1/me/profile", { body: profile });
  }

  /** The users whom this one has blocked: `[{user, at}]`. */
  async blocks() {
    return (await this.#call("GET", "/v1/me/blocks")).items;
  }

  /** Blocks a user: nothing of theirs arrives any more, except in groups of both. */
  block(user) {
    return this.#call("PUT", blockOf(user));
  }

  /** Ends a block. */
  unblock(user) {
    return this.#call("DELETE", blockOf(user));
  }

  /** What the server can do: `{version, features, limits}`. */
  service() {
    return this.#call("GET", "/v1");
  }

  /**
   * One page of messages, newest first: `{items, next, newer, included, users}`. `before` is the `next` of another page, and
   * `after` the `newer`; both may be a tseq, and `around` is one.
   */
  messages(thread, { before, after, around, limit = 50 } = {}) {
    return this.#call("GET", `${at(thread, "messages")}${search({ limit, before, after, around })}`);
  }

  /** One message. */
  message(thread, tseq) {
    return this.#call("GET", at(thread, "messages", tseq));
  }

  /**
   * Sends a message. Repeat it with the same `key` until it is answered: it is sent once. `more` may have `attachments`,
   * `reply_to`, `mentions` and `data`.
   */
  send(thread, text, key, more = {}) {
    return this.#call("POST", at(thread, "messages"), { body: { text, ...more }, key });
  }

  /** Gives an own message another text, and resolves with the message. */
  edit(thread, tseq, text, key = uuid()) {
    return this.#call("PATCH", at(thread, "messages", tseq), { body: { text }, key });
  }

  /** Deletes an own message. */
  deleteMessage(thread, tseq, key = uuid()) {
    return this.#call("DELETE", at(thread, "messages", tseq), { key });
  }

  /** Puts a reaction under a message, or takes it away; resolves with the message. */
  react(thread, tseq, emoji, is = true, key = uuid()) {
    return this.#call(is ? "PUT" : "DELETE", at(thread, "messages", tseq, "reactions", emoji), { key });
  }

  /** Gives a group another title, and resolves with the thread. */
  rename(thread, title, key = uuid()) {
    return this.#call("PATCH", at(thread), { body: { title }, key });
  }

  /** Says that the signed-in user has seen the thread up to message `number`. */
  seen(thread, number) {
    return this.#call("POST", at(thread, "seen"), { body: { number } });
  }

  /** Says that the signed-in user is typing: `"started"` or `"stopped"`. */
  typing(thread, state) {
    return this.#call("POST", at(thread, "typing"), { body: { state } });
  }

  /** Who of a thread is online: `{items: [{user, online, at}]}`. */
  presence(thread) {
    return this.#call("GET", at(thread, "presence"));
  }

  async #call(method, path, { body, key } = {}) {
    const headers = { Authorization: `Bearer ${this.#token}` };
    if (body) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    let response;
    let answer;
    try {
      response = await fetch(this.#base + path, {
        method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(REQUEST_MS),
        // The bearer says who asks; the cookie may be another window's.
        credentials: path.startsWith("/v1/session") ? "same-origin" : "omit",
      });
      answer = await response.text();
    } catch {
      throw new RunnelError(0, "The server cannot be reached. Check your connection.");
    }
    const json = parse(answer);
    if (response.ok) return json;
    const error = problem(response, json);
    if (error.status === 401 && !this.#stopped) {
      this.stop();
      this.#tell("signedOut", error);
    }
    throw error;
  }
}

/** A fresh random key, also where `crypto.randomUUID` is missing (plain http). */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0"));
  return hex.join("");
}

function problem(response, json) {
  const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const detail = json?.detail ?? json?.title ?? `The server answered ${response.status}.`;
  const retryAfter = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  return new RunnelError(response.status, detail, retryAfter, String(json?.type ?? "").split("#").at(-1));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The pause after `failures` failed tries, in milliseconds: random, since browsers add no jitter. */
function between(failures) {
  if (failures === 0) return 300 + Math.random() * 1_200;
  return Math.min(PAUSE_MAX_MS, (1_000 + Math.random() * 4_000) * 1.3 ** (failures - 1));
}

function at(thread, ...more) {
  return ["/v1/threads", ...[thread, ...more].map(encodeURIComponent)].join("/");
}

function blockOf(user) {
  return `/v1/me/blocks/${encodeURIComponent(user)}`;
}

function search(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
