/**
 * One signed-in user's session: what is asked of the server, and when. Between the client, which
 * knows no state, and the views, which know no server.
 */
import { mentioned } from "./format.js";
import { Runnel, uuid } from "./runnel.js";
import { Sends } from "./sends.js";
import { Store } from "./store.js";

/** How often presence is asked for while the page is looked at, in milliseconds. Each time costs several reads. */
const PRESENCE_MS = 60_000;
/** A thread that is opened again within this time shows the presence that is known, in milliseconds. */
const PRESENCE_AGAIN_MS = 30_000;
/** How long an answer about presence is believed, in milliseconds. */
const PRESENCE_LIFE_MS = 90_000;
/** At most one "typing" in this time, in milliseconds; it is shown for twice as long. */
const TYPING_MS = 3_000;
/** How long the reader must have a message in view before it counts as seen, in milliseconds. */
const SEEN_MS = 300;
/** Users who are named in a line about many. */
const NAMED = 3;
/** Pause before something that failed in passing is tried again, in milliseconds. */
const AGAIN_MS = 3_000;

/** The first of some names, and how many follow. */
function named(names) {
  const rest = names.length - NAMED;
  return rest > 0 ? `${names.slice(0, NAMED).join(", ")} and ${rest} more` : names.join(", ");
}

/** What a change of members says to those who look on, where `name` says what a user is called. */
function told({ change, user, others = [], role, owner, by }, name) {
  if (change === "added") return `${name(by)} added ${named([user, ...others].map(name))}`;
  if (change === "removed") return `${name(by)} removed ${name(user)}`;
  if (change === "role") return owner ? `${name(owner)} is the owner now` : `${name(by)} made ${name(user)} a ${role}`;
  return owner ? `${name(user)} left, and ${name(owner)} is the owner now` : `${name(user)} left`;
}

export class Chat {
  #presence = new Map();
  /** When presence was last asked for in each thread. */
  #presenceAt = new Map();
  #toSee = new Map();
  #asked = new Set();
  #typed = { thread: null, at: 0 };
  #seeTimer;
  #interval;

  /**
   * @param {object} parts
   * @param {{token: string, user: string}} parts.session
   * @param {() => boolean} parts.looking whether the page is in front of its user
   * @param {() => boolean} parts.reading whether the end of the open thread is in view
   * @param {object} parts.on `changed()`, `notice(text)`, `closed(thread, why)`, `signedOut()`
   */
  constructor({ session, looking, reading, on }) {
    this.looking = looking;
    this.reading = reading;
    this.on = { ...on, changed: () => this.#changed(on.changed) };
    this.me = session.user;
    this.open = null;
    this.listed = false;
    this.state = "connecting";
    this.loading = false;
    this.failure = null;
    this.earlierBusy = false;
    /** Whom the user has blocked. */
    this.blocked = new Set();
    this.store = new Store(session.user);
    this.client = new Runnel({
      token: session.token,
      on: {
        listing: () => this.store.mark(),
        list: (items, mark, users) => this.#list(items, mark, users),
        event: (name, data) => this.#event(name, data),
        reset: () => this.#reset(),
        state: (state) => this.#state(state),
        signedOut: () => on.signedOut(),
      },
    });
    this.sends = new Sends({
      store: this.store,
      send: (thread, text, key, more) => this.client.send(thread, text, key, more),
      storage: sessionStorage,
      changed: () => this.on.changed(),
    });
  }

  start() {
    this.client.start();
    this.sends.restore();
    this.#interval = setInterval(() => this.#askPresence(), PRESENCE_MS);
  }

  stop() {
    clearInterval(this.#interval);
    clearTimeout(this.#seeTimer);
    this.client.stop();
    this.sends.stop();
  }

  /** The network or the user is back. */
  wake(force = false) {
    this.client.check(force);
    this.sends.wake();
    this.#askPresence();
    this.see();
  }

  // ---- what the stream says ------------------------------------------------------------------

  #list(items, mark, users) {
    if (!this.store.list(items, mark, users)) return false;
    this.listed = true;
    this.#askBlocks();
    if (this.open) this.#load();
    this.on.changed();
    return true;
  }

  #event(name, data) {
    const mine = name === "member" && data.user === this.me;
    const { thread, unknown } = this.store.apply(name, data, Date.now());
    if (unknown) this.#learn(thread);
    if (name === "member") this.#noticeMember(data);
    if (mine && (data.change === "removed" || data.change === "left") && this.open === thread) {
      this.on.closed(thread, data.change === "left" ? undefined : "You are no longer a member of this thread.");
    }
    this.on.changed();
  }

  #noticeMember(data) {
    if (data.thread !== this.open || data.user === this.me || data.by === this.me) return;
    this.on.notice(told(data, (user) => this.store.name(user)));
  }

