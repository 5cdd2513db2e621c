/** The dialog in which users say what they are called. */
import { $, say } from "./dom.js";
import { closes } from "./start.js";

export class ProfileForm {
  /**
   * @param {() => import("./chat.js").Chat} chat the session
   * @param {(name: string) => Promise<void>} save
   */
  constructor(chat, save) {
    this.chat = chat;
    this.save = save;
    this.dialog = $("profile-dialog");
    closes(this.dialog);
    $("profile-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  show() {
    const { store, me } = this.chat();
    const name = store.name(me);
    $("profile-name").value = name === me ? "" : name;
    $("profile-name").placeholder = me;
    say($("profile-hint"), `Everybody who signs in here sees it, and beside it that you are ${me}.`);
    say($("profile-error"), "");
    this.dialog.showModal();
    $("profile-name").focus();
  }

  async #submit() {
    const button = $("profile-form").querySelector("button.primary");
    button.disabled = true;
    say($("profile-error"), "");
    try {
      await this.save($("profile-name").value.trim());
      this.dialog.close();
    } catch (error) {
      say($("profile-error"), error.message);
    } finally {
      button.disabled = false;
    }
  }
}
