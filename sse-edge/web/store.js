/**
 * What the page knows: threads, messages, seen numbers, sends on their way. Pure: no DOM, no
 * network, no clock of its own.
 *
 * Everything here is an upsert or a maximum, so an event may arrive twice, late, or after the
 * snapshot that already contains it. Unread is computed (`number - seen`), never counted up.
 */

import { faceName, threadName } from "./format.js";
import { erased, touched, version } from "./message.js";
import { People } from "./people.js";

/** A list names at most this many members; a shorter one is therefore complete. */
const LISTED_MEMBERS = 8;

export class Store {
  /** @param {string} me the signed-in user */
  constructor(me) {
    this.me = me;
    /** Names, and whose profiles have still to be asked for. */
    this.people = new People();
    this.people.met(me);
    /** @type {Map<string, object>} thread id → thread, with `seenBy` and `messages` */
    this.map = new Map();
    /** Sends without a final answer, in the order they were made. */
    this.pending = [];
    /** Counts resets: what carries an older epoch is shown until its replacement has arrived. */
    this.epoch = 0;
    /** Orders requests against events: an answer never undoes an event that came after its request. */
    this.stamp = 0;
    /** Events since the last reset, while its list has not arrived: they belong on top of it. */
    this.late = null;
    this.left = new Map();
    this.typing = new Map();
  }

  // ---- snapshots -----------------------------------------------------------------------------

  /** Call before a request; hand the result to `list`, `putThread` or `page` with its answer. */
  mark() {
    return { epoch: this.epoch, stamp: ++this.stamp };
  }

  /** The stream lost its place: everything known is out of date until a new list has arrived. */
  reset() {
    this.epoch += 1;
    this.late = [];
    this.people.reset();
    this.typing.clear();
    for (const send of this.pending) {
      send.tseq = undefined;
    }
  }

  /** A thread whose newest page has to be fetched before what it shows is whole. */
  stale(id) {
    return this.map.get(id)?.loadedEpoch !== this.epoch;
  }

  /** A complete list of threads, all of its pages. Threads of before the last reset go. */
  list(items, mark, users) {
    if (mark.epoch !== this.epoch) return false;
    this.people.learn(users);
    for (const shape of items) this.putThread(shape, mark);
    for (const [id, thread] of this.map) {
      if (thread.epoch !== this.epoch) this.map.delete(id);
    }
    const late = this.late ?? [];
    this.late = null;
    for (const [name, data] of late) this.apply(name, data);
    return true;
  }

  /** One thread as the API shows it. `full`: it names all members, not only the first few. */
  putThread(shape, mark = this.mark(), full = false) {
    if (mark.epoch !== this.epoch || (this.left.get(shape.id) ?? 0) > mark.stamp) return undefined;
    const old = this.map.get(shape.id);
    const fresh = !old || old.epoch !== this.epoch;
    const thread = old ?? blankThread(shape.id);
    if (fresh) {
      Object.assign(thread, { epoch: this.epoch, number: 0, seen: 0, seenBy: new Map(), last: null, full: false, changes: [], early: new Map(), titleStamp: 0, activeStamp: 0 });
    }
    this.people.learn(shape.users);
    for (const { user } of shape.members ?? []) this.people.met(user);
    thread.kind = shape.kind;
    if (thread.titleStamp <= mark.stamp) thread.title = shape.title ?? null;
    thread.createdAt = shape.created_at;
    thread.adds = shape.adds;
    if (thread.activeStamp <= mark.stamp) thread.state = shape.state ?? "active";
    thread.stub = false;
    thread.number = Math.max(thread.number, shape.number ?? 0);
    thread.seen = Math.max(thread.seen, shape.seen ?? 0);
    for (const [user, number] of Object.entries(shape.seen_by ?? {})) this.#seen(thread, user, number);
    if (shape.last) this.#last(thread, shape.last);
    const complete = full || (shape.members ?? []).length < LISTED_MEMBERS;
    if (complete || !thread.full) {
      thread.members = (shape.members ?? []).map((member) => ({ ...member }));
      thread.full = complete;
      for (const change of thread.changes) if (change.stamp > mark.stamp) this.#change(thread, change);
    }
    this.map.set(shape.id, thread);
    return thread;
  }

