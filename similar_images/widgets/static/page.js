// What the widgets' pages share: elements, pictures, and keys that stay the notebook's.

const FOCUSABLE = ["button", "input", "select", "summary", "textarea"];

/** Return a new element: h("p", {class: "status"}, "text", child, ...); on... are listeners. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  // Jupyter's shortcuts look at the element first: without this, Enter on a button would go to the cell's code.
  if (FOCUSABLE.includes(tag) || "tabindex" in attributes) element.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Show a JPEG in an <img>. A data: address is shown ten times as fast as a blob's, which asks another process. */
function setPicture(img, jpeg) {
  if (!jpeg) return img.removeAttribute("src");
  const bytes = new Uint8Array(jpeg.buffer, jpeg.byteOffset, jpeg.byteLength);
  let letters = "";
  for (let at = 0; at < bytes.length; at += 8192) letters += String.fromCharCode(...bytes.subarray(at, at + 8192));
  img.src = `data:image/jpeg;base64,${btoa(letters)}`;
}

const ENDING = 8; // characters of a name's end, which tell files apart

/** Return a name that is cut in its middle where it is longer than its place; a screen reader has it from the controls. */
function cutName(name) {
  const letters = [...name];
  return h("span", { class: "cut", "aria-hidden": "true" }, h("span", {}, letters.slice(0, -ENDING).join("")), h("span", {}, letters.slice(-ENDING).join("")));
}

/** Return where an arrow key leads to from `one` of the elements `all`: to the next one, or to the nearest in the next row. */
function neighbour(all, one, key) {
  const at = all.indexOf(one);
  if (key === "ArrowLeft") return all[at - 1];
  if (key === "ArrowRight") return all[at + 1];
  if (key !== "ArrowUp" && key !== "ArrowDown") return undefined;
  const place = element => { const box = element.getBoundingClientRect(); return { element, top: box.top, middle: box.left + box.width / 2 }; };
  const from = place(one);
  const onward = (key === "ArrowDown" ? all.slice(at + 1) : all.slice(0, at).reverse()).map(place).filter(({ top }) => Math.abs(top - from.top) > 1);
  const row = onward.filter(({ top }) => Math.abs(top - onward[0].top) <= 1);
  const distance = other => Math.abs(other.middle - from.middle);
  return row.sort((a, b) => distance(a) - distance(b))[0]?.element;
}

/** Leave Ctrl+S and the like to the notebook, though the keys of `root` are its own. */
function leaveShortcuts(root, el) {
  root.addEventListener("keydown", event => {
    if (!(event.ctrlKey || event.metaKey) || !event.isTrusted) return;
    const { key, code, keyCode, ctrlKey, metaKey, shiftKey, altKey } = event;
    const same = new KeyboardEvent("keydown", { key, code, keyCode, ctrlKey, metaKey, shiftKey, altKey, bubbles: true, cancelable: true });
    if (!el.dispatchEvent(same)) event.preventDefault();
  });
}

/** Return the parts of a page that say what is done in the background, and draw(status, root), which draws them. */
function statusLine(model) {
  const progress = h("progress", { hidden: true, "aria-label": "Working" });
  const said = h("span", { role: "status" });
  const begin = h("button", { type: "button", hidden: true, onclick: () => model.send({ do: "begin" }) }, "Begin");
  const failure = h("p", { class: "failure", role: "alert", hidden: true });

  function draw({ kind, text, share }, root) {
    progress.hidden = kind !== "busy";
    begin.hidden = kind !== "offer";
    if (share === undefined) progress.removeAttribute("value");
    else progress.value = share;
    const [calm, wrong] = kind === "failure" ? ["", text] : [text, ""];
    if (said.textContent !== calm) said.textContent = calm; // else a screen reader would say it again
    failure.textContent = wrong;
    failure.hidden = !wrong;
    root.setAttribute("aria-busy", String(kind === "busy"));
  }
  return { said, parts: [h("p", { class: "status" }, progress, said, begin), failure], draw };
}
