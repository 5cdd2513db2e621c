/** Who is in the open thread: its header, and the drawer where members are added and leave. */
import { $, avatar, dot, el, match, redraw, say, set } from "./dom.js";
import { peer } from "./format.js";
import { closes } from "./start.js";

/** Draws the header over the messages. */
export function drawHead({ store, thread, online }) {
  const other = peer(thread, store.me);
  const face = store.face(thread);
  redraw($("thread-avatar"), [face, thread.kind, other && online(other)], () => [avatar({ name: face, kind: thread.kind, online: other && online(other) })]);
  say($("thread-title"), store.title(thread));
  set($("thread-title"), { title: other });
  say($("thread-about"), about({ store, thread, online }));
}

function about({ store, thread, online }) {
  const other = peer(thread, store.me);
  if (other) return { true: "Online", false: "Offline" }[online(other)] ?? "Direct thread";
  const others = thread.members.map((member) => member.user).filter((user) => user !== store.me);
  const count = thread.full ? `${thread.members.length} ${thread.members.length === 1 ? "member" : "members"}` : "Group";
  const here = others.filter((user) => online(user)).length;
  return here > 0 ? `${count}, ${here} online` : count;
}

/** Roles in their order: a greater one may do all that a lesser one may. */
const RANK = ["member", "moderator", "owner"];

function mayAdd(thread, me) {
  const role = thread.members.find((member) => member.user === me)?.role ?? "member";
  return thread.kind === "group" && RANK.indexOf(role) >= RANK.indexOf(thread.adds);
}

const ROLES = { owner: "Owner", moderator: "Moderator" };

function memberLine({ user, name, me, role, online }, group) {
  const parts = [
    avatar({ name }),
    // Names are chosen freely: the id says who it is.
    el("span", { class: "member-name", "data-testid": "member-name" }, name, name !== user && el("span", { class: "member-id" }, user), me && el("span", { class: "you" }, "You")),
    group && ROLES[role] && el("span", { class: "role" }, ROLES[role]),
    online !== undefined && dot(online),
  ];
  return parts.filter(Boolean);
}

export class Details {
  /**
   * @param {{add: (user: string) => Promise<void>, leave: () => Promise<void>,
   *   rename: (title: string) => Promise<void>, block: (user: string, is: boolean) => Promise<void>}} on
   */
  constructor(on) {
    this.on = on;
    this.dialog = $("details-dialog");
    closes(this.dialog);
    $("add-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
    $("rename-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#rename();
    });
    $("leave").addEventListener("click", () => this.#sure(true));
    $("leave-no").addEventListener("click", () => this.#sure(false));
    $("leave-yes").addEventListener("click", () => this.#leave());
    $("block").addEventListener("click", () => this.#busy($("block"), () => this.on.block(this.other, !this.blocked)));
  }

  /** With `leaving`, it asks at once whether to leave. */
  show({ leaving = false } = {}) {
    $("add-user").value = "";
    $("rename").value = this.title ?? "";
    say($("add-error"), "");
    say($("rename-error"), "");
    this.#sure(leaving, false);
    this.dialog.showModal();
    if (leaving) $("leave-no").focus();
  }

  close() {
    this.dialog.close();
  }

  draw({ store, thread, online, blocked }) {
    const face = store.face(thread);
    redraw($("details-avatar"), [face, thread.kind], () => [avatar({ name: face, kind: thread.kind, large: true })]);
    say($("details-title"), store.title(thread));
    say($("details-about"), thread.kind === "direct" ? "A direct thread: nobody joins it, nobody leaves it." : about({ store, thread, online }));
    this.title = thread.title;
    $("rename-form").hidden = thread.kind === "direct";
    $("add-form").hidden = !mayAdd(thread, store.me);
    $("leave-part").hidden = thread.kind === "direct";
    this.other = peer(thread, store.me);
    this.blocked = blocked.has(this.other);
    $("block-part").hidden = !this.other;
    say($("block"), `${this.blocked ? "Unblock" : "Block"} ${store.name(this.other)}`);
    const members = thread.members
      .map(({ user, role }) => ({ user, name: store.name(user), role, me: user === store.me, online: user === store.me ? true : online(user) }))
      .sort((a, b) => Number(b.me) - Number(a.me) || (a.user < b.user ? -1 : 1));
    match($("members-list"), members, {
      key: (member) => member.user,
      make: () => el("li"),
      update: (node, member) => node.replaceChildren(...memberLine(member, thread.kind === "group")),
    });
  }

  #sure(asking, focus = true) {
    $("leave").hidden = asking;
    $("leave-sure").hidden = !asking;
    if (focus) (asking ? $("leave-no") : $("leave")).focus();
  }

  async #rename() {
    const title = $("rename").value.trim();
    if (!title) return say($("rename-error"), "Enter a title first.");
    await this.#busy($("rename-form").querySelector("button"), () => this.on.rename(title), $("rename-error"));
    return $("rename").focus();
  }

  async #add() {
    const user = $("add-user").value.trim();
    if (!user) return say($("add-error"), "Enter a name first.");
    await this.#busy($("add-form").querySelector("button"), async () => {
      await this.on.add(user);
      $("add-user").value = "";
    });
    return $("add-user").focus();
  }

  #leave() {
    return this.#busy($("leave-yes"), async () => {
      await this.on.leave();
      this.close();
    });
  }

  async #busy(button, work, told = $("add-error")) {
    set(button, { disabled: true });
    say(told, "");
    try {
      await work();
    } catch (error) {
      say(told, error.message);
    } finally {
      set(button, { disabled: false });
    }
  }
}
