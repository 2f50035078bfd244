// The written page of near-duplicates: it remembers the choice, and saves it as a file.

import { Choice, describeMoves } from "./choice.js";
import { writeCsv, writeScript } from "./choice_files.js";
import { saveFile } from "./files.js";

/**
 * Start the page. `id` distinguishes the choices of pages, `columns` is the header of the CSV, `script` the text before
 * and after the moves of a shell script.
 * @param {{ id: string, proposed: number[], columns: string, script: [head: string, tail: string] | null }} page
 */
export function start({ id, proposed, columns, script }) {
  const key = `similar-images duplicates ${id}`;
  const element = (/** @type {string} */ name) => document.getElementById(name);
  const root = /** @type {HTMLElement} */ (element("groups"));
  const choice = new Choice(root, {
    keep: readChoice(key) ?? proposed,
    proposed,
    onChange: rows => saveChoice(key, rows),
    onDraw: (count, bytes) => element("told")?.replaceChildren(describeMoves(count, bytes)),
  });
  document.querySelector("header")?.toggleAttribute("hidden", false);
  element("csv")?.addEventListener("click", () =>
    saveFile("duplicates-choice.csv", writeCsv(choice.groups, columns), "text/csv"),
  );
  element("script")?.addEventListener("click", () =>
    saveFile("move-duplicates.sh", writeScript(choice.groups, ...(script ?? ["", ""])), "text/x-shellscript"),
  );
}

/** @param {string} key @returns {number[] | null} */
function readChoice(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null");
  } catch {
    return null; // pages of some browsers have no storage
  }
}

/** @param {string} key @param {number[]} rows */
function saveChoice(key, rows) {
  try {
    localStorage.setItem(key, JSON.stringify(rows));
  } catch {
    // no storage, or it is full
  }
}
