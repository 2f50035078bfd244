// Marked items: hits are like the positives and unlike the negatives.

import { button, h } from "./dom.js";
import { change } from "./model.js";

/** @import { Mark, Shown } from "./messages.js" */
/** @import { SearchPage } from "./search.js" */

const SIDES = /** @type {const} */ ([
  ["positives", "More like these", "+"],
  ["negatives", "Less like these", "−"],
]);

export class Marks {
  /** @param {SearchPage<any>} page @param {(button: HTMLElement, mark: Mark) => void} fill adds the content of a mark's button */
  constructor(page, fill) {
    this.page = page;
    this.fill = fill;
    this.lists = SIDES.map(([name, label, sign]) => {
      const list = h("ul", { "aria-label": label });
      const bold = h("b", { "aria-hidden": "true" }, sign);
      return { name, list, part: h("div", { class: "similar-images-marks", hidden: true }, bold, list) };
    });
    this.none = button("Clear marks", () => change(page.model, { positives: [], negatives: [] }), { hidden: true });
    this.parts = [...this.lists.map(({ part }) => part), this.none];
  }

  /** @param {Shown} shown */
  draw(shown) {
    for (const { name, list, part } of this.lists) {
      part.hidden = !shown[name].length;
      list.replaceChildren(...shown[name].map((mark, at) => this.#createItem(name, mark, at)));
    }
    this.none.hidden = ![...shown.positives, ...shown.negatives].some(mark => mark.row !== null);
  }

  /** @param {string} name @param {Mark} mark @param {number} at */
  #createItem(name, mark, at) {
    const label = `Unmark ${mark.name}`;
    const onclick = () => this.page.ask({ do: "unmark", name, at });
    const remove = h("button", { type: "button", title: label, "aria-label": label, onclick });
    this.fill(remove, mark);
    return h("li", {}, remove);
  }
}
