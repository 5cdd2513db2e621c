/**
 * Signing in: by name where the server hands out development tokens, otherwise with a token of the
 * identity provider. The session belongs to this tab, so two windows can be two users.
 */
import { $, say } from "./dom.js";
import { Runnel } from "./runnel.js";

const STORED = "runnel.session";
const WORD = "runnel.word";

/** Keeps the word of the link that the server has printed, for all tabs, and takes it out of the address. */
function keepWord() {
  const word = new URLSearchParams(location.hash.slice(1)).get("word");
  if (!word) return;
  localStorage.setItem(WORD, word);
  history.replaceState(null, "", location.pathname + location.search);
}

/** The session this tab had before a reload, if any: `{token, user}`. */
export function storedSession() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED));
  } catch {
    return null;
  }
}

/** Forgets the session of this tab. */
export function forgetSession() {
  sessionStorage.removeItem(STORED);
}

export class SignIn {
  #byToken = false;

  /** @param {(session: {token: string, user: string}) => void} done */
  constructor(done) {
    keepWord();
    this.done = done;
    $("sign-in-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    $("sign-in-other").addEventListener("click", () => this.#mode(!this.#byToken));
  }

  /** Shows the form. `why`: what ended the last session. */
  show(why = "") {
    $("sign-in").hidden = false;
    document.title = "Sign in · Runnel";
    this.#mode(this.#byToken, why);
  }

  #mode(byToken, error = "") {
    this.#byToken = byToken;
    $("by-name").hidden = byToken;
    $("by-token").hidden = !byToken;
    say($("sign-in-lead"), byToken
      ? "Paste a token (JWT) issued by your identity provider. It stays in this tab."
      : "Pick any name: this server runs for development, on your own machine.");
    say($("sign-in-other"), byToken ? "Sign in with a name instead" : "Use a token instead");
    this.#fail(error);
    this.#field().focus();
  }

  #field() {
    return this.#byToken ? $("token") : $("name");
  }

  async #submit() {
    const value = this.#field().value.trim();
    if (!value) return this.#fail(this.#byToken ? "Paste a token first." : "Enter a name first.");
    const button = $("sign-in-form").querySelector("button.primary");
    button.disabled = true;
    try {
      const session = this.#byToken ? { token: value, user: subject(value) } : await devToken(value);
      if (!session) {
        return this.#mode(true, "This server does not sign people in by name. Use a token instead.");
      }
      if (!session.user) return this.#fail("This is not a token that names a user (JWT with `sub`). Copy it whole.");
      await new Runnel({ token: session.token }).session();
      sessionStorage.setItem(STORED, JSON.stringify(session));
      $("name").value = "";
      $("token").value = "";
      this.#fail("");
      $("sign-in").hidden = true;
      this.done(session);
    } catch (error) {
      this.#fail(error.status === 401 ? `The server does not accept this token. ${error.message}` : error.message);
    } finally {
      button.disabled = false;
    }
    return undefined;
  }

  #fail(text) {
    say($("sign-in-error"), text);
    this.#field().setAttribute("aria-invalid", String(Boolean(text)));
  }
}

/** A development token for `user`; undefined where the server does not give any. */
async function devToken(user) {
  let response;
  try {
    response = await fetch("/dev/session", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user, word: localStorage.getItem(WORD) ?? undefined }),
    });
  } catch {
    throw new Error("The server cannot be reached. Check that it is running, then try again.");
  }
  if (response.status === 404 || response.status === 405) return undefined;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail ?? `The server answered ${response.status}. Try again.`);
  return { token: answer.token, user: answer.user };
}

/** The user a JWT is about. Only the server checks the token; the page wants the name to show. */
function subject(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).sub;
  } catch {
    return undefined;
  }
}
