// The gallery's page: it draws what the kernel has found and sends what the user does.
// It follows search.js; pictures that are made later arrive in `late`.

const PART = 4e6; // bytes of an upload in one message: Jupyter's server drops messages above 10 MiB
const STEP = 0.05; // of the picture's side, that an arrow key moves a box by
const SMALLEST = 0.02; // of the picture's side; a smaller box was a click

function setName(element, name, note) {
  const [label, bold] = element.children;
  label.textContent = name;
  bold.textContent = note;
  element.title = name;
}

function render({ model, el }) {
  const { ask, set, fail, start, root, cards, found, moves, settings, said } = searching({ model, el }, {
    label: "Similar images", random: "Random image", copied: "name", build, fill, draw,
    exports: [["csv", "Names (CSV)"], ["png", "Contact sheet (PNG)"], ["html", "Contact sheet (HTML)"]],
  });
  let box = null; // left, top, right, bottom, as shares of the query's width and height

  // --- what there is to see -------------------------------------------------------------------------------------
  const file = h("input", { type: "file", accept: "image/*", hidden: true, onchange: () => upload(file.files[0]) });
  const choose = h("button", { type: "button", onclick: () => file.click() }, "Upload image");
  const address = h("input", { type: "text", inputmode: "url", placeholder: "https://…", "aria-label": "Web address" });
  const form = h("form", { onsubmit: event => { event.preventDefault(); ask({ do: "address", address: address.value }); } },
    address, h("button", {}, "Search"));

  const picture = h("img", { alt: "", draggable: "false" });
  const absent = h("span", { class: "absent" });
  const outline = h("div", { class: "similar-images-box", hidden: true });
  const frame = h("div", { class: "similar-images-frame", tabindex: 0, role: "application",
    "aria-label": "The query. Drag a box on it to search by that part, or press Enter for a box, " +
      "arrow keys to move it, Shift with arrow keys to resize it, Enter to search, Escape to cancel" }, picture, absent, outline);
  const caption = h("figcaption", {}, h("span"), h("b"));
  const whole = h("button", { type: "button", hidden: true, onclick: () => searchWhole() }, "Search by the whole image");
  const query = h("figure", { class: "similar-images-query" }, frame, caption,
    h("p", {}, "Drag a box on it to search by that part. Drop or paste an image anywhere here."), whole);

  const original = h("img", { alt: "" });
  const title = h("p", { id: `original-${Math.random().toString(36).slice(2)}` });
  const keep = h("button", { type: "button" }, "Save");
  const dialog = h("dialog", { "aria-labelledby": title.id, onclose: () => forget() }, title, original,
    h("form", { method: "dialog" }, keep, h("button", { autofocus: true }, "Close")));

  root.append(h("div", { class: "similar-images-controls" }, ...moves, choose, file, form, ...settings), ...said,
    h("div", { class: "similar-images-answer" }, query, found), dialog);

  // --- what the kernel has found --------------------------------------------------------------------------------
  function build(card) {
    card.img = h("img", { alt: "" });
    card.why = h("span", { class: "absent" });
    card.button = h("button", { type: "button", class: "picture", onclick: () => ask({ do: "row", row: card.hit.row }) }, card.img, card.why);
    card.name = h("div", { class: "name" }, h("span"), h("b"));
    card.meaning = h("div", { class: "meaning" });
    card.item.append(card.button, card.name, card.meaning, card.tools);
  }

  function fill(card, hit) {
    setName(card.name, hit.name, hit.similarity.toFixed(2));
    card.button.setAttribute("aria-label", `Search by ${hit.name}, similarity ${hit.similarity.toFixed(2)}`);
    fillPicture(card, hit);
  }

  function fillPicture(card, made) {
    setPicture(card.img, made.picture);
    card.img.hidden = !made.picture;
    card.img.alt = card.hit.name;
    card.why.textContent = made.absent;
  }

  function draw(shown) {
    drawQuery(shown.query);
    setName(caption, shown.query.name, shown.query.box ? "part" : "query");
    drawLate();
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
    if (box) ask({ do: "part", box, number: model.get("shown").number });
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

  // --- what is sent, not kept -----------------------------------------------------------------------------------
  function forget() {
    URL.revokeObjectURL(original.src);
    original.removeAttribute("src");
  }

  function told(message, buffers) {
    if (message.show !== "original") return;
    title.textContent = `${message.name}, ${message.size}`;
    forget();
    original.src = URL.createObjectURL(new Blob([buffers[0]])); // megabytes: not for a data: address
    original.alt = message.name;
    keep.onclick = event => { event.preventDefault(); save(message.name.split("/").pop(), buffers[0], ""); };
    dialog.showModal();
  }

  const width = Math.ceil(160 * window.devicePixelRatio); // of a card, about
  if (width > 320 !== model.get("side") > 320) set("side", width);
  return start([["change:late", drawLate], ["msg:custom", told]], forget);
}

export default { render };
