// Keys of the search history, and the typed text that awaits its answer, without DOM.

/** Return the steps of a key in the history: -1, 1, or 0 for other keys. @param {{ altKey: boolean, key: string }} event */
export function stepsOfKey({ altKey, key }) {
  if (!altKey) return 0;
  return { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0;
}

/** Return a text with single spaces. @param {string} text */
export function squeeze(text) {
  return text.split(/\s+/).filter(Boolean).join(" ");
}

/** The text box of a gallery: which answers replace its text. */
export class TypedText {
  /** The typed text without an answer. @type {string | null} */
  #awaited = null;
  isTyping = false;

  /** Return the text to search for; null if it is empty, or provisional and already searched for. @param {string} value @param {boolean} isProvisional @param {string} [shown] */
  submit(value, isProvisional, shown) {
    this.isTyping = false;
    const text = squeeze(value);
    if (!text || (isProvisional && text === (this.#awaited ?? shown))) return null;
    this.#awaited = text;
    return text;
  }

  /** Forget the typed text: a query from elsewhere replaces it. */
  forget() {
    this.isTyping = false;
    this.#awaited = null;
  }

  /** Return whether an answer to the query `name` replaces `value`. @param {string} name @param {string} value */
  accepts(name, value) {
    if (this.isTyping || (this.#awaited !== null && this.#awaited !== name)) return false;
    this.#awaited = null;
    return squeeze(value) !== name;
  }
}
