// Gallery of images: uploads, names and addresses, the query and its hits.

import { HitDialog } from "./dialog.js";
import { button, cutName, h, setPicture, setShape, uniqueId } from "./dom.js";
import { Filters } from "./filters.js";
import { HitList } from "./hits.js";
import { Marks } from "./marks.js";
import { send } from "./model.js";
import { PicturePlace } from "./pictures.js";
import { QueryFigure } from "./query.js";
import { SearchPage } from "./search.js";
import { Uploads } from "./uploads.js";

/** @import { RenderProps } from "@anywidget/types" */
/** @import { Card } from "./card.js" */
/** @import { GalleryTraits, Hit, Mark, Names, Picture, Shown } from "./messages.js" */

const TYPING_MILLISECONDS = 200; // without a key until names are proposed
const CARD_PIXELS = 160; // width of a card, about
const SMALL_SIDE = 320; // pixels, of the smaller thumbnails

class GalleryPage {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typing;

  /** @param {RenderProps<GalleryTraits>} props */
  constructor({ model, el }) {
    this.model = model;
    this.page = new SearchPage({ model, el, label: "Similar images", random: "Random image" });
    const kind = {
      copied: "name",
      build: (/** @type {Card} */ card) => this.#buildCard(card),
      fill: fillCard,
      drawPicture,
    };
    this.hits = new HitList(this.page, kind, [
      ["csv", "Names (CSV)"],
      ["png", "Contact sheet (PNG)"],
      ["html", "Contact sheet (HTML)"],
    ]);
    this.marks = new Marks(this.page, fillMark);
    this.filters = new Filters(this.page);
    this.query = new QueryFigure(this.page, this.marks.parts);
    this.dialog = new HitDialog(this.page, () => this.hits.cards.map(card => card.hit));
    this.uploads = new Uploads(this.page, link => {
      this.address.value = link;
      this.#searchTyped();
    });
    this.names = h("datalist", { id: uniqueId("names") });
    this.address = this.#createAddress();
    this.#append();
  }

  #createAddress() {
    const readsWords = this.model.get("reads_words");
    return h("input", {
      type: "text",
      inputmode: readsWords ? "text" : "url",
      list: this.names.id,
      oninput: () => this.#proposeNames(),
      placeholder: readsWords ? "Words, a name, or https://…" : "Name, or https://…",
      title: readsWords ? "With + or - before them, words are added to the query" : "",
      "aria-label": readsWords ? "Words, name or web address" : "Name or web address",
    });
  }

  #append() {
    const { page } = this;
    const onchange = () => {
      const files = [...(file.files ?? [])];
      file.value = "";
      this.uploads.upload(files);
    };
    const file = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true, onchange });
    const hint = "With several images, hits are like all of them";
    const choose = button("Upload image", () => file.click(), { title: hint });
    const onsubmit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this.#searchTyped();
    };
    const form = h("form", { onsubmit }, this.address, this.names, h("button", {}, "Search"));
    const controls = [...page.moves, choose, file, form, ...page.settings, this.filters.part];
    page.root.append(
      h("div", { class: "similar-images-controls" }, ...controls),
      ...page.statusParts,
      h("div", { class: "similar-images-answer" }, this.query.figure, this.hits.section),
      this.dialog.dialog,
    );
  }

  start() {
    this.#requestSide();
    const { hits, filters, dialog } = this;
    return this.page.start(
      shown => this.#draw(shown),
      [
        ["change:late", () => this.#drawLate()],
        ["msg:custom", message => this.#showNames(message)],
        ...hits.listeners,
        ...filters.listeners,
        ...dialog.listeners,
      ],
      () => {
        dialog.clear();
        hits.close();
        clearTimeout(this.#typing);
      },
    );
  }

  /** Request larger thumbnails for a dense screen. */
  #requestSide() {
    const width = Math.ceil(CARD_PIXELS * window.devicePixelRatio);
    if (width > SMALL_SIDE !== this.model.get("side") > SMALL_SIDE) this.page.set({ side: width });
  }

  /** @param {Card} card */
  #buildCard(card) {
    const place = new PicturePlace({ onload: () => setShape(card.item, place.img) });
    const name = h("div", { class: "name" });
    const search = () => this.page.ask({ do: "row", row: card.hit.row });
    const explain = () => this.page.ask({ do: "why", row: card.hit.row });
    const why = button("Why", explain, { title: "Why similar (w)" });
    card.button = h("button", { type: "button", class: "picture", onclick: search }, ...place.parts);
    card.tools.insertBefore(why, card.copy);
    card.parts = { place, name, why };
    card.item.append(card.button, card.ticker, card.tools, name, card.meaning);
  }

  /** @param {Shown} shown */
  #draw(shown) {
    this.query.draw(shown.query);
    this.marks.draw(shown);
    this.hits.draw(shown);
    this.#drawLate();
  }

  /** Draw the pictures made after the hits were sent. */
  #drawLate() {
    const [number, ...made] = this.model.get("late");
    const shown = this.model.get("shown");
    if (number !== shown.number) return;
    for (const one of made) {
      for (const card of this.hits.cards) if (card.hit.row === one.row) card.drawPicture(one);
      if (shown.query.row === one.row && !shown.query.picture) this.query.place.draw(one);
      for (const mark of [...shown.positives, ...shown.negatives]) if (mark.row === one.row) mark.picture = one.picture;
    }
    if (made.length) this.marks.draw(shown);
  }

  #searchTyped() {
    this.page.ask({ do: "address", address: this.address.value });
  }

  #proposeNames() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => {
      const text = this.address.value;
      if (!text.includes("://")) send(this.model, { do: "names", text });
    }, TYPING_MILLISECONDS);
  }

  /** @param {Names} message */
  #showNames(message) {
    if (message.show === "names")
      this.names.replaceChildren(...message.names.map(name => h("option", { value: name })));
  }
}

/** @param {Card} card @param {Hit} hit */
function fillCard(card, hit) {
  const similarity = hit.similarity.toFixed(2);
  card.parts.name.replaceChildren(h("b", {}, similarity), cutName(hit.name));
  card.parts.name.title = hit.name;
  card.button.setAttribute("aria-label", `Search by ${hit.name}, similarity ${similarity}`);
  card.button.setAttribute("aria-keyshortcuts", "+ - x o w");
  card.parts.why.setAttribute("aria-label", `Why ${hit.name} is similar`);
}

/** @param {Card} card @param {Picture} picture */
function drawPicture(card, picture) {
  card.parts.place.draw(picture);
  card.parts.place.img.alt = card.hit.name;
}

/** @param {HTMLElement} button @param {Mark} mark */
function fillMark(button, mark) {
  const img = h("img", { alt: "" });
  setPicture(img, mark.picture);
  button.append(mark.picture ? img : h("span", { class: "absent" }, mark.name.split("/").pop() ?? ""));
}

export default {
  /** @param {RenderProps<GalleryTraits>} props */
  render: props => new GalleryPage(props).start(),
};
