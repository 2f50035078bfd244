// The choice of near-duplicates as a CSV file or a shell script, without DOM.

/**
 * A checkbox of the written page. `cell` is its name for CSV; `quoted` its name, bytes and SHA-256 for the shell; both
 * are JSON. Unreadable files have no SHA-256.
 * @typedef {{ checked: boolean, dataset: DOMStringMap }} Box
 */

/** Return the choice as CSV. @param {Box[][]} groups @param {string} header */
export function writeCsv(groups, header) {
  const lines = groups.flatMap((boxes, i) =>
    boxes.map(({ checked, dataset: { cell = "", bytes, sha256 } }) => {
      const file = sha256 ? `${bytes},${sha256}` : ",";
      return `${JSON.parse(cell)},${checked ? "keep" : "move"},${i + 1},${file}\n`;
    }),
  );
  return header + lines.join("");
}

/** Return the choice as a shell script. @param {Box[][]} groups @param {string} head @param {string} tail */
export function writeScript(groups, head, tail) {
  const quote = (/** @type {Box | undefined} */ box) => JSON.parse(box?.dataset.quoted ?? '""');
  const lines = groups.flatMap(boxes => {
    const kept = boxes.find(box => box.checked);
    return boxes.filter(box => !box.checked).map(box => `move ${quote(box)} ${quote(kept)}\n`);
  });
  return head + lines.join("") + tail;
}
