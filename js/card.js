// Card of a hit: its tick, marks and tools.

import { button, consume, findNeighbour, h, hasModifier } from "./dom.js";
import { copyText } from "./files.js";

/** @import { Hit, Picture } from "./messages.js" */
/** @import { HitList } from "./hits.js" */

const COPIED_MILLISECONDS = 1500;
const LABEL_CHARACTERS = 80;

/**
 * Cards of images or of texts: `copied` names the copied text; the functions build a card, fill it with a hit, and
 * show a picture.
 * @typedef {{ copied: string, build: (card: Card) => void, fill: (card: Card, hit: Hit) => void,
 *   drawPicture?: (card: Card, picture: Picture) => void }} CardKind
 */

export class Card {
  /** The main button, which searches by the hit. @type {HTMLButtonElement} */
  button = h("button");
  meaning = h("div", { class: "meaning" });
  /** @type {Record<string, any>} parts of one kind of cards */
  parts = {};

  /** @param {HitList} list @param {CardKind} kind */
  constructor(list, kind) {
    this.list = list;
    this.kind = kind;
    this.hit = /** @type {Hit} */ ({ row: -1, name: "" });
    const tick = (/** @type {MouseEvent} */ event) => list.tick(this, this.tick.checked, event.shiftKey);
    this.tick = h("input", { type: "checkbox", onclick: tick });
    this.more = button("+", () => this.mark(1), { class: "mark", title: "More like this (+)" });
    this.less = button("−", () => this.mark(-1), { class: "mark", title: "Less like this (-)" });
    this.open = button("Open", () => list.page.ask({ do: "original", row: this.hit.row }), { title: "Open (o)" });
    this.copy = button("Copy", () => this.#copy(), { class: "copy" });
    this.ticker = h("label", { class: "ticker", title: "Tick (x), with Shift from the last tick" }, this.tick);
    this.tools = h("div", { class: "tools" }, this.ticker, this.more, this.less, this.open, this.copy);
    const onkeydown = (/** @type {KeyboardEvent} */ event) => this.#useKey(event);
    this.item = h("li", { class: "similar-images-card", onkeydown });
    kind.build(this);
  }

  /** @param {Hit} hit */
  fill(hit) {
    this.hit = hit;
    this.item.classList.toggle("missed", hit.missed);
    const meaning = hit.missed ? `found by exact search only; ${hit.meaning}` : hit.meaning;
    this.meaning.textContent = this.meaning.title = meaning;
    this.meaning.classList.toggle("same", hit.same);
    const labels = /** @type {const} */ ([
      [this.open, "Open"],
      [this.copy, `Copy ${this.kind.copied}`],
      [this.tick, "Tick"],
      [this.more, "More like"],
      [this.less, "Less like"],
    ]);
    for (const [control, label] of labels) control.setAttribute("aria-label", shorten(`${label} ${hit.name}`));
    this.kind.fill(this, hit);
    this.drawPicture(hit);
  }

  /** @param {Picture} picture */
  drawPicture(picture) {
    this.kind.drawPicture?.(this, picture);
  }

  /** @param {boolean} isTicked */
  drawTick(isTicked) {
    this.tick.checked = isTicked;
    this.item.classList.toggle("ticked", isTicked);
  }

  /** Search for more, or less, like this. @param {number} sign */
  mark(sign) {
    this.list.page.ask({ do: "mark", row: this.hit.row, sign });
  }

  async #copy() {
    await copyText(this.hit.name, this.list.page.root);
    this.copy.textContent = "Copied";
    setTimeout(() => {
      this.copy.textContent = "Copy";
    }, COPIED_MILLISECONDS);
  }

  /** @param {KeyboardEvent} event */
  #useKey(event) {
    if (hasModifier(event)) return;
    const buttons = this.list.cards.map(card => card.button);
    const next = findNeighbour(buttons, this.button, event.key);
    if (next) next.focus();
    else if (["+", "="].includes(event.key)) this.mark(1);
    else if (event.key === "-") this.mark(-1);
    else if (event.key === "o" && !this.open.hidden) this.open.click();
    else if (event.key === "w" && this.parts.why) this.parts.why.click();
    else if (event.key.toLowerCase() === "x") this.list.tick(this, !this.tick.checked, event.shiftKey);
    else return;
    consume(event);
  }
}

/** @param {string} label */
function shorten(label) {
  return label.length > LABEL_CHARACTERS ? `${label.slice(0, LABEL_CHARACTERS - 1)}…` : label;
}
