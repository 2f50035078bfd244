import assert from "node:assert/strict";
import test from "node:test";
import { areAllTicked, tickRange, toggleAll, toggleRow } from "../selection.js";

const SHOWN = [7, 3, 9, 1];

test("a tick adds one row, and removes it again", () => {
  const ticked = tickRange([5], SHOWN, { row: 9, from: 9, isOn: true });
  assert.deepEqual(ticked, [5, 9]);
  assert.deepEqual(tickRange(ticked, SHOWN, { row: 9, from: 9, isOn: false }), [5]);
});

test("a range has the rows between both ends, in both directions", () => {
  assert.deepEqual(tickRange([3], SHOWN, { row: 9, from: 7, isOn: true }), [7, 3, 9]);
  assert.deepEqual(tickRange([], SHOWN, { row: 3, from: 1, isOn: true }), [3, 9, 1]);
});

test("a range from an absent row is one row", () => {
  assert.deepEqual(tickRange([], SHOWN, { row: 9, from: -1, isOn: true }), [9]);
});

test("tick all keeps absent rows", () => {
  const all = toggleAll([5, 3], SHOWN);
  assert.deepEqual(all, [5, 7, 3, 9, 1]);
  assert.equal(areAllTicked(all, SHOWN), true);
  assert.deepEqual(toggleAll(all, SHOWN), [5]);
});

test("one row is toggled", () => {
  assert.deepEqual(toggleRow([1, 2], 1), [2]);
  assert.deepEqual(toggleRow([2], 1), [2, 1]);
});
