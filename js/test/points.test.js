import assert from "node:assert/strict";
import test from "node:test";
import {
  createDisc,
  drawPoints,
  findNearestRow,
  findRowsInView,
  findRowsWithin,
  pixelOf,
  placeAt,
  readPoints,
  sortForDrawing,
  spreadRows,
  viewAll,
  zoomAt,
} from "../points.js";

const PLACES = [
  [0, 0],
  [10, 0],
  [10, 5],
  [NaN, NaN],
];
const POINTS = readPoints(new DataView(new Float32Array(PLACES.flat()).buffer));
const SIZE = { width: 200, height: 100 };

test("points have an extent without missing places", () => {
  assert.equal(POINTS.n, 4);
  assert.deepEqual(POINTS.box, { left: 0, right: 10, bottom: 0, top: 5, count: 3 });
});

test("points are read from a part of a buffer", () => {
  const bytes = new Float32Array([9, 9, 1, 2]).buffer;
  const points = readPoints(new DataView(bytes, 8, 8));
  assert.deepEqual([points.n, points.xs[0], points.ys[0]], [1, 1, 2]);
});

test("the view of all points has their centre and fits with a margin", () => {
  assert.deepEqual(viewAll(POINTS, 200, 100), { x: 5, y: 2.5, scale: 10 });
  assert.deepEqual(viewAll(readPoints(new DataView(new ArrayBuffer(0))), 200, 100), { x: 0, y: 0, scale: 1 });
});

test("pixels and places are inverse, with y upward", () => {
  const view = { x: 5, y: 2.5, scale: 10 };
  assert.deepEqual(pixelOf(view, SIZE, [10, 5]), [150, 25]);
  assert.deepEqual(placeAt(view, SIZE, 150, 25), [10, 5]);
});

test("a zoom keeps the place under the pointer", () => {
  const view = zoomAt({ x: 5, y: 2.5, scale: 10 }, SIZE, 40, [150, 25]);
  assert.deepEqual(pixelOf(view, SIZE, [10, 5]), [150, 25]);
});

test("rows are drawn by code, and otherwise as stored", () => {
  assert.deepEqual([...sortForDrawing(3, null)], [0, 1, 2]);
  assert.deepEqual([...sortForDrawing(4, Uint8Array.of(2, 255, 0, 2))], [2, 0, 3, 1]);
});

test("a disc is symmetric and covers its centre", () => {
  const disc = createDisc(1.5);
  const has = (/** @type {number} */ x, /** @type {number} */ y) => disc.some(one => one[0] === x && one[1] === y);
  assert.ok(disc.every(([x, y]) => has(-x, y) && has(y, x)));
  assert.equal(disc.find(([x, y]) => x === 0 && y === 0)?.[2], 255);
});

test("selected points are drawn over the others, in the first half of the colours", () => {
  const image = { width: 20, height: 20, data: new Uint8ClampedArray(1600), colorSpace: "srgb" };
  const points = readPoints(new DataView(new Float32Array([0, 0, 0, 0]).buffer));
  const count = drawPoints(/** @type {ImageData} */ (/** @type {unknown} */ (image)), points, {
    order: sortForDrawing(2, null),
    codes: null,
    selected: Uint8Array.of(1, 0),
    colours: Uint32Array.of(0x0000ff, 0x00ff00),
    view: { x: 0, y: 0, scale: 1 },
    radius: 2,
  });
  const at = 4 * (10 * 20 + 10);
  assert.deepEqual([count, [...image.data.slice(at, at + 4)]], [2, [255, 0, 0, 255]]);
});

test("rows in view are found without missing places", () => {
  assert.deepEqual(findRowsInView(POINTS, { x: 5, y: 2.5, scale: 10 }, 200, 100), [0, 1, 2]);
  assert.deepEqual(findRowsInView(POINTS, { x: 0, y: 0, scale: 10 }, 20, 20), [0]);
});

test("one row of each cell is kept", () => {
  assert.deepEqual(spreadRows(POINTS, [0, 1, 2], 6), [0, 1]);
});

test("the nearest row is within reach", () => {
  assert.equal(findNearestRow(POINTS, [9, 1], 3), 1);
  assert.equal(findNearestRow(POINTS, [5, 2], 1), -1);
});

test("rows within a polygon are found by the even-odd rule", () => {
  const triangle = /** @type {[number, number][]} */ ([
    [-1, -1],
    [12, -1],
    [-1, 12],
  ]);
  assert.deepEqual(findRowsWithin(POINTS, triangle), [0, 1]);
});
