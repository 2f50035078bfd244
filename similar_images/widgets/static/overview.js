// The page of the overview: a row of pictures for each group. It follows page.js.
// A group's pictures are asked for when it comes near to what is seen, and forgotten when it is far away.

const AHEAD = 800; // pixels

function render({ model, el }) {
  const line = statusLine(model);
  const list = h("div", { class: "similar-images-scroller", onkeydown: event => {
    const picture = event.target.closest("li")?.querySelector(".picture");
    const next = picture && !event.altKey && neighbour([...list.querySelectorAll(".picture")], picture, event.key);
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    next.focus();
  } });
  const root = h("div", { class: "similar-images", role: "region", "aria-label": "Overview", tabindex: -1 },
    ...line.parts, list);
  el.append(root);
  let groups = []; // {section, filled}

  const near = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) {
      const group = groups.find(one => one.section === target);
      if (!group || isIntersecting === group.filled) continue;
      if (isIntersecting) fill(group);
      else if (!target.contains(document.activeElement)) empty(group);
    }
  }, { root: list, rootMargin: `${AHEAD}px 0px` });

  function newGroup(shown, at) {
    const row = h("ul", { class: "similar-images-hits", "aria-label": shown.title });
    const tick = h("button", { type: "button", onclick: () => model.send({ do: "tick", group: at, on: !isTicked(shown) }) }, "Tick all");
    const section = h("section", { class: "similar-images-group", "aria-label": shown.title },
      h("div", { class: "similar-images-ticked" }, h("h3", {}, shown.title), h("span", {}, shown.note || `${shown.count.toLocaleString("en")} images`), tick), row);
    return { shown, section, row, filled: false };
  }

  function fill(group) {
    group.filled = true;
    group.row.replaceChildren(...group.shown.images.map(newCard));
    model.send({ do: "pictures", rows: group.shown.images.map(image => image.row) });
    drawTicks();
  }

  function empty(group) {
    group.filled = false;
    group.row.style.height = `${group.row.offsetHeight}px`;
    group.row.replaceChildren();
  }

  function newCard({ row, name }) {
    const img = h("img", { alt: name, onload: () => {
      card.style.setProperty("--shape", Math.min(Math.max(img.naturalWidth / img.naturalHeight, 0.6), 2.2).toFixed(3));
    } });
    const why = h("span", { class: "absent" });
    const tick = h("input", { type: "checkbox", "aria-label": `Tick ${name}`, onchange: () => {
      const others = model.get("selection").filter(one => one !== row);
      model.set("selection", tick.checked ? [...others, row] : others);
      model.save_changes();
    } });
    const card = h("li", { class: "similar-images-card" },
      h("button", { type: "button", class: "picture", "aria-label": `Search by ${name}`, onclick: () => model.send({ do: "row", row }) }, img, why),
      h("label", { class: "ticker" }, tick), h("div", { class: "name", title: name }, cutName(name)));
    card.dataset.row = row;
    return card;
  }

  const isTicked = shown => shown.images.every(({ row }) => model.get("selection").includes(row));

  function drawTicks() {
    const ticked = new Set(model.get("selection"));
    for (const card of list.querySelectorAll("li")) {
      const on = ticked.has(Number(card.dataset.row));
      card.querySelector("input").checked = on;
      card.classList.toggle("ticked", on);
    }
    for (const { shown, section } of groups) section.querySelector("button").textContent = isTicked(shown) ? "Untick all" : "Tick all";
  }

  function drawGroups() {
    for (const { section } of groups) near.unobserve(section);
    groups = model.get("groups").map(newGroup);
    list.replaceChildren(...groups.map(({ section }) => section));
    for (const { section } of groups) near.observe(section);
  }

  const drawStatus = () => line.draw(model.get("status"), root);

  function told({ show, pictures, absent }, buffers) {
    if (show !== "pictures") return;
    const cards = row => list.querySelectorAll(`li[data-row="${row}"]`);
    pictures.forEach((row, i) => { for (const card of cards(row)) setPicture(card.querySelector("img"), buffers[i]); });
    for (const [row, why] of absent) for (const card of cards(row)) card.querySelector(".absent").textContent = why;
  }

  leaveShortcuts(root, el);
  const listeners = [["change:groups", drawGroups], ["change:status", drawStatus], ["change:selection", drawTicks], ["msg:custom", told]];
  for (const [event, listener] of listeners) model.on(event, listener);
  drawGroups();
  drawStatus();
  return () => {
    for (const [event, listener] of listeners) model.off(event, listener);
    near.disconnect();
  };
}

export default { render };
