import assert from "node:assert/strict";
import { test } from "node:test";
import { People } from "./people.js";

const taken = (people) => people.take().map(([user]) => user);

test("a user is called by the id until a name is known", () => {
  const people = new People();
  assert.equal(people.name("bob"), "bob");
  people.learn({ bob: { name: "Bob Stone", version: 1 }, constructor: { version: 2 } });
  assert.equal(people.name("bob"), "Bob Stone");
  assert.equal(people.name("constructor"), "constructor");
});

test("each user is asked for once, and again when a message tells of a newer profile", () => {
  const people = new People();
  people.learn({ alice: { name: "Alice", version: 3 } });
  for (const user of ["alice", "bob", "bob", "carol"]) people.met(user);
  assert.deepEqual(taken(people), ["bob", "carol"]);
  assert.deepEqual(taken(people), []);
  people.met("alice", 3);
  assert.deepEqual(taken(people), []);
  people.met("alice", 4);
  const asked = people.take();
  assert.deepEqual(asked, [["alice", 4]]);
  people.answered(asked, [{ user: "alice", name: "Alice Moss", version: 4 }]);
  people.met("alice", 4);
  assert.equal(people.name("alice"), "Alice Moss");
  assert.deepEqual(taken(people), []);
});

test("a user without a profile is not asked for twice", () => {
  const people = new People();
  people.met("ghost");
  people.answered(people.take(), [{ user: "ghost", version: 0 }]);
  people.met("ghost");
  assert.deepEqual(taken(people), []);
});

test("without an answer they are asked for again", () => {
  const people = new People();
  people.met("bob", 2);
  people.answered(people.take(), null);
  assert.deepEqual(people.take(), [["bob", 2]]);
});

test("an older answer changes nothing, and a restored table does not make a page ask for ever", () => {
  const people = new People();
  people.learn({ bob: { name: "new", version: 5 } });
  people.learn({ bob: { name: "old", version: 4 } });
  assert.equal(people.name("bob"), "new");
  people.reset();
  assert.equal(people.name("bob"), "new");
  people.learn({ bob: { name: "old", version: 4 } });
  assert.equal(people.name("bob"), "old");
  people.met("bob", 5);
  people.answered(people.take(), [{ user: "bob", name: "old", version: 4 }]);
  people.met("bob", 5);
  assert.deepEqual(taken(people), []);
});

test("a hundred at a time", () => {
  const people = new People();
  for (let n = 0; n < 150; n++) people.met(`u${n}`);
  assert.equal(taken(people).length, 100);
  assert.equal(taken(people).length, 50);
});
