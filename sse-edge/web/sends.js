/**
 * Messages on their way to the server. Those of one thread go one after another; each is repeated
 * under its own key until it is answered, so a reload or a server that is down loses none and
 * doubles none. What waits is kept in the tab's own storage.
 */

/** Longest pause between two tries of one message, in milliseconds. */
const PAUSE_MAX_MS = 10_000;

export class Sends {
  #busy = new Set();
  #wakes = new Set();
  #stopped = false;

  /**
   * @param {object} parts
   * @param {import("./store.js").Store} parts.store holds the sends
   * @param {(thread: string, text: string, key: string, more: object) => Promise<object>} parts.send
   * @param {Storage} parts.storage `sessionStorage`: it outlives a reload, and is this tab's alone
   * @param {() => void} parts.changed called when there is something new to show
   */
  constructor({ store, send, storage, changed }) {
    this.store = store;
    this.send = send;
    this.storage = storage;
    this.changed = changed;
    this.name = `runnel.sends.${store.me}`;
  }

  /** Takes up what an earlier life of this page left behind. */
  restore() {
    for (const send of JSON.parse(this.storage.getItem(this.name) ?? "[]")) {
      if (!this.store.find(send.key)) this.store.pending.push({ ...send, tseq: undefined });
    }
    for (const send of this.store.pending) this.#drive(send.thread);
  }

  /** Shows a message and sends it. */
  add(message) {
    this.store.send(message);
    this.#changed();
    this.#drive(message.thread);
  }

  /** Tries a refused message once more. */
  retry(key) {
    const send = this.store.retry(key);
    this.#changed();
    if (send) this.#drive(send.thread);
  }

  /** Forgets a refused message. */
  drop(key) {
    this.store.drop(key);
    this.#changed();
  }

  /** Ends every pause: the network is back. */
  wake() {
    for (const wake of this.#wakes) wake();
  }

  /** No more tries; what waits stays in storage for the next sign-in. */
  stop() {
    this.#stopped = true;
    this.wake();
  }

  /** Forgets all that waits: the user signed out. */
  clear() {
    this.stop();
    this.storage.removeItem(this.name);
  }

  async #drive(thread) {
    if (this.#busy.has(thread)) return;
    this.#busy.add(thread);
    let failures = 0;
    const next = () => this.store.pending.find((send) => send.thread === thread && send.state === "sending");
    for (let send = next(); send && !this.#stopped; send = next()) {
      try {
        const more = { reply_to: send.reply?.tseq, mentions: send.mentions };
        const message = await this.send(thread, send.text, send.key, more);
        this.store.sent(send.key, message);
        failures = 0;
      } catch (error) {
        if (error.status === 401) break;
        if (error.passing) {
          await this.#pause(error.retryAfter ?? pauseAfter(failures));
          failures += 1;
          continue;
        }
        this.store.failed(send.key, error.message);
      }
      if (!this.#stopped) this.#changed();
    }
    this.#busy.delete(thread);
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wakes.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wakes.add(done);
    });
  }

  #changed() {
    this.storage.setItem(this.name, JSON.stringify(this.store.pending));
    this.changed();
  }
}

function pauseAfter(failures) {
  return Math.min(PAUSE_MAX_MS, 500 * 2 ** failures) * (0.5 + Math.random() / 2);
}
