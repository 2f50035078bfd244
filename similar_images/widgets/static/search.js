// What the pages of the galleries share: history, settings and status.
// It follows page.js. State (`shown`, `status`, `k`, `exact`) comes with the model; requests go back as messages.

function save(name, bytes, type) {
  const address = URL.createObjectURL(new Blob([bytes], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

async function copy(text, root) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not in every frame, and not on http
    const area = root.appendChild(h("textarea", { "aria-hidden": "true" }, text));
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/**
 * Return the parts of a page that searches. `label`: of the page, `random`: of its button; draw(shown) draws an answer.
 */
function searching({ model, el }, { label, random, draw }) {
  const ask = (message, buffers) => { forgive(); model.send(message, undefined, buffers); };
  let refused = ""; // what the page itself refuses, until the user's next action
  let done = ""; // the last status of a search that has succeeded

  const back = h("button", { type: "button", title: "Alt+Left", onclick: () => ask({ do: "go", steps: -1 }) }, "←", h("span", {}, " Back"));
  const forward = h("button", { type: "button", title: "Alt+Right", onclick: () => ask({ do: "go", steps: 1 }) }, h("span", {}, "Forward "), "→");
  const another = h("button", { type: "button", onclick: () => ask({ do: "random" }) }, random);
  const count = h("input", { type: "number", min: 1, max: 200, onchange: () => setCount() });
  const exact = h("input", { type: "checkbox", onchange: () => set("exact", exact.checked) });
  const exactly = h("label", { title: "Compare with every item of the collection, and show which hits change" }, exact, "Exact search");
  const progress = h("progress", { hidden: true, "aria-label": "Working" });
  const status = h("span", { role: "status" });
  const failure = h("p", { class: "failure", hidden: true });
  const caveat = h("p", { class: "caveat" });
  const root = h("div", { class: "similar-images", role: "region", "aria-label": label, tabindex: -1 });
  el.append(root);

  function drawShown() {
    const shown = model.get("shown");
    if (!shown.query) return;
    back.disabled = !shown.back;
    forward.disabled = !shown.forward;
    draw(shown);
    root.dataset.number = shown.number;
  }

  /** Set the number of hits; a number that is not possible is replaced by the nearest one, with a message. */
  function setCount() {
    const [least, most] = [Number(count.min), Number(count.max)];
    const wanted = Number(count.value);
    const k = Math.min(Math.max(Math.round(wanted) || least, least), most);
    const isPossible = String(k) === count.value.trim();
    count.value = k;
    set("k", k);
    if (!isPossible) fail(`Hits: expected a number from ${least} to ${most}, using ${k}.`);
  }

  function set(name, value) {
    forgive();
    model.set(name, value);
    model.save_changes();
  }

  function drawSettings() {
    count.value = model.get("k");
    exact.checked = model.get("exact");
    exactly.hidden = !model.get("offers_exact");
    caveat.textContent = model.get("caveat");
    caveat.hidden = !model.get("caveat");
  }

  function drawStatus() {
    const { kind, text } = model.get("status");
    const failed = refused || (kind === "failure" ? text : "");
    progress.hidden = kind !== "busy";
    root.setAttribute("aria-busy", String(kind === "busy"));
    if (kind === "done") done = text;
    status.textContent = kind === "failure" ? done : text;
    if (failure.textContent !== failed) failure.textContent = failed; // else a screen reader would say it again
    failure.hidden = !failed;
    if (failed) failure.setAttribute("role", "alert");
    else failure.removeAttribute("role");
  }

  /** Show what the page itself refuses; the kernel's answers do not end it, the user's next action does. */
  function fail(text) {
    refused = text;
    drawStatus();
  }

  function forgive() {
    if (refused) fail("");
  }

  leaveShortcuts(root, el);
  root.addEventListener("keydown", event => {
    if (!event.altKey || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault(); // else the browser leaves the notebook
    event.stopPropagation();
    ask({ do: "go", steps: event.key === "ArrowLeft" ? -1 : 1 });
  });

  /** Draw now and on every change, and add `more` listeners; return the function that ends it, `end` included. */
  function start(more, end) {
    const told = (message, buffers) => { if (message.show === "file") save(message.name, buffers[0], message.type); };
    const listeners = [["change:shown", drawShown], ["change:status", drawStatus], ["msg:custom", told],
      ...["k", "exact", "caveat"].map(name => [`change:${name}`, drawSettings]), ...more];
    for (const [event, listener] of listeners) model.on(event, listener);
    drawSettings();
    drawStatus();
    drawShown();
    return () => {
      for (const [event, listener] of listeners) model.off(event, listener);
      end();
    };
  }

  return { model, ask, set, fail, forgive, start, root, moves: [back, forward, another],
    settings: [h("label", {}, "Hits", count), exactly], said: [h("p", { class: "status" }, progress, status), failure, caveat] };
}
