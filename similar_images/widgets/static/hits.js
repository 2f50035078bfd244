// Hits on a page: ticked ones, which are the model's `selection`; marks, + and -; further hits as one scrolls.
// It follows search.js. The first hits come with `shown`, others as messages in blocks. A block that is far from what is
// seen keeps its height only: however far one scrolls, the page holds a few hundred hits.

const AHEAD = 1500; // pixels below what is seen, within which hits are drawn

/**
 * Return the parts of a page that shows hits. `copied`: what is copied of a hit, `exports`: [form, label] of the files
 * that ticked hits are exported as. Each card, a <li>, is made by build(card), and filled by fill(card, hit).
 * Where hits have pictures, picture(card, made) shows one when it is there.
 */
function showing({ model, root, ask }, { copied, exports, build, fill, picture = () => {} }) {
  const cards = []; // of the first hits, used again for every query
  let blocks = []; // of further hits: {start, list, cards}
  let loaded = 0; // hits that the page knows of
  let isAll = true; // whether there are no others
  let isAsked = false; // whether further hits were asked for
  let lastTicked = null; // the row from which Shift ticks on

  const unlike = h("p", { class: "unlike", role: "status", hidden: true }, "No close match in this collection. These are the nearest.");
  const changes = h("p", { class: "changes", role: "status" });
  const number = h("span", { "aria-live": "polite" });
  const all = h("button", { type: "button", onclick: () => tickAll() }, "Tick all");
  const none = h("button", { type: "button", onclick: () => select([]) }, "Untick all");
  const among = h("button", { type: "button", onclick: () => {
    model.set("among", model.get("among").length ? [] : model.get("selection"));
    model.save_changes();
  } });
  const takes = exports.map(([form, label]) => h("button", { type: "button", title: label, "aria-label": label, onclick: () => ask({ do: "export", form }) },
    form.toUpperCase()));
  const list = h("ul", { class: "similar-images-hits", "aria-label": "Hits" });
  const further = h("div");
  const more = h("button", { type: "button", class: "more", hidden: true, onclick: () => grow() }, "More hits");
  const scroller = h("div", { class: "similar-images-scroller" }, list, further, more);
  const found = h("section", { "aria-label": "Found" }, unlike, changes,
    h("div", { class: "similar-images-ticked" }, all, none, among, number, ...takes), scroller);
  const drawn = () => [...cards, ...blocks.flatMap(block => block.cards)];

  // --- a card ---------------------------------------------------------------------------------------------------
  function newCard() {
    const card = { hit: null };
    card.tick = h("input", { type: "checkbox", onclick: event => tick(card, card.tick.checked, event.shiftKey) });
    card.more = h("button", { type: "button", class: "mark", title: "More like this (+)", onclick: () => mark(card, 1) }, "+");
    card.less = h("button", { type: "button", class: "mark", title: "Less like this (-)", onclick: () => mark(card, -1) }, "−");
    card.open = h("button", { type: "button", title: "Open (o)", onclick: () => ask({ do: "original", row: card.hit.row }) }, "Open");
    card.copied = h("button", { type: "button", class: "copy", onclick: async () => {
      await copy(card.hit.name, root);
      card.copied.textContent = "Copied";
      setTimeout(() => { card.copied.textContent = "Copy"; }, 1500);
    } }, "Copy");
    card.ticker = h("label", { class: "ticker", title: "Tick (x), with Shift from the last one on" }, card.tick);
    card.tools = h("div", { class: "tools" }, card.ticker, card.more, card.less, card.open, card.copied);
    card.item = h("li", { class: "similar-images-card", onkeydown: event => pressed(card, event) });
    build(card);
    return card;
  }

  function fillCard(card, hit) {
    card.hit = hit;
    card.item.classList.toggle("missed", hit.missed);
    card.meaning.textContent = card.meaning.title = hit.missed ? `found by exact search only; ${hit.meaning}` : hit.meaning;
    card.meaning.classList.toggle("same", hit.same);
    const labels = [[card.open, "Open"], [card.copied, `Copy ${copied}`], [card.tick, "Tick"], [card.more, "More like"], [card.less, "Less like"]];
    for (const [control, label] of labels) control.setAttribute("aria-label", short(`${label} ${hit.name}`));
    fill(card, hit);
    picture(card, hit);
    drawTick(card, new Set(model.get("selection")));
  }

  function pressed(card, event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const next = neighbour(drawn().map(one => one.button), card.button, event.key);
    if (next) next.focus();
    else if (["+", "="].includes(event.key)) mark(card, 1);
    else if (event.key === "-") mark(card, -1);
    else if (event.key === "o" && !card.open.hidden) card.open.click();
    else if (event.key.toLowerCase() === "x") tick(card, !card.tick.checked, event.shiftKey);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  const short = label => (label.length > 80 ? `${label.slice(0, 79)}…` : label);
  const mark = (card, sign) => ask({ do: "mark", row: card.hit.row, sign });

  // --- what is ticked -------------------------------------------------------------------------------------------
  function select(rows) {
    model.set("selection", rows);
    model.save_changes();
  }

  /** Tick a card or untick it; with Shift also those between it and the one before. */
  function tick(card, on, isRange) {
    const rows = drawn().map(one => one.hit.row), { row } = card.hit;
    const ends = [rows.indexOf(isRange ? lastTicked : row), rows.indexOf(row)].sort((a, b) => a - b);
    const meant = ends[0] < 0 ? [row] : rows.slice(ends[0], ends[1] + 1);
    const others = model.get("selection").filter(one => !meant.includes(one));
    lastTicked = row;
    select(on ? [...others, ...meant] : others);
  }

  const areAllTicked = ticked => drawn().every(card => ticked.has(card.hit.row));

  function tickAll() {
    const rows = drawn().map(card => card.hit.row), shown = new Set(rows);
    const others = model.get("selection").filter(row => !shown.has(row));
    select(areAllTicked(new Set(model.get("selection"))) ? others : [...others, ...rows]);
  }

  function drawTick(card, ticked) {
    card.tick.checked = ticked.has(card.hit.row);
    card.item.classList.toggle("ticked", card.tick.checked);
  }

  function drawTicks() {
    const ticked = new Set(model.get("selection"));
    const shown = drawn();
    for (const card of shown) drawTick(card, ticked);
    number.textContent = ticked.size ? `${ticked.size} ticked. Export:` : "";
    for (const button of [none, ...takes]) button.hidden = !ticked.size;
    const few = model.get("among").length;
    among.hidden = !ticked.size && !few;
    among.textContent = few ? `Search all, not only ${few.toLocaleString("en")}` : "Search only these";
    all.hidden = shown.length > 0 && areAllTicked(ticked);
  }

  // --- the first hits, and further ones -------------------------------------------------------------------------
  function draw(shown) {
    while (cards.length < shown.hits.length) cards.push(newCard());
    for (const unused of cards.splice(shown.hits.length)) unused.item.remove();
    shown.hits.forEach((hit, i) => {
      fillCard(cards[i], hit);
      if (!cards[i].item.isConnected) list.append(cards[i].item);
    });
    for (const block of blocks) near.unobserve(block.list);
    blocks = [];
    further.replaceChildren();
    scroller.scrollTop = 0;
    [loaded, isAll, isAsked] = [cards.length, shown.is_all, false];
    more.hidden = isAll;
    unlike.hidden = !shown.unlike;
    changes.textContent = shown.changes;
    drawTicks();
  }

  // A request that is not the user's own: it ends no message.
  const request = start => model.send({ do: "more", number: model.get("shown").number, start });

  function grow() {
    if (isAll || isAsked) return;
    isAsked = true;
    request(loaded);
  }

  scroller.addEventListener("scroll", () => {
    if (scroller.scrollTop + scroller.clientHeight > scroller.scrollHeight - AHEAD) grow();
  });

  const near = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) {
      const block = blocks.find(one => one.list === target);
      if (!block || isIntersecting === block.cards.length > 0) continue;
      if (isIntersecting) request(block.start);
      else if (!target.contains(document.activeElement)) empty(block);
    }
  }, { root: scroller, rootMargin: `${AHEAD}px 0px` });

  function empty(block) {
    block.list.style.height = `${block.list.offsetHeight}px`;
    block.list.replaceChildren();
    block.cards = [];
  }

  function addBlock(message, buffers) {
    let block = blocks.find(one => one.start === message.start);
    if (!block) {
      if (message.start !== loaded) return;
      const last = message.start + message.hits.length;
      block = { start: message.start, cards: [], list: h("ul", { class: "similar-images-hits", "aria-label": `Hits ${loaded + 1} to ${last}` }) };
      [loaded, isAll, isAsked] = [last, message.is_all, false];
      more.hidden = isAll;
      if (!message.hits.length) return;
      blocks.push(block);
      further.append(block.list);
      near.observe(block.list);
    }
    if (!block.cards.length) {
      block.cards = message.hits.map(hit => { const card = newCard(); fillCard(card, hit); return card; });
      block.list.replaceChildren(...block.cards.map(card => card.item));
      block.list.style.height = "";
    }
    addPictures(message, buffers);
    drawTicks();
  }

  function addPictures({ pictures = [], absent = [] }, buffers) {
    const made = new Map([...pictures.map((row, i) => [row, { picture: buffers[i], absent: "" }]),
      ...absent.map(([row, reason]) => [row, { picture: null, absent: reason }])]);
    for (const card of drawn()) if (made.has(card.hit.row)) picture(card, made.get(card.hit.row));
  }

  function told(message, buffers) {
    if (message.number !== model.get("shown").number) return;
    if (message.show === "more") addBlock(message, buffers);
    else if (message.show === "pictures") addPictures(message, buffers);
  }

  return { found, draw, drawn, listeners: [["msg:custom", told], ["change:selection", drawTicks], ["change:among", drawTicks]], end: () => near.disconnect() };
}

/** Return the list of what is marked, and the function that draws it. picture(img, made) shows what a mark looks like. */
function marking({ model, ask }, picture) {
  const lists = [["positives", "More like these", "+"], ["negatives", "Less like these", "−"]].map(([name, label, sign]) => {
    const list = h("ul", { "aria-label": label });
    return { name, list, part: h("div", { class: "similar-images-marks", hidden: true }, h("b", { "aria-hidden": "true" }, sign), list) };
  });
  const none = h("button", { type: "button", hidden: true, onclick: () => {
    model.set({ positives: [], negatives: [] });
    model.save_changes();
  } }, "Clear marks");

  function draw(shown) {
    for (const { name, list, part } of lists) {
      part.hidden = !shown[name].length;
      list.replaceChildren(...shown[name].map((mark, at) => {
        const label = `Unmark ${mark.name}`;
        const remove = h("button", { type: "button", title: label, "aria-label": label, onclick: () => ask({ do: "unmark", name, at }) });
        picture(remove, mark);
        return h("li", {}, remove);
      }));
    }
    none.hidden = ![...shown.positives, ...shown.negatives].some(mark => mark.row !== null);
  }

  return { parts: [...lists.map(({ part }) => part), none], draw };
}

