// The blind test's page: two lists side by side, a vote by click or key. It follows page.js.

const CHOICES = [ // what a vote is called, its label and its keys
  ["left", "Left is better", ["1", "ArrowLeft"]],
  ["tie", "Tie", ["t"]],
  ["neither", "Neither", ["n"]],
  ["right", "Right is better", ["2", "ArrowRight"]],
];

function render({ model, el }) {
  const isBusy = () => model.get("status").kind === "busy";
  const vote = choice => {
    if (!isBusy() && model.get("asked").number) model.send({ do: "vote", vote: choice, number: model.get("asked").number });
  };
  const picture = (made, label) => h("div", { class: "picture" }, ...(made.picture
    ? [h("img", { alt: label })] : [h("span", { class: "absent" }, made.absent)]));

  const progress = h("progress", { "aria-label": "Votes" });
  const count = h("span", { role: "status" });
  const failure = h("p", { class: "failure", role: "alert", hidden: true });
  const query = h("div", { class: "similar-images-asked", tabindex: 0, role: "group", "aria-label": "The query. Keys: 1 or left arrow, 2 or right arrow, t, n" });
  const lists = ["left", "right"].map(side => h("section", { "aria-label": `${side} list` }));
  const buttons = CHOICES.map(([choice, label, keys]) =>
    h("button", { type: "button", onclick: () => vote(choice) }, label, h("kbd", { "aria-hidden": "true" }, keys[0])));
  const trial = h("div", {}, query, h("div", { class: "similar-images-lists" }, ...lists), h("div", { class: "similar-images-votes" }, ...buttons));
  const undo = h("button", { type: "button", onclick: () => model.send({ do: "undo" }) }, "Undo the last vote");
  const show = h("button", { type: "button", onclick: () => model.send({ do: "result" }) }, "Show the result");
  const result = h("div", { class: "similar-images-result", role: "status" });
  const root = h("div", { class: "similar-images", role: "region", "aria-label": "Blind test", tabindex: -1 },
    h("p", { class: "status" }, progress, count), failure, trial, h("div", { class: "similar-images-votes" }, undo, show), result);
  el.append(root);

  function draw() {
    const asked = model.get("asked");
    trial.hidden = !asked.number;
    progress.max = model.get("n");
    progress.value = model.get("voted");
    count.textContent = `${model.get("voted")} of ${model.get("n")} done`;
    root.dataset.number = asked.number ?? "";
    if (!asked.number) return;
    fill(query, "Which list is more like this?", [asked.query], "the query");
    fill(lists[0], "Left", asked.left, "left");
    fill(lists[1], "Right", asked.right, "right");
  }

  function fill(place, title, made, label) {
    const pictures = made.map((one, i) => picture(one, made.length > 1 ? `${label}, ${i + 1}` : label));
    place.replaceChildren(h("h3", {}, title), made.length > 1 ? h("ol", {}, ...pictures.map(one => h("li", {}, one))) : pictures[0]);
    made.forEach((one, i) => { if (one.picture) setPicture(pictures[i].firstChild, one.picture); });
  }

  function drawState() {
    const { kind, text } = model.get("status");
    for (const button of buttons) button.disabled = isBusy();
    undo.disabled = isBusy() || !model.get("can_undo");
    failure.textContent = kind === "failure" ? text : "";
    failure.hidden = kind !== "failure";
    root.setAttribute("aria-busy", String(isBusy()));
  }

  function drawResult() {
    const { sentence, rows, plot } = model.get("result");
    if (!sentence) return;
    const table = h("table", {}, ...rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value))));
    const drawn = h("div", {});
    drawn.innerHTML = plot; // an SVG that the kernel drew
    result.replaceChildren(h("p", {}, sentence), table, drawn);
  }

  root.addEventListener("keydown", event => {
    const chosen = CHOICES.find(([, , keys]) => keys.includes(event.key));
    if (!chosen || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) vote(chosen[0]);
  });
  leaveShortcuts(root, el);

  const listeners = { "change:asked": draw, "change:voted": draw, "change:can_undo": drawState, "change:status": drawState, "change:result": drawResult };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  draw();
  drawState();
  drawResult();

  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
  };
}

export default { render };
