// Dialogs of the galleries: a whole text, and a hit in full or beside the query with heat maps.

import { button, h, uniqueId } from "./dom.js";
import { copyText, saveFile } from "./files.js";

/** @import { Explanation, Hit, Original } from "./messages.js" */
/** @import { SearchPage } from "./search.js" */

/** Return a dialog with a title and its form. @param {HTMLElement} title @param {HTMLElement} content @param {Record<string, any>} attributes @param {...Node} controls */
export function createDialog(title, content, attributes, ...controls) {
  title.id = uniqueId("dialog");
  const form = h("form", { method: "dialog" }, ...controls, h("button", { autofocus: true }, "Close"));
  return h("dialog", { "aria-labelledby": title.id, ...attributes }, title, content, form);
}

const STEPS = /** @type {const} */ ([
  ["ArrowLeft", "←", "Previous"],
  ["ArrowRight", "→", "Next"],
]);

/** An opened hit. Arrow keys lead to the previous and next hit. */
export class HitDialog {
  /** The shown message. @type {{ show: "original" | "why", row: number, name: string } | null} */
  #shown = null;

  /** @param {SearchPage} page @param {() => Hit[]} listHits */
  constructor(page, listHits) {
    this.page = page;
    this.listHits = listHits;
    this.pictures = h("div", { class: "similar-images-pair" }); // the query's first, if two are compared
    this.status = h("span", { role: "status" });
    this.title = h("p");
    this.save = h("button", { type: "button" }, "Save");
    this.steps = STEPS.map(([key, sign, label]) =>
      button(sign, () => this.step(key), { "aria-label": `${label} hit`, title: `${label} hit (${sign})` }),
    );
    this.other = button("", () => {
      if (this.#shown) page.ask({ do: this.#shown.show === "why" ? "original" : "why", row: this.#shown.row });
    });
    const copy = button("Copy name", () => copyText(this.#shown?.name ?? "", this.dialog));
    const listeners = {
      onclose: () => this.clear(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (!event.altKey) this.step(event.key);
      },
    };
    const controls = [this.status, ...this.steps, this.other, copy, this.save];
    this.dialog = createDialog(this.title, this.pictures, listeners, ...controls);
    /** @type {import("./model.js").Listeners} */
    this.listeners = [
      ["msg:custom", (message, buffers) => this.receive(message, buffers)],
      ["change:status", () => this.drawStatus()],
    ];
  }

  /** Free the pictures. */
  clear() {
    for (const img of this.pictures.querySelectorAll("img")) URL.revokeObjectURL(img.src);
    this.pictures.replaceChildren();
  }

  /** Return the hit before the opened one, or after it. @param {string} key */
  findHit(key) {
    const all = this.listHits();
    const at = all.findIndex(hit => hit.row === this.#shown?.row);
    return all[at + (key === "ArrowLeft" ? -1 : 1)];
  }

  /** @param {string} key */
  step(key) {
    const hit = ["ArrowLeft", "ArrowRight"].includes(key) ? this.findHit(key) : undefined;
    if (hit && this.#shown) this.page.ask({ do: this.#shown.show, row: hit.row });
  }

  /** @param {Required<Original> | Explanation} message @param {DataView<ArrayBuffer>[]} buffers */
  receive(message, buffers) {
    const isCurrent = message.show === "why" && message.number === this.page.model.get("shown").number;
    if (!isCurrent && message.show !== "original") return;
    this.#shown = message;
    this.steps.forEach((step, i) => {
      step.disabled = !this.findHit(STEPS[i][0]);
    });
    const isWhy = message.show === "why";
    this.title.textContent = isWhy ? `${message.name}: ${message.says}` : `${message.name}, ${message.size}`;
    this.other.textContent = isWhy ? "Open" : "Why similar";
    this.clear();
    const alts = isWhy ? message.alts : [message.name];
    // Megabytes: too large for data: URLs.
    this.pictures.append(...alts.map((alt, i) => h("img", { alt, src: URL.createObjectURL(new Blob([buffers[i]])) })));
    this.save.hidden = isWhy;
    this.save.onclick = event => {
      event.preventDefault();
      saveFile(message.name.split("/").pop() ?? "", buffers[0], "");
    };
    if (!this.dialog.open) this.dialog.showModal();
    this.drawStatus();
  }

  /** Show progress and failures in the dialog, which covers the page. */
  drawStatus() {
    const { kind, text } = this.page.model.get("status");
    this.status.textContent = ["busy", "failure"].includes(kind) ? text : "";
  }
}
