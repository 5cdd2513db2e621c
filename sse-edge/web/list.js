/** The list of threads. */
import { $, avatar, el, match, redraw, say, set } from "./dom.js";
import { lineOf, momentOf, peer, shortOf } from "./format.js";

/**
 * Draws the list.
 * @param {object} state
 * @param {import("./store.js").Store} state.store
 * @param {string|null} state.open the thread that is open
 * @param {boolean} state.listed whether the first list has arrived
 * @param {(user: string) => boolean|undefined} state.online
 * @param {number} state.now
 */
export function drawList({ store, open, listed, online, now }) {
  const items = store.threads().map((thread) => row({ store, thread, open, online, now }));
  $("no-threads").hidden = !listed || items.length > 0;
  $("threads-loading").toggleAttribute("hidden", listed);
  match($("threads"), items, { key: (item) => item.id, make, update });
}

function row({ store, thread, open, online, now }) {
  const sends = store.pending.filter((send) => send.thread === thread.id);
  const newest = sends.at(-1) ?? thread.last;
  const typers = store.typers(thread.id, now);
  const other = peer(thread, store.me);
  const invited = thread.state === "invited";
  return {
    id: thread.id,
    name: store.title(thread),
    face: store.face(thread),
    kind: thread.kind,
    online: other && online(other),
    preview: invited && sends.length === 0 ? "Invitation" : preview({ store, thread, newest, typers, sends }),
    typing: typers.length > 0 && !invited,
    failed: sends.some((send) => send.state === "failed"),
    at: newest?.at ?? thread.createdAt,
    when: shortOf(newest?.at ?? thread.createdAt),
    unread: store.unread(thread.id),
    open: thread.id === open,
  };
}

function preview({ store, thread, newest, typers, sends }) {
  if (typers.length > 0) return thread.kind === "direct" ? "typing…" : `${store.name(typers[0])} is typing…`;
  if (sends.some((send) => send.state === "failed")) return "A message was not sent";
  if (!newest) return "No messages yet";
  const from = newest.from ?? store.me;
  const text = lineOf(newest);
  if (from === store.me) return `You: ${text}`;
  return thread.kind === "direct" ? text : `${store.name(from)}: ${text}`;
}

function make(item) {
  const link = el("a", { href: `#${item.id}`, class: "thread-link", "data-testid": "thread", "data-thread": item.id },
    el("span", { class: "face" }),
    el("span", { class: "name" }),
    el("time", { class: "when" }),
    el("span", { class: "preview" }),
    el("span", { class: "count" }),
  );
  return el("li", {}, link);
}

function update(node, item) {
  const link = node.firstChild;
  const [face, name, when, text, count] = link.children;
  redraw(face, [item.face, item.kind, item.online], () => [avatar({ ...item, name: item.face })]);
  say(name, item.name);
  say(when, item.when);
  set(when, { datetime: item.at, title: item.at && momentOf(item.at) });
  say(text, item.preview);
  text.classList.toggle("typing-now", item.typing);
  text.classList.toggle("failed", item.failed && !item.typing);
  link.classList.toggle("has-unread", item.unread > 0);
  set(link, { "aria-current": item.open ? "page" : null });
  redraw(count, item.unread, () => item.unread === 0 ? [] : [
    el("span", { class: "unread", "data-testid": "unread", "aria-hidden": "true" }, item.unread > 99 ? "99+" : String(item.unread)),
    el("span", { class: "sr" }, `${item.unread} unread`),
  ]);
}

/** Arrow keys, Home and End walk the list. */
export function walkList(event) {
  const links = [...$("threads").querySelectorAll("a")];
  const here = links.indexOf(document.activeElement);
  if (here < 0) return;
  const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: links.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  links[Math.min(Math.max(to, 0), links.length - 1)].focus();
}
