/** The messages of the open thread: rows, day separators, seen marks, and where the reader is. */
import { $, avatar, el, icon, match, redraw, say, set } from "./dom.js";
import { dayOf, fileName, lineOf, listOf, momentOf, pieces, sameDay, seenText, sizeOf, timeOf } from "./format.js";

/** Messages of one author within this time stand together, in milliseconds. */
const TOGETHER_MS = 5 * 60_000;
/** Nearer to the end than this, in CSS pixels, the log follows new messages. */
const END_PX = 48;

export class Log {
  /**
   * @param {{retry: (key: string) => void, drop: (key: string) => void, older: () => void,
   *   moved: () => void, menu: (button: HTMLElement, item: object) => void,
   *   react: (item: object, emoji: string, is: boolean) => void}} on what the reader asks for
   */
  constructor(on) {
    this.on = on;
    this.box = $("log");
    /** Whether the reader is at the end, and so follows what arrives. */
    this.atEnd = true;
    this.thread = null;
    // While the box changes its size it is the browser that scrolls, not the reader: that must not
    // take the log off its end. The observer looks right afterwards.
    this.box.addEventListener("scroll", () => this.size === extent(this.box) && this.#scrolled(), { passive: true });
    new ResizeObserver(() => {
      this.size = extent(this.box);
      if (this.atEnd) this.toEnd();
      else this.#scrolled();
    }).observe(this.box);
    $("rows").addEventListener("click", (event) => this.#clicked(event));
    $("rows").addEventListener("keydown", walkMenus);
    $("to-newest").addEventListener("click", () => {
      this.toEnd();
      this.box.focus({ preventScroll: true });
    });
  }

  /** Starts on another thread. */
  open(thread) {
    this.thread = thread;
    this.newestAtEnd = Infinity;
    this.atEnd = true;
    this.first = undefined;
    this.lastEnd = undefined;
    this.box.scrollTop = 0;
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.#scrolled();
  }

  /**
   * Draws the open thread. `loading`: its newest page is on its way; `failure`: why it is not here;
   * `newAfter`: the number up to which it had been seen when it was opened.
   */
  draw({ store, loading, failure, earlierBusy, newAfter }) {
    const thread = store.thread(this.thread);
    if (!thread) return;
    const rows = store.rows(this.thread);
    const items = this.#items({ store, thread, rows, newAfter });
    const { scrollHeight, scrollTop } = this.box;
    const first = this.first;
    this.first = rows[0]?.tseq;
    const grewUp = first !== undefined && this.first < first;
    // Neither the first page nor an older one is news.
    set(this.box, { "aria-busy": String(loading), "aria-live": loading || grewUp ? "off" : "polite" });
    this.#top({ store, thread, loading, failure, earlierBusy, empty: rows.length === 0 });
    match($("rows"), items, { key: (item) => item.id, make: makeRow, update: (node, item) => updateRow(node, item, this.on) });
    const end = rows.at(-1);
    const own = end && end.from === store.me && (end.key ?? end.tseq) !== this.lastEnd;
    if (this.lastEnd !== undefined && own && end.state === "sending") this.atEnd = true;
    this.lastEnd = end && (end.key ?? end.tseq);
    if (this.atEnd) this.toEnd();
    else if (grewUp) this.box.scrollTop = scrollTop + this.box.scrollHeight - scrollHeight;
    this.#newer(store);
  }

  #clicked(event) {
    const button = event.target.closest("button");
    const item = button?.closest(".message")?.item;
    if (!item) return;
    if (button.classList.contains("more")) this.on.menu(button, item);
    if (button.classList.contains("chip")) this.on.react(item, button.dataset.emoji, button.getAttribute("aria-pressed") !== "true");
  }

  #items({ store, thread, rows, newAfter }) {
    const items = [];
    let previous;
    let marked = false;
    for (const row of rows) {
      const day = !previous || !sameDay(previous.at, row.at);
      const fresh = !marked && row.number > newAfter && row.from !== store.me;
      if (day) items.push({ id: `day ${new Date(row.at).toDateString()} ${row.key ?? row.tseq}`, label: dayOf(row.at), at: row.at.slice(0, 10) });
      if (fresh) items.push({ id: "new", label: "New" });
      marked ||= fresh;
      const joined = previous && !day && !fresh && previous.from === row.from && Date.parse(row.at) - Date.parse(previous.at) < TOGETHER_MS;
      if (joined) items.at(-1).last = false;
      items.push({ ...row, epoch: undefined, id: row.key ?? `tseq ${row.tseq}`, own: row.from === store.me, moderated: moderates(thread, store.me), first: !joined, last: true, named: thread.kind === "group", author: store.name(row.from), chips: chips(row, store), quoted: row.quote && store.name(row.quote.from) });
      previous = row;
    }
    // One stop of the Tab key for all menus; the arrow keys walk them.
    const end = items.findLast((item) => item.state === "sent" && !item.deleted);
    if (end) end.stop = true;
    this.#marks({ store, thread, items });
    return items;
  }

