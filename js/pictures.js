// Pictures of rows: their places on a page, and the messages that bring them.

import { h, setPicture } from "./dom.js";

/** @import { MoreHits, Picture, Pictures } from "./messages.js" */

/** The place of a picture, or of the reason why it is missing. */
export class PicturePlace {
  /** @param {Record<string, any>} [attributes] of the image */
  constructor(attributes = {}) {
    this.img = h("img", { alt: "", ...attributes });
    this.absent = h("span", { class: "absent" });
    this.parts = [this.img, this.absent];
  }

  /** @param {Picture} picture */
  draw({ picture, absent = "" }) {
    setPicture(this.img, picture);
    this.img.hidden = !picture;
    this.absent.textContent = absent;
  }
}

/**
 * Call `draw` with each row of a message and its picture.
 * @param {Pictures | MoreHits} message
 * @param {DataView[]} buffers
 * @param {(row: number, picture: Picture) => void} draw
 */
export function drawPictures({ pictures = [], absent = [] }, buffers, draw) {
  for (const [i, row] of pictures.entries()) draw(row, { picture: buffers[i] });
  for (const [row, reason] of absent) draw(row, { picture: null, absent: reason });
}
