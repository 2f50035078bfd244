// Elements, pictures and keys of all widgets.

import { nearestInRows } from "./geometry.js";

const FOCUSABLE = ["button", "input", "select", "summary", "textarea"];
const CHUNK = 8192; // bytes converted at once
const ENDING = 8; // last characters of a name, which distinguish files

/**
 * Return a new element: h("p", { class: "status" }, "text", child, ...). Attributes `on...` are listeners.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  // Jupyter's shortcuts check this attribute first: without it, Enter on a button would reach the cell's code.
  if (FOCUSABLE.includes(tag) || "tabindex" in attributes) element.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * Return a button.
 * @param {string} label
 * @param {(event: MouseEvent) => void} onclick
 * @param {Record<string, any>} [attributes]
 */
export function button(label, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, ...attributes }, label);
}

/**
 * Return the root element of a widget, appended to `el`.
 * @param {HTMLElement} el
 * @param {string} label
 * @param {string} [kind] further CSS class
 */
export function createRoot(el, label, kind = "") {
  const root = h("div", { class: `similar-images ${kind}`.trim(), role: "region", "aria-label": label, tabindex: -1 });
  el.append(root);
  leaveShortcuts(root, el);
  return root;
}

/** Return an id that no other element has. @param {string} prefix */
export function uniqueId(prefix) {
  return `${prefix}-${Math.random().toString(36).slice(2)}`;
}

/** Mark an event as handled. @param {Event} event */
export function consume(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** Return whether Ctrl, Command or Alt is held. @param {KeyboardEvent} event */
export function hasModifier(event) {
  return event.ctrlKey || event.metaKey || event.altKey;
}

/**
 * Show a JPEG in an <img>. A data: URL appears ten times as fast as a blob: URL, which asks another process.
 * @param {HTMLImageElement} img
 * @param {DataView | null | undefined} jpeg
 */
export function setPicture(img, jpeg) {
  if (!jpeg) return img.removeAttribute("src");
  const bytes = new Uint8Array(jpeg.buffer, jpeg.byteOffset, jpeg.byteLength);
  let letters = "";
  for (let at = 0; at < bytes.length; at += CHUNK) letters += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  img.src = `data:image/jpeg;base64,${btoa(letters)}`;
}

/** Return a name, cut in its middle if it is too long; screen readers read it from the controls. @param {string} name */
export function cutName(name) {
  const letters = [...name];
  const [start, end] = [letters.slice(0, -ENDING), letters.slice(-ENDING)].map(part => h("span", {}, part.join("")));
  return h("span", { class: "cut", "aria-hidden": "true" }, start, end);
}

/**
 * Return the element that an arrow key leads to: the previous or next one, or the nearest in the row above or below.
 * @template {Element} E
 * @param {E[]} all
 * @param {E} from
 * @param {string} key
 * @returns {E | undefined}
 */
export function findNeighbour(all, from, key) {
  const at = all.indexOf(from);
  if (key === "ArrowLeft") return all[at - 1];
  if (key === "ArrowRight") return all[at + 1];
  if (key !== "ArrowUp" && key !== "ArrowDown") return undefined;
  const centres = all.map(element => {
    const { left, top, width } = element.getBoundingClientRect();
    return { top, middle: left + width / 2 };
  });
  return all[nearestInRows(centres, at, key === "ArrowDown")];
}

/**
 * Leave Ctrl+S and the like to the notebook, although the other keys of `root` belong to the widget.
 * @param {HTMLElement} root
 * @param {HTMLElement} el
 */
function leaveShortcuts(root, el) {
  root.addEventListener("keydown", event => {
    if (!(event.ctrlKey || event.metaKey) || !event.isTrusted) return;
    const { key, code, keyCode, ctrlKey, metaKey, shiftKey, altKey } = event;
    const options = { key, code, keyCode, ctrlKey, metaKey, shiftKey, altKey, bubbles: true, cancelable: true };
    if (!el.dispatchEvent(new KeyboardEvent("keydown", options))) event.preventDefault();
  });
}

/**
 * Call `onChange` with each observed element that comes near to the visible part of `root`, or leaves it.
 * @param {Element | null} root
 * @param {number} margin pixels
 * @param {(element: Element, isNear: boolean) => void} onChange
 */
export function observeNear(root, margin, onChange) {
  return new IntersectionObserver(
    entries => {
      for (const { target, isIntersecting } of entries) onChange(target, isIntersecting);
    },
    { root, rootMargin: `${margin}px 0px` },
  );
}

/** Remove the children of a list, which keeps its height. @param {HTMLElement} list */
export function emptyList(list) {
  list.style.height = `${list.offsetHeight}px`;
  list.replaceChildren();
}

/** Set the width that a picture takes at the height of its row. @param {HTMLElement} card @param {HTMLImageElement} img */
export function setShape(card, img) {
  card.style.setProperty("--shape", Math.min(Math.max(img.naturalWidth / img.naturalHeight, 0.6), 2.2).toFixed(3));
}
