// Gallery of texts: a box that searches after a pause in typing, and hits with the words they share.

import { createDialog } from "./dialog.js";
import { h } from "./dom.js";
import { Filters } from "./filters.js";
import { TypedText } from "./history.js";
import { HitList } from "./hits.js";
import { Marks } from "./marks.js";
import { SearchPage } from "./search.js";

/** @import { RenderProps } from "@anywidget/types" */
/** @import { Card } from "./card.js" */
/** @import { Hit, Original, Shown, TextGalleryTraits } from "./messages.js" */

const PAUSE_MILLISECONDS = 300; // without a key until a text is searched for

class TextGalleryPage {
  #typed = new TypedText();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {RenderProps<TextGalleryTraits>} props */
  constructor({ model, el }) {
    this.model = model;
    this.page = new SearchPage({ model, el, label: "Similar texts", random: "Random text" });
    const build = (/** @type {Card} */ card) => this.#buildCard(card);
    this.hits = new HitList(this.page, { copied: "text", build, fill: fillCard }, [["csv", "Texts (CSV)"]]);
    this.hits.section.classList.add("similar-images-texts");
    this.filters = new Filters(this.page);
    this.marks = new Marks(this.page, (button, mark) => button.append(mark.name));
    this.box = h("textarea", {
      rows: 2,
      dir: "auto",
      maxlength: model.get("characters"),
      "aria-label": "Search for",
      placeholder: "Type what to search for",
      oninput: () => this.#wait(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#useKey(event),
    });
    this.whole = h("p", { class: "similar-images-whole", dir: "auto", tabindex: 0 });
    this.dialog = createDialog(h("p", {}, "The whole text"), this.whole, {});
    const { moves, settings, statusParts, root } = this.page;
    const controls = h("div", { class: "similar-images-controls" }, ...moves, ...settings);
    const parts = [this.filters.part, ...statusParts, ...this.marks.parts, this.hits.section, this.dialog];
    root.append(controls, this.box, ...parts);
    for (const move of moves) move.addEventListener("click", () => this.#forget());
    root.addEventListener("keydown", event => {
      if (event.altKey) this.#forget();
    });
  }

  start() {
    const { hits, filters } = this;
    return this.page.start(
      shown => this.#draw(shown),
      [["msg:custom", message => this.#open(message)], ...hits.listeners, ...filters.listeners],
      () => {
        clearTimeout(this.#timer);
        hits.close();
      },
    );
  }

  /** @param {Card} card */
  #buildCard(card) {
    const number = h("b");
    const fill = h("div");
    const bar = h("div", { class: "bar", "aria-hidden": "true" }, fill);
    const onclick = () => {
      this.#forget();
      this.page.ask({ do: "row", row: card.hit.row });
    };
    card.button = h("button", { type: "button", class: "text", dir: "auto", title: "Search by it", onclick });
    card.parts = { number, fill };
    card.item.append(h("div", { class: "measure" }, number, bar, card.meaning), card.button, card.tools);
  }

  /** Show the query in the box, unless it contains a newer text. @param {Shown} shown */
  #draw(shown) {
    this.marks.draw(shown);
    this.hits.draw(shown);
    if (this.#typed.accepts(shown.query.name, this.box.value)) this.box.value = shown.query.name;
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#typed.isTyping = true;
    this.#timer = setTimeout(() => this.#search(true), PAUSE_MILLISECONDS);
  }

  /** @param {boolean} provisional */
  #search(provisional) {
    clearTimeout(this.#timer);
    const text = this.#typed.submit(this.box.value, provisional, this.model.get("shown").query?.name);
    if (text !== null) this.page.ask({ do: "text", text, provisional });
  }

  /** @param {KeyboardEvent} event */
  #useKey(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#search(false);
  }

  /** Forget the typed text: a query from elsewhere replaces it. */
  #forget() {
    clearTimeout(this.#timer);
    this.#typed.forget();
  }

  /** @param {Original} message */
  #open(message) {
    if (message.show !== "original") return;
    this.whole.textContent = message.text ?? "";
    this.dialog.showModal();
  }
}

/** @param {Card} card @param {Hit} hit */
function fillCard(card, hit) {
  card.parts.number.textContent = hit.similarity.toFixed(2);
  card.parts.fill.style.width = `${100 * Math.max(0, Math.min(1, hit.similarity))}%`;
  const pieces = hit.pieces ?? [];
  card.button.replaceChildren(...pieces.map(([text, matches]) => (matches ? h("mark", {}, text) : text)));
  card.open.hidden = !hit.is_cut;
}

export default {
  /** @param {RenderProps<TextGalleryTraits>} props */
  render: props => new TextGalleryPage(props).start(),
};
