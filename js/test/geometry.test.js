import assert from "node:assert/strict";
import test from "node:test";
import { boxBetween, clamp, isSearchable, moveBox, nearestInRows, pointInArea, resizeBox } from "../geometry.js";

/** @param {number[]} box */
const round = box => box.map(share => Number(share.toFixed(6)));

// Two rows of cards: 0 1 2 above 3 4.
const CARDS = [10, 110, 210]
  .map(middle => ({ top: 0, middle }))
  .concat([40, 180].map(middle => ({ top: 100, middle })));

test("the arrow down leads to the nearest card of the next row", () => {
  assert.deepEqual(
    [0, 1, 2].map(at => nearestInRows(CARDS, at, true)),
    [3, 3, 4],
  );
});

test("the arrow up leads to the nearest card of the row above", () => {
  assert.deepEqual(
    [3, 4].map(at => nearestInRows(CARDS, at, false)),
    [0, 2],
  );
});

test("there is no card above the first row or below the last", () => {
  assert.deepEqual([nearestInRows(CARDS, 1, false), nearestInRows(CARDS, 4, true)], [-1, -1]);
});

test("a point outside the picture is clamped to it", () => {
  const area = { left: 100, top: 50, width: 200, height: 100 };
  assert.deepEqual(pointInArea(150, 75, area), [0.25, 0.25]);
  assert.deepEqual(pointInArea(0, 500, area), [0, 1]);
});

test("a drag in any direction gives a box", () => {
  assert.deepEqual(boxBetween([0.8, 0.1], [0.2, 0.6]), [0.2, 0.1, 0.8, 0.6]);
});

test("a box smaller than 2% is a click", () => {
  assert.equal(isSearchable([0.5, 0.5, 0.51, 0.9]), false);
  assert.equal(isSearchable(null), false);
  assert.equal(isSearchable([0.5, 0.5, 0.6, 0.9]), true);
});

test("a box stays within the picture when it moves, with its size", () => {
  assert.deepEqual(round(moveBox([0.7, 0, 0.9, 0.5], 0.3, -0.1)), [0.8, 0, 1, 0.5]);
});

test("a box keeps a smallest size when it is resized", () => {
  assert.deepEqual(round(resizeBox([0.2, 0.2, 0.3, 0.98], -0.5, 0.05)), [0.2, 0.2, 0.25, 1]);
});

test("clamp limits a value on both sides", () => {
  assert.deepEqual(
    [-1, 0.5, 2].map(value => clamp(value, [0, 1])),
    [0, 0.5, 1],
  );
});
