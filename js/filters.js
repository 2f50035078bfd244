// Filters: a field for each column, requested when the row of filters is first opened.

import { button, h } from "./dom.js";
import { send } from "./model.js";

/** @import { Condition, Filter, Model, SearchTraits } from "./messages.js" */
/** @import { SearchPage } from "./search.js" */
/** @typedef {{ column: string, inputs: (HTMLInputElement | HTMLSelectElement)[], label: HTMLElement, read: () => Condition }} Field */

export class Filters {
  /** @type {Field[]} */
  #fields = [];

  /** @param {SearchPage<any>} page */
  constructor(page) {
    this.page = page;
    this.model = /** @type {Model<SearchTraits>} */ (page.model);
    this.row = h("div", { class: "similar-images-controls" });
    this.none = button("Clear filters", () => page.ask({ do: "where", where: {} }));
    this.reading = h("span", { role: "status" });
    const ontoggle = () => {
      if (this.part.open && !this.model.get("filters").length) send(this.model, { do: "filters" });
    };
    const summary = h("summary", {}, "Filter");
    this.part = h("details", { class: "similar-images-filters", ontoggle }, summary, this.row, this.reading);
    /** @type {import("./model.js").Listeners} */
    this.listeners = [
      ["change:filters", () => this.#drawFields()],
      ["change:where", () => this.#drawValues()],
      ["change:reading", () => this.#drawReading()],
    ];
    this.#drawFields();
    this.#drawReading();
  }

  #search() {
    const where = Object.fromEntries(this.#fields.map(({ column, read }) => [column, read()]));
    this.page.ask({ do: "where", where });
  }

  /** @param {Filter} filter @returns {Field} */
  #createField({ column, kind, texts = [], ends = [] }) {
    const onchange = () => this.#search();
    if (kind === "text") {
      const options = texts.map(text => h("option", { value: text }, text));
      const list = h("select", { onchange }, h("option", { value: "" }, "any"), ...options);
      return { column, inputs: [list], label: h("label", {}, column, list), read: () => list.value };
    }
    if (kind === "part") {
      const text = h("input", { type: "search", placeholder: "part of it", onchange });
      return { column, inputs: [text], label: h("label", {}, column, text), read: () => text.value };
    }
    const range = { type: kind, step: "any", min: ends[0], max: ends[1], onchange };
    const [low, high] = ["from", "to"].map(end =>
      h("input", { ...range, placeholder: end, "aria-label": `${column} ${end}` }),
    );
    const label = h("span", { class: "range" }, `${column} `, low, " to ", high);
    return { column, inputs: [low, high], label, read: () => [readValue(low, kind), readValue(high, kind)] };
  }

  #drawFields() {
    this.#fields = this.model.get("filters").map(filter => this.#createField(filter));
    this.row.replaceChildren(...this.#fields.map(({ label }) => label), this.none);
    this.#drawValues();
  }

  #drawValues() {
    const where = this.model.get("where");
    for (const { column, inputs } of this.#fields) {
      const value = where[column];
      inputs.forEach((input, i) => {
        const shown = Array.isArray(value) ? value[i] : inputs.length > 1 ? undefined : value;
        input.value = String(shown ?? "");
      });
    }
    const isFiltered = Object.keys(where).length > 0;
    this.part.classList.toggle("chosen", isFiltered);
    this.none.disabled = !isFiltered;
  }

  #drawReading() {
    this.reading.textContent = this.model.get("reading");
  }
}

/** Return an end of a range. A whole number that JavaScript cannot represent stays text. @param {HTMLInputElement} input @param {string} kind */
function readValue({ value }, kind) {
  if (value === "") return null;
  const isExact = Number.isSafeInteger(Number(value)) || !/^-?\d+$/.test(value);
  return kind === "number" && isExact ? Number(value) : value;
}