  /** Every own message knows who has seen it; it is written out only where that changes. */
  #marks({ store, thread, items }) {
    let told = -1;
    for (const item of items.toReversed()) {
      if (!item.own) continue;
      const seers = item.state === "sent" ? store.seers(thread.id, item.number) : [];
      item.seers = seers.length;
      item.mark = { sending: "Sending…", failed: "Not sent" }[item.state] ?? seenText(thread, seers.map((user) => store.name(user)), store.me);
      item.tell = item.state === "failed" || seers.length > told;
      if (item.state !== "failed") told = Math.max(told, seers.length);
    }
  }

  #top({ store, thread, loading, failure, earlierBusy, empty }) {
    const name = store.title(thread);
    const face = store.face(thread);
    const state = failure ? "failure" : loading && empty ? "loading" : thread.earlier ? "earlier" : loading ? "" : "start";
    redraw($("log-top"), [state, failure, earlierBusy, name, face, empty, thread.kind], () => {
      if (state === "failure") return [el("p", {}, failure), this.#button("Try again")];
      if (state === "loading") return [el("div", { class: "ghost-log", "aria-hidden": "true" }, el("i"), el("i", { class: "own" }), el("i"), el("i", { class: "own" })), el("p", { class: "sr" }, "Loading messages")];
      if (state === "earlier") return [this.#button(earlierBusy ? "Loading…" : "Load earlier messages")];
      if (state === "") return [];
      const about = empty ? "Say hello: your message arrives at once." : "This is where it began.";
      return [el("div", { class: "beginning" }, avatar({ name: face, kind: thread.kind, large: true }), el("h3", {}, name), el("p", {}, about))];
    });
  }

  #button(label) {
    const button = el("button", { type: "button", class: "quiet", "data-testid": "earlier" }, label);
    button.addEventListener("click", () => this.on.older());
    return button;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    this.atEnd = scrollHeight - scrollTop - clientHeight < END_PX;
    $("to-newest").hidden = this.atEnd;
    if (scrollTop < 120 && scrollHeight > clientHeight && !this.atEnd) this.on.older();
    this.on.moved();
  }

  /** The way back to the end, with how much arrived since the reader left it. */
  #newer(store) {
    const newest = store.newest(this.thread);
    if (this.atEnd) this.newestAtEnd = newest;
    const count = Math.max(0, newest - this.newestAtEnd);
    $("to-newest").hidden = this.atEnd;
    say($("to-newest").lastElementChild, count === 0 ? "Newest" : count === 1 ? "1 new message" : `${count} new messages`);
  }
}

function extent(box) {
  return `${box.clientWidth} ${box.clientHeight}`;
}

function makeRow(item) {
  if (item.label) return el("li", { class: item.id === "new" ? "new-mark" : "day" }, el("span", {}));
  return el("li", { class: "message", "data-testid": "message" },
    el("span", { class: "gutter" }),
    el("div", { class: "column" },
      el("span", { class: "author" }),
      el("div", { class: "bubble" },
        el("div", { class: "quote", "data-testid": "quote" }),
        el("span", { class: "text", "data-testid": "text" }),
        el("div", { class: "files" }),
        el("span", { class: "meta" }, el("span", { class: "edited" }), el("time"), el("span", { class: "tick" })),
        el("button", { type: "button", class: "icon more", "data-testid": "menu", "aria-label": "Message menu", "aria-haspopup": "menu", "aria-expanded": "false", title: "React, reply, edit, delete" }, icon("more"))),
      el("div", { class: "chips" }),
      el("div", { class: "status" })));
}

