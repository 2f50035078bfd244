// Downloads and the clipboard.

import { h } from "./dom.js";

/** Save bytes or text as a file of the user. @param {string} name @param {BlobPart} content @param {string} type */
export function saveFile(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Copy a text to the clipboard. @param {string} text @param {HTMLElement} root */
export async function copyText(text, root) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Some frames, and pages on http, have no clipboard.
    const area = root.appendChild(h("textarea", { "aria-hidden": "true" }, text));
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
