/** What can be done with one message: react to it, reply, edit one's own, and delete one's own or, as a moderator, any one. */
import { $, el, icon, set } from "./dom.js";

/** Offered by the picker; whatever others have used is one click on its chip away. */
const REACTIONS = [
  ["👍", "Thumbs up"], ["❤️", "Heart"], ["😂", "Laughing"], ["🎉", "Party"], ["😮", "Surprised"], ["😢", "Sad"],
];
/** Kept between the menu and the window's edge, in CSS pixels. */
const MARGIN = 8;

export class MessageMenu {
  /**
   * @param {{react: (item: object, emoji: string, is: boolean) => void, reply: (item: object) => void,
   *   edit: (item: object) => void, remove: (item: object) => void}} on
   */
  constructor(on) {
    this.on = on;
    this.menu = $("message-menu");
    this.menu.addEventListener("keydown", (event) => this.#walk(event));
    // It stays with its message when the window or the log moves.
    const follow = () => this.menu.matches(":popover-open") && this.#place();
    addEventListener("resize", follow);
    addEventListener("scroll", follow, { capture: true, passive: true });
    this.menu.addEventListener("toggle", (event) => {
      if (event.newState === "open" || !this.button) return;
      set(this.button, { "aria-expanded": "false" });
      // Closed by Escape or a choice: back to where the reader was. A click elsewhere has its own.
      if (this.menu.contains(document.activeElement) || document.activeElement === document.body) this.button.focus();
    });
  }

  /** Opens it for the message of `item`, beside the button that asked for it. */
  show(button, item, me) {
    this.button = button;
    const mine = (emoji) => item.reactions?.[emoji]?.includes(me) ?? false;
    const faces = REACTIONS.map(([emoji, name]) => this.#item(emoji, () => this.on.react(item, emoji, !mine(emoji)), {
      role: "menuitemcheckbox", "aria-checked": String(mine(emoji)), "aria-label": name, title: name, class: "face-choice", "data-testid": "react",
    }));
    const rights = [
      this.#item([icon("reply"), "Reply"], () => this.on.reply(item), { "data-testid": "reply" }),
      item.own && this.#item([icon("edit"), "Edit"], () => this.on.edit(item), { "data-testid": "edit" }),
      (item.own || item.moderated) && this.#item([icon("delete"), "Delete"], () => this.#sure(item), { class: "danger", "data-testid": "delete" }, true),
    ].filter(Boolean);
    this.#fill(el("div", { class: "faces", role: "group", "aria-label": "React" }, ...faces), ...rights);
    set(button, { "aria-expanded": "true" });
    this.menu.showPopover();
    this.#place();
    faces[0].focus();
  }

  close() {
    if (this.menu.matches(":popover-open")) this.menu.hidePopover();
  }

  #sure(item) {
    const keep = this.#item("Keep it", () => {}, {});
    this.#fill(
      el("p", { class: "sure" }, "Delete this message for everybody?"),
      this.#item([icon("delete"), "Delete"], () => this.on.remove(item), { class: "danger", "data-testid": "delete-yes" }),
      keep,
    );
    this.#place();
    keep.focus();
  }

  #fill(...nodes) {
    this.menu.replaceChildren(...nodes);
  }

  #item(content, chosen, attributes, stays = false) {
    const item = el("button", { type: "button", role: "menuitem", tabindex: "-1", ...attributes }, ...[content].flat());
    item.addEventListener("click", () => {
      if (!stays) this.close();
      chosen();
    });
    return item;
  }

  /** Below the button, or above where there is no room. */
  #place() {
    const at = this.button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.menu;
    const left = Math.min(Math.max(MARGIN, at.left + at.width / 2 - width / 2), innerWidth - width - MARGIN);
    const below = at.bottom + 4;
    const top = below + height + MARGIN > innerHeight ? Math.max(MARGIN, at.top - height - 4) : below;
    Object.assign(this.menu.style, { left: `${left}px`, top: `${top}px` });
  }

  #walk(event) {
    const items = [...this.menu.querySelectorAll("button")];
    const here = items.indexOf(document.activeElement);
    const faces = items.filter((item) => item.closest(".faces")).length;
    const down = here < faces ? faces : here + 1;
    const up = here <= faces ? 0 : here - 1;
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, ArrowDown: down, ArrowUp: up, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Tab") this.close();
    if (to === undefined) return;
    event.preventDefault();
    items[Math.min(Math.max(to, 0), items.length - 1)].focus();
  }
}
