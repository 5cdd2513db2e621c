/** The page: wires the views to the session of whoever is signed in. */
import { Chat } from "./chat.js";
import { Details, drawHead } from "./details.js";
import { $, avatar, batched, redraw, say, set, toast } from "./dom.js";
import { lineOf, listOf, peer } from "./format.js";
import { drawList, walkList } from "./list.js";
import { Log } from "./log.js";
import { MessageMenu } from "./menu.js";
import { ProfileForm } from "./profile.js";
import { uuid } from "./runnel.js";
import { SignIn, forgetSession, storedSession } from "./signin.js";
import { StartThread } from "./start.js";

/** Largest message the server takes, in bytes of UTF-8. */
const MESSAGE_BYTES = 16 * 1024;
const CONNECTION = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", offline: "Offline" };
const WAITING = {
  connecting: "Connecting…",
  reconnecting: "Reconnecting… What you send now goes out as soon as the connection is back.",
  offline: "You are offline. What you send now goes out as soon as you are back.",
};

/** @type {Chat|null} */
let chat = null;
let typingTimer;
/** The message that the composer holds the text of, with the key of its last try. */
let editing = null;
/** The message that the next one replies to. */
let replying = null;
const drafts = new Map();
const draw = batched(drawNow);

const signIn = new SignIn(begin);
const log = new Log({
  retry: (key) => chat.sends.retry(key),
  drop: (key) => chat.sends.drop(key),
  older: () => chat?.more(),
  moved: () => chat?.see(),
  menu: (button, item) => menu.show(button, item, chat.me),
  react,
});
const menu = new MessageMenu({
  react,
  reply: startReply,
  edit: startEdit,
  remove: (item) => chat.deleteMessage(item).catch((error) => toast(`The message was not deleted. ${error.message}`)),
});
const details = new Details({ add: (user) => chat.add(user), leave: () => chat.leave(), rename: (title) => chat.rename(title), block: (user, is) => chat.block(user, is) });
const profile = new ProfileForm(() => chat, (name) => chat.setName(name));
const start = new StartThread(() => chat.me, (members, title, key) => chat.create(members, title, key), go);

// ---- sessions --------------------------------------------------------------------------------

function begin(session) {
  chat = new Chat({
    session,
    looking: () => document.visibilityState === "visible",
    reading: () => document.visibilityState === "visible" && document.hasFocus() && log.atEnd,
    on: {
      changed: draw,
      notice: (text) => toast(text, { quiet: true }),
      closed: (thread, why) => {
        if (chat.open !== thread) return;
        go(null);
        if (why) toast(why);
      },
      signedOut: () => end("Your session has ended. Sign in again: what was not yet sent is kept."),
    },
  });
  $("app").hidden = false;
  chat.start();
  route();
  if (!chat.open) $("side-title").focus();
}

function end(why) {
  chat?.stop();
  chat = null;
  forgetSession();
  stopEdit();
  stopReply();
  drafts.clear();
  menu.close();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("app").hidden = true;
  set($("connection"), { "data-state": "connecting" });
  signIn.show(why);
}

async function signOut() {
  const waiting = chat.store.pending.length;
  if (waiting > 0 && !confirm(`${waiting === 1 ? "A message has" : `${waiting} messages have`} not been sent yet. Sign out and lose ${waiting === 1 ? "it" : "them"}?`)) return;
  const { client, sends } = chat;
  sends.clear();
  end();
  history.replaceState(null, "", location.pathname);
  await client.endSession().catch(() => {});
}

// ---- which thread is open: the address says ---------------------------------------------------

function go(thread) {
  if (thread) location.hash = `#${thread}`;
  else {
    history.pushState(null, "", location.pathname);
    route();
  }
}

function route() {
  if (!chat) return;
  const id = decodeURIComponent(location.hash.slice(1)) || null;
  const before = chat.open;
  if (before === id) return;
  stopEdit();
  stopReply();
  if (before) drafts.set(before, $("composer").value);
  menu.close();
  details.close();
  log.open(id);
  chat.openThread(id);
  drawNow();
  $("composer").value = drafts.get(id) ?? "";
  fitComposer();
  // A phone would cover the messages with its keyboard at once.
  if (id) (matchMedia("(pointer: coarse)").matches ? $("thread-title") : $("composer")).focus({ preventScroll: true });
  else (document.querySelector(`[data-thread="${CSS.escape(before)}"]`) ?? $("side-title")).focus();
}