function updateRow(node, item, on) {
  if (item.label) return say(node.firstChild, item.label);
  node.item = item;
  node.className = `message${item.deleted ? " deleted" : ""}${item.own ? " own" : ""}${item.first ? " first" : ""}${item.last ? " last" : ""}`;
  set(node, { "data-tseq": item.tseq, "data-key": item.key, "data-state": item.state });
  const [gutter, column] = node.children;
  const [author, bubble, reactions, status] = column.children;
  const [quote, text, files, meta, more] = bubble.children;
  const [edited, time, tick] = meta.children;
  redraw(gutter, !item.own && item.last && item.author, () => (!item.own && item.last ? [avatar({ name: item.author })] : []));
  say(author, item.own ? "You" : item.author);
  // Names are chosen freely: the id says who it is.
  set(author, { title: item.from });
  // Shown above the first of a group; always there for those who hear the log.
  author.classList.toggle("sr", item.own || !item.first || !item.named);
  redraw(quote, item.quote ? [item.quoted, lineOf(item.quote)] : null, () => item.quote ? quoteOf(item) : []);
  redraw(text, [item.text ?? null, item.mentions ?? []], () => item.deleted ? ["Message deleted"] : pieces(item.text, item.mentions).map(pieceOf));
  redraw(files, item.attachments ?? [], () => (item.attachments ?? []).map(fileOf));
  say(edited, item.edited_at ? "edited" : "");
  set(edited, { "data-testid": item.edited_at && "edited", title: item.edited_at && momentOf(item.edited_at) });
  more.hidden = item.state !== "sent" || Boolean(item.deleted);
  set(more, { tabindex: item.stop ? "0" : "-1" });
  redraw(reactions, item.chips, () => item.chips.map(chip));
  say(time, timeOf(item.at));
  set(time, { datetime: item.at, title: momentOf(item.at) });
  if (!item.own) return undefined;
  const sign = item.state === "sent" ? (item.seers > 0 ? "seen" : "sent") : item.state;
  redraw(tick, sign, () => [icon(sign)]);
  tick.className = `tick ${sign}`;
  redraw(status, [item.mark, item.tell, item.detail], () => statusOf(item, on));
  return undefined;
}

function pieceOf({ text, url, user }) {
  if (url) return el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text);
  return user ? el("b", { class: "mention", "data-testid": "mention" }, text) : text;
}

/** The message that another one replies to. What it says may not be known. */
function quoteOf({ quote, quoted }) {
  return [el("b", { title: quote.from }, quoted), " ", lineOf(quote)];
}

/** A link, and no picture: loading one would tell a foreign host who reads. */
function fileOf(file) {
  const about = file.size === undefined ? "" : ` (${sizeOf(file.size)})`;
  return el("a", { class: "file", "data-testid": "file", href: file.url, target: "_blank", rel: "noopener noreferrer" }, `${fileName(file)}${about}`);
}

/** The reactions under a message: whose they are. */
function chips({ reactions = {} }, store) {
  const name = (user) => (user === store.me ? "you" : store.name(user));
  return Object.entries(reactions).map(([emoji, users]) => ({ emoji, names: listOf(users.map(name)), count: users.length, mine: users.includes(store.me) }));
}

function chip({ emoji, names, count, mine }) {
  return el("button", {
    type: "button", class: "chip", "data-testid": "reaction", "data-emoji": emoji, "aria-pressed": String(mine), title: names, "aria-label": `${emoji} by ${names}`,
  }, emoji, el("span", { class: "chip-count" }, String(count)));
}

/** Arrow keys, Home and End walk the messages' menus. */
function walkMenus(event) {
  if (!event.target.classList.contains("more")) return;
  const menus = [...$("rows").querySelectorAll(".more:not([hidden])")];
  const here = menus.indexOf(event.target);
  const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: menus.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  menus[Math.min(Math.max(to, 0), menus.length - 1)].focus();
}

function statusOf(item, on) {
  const mark = el("span", { class: item.tell ? "seen" : "seen sr", "data-testid": "seen" }, item.mark);
  if (item.state !== "failed") return [mark];
  const retry = el("button", { type: "button", class: "link", "data-testid": "retry" }, "Retry");
  const drop = el("button", { type: "button", class: "link", "data-testid": "drop" }, "Delete");
  retry.addEventListener("click", () => on.retry(item.key));
  drop.addEventListener("click", () => on.drop(item.key));
  return [mark, item.detail ? `: ${item.detail}` : "", el("div", { class: "again" }, retry, drop)];
}

function moderates(thread, me) {
  return thread.members.some(({ user, role }) => user === me && role !== "member");
}
