/** The dialog that starts a thread. */
import { $, say } from "./dom.js";
import { listOf } from "./format.js";
import { uuid } from "./runnel.js";

export class StartThread {
  /**
   * @param {() => string} me the signed-in user
   * @param {(members: string[], title: string, key: string) => Promise<string>} create
   * @param {(thread: string) => void} created
   */
  constructor(me, create, created) {
    this.me = me;
    this.create = create;
    this.created = created;
    this.dialog = $("new-dialog");
    closes(this.dialog);
    $("members").addEventListener("input", () => this.#hint());
    $("title").addEventListener("input", () => this.#hint());
    $("new-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  show() {
    $("members").value = "";
    $("title").value = "";
    say($("new-error"), "");
    this.request = undefined;
    this.#hint();
    this.dialog.showModal();
    $("members").focus();
  }

  #members() {
    const names = $("members").value.split(/[\s,;]+/).filter(Boolean);
    return [...new Set(names)].filter((name) => name !== this.me());
  }

  #hint() {
    const members = this.#members();
    const titled = $("title").value.trim() !== "";
    let hint = "Names, with a comma or a space between them.";
    if (members.length === 1 && !titled) hint = `A direct thread with ${members[0]}.`;
    else if (members.length > 0) hint = `A group of you, ${listOf(members)}.`;
    say($("members-hint"), hint);
  }

  async #submit() {
    const members = this.#members();
    if (members.length === 0) {
      say($("new-error"), "Name at least one other person.");
      return $("members").focus();
    }
    const title = $("title").value.trim();
    // One key for all tries of one request: an answer that got lost starts no second thread.
    const request = JSON.stringify([members, title]);
    if (request !== this.request) Object.assign(this, { request, key: uuid() });
    const button = $("new-form").querySelector("button.primary");
    button.disabled = true;
    say($("new-error"), "");
    try {
      const thread = await this.create(members, title, this.key);
      // Closed first: behind an open dialog nothing takes the focus.
      this.dialog.close();
      this.created(thread);
    } catch (error) {
      say($("new-error"), error.message);
    } finally {
      button.disabled = false;
    }
    return undefined;
  }
}

/** Wires a dialog's close buttons, and a click beside it. */
export function closes(dialog) {
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("mousedown", (event) => event.target === dialog && dialog.close());
}
