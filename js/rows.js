// Hits that a page knows, without DOM: the first ones, and blocks of further ones.

/** @typedef {"new" | "again" | "empty" | "unexpected"} Arrival */

export class Paging {
  /** Hits that the page knows. */
  loaded = 0;
  isAll = true;
  #isRequested = false;
  /** Starts of the blocks. @type {Set<number>} */
  #starts = new Set();

  /** Begin with the first hits of a query. @param {number} loaded @param {boolean} isAll */
  reset(loaded, isAll) {
    this.loaded = loaded;
    this.isAll = isAll;
    this.#isRequested = false;
    this.#starts.clear();
  }

  /** Return the start of the next block; null if it is requested already, or there are no more hits. */
  requestNext() {
    if (this.isAll || this.#isRequested) return null;
    this.#isRequested = true;
    return this.loaded;
  }

  /**
   * Take a block of `count` hits; return whether it is a new one, an emptied one again, without hits, or unexpected.
   * @param {number} start
   * @param {number} count
   * @param {boolean} isAll
   * @returns {Arrival}
   */
  receive(start, count, isAll) {
    if (this.#starts.has(start)) return "again";
    if (start !== this.loaded) return "unexpected";
    this.loaded = start + count;
    this.isAll = isAll;
    this.#isRequested = false;
    if (!count) return "empty";
    this.#starts.add(start);
    return "new";
  }
}
