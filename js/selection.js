// Ticked rows, without DOM.

/**
 * Return the selection after a row is ticked or unticked, with the rows between `from` and it if both are shown.
 * @param {number[]} selection
 * @param {number[]} shown rows on the page, in order
 * @param {{ row: number, from: number, isOn: boolean }} change
 */
export function tickRange(selection, shown, { row, from, isOn }) {
  const ends = [shown.indexOf(from), shown.indexOf(row)].sort((a, b) => a - b);
  const changed = ends[0] < 0 ? [row] : shown.slice(ends[0], ends[1] + 1);
  const others = selection.filter(one => !changed.includes(one));
  return isOn ? [...others, ...changed] : others;
}

/** Return whether all shown rows are ticked. @param {Iterable<number>} selection @param {number[]} shown */
export function areAllTicked(selection, shown) {
  const ticked = new Set(selection);
  return shown.every(row => ticked.has(row));
}

/** Return the selection with all shown rows ticked, or unticked if they all are. @param {number[]} selection @param {number[]} shown */
export function toggleAll(selection, shown) {
  const rows = new Set(shown);
  const others = selection.filter(row => !rows.has(row));
  return areAllTicked(selection, shown) ? others : [...others, ...shown];
}

/** Return the selection with one row toggled. @param {number[]} selection @param {number} row */
export function toggleRow(selection, row) {
  return selection.includes(row) ? selection.filter(one => one !== row) : [...selection, row];
}
