/** What becomes of a message. Pure. */

/** The tseq of the latest event that is in a copy of a message: the larger is the newer. */
export function version(message) {
  return message?.changed ?? message?.tseq ?? 0;
}

/** A message after an event about it; one that is in it already changes nothing. */
export function touched(message, name, data) {
  if (data.tseq <= version(message)) return message;
  const next = { ...message, changed: data.tseq };
  // Of a message that was edited and then deleted, a late edit says only that it is deleted.
  if (name === "delete" || data.deleted) return erased(next);
  // The reader may not have the text.
  if (name === "edit" && data.text === undefined) return message;
  if (name === "edit") {
    const { text, attachments, data: own } = data;
    return { ...next, text, attachments, data: own, edited_at: data.at, cut: undefined };
  }
  const reactions = message.reactions ?? {};
  // A reaction may be called `constructor`.
  const known = Object.hasOwn(reactions, data.emoji) ? reactions[data.emoji] : [];
  const users = known.filter((user) => user !== data.from);
  if (data.state === "added") users.push(data.from);
  const { [data.emoji]: _, ...others } = reactions;
  return { ...next, reactions: users.length > 0 ? { ...others, [data.emoji]: users } : others };
}

/** A message without anything of what it said. */
export function erased({ text, attachments, data, mentions, reply, edited_at, reactions, cut, ...rest }) {
  return { ...rest, deleted: true };
}
