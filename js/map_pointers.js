// Mouse and fingers on the map: point, pan, zoom, search, and select with a lasso.

import { findRowsWithin } from "./points.js";

/** @import { MapPage } from "./map.js" */
/** @import { Place } from "./points.js" */

const CLICK_PIXELS = 4; // a pointer that moves further drags
const LASSO_PIXELS = 3; // between the corners of a lasso
const LINE_PIXELS = 16; // of a wheel that counts lines

export class MapPointers {
  /** Corners of the lasso. @type {Place[] | null} */
  lasso = null;
  /** @type {{ x: number, y: number, hasMoved: boolean } | null} */
  #drag = null;
  /** Pixels of fingers and mouse while they are down. @type {Map<number, Place>} */
  #down = new Map();

  /** @param {MapPage} map */
  constructor(map) {
    this.map = map;
    const { over } = map;
    over.addEventListener("pointerdown", event => this.#begin(event));
    over.addEventListener("pointermove", event => this.#move(event));
    for (const type of /** @type {const} */ (["pointerup", "pointercancel"])) {
      over.addEventListener(type, event => this.#lift(event));
    }
    over.addEventListener("pointerleave", () => {
      if (!map.hasKeyboard) map.point(-1);
    });
    const zoom = (/** @type {WheelEvent} */ event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode ? LINE_PIXELS : 1);
      map.zoom(Math.exp(-pixels * 0.002), this.#locate(event));
    };
    over.addEventListener("wheel", zoom, { passive: false });
  }

  get areDown() {
    return this.#down.size > 0;
  }

  /** @param {MouseEvent} event @returns {Place} */
  #locate(event) {
    const { left, top } = this.map.over.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  /** @param {PointerEvent} event */
  #begin(event) {
    if (event.button) return;
    const { map } = this;
    const [x, y] = this.#locate(event);
    this.#down.set(event.pointerId, [x, y]);
    map.over.focus({ preventScroll: true });
    map.over.setPointerCapture(event.pointerId);
    map.hasKeyboard = false;
    if (this.#down.size > 1) [this.#drag, this.lasso] = [null, null];
    else if (event.shiftKey || map.hasLasso) this.lasso = [map.placeAt(x, y)];
    else this.#drag = { x, y, hasMoved: false };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const { map } = this;
    const [x, y] = this.#locate(event);
    const before = this.#down.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") map.point(map.findRow(x, y), x, y);
      return;
    }
    if (this.#down.size === 2) this.#pinch(event.pointerId, before, [x, y]);
    else if (this.lasso) {
      if (Math.hypot(x - before[0], y - before[1]) < LASSO_PIXELS) return;
      this.lasso.push(map.placeAt(x, y));
      map.drawMarks();
    } else if (this.#drag) {
      this.#drag.hasMoved ||= Math.hypot(x - this.#drag.x, y - this.#drag.y) > CLICK_PIXELS;
      if (!this.#drag.hasMoved) return;
      map.point(-1);
      map.pan(before[0] - x, before[1] - y);
    }
    this.#down.set(event.pointerId, [x, y]);
  }

  /** Pan and zoom with two fingers. @param {number} id @param {Place} before @param {Place} pixel */
  #pinch(id, before, [x, y]) {
    const [[otherX, otherY]] = [...this.#down].filter(([other]) => other !== id).map(([, pixel]) => pixel);
    this.map.pan((before[0] - x) / 2, (before[1] - y) / 2);
    const distance = Math.hypot(before[0] - otherX, before[1] - otherY);
    const factor = Math.hypot(x - otherX, y - otherY) / Math.max(distance, 1);
    this.map.zoom(factor, [(x + otherX) / 2, (y + otherY) / 2]);
  }

  /** @param {PointerEvent} event */
  #lift(event) {
    if (!this.#down.delete(event.pointerId)) return;
    const { map } = this;
    const [outline, drag] = [this.lasso, this.#drag];
    if (!this.#down.size) [this.lasso, this.#drag] = [null, null];
    if (event.type === "pointerup") {
      if (outline && outline.length > 2) {
        map.setLasso(false);
        map.select(findRowsWithin(map.scene.points, outline), event);
      } else if (drag && !drag.hasMoved) map.search(map.findRow(...this.#locate(event)));
    }
    map.drawMarks();
  }
}
