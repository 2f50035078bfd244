// Points on a canvas: where they are on the screen, and drawn pixel by pixel. It follows page.js.
// A point's place is in units of the map; x, y of a view is what is at the centre, `scale` is pixels a unit.

const BYTES = 255;
const MARGIN = 72; // pixels; so that a picture at the edge is seen whole

/** Return the points of a buffer of float32 pairs; those without a place are NaN. */
function readPoints(data) {
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

/** Return the view of all points, `width` by `height` pixels, with a margin. */
function viewOfAll({ box }, width, height) {
  if (!box.count) return { x: 0, y: 0, scale: 1 };
  const [across, up] = [box.right - box.left || 1, box.top - box.bottom || 1];
  return { x: (box.left + box.right) / 2, y: (box.bottom + box.top) / 2, scale: Math.min(Math.max(width - MARGIN, width / 2) / across, Math.max(height - MARGIN, height / 2) / up) };
}

/** Return the rows in drawing order: as they are, or from the lowest to the highest code. */
function drawingOrder(n, codes) {
  const order = new Uint32Array(n);
  const starts = new Uint32Array(257);
  if (codes) for (let row = 0; row < n; row++) starts[codes[row] + 1]++;
  for (let code = 1; code < 257; code++) starts[code] += starts[code - 1];
  for (let row = 0; row < n; row++) order[codes ? starts[codes[row]]++ : row] = row;
  return order;
}

/** Return the pixels of a disc, [x, y, coverage], around its centre. */
function disc(radius) {
  const reach = Math.ceil(radius);
  const pixels = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const covered = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
      if (covered > 0.1) pixels.push([x, y, Math.round(covered * BYTES)]);
    }
  }
  return pixels;
}

/**
 * Draw the points of a view into `image`, whose size is in its own pixels; `view.scale` is in these, too. `colours`: a
 * colour per code, 0xBBGGRR, the second half of it for points that are not selected. A pixel at the rim of a disc only
 * covers what is fainter. Return the number of points in view.
 */
function drawPoints(image, points, { order, codes, selected, colours, view, radius }) {
  const { width, height } = image;
  const pixels = new Uint32Array(image.data.buffer);
  pixels.fill(0);
  const { xs, ys } = points;
  const stencil = disc(radius);
  const reach = Math.ceil(radius);
  const [centreX, centreY] = [width / 2 - view.x * view.scale, height / 2 + view.y * view.scale];
  const half = colours.length / 2;
  const moves = Int32Array.from(stencil, ([x, y]) => y * width + x);
  const covers = Uint8Array.from(stencil, ([, , cover]) => cover);
  let count = 0;
  for (let pass = selected ? 0 : 1; pass < 2; pass++) { // what is selected is drawn over what is not
    for (let i = 0; i < order.length; i++) {
      const row = order[i];
      if (selected && selected[row] !== pass) continue;
      const x = Math.round(centreX + xs[row] * view.scale);
      const y = Math.round(centreY - ys[row] * view.scale);
      if (!(x >= 0 && y >= 0 && x < width && y < height)) continue; // NaN too
      count++;
      const colour = colours[(codes ? codes[row] : 0) + (pass ? 0 : half)];
      const at = y * width + x;
      const inside = x >= reach && y >= reach && x < width - reach && y < height - reach;
      for (let j = 0; j < moves.length; j++) {
        if (!inside && (x + stencil[j][0] < 0 || x + stencil[j][0] >= width || y + stencil[j][1] < 0 || y + stencil[j][1] >= height)) continue;
        const pixel = at + moves[j];
        if (covers[j] === BYTES || pixels[pixel] >>> 24 < covers[j]) pixels[pixel] = colour | covers[j] << 24;
      }
    }
  }
  return count;
}

/** Return the rows of the points in a view of `width` by `height`, in order. */
function rowsInView({ n, xs, ys }, view, width, height) {
  const [reachX, reachY] = [width / 2 / view.scale, height / 2 / view.scale];
  const rows = [];
  for (let row = 0; row < n; row++) {
    if (Math.abs(xs[row] - view.x) <= reachX && Math.abs(ys[row] - view.y) <= reachY) rows.push(row);
  }
  return rows;
}

/** Return the first of the rows in each cell of a grid, whose cells have `side` units: it stays when the view moves. */
function spread({ xs, ys }, rows, side) {
  const cells = new Map();
  for (const row of rows) {
    const cell = `${Math.floor(xs[row] / side)},${Math.floor(ys[row] / side)}`;
    if (!cells.has(cell)) cells.set(cell, row);
  }
  return [...cells.values()];
}

/** Return the row nearest to a place, -1 if none is within `reach` units. */
function nearestRow({ n, xs, ys }, x, y, reach) {
  let [best, least] = [-1, reach * reach];
  for (let row = 0; row < n; row++) {
    const distance = (xs[row] - x) ** 2 + (ys[row] - y) ** 2;
    if (distance <= least) [best, least] = [row, distance];
  }
  return best;
}

/** Return the rows within a polygon, a list of [x, y], by the even-odd rule. */
function rowsWithin({ n, xs, ys }, polygon) {
  const [left, right] = [Math.min(...polygon.map(one => one[0])), Math.max(...polygon.map(one => one[0]))];
  const [bottom, top] = [Math.min(...polygon.map(one => one[1])), Math.max(...polygon.map(one => one[1]))];
  const rows = [];
  for (let row = 0; row < n; row++) {
    const [x, y] = [xs[row], ys[row]];
    if (!(x >= left && x <= right && y >= bottom && y <= top)) continue;
    let within = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
      const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
      if (ay > y !== by > y && x < (bx - ax) * (y - ay) / (by - ay) + ax) within = !within;
    }
    if (within) rows.push(row);
  }
  return rows;
}
