// Hits of a page: ticks, exports, and further hits while scrolling.
// The first hits are part of `shown`, others arrive in blocks. A distant block keeps only its height: however far one
// scrolls, the page holds a few hundred cards.

import { Card } from "./card.js";
import { button, emptyList, h, observeNear } from "./dom.js";
import { change, send } from "./model.js";
import { drawPictures } from "./pictures.js";
import { Paging } from "./rows.js";
import { areAllTicked, tickRange, toggleAll } from "./selection.js";

/** @import { CardKind } from "./card.js" */
/** @import { MoreHits, Pictures, SearchTraits, Shown } from "./messages.js" */
/** @import { SearchPage } from "./search.js" */
/** @typedef {{ start: number, list: HTMLElement, cards: Card[] }} Block */

const AHEAD = 1500; // pixels below the visible part within which hits are drawn

export class HitList {
  /** Cards of the first hits, reused for every query. @type {Card[]} */
  #first = [];
  /** @type {Block[]} */
  #blocks = [];
  #paging = new Paging();
  /** The row from which Shift ticks a range. @type {number | null} */
  #lastTicked = null;

  /** @param {SearchPage<any>} page @param {CardKind} kind @param {[form: string, label: string][]} exports files of the ticked hits */
  constructor(page, kind, exports) {
    this.page = page;
    this.model = /** @type {import("./messages.js").Model<SearchTraits>} */ (page.model);
    this.kind = kind;
    const warning = "No close match in this collection. These are the nearest.";
    this.unlike = h("p", { class: "unlike", role: "status", hidden: true }, warning);
    this.changes = h("p", { class: "changes", role: "status" });
    this.number = h("span", { "aria-live": "polite" });
    this.all = button("Tick all", () => this.#select(toggleAll(this.model.get("selection"), this.#rows)));
    this.none = button("Untick all", () => this.#select([]));
    this.among = button("", () => this.#restrict());
    this.exports = exports.map(([form, label]) =>
      button(form.toUpperCase(), () => page.ask({ do: "export", form }), { title: label, "aria-label": label }),
    );
    this.list = h("ul", { class: "similar-images-hits", "aria-label": "Hits" });
    this.further = h("div");
    this.more = button("More hits", () => this.#grow(), { class: "more", hidden: true });
    this.scroller = h("div", { class: "similar-images-scroller" }, this.list, this.further, this.more);
    const ticked = [this.all, this.none, this.among, this.number, ...this.exports];
    const bar = h("div", { class: "similar-images-ticked" }, ...ticked);
    this.section = h("section", { "aria-label": "Found" }, this.unlike, this.changes, bar, this.scroller);
    this.scroller.addEventListener("scroll", () => {
      const { scrollTop, clientHeight, scrollHeight } = this.scroller;
      if (scrollTop + clientHeight > scrollHeight - AHEAD) this.#grow();
    });
    this.observer = observeNear(this.scroller, AHEAD, (list, isNear) => this.#showBlock(list, isNear));
    /** @type {import("./model.js").Listeners} */
    this.listeners = [
      ["msg:custom", (message, buffers) => this.#receive(message, buffers)],
      ["change:selection", () => this.#drawTicks()],
      ["change:among", () => this.#drawTicks()],
    ];
  }

  /** All cards, in order. */
  get cards() {
    return [...this.#first, ...this.#blocks.flatMap(block => block.cards)];
  }

  get #rows() {
    return this.cards.map(card => card.hit.row);
  }

  close() {
    this.observer.disconnect();
  }

  /** Draw the first hits of a query. @param {Shown} shown */
  draw(shown) {
    while (this.#first.length < shown.hits.length) this.#first.push(new Card(this, this.kind));
    for (const unused of this.#first.splice(shown.hits.length)) unused.item.remove();
    shown.hits.forEach((hit, i) => {
      const card = this.#first[i];
      card.fill(hit);
      if (!card.item.isConnected) this.list.append(card.item);
    });
    this.observer.disconnect();
    this.#blocks = [];
    this.further.replaceChildren();
    this.scroller.scrollTop = 0;
    this.#paging.reset(shown.hits.length, shown.is_all);
    this.more.hidden = shown.is_all;
    this.unlike.hidden = !shown.unlike;
    this.changes.textContent = shown.changes;
    this.#drawTicks();
  }

  /** Tick or untick a card; with Shift also the cards from the last ticked one. @param {Card} card @param {boolean} isOn @param {boolean} isRange */
  tick({ hit: { row } }, isOn, isRange) {
    const from = isRange ? (this.#lastTicked ?? -1) : row;
    this.#lastTicked = row;
    this.#select(tickRange(this.model.get("selection"), this.#rows, { row, from, isOn }));
  }

  /** @param {number[]} selection */
  #select(selection) {
    change(this.model, { selection });
  }

  /** Search only the ticked hits, or all again. */
  #restrict() {
    const { model } = this;
    change(model, { among: model.get("among").length ? [] : model.get("selection") });
  }

  #drawTicks() {
    const ticked = new Set(this.model.get("selection"));
    for (const card of this.cards) card.drawTick(ticked.has(card.hit.row));
    this.number.textContent = ticked.size ? `${ticked.size} ticked. Export:` : "";
    for (const control of [this.none, ...this.exports]) control.hidden = !ticked.size;
    const among = this.model.get("among").length;
    this.among.hidden = !ticked.size && !among;
    this.among.textContent = among ? `Search all, not only ${among.toLocaleString("en")}` : "Search only these";
    this.all.hidden = this.#rows.length > 0 && areAllTicked(ticked, this.#rows);
  }

  /** Request a block. It is no action of the user, so it ends no refusal. @param {number} start */
  #request(start) {
    send(this.model, { do: "more", number: this.model.get("shown").number, start });
  }

  #grow() {
    const start = this.#paging.requestNext();
    if (start !== null) this.#request(start);
  }

  /** @param {Element} list @param {boolean} isNear */
  #showBlock(list, isNear) {
    const block = this.#blocks.find(one => one.list === list);
    if (!block || isNear === block.cards.length > 0) return;
    if (isNear) this.#request(block.start);
    else if (!list.contains(document.activeElement)) {
      emptyList(block.list);
      block.cards = [];
    }
  }

  /** @param {MoreHits} message @param {DataView[]} buffers */
  #addBlock(message, buffers) {
    const arrival = this.#paging.receive(message.start, message.hits.length, message.is_all);
    if (arrival === "unexpected") return;
    this.more.hidden = this.#paging.isAll;
    if (arrival === "empty") return;
    if (arrival === "new") {
      const label = `Hits ${message.start + 1} to ${message.start + message.hits.length}`;
      const list = h("ul", { class: "similar-images-hits", "aria-label": label });
      this.#blocks.push({ start: message.start, cards: [], list });
      this.further.append(list);
      this.observer.observe(list);
    }
    const block = this.#blocks.find(one => one.start === message.start);
    if (block && !block.cards.length) {
      block.cards = message.hits.map(hit => {
        const card = new Card(this, this.kind);
        card.fill(hit);
        return card;
      });
      block.list.replaceChildren(...block.cards.map(card => card.item));
      block.list.style.height = "";
    }
    this.#addPictures(message, buffers);
    this.#drawTicks();
  }

  /** @param {Pictures | MoreHits} message @param {DataView[]} buffers */
  #addPictures(message, buffers) {
    drawPictures(message, buffers, (row, picture) => {
      for (const card of this.cards) if (card.hit.row === row) card.drawPicture(picture);
    });
  }

  /** @param {MoreHits | Pictures} message @param {DataView[]} buffers */
  #receive(message, buffers) {
    if (message.number !== this.model.get("shown").number) return;
    if (message.show === "more") this.#addBlock(message, buffers);
    else if (message.show === "pictures") this.#addPictures(message, buffers);
  }
}
