// Page of a gallery: history, settings and status. Traits arrive with the model, requests return as messages.

import { button, consume, createRoot, h } from "./dom.js";
import { saveFile } from "./files.js";
import { stepsOfKey } from "./history.js";
import { change, listen, send } from "./model.js";
import { StatusLine } from "./status.js";

/** @import { ExportedFile, Model, Request, SearchTraits, Shown } from "./messages.js" */
/** @import { Listeners } from "./model.js" */

export const MAX_HITS = 200;

/** @template {SearchTraits} [Traits=SearchTraits] */
export class SearchPage {
  /** A refusal of the page itself, until the next action. */
  #refusal = "";
  /** The status of the last successful search. */
  #done = "";

  /**
   * @param {{ model: Model<Traits>, el: HTMLElement, label: string, random: string }} options `random`: label of its button
   */
  constructor({ model, el, label, random }) {
    this.model = model;
    this.root = createRoot(el, label);
    const back = { title: "Alt+Left", onclick: () => this.ask({ do: "go", steps: -1 }) };
    const forward = { title: "Alt+Right", onclick: () => this.ask({ do: "go", steps: 1 }) };
    this.back = h("button", { type: "button", ...back }, "←", h("span", {}, " Back"));
    this.forward = h("button", { type: "button", ...forward }, h("span", {}, "Forward "), "→");
    this.moves = [this.back, this.forward, button(random, () => this.ask({ do: "random" }))];
    this.count = h("input", { type: "number", min: 1, max: MAX_HITS, onchange: () => this.#setCount() });
    this.exact = h("input", { type: "checkbox", onchange: () => this.set({ exact: this.exact.checked }) });
    const hint = "Compare with every item of the collection, and show which hits change";
    this.offered = h("label", { title: hint }, this.exact, "Exact search");
    this.settings = [h("label", {}, "Hits", this.count), this.offered];
    this.line = new StatusLine(model, this.root, { offersStart: false });
    this.caveat = h("p", { class: "caveat" });
    this.statusParts = [...this.line.parts, this.caveat];
    this.root.addEventListener("keydown", event => this.#goByKey(event));
  }

  /** Send a request of the user, which ends a refusal. @param {Request} request */
  ask(request) {
    this.accept();
    send(this.model, request);
  }

  /** Set traits for the user. @param {Partial<SearchTraits> | Partial<Traits>} values */
  set(values) {
    this.accept();
    change(this.model, /** @type {Partial<Traits>} */ (values));
  }

  /** Show a refusal until the user's next action; answers of Python do not end it. @param {string} text */
  refuse(text) {
    this.#refusal = text;
    this.#drawStatus();
  }

  /** End a refusal. */
  accept() {
    if (this.#refusal) this.refuse("");
  }

  /**
   * Draw now and on every change; return the function that ends it.
   * @param {(shown: Shown) => void} draw
   * @param {Listeners} more
   * @param {() => void} end
   */
  start(draw, more, end) {
    const drawShown = () => this.#drawShown(draw);
    const receive = (/** @type {ExportedFile} */ message, /** @type {DataView<ArrayBuffer>[]} */ buffers) => {
      if (message.show === "file") saveFile(message.name, buffers[0], message.type);
    };
    const stop = listen(this.model, [
      ["change:shown", drawShown],
      ["change:status", () => this.#drawStatus()],
      ["msg:custom", receive],
      ...["k", "exact", "caveat"].map(
        name => /** @type {Listeners[0]} */ ([`change:${name}`, () => this.#drawSettings()]),
      ),
      ...more,
    ]);
    this.#drawSettings();
    this.#drawStatus();
    drawShown();
    return () => {
      stop();
      end();
    };
  }

  /** @param {(shown: Shown) => void} draw */
  #drawShown(draw) {
    const shown = this.model.get("shown");
    if (!shown.query) return;
    this.back.disabled = !shown.back;
    this.forward.disabled = !shown.forward;
    draw(shown);
    this.root.dataset.number = String(shown.number);
  }

  /** Set the number of hits; an impossible number becomes the nearest possible one, with a message. */
  #setCount() {
    const [least, most] = [Number(this.count.min), Number(this.count.max)];
    const k = Math.min(Math.max(Math.round(Number(this.count.value)) || least, least), most);
    const isPossible = String(k) === this.count.value.trim();
    this.count.value = String(k);
    this.set({ k });
    if (!isPossible) this.refuse(`Hits: expected a number from ${least} to ${most}, using ${k}.`);
  }

  #drawSettings() {
    this.count.value = String(this.model.get("k"));
    this.exact.checked = this.model.get("exact");
    this.offered.hidden = !this.model.get("offers_exact");
    this.caveat.textContent = this.model.get("caveat");
    this.caveat.hidden = !this.model.get("caveat");
  }

  #drawStatus() {
    const status = this.model.get("status");
    if (status.kind === "done") this.#done = status.text;
    const isFailure = status.kind === "failure";
    this.line.draw(status, {
      text: isFailure ? this.#done : status.text,
      failure: this.#refusal || (isFailure ? status.text : ""),
    });
  }

  /** @param {KeyboardEvent} event */
  #goByKey(event) {
    const steps = stepsOfKey(event);
    if (!steps) return;
    consume(event); // otherwise the browser leaves the notebook
    this.ask({ do: "go", steps });
  }
}
