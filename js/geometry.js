// Geometry without DOM: rows of elements, and boxes on the query.

/** @import { Box } from "./messages.js" */

export const BOX_STEP = 0.05; // of the picture's side, for an arrow key
const SMALLEST_BOX = 0.02; // of the picture's side; a smaller box is a click

export const ARROWS = /** @type {Record<string, [x: number, y: number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});

/** @param {number} value @param {[least: number, most: number]} range */
export function clamp(value, [least, most]) {
  return Math.min(Math.max(value, least), most);
}

/**
 * Return the index of the element nearest to element `at` in the next row of elements, or -1.
 * @param {{ top: number, middle: number }[]} centres pixels
 * @param {number} at
 * @param {boolean} isDown
 */
export function nearestInRows(centres, at, isDown) {
  const { top, middle } = centres[at];
  const indices = [...centres.keys()];
  const onward = isDown ? indices.slice(at + 1) : indices.slice(0, at).reverse();
  const others = onward.filter(i => Math.abs(centres[i].top - top) > 1);
  const row = others.filter(i => Math.abs(centres[i].top - centres[others[0]].top) <= 1);
  const distance = (/** @type {number} */ i) => Math.abs(centres[i].middle - middle);
  return row.sort((a, b) => distance(a) - distance(b))[0] ?? -1;
}

const share = (/** @type {number} */ value) => clamp(value, [0, 1]);

/**
 * Return a point as shares of an area's width and height.
 * @param {number} x
 * @param {number} y
 * @param {{ left: number, top: number, width: number, height: number }} area
 * @returns {[number, number]}
 */
export function pointInArea(x, y, area) {
  return [share((x - area.left) / area.width), share((y - area.top) / area.height)];
}

/** Return the box between two corners. @param {[number, number]} a @param {[number, number]} b @returns {Box} */
export function boxBetween(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
}

/** Return whether a box is large enough to search by. @param {Box | null} box @returns {box is Box} */
export function isSearchable(box) {
  return box !== null && box[2] - box[0] > SMALLEST_BOX && box[3] - box[1] > SMALLEST_BOX;
}

/** Return a box moved within the picture. @param {Box} box @param {number} dx @param {number} dy @returns {Box} */
export function moveBox([left, top, right, bottom], dx, dy) {
  const x = clamp(dx, [-left, 1 - right]);
  const y = clamp(dy, [-top, 1 - bottom]);
  return [left + x, top + y, right + x, bottom + y];
}

/** Return a box whose right and bottom sides moved. @param {Box} box @param {number} dx @param {number} dy @returns {Box} */
export function resizeBox([left, top, right, bottom], dx, dy) {
  return [left, top, share(Math.max(right + dx, left + BOX_STEP)), share(Math.max(bottom + dy, top + BOX_STEP))];
}
