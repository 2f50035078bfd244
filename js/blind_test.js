// Blind test: two lists side by side, a vote by click or key.

import { button, consume, createRoot, h, hasModifier } from "./dom.js";
import { listen, send } from "./model.js";
import { PicturePlace } from "./pictures.js";

/** @import { RenderProps } from "@anywidget/types" */
/** @import { BlindTestTraits, VotedPicture } from "./messages.js" */

const VOTES = /** @type {[vote: string, label: string, keys: string[]][]} */ ([
  ["left", "Left is better", ["1", "ArrowLeft"]],
  ["tie", "Tie", ["t"]],
  ["neither", "Neither", ["n"]],
  ["right", "Right is better", ["2", "ArrowRight"]],
]);
const QUERY_LABEL = "The query. Keys: 1 or left arrow, 2 or right arrow, t, n";

class BlindTestPage {
  /** @param {RenderProps<BlindTestTraits>} props */
  constructor({ model, el }) {
    this.model = model;
    this.root = createRoot(el, "Blind test");
    this.progress = h("progress", { "aria-label": "Votes" });
    this.count = h("span", { role: "status" });
    this.failure = h("p", { class: "failure", role: "alert", hidden: true });
    const query = { class: "similar-images-asked", tabindex: 0, role: "group", "aria-label": QUERY_LABEL };
    this.query = h("div", query);
    this.lists = ["left", "right"].map(side => h("section", { "aria-label": `${side} list` }));
    this.buttons = VOTES.map(([vote, label, keys]) =>
      h(
        "button",
        { type: "button", onclick: () => this.#vote(vote) },
        label,
        h("kbd", { "aria-hidden": "true" }, keys[0]),
      ),
    );
    const lists = h("div", { class: "similar-images-lists" }, ...this.lists);
    this.trial = h("div", {}, this.query, lists, h("div", { class: "similar-images-votes" }, ...this.buttons));
    this.undo = button("Undo the last vote", () => send(model, { do: "undo" }));
    const show = button("Show the result", () => send(model, { do: "result" }));
    this.result = h("div", { class: "similar-images-result", role: "status" });
    this.root.append(
      h("p", { class: "status" }, this.progress, this.count),
      this.failure,
      this.trial,
      h("div", { class: "similar-images-votes" }, this.undo, show),
      this.result,
    );
    this.root.addEventListener("keydown", event => {
      const [vote] = VOTES.find(([, , keys]) => keys.includes(event.key)) ?? [];
      if (!vote || hasModifier(event)) return;
      consume(event);
      if (!event.repeat) this.#vote(vote);
    });
  }

  start() {
    const drawTrial = () => this.#drawTrial();
    const drawStatus = () => this.#drawStatus();
    const drawResult = () => this.#drawResult();
    const stop = listen(this.model, [
      ["change:asked", drawTrial],
      ["change:voted", drawTrial],
      ["change:can_undo", drawStatus],
      ["change:status", drawStatus],
      ["change:result", drawResult],
    ]);
    drawTrial();
    drawStatus();
    drawResult();
    return stop;
  }

  get #isBusy() {
    return this.model.get("status").kind === "busy";
  }

  /** @param {string} vote */
  #vote(vote) {
    const { number } = this.model.get("asked");
    if (!this.#isBusy && number) send(this.model, { do: "vote", vote, number });
  }

  #drawTrial() {
    const trial = this.model.get("asked");
    this.trial.hidden = !trial.number;
    this.progress.max = this.model.get("n");
    this.progress.value = this.model.get("voted");
    this.count.textContent = `${this.model.get("voted")} of ${this.model.get("n")} done`;
    this.root.dataset.number = String(trial.number ?? "");
    if (!trial.number) return;
    fillPart(this.query, "Which list is more like this?", [trial.query], "the query");
    fillPart(this.lists[0], "Left", trial.left, "left");
    fillPart(this.lists[1], "Right", trial.right, "right");
  }

  #drawStatus() {
    const { kind, text } = this.model.get("status");
    for (const vote of this.buttons) vote.disabled = this.#isBusy;
    this.undo.disabled = this.#isBusy || !this.model.get("can_undo");
    this.failure.textContent = kind === "failure" ? text : "";
    this.failure.hidden = kind !== "failure";
    this.root.setAttribute("aria-busy", String(this.#isBusy));
  }

  #drawResult() {
    const { sentence, rows, plot } = this.model.get("result");
    if (!sentence) return;
    const lines = rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)));
    const drawn = h("div");
    drawn.innerHTML = plot; // an SVG from Python
    this.result.replaceChildren(h("p", {}, sentence), h("table", {}, ...lines), drawn);
  }
}

/** @param {HTMLElement} part @param {string} title @param {VotedPicture[]} pictures @param {string} label */
function fillPart(part, title, pictures, label) {
  const drawn = pictures.map((picture, i) =>
    createPicture(picture, pictures.length > 1 ? `${label}, ${i + 1}` : label),
  );
  const content = drawn.length > 1 ? h("ol", {}, ...drawn.map(one => h("li", {}, one))) : drawn[0];
  part.replaceChildren(h("h3", {}, title), content);
}

/** @param {VotedPicture} picture @param {string} alt */
function createPicture(picture, alt) {
  const place = new PicturePlace({ alt });
  place.draw(picture);
  return h("div", { class: "picture" }, ...place.parts);
}

export default {
  /** @param {RenderProps<BlindTestTraits>} props */
  render: props => new BlindTestPage(props).start(),
};