// ---- drawing ---------------------------------------------------------------------------------

function drawNow() {
  if (!chat) return;
  const { store, open } = chat;
  const now = Date.now();
  const online = (user) => chat.online(user);
  drawList({ store, open, listed: chat.listed, online, now });
  drawConnection();
  drawMe(store);
  document.body.dataset.view = open ? "thread" : "list";
  $("nothing-open").hidden = Boolean(open);
  $("thread").hidden = !open;
  const thread = open && store.thread(open);
  const unread = store.totalUnread();
  const name = thread && !thread.stub ? store.title(thread) : "";
  document.title = `${unread > 0 ? `(${unread}) ` : ""}${name ? `${name} · ` : ""}Runnel`;
  drawTyping(open, now);
  if (!thread || thread.stub) {
    if (open) drawUnknown();
    return;
  }
  drawHead({ store, thread, online });
  drawBanner(thread);
  details.draw({ store, thread, online, blocked: chat.blocked });
  log.draw({ store, loading: chat.loading, failure: chat.failure, earlierBusy: chat.earlierBusy, newAfter: chat.newAfter });
  chat.see();
}

function drawMe(store) {
  const name = store.name(store.me);
  say($("me"), name);
  redraw($("me-avatar"), name, () => [avatar({ name })]);
}

/** What the user may decide about the open thread: an invitation, or the end of a block. */
function drawBanner(thread) {
  const other = thread && peer(thread, chat.me);
  const blocked = Boolean(other) && chat.blocked.has(other);
  const invited = thread?.state === "invited";
  const name = other && chat.store.name(other);
  $("banner").hidden = !blocked && !invited;
  if ($("banner").hidden) return;
  $("banner-no").hidden = blocked;
  say($("banner-no"), other ? "Block" : "Leave");
  say($("banner-yes"), blocked ? "Unblock" : "Accept");
  say($("banner-text"), blocked ? `You have blocked ${name}. They can no longer write to you here.`
    : `${other ? `${name} wants to talk to you.` : "You are invited to this group."} If you accept or write, others see what you have read.`);
}

/** Does what a button of the banner says. Both are off until it is done. */
async function decide(work, what) {
  const buttons = [$("banner-no"), $("banner-yes")];
  for (const button of buttons) set(button, { disabled: true });
  try {
    await work();
    $("composer").focus();
  } catch (error) {
    toast(`${what} ${error.message}`);
  } finally {
    for (const button of buttons) set(button, { disabled: false });
  }
}

function bannerYes() {
  const other = peer(chat.store.thread(chat.open), chat.me);
  if (other && chat.blocked.has(other)) return decide(() => chat.block(other, false), `${chat.store.name(other)} is still blocked.`);
  return decide(() => chat.accept(), "The invitation was not accepted.");
}

function bannerNo() {
  const other = peer(chat.store.thread(chat.open), chat.me);
  if (other) return decide(() => chat.block(other, true), `${chat.store.name(other)} is not blocked.`);
  return details.show({ leaving: true });
}

/** An address names a thread that has not arrived yet. */
function drawUnknown() {
  drawBanner(null);
  redraw($("thread-avatar"), "", () => []);
  say($("thread-title"), "Loading…");
  say($("thread-about"), "");
  redraw($("log-top"), chat.failure, () => (chat.failure ? [chat.failure] : []));
}

function drawConnection() {
  const state = chat.state !== "live" && !navigator.onLine ? "offline" : chat.state;
  set($("connection"), { "data-state": state });
  say($("connection"), CONNECTION[state]);
  say($("waiting"), WAITING[state] ?? "");
}

function drawTyping(open, now) {
  clearTimeout(typingTimer);
  const typers = open ? chat.store.typers(open, now).map((user) => chat.store.name(user)) : [];
  const text = typers.length === 0 ? "" : typers.length > 3 ? "Several people are typing" : `${listOf(typers)} ${typers.length === 1 ? "is" : "are"} typing`;
  say($("typing"), text);
  $("typing").classList.toggle("on", text !== "");
  const end = chat.store.nextTypingEnd(now);
  if (end) typingTimer = setTimeout(draw, end - now + 20);
}

