import assert from "node:assert/strict";
import test from "node:test";
import { lineOf, mentioned, pieces } from "./format.js";

test("a text mentions members by their whole name behind an @", () => {
  const users = ["bob", "bobby", "a@b.c", "carol"];
  for (const [text, names] of [
    ["@bob", ["bob"]],
    ["hi @bobby and @carol.", ["bobby", "carol"]],
    ["@bob: @bob, @bob!", ["bob"]],
    ["mail@bob", []],
    ["@bobb @Bob bob", []],
    ["ask @a@b.c", ["a@b.c"]],
    ["@bobby's, not @bob-by", ["bobby"]],
  ]) assert.deepEqual(mentioned(text, users), names, text);
  assert.equal(mentioned("@a0 ".repeat(3), Array.from({ length: 30 }, () => "a0")).length, 20);
});

test("a text falls into addresses, mentions and the rest, and nothing is lost", () => {
  const text = "@bob see https://a.example/@bob, or @carol.";
  const parts = pieces(text, ["carol", "bob"]);
  assert.deepEqual(parts.map((part) => part.url ?? part.user ?? null), ["bob", null, "https://a.example/@bob", null, "carol", null]);
  assert.equal(parts.map((part) => part.text).join(""), text);
  assert.deepEqual(pieces("", ["bob"]), []);
});

test("a message in a line is its text, or the names of its files", () => {
  assert.equal(lineOf({ text: "a\n b" }), "a b");
  assert.equal(lineOf({ text: "", attachments: [{ url: "https://f.example/x", name: "x.png" }, { url: "https://f.example/y" }] }), "x.png, f.example");
  assert.equal(lineOf({ deleted: true }), "Message deleted");
  assert.equal(lineOf({}), "");
});