  #reset() {
    this.store.reset();
    this.on.changed();
  }

  #state(state) {
    this.state = state;
    if (state === "live") {
      if (this.failure) this.#load();
      this.sends.wake();
      this.#see();
    }
    this.on.changed();
  }

  /** Asks for a thread that an event spoke of. */
  async #learn(id) {
    if (this.#asked.has(id)) return;
    this.#asked.add(id);
    try {
      const mark = this.store.mark();
      this.store.putThread(await this.client.thread(id), mark, true);
    } catch (error) {
      if (error.passing) setTimeout(() => this.store.thread(id)?.stub && this.#learn(id), AGAIN_MS);
    } finally {
      this.#asked.delete(id);
      this.on.changed();
    }
  }

  /** Draws what is known, and asks for the profiles of those who are named and not known. */
  #changed(draw) {
    draw();
    // Without a list, most of them are about to be told.
    if (this.listed) this.#askPeople();
  }

  async #askPeople() {
    const { people } = this.store;
    const asked = people.take();
    if (asked.length === 0) return;
    const users = await this.client.users(asked.map(([user]) => user)).catch(() => null);
    people.answered(asked, users);
    // What failed is asked for again with the next event.
    if (users) this.on.changed();
  }

  // ---- the open thread -----------------------------------------------------------------------

  /** Opens a thread, or none. */
  openThread(id) {
    if (this.#typed.thread) this.typing(false);
    this.open = id;
    this.failure = null;
    this.newAfter = undefined;
    if (id && this.listed) this.#load();
    else this.loading = Boolean(id);
    this.on.changed();
  }

  /** Tries again what could not be loaded, or loads what came before. */
  more() {
    if (this.failure) return this.#load();
    return this.#older();
  }

  async #load() {
    const id = this.open;
    const fetching = this.store.stale(id);
    this.loading = fetching;
    this.failure = null;
    this.#divide();
    try {
      const mark = this.store.mark();
      const [thread, page] = await Promise.all([this.client.thread(id), fetching && this.client.messages(id)]);
      this.store.putThread(thread, mark, true);
      if (page) this.store.page(id, page, mark);
    } catch (error) {
      if (this.open !== id) return;
      if (error.status === 404) return this.on.closed(id, "This thread does not exist, or you are not a member of it.");
      if (this.store.stale(id)) this.failure = error.message;
      if (error.passing) setTimeout(() => this.open === id && this.failure && this.#load(), error.retryAfter ?? AGAIN_MS);
    }
    if (this.open !== id) return;
    this.#divide();
    // A reset came in between: its list is on the way and loads once more.
    this.loading = this.store.stale(id) && !this.failure;
    this.on.changed();
    this.#askPresence();
    this.see();
  }

  /** Remembers where the unseen part began, before looking at it makes it seen. */
  #divide() {
    const thread = this.store.thread(this.open);
    if (!thread || thread.stub || this.newAfter !== undefined) return;
    this.newAfter = this.store.unread(this.open) > 0 ? thread.seen : Infinity;
  }

  async #older() {
    const id = this.open;
    const before = this.store.thread(id)?.earlier;
    if (!before || this.earlierBusy || this.store.stale(id)) return;
    this.earlierBusy = true;
    this.on.changed();
    try {
      const mark = this.store.mark();
      this.store.page(id, await this.client.messages(id, { before }), mark, true);
    } catch (error) {
      this.on.notice(`Earlier messages could not be loaded. ${error.message}`);
    } finally {
      this.earlierBusy = false;
      this.on.changed();
    }
  }

  /** Looks whether the newest message is being read; call it when that may have changed. */
  see() {
    // Not put off by further calls: in a busy thread they never cease.
    this.#seeTimer ??= setTimeout(() => this.#see(), SEEN_MS);
  }

  async #see() {
    clearTimeout(this.#seeTimer);
    this.#seeTimer = undefined;
    const id = this.open;
    // Reading would accept an invitation, which the user decides.
    if (id && this.reading() && !this.store.stale(id) && this.store.thread(id)?.state !== "invited") {
      const newest = this.store.newest(id);
      if (newest > (this.store.thread(id)?.seen ?? 0)) {
        this.store.apply("seen", { thread: id, user: this.me, number: newest });
        this.#toSee.set(id, newest);
        this.on.changed();
      }
    }
    for (const [thread, number] of this.#toSee) {
      this.#toSee.delete(thread);
      try {
        await this.client.seen(thread, number);
      } catch (error) {
        if (!error.passing) continue;
        this.#toSee.set(thread, Math.max(number, this.#toSee.get(thread) ?? 0));
        this.#seeTimer ??= setTimeout(() => this.#see(), error.retryAfter ?? AGAIN_MS);
        return;
      }
    }
  }

  // ---- presence and typing -------------------------------------------------------------------

  async #askPresence() {
    const [id, now] = [this.open, Date.now()];
    if (!id || !this.looking() || now - (this.#presenceAt.get(id) ?? 0) < PRESENCE_AGAIN_MS) return;
    this.#presenceAt.set(id, now);
    try {
      const { items } = await this.client.presence(id);
      for (const { user, online } of items) this.#presence.set(user, { online, until: Date.now() + PRESENCE_LIFE_MS });
      this.on.changed();
    } catch {
      // What is not known is not shown.
    }
  }

  /** Whether a user is online; undefined where that is not known. */
  online(user) {
    const known = this.#presence.get(user);
    return known && known.until > Date.now() ? known.online : undefined;
  }

  /** Tells the others that there is, or no longer is, a text in the making. */
  typing(is) {
    const now = Date.now();
    if (is) {
      if (!this.open || (this.#typed.thread === this.open && now - this.#typed.at < TYPING_MS)) return;
      this.#typed = { thread: this.open, at: now };
      this.client.typing(this.open, "started").catch(() => {});
    } else if (this.#typed.thread) {
      this.client.typing(this.#typed.thread, "stopped").catch(() => {});
      this.#typed = { thread: null, at: 0 };
    }
  }

  // ---- what the user does --------------------------------------------------------------------

  /** Sends a text to the open thread, perhaps as a reply to a message. It mentions the members whose names it has behind an `@`. */
  send(text, reply) {
    this.typing(false);
    const users = this.store.thread(this.open)?.members.map((member) => member.user) ?? [];
    const mentions = mentioned(text, users);
    this.sends.add({
      thread: this.open, key: uuid(), text, at: new Date().toISOString(), mentions: mentions.length > 0 ? mentions : undefined,
      reply: reply && { tseq: reply.tseq, number: reply.number, from: reply.from },
    });
  }

  /** Starts a thread and returns its id. */
  async create(members, title, key) {
    const mark = this.store.mark();
    const thread = await this.client.createThread(members, title || undefined, key);
    this.store.putThread(thread, mark);
    this.on.changed();
    return thread.id;
  }

  /** Gives an own message another text. */
  async edit({ thread, tseq }, text, key) {
    this.store.put(await this.client.edit(thread, tseq, text, key));
    this.on.changed();
  }

  async deleteMessage({ thread, tseq }) {
    await this.client.deleteMessage(thread, tseq);
    this.store.erase(thread, tseq);
    this.on.changed();
  }

  /** Puts an own reaction under a message, or takes it away. */
  async react({ thread, tseq }, emoji, is) {
    this.store.put(await this.client.react(thread, tseq, emoji, is));
    this.on.changed();
  }

  /** Accepts the invitation to the open thread. */
  async accept() {
    const id = this.open;
    await this.client.accept(id);
    this.store.accept(id);
    this.on.changed();
    this.see();
  }

  /** Blocks a user, or ends that. */
  async block(user, is) {
    await (is ? this.client.block(user) : this.client.unblock(user));
    if (is) this.blocked.add(user);
    else this.blocked.delete(user);
    this.on.changed();
  }

  /** Without an answer, the next list asks again. */
  async #askBlocks() {
    const blocks = await this.client.blocks().catch(() => null);
    if (!blocks) return;
    this.blocked = new Set(blocks.map((block) => block.user));
    this.on.changed();
  }

  /** Gives the user another name; without one the id is shown. */
  async setName(name) {
    const { people } = this.store;
    const [{ avatar, data }] = await this.client.users([this.me]);
    const user = await this.client.setProfile({ name, avatar, data });
    people.learn({ [this.me]: user });
    this.on.changed();
  }

  async rename(title) {
    const mark = this.store.mark();
    this.store.putThread(await this.client.rename(this.open, title), mark, true);
    this.on.changed();
  }

  async add(user) {
    await this.client.addMember(this.open, user);
    this.store.apply("member", { thread: this.open, user, change: "added" });
    this.on.changed();
  }

  async leave() {
    const id = this.open;
    await this.client.removeMember(id, this.me);
    this.store.apply("member", { thread: id, user: this.me, change: "left" });
    this.on.closed(id);
    this.on.changed();
  }
}
