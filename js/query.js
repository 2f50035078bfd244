// Query of the gallery: its picture, and a box on it that searches by a part.

import { button, consume, h } from "./dom.js";
import { ARROWS, BOX_STEP, boxBetween, isSearchable, moveBox, pointInArea, resizeBox } from "./geometry.js";
import { PicturePlace } from "./pictures.js";

/** @import { Box, GalleryTraits, Query } from "./messages.js" */
/** @import { SearchPage } from "./search.js" */

const HELP =
  "The query. Drag a box on it to search by that part, or press Enter for a box, arrow keys to move it, " +
  "Shift with arrow keys to resize it, Enter to search, Escape to cancel";
const FIRST_BOX = /** @type {Box} */ ([0.25, 0.25, 0.75, 0.75]);

export class QueryFigure {
  /** @type {Box | null} */
  #box = null;
  /** The start of a drag. @type {[number, number] | null} */
  #began = null;

  /** @param {SearchPage<GalleryTraits>} page @param {Node[]} marks */
  constructor(page, marks) {
    this.page = page;
    this.place = new PicturePlace({ draggable: "false" });
    this.outline = h("div", { class: "similar-images-box", hidden: true });
    const frame = { class: "similar-images-frame", tabindex: 0, role: "application", "aria-label": HELP };
    this.frame = h("div", frame, ...this.place.parts, this.outline);
    this.name = h("span");
    this.note = h("b");
    this.caption = h("figcaption", {}, this.name, this.note);
    this.whole = button("Search by the whole image", () => this.#searchWhole(), { hidden: true });
    this.boxing = h("span", {}, "Drag a box on it to search by that part. ");
    const hint = h("p", {}, this.boxing, "Drop or paste images anywhere here.");
    this.figure = h("figure", { class: "similar-images-query" }, this.frame, this.caption, this.whole, ...marks, hint);
    this.frame.addEventListener("pointerdown", event => this.#begin(event));
    this.frame.addEventListener("pointermove", event => {
      if (this.#began) this.#setBox(boxBetween(this.#began, this.#locate(event)));
    });
    this.frame.addEventListener("pointerup", () => this.#finish());
    this.frame.addEventListener("pointercancel", () => this.#cancel());
    this.frame.addEventListener("keydown", event => this.#useKey(event));
  }

  /** @param {Query} query */
  draw(query) {
    this.place.draw(query);
    const words = query.words ?? "";
    if (words) this.place.absent.textContent = words;
    this.frame.classList.toggle("words", Boolean(words));
    this.boxing.hidden = Boolean(words);
    this.place.img.alt = query.name;
    this.#setBox(query.box ?? null);
    this.whole.hidden = !query.box;
    this.name.textContent = words ? "" : query.name; // words replace the picture
    this.note.textContent = query.box ? "part" : "query";
    this.caption.title = query.name;
  }

  /** @param {Box | null} box */
  #setBox(box) {
    this.#box = box;
    this.outline.hidden = !box;
    if (!box) return;
    const [left, top, right, bottom] = box.map(share => 100 * share);
    const [width, height] = [right - left, bottom - top];
    Object.assign(this.outline.style, { left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` });
  }

  /** @param {PointerEvent} event */
  #locate(event) {
    return pointInArea(event.clientX, event.clientY, this.place.img.getBoundingClientRect());
  }

  #searchPart() {
    if (this.#box) this.page.ask({ do: "part", box: this.#box, number: this.page.model.get("shown").number });
  }

  #searchWhole() {
    this.#setBox(null);
    this.page.ask({ do: "whole" });
  }

  /** @param {PointerEvent} event */
  #begin(event) {
    if (event.button !== 0 || this.place.img.hidden) return;
    this.#began = this.#locate(event);
    this.frame.setPointerCapture(event.pointerId);
  }

  #finish() {
    this.#began = null;
    if (isSearchable(this.#box)) this.#searchPart();
    else this.#cancel();
  }

  #cancel() {
    this.#began = null;
    this.#setBox(this.page.model.get("shown").query?.box ?? null);
  }

  /** @param {KeyboardEvent} event */
  #useKey(event) {
    if (event.altKey || this.place.img.hidden) return;
    const box = this.#box;
    if (event.key === "Enter") {
      if (box) this.#searchPart();
      else this.#setBox(FIRST_BOX);
    } else if (event.key === "Escape" && box) {
      if (this.page.model.get("shown").query.box) this.#searchWhole();
      else this.#setBox(null);
    } else if (box && event.key in ARROWS) {
      const [dx, dy] = ARROWS[event.key].map(step => step * BOX_STEP);
      this.#setBox(event.shiftKey ? resizeBox(box, dx, dy) : moveBox(box, dx, dy));
    } else return;
    consume(event);
  }
}