// ---- composer --------------------------------------------------------------------------------

function fitComposer() {
  const box = $("composer");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
  $("send").disabled = box.value.trim() === "";
}

function react(item, emoji, is) {
  chat.react(item, emoji, is).catch((error) => toast(error.message));
}

function startEdit(item) {
  stopReply();
  if (!editing) drafts.set(chat.open, $("composer").value);
  editing = { item, text: null, key: null };
  say($("editing-text"), item.text.replace(/\s+/g, " "));
  $("editing").hidden = false;
  $("composer").value = item.text;
  fitComposer();
  $("composer").focus();
}

function startReply(item) {
  stopEdit();
  replying = item;
  say($("replying-to"), item.own ? "yourself" : item.author);
  say($("replying-text"), lineOf(item));
  $("replying").hidden = false;
  $("composer").focus();
}

function stopReply() {
  replying = null;
  $("replying").hidden = true;
}

/** Back to what was being written before. */
function stopEdit() {
  if (!editing) return;
  editing = null;
  $("editing").hidden = true;
  $("composer").value = drafts.get(chat?.open) ?? "";
  fitComposer();
}

async function saveEdit(text) {
  const now = editing;
  // One key for all tries of one text: an answer that got lost is no second edit.
  if (now.text !== text) Object.assign(now, { text, key: uuid() });
  try {
    await chat.edit(now.item, text, now.key);
    if (editing === now) stopEdit();
  } catch (error) {
    toast(`The message was not changed. ${error.message}`);
  }
}

/** The latest own message that can be edited. */
function ownLast() {
  return chat?.store.rows(chat.open).findLast((row) => row.from === chat.me && row.state === "sent" && !row.deleted);
}

function submit() {
  const text = $("composer").value.trimEnd();
  if (!text.trim() || !chat?.open) return;
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MESSAGE_BYTES) {
    toast(`This message is too long: ${Math.ceil(bytes / 1024)} KiB, at most 16. Send it in parts.`);
    return;
  }
  if (editing) {
    saveEdit(text);
    return;
  }
  chat.send(text, replying);
  stopReply();
  $("composer").value = "";
  drafts.delete(chat.open);
  fitComposer();
  $("composer").focus();
}

$("composer").addEventListener("input", () => {
  fitComposer();
  if (!editing) chat?.typing($("composer").value.trim() !== "");
});
$("composer").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && editing) return stopEdit();
  if (event.key === "Escape" && replying) return stopReply();
  if (event.key === "ArrowUp" && $("composer").value === "" && ownLast()) {
    event.preventDefault();
    return startEdit(ownLast());
  }
  // While an input method composes, Enter is its own.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return undefined;
  event.preventDefault();
  return submit();
});
$("composer-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

// ---- the rest of the page --------------------------------------------------------------------

$("new-thread").addEventListener("click", () => start.show());
$("first-thread").addEventListener("click", () => start.show());
$("banner-yes").addEventListener("click", bannerYes);
$("banner-no").addEventListener("click", bannerNo);
$("editing-off").addEventListener("click", () => {
  stopEdit();
  $("composer").focus();
});
$("replying-off").addEventListener("click", () => {
  stopReply();
  $("composer").focus();
});
$("me").addEventListener("click", () => profile.show());
$("details").addEventListener("click", () => details.show());
$("sign-out").addEventListener("click", signOut);
$("back").addEventListener("click", () => go(null));
$("threads").addEventListener("keydown", walkList);
$("skip").addEventListener("click", () => (chat.open ? $("composer") : $("new-thread")).focus());

addEventListener("hashchange", route);
addEventListener("popstate", route);
addEventListener("online", () => chat?.wake(true));
addEventListener("offline", () => chat?.wake(true));
addEventListener("focus", () => chat?.see());
addEventListener("pageshow", (event) => event.persisted && chat?.wake(true));
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && chat?.wake());
// "Today" becomes "Yesterday", and what was said of presence grows old.
setInterval(draw, 60_000);

const session = storedSession();
if (session) begin(session);
else signIn.show();
