// The page of the review of near-duplicates. It follows duplicates.js, which the written page has too, and page.js.
// Pictures are asked for when they come into view.

const AHEAD = "600px"; // below and above what is in view
const KEYS = "Keys on an image: arrows go to others, 1 to 9 keeps only that one of its group, A keeps all, P the proposed one.";

function render({ model, el }) {
  const cards = new Map(); // row -> where its picture goes
  const told = h("span", { role: "status" });
  const { columns, head, tail } = model.get("_script");
  const asCsv = h("button", { type: "button", onclick: () => saveText("duplicates-choice.csv", choiceAsCsv(chosen.groups, columns), "text/csv") }, "Save as CSV");
  const asScript = h("button", { type: "button", hidden: !head, title: "Moves the others into a folder", onclick: () =>
    saveText("move-duplicates.sh", choiceAsScript(chosen.groups, head, tail), "text/x-shellscript") }, "Save as shell script");

  const card = one => {
    const img = h("img", { alt: "", hidden: true });
    const absent = h("span", { class: "absent" });
    const keep = h("input", { type: "checkbox", "aria-label": `Keep ${one.name}`, "data-row": one.row, "data-bytes": one.bytes,
      "data-cell": JSON.stringify(one.cell), "data-quoted": JSON.stringify(one.quoted) });
    const place = h("div", { class: "picture", "data-row": one.row }, img, absent);
    cards.set(one.row, { img, absent });
    return h("li", { class: "similar-images-card" }, place, h("div", { class: "name" }, h("span", { title: one.name }, one.name)),
      ...one.facts.map(fact => h("div", { class: "meaning" }, fact)), h("div", { class: "tools" }, h("label", {}, keep, "Keep")));
  };
  const sections = model.get("_groups").map((group, i) => h("section", { "aria-label": `Group ${i + 1}` },
    h("h3", {}, `Group ${i + 1}, ${group.length} images`), h("ul", { class: "similar-images-hits" }, ...group.map(card))));
  const groups = h("div", { class: "similar-images-groups" }, ...sections);
  const root = h("div", { class: "similar-images similar-images-review", role: "region", "aria-label": "Near-duplicates", tabindex: -1 },
    h("div", { class: "similar-images-controls" }, told, asCsv, asScript),
    h("p", {}, sections.length ? KEYS : "There are no near-duplicates."), groups);
  el.append(root);

  const chosen = choosing(groups, {
    keep: model.get("kept"),
    proposed: model.get("_proposed"),
    changed: rows => { model.set("kept", rows); model.save_changes(); },
    tell: (moves, bytes) => { told.textContent = sentence(moves, bytes); },
  });
  leaveShortcuts(root, el);

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
  for (const place of groups.querySelectorAll(".picture")) seen.observe(place);

  function receive(message, buffers) {
    if (message.show !== "pictures") return;
    message.pictures.forEach((row, i) => {
      setPicture(cards.get(row).img, buffers[i]);
      cards.get(row).img.hidden = false;
    });
    for (const [row, reason] of message.absent) cards.get(row).absent.textContent = reason;
  }

  const keptElsewhere = () => chosen.set(model.get("kept"));
  model.on("change:kept", keptElsewhere);
  model.on("msg:custom", receive);
  return () => {
    model.off("change:kept", keptElsewhere);
    model.off("msg:custom", receive);
    seen.disconnect();
    clearTimeout(timer);
  };
}

export default { render };
