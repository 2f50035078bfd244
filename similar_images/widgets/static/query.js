// The query on the gallery's page: its picture, and the box on it that searches by a part. It follows hits.js.

const STEP = 0.05; // of the picture's side, that an arrow key moves a box by
const SMALLEST = 0.02; // of the picture's side; a smaller box was a click

/** Set the two spans of an element: a name and a note. */
function setName(element, name, note) {
  const [label, bold] = element.children;
  label.textContent = name;
  bold.textContent = note;
  element.title = name;
}

/** Return the figure of the query, draw(query) that draws it, and drawPicture(made) for a picture that is made later. */
function queried({ model, ask }, marks) {
  let box = null; // left, top, right, bottom, as shares of the query's width and height
  const picture = h("img", { alt: "", draggable: "false" });
  const absent = h("span", { class: "absent" });
  const outline = h("div", { class: "similar-images-box", hidden: true });
  const frame = h("div", { class: "similar-images-frame", tabindex: 0, role: "application",
    "aria-label": "The query. Drag a box on it to search by that part, or press Enter for a box, " +
      "arrow keys to move it, Shift with arrow keys to resize it, Enter to search, Escape to cancel" }, picture, absent, outline);
  const caption = h("figcaption", {}, h("span"), h("b"));
  const whole = h("button", { type: "button", hidden: true, onclick: () => searchWhole() }, "Search by the whole image");
  const boxing = h("span", {}, "Drag a box on it to search by that part. ");
  const figure = h("figure", { class: "similar-images-query" }, frame, caption, whole, ...marks,
    h("p", {}, boxing, "Drop or paste images anywhere here."));

  function drawPicture(made) {
    setPicture(picture, made.picture);
    picture.hidden = !made.picture;
    absent.textContent = made.absent;
  }

  function draw(query) {
    drawPicture(query);
    if (query.words) absent.textContent = query.words;
    frame.classList.toggle("words", Boolean(query.words));
    boxing.hidden = Boolean(query.words);
    picture.alt = query.name;
    setBox(query.box);
    whole.hidden = !query.box;
    setName(caption, query.name, query.box ? "part" : "query");
    if (query.words) caption.firstChild.textContent = ""; // they stand in place of the picture
  }

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
    if (event.altKey || picture.hidden) return;
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

  return { figure, draw, drawPicture };
}

