// Review of near-duplicates. Pictures are requested when they come into view; Python writes the files.

import { Choice, describeMoves } from "./choice.js";
import { button, createRoot, cutName, h, observeNear } from "./dom.js";
import { saveFile } from "./files.js";
import { change, listen, send } from "./model.js";
import { drawPictures, PicturePlace } from "./pictures.js";
import { StatusLine } from "./status.js";

/** @import { RenderProps } from "@anywidget/types" */
/** @import { Duplicate, ExportedFile, Pictures, ReviewTraits } from "./messages.js" */

const AHEAD = 600; // pixels
const MAX_PICTURES = 1000; // of one request
const PAUSE_MILLISECONDS = 50; // pictures that come into view together are one request
const KEYS =
  "Keys on an image: arrows go to others, 1 to 9 keeps only that one of its group, A keeps all, P the proposed one.";

class ReviewPage {
  /** By row. @type {Map<number, PicturePlace>} */
  #pictures = new Map();
  /** Rows whose pictures are to be requested. @type {Set<number>} */
  #wanted = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Choice | undefined} */
  #choice;

  /** @param {RenderProps<ReviewTraits>} props */
  constructor({ model, el }) {
    this.model = model;
    this.root = createRoot(el, "Near-duplicates", "similar-images-review");
    this.line = new StatusLine(model, this.root);
    this.moves = h("span", { role: "status" });
    const csv = button("Save as CSV", () => send(model, { do: "save", form: "csv" }));
    const script = button("Save as shell script", () => send(model, { do: "save", form: "script" }), {
      hidden: !model.get("_can_move"),
      title: "Moves the others into a folder",
    });
    this.controls = h("div", { class: "similar-images-controls" }, this.moves, csv, script);
    this.keys = h("p");
    this.groups = h("div", { class: "similar-images-groups" });
    this.root.append(...this.line.parts, this.controls, this.keys, this.groups);
    this.observer = observeNear(null, AHEAD, (place, isNear) => this.#want(place, isNear));
  }

  start() {
    const stop = listen(this.model, [
      ["change:_groups", () => this.#drawGroups()],
      ["change:status", () => this.#drawStatus()],
      ["change:kept", () => this.#choice?.set(this.model.get("kept"))],
      ["msg:custom", (message, buffers) => this.#receive(message, buffers)],
    ]);
    this.#drawGroups();
    this.#drawStatus();
    return () => {
      stop();
      this.observer.disconnect();
      clearTimeout(this.#timer);
    };
  }

  #drawGroups() {
    const sections = this.model.get("_groups").map((group, i) => {
      const list = h("ul", { class: "similar-images-hits" }, ...group.map(one => this.#createCard(one)));
      const title = h("h3", {}, `Group ${i + 1}, ${group.length} images`);
      return h("section", { "aria-label": `Group ${i + 1}` }, title, list);
    });
    const groups = h("div", { class: "similar-images-groups" }, ...sections);
    this.groups.replaceWith(groups);
    this.groups = groups;
    this.#choice = new Choice(groups, {
      keep: this.model.get("kept"),
      proposed: this.model.get("_proposed"),
      onChange: kept => change(this.model, { kept }),
      onDraw: (count, bytes) => this.moves.replaceChildren(describeMoves(count, bytes)),
    });
    for (const place of groups.querySelectorAll(".picture")) this.observer.observe(place);
  }

  /** @param {Duplicate} image */
  #createCard({ row, name, bytes, facts }) {
    const place = new PicturePlace({ hidden: true });
    this.#pictures.set(row, place);
    const data = { "data-row": row, "data-bytes": bytes };
    const keep = h("input", { type: "checkbox", "aria-label": `Keep ${name}`, ...data });
    return h(
      "li",
      { class: "similar-images-card" },
      h("div", { class: "picture", "data-row": row }, ...place.parts),
      h("div", { class: "name", title: name }, cutName(name)),
      ...facts.map(fact => h("div", { class: "meaning" }, fact)),
      h("div", { class: "tools" }, h("label", {}, keep, "Keep")),
    );
  }

  #drawStatus() {
    const status = this.model.get("status");
    const hasGroups = this.model.get("_groups").length > 0;
    this.line.draw(status);
    const none = status.kind === "done" ? "There are no near-duplicates." : "";
    this.keys.textContent = hasGroups ? KEYS : none;
    this.controls.hidden = !hasGroups;
  }

  /** Request the pictures that come into view. @param {Element} place @param {boolean} isNear */
  #want(place, isNear) {
    if (!isNear || !(place instanceof HTMLElement)) return;
    this.#wanted.add(Number(place.dataset.row));
    this.observer.unobserve(place);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      send(this.model, { do: "pictures", rows: [...this.#wanted].slice(0, MAX_PICTURES) });
      this.#wanted.clear();
    }, PAUSE_MILLISECONDS);
  }

  /** @param {ExportedFile | Pictures} message @param {DataView<ArrayBuffer>[]} buffers */
  #receive(message, buffers) {
    if (message.show === "file") saveFile(message.name, buffers[0], message.type);
    if (message.show !== "pictures") return;
    drawPictures(message, buffers, (row, picture) => this.#pictures.get(row)?.draw(picture));
  }
}

export default {
  /** @param {RenderProps<ReviewTraits>} props */
  render: props => new ReviewPage(props).start(),
};
