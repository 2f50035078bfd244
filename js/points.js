// Points of the map, without DOM: their places on the screen, and their pixels.
// Places have units of the map. A view has its centre in x and y, and `scale` in pixels a unit.

import { clamp } from "./geometry.js";

/** @typedef {{ left: number, right: number, bottom: number, top: number, count: number }} Extent */
/** @typedef {{ n: number, xs: Float32Array, ys: Float32Array, box: Extent }} Points */
/** @typedef {{ x: number, y: number, scale: number }} View */
/** @typedef {[x: number, y: number]} Place */
/**
 * How points are drawn: `colours` has a colour per code, 0xBBGGRR, then again for unselected points.
 * @typedef {{ order: Uint32Array, codes: Uint8Array | null, selected: Uint8Array | null, colours: Uint32Array,
 *   view: View, radius: number }} Drawing
 */

const BYTES = 255;
const MARGIN = 72; // pixels; pictures at the edge stay visible
const SMALL_COVERAGE = 0.1; // of a pixel; less is not drawn

/** Return the points in a buffer of float32 pairs; missing places are NaN. @param {DataView} data @returns {Points} */
export function readPoints(data) {
  const pairs = new Float32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
  const n = pairs.length / 2;
  const [xs, ys] = [new Float32Array(n), new Float32Array(n)];
  const box = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity, count: 0 };
  for (let row = 0; row < n; row++) {
    const [x, y] = [pairs[2 * row], pairs[2 * row + 1]];
    xs[row] = x;
    ys[row] = y;
    if (Number.isNaN(x)) continue;
    box.count++;
    if (x < box.left) box.left = x;
    if (x > box.right) box.right = x;
    if (y < box.bottom) box.bottom = y;
    if (y > box.top) box.top = y;
  }
  return { n, xs, ys, box };
}

/** Return the view of all points with a margin. @param {Points} points @param {number} width pixels @param {number} height @returns {View} */
export function viewAll({ box }, width, height) {
  if (!box.count) return { x: 0, y: 0, scale: 1 };
  const [across, up] = [box.right - box.left || 1, box.top - box.bottom || 1];
  const fit = (/** @type {number} */ pixels, /** @type {number} */ units) =>
    Math.max(pixels - MARGIN, pixels / 2) / units;
  const scale = Math.min(fit(width, across), fit(height, up));
  return { x: (box.left + box.right) / 2, y: (box.bottom + box.top) / 2, scale };
}

/** Return the place at pixel x, y of a canvas. @param {View} view @param {{ width: number, height: number }} size @param {number} x @param {number} y @returns {Place} */
export function placeAt(view, { width, height }, x, y) {
  return [view.x + (x - width / 2) / view.scale, view.y - (y - height / 2) / view.scale];
}

/** Return the pixel of a place. @param {View} view @param {{ width: number, height: number }} size @param {Place} place @returns {Place} */
export function pixelOf(view, { width, height }, [x, y]) {
  return [width / 2 + (x - view.x) * view.scale, height / 2 - (y - view.y) * view.scale];
}

/** Return the view after a factor of zoom that keeps the place at pixel x, y. @param {View} view @param {{ width: number, height: number }} size @param {number} scale @param {Place} pixel @returns {View} */
export function zoomAt(view, size, scale, [x, y]) {
  const [mapX, mapY] = placeAt(view, size, x, y);
  return { scale, x: mapX - (x - size.width / 2) / scale, y: mapY + (y - size.height / 2) / scale };
}

/** Return the rows in drawing order: as stored, or by code. @param {number} n @param {Uint8Array | null} codes */
export function sortForDrawing(n, codes) {
  const order = new Uint32Array(n);
  const starts = new Uint32Array(257);
  if (codes) for (let row = 0; row < n; row++) starts[codes[row] + 1]++;
  for (let code = 1; code < 257; code++) starts[code] += starts[code - 1];
  for (let row = 0; row < n; row++) order[codes ? starts[codes[row]]++ : row] = row;
  return order;
}

/** Return the pixels of a disc around its centre: x, y and coverage. @param {number} radius pixels */
export function createDisc(radius) {
  const reach = Math.ceil(radius);
  const pixels = /** @type {[x: number, y: number, coverage: number][]} */ ([]);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const coverage = clamp(radius + 0.5 - Math.hypot(x, y), [0, 1]);
      if (coverage > SMALL_COVERAGE) pixels.push([x, y, Math.round(coverage * BYTES)]);
    }
  }
  return pixels;
}

