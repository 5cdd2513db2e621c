/** The few things the page does to the DOM by hand. */
import { hue, initials } from "./format.js";

export const $ = (id) => document.getElementById(id);

/** Makes an element; attributes whose value is false, null or undefined are left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  set(node, attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Sets attributes where they differ; takes away those that are false, null or undefined. */
export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value === true ? "" : value);
  }
}

/** Sets text where it differs, so that a live region only speaks of what is new. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** One of the symbols in `index.html`. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * An avatar of initials. `online`: true or false where it is known, otherwise undefined.
 * @param {{name: string, kind?: "group"|"direct", online?: boolean, large?: boolean}} of
 */
export function avatar({ name, kind = "direct", online, large = false }) {
  const face = el("span", { class: `avatar ${kind}${large ? " large" : ""}`, "data-hue": hue(name), "aria-hidden": "true" }, initials(name));
  if (online === undefined) return face;
  return el("span", { class: "with-dot" }, face, dot(online));
}

/** The mark of who is online. */
export function dot(online) {
  return el("span", { class: "online", "data-testid": "online", "data-online": String(online), role: "img", "aria-label": online ? "Online" : "Offline" });
}

/** Replaces what is in `node` only when `now` differs from what was drawn there before. */
export function redraw(node, now, draw) {
  const drawn = JSON.stringify(now);
  if (node.drawn === drawn) return;
  node.drawn = drawn;
  node.replaceChildren(...[draw()].flat());
}

/**
 * Makes the children of `parent` match `items`, by key: what is there stays the same element, so
 * focus, scroll and selection survive.
 */
export function match(parent, items, { key, make, update }) {
  const wanted = new Set(items.map(key));
  const nodes = (parent.byKey ??= new Map());
  // First those that go: a node that stays in order is then never moved.
  for (const [id, node] of nodes) {
    if (wanted.has(id)) continue;
    node.remove();
    nodes.delete(id);
  }
  let spot = parent.firstChild;
  for (const item of items) {
    const id = key(item);
    const node = nodes.get(id) ?? make(item);
    nodes.set(id, node);
    const drawn = JSON.stringify(item);
    if (node.drawn !== drawn) {
      node.drawn = drawn;
      update(node, item);
    }
    if (node === spot) spot = spot.nextSibling;
    else parent.insertBefore(node, spot);
  }
}

/** Says what went wrong and what to do, for a while. */
export function toast(text, { quiet = false } = {}) {
  const close = el("button", { type: "button", class: "icon", "aria-label": "Dismiss" }, icon("close"));
  const note = el("div", { class: quiet ? "toast quiet" : "toast", "data-testid": "toast" }, el("p", {}, text), close);
  const gone = () => note.remove();
  close.addEventListener("click", gone);
  setTimeout(gone, quiet ? 5_000 : 10_000);
  for (const old of $("toasts").children) if (old.textContent === note.textContent) old.remove();
  $("toasts").append(note);
}

/** Calls `draw` once for any number of calls, with the next frame; also where no frame comes. */
export function batched(draw) {
  let due = false;
  const now = () => {
    if (!due) return;
    due = false;
    draw();
  };
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(now);
    setTimeout(now, 100);
  };
}
