// An opened hit: in full, or beside the query with what makes them similar. It follows search.js.
// Both are sent when they are asked for; the arrow keys lead to the hit before and after.

/**
 * Return the dialog, its listeners, and `forget`, which frees what it shows. drawn() returns the cards of the hits;
 * ask({do: "original" or "why", row}) gets the pictures.
 */
function opening({ ask, model }, drawn) {
  const pictures = h("div", { class: "similar-images-pair" }); // the hit's, after the query's where they are compared
  const status = h("span", { role: "status" });
  const title = h("p", { id: `original-${Math.random().toString(36).slice(2)}` });
  const keep = h("button", { type: "button" }, "Save");
  let shown = { show: "original", row: null, name: "" }; // the message that is shown
  const steps = [["ArrowLeft", "←", "Previous"], ["ArrowRight", "→", "Next"]].map(([key, sign, label]) =>
    h("button", { type: "button", "aria-label": `${label} hit`, title: `${label} hit (${sign})`, onclick: () => step(key) }, sign));
  const other = h("button", { type: "button", onclick: () => ask({ do: shown.show === "why" ? "original" : "why", row: shown.row }) });
  const dialog = h("dialog", { "aria-labelledby": title.id, onclose: () => forget(), onkeydown: event => { if (!event.altKey) step(event.key); } },
    title, pictures, h("form", { method: "dialog" }, status, ...steps, other,
      h("button", { type: "button", onclick: () => copy(shown.name, dialog) }, "Copy name"), keep, h("button", { autofocus: true }, "Close")));

  function forget() {
    for (const img of pictures.children) URL.revokeObjectURL(img.src);
    pictures.replaceChildren();
  }

  /** Return the hit before the opened one, or after it. */
  function beside(key) {
    const all = drawn().map(card => card.hit);
    return neighbour(all, all.find(hit => hit.row === shown.row), key);
  }

  function step(key) {
    const hit = ["ArrowLeft", "ArrowRight"].includes(key) && beside(key);
    if (hit) ask({ do: shown.show, row: hit.row });
  }

  function told(message, buffers) {
    const isWhy = message.show === "why";
    if (!(isWhy ? message.number === model.get("shown").number : message.show === "original")) return;
    shown = message;
    steps.forEach((button, i) => { button.disabled = !beside(["ArrowLeft", "ArrowRight"][i]); });
    title.textContent = `${message.name}${isWhy ? ": " : ", "}${isWhy ? message.says : message.size}`;
    other.textContent = isWhy ? "Open" : "Why similar";
    forget();
    const alts = isWhy ? message.alts : [message.name];
    pictures.append(...alts.map((alt, i) => h("img", { alt, src: URL.createObjectURL(new Blob([buffers[i]])) }))); // megabytes: not for a data: address
    keep.hidden = isWhy;
    keep.onclick = event => { event.preventDefault(); save(message.name.split("/").pop(), buffers[0], ""); };
    if (!dialog.open) dialog.showModal();
    drawStatus();
  }

  /** Say in the dialog what is done and what failed: the page below is not seen. */
  function drawStatus() {
    const { kind, text } = model.get("status");
    status.textContent = ["busy", "failure"].includes(kind) ? text : "";
  }

  return { dialog, forget, listeners: [["msg:custom", told], ["change:status", drawStatus]] };
}

/** Add the button that shows why a hit is similar to its card, and the key w; return the function that labels it. */
function explaining({ ask }, card) {
  const button = h("button", { type: "button", title: "Why similar (w)", onclick: () => ask({ do: "why", row: card.hit.row }) }, "Why");
  card.tools.insertBefore(button, card.copied);
  card.item.addEventListener("keydown", event => {
    if (event.key !== "w" || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    button.click();
  });
  return hit => button.setAttribute("aria-label", `Why ${hit.name} is similar`);
}