/**
 * Draw points into the pixels of an image; return the number of points in view. A pixel at the rim of a disc covers
 * only fainter pixels.
 * @param {Pick<ImageData, "width" | "height" | "data">} image
 * @param {Points} points
 * @param {Drawing} drawing scale and radius in pixels of the image
 */
export function drawPoints({ width, height, data }, { xs, ys }, { order, codes, selected, colours, view, radius }) {
  const pixels = new Uint32Array(data.buffer);
  pixels.fill(0);
  const disc = createDisc(radius);
  const reach = Math.ceil(radius);
  const [centreX, centreY] = [width / 2 - view.x * view.scale, height / 2 + view.y * view.scale];
  const half = colours.length / 2;
  const offsets = Int32Array.from(disc, ([x, y]) => y * width + x);
  const coverages = Uint8Array.from(disc, ([, , coverage]) => coverage);
  let count = 0;
  // Selected points are drawn over the others.
  for (let pass = selected ? 0 : 1; pass < 2; pass++) {
    for (let i = 0; i < order.length; i++) {
      const row = order[i];
      if (selected && selected[row] !== pass) continue;
      const x = Math.round(centreX + xs[row] * view.scale);
      const y = Math.round(centreY - ys[row] * view.scale);
      if (!(x >= 0 && y >= 0 && x < width && y < height)) continue; // also NaN
      count++;
      const colour = colours[(codes ? codes[row] : 0) + (pass ? 0 : half)];
      const at = y * width + x;
      const isInside = x >= reach && y >= reach && x < width - reach && y < height - reach;
      for (let j = 0; j < offsets.length; j++) {
        if (!isInside) {
          const [discX, discY] = [x + disc[j][0], y + disc[j][1]];
          if (discX < 0 || discX >= width || discY < 0 || discY >= height) continue;
        }
        const pixel = at + offsets[j];
        const coverage = coverages[j];
        if (coverage === BYTES || pixels[pixel] >>> 24 < coverage) pixels[pixel] = colour | (coverage << 24);
      }
    }
  }
  return count;
}

/** Return the rows in a view. @param {Points} points @param {View} view @param {number} width pixels @param {number} height */
export function findRowsInView({ n, xs, ys }, view, width, height) {
  const [reachX, reachY] = [width / 2 / view.scale, height / 2 / view.scale];
  const rows = [];
  for (let row = 0; row < n; row++) {
    if (Math.abs(xs[row] - view.x) <= reachX && Math.abs(ys[row] - view.y) <= reachY) rows.push(row);
  }
  return rows;
}

/** Return the first of the rows in each cell of a grid; they stay when the view moves. @param {Points} points @param {number[]} rows @param {number} side units */
export function spreadRows({ xs, ys }, rows, side) {
  const cells = /** @type {Map<string, number>} */ (new Map());
  for (const row of rows) {
    const cell = `${Math.floor(xs[row] / side)},${Math.floor(ys[row] / side)}`;
    if (!cells.has(cell)) cells.set(cell, row);
  }
  return [...cells.values()];
}

/** Return the row nearest to a place, -1 if none is within `reach` units. @param {Points} points @param {Place} place @param {number} reach */
export function findNearestRow({ n, xs, ys }, [x, y], reach) {
  let [best, least] = [-1, reach * reach];
  for (let row = 0; row < n; row++) {
    const distance = (xs[row] - x) ** 2 + (ys[row] - y) ** 2;
    if (distance <= least) [best, least] = [row, distance];
  }
  return best;
}

/** Return the rows within a polygon, by the even-odd rule. @param {Points} points @param {Place[]} polygon */
export function findRowsWithin({ n, xs, ys }, polygon) {
  const [allX, allY] = [polygon.map(([x]) => x), polygon.map(([, y]) => y)];
  const [left, right] = [Math.min(...allX), Math.max(...allX)];
  const [bottom, top] = [Math.min(...allY), Math.max(...allY)];
  const rows = [];
  for (let row = 0; row < n; row++) {
    const [x, y] = [xs[row], ys[row]];
    if (!(x >= left && x <= right && y >= bottom && y <= top)) continue;
    let isWithin = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
      const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) isWithin = !isWithin;
    }
    if (isWithin) rows.push(row);
  }
  return rows;
}
