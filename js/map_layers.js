// Layers of the map: dots and pictures, and the marks over them.

import { clamp } from "./geometry.js";
import { drawPoints, findRowsInView, pixelOf, spreadRows } from "./points.js";

/** @import { Legend, Pictures } from "./messages.js" */
/** @import { Place, Points, View } from "./points.js" */
/** @typedef {number[]} Colour red, green, blue */
/** @typedef {{ row: number, x: number, y: number, w: number, h: number }} PlacedPicture */
/** @typedef {{ paper: string, ink: string, accent: string, named: Colour[], colours: Uint32Array }} Palette */
/**
 * @typedef {{ width: number, height: number, ratio: number, view: View, points: Points, codes: Uint8Array | null,
 *   selected: Uint8Array | null, order: Uint32Array, image: ImageData | null, palette: Palette }} Scene
 */

const MAX_PICTURE_POINTS = 2000; // in view; with more, only dots are drawn
const PICTURE_PIXELS = /** @type {[number, number]} */ ([56, 160]); // sides of the pictures
const MAX_PICTURES = 600; // kept: about 50 MB
const DOT_PIXELS = /** @type {[number, number]} */ ([1.2, 7]); // radii
const PLAIN = "#6f8fb0"; // points of a map without colours
const UNKNOWN = "#8a8f94"; // points without a value
const FADED = 0.75; // share of the paper in unselected points
const PAUSE_MILLISECONDS = 80; // without a move until pictures are requested

/** Return the channels of a CSS colour. @param {string} colour @returns {Colour} */
function readColour(colour) {
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext("2d"));
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

/** @param {Colour} one @param {Colour} other @param {number} share of the other @returns {Colour} */
function mix(one, other, share) {
  return one.map((value, i) => Math.round(value + (other[i] - value) * share));
}

/** @param {Colour} colour */
function pack([red, green, blue]) {
  return red | (green << 8) | (blue << 16);
}

/** Return the colour of each code of a legend. @param {Legend} legend @returns {Colour[]} */
function colourCodes({ entries = [], colours, steps = 0 }) {
  const all = Array(256).fill(readColour(entries.length || colours ? UNKNOWN : PLAIN));
  entries.forEach((entry, i) => {
    all[i + 1] = readColour(entry.colour);
  });
  if (!colours) return all;
  const stops = colours.map(readColour);
  for (let step = 0; step < steps; step++) {
    const at = (step / (steps - 1)) * (stops.length - 1);
    const stop = Math.min(Math.floor(at), stops.length - 2);
    all[step + 1] = mix(stops[stop], stops[stop + 1], at - stop);
  }
  return all;
}

/** Return the colours of the page's theme and of a legend. @param {HTMLElement} root @param {Legend} legend @returns {Palette} */
export function readPalette(root, legend) {
  const style = getComputedStyle(root);
  const paper = readColour(style.backgroundColor);
  const named = colourCodes(legend);
  const colours = Uint32Array.from([...named, ...named.map(colour => mix(colour, paper, FADED))], pack);
  const accent = style.getPropertyValue("--accent");
  return { paper: style.backgroundColor, ink: style.color, accent, named, colours };
}

/** Pictures of rows as bitmaps; the least recently used are dropped. */
export class PictureCache {
  /** @type {Map<number, ImageBitmap>} */
  #kept = new Map();
  /** @type {Set<number>} */
  #absent = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {(rows: number[]) => void} request @param {() => void} onChange */
  constructor(request, onChange) {
    this.request = request;
    this.onChange = onChange;
  }

  /** Return the picture of a row, if it is here. @param {number} row */
  get(row) {
    const bitmap = this.#kept.get(row);
    if (bitmap) {
      this.#kept.delete(row); // to the end
      this.#kept.set(row, bitmap);
    }
    return bitmap;
  }

