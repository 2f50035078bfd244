import assert from "node:assert/strict";
import test from "node:test";
import { squeeze, stepsOfKey, TypedText } from "../history.js";

test("Alt with an arrow goes back or forward", () => {
  assert.equal(stepsOfKey({ altKey: true, key: "ArrowLeft" }), -1);
  assert.equal(stepsOfKey({ altKey: true, key: "ArrowRight" }), 1);
  assert.equal(stepsOfKey({ altKey: false, key: "ArrowLeft" }), 0);
  assert.equal(stepsOfKey({ altKey: true, key: "x" }), 0);
});

test("white space is squeezed", () => {
  assert.equal(squeeze("  two \n words "), "two words");
});

test("an answer does not interrupt typing", () => {
  const typed = new TypedText();
  typed.isTyping = true;
  assert.equal(typed.accepts("cat", "do"), false);
});

test("an answer to an older text does not replace a newer one", () => {
  const typed = new TypedText();
  assert.equal(typed.submit("a dog", true, "cat"), "a dog");
  assert.equal(typed.accepts("a d", "a dog"), false);
  assert.equal(typed.accepts("a dog", "a dog"), false); // accepted, and the box contains it
  assert.equal(typed.accepts("cat", "a dog"), true);
});

test("a query from elsewhere replaces the typed text", () => {
  const typed = new TypedText();
  typed.submit("a dog", true);
  typed.forget();
  assert.equal(typed.accepts("cat", "a dog"), true);
});

test("a provisional text is searched for once, Enter repeats it", () => {
  const typed = new TypedText();
  assert.equal(typed.submit("a  dog", true, "cat"), "a dog");
  assert.equal(typed.submit("a dog", true, "cat"), null);
  assert.equal(typed.submit("a dog", false, "cat"), "a dog");
  assert.equal(typed.submit("  ", false, "cat"), null);
});
