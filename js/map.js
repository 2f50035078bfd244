// Map: pan, zoom, point, search and select, with mouse, fingers or keys.
// Positions, colours and the selection are traits; names and pictures are requested by messages.

import { button, createRoot, h, setPicture, uniqueId } from "./dom.js";
import { clamp } from "./geometry.js";
import { MapKeys } from "./map_keys.js";
import { drawMap, drawMarks, PictureCache, readPalette } from "./map_layers.js";
import { MapPointers } from "./map_pointers.js";
import { change, listen, send } from "./model.js";
import { findNearestRow, placeAt, readPoints, sortForDrawing, viewAll, zoomAt } from "./points.js";
import { toggleRow } from "./selection.js";
import { StatusLine } from "./status.js";

/** @import { RenderProps } from "@anywidget/types" */
/** @import { Description, LegendEntry, MapTraits, Pictures } from "./messages.js" */
/** @import { PlacedPicture, Scene } from "./map_layers.js" */
/** @import { Place } from "./points.js" */
/** @typedef {{ name: string, value: string, absent: string, picture?: DataView }} Described */

export const ZOOM = 1.5; // of a key or a button
const REACH_PIXELS = 10; // to the dot under the pointer
const MAX_DESCRIPTIONS = 200; // kept
const DESCRIBE_MILLISECONDS = 40; // on an image until its description is requested
const ZOOM_RANGE = [1 / 4, 1e5]; // times the view of all
const HELP =
  "Drag to pan, wheel to zoom, click to search by an image, Shift and drag to select (with Ctrl: add). " +
  "Keys: arrows pan, + and − zoom, 0 shows all; of the image nearest to the centre: Enter searches, Space selects; " +
  "R begins a box: arrows move it, Shift and arrows resize it, Enter selects, Escape cancels.";

export class MapPage {
  /** The row of the current image, -1: none. */
  current = -1;
  /** Whether the centre is the pointer. */
  hasKeyboard = false;
  hasLasso = false;
  #theme = "";
  #frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Map<number, Described>} */
  #described = new Map();
  /** Pictures in view. @type {PlacedPicture[]} */
  #places = [];

