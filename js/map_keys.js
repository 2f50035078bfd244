// Keys on the map: pan, zoom, search and select, and a box that selects.

import { consume } from "./dom.js";
import { ARROWS } from "./geometry.js";
import { ZOOM } from "./map.js";
import { findRowsWithin } from "./points.js";

/** @import { MapPage } from "./map.js" */
/** @import { Place } from "./points.js" */

const PAN_PIXELS = 60;
const BOX_PIXELS = { move: 20, resize: 10 };
const BOX_SHARE = 1 / 6; // of the canvas, from the centre of a new box to its sides

export class MapKeys {
  /** Centre, and half of the width and height. @type {{ x: number, y: number, w: number, h: number } | null} */
  #box = null;

  /** @param {MapPage} map */
  constructor(map) {
    this.map = map;
    const { over } = map;
    over.addEventListener("keydown", event => {
      if (event.altKey || ((event.ctrlKey || event.metaKey) && event.key !== "Enter")) return;
      if (this.#box ? this.#useBox(event, this.#box) : this.#useMap(event)) consume(event);
    });
    over.addEventListener("focus", () => {
      if (!over.matches(":focus-visible") || map.pointers.areDown || !map.scene.width) return;
      this.#pointAtCentre();
      map.drawMarks();
    });
    over.addEventListener("blur", () => {
      map.hasKeyboard = false;
      this.#box = null;
      map.point(-1);
      map.drawMarks();
    });
  }

  /** Corners of the box. @returns {Place[] | null} */
  get outline() {
    if (!this.#box) return null;
    const { x, y, w, h } = this.#box;
    return [
      [x - w, y - h],
      [x + w, y - h],
      [x + w, y + h],
      [x - w, y + h],
    ];
  }

  #findRows() {
    return findRowsWithin(this.map.scene.points, this.outline ?? []);
  }

  #sayCount() {
    this.map.say(`Box around ${this.#findRows().length.toLocaleString("en")} images`);
  }

  /** Use a key for the box; return whether it has a meaning. @param {KeyboardEvent} event @param {{ x: number, y: number, w: number, h: number }} box */
  #useBox(event, box) {
    const { map } = this;
    if (event.key in ARROWS) {
      const [x, y] = ARROWS[event.key];
      const step = (event.shiftKey ? BOX_PIXELS.resize : BOX_PIXELS.move) / map.scene.view.scale;
      if (event.shiftKey) {
        Object.assign(box, { w: Math.max(box.w + x * step, step), h: Math.max(box.h + y * step, step) });
      } else Object.assign(box, { x: box.x + x * step, y: box.y - y * step });
      this.#sayCount();
    } else if (event.key === "Enter") {
      const rows = this.#findRows();
      this.#box = null;
      map.select(rows, event);
    } else if (event.key === "Escape") this.#box = null;
    else return false;
    map.drawMarks();
    return true;
  }

  /** Use a key for the map; return whether it has a meaning. @param {KeyboardEvent} event */
  #useMap({ key }) {
    const { map } = this;
    if (key in ARROWS) map.pan(ARROWS[key][0] * PAN_PIXELS, ARROWS[key][1] * PAN_PIXELS);
    else if (key === "+" || key === "=") map.zoom(ZOOM);
    else if (key === "-" || key === "_") map.zoom(1 / ZOOM);
    else if (key === "0") map.showAll();
    else if (key === "Enter") map.search(map.findCentralRow());
    else if (key === " ") map.toggle(map.findCentralRow());
    else if (key === "Escape") {
      if (!map.card.hidden && !map.hasKeyboard) {
        map.point(-1);
        return true;
      }
      map.select([]);
    } else if (key.toLowerCase() === "r") {
      this.#beginBox();
      return true;
    } else return false;
    this.#pointAtCentre();
    return true;
  }

  #beginBox() {
    const { map } = this;
    const { view, width, height } = map.scene;
    const [w, h] = [width, height].map(pixels => (pixels * BOX_SHARE) / view.scale);
    this.#box = { x: view.x, y: view.y, w, h };
    this.#sayCount();
    map.card.hidden = true;
    map.drawMarks();
  }

  #pointAtCentre() {
    this.map.hasKeyboard = true;
    this.map.point(this.map.findCentralRow());
  }
}