  /** Request the missing pictures once the view rests. @param {number[]} rows */
  want(rows) {
    clearTimeout(this.#timer);
    const missing = rows.filter(row => !this.#kept.has(row) && !this.#absent.has(row));
    if (missing.length) this.#timer = setTimeout(() => this.request(missing), PAUSE_MILLISECONDS);
  }

  /** @param {Pictures} message @param {DataView<ArrayBuffer>[]} buffers */
  async receive({ pictures, absent }, buffers) {
    for (const [row] of absent) this.#absent.add(row);
    await Promise.all(pictures.map((row, i) => this.#add(row, buffers[i])));
    for (const [row, bitmap] of this.#kept) {
      if (this.#kept.size <= MAX_PICTURES) break;
      bitmap.close();
      this.#kept.delete(row);
    }
    this.onChange();
  }

  close() {
    clearTimeout(this.#timer);
    for (const bitmap of this.#kept.values()) bitmap.close();
    this.#kept.clear();
  }

  /** @param {number} row @param {DataView<ArrayBuffer>} bytes */
  async #add(row, bytes) {
    try {
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      this.#kept.get(row)?.close();
      this.#kept.set(row, bitmap);
    } catch {
      this.#absent.add(row);
    }
  }
}

/**
 * Draw dots and, if few points are in view, pictures; the query and selected rows first. Return the number of points in
 * view and the places of the pictures.
 * @param {HTMLCanvasElement} canvas
 * @param {Scene} scene
 * @param {PictureCache} pictures
 * @param {number | null} query
 */
export function drawMap(canvas, scene, pictures, query) {
  const { points, view, selected, width, height, ratio, palette } = scene;
  const context = get2d(canvas);
  if (resize(canvas, scene) || !scene.image) scene.image = context.createImageData(canvas.width, canvas.height);
  const count = findRowsInView(points, view, width, height).length;
  const radius = clamp(Math.sqrt((0.04 * width * height) / Math.max(count, 1)), DOT_PIXELS) * ratio;
  const drawing = { ...scene, colours: palette.colours, radius, view: { ...view, scale: view.scale * ratio } };
  drawPoints(scene.image, points, drawing);
  context.putImageData(scene.image, 0, 0);
  const places = /** @type {PlacedPicture[]} */ ([]);
  if (!count || count > MAX_PICTURE_POINTS) {
    pictures.want([]);
    return { count, places };
  }
  const side = clamp(Math.sqrt((width * height) / count) * 0.8, PICTURE_PIXELS);
  const near = findRowsInView(points, view, width + 2 * side, height + 2 * side);
  const isFirst = (/** @type {number} */ row) => row === query || Boolean(selected?.[row]);
  const rows = [...near.filter(isFirst), ...near.filter(row => !isFirst(row))];
  const shown = spreadRows(points, rows, 2 ** Math.round(Math.log2(side / view.scale)));
  pictures.want(shown);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.imageSmoothingQuality = "high";
  // The first ones are drawn over the others.
  for (const row of shown.reverse()) {
    const bitmap = pictures.get(row);
    if (bitmap) places.push(drawPicture(context, scene, row, bitmap, side));
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  return { count, places };
}

/**
 * Draw a picture with its frame; return its place.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {number} row
 * @param {ImageBitmap} bitmap
 * @param {number} side pixels, of the longer side
 * @returns {PlacedPicture}
 */
function drawPicture(context, scene, row, bitmap, side) {
  const { points, codes, selected, view, palette } = scene;
  const scale = side / Math.max(bitmap.width, bitmap.height);
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  const [centreX, centreY] = pixelOf(view, scene, [points.xs[row], points.ys[row]]);
  const [x, y] = [centreX - w / 2, centreY - h / 2];
  context.drawImage(bitmap, x, y, w, h);
  if (selected && !selected[row]) {
    context.globalAlpha = 0.65;
    context.fillStyle = palette.paper;
    context.fillRect(x, y, w, h);
    context.globalAlpha = 0.3;
  }
  context.lineWidth = codes || selected?.[row] ? 3 : 1;
  const [red, green, blue] = palette.named[codes ? codes[row] : 0];
  context.strokeStyle = selected?.[row] ? palette.accent : `rgb(${red} ${green} ${blue})`;
  context.strokeRect(x, y, w, h);
  context.globalAlpha = 1;
  return { row, x, y, w, h };
}

/**
 * Draw the marks over the map: the query, the current image, the keyboard's centre, and a lasso or box.
 * @param {HTMLCanvasElement} canvas
 * @param {Scene} scene
 * @param {{ query: number | null, current: number, hasKeyboard: boolean, outline: Place[] | null }} marks
 */
export function drawMarks(canvas, scene, { query, current, hasKeyboard, outline }) {
  const { points, view, width, height, ratio, palette } = scene;
  const context = get2d(canvas);
  resize(canvas, scene);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const circles = /** @type {[number | null, number, string][]} */ ([
    [query, 11, palette.accent],
    [current, 8, palette.ink],
  ]);
  for (const [row, radius, colour] of circles) {
    if (row === null || row < 0 || row >= points.n || Number.isNaN(points.xs[row])) continue;
    context.beginPath();
    context.arc(...pixelOf(view, scene, [points.xs[row], points.ys[row]]), radius, 0, 2 * Math.PI);
    strokeWithRim(context, palette, colour);
  }
  if (hasKeyboard) {
    context.beginPath();
    for (const [x, y] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ]) {
      context.moveTo(width / 2 + 3 * x, height / 2 + 3 * y);
      context.lineTo(width / 2 + 9 * x, height / 2 + 9 * y);
    }
    strokeWithRim(context, palette, palette.ink);
  }
  if (outline && outline.length > 1) {
    context.beginPath();
    for (const place of outline) context.lineTo(...pixelOf(view, scene, place));
    context.closePath();
    strokeWithRim(context, palette, palette.accent, [6, 4]);
  }
}

/** Stroke a path with a rim, visible on any picture. @param {CanvasRenderingContext2D} context @param {Palette} palette @param {string} colour @param {number[]} [dash] */
function strokeWithRim(context, { paper }, colour, dash = []) {
  const strokes = /** @type {[string, number, number[]][]} */ ([
    [paper, 4, []],
    [colour, 2, dash],
  ]);
  for (const [style, width, pattern] of strokes) {
    context.setLineDash(pattern);
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke();
  }
}

/** Give a canvas the pixels of the screen; return whether its size changed. @param {HTMLCanvasElement} canvas @param {Scene} scene */
function resize(canvas, { width, height, ratio }) {
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width === w && canvas.height === h) return false;
  [canvas.width, canvas.height] = [w, h];
  return true;
}

/** @param {HTMLCanvasElement} canvas */
function get2d(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}