  /** @param {RenderProps<MapTraits>} props */
  constructor({ model, el }) {
    this.model = model;
    this.root = createRoot(el, "Map", "similar-images-map");
    this.base = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "map" });
    this.image = h("img", { alt: "" });
    this.name = h("b");
    this.value = h("span");
    const card = { class: "similar-images-map-card", "aria-hidden": "true", hidden: true };
    this.card = h("div", card, this.image, this.name, this.value);
    this.frame = h("div", { class: "similar-images-map-frame" }, this.base, this.over, this.card);
    this.legend = h("div", { class: "similar-images-legend", role: "group", "aria-label": "Legend" });
    this.line = new StatusLine(model, this.root);
    const lasso = { "aria-pressed": "false", title: "Or hold Shift and drag" };
    this.lasso = button("Lasso", () => this.setLasso(!this.hasLasso), lasso);
    this.choice = h("select", { onchange: () => change(model, { color_by: this.choice.value }) });
    this.coloured = h("label", {}, "Colour", this.choice);
    this.count = h("span", { role: "status" });
    this.clear = button("Clear selection", () => this.select([]), { title: "Escape, on the map" });
    this.#appendParts();
    const points = readPoints(model.get("_positions"));
    /** @type {Scene} */
    this.scene = {
      width: 0,
      height: 0,
      ratio: 1,
      view: { x: 0, y: 0, scale: 1 },
      points,
      codes: null,
      selected: null,
      order: new Uint32Array(),
      image: null,
      palette: readPalette(this.root, model.get("_legend")),
    };
    const request = (/** @type {number[]} */ rows) => send(model, { do: "pictures", rows });
    this.pictures = new PictureCache(request, () => this.redraw());
    this.pointers = new MapPointers(this);
    this.keys = new MapKeys(this);
  }

  #appendParts() {
    const controls = [
      button("+", () => this.zoom(ZOOM), { title: "Zoom in", "aria-label": "Zoom in" }),
      button("−", () => this.zoom(1 / ZOOM), { title: "Zoom out", "aria-label": "Zoom out" }),
      button("Show all", () => this.showAll(), { title: "Key 0" }),
      ...[this.lasso, this.coloured, this.count, this.clear],
    ];
    const help = h("div", { id: uniqueId("help") }, HELP);
    this.over.setAttribute("aria-describedby", help.id);
    this.root.append(
      h("div", { class: "similar-images-controls" }, ...controls),
      this.frame,
      ...this.line.parts,
      this.legend,
      h("details", {}, h("summary", {}, "Help"), help),
    );
  }

  start() {
    const redraw = () => this.redraw();
    const resized = new ResizeObserver(() => this.#resize());
    const themed = new MutationObserver(redraw); // of JupyterLab
    themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", redraw);
    const stop = listen(this.model, [
      ["change:selection", () => this.#drawSelection()],
      ["change:_codes", () => this.#drawColours()],
      ["change:_legend", () => this.#drawColours()],
      ["change:color_by", () => this.#drawChoices()],
      ["change:_choices", () => this.#drawChoices()],
      ["change:_positions", () => this.#readPositions()],
      ["change:query", redraw],
      ["change:status", () => this.#drawStatus()],
      ["change:height", () => this.#setHeight()],
      ["msg:custom", (message, buffers) => this.#receive(message, buffers)],
    ]);
    this.#setHeight();
    this.#drawChoices();
    this.#drawStatus();
    resized.observe(this.frame);
    return () => {
      stop();
      dark.removeEventListener("change", redraw);
      themed.disconnect();
      resized.disconnect();
      cancelAnimationFrame(this.#frame);
      clearTimeout(this.#timer);
      this.pictures.close();
    };
  }

  /** Draw in the next frame. */
  redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const { scene, root } = this;
      if (!scene.width) return;
      this.#updatePalette();
      const { count, places } = drawMap(this.base, scene, this.pictures, this.model.get("query"));
      this.#places = places;
      this.drawMarks();
      const drawn = Math.round(performance.timeOrigin + performance.now());
      Object.assign(root.dataset, { inView: count, pictures: places.length, drawn });
    });
  }

  drawMarks() {
    const { current, hasKeyboard, model } = this;
    const outline = this.pointers.lasso ?? this.keys.outline;
    drawMarks(this.over, this.scene, { query: model.get("query"), current, hasKeyboard, outline });
  }

  /** Follow the theme of the page. */
  #updatePalette() {
    const { backgroundColor, color } = getComputedStyle(this.root);
    const theme = `${backgroundColor} ${color}`;
    if (theme === this.#theme) return;
    this.#theme = theme;
    this.scene.palette = readPalette(this.root, this.model.get("_legend"));
  }

  #drawColours() {
    const { scene, model } = this;
    const { n } = scene.points;
    const codes = model.get("_codes");
    const hasCodes = codes?.byteLength === n;
    scene.codes = hasCodes ? new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength) : null;
    const { entries = [], colours, low = 0, high = 0 } = model.get("_legend");
    scene.order = sortForDrawing(n, colours ? scene.codes : null);
    this.#theme = "";
    this.#described.clear(); // their values are of other colours
    const parts = /** @type {HTMLElement[]} */ (entries.map((entry, i) => this.#createEntry(entry, i + 1)));
    if (colours) {
      const scale = h("i", { class: "scale", style: `background: linear-gradient(to right, ${colours})` });
      parts.push(h("span", {}, low.toPrecision(3)), scale, h("span", {}, high.toPrecision(3)));
    }
    this.legend.replaceChildren(...parts);
    this.legend.hidden = !parts.length;
    this.redraw();
  }

  /** @param {LegendEntry} entry @param {number} code */
  #createEntry({ label, colour, count }, code) {
    const onclick = (/** @type {MouseEvent} */ event) => {
      const codes = this.scene.codes ?? new Uint8Array();
      this.select(
        [...codes.keys()].filter(row => codes[row] === code),
        event,
      );
    };
    const swatch = h("i", { style: `background: ${colour}` });
    const small = h("small", {}, count.toLocaleString("en"));
    return h("button", { type: "button", title: "Select these", onclick }, swatch, label, small);
  }

  #drawChoices() {
    const { choice } = this;
    const choices = this.model.get("_choices");
    choice.replaceChildren(...choices.map(one => h("option", { value: one }, one || "none")));
    choice.value = this.model.get("color_by");
    this.coloured.hidden = choices.length < 2;
  }

  #drawSelection() {
    const rows = this.model.get("selection");
    const selected = new Uint8Array(this.scene.points.n);
    for (const row of rows) selected[row] = 1;
    this.scene.selected = rows.length ? selected : null;
    this.count.textContent = rows.length ? `${rows.length.toLocaleString("en")} selected` : "";
    this.clear.hidden = !rows.length;
    this.root.dataset.selected = String(rows.length);
    this.redraw();
  }

  #readPositions() {
    const { scene } = this;
    scene.points = readPoints(this.model.get("_positions"));
    const { n, box } = scene.points;
    const missing = n - box.count;
    const absent = missing ? `, ${missing.toLocaleString("en")} of them without a place` : "";
    this.over.setAttribute("aria-label", `Map of ${n.toLocaleString("en")} images${absent}`);
    scene.view = viewAll(scene.points, scene.width, scene.height);
    this.#drawColours();
    this.#drawSelection();
  }

  #drawStatus() {
    this.line.draw(this.model.get("status"));
  }

  #setHeight() {
    this.frame.style.height = `${this.model.get("height")}px`;
  }

  #resize() {
    const { scene } = this;
    const { clientWidth: width, clientHeight: height } = this.over;
    const isSame = width === scene.width && height === scene.height && scene.ratio === devicePixelRatio;
    if (!width || isSame) return;
    const isFirst = !scene.width;
    Object.assign(scene, { width, height, ratio: devicePixelRatio });
    if (isFirst) this.#readPositions();
    else this.redraw();
  }

  /** Return the place of a pixel. @param {number} x @param {number} y */
  placeAt(x, y) {
    return placeAt(this.scene.view, this.scene, x, y);
  }

  /** Pan by pixels. @param {number} x @param {number} y */
  pan(x, y) {
    const { view } = this.scene;
    this.scene.view = { ...view, x: view.x + x / view.scale, y: view.y - y / view.scale };
    this.redraw();
  }

  /** Zoom around a pixel. @param {number} factor @param {Place} [pixel] */
  zoom(factor, pixel = [this.scene.width / 2, this.scene.height / 2]) {
    const { scene } = this;
    const all = viewAll(scene.points, scene.width, scene.height).scale;
    const [least, most] = ZOOM_RANGE;
    const scale = clamp(scene.view.scale * factor, [all * least, all * most]);
    scene.view = zoomAt(scene.view, scene, scale, pixel);
    this.redraw();
  }

  showAll() {
    this.scene.view = viewAll(this.scene.points, this.scene.width, this.scene.height);
    this.redraw();
  }

  /** Return the row at a pixel, -1 if none. @param {number} x @param {number} y */
  findRow(x, y) {
    const isAt = (/** @type {PlacedPicture} */ one) =>
      x >= one.x && x <= one.x + one.w && y >= one.y && y <= one.y + one.h;
    const picture = this.#places.findLast(isAt);
    const { points, view } = this.scene;
    return picture ? picture.row : findNearestRow(points, this.placeAt(x, y), REACH_PIXELS / view.scale);
  }

  /** Return the row nearest to the centre, -1 if none is in view. */
  findCentralRow() {
    const { points, view, width, height } = this.scene;
    return findNearestRow(points, [view.x, view.y], Math.hypot(width, height) / 2 / view.scale);
  }

  /** Point at a row and describe it next to a pixel; -1: at none. @param {number} row @param {number} [x] @param {number} [y] */
  point(row, x = this.scene.width / 2, y = this.scene.height / 2) {
    if (row !== this.current) {
      this.current = row;
      this.card.hidden = true;
      clearTimeout(this.#timer);
      if (this.#described.has(row)) this.#describe();
      else if (row >= 0) {
        this.#timer = setTimeout(() => send(this.model, { do: "describe", row }), DESCRIBE_MILLISECONDS);
      }
      this.drawMarks();
    }
    const { width, height } = this.scene;
    const isRight = x > width / 2;
    const isLow = y > height / 2;
    Object.assign(this.card.style, {
      left: isRight ? "" : `${x + 16}px`,
      right: isRight ? `${width - x + 16}px` : "",
      top: isLow ? "" : `${y}px`,
      bottom: isLow ? `${Math.max(height - y, 0)}px` : "",
    });
  }

  #describe() {
    const described = this.#described.get(this.current);
    if (!described) return;
    const { name, value, absent, picture } = described;
    setPicture(this.image, picture);
    this.image.hidden = !picture;
    this.name.textContent = name;
    this.value.textContent = absent || value;
    this.card.hidden = false;
    const selected = this.scene.selected?.[this.current] ? "selected" : "";
    this.say([name, value, selected].filter(Boolean).join(", "));
  }

  /** Show a sentence in the status line. @param {string} text */
  say(text) {
    this.line.text.textContent = text;
  }

  /** @param {Pictures | Description} message @param {DataView<ArrayBuffer>[]} buffers */
  #receive(message, buffers) {
    if (message.show === "pictures") this.pictures.receive(message, buffers);
    if (message.show !== "described") return;
    const { row, name, value, absent } = message;
    this.#described.set(row, { name, value, absent, picture: buffers[0] });
    const [oldest] = this.#described.keys();
    if (this.#described.size > MAX_DESCRIPTIONS) this.#described.delete(oldest);
    if (row === this.current) this.#describe();
  }

  /** @param {number} row */
  search(row) {
    if (row >= 0) send(this.model, { do: "search", row });
  }

  /** Select rows; with Ctrl in addition. @param {number[]} rows @param {{ ctrlKey?: boolean, metaKey?: boolean }} [keys] */
  select(rows, { ctrlKey, metaKey } = {}) {
    const before = ctrlKey || metaKey ? this.model.get("selection") : [];
    change(this.model, { selection: [...new Set([...before, ...rows])] });
    this.#drawSelection();
  }

  /** @param {number} row */
  toggle(row) {
    if (row < 0) return;
    this.select(toggleRow(this.model.get("selection"), row));
    if (this.#described.has(row)) this.#describe();
  }

  /** @param {boolean} isOn */
  setLasso(isOn) {
    this.hasLasso = isOn;
    this.lasso.setAttribute("aria-pressed", String(isOn));
    this.over.classList.toggle("lasso", isOn);
  }
}

export default {
  /** @param {RenderProps<MapTraits>} props */
  render: props => new MapPage(props).start(),
};
