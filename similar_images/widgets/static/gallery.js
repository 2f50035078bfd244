// The gallery's page: it draws what the kernel has found and sends what the user does.
// It follows query.js; pictures of the first hits that are made later arrive in `late`.

const PART = 4e6; // bytes of an upload in one message: Jupyter's server drops messages above 10 MiB
const TYPING = 200; // milliseconds without a key after which names are proposed
const SHAPES = [0.6, 2.2]; // width by height, within which a picture is shown whole in its row

function render({ model, el }) {
  const page = searching({ model, el }, { label: "Similar images", random: "Random image", draw });
  const { ask, set, fail, forgive, start, root, moves, settings, said } = page;
  const hits = showing({ model, root, ask }, {
    copied: "name", build, fill, picture: fillPicture,
    exports: [["csv", "Names (CSV)"], ["png", "Contact sheet (PNG)"], ["html", "Contact sheet (HTML)"]],
  });
  const marks = marking({ model, ask }, fillMark);
  const filters = filtering({ model, ask });
  const query = queried({ model, ask }, marks.parts);

  // --- what there is to see -------------------------------------------------------------------------------------
  const file = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true, onchange: () => upload(file.files) });
  const choose = h("button", { type: "button", title: "Several images: what is like all of them", onclick: () => file.click() }, "Upload image");
  const names = h("datalist", { id: `names-${Math.random().toString(36).slice(2)}` });
  const readsWords = model.get("reads_words");
  const address = h("input", { type: "text", inputmode: readsWords ? "text" : "url", list: names.id, oninput: () => propose(),
    placeholder: readsWords ? "Words, a name, or https://…" : "Name, or https://…",
    title: readsWords ? "With + or - before them, words are added to the query" : "",
    "aria-label": readsWords ? "Words, name or web address" : "Name or web address" });
  const form = h("form", { onsubmit: event => { event.preventDefault(); ask({ do: "address", address: address.value }); } },
    address, names, h("button", {}, "Search"));

  const opened = opening(page, () => hits.drawn());

  root.append(h("div", { class: "similar-images-controls" }, ...moves, choose, file, form, ...settings, filters.part), ...said,
    h("div", { class: "similar-images-answer" }, query.figure, hits.found), opened.dialog);

  // --- what the kernel has found --------------------------------------------------------------------------------
  function build(card) {
    card.img = h("img", { alt: "", onload: () => shape(card) });
    card.why = h("span", { class: "absent" });
    card.button = h("button", { type: "button", class: "picture", onclick: () => ask({ do: "row", row: card.hit.row }) }, card.img, card.why);
    card.name = h("div", { class: "name" });
    card.meaning = h("div", { class: "meaning" });
    card.item.append(card.button, card.ticker, card.tools, card.name, card.meaning);
    card.explained = explaining(page, card);
  }

  function fill(card, hit) {
    card.name.replaceChildren(h("b", {}, hit.similarity.toFixed(2)), cutName(hit.name));
    card.name.title = hit.name;
    card.button.setAttribute("aria-label", `Search by ${hit.name}, similarity ${hit.similarity.toFixed(2)}`);
    card.button.setAttribute("aria-keyshortcuts", "+ - x o w");
    card.explained(hit);
  }

  function fillPicture(card, made) {
    setPicture(card.img, made.picture);
    card.img.hidden = !made.picture;
    card.img.alt = card.hit.name;
    card.why.textContent = made.absent ?? "";
  }

  /** Give a card the width that its picture takes at the height of a row. */
  function shape(card) {
    const width = card.img.naturalWidth / card.img.naturalHeight;
    card.item.style.setProperty("--shape", Math.min(Math.max(width, SHAPES[0]), SHAPES[1]).toFixed(3));
  }

  function fillMark(button, mark) {
    const img = h("img", { alt: "" });
    setPicture(img, mark.picture);
    button.append(mark.picture ? img : h("span", { class: "absent" }, mark.name.split("/").pop()));
  }

  function draw(shown) {
    query.draw(shown.query);
    marks.draw(shown);
    hits.draw(shown);
    drawLate();
  }

  function drawLate() {
    const [number, ...made] = model.get("late");
    const shown = model.get("shown");
    if (number !== shown.number) return;
    for (const one of made) {
      for (const card of hits.drawn()) if (card.hit.row === one.row) fillPicture(card, one);
      if (shown.query.row === one.row && !shown.query.picture) query.drawPicture(one);
      for (const mark of [...shown.positives, ...shown.negatives]) if (mark.row === one.row) mark.picture = one.picture;
    }
    if (made.length) marks.draw(shown);
  }

  // --- names and addresses --------------------------------------------------------------------------------------
  let typing = null;
  function propose() {
    clearTimeout(typing);
    typing = setTimeout(() => { if (!address.value.includes("://")) model.send({ do: "names", text: address.value }); }, TYPING);
  }

  // --- uploads: chosen, dropped or pasted -----------------------------------------------------------------------
  const own = Math.random().toString(36).slice(2); // this view, in the names of its uploads
  let uploads = 0;

  /** Send images, one after the other in parts; several are searched for together. A newer upload ends this one. */
  async function upload(chosen) {
    const files = [...(chosen ?? [])];
    file.value = "";
    const megabytes = limit => `${model.get(limit) / 1e6} MB`;
    for (const one of files) {
      const name = one.name || "pasted image";
      if (one.size > model.get("max_bytes")) return fail(`Not searched: ${name} is larger than ${megabytes("max_bytes")}`);
      if (!one.size) return fail(`Not searched: ${name} is empty (0 bytes)`);
    }
    if (files.reduce((sum, one) => sum + one.size, 0) > model.get("max_total_bytes"))
      return fail(`Not searched: the ${files.length} images are larger than ${megabytes("max_total_bytes")} together`);
    if (!files.length) return;
    forgive();
    const number = ++uploads;
    for (const [at, one] of files.entries()) {
      const name = one.name || "pasted image";
      for (let start = 0; start < one.size; start += PART) {
        const part = await one.slice(start, start + PART).arrayBuffer().catch(() => null);
        if (number !== uploads) return;
        if (!part) return fail(`Not searched: ${name} cannot be read`);
        model.send({ do: "upload", upload: `${own}-${number}`, name, start, size: one.size, at, of: files.length }, undefined, [part]);
      }
    }
  }

  /** Return the images of what is dropped or pasted, or its first file, which the kernel refuses. */
  function imagesIn(transfer) {
    const files = [...(transfer?.files ?? [])], pictures = files.filter(one => one.type.startsWith("image/"));
    return pictures.length ? pictures : files.slice(0, 1);
  }
  root.addEventListener("dragover", event => { event.preventDefault(); root.classList.add("dropping"); });
  root.addEventListener("dragleave", event => { if (!root.contains(event.relatedTarget)) root.classList.remove("dropping"); });
  root.addEventListener("drop", event => {
    event.preventDefault();
    event.stopPropagation();
    root.classList.remove("dropping");
    const dropped = imagesIn(event.dataTransfer);
    const link = event.dataTransfer.getData("text/uri-list");
    if (dropped.length) upload(dropped);
    else if (link) { address.value = link; ask({ do: "address", address: link }); }
    else fail("Not searched: expected the file of an image, or a link to one");
  });
  root.addEventListener("paste", event => {
    const pasted = imagesIn(event.clipboardData);
    if (!pasted.length) return; // a text goes where it was pasted
    event.preventDefault();
    event.stopPropagation();
    upload(pasted);
  });
  root.addEventListener("click", event => { // so that a paste arrives here
    if (!event.target.closest("button, input, label, [tabindex='0'], dialog")) root.focus({ preventScroll: true });
  });

  // --- what is sent, not kept -----------------------------------------------------------------------------------
  function told(message) {
    if (message.show === "names") names.replaceChildren(...message.names.map(name => h("option", { value: name })));
  }

  const width = Math.ceil(160 * window.devicePixelRatio); // of a card, about
  if (width > 320 !== model.get("side") > 320) set("side", width);
  return start([["change:late", drawLate], ["msg:custom", told], ...hits.listeners, ...filters.listeners, ...opened.listeners], () => { opened.forget(); hits.end(); clearTimeout(typing); });
}

export default { render };
