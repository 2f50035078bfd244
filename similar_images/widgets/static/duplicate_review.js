// The page of the review of near-duplicates. It follows duplicates.js, which the written page has too, and page.js.
// Pictures are asked for when they come into view.

const AHEAD = "600px"; // below and above what is in view
const KEYS = "Keys on an image: arrows go to others, 1 to 9 keeps only that one of its group, A keeps all, P the proposed one.";

function render({ model, el }) {
  const cards = new Map(); // row -> where its picture goes
  const told = h("span", { role: "status" });
  // Python makes the files, since it reads the images again.
  const save = form => () => model.send({ do: "save", form });
  const asCsv = h("button", { type: "button", onclick: save("csv") }, "Save as CSV");
  const asScript = h("button", { type: "button", hidden: !model.get("_can_move"), title: "Moves the others into a folder", onclick: save("script") },
    "Save as shell script");

  const card = one => {
    const img = h("img", { alt: "", hidden: true });
    const absent = h("span", { class: "absent" });
    const keep = h("input", { type: "checkbox", "aria-label": `Keep ${one.name}`, "data-row": one.row, "data-bytes": one.bytes });
    const place = h("div", { class: "picture", "data-row": one.row }, img, absent);
    cards.set(one.row, { img, absent });
    return h("li", { class: "similar-images-card" }, place, h("div", { class: "name", title: one.name }, cutName(one.name)),
      ...one.facts.map(fact => h("div", { class: "meaning" }, fact)), h("div", { class: "tools" }, h("label", {}, keep, "Keep")));
  };
  const keys = h("p");
  const line = statusLine(model);
  const controls = h("div", { class: "similar-images-controls" }, told, asCsv, asScript);
  let groups = h("div", { class: "similar-images-groups" });
  const root = h("div", { class: "similar-images similar-images-review", role: "region", "aria-label": "Near-duplicates", tabindex: -1 },
    ...line.parts, controls, keys, groups);
  el.append(root);
  let chosen;
  leaveShortcuts(root, el);

  function drawGroups() {
    const sections = model.get("_groups").map((group, i) => h("section", { "aria-label": `Group ${i + 1}` },
      h("h3", {}, `Group ${i + 1}, ${group.length} images`), h("ul", { class: "similar-images-hits" }, ...group.map(card))));
    const drawn = h("div", { class: "similar-images-groups" }, ...sections);
    groups.replaceWith(drawn);
    groups = drawn;
    chosen = choosing(groups, {
      keep: model.get("kept"),
      proposed: model.get("_proposed"),
      changed: rows => { model.set("kept", rows); model.save_changes(); },
      tell: (moves, bytes) => { told.textContent = sentence(moves, bytes); },
    });
    for (const place of groups.querySelectorAll(".picture")) seen.observe(place);
  }

  function drawStatus() {
    const status = model.get("status");
    line.draw(status, root);
    keys.textContent = model.get("_groups").length ? KEYS : status.kind === "done" ? "There are no near-duplicates." : "";
    controls.hidden = !model.get("_groups").length;
  }

  const wanted = new Set();
  let timer = 0;
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      wanted.add(Number(entry.target.dataset.row));
      seen.unobserve(entry.target);
    }
    if (wanted.size) timer ||= setTimeout(() => {
      timer = 0;
      model.send({ do: "pictures", rows: [...wanted].slice(0, 1000) });
      wanted.clear();
    }, 50);
  }, { rootMargin: AHEAD });

  function receive(message, buffers) {
    if (message.show === "file") {
      const [name, type] = message.form === "csv" ? ["duplicates-choice.csv", "text/csv"] : ["move-duplicates.sh", "text/x-shellscript"];
      saveText(name, message.text, type);
    }
    if (message.show !== "pictures") return;
    message.pictures.forEach((row, i) => {
      setPicture(cards.get(row).img, buffers[i]);
      cards.get(row).img.hidden = false;
    });
    for (const [row, reason] of message.absent) cards.get(row).absent.textContent = reason;
  }

  const listeners = [["change:_groups", drawGroups], ["change:status", drawStatus], ["change:kept", () => chosen.set(model.get("kept"))], ["msg:custom", receive]];
  for (const [event, listener] of listeners) model.on(event, listener);
  drawGroups();
  drawStatus();
  return () => {
    for (const [event, listener] of listeners) model.off(event, listener);
    seen.disconnect();
    clearTimeout(timer);
  };
}

export default { render };
