// Status of background work: progress, a sentence, a failure, and the button that starts offered work.

import { button, h } from "./dom.js";
import { send } from "./model.js";

/** @import { Model, Status } from "./messages.js" */

export class StatusLine {
  /** @param {Model<any>} model @param {HTMLElement} root @param {{ offersStart?: boolean }} [options] whether work may wait for a click */
  constructor(model, root, { offersStart = true } = {}) {
    this.root = root;
    this.progress = h("progress", { hidden: true, "aria-label": "Working" });
    this.text = h("span", { role: "status" });
    this.start = button("Begin", () => send(model, { do: "begin" }), { hidden: true });
    this.failure = h("p", { class: "failure", hidden: true });
    this.parts = [
      h("p", { class: "status" }, this.progress, this.text, ...(offersStart ? [this.start] : [])),
      this.failure,
    ];
  }

  /**
   * @param {Status} status
   * @param {{ text?: string, failure?: string }} [shown] sentences to show instead of the status
   */
  draw({ kind, text, share }, shown = {}) {
    this.progress.hidden = kind !== "busy";
    this.start.hidden = kind !== "offer";
    if (share === undefined) this.progress.removeAttribute("value");
    else this.progress.value = share;
    const calm = shown.text ?? (kind === "failure" ? "" : text);
    const failure = shown.failure ?? (kind === "failure" ? text : "");
    // An unchanged text is not set again: a screen reader would repeat it.
    if (this.text.textContent !== calm) this.text.textContent = calm;
    if (this.failure.textContent !== failure) this.failure.textContent = failure;
    this.failure.hidden = !failure;
    if (failure) this.failure.setAttribute("role", "alert");
    else this.failure.removeAttribute("role");
    this.root.setAttribute("aria-busy", String(kind === "busy"));
  }
}