  /** A page of messages. `older`: it continues a loaded thread; otherwise it is the newest page. */
  page(id, { items, next, included, users }, mark, older = false) {
    const thread = this.map.get(id);
    if (!thread || mark.epoch !== this.epoch) return false;
    this.people.learn(users);
    if (!older) {
      for (const [tseq, message] of thread.messages) {
        if (message.epoch !== this.epoch) thread.messages.delete(tseq);
      }
    }
    for (const message of items) this.#message(thread, message);
    for (const message of included?.messages ?? []) thread.replied.set(message.tseq, this.#caughtUp(thread, message));
    if (older || thread.loadedEpoch !== this.epoch) thread.earlier = next ?? null;
    thread.loadedEpoch = this.epoch;
    return true;
  }

  // ---- events --------------------------------------------------------------------------------

  /**
   * Takes one event of the stream.
   * @returns {{thread?: string, unknown?: boolean}} the thread it is about; `unknown` when the
   *   thread itself has still to be asked for.
   */
  apply(name, data, now = 0) {
    this.stamp += 1;
    if (name !== "typing") this.late?.push([name, data]);
    if (this.#takesPart(name, data)) this.accept(data.thread.id ?? data.thread);
    if (name === "thread") {
      const old = this.map.get(data.thread.id);
      // A renamed thread comes with nothing but its title.
      if (!data.thread.kind) return this.#renamed(data.thread);
      // The event says how the thread began; what is known is newer. Its creator invites the others.
      const state = data.by === this.me ? "active" : data.thread.state;
      if (!old || old.epoch !== this.epoch || old.stub) this.putThread({ ...data.thread, state });
      return { thread: data.thread.id };
    }
    if (name === "edit" || name === "delete" || name === "reaction") return this.#touch(name, data);
    if (name === "message") {
      this.people.met(data.from, data.from_version);
      const thread = this.#known(data.thread);
      this.#message(thread, data);
      this.#typers(data.thread).delete(data.from);
      return { thread: data.thread, unknown: thread.stub };
    }
    if (name === "member") {
      const users = [data.user, ...(data.others ?? [])];
      for (const user of users) this.people.met(user);
      return users.map((user) => this.#member({ ...data, user })).find(({ unknown }) => unknown) ?? { thread: data.thread };
    }
    if (name === "seen") {
      const thread = this.map.get(data.thread);
      if (thread) this.#seen(thread, data.user, data.number);
      return { thread: data.thread };
    }
    if (name === "typing") {
      const typers = this.#typers(data.thread);
      if (data.state === "started" && data.user !== this.me) typers.set(data.user, now + data.ttl_ms);
      else typers.delete(data.user);
      return { thread: data.thread };
    }
    return {};
  }

  /** Whether an event says that this user takes part in its thread, and so is not only invited any more. */
  #takesPart(name, data) {
    if (name === "me") return data.state === "active";
    if (name === "seen") return data.user === this.me;
    if (name === "thread") return !data.thread.kind && data.by === this.me;
    if (name === "member") return data.by === this.me && data.user !== this.me;
    return ["message", "edit", "delete", "reaction"].includes(name) && data.from === this.me;
  }

  /** This user takes part in a thread. */
  accept(id) {
    const thread = this.map.get(id);
    if (thread) Object.assign(thread, { state: "active", activeStamp: this.stamp });
  }

  #renamed({ id, title }) {
    const thread = this.#known(id);
    thread.title = title;
    thread.titleStamp = this.stamp;
    return { thread: id, unknown: thread.stub };
  }

  /** Something has become of a message. */
  #touch(name, data) {
    const thread = this.map.get(data.thread);
    if (!thread) return { thread: data.thread };
    const old = thread.messages.get(data.message);
    if (old) thread.messages.set(data.message, touched(old, name, data));
    // A page that was read before this may still be on its way.
    if (old?.epoch !== this.epoch) {
      if (!thread.early.has(data.message)) thread.early.set(data.message, []);
      thread.early.get(data.message).push([name, data]);
    }
    if (thread.last?.tseq === data.message) thread.last = touched(thread.last, name, data);
    const replied = thread.replied.get(data.message);
    if (replied) thread.replied.set(data.message, touched(replied, name, data));
    return { thread: data.thread };
  }

