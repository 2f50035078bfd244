// The page of the texts: a box that searches as one stops typing, and the hits with what they share with it.
// It follows hits.js.

const PAUSE = 300; // milliseconds without a key after which a text is searched

const plain = text => text.split(/\s+/).filter(Boolean).join(" ");

function render({ model, el }) {
  const { ask, start, root, moves, settings, said } = searching({ model, el }, { label: "Similar texts", random: "Random text", draw });
  const { found, ...hits } = showing({ model, root, ask }, { copied: "text", build, fill, exports: [["csv", "Texts (CSV)"]] });
  const filters = filtering({ model, ask });
  const marks = marking({ model, ask }, (button, mark) => button.append(mark.name));
  let pause = null; // the timer that runs while one types
  let awaited = null; // the text that was typed and is not answered yet

  // --- what there is to see -------------------------------------------------------------------------------------
  const typed = h("textarea", { rows: 2, dir: "auto", maxlength: model.get("characters"), "aria-label": "Search for",
    placeholder: "Type what to search for", oninput: () => wait(), onkeydown: event => entered(event) });
  const title = h("p", { id: `text-${Math.random().toString(36).slice(2)}` }, "The whole text");
  const whole = h("p", { class: "similar-images-whole", dir: "auto", tabindex: 0 });
  const dialog = h("dialog", { "aria-labelledby": title.id }, title, whole, h("form", { method: "dialog" }, h("button", { autofocus: true }, "Close")));
  root.append(h("div", { class: "similar-images-controls" }, ...moves, ...settings), typed, filters.part, ...said, ...marks.parts, found, dialog);
  found.classList.add("similar-images-texts");

  function build(card) {
    card.number = h("b");
    card.bar = h("div", { class: "bar", "aria-hidden": "true" }, h("div"));
    card.meaning = h("div", { class: "meaning" });
    card.button = h("button", { type: "button", class: "text", dir: "auto", title: "Search by it",
      onclick: () => askOther({ do: "row", row: card.hit.row }) });
    card.item.append(h("div", { class: "measure" }, card.number, card.bar, card.meaning), card.button, card.tools);
  }

  function fill(card, hit) {
    card.number.textContent = hit.similarity.toFixed(2);
    card.bar.firstChild.style.width = `${100 * Math.max(0, Math.min(1, hit.similarity))}%`;
    card.button.replaceChildren(...hit.pieces.map(([text, matches]) => (matches ? h("mark", {}, text) : text)));
    card.open.hidden = !hit.is_cut;
  }

  /** Show the query in the box, unless a newer one stands there already. */
  function draw(shown) {
    marks.draw(shown);
    hits.draw(shown);
    if (pause !== null || (awaited !== null && awaited !== shown.query.name)) return;
    awaited = null;
    if (plain(typed.value) !== shown.query.name) typed.value = shown.query.name;
  }

  // --- what is typed --------------------------------------------------------------------------------------------
  function stop() {
    clearTimeout(pause);
    pause = null;
  }

  function wait() {
    stop();
    pause = setTimeout(() => search(true), PAUSE);
  }

  function search(provisional) {
    stop();
    const text = plain(typed.value);
    if (!text || (provisional && text === (awaited ?? model.get("shown").query?.name))) return;
    awaited = text;
    ask({ do: "text", text, provisional });
  }

  function entered(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    search(false);
  }

  /** Ask for something that does not stand in the box, which is to stand there then. */
  function askOther(message) {
    forget();
    ask(message);
  }

  function forget() {
    stop();
    awaited = null;
  }

  for (const button of moves) button.addEventListener("click", forget);
  root.addEventListener("keydown", event => { if (event.altKey) forget(); });

  function told(message) {
    if (message.show !== "original") return;
    whole.textContent = message.text;
    dialog.showModal();
  }

  return start([["msg:custom", told], ...hits.listeners, ...filters.listeners], () => { stop(); hits.end(); });
}

export default { render };
