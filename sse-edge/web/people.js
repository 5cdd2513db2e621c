/** What users are called, and whose profiles have still to be asked for. Pure. */

/** Users whose profiles one request may ask for. */
const AT_ONCE = 100;

export class People {
  /** @type {Map<string, {name?: string, version: number}>} */
  #known = new Map();
  /** User → the version of their profile that a message has told of; 0 where only their id is known. */
  #wanted = new Map();

  /** What to call a user: by the name in their profile, or by their id. */
  name(user) {
    return this.#known.get(user)?.name ?? user;
  }

  /** An answer or event names a user, perhaps with the version of their profile. */
  met(user, version = 0) {
    const known = this.#known.get(user)?.version ?? -1;
    if (version > known) this.#wanted.set(user, Math.max(version, this.#wanted.get(user) ?? 0));
  }

  /** Faces from an answer: `{user: {name, version}}`. */
  learn(faces = {}) {
    for (const [user, { name, version }] of Object.entries(faces)) {
      if (version < (this.#known.get(user)?.version ?? 0)) continue;
      this.#known.set(user, { name, version });
      if (version >= (this.#wanted.get(user) ?? 0)) this.#wanted.delete(user);
    }
  }

  /** Users to ask for now. Give what comes back to `answered`. */
  take() {
    const taken = [...this.#wanted].slice(0, AT_ONCE);
    for (const [user] of taken) this.#wanted.delete(user);
    return taken;
  }

  /** The answer about users who were taken; without one they are asked for again. */
  answered(taken, users) {
    if (!users) return taken.forEach(([user, version]) => this.met(user, version));
    for (const { user, name, version } of users) this.learn({ [user]: { name, version } });
    // A restored table may have an older version than a message has told of.
    for (const [user, version] of taken) {
      const known = this.#known.get(user);
      if (known && known.version < version) this.#known.set(user, { ...known, version });
    }
    return undefined;
  }

  /** The table may be another one, whose versions begin anew. Names stay until others have come. */
  reset() {
    for (const [user, { name }] of this.#known) this.#known.set(user, { name, version: -1 });
  }
}
