// Choice of near-duplicates to keep: checkboxes in sections, one section a group. Each group keeps at least one.
// The written page and the widget share it. Each checkbox has data-row and data-bytes.

import { consume, hasModifier } from "./dom.js";

/**
 * `keep`: rows kept at first. `onChange` receives the kept rows after each choice of the user, `onDraw` the number and
 * bytes of the images to move.
 * @typedef {{ keep: number[], proposed: number[], onChange: (rows: number[]) => void,
 *   onDraw: (count: number, bytes: number) => void }} ChoiceOptions
 */

export class Choice {
  /** @param {HTMLElement} root @param {ChoiceOptions} options */
  constructor(root, { keep, proposed, onChange, onDraw }) {
    const sections = [...root.querySelectorAll("section")];
    /** Checkboxes of each group. @type {HTMLInputElement[][]} */
    this.groups = sections.map(section => [...section.querySelectorAll(/** @type {"input"} */ ("input[data-row]"))]);
    this.boxes = this.groups.flat();
    this.proposed = new Set(proposed);
    this.onChange = onChange;
    this.onDraw = onDraw;
    root.addEventListener("change", event => this.#toggle(event));
    root.addEventListener("keydown", event => this.#useKey(event));
    this.set(keep);
  }

  /** Keep these rows; a group without any keeps its proposed ones. @param {number[]} rows */
  set(rows) {
    const kept = new Set(rows);
    for (const group of this.groups) {
      const keep = group.some(box => kept.has(rowOf(box))) ? kept : this.proposed;
      for (const box of group) box.checked = keep.has(rowOf(box));
    }
    this.#draw();
  }

  #draw() {
    for (const box of this.boxes) box.closest("li")?.classList.toggle("moved", !box.checked);
    const moved = this.boxes.filter(box => !box.checked);
    this.onDraw(
      moved.length,
      moved.reduce((sum, box) => sum + Number(box.dataset.bytes), 0),
    );
  }

  #changed() {
    this.#draw();
    this.onChange(this.boxes.filter(box => box.checked).map(rowOf));
  }

  /** @param {EventTarget | null} target */
  #find(target) {
    const box = this.boxes.find(one => one === target);
    return { box, group: this.groups.find(group => box && group.includes(box)) ?? [] };
  }

  /** @param {Event} event */
  #toggle(event) {
    const { box, group } = this.#find(event.target);
    if (!box) return;
    if (!group.some(one => one.checked)) box.checked = true;
    this.#changed();
  }

  /** @param {HTMLInputElement[]} group @param {(box: HTMLInputElement) => boolean} isKept */
  #choose(group, isKept) {
    for (const box of group) box.checked = isKept(box);
    this.#changed();
  }

  /** @param {KeyboardEvent} event */
  #useKey(event) {
    const { box, group } = this.#find(event.target);
    if (!box || hasModifier(event)) return;
    const only = group[Number(event.key) - 1];
    if (event.key.startsWith("Arrow")) this.#findNext(box, group, event.key)?.focus();
    else if (only) this.#choose(group, one => one === only);
    else if (event.key === "a") this.#choose(group, () => true);
    else if (event.key === "p") this.#choose(group, one => this.proposed.has(rowOf(one)));
    else return;
    consume(event);
  }

  /** @param {HTMLInputElement} box @param {HTMLInputElement[]} group @param {string} key */
  #findNext(box, group, key) {
    const step = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
    if (key === "ArrowLeft" || key === "ArrowRight") return group[group.indexOf(box) + step];
    return this.groups[this.groups.indexOf(group) + step]?.[0];
  }
}

/** @param {HTMLInputElement} box */
function rowOf(box) {
  return Number(box.dataset.row);
}

/** Return the images to move in one sentence. @param {number} count @param {number} bytes */
export function describeMoves(count, bytes) {
  return `${count.toLocaleString("en")} image${count === 1 ? "" : "s"} to move, ${(bytes / 1e6).toFixed(1)} MB`;
}
