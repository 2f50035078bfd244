// The gallery's page: it draws what the kernel has found, and tells the kernel what a person does.
// It follows page.js. State (`shown`, `late`, `status`, `k`, `exact`) comes with the model; requests go back as messages.

const PART = 4e6; // bytes of an upload in one message: Jupyter's server drops messages above 10 MiB
const NAME_END = 12; // characters of a name that are always shown
const STEP = 0.05; // of the picture's side, that an arrow key moves a box by
const SMALLEST = 0.02; // of the picture's side; a smaller box was a click

function setName(element, name, note) {
  const [start, end, bold] = element.children;
  start.textContent = name.slice(0, -NAME_END);
  end.textContent = name.slice(-NAME_END);
  bold.textContent = note;
  element.title = name;
}

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

function render({ model, el }) {
  const ask = (message, buffers) => model.send(message, undefined, buffers);
  const cards = [];
  const ticked = new Set();
  let box = null; // left, top, right, bottom, as shares of the query's width and height

  // --- what there is to see -------------------------------------------------------------------------------------
  const back = h("button", { type: "button", title: "Alt+Left", onclick: () => ask({ do: "go", steps: -1 }) }, "← Back");
  const forward = h("button", { type: "button", title: "Alt+Right", onclick: () => ask({ do: "go", steps: 1 }) }, "Forward →");
  const random = h("button", { type: "button", onclick: () => ask({ do: "random" }) }, "Random image");
  const file = h("input", { type: "file", accept: "image/*", hidden: true, onchange: () => upload(file.files[0]) });
  const choose = h("button", { type: "button", onclick: () => file.click() }, "Upload image");
  const address = h("input", { type: "text", inputmode: "url", placeholder: "https://…", "aria-label": "Web address" });
  const form = h("form", { onsubmit: event => { event.preventDefault(); ask({ do: "address", address: address.value }); } },
    address, h("button", {}, "Search"));
  const count = h("input", { type: "number", min: 1, max: 200, onchange: () => set("k", Number(count.value) || model.get("k")) });
  const exact = h("input", { type: "checkbox", onchange: () => set("exact", exact.checked) });
  const exactly = h("label", { title: "Compare with every image, and show what that changes" }, exact, "Exact search");
  const progress = h("progress", { hidden: true, "aria-label": "Working" });
  const status = h("span", { role: "status" });
  const failure = h("p", { class: "failure", hidden: true });
  const unlike = h("p", { class: "unlike", role: "status", hidden: true }, "Nothing in this collection is like it; what is nearest follows.");
  const changes = h("p", { class: "changes", role: "status" });
  const caveat = h("p", { class: "caveat" });

  const picture = h("img", { alt: "", draggable: "false" });
  const absent = h("span", { class: "absent" });
  const outline = h("div", { class: "similar-images-box", hidden: true });
  const frame = h("div", { class: "similar-images-frame", tabindex: 0, role: "application",
    "aria-label": "The query. Drag a box on it to search by that part, or press Enter for a box, " +
      "arrow keys to move it, with Shift to size it, Enter to search, Escape to give it up" }, picture, absent, outline);
  const caption = h("figcaption", {}, h("span"), h("span"), h("b"));
  const whole = h("button", { type: "button", hidden: true, onclick: () => searchWhole() }, "Search by the whole image");
  const query = h("figure", { class: "similar-images-query" }, frame, caption,
    h("p", {}, "Drag a box on it to search by that part. Drop or paste an image anywhere here."), whole);

  const number = h("span", { "aria-live": "polite" });
  const all = h("button", { type: "button", onclick: () => tickAll() }, "Tick all");
  const exports = [["csv", "Names (CSV)"], ["png", "Contact sheet (PNG)"], ["html", "Contact sheet (HTML)"]].map(([type, label]) =>
    h("button", { type: "button", onclick: () => ask({ do: "export", form: type, rows: [...ticked] }) }, label));
  const hits = h("ul", { class: "similar-images-hits", "aria-label": "Hits" });
  const found = h("section", { "aria-label": "Found" }, h("div", { class: "similar-images-ticked" }, all, number, ...exports), hits);

  const original = h("img", { alt: "" });
  const title = h("p", { id: `original-${Math.random().toString(36).slice(2)}` });
  const keep = h("button", { type: "button" }, "Save");
  const dialog = h("dialog", { "aria-labelledby": title.id, onclose: () => forget() }, title, original,
    h("form", { method: "dialog" }, keep, h("button", { autofocus: true }, "Close")));

  const root = h("div", { class: "similar-images", role: "region", "aria-label": "Similar images", tabindex: -1 },
    h("div", { class: "similar-images-controls" }, back, forward, random, choose, file, form, h("label", {}, "Hits", count), exactly),
    h("p", { class: "status" }, progress, status), failure, caveat,
    h("div", { class: "similar-images-answer" }, query, found), dialog);
  found.prepend(unlike, changes);
  el.append(root);

  // --- what the kernel has found --------------------------------------------------------------------------------
  function card(i) {
    const img = h("img", { alt: "" }), why = h("span", { class: "absent" });
    const button = h("button", { type: "button", class: "picture", onclick: () => ask({ do: "row", row: cards[i].hit.row }) }, img, why);
    const name = h("div", { class: "name" }, h("span"), h("span"), h("b"));
    const meaning = h("div", { class: "meaning" });
    const tick = h("input", { type: "checkbox", onchange: () => { tickOne(cards[i].hit.row, tick.checked); } });
    const open = h("button", { type: "button", onclick: () => ask({ do: "original", row: cards[i].hit.row }) }, "Open");
    const copied = h("button", { type: "button", onclick: async () => {
      await copy(cards[i].hit.name, root);
      copied.textContent = "Copied";
      setTimeout(() => { copied.textContent = "Copy"; }, 1500);
    } }, "Copy");
    const item = h("li", { class: "similar-images-card" }, button, name, meaning,
      h("div", { class: "tools" }, h("label", {}, tick), open, copied));
    return { item, img, why, button, name, meaning, tick, open, copied, hit: null };
  }

  function fill(card, hit) {
    card.hit = hit;
    setName(card.name, hit.name, hit.similarity.toFixed(2));
    card.meaning.textContent = hit.missed ? `exact search only; ${hit.meaning}` : hit.meaning;
    card.meaning.classList.toggle("same", hit.same);
    card.item.classList.toggle("missed", hit.missed);
    card.button.setAttribute("aria-label", `Search by ${hit.name}, similarity ${hit.similarity.toFixed(2)}`);
    card.open.setAttribute("aria-label", `Open ${hit.name}`);
    card.copied.setAttribute("aria-label", `Copy name ${hit.name}`);
    card.tick.setAttribute("aria-label", `Tick ${hit.name}`);
    card.tick.checked = ticked.has(hit.row);
    fillPicture(card, hit);
  }

  function fillPicture(card, made) {
    setPicture(card.img, made.picture);
    card.img.hidden = !made.picture;
    card.img.alt = card.hit.name;
    card.why.textContent = made.absent;
  }

  function draw() {
    const shown = model.get("shown");
    if (!shown.query) return;
    const rows = new Set(shown.hits.map(hit => hit.row));
    for (const row of ticked) if (!rows.has(row)) ticked.delete(row);
    while (cards.length < shown.hits.length) cards.push(card(cards.length));
    for (const unused of cards.splice(shown.hits.length)) unused.item.remove();
    shown.hits.forEach((hit, i) => { fill(cards[i], hit); if (!cards[i].item.isConnected) hits.append(cards[i].item); });
    drawQuery(shown.query);
    setName(caption, shown.query.name, shown.query.box ? "part" : "query");
    unlike.hidden = !shown.unlike;
    changes.textContent = shown.changes;
    back.disabled = !shown.back;
    forward.disabled = !shown.forward;
    tell();
    drawLate();
    root.dataset.number = shown.number;
  }

  function drawQuery(made) {
    setPicture(picture, made.picture);
    picture.alt = made.name;
    picture.hidden = !made.picture;
    absent.textContent = made.absent;
    setBox(made.box);
    whole.hidden = !made.box;
  }

  function drawLate() {
    const [number, ...made] = model.get("late");
    const shown = model.get("shown");
    if (number !== shown.number) return;
    for (const one of made) {
      for (const card of cards) if (card.hit.row === one.row) fillPicture(card, one);
      if (shown.query.row === one.row && !shown.query.picture) {
        setPicture(picture, one.picture);
        picture.hidden = !one.picture;
        absent.textContent = one.absent;
      }
    }
  }

  function drawStatus() {
    const { kind, text } = model.get("status");
    progress.hidden = kind !== "busy";
    root.setAttribute("aria-busy", String(kind === "busy"));
    if (kind !== "failure") status.textContent = text;
    failure.textContent = kind === "failure" ? text : "";
    failure.hidden = kind !== "failure";
    if (kind === "failure") failure.setAttribute("role", "alert");
    else failure.removeAttribute("role");
  }

  function drawSettings() {
    count.value = model.get("k");
    exact.checked = model.get("exact");
    exactly.hidden = !model.get("has_index");
    caveat.textContent = model.get("caveat");
    caveat.hidden = !model.get("caveat");
  }

  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  // --- ticks ----------------------------------------------------------------------------------------------------
  function tickOne(row, on) {
    if (on) ticked.add(row); else ticked.delete(row);
    tell();
  }

  function tickAll() {
    const on = ticked.size < cards.length;
    for (const card of cards) { card.tick.checked = on; tickOne(card.hit.row, on); }
  }

  function tell() {
    number.textContent = ticked.size ? `${ticked.size} ticked, to take away:` : "";
    for (const button of exports) button.hidden = !ticked.size;
    all.textContent = cards.length && ticked.size === cards.length ? "Tick none" : "Tick all";
  }

  // --- uploads: chosen, dropped or pasted -----------------------------------------------------------------------
  async function upload(chosen) {
    file.value = "";
    if (!chosen) return;
    const name = chosen.name || "pasted image";
    if (chosen.size > model.get("max_bytes")) return fail(`Not searched: ${name} is larger than ${model.get("max_bytes") / 1e6} MB`);
    if (!chosen.size) return fail(`Not searched: ${name} is empty (0 bytes)`);
    for (let start = 0; start < chosen.size; start += PART) {
      const part = await chosen.slice(start, start + PART).arrayBuffer();
      ask({ do: "upload", name, start, size: chosen.size }, [part]);
    }
  }

  function fail(text) {
    model.set("status", { kind: "failure", text });
    drawStatus();
  }

  const imageIn = transfer => [...(transfer?.files ?? [])].find(one => one.type.startsWith("image/")) ?? transfer?.files?.[0];
  root.addEventListener("dragover", event => { event.preventDefault(); root.classList.add("dropping"); });
  root.addEventListener("dragleave", event => { if (!root.contains(event.relatedTarget)) root.classList.remove("dropping"); });
  root.addEventListener("drop", event => {
    event.preventDefault();
    event.stopPropagation();
    root.classList.remove("dropping");
    const dropped = imageIn(event.dataTransfer);
    const link = event.dataTransfer.getData("text/uri-list");
    if (dropped) upload(dropped);
    else if (link) { address.value = link; ask({ do: "address", address: link }); }
    else fail("Not searched: expected the file of an image, or a link to one");
  });
  root.addEventListener("paste", event => {
    const pasted = imageIn(event.clipboardData);
    if (!pasted) return; // a text goes where it was pasted
    event.preventDefault();
    event.stopPropagation();
    upload(pasted);
  });
  root.addEventListener("click", event => { // so that a paste arrives here
    if (!event.target.closest("button, input, label, [tabindex='0'], dialog")) root.focus({ preventScroll: true });
  });

  // --- a box on the query ---------------------------------------------------------------------------------------
  function setBox(next) {
    box = next ? [...next] : null;
    outline.hidden = !box;
    if (!box) return;
    const [left, top, right, bottom] = box.map(share => 100 * share);
    Object.assign(outline.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  }

  const share = value => Math.min(Math.max(value, 0), 1);
  function place(event) {
    const area = picture.getBoundingClientRect();
    return [share((event.clientX - area.left) / area.width), share((event.clientY - area.top) / area.height)];
  }

  function searchPart() {
    if (box) ask({ do: "part", box });
  }

  function searchWhole() {
    setBox(null);
    ask({ do: "whole" });
  }

  let began = null;
  frame.addEventListener("pointerdown", event => {
    if (event.button !== 0 || picture.hidden) return;
    began = place(event);
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", event => {
    if (!began) return;
    const [x, y] = place(event);
    setBox([Math.min(began[0], x), Math.min(began[1], y), Math.max(began[0], x), Math.max(began[1], y)]);
  });
  frame.addEventListener("pointerup", () => {
    began = null;
    if (box && box[2] - box[0] > SMALLEST && box[3] - box[1] > SMALLEST) searchPart();
    else setBox(model.get("shown").query?.box);
  });
  frame.addEventListener("pointercancel", () => { began = null; setBox(model.get("shown").query?.box); });
  frame.addEventListener("keydown", event => {
    const [dx, dy] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [0, 0];
    if (event.altKey) return;
    if (event.key === "Enter") { if (box) searchPart(); else setBox([0.25, 0.25, 0.75, 0.75]); }
    else if (event.key === "Escape" && box) { if (model.get("shown").query.box) searchWhole(); else setBox(null); }
    else if (box && (dx || dy)) {
      const [left, top, right, bottom] = box;
      if (event.shiftKey) setBox([left, top, share(Math.max(right + dx, left + STEP)), share(Math.max(bottom + dy, top + STEP))]);
      else {
        const x = Math.min(Math.max(dx, -left), 1 - right), y = Math.min(Math.max(dy, -top), 1 - bottom);
        setBox([left + x, top + y, right + x, bottom + y]);
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  leaveShortcuts(root, el);
  root.addEventListener("keydown", event => {
    if (!event.altKey || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault(); // else the browser leaves the notebook
    event.stopPropagation();
    ask({ do: "go", steps: event.key === "ArrowLeft" ? -1 : 1 });
  });

  // --- what is sent, not kept -----------------------------------------------------------------------------------
  function forget() {
    URL.revokeObjectURL(original.src);
    original.removeAttribute("src");
  }

  function told(message, buffers) {
    if (message.show === "file") save(message.name, buffers[0], message.type);
    if (message.show === "original") {
      title.textContent = `${message.name}, ${message.size}`;
      forget();
      original.src = URL.createObjectURL(new Blob([buffers[0]])); // megabytes: not for a data: address
      original.alt = message.name;
      keep.onclick = event => { event.preventDefault(); save(message.name.split("/").pop(), buffers[0], ""); };
      dialog.showModal();
    }
  }

  const listeners = { "change:shown": draw, "change:late": drawLate, "change:status": drawStatus, "msg:custom": told,
    "change:k": drawSettings, "change:exact": drawSettings, "change:caveat": drawSettings };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  drawSettings();
  drawStatus();
  draw();
  const width = Math.ceil(160 * window.devicePixelRatio); // of a card, about
  if (width > 320 !== model.get("side") > 320) set("side", width);

  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
    forget();
  };
}

export default { render };
