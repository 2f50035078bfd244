// Overview: a row of pictures for each group. Pictures are requested near the visible part, and dropped far from it.

import { button, consume, createRoot, cutName, emptyList, findNeighbour, h, observeNear, setShape } from "./dom.js";
import { change, listen, send } from "./model.js";
import { drawPictures, PicturePlace } from "./pictures.js";
import { areAllTicked, toggleRow } from "./selection.js";
import { StatusLine } from "./status.js";

/** @import { RenderProps } from "@anywidget/types" */
/** @import { Group, OverviewTraits, Pictures } from "./messages.js" */
/** @typedef {{ row: number, item: HTMLElement, place: PicturePlace, button: HTMLElement, tick: HTMLInputElement }} GroupCard */
/** @typedef {{ group: Group, section: HTMLElement, list: HTMLElement, all: HTMLElement, cards: GroupCard[] }} Row */

const AHEAD = 800; // pixels

class OverviewPage {
  /** @type {Row[]} */
  #rows = [];

  /** @param {RenderProps<OverviewTraits>} props */
  constructor({ model, el }) {
    this.model = model;
    this.root = createRoot(el, "Overview");
    this.line = new StatusLine(model, this.root);
    const onkeydown = (/** @type {KeyboardEvent} */ event) => this.#useKey(event);
    this.scroller = h("div", { class: "similar-images-scroller", onkeydown });
    this.root.append(...this.line.parts, this.scroller);
    this.observer = observeNear(this.scroller, AHEAD, (section, isNear) => this.#showRow(section, isNear));
  }

  start() {
    const stop = listen(this.model, [
      ["change:groups", () => this.#drawGroups()],
      ["change:status", () => this.#drawStatus()],
      ["change:selection", () => this.#drawTicks()],
      ["msg:custom", (message, buffers) => this.#receive(message, buffers)],
    ]);
    this.#drawGroups();
    this.#drawStatus();
    return () => {
      stop();
      this.observer.disconnect();
    };
  }

  get #cards() {
    return this.#rows.flatMap(row => row.cards);
  }

  /** @param {KeyboardEvent} event */
  #useKey(event) {
    const buttons = this.#cards.map(card => card.button);
    const item = event.target instanceof Element ? event.target.closest("li") : null;
    const from = this.#cards.find(card => card.item === item);
    const next = from && !event.altKey && findNeighbour(buttons, from.button, event.key);
    if (!next) return;
    consume(event);
    next.focus();
  }

  #drawStatus() {
    this.line.draw(this.model.get("status"));
  }

  #drawGroups() {
    this.observer.disconnect();
    this.#rows = this.model.get("groups").map((group, at) => this.#createRow(group, at));
    this.scroller.replaceChildren(...this.#rows.map(({ section }) => section));
    for (const { section } of this.#rows) this.observer.observe(section);
  }

  /** @param {Group} group @param {number} at @returns {Row} */
  #createRow(group, at) {
    const list = h("ul", { class: "similar-images-hits", "aria-label": group.title });
    const tick = () => send(this.model, { do: "tick", group: at, on: !this.#isTicked(group) });
    const all = button("Tick all", tick);
    const note = h("span", {}, group.note || `${group.count.toLocaleString("en")} images`);
    const bar = h("div", { class: "similar-images-ticked" }, h("h3", {}, group.title), note, all);
    const section = h("section", { class: "similar-images-group", "aria-label": group.title }, bar, list);
    return { group, section, list, all, cards: [] };
  }

  /** @param {Element} section @param {boolean} isNear */
  #showRow(section, isNear) {
    const row = this.#rows.find(one => one.section === section);
    if (!row || isNear === row.cards.length > 0) return;
    if (isNear) {
      row.cards = row.group.images.map(image => this.#createCard(image));
      row.list.replaceChildren(...row.cards.map(card => card.item));
      row.list.style.height = "";
      send(this.model, { do: "pictures", rows: row.group.images.map(image => image.row) });
      this.#drawTicks();
    } else if (!section.contains(document.activeElement)) {
      emptyList(row.list);
      row.cards = [];
    }
  }

  /** @param {{ row: number, name: string }} image @returns {GroupCard} */
  #createCard({ row, name }) {
    const place = new PicturePlace({ alt: name, onload: () => setShape(item, place.img) });
    const onchange = () => change(this.model, { selection: toggleRow(this.model.get("selection"), row) });
    const tick = h("input", { type: "checkbox", "aria-label": `Tick ${name}`, onchange });
    const attributes = {
      type: "button",
      class: "picture",
      "aria-label": `Search by ${name}`,
      onclick: () => send(this.model, { do: "row", row }),
    };
    const search = h("button", attributes, ...place.parts);
    const ticker = h("label", { class: "ticker" }, tick);
    const label = h("div", { class: "name", title: name }, cutName(name));
    const item = h("li", { class: "similar-images-card", "data-row": row }, search, ticker, label);
    return { row, item, place, button: search, tick };
  }

  /** @param {Group} group */
  #isTicked(group) {
    return areAllTicked(
      this.model.get("selection"),
      group.images.map(({ row }) => row),
    );
  }

  #drawTicks() {
    const ticked = new Set(this.model.get("selection"));
    for (const { row, item, tick } of this.#cards) {
      tick.checked = ticked.has(row);
      item.classList.toggle("ticked", tick.checked);
    }
    for (const { group, all } of this.#rows) all.textContent = this.#isTicked(group) ? "Untick all" : "Tick all";
  }

  /** @param {Pictures} message @param {DataView[]} buffers */
  #receive(message, buffers) {
    if (message.show !== "pictures") return;
    drawPictures(message, buffers, (row, picture) => {
      for (const card of this.#cards) if (card.row === row) card.place.draw(picture);
    });
  }
}

export default {
  /** @param {RenderProps<OverviewTraits>} props */
  render: props => new OverviewPage(props).start(),
};
