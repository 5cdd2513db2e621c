/** Names, initials and times as a reader likes them. Pure. */

const HUES = 10;

/** The colour of a user's or thread's avatar: always the same for the same name. */
export function hue(name) {
  let hash = 2166136261;
  for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  return (hash >>> 0) % HUES;
}

/** One or two letters for an avatar. */
export function initials(name) {
  const words = name.split("@")[0].split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0]);
  return (letters.join("") || "?").toUpperCase();
}

/** What a thread is called by one of its members, where `name` says what a user is called. */
export function threadName(thread, me, name) {
  if (thread.title) return thread.title;
  const others = thread.members.map((member) => member.user).filter((user) => user !== me).map(name);
  if (others.length === 0) return thread.kind === "direct" ? name(me) : "Only you";
  if (others.length <= 3) return listOf(others);
  return `${others.slice(0, 3).join(", ")} and others`;
}

/** What a thread's avatar is made from: its title, or the names of the others. */
export function faceName(thread, me, name) {
  if (thread.title) return thread.title;
  const others = thread.members.map((member) => member.user).filter((user) => user !== me).map(name);
  // A direct thread wears the face of the other, the same as beside their messages.
  return others.length < 2 ? (others[0] ?? name(me)) : others.map((user) => user.split("@")[0]).join(" ");
}

/** The other member of a direct thread. */
export function peer(thread, me) {
  if (thread.kind !== "direct") return undefined;
  return thread.members.map((member) => member.user).find((user) => user !== me);
}

/** "a", "a and b", "a, b and c". */
export function listOf(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const weekdayShort = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long" });
const dateShort = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dateYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });

/** "10:42" */
export function timeOf(at) {
  return clock.format(new Date(at));
}

/** The whole date and time, for a tooltip. */
export function momentOf(at) {
  return whole.format(new Date(at));
}

/** A day separator: "Today", "Yesterday", "Tuesday", "12 March", "12 March 2024". */
export function dayOf(at, now = new Date()) {
  const then = new Date(at);
  const days = daysBetween(then, now);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return weekday.format(then);
  return (then.getFullYear() === now.getFullYear() ? date : dateYear).format(then);
}

/** A time for a list: "10:42", "Yesterday", "Tue", "12 Mar". */
export function shortOf(at, now = new Date()) {
  const then = new Date(at);
  const days = daysBetween(then, now);
  if (days <= 0) return timeOf(at);
  if (days === 1) return "Yesterday";
  if (days < 7) return weekdayShort.format(then);
  return dateShort.format(then);
}

/** Whether two moments lie on one day of the reader. */
export function sameDay(a, b) {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

function daysBetween(then, now) {
  const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());
  return Math.round((midnight(now) - midnight(then)) / 86_400_000);
}

/** What "Seen" says under an own message. */
export function seenText(thread, seers, me) {
  if (seers.length === 0) return "Sent";
  if (thread.kind === "direct") return "Seen";
  const others = thread.members.filter((member) => member.user !== me).length;
  if (seers.length > 3) return seers.length === others ? "Seen by everyone" : `Seen by ${seers.slice(0, 2).join(", ")} and ${seers.length - 2} more`;
  return `Seen by ${listOf(seers)}`;
}

/** Users whom one message may mention. */
const MENTIONS = 20;

/** Where a text has the name of a user behind an `@`; -1 where it has not. */
function mentionAt(text, user, from = 0) {
  for (let at = text.indexOf(`@${user}`, from); at >= 0; at = text.indexOf(`@${user}`, at + 1)) {
    const end = at + user.length + 1;
    // A full stop or colon behind a name belongs to the sentence.
    if ((at === 0 || /\s/.test(text[at - 1])) && !/[\w@|+=~-]/.test(text[end] ?? " ")) return at;
  }
  return -1;
}

/** Those of some users whom a text mentions. */
export function mentioned(text, users) {
  return users.filter((user) => mentionAt(text, user) >= 0).slice(0, MENTIONS);
}

/** Splits a text into plain pieces, web addresses, and the names of users who are mentioned. */
export function pieces(text, mentions = []) {
  return addresses(text).flatMap((piece) => (piece.url ? [piece] : names(piece.text, mentions)));
}

function names(text, mentions) {
  const first = mentions.map((user) => ({ user, at: mentionAt(text, user) })).filter(({ at }) => at >= 0).sort((a, b) => a.at - b.at)[0];
  if (!first) return text ? [{ text }] : [];
  const end = first.at + first.user.length + 1;
  const before = first.at > 0 ? [{ text: text.slice(0, first.at) }] : [];
  return [...before, { text: text.slice(first.at, end), user: first.user }, ...names(text.slice(end), mentions)];
}

/** What a message says, in a line. */
export function lineOf({ text, deleted, attachments }) {
  if (deleted) return "Message deleted";
  // Line breaks would show as one long run of blanks.
  return text?.trim() ? text.replace(/\s+/g, " ") : (attachments ?? []).map(fileName).join(", ");
}

/** What to call an attachment. */
export function fileName({ name, url }) {
  return name ?? new URL(url).hostname;
}

/** "9 kB" */
export function sizeOf(bytes) {
  const steps = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(steps.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return new Intl.NumberFormat(undefined, { style: "unit", unit: steps[step], unitDisplay: "short", maximumFractionDigits: 1 }).format(bytes / 1000 ** step);
}

/** Splits a text into plain pieces and web addresses. */
function addresses(text) {
  const found = [];
  let from = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"']+/g)) {
    // A full stop or bracket after an address belongs to the sentence.
    const url = match[0].replace(/[.,;:!?)\]}]+$/, "");
    if (match.index > from) found.push({ text: text.slice(from, match.index) });
    found.push({ text: url, url });
    from = match.index + url.length;
  }
  if (from < text.length) found.push({ text: text.slice(from) });
  return found;
}