  /** A message with all that became of it before it was here. */
  #caughtUp(thread, message) {
    return (thread.early.get(message.tseq) ?? []).reduce((now, [name, data]) => touched(now, name, data), message);
  }

  #last(thread, message) {
    this.people.met(message.from, message.from_version);
    const newer = message.tseq - (thread.last?.tseq ?? 0) || version(message) - version(thread.last);
    if (newer > 0) thread.last = this.#caughtUp(thread, message);
  }

  /** A message as the server has it now: the answer to a change. */
  put(message) {
    const thread = this.map.get(message.thread);
    if (thread) this.#message(thread, message);
  }

  /** A message that this user has deleted: its text goes at once, the event follows. */
  erase(id, tseq) {
    const thread = this.map.get(id);
    const old = thread?.messages.get(tseq);
    if (old) thread.messages.set(tseq, erased(old));
    if (thread?.last?.tseq === tseq) thread.last = erased(thread.last);
  }

  #member(data) {
    const known = this.map.get(data.thread);
    if (data.user === this.me && (data.change === "removed" || data.change === "left")) {
      this.map.delete(data.thread);
      this.left.set(data.thread, this.stamp);
      return { thread: data.thread };
    }
    if (!known && data.user !== this.me) return { thread: data.thread };
    this.left.delete(data.thread);
    const thread = known ?? this.#known(data.thread);
    const change = { stamp: this.stamp, user: data.user, change: data.change, role: data.role, owner: data.owner };
    thread.changes.push(change);
    if (data.user === this.me && data.change === "added") thread.state = data.state ?? "active";
    this.#change(thread, change);
    return { thread: data.thread, unknown: thread.stub };
  }

  #change(thread, { user, change, role, owner }) {
    const roleOf = (member) => (member.user === owner ? "owner" : member.user === user ? role : member.role);
    thread.members = thread.members
      .filter((member) => change === "role" || member.user !== user)
      .map((member) => ({ ...member, role: roleOf(member) }));
    if (change === "added") thread.members.push({ user, role: role ?? "member" });
  }

  #known(id) {
    let thread = this.map.get(id);
    if (!thread) {
      thread = { ...blankThread(id), epoch: this.epoch };
      this.map.set(id, thread);
    }
    return thread;
  }

  #message(thread, message) {
    const old = thread.messages.get(message.tseq);
    const fresh = !old || old.epoch !== this.epoch;
    if (fresh || version(message) > version(old)) {
      thread.messages.set(message.tseq, this.#caughtUp(thread, { ...message, epoch: this.epoch }));
      // The event may come before the answer: it has the key of the send.
      const send = fresh && this.find(message.key);
      if (send) send.tseq = message.tseq;
    }
    if (thread.epoch !== this.epoch) return;
    thread.number = Math.max(thread.number, message.number);
    this.#last(thread, message);
    this.#seen(thread, message.from, message.number);
  }

  #seen(thread, user, number) {
    thread.seenBy.set(user, Math.max(thread.seenBy.get(user) ?? 0, number));
    if (user === this.me) thread.seen = Math.max(thread.seen, number);
  }

  // ---- sends ---------------------------------------------------------------------------------

  /** A message that this page is sending. It is shown at once, under its key. */
  send({ thread, key, text, at, reply, mentions }) {
    const send = { thread, key, text, at, reply, mentions, state: "sending" };
    this.pending.push(send);
    return send;
  }

  /** The answer to a send: from here on the message is an ordinary one. */
  sent(key, message) {
    this.drop(key);
    const thread = this.map.get(message.thread);
    if (thread) this.#message(thread, message);
  }

  /** A send was refused for good; `detail` says why. */
  failed(key, detail) {
    const send = this.find(key);
    if (send) Object.assign(send, { state: "failed", detail });
  }

  /** Puts a refused send back in line, under the same key. Whom it mentions may have left, which was a reason to refuse it. */
  retry(key) {
    const send = this.find(key);
    if (send) Object.assign(send, { state: "sending", detail: undefined, mentions: undefined });
    return send;
  }

  /** Forgets a refused send. */
  drop(key) {
    this.pending = this.pending.filter((send) => send.key !== key);
  }

  find(key) {
    return this.pending.find((send) => send.key === key);
  }

  // ---- questions -----------------------------------------------------------------------------

  thread(id) {
    return this.map.get(id);
  }

  /** What to call a user. */
  name(user) {
    return this.people.name(user);
  }

  /** What a thread is called by this user. */
  title(thread) {
    return threadName(thread, this.me, (user) => this.name(user));
  }

  /** What a thread's avatar is made from. */
  face(thread) {
    return faceName(thread, this.me, (user) => this.name(user));
  }

  /** Threads worth showing, the latest activity first. */
  threads() {
    return [...this.map.values()]
      .filter((thread) => !thread.stub)
      .sort((a, b) => Date.parse(activity(b)) - Date.parse(activity(a)) || (a.id < b.id ? -1 : 1));
  }

  unread(id) {
    const thread = this.map.get(id);
    return thread ? Math.max(0, thread.number - thread.seen) : 0;
  }

  /** Strangers do not raise it: invitations are left out. */
  totalUnread() {
    return this.threads().filter((thread) => thread.state !== "invited").reduce((sum, thread) => sum + this.unread(thread.id), 0);
  }

  /** What a thread shows, in order: its messages by tseq, then sends that have no tseq yet. */
  rows(id) {
    const thread = this.map.get(id);
    const messages = [...(thread?.messages.values() ?? [])].sort((a, b) => a.tseq - b.tseq);
    const quote = ({ reply }) => reply && (thread?.messages.get(reply.tseq) ?? thread?.replied.get(reply.tseq) ?? reply);
    // A row keeps its identity, its key, when it is sent.
    const rows = messages.map((message) => ({ ...message, quote: quote(message), state: "sent" }));
    for (const send of this.pending) {
      if (send.thread !== id || send.tseq) continue;
      const { key, text, at, state, detail } = send;
      rows.push({ thread: id, key, from: this.me, text, at, state, detail, quote: quote(send) });
    }
    return rows;
  }

  /** The largest message number that is loaded, which is what a reader at the bottom has seen. */
  newest(id) {
    let newest = 0;
    for (const message of this.map.get(id)?.messages.values() ?? []) {
      if (message.epoch === this.epoch) newest = Math.max(newest, message.number);
    }
    return newest;
  }

  /** Other members who have seen message `number` of a thread. */
  seers(id, number) {
    const thread = this.map.get(id);
    return (thread?.members ?? [])
      .map((member) => member.user)
      .filter((user) => user !== this.me && (thread.seenBy.get(user) ?? 0) >= number);
  }

  /** Who is typing in a thread at `now`, in milliseconds on the clock given to `apply`. */
  typers(id, now) {
    return [...this.#typers(id)].filter(([, until]) => until > now).map(([user]) => user);
  }

  /** When the next one who is typing stops being shown; undefined when nobody is typing. */
  nextTypingEnd(now) {
    const ends = [...this.typing.values()].flatMap((typers) => [...typers.values()]).filter((until) => until > now);
    return ends.length > 0 ? Math.min(...ends) : undefined;
  }

  #typers(id) {
    if (!this.typing.has(id)) this.typing.set(id, new Map());
    return this.typing.get(id);
  }
}

function blankThread(id) {
  return {
    id, epoch: -1, stub: true, kind: "group", title: null, createdAt: null, adds: "member", members: [], full: false,
    changes: [], early: new Map(), titleStamp: 0, activeStamp: 0, state: "active", number: 0, seen: 0, seenBy: new Map(), last: null, messages: new Map(), replied: new Map(),
    loadedEpoch: -1, earlier: null,
  };
}

function activity(thread) {
  return thread.last?.at ?? thread.createdAt ?? new Date(0).toISOString();
}

