// The page of the map: pan, zoom, point, search and select, with the mouse, fingers or keys. It follows map_layers.js.
// `_positions`, `_codes` and `selection` come with the model; names and pictures are asked for by messages.

const STEP = 60; // pixels; of an arrow key
const ZOOM = 1.5; // of a key or a button
const CLICK = 4; // pixels; a pointer that moves further drags
const REACH = 10; // pixels; to a dot that is pointed at
const DESCRIBED = 200; // descriptions that are kept
const HELP = "Drag to pan, wheel to zoom, click to search by an image, Shift and drag to select (with Ctrl: add). " +
  "Keys: arrows pan, + and − zoom, 0 shows all; of the image nearest to the centre: Enter searches, Space selects; " +
  "R begins a box: arrows move it, Shift and arrows resize it, Enter selects, Escape cancels.";

function render({ model, el }) {
  const button = (label, title, onclick) => h("button", { type: "button", title, "aria-label": label.length > 1 ? label : title, onclick }, label);
  const lassoed = h("button", { type: "button", "aria-pressed": "false", title: "Or hold Shift and drag", onclick: () => setLasso(!hasLasso) }, "Lasso");
  const clear = button("Clear selection", "Escape, on the map", () => select([]));
  const count = h("span", { role: "status" });
  const choice = h("select", { "data-lm-suppress-shortcuts": "true", onchange: () => { model.set("color_by", choice.value); model.save_changes(); } });
  const coloured = h("label", {}, "Colour", choice);
  const base = h("canvas", { "aria-hidden": "true" });
  const over = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "map" });
  const image = h("img", { alt: "" });
  const [name, label] = [h("b"), h("span")];
  const card = h("div", { class: "similar-images-map-card", "aria-hidden": "true", hidden: true }, image, name, label);
  const frame = h("div", { class: "similar-images-map-frame" }, base, over, card);
  const legend = h("div", { class: "similar-images-legend", role: "group", "aria-label": "Legend" });
  const line = statusLine(model);
  const said = line.said;
  const words = h("div", { id: `similar-images-help-${Math.random().toString(36).slice(2)}` }, HELP);
  const help = h("details", {}, h("summary", { "data-lm-suppress-shortcuts": "true" }, "Help"), words);
  over.setAttribute("aria-describedby", words.id);
  const root = h("div", { class: "similar-images similar-images-map", role: "region", "aria-label": "Map", tabindex: -1 },
    h("div", { class: "similar-images-controls" }, button("+", "Zoom in", () => zoom(ZOOM)), button("−", "Zoom out", () => zoom(1 / ZOOM)),
      button("Show all", "Key 0", () => showAll()), lassoed, coloured, count, clear),
    frame, ...line.parts, legend, help);
  el.append(root);

  const state = { width: 0, height: 0, ratio: 1, view: null, points: readPoints(model.get("_positions")), codes: null, selected: null };
  const pictures = keptPictures(rows => model.send({ do: "pictures", rows }), () => redraw());
  const described = new Map(); // row -> { name, value, absent, picture }
  const pointers = new Map(); // of fingers and the mouse, while they are down
  let seen = { count: 0, places: [] };
  let [current, hasKeyboard, hasLasso, drag, lasso, box] = [-1, false, false, null, null, null];
  let [frameWaits, timer] = [0, 0];

  // --- drawing --------------------------------------------------------------------------------------------------
  function redraw() {
    frameWaits ||= requestAnimationFrame(() => {
      frameWaits = 0;
      if (!state.width || !state.view) return;
      paint();
      seen = drawMap(base, state, pictures, model.get("query"));
      mark();
      Object.assign(root.dataset, { inView: seen.count, pictures: seen.places.length, drawn: Math.round(performance.timeOrigin + performance.now()) });
    });
  }

  /** Follow the page's colours, which change with its theme. */
  function paint() {
    const style = getComputedStyle(root);
    const theme = `${style.backgroundColor} ${style.color}`;
    if (state.colours && theme === state.theme) return;
    const paper = [...channels(style.backgroundColor)];
    const named = paints(model.get("_legend"));
    const colours = Uint32Array.from([...named, ...named.map(one => mixed(one, paper, 0.75))], packed);
    colours.named = named;
    Object.assign(state, { theme, colours, paper: style.backgroundColor, ink: style.color, accent: getComputedStyle(clear).getPropertyValue("--accent") });
  }

  function mark() {
    const outline = lasso ?? (box && corners(box));
    drawMarks(over, state, { query: model.get("query"), current, hasKeyboard, outline });
  }

  function drawColours() {
    const codes = model.get("_codes");
    state.codes = codes?.byteLength === state.points.n ? new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength) : null;
    const { entries = [], colours, low, high } = model.get("_legend");
    state.order = drawingOrder(state.points.n, colours && state.codes);
    state.colours = null;
    described.clear(); // their values are of other colours
    const drawn = entries.map((entry, i) => {
      const swatch = h("i", { style: `background: ${entry.colour}` });
      const rows = () => [...state.codes.keys()].filter(row => state.codes[row] === i + 1);
      return h("button", { type: "button", title: "Select these", onclick: event => select(rows(), event) }, swatch, entry.label, h("small", {}, entry.count.toLocaleString("en")));
    });
    if (colours) drawn.push(h("span", {}, low.toPrecision(3)), h("i", { class: "scale", style: `background: linear-gradient(to right, ${colours})` }), h("span", {}, high.toPrecision(3)));
    legend.replaceChildren(...drawn);
    legend.hidden = !drawn.length;
    redraw();
  }

  function drawChoices() {
    choice.replaceChildren(...model.get("_choices").map(one => h("option", { value: one }, one || "none")));
    choice.value = model.get("color_by");
    coloured.hidden = model.get("_choices").length < 2;
  }

  function drawSelection() {
    const rows = model.get("selection");
    state.selected = rows.length ? new Uint8Array(state.points.n) : null;
    for (const row of rows) state.selected[row] = 1;
    count.textContent = rows.length ? `${rows.length.toLocaleString("en")} selected` : "";
    clear.hidden = !rows.length;
    root.dataset.selected = rows.length;
    redraw();
  }

  function takePoints() {
    state.points = readPoints(model.get("_positions"));
    const { n, box: { count: placed } } = state.points;
    const absent = n - placed ? `, ${(n - placed).toLocaleString("en")} of them without a place` : "";
    over.setAttribute("aria-label", `Map of ${n.toLocaleString("en")} images${absent}`);
    state.view = viewOfAll(state.points, state.width, state.height);
    drawColours();
    drawSelection();
  }

  const drawStatus = () => line.draw(model.get("status"), root);

  // --- where ----------------------------------------------------------------------------------------------------
  const toMap = (x, y) => [state.view.x + (x - state.width / 2) / state.view.scale, state.view.y - (y - state.height / 2) / state.view.scale];
  const corners = ({ x, y, w, h: up }) => [[x - w, y - up], [x + w, y - up], [x + w, y + up], [x - w, y + up]];
  const placeOf = event => { const { left, top } = over.getBoundingClientRect(); return [event.clientX - left, event.clientY - top]; };

  function pan(x, y) {
    state.view = { ...state.view, x: state.view.x + x / state.view.scale, y: state.view.y - y / state.view.scale };
    redraw();
  }

  /** Zoom; what is at a place of the screen stays there. */
  function zoom(factor, x = state.width / 2, y = state.height / 2) {
    const [mapX, mapY] = toMap(x, y);
    const all = viewOfAll(state.points, state.width, state.height).scale;
    const scale = clamp(state.view.scale * factor, [all / 4, all * 1e5]);
    state.view = { scale, x: mapX - (x - state.width / 2) / scale, y: mapY + (y - state.height / 2) / scale };
    redraw();
  }

  function showAll() {
    state.view = viewOfAll(state.points, state.width, state.height);
    redraw();
  }

  function pick(x, y) {
    const picture = seen.places.findLast(one => x >= one.x && x <= one.x + one.w && y >= one.y && y <= one.y + one.h);
    return picture ? picture.row : nearestRow(state.points, ...toMap(x, y), REACH / state.view.scale);
  }

  const nearestToCentre = () => nearestRow(state.points, state.view.x, state.view.y, Math.hypot(state.width, state.height) / 2 / state.view.scale);

  // --- the image that is pointed at -------------------------------------------------------------------------------
  function point(row, x = state.width / 2, y = state.height / 2) {
    if (row !== current) {
      current = row;
      card.hidden = true;
      clearTimeout(timer);
      if (described.has(row)) describe();
      else if (row >= 0) timer = setTimeout(() => model.send({ do: "describe", row }), 40);
      mark();
    }
    const right = x > state.width / 2;
    Object.assign(card.style, { left: right ? "" : `${x + 16}px`, right: right ? `${state.width - x + 16}px` : "" });
    Object.assign(card.style, y > state.height / 2 ? { top: "", bottom: `${Math.max(state.height - y, 0)}px` } : { top: `${y}px`, bottom: "" });
  }

  function describe() {
    const one = described.get(current);
    setPicture(image, one.picture.byteLength ? one.picture : null);
    image.hidden = !one.picture.byteLength;
    name.textContent = one.name;
    label.textContent = one.absent || one.value;
    card.hidden = false;
    said.textContent = [one.name, one.value, state.selected?.[current] ? "selected" : ""].filter(Boolean).join(", ");
  }

  function told(message, buffers) {
    if (message.show === "pictures") pictures.receive(message.rows, buffers);
    if (message.show !== "described") return;
    described.set(message.row, { name: message.name, value: message.value, absent: message.absent[0], picture: buffers[0] });
    if (described.size > DESCRIBED) described.delete(described.keys().next().value);
    if (message.row === current) describe();
  }

  const search = row => { if (row >= 0) model.send({ do: "search", row }); };

  // --- selection --------------------------------------------------------------------------------------------------
  function select(rows, { ctrlKey, metaKey } = {}) {
    const before = ctrlKey || metaKey ? model.get("selection") : [];
    model.set("selection", [...new Set([...before, ...rows])]);
    model.save_changes();
    drawSelection();
  }

  function toggle(row) {
    if (row < 0) return;
    const before = model.get("selection");
    select(before.includes(row) ? before.filter(one => one !== row) : [...before, row]);
    if (described.has(row)) describe();
  }

  function setLasso(on) {
    hasLasso = on;
    lassoed.setAttribute("aria-pressed", String(on));
    over.classList.toggle("lasso", on);
  }

  // --- pointers ---------------------------------------------------------------------------------------------------
  over.addEventListener("pointerdown", event => {
    if (event.button) return;
    const [x, y] = placeOf(event);
    pointers.set(event.pointerId, [x, y]);
    over.focus({ preventScroll: true });
    over.setPointerCapture(event.pointerId);
    hasKeyboard = false;
    if (pointers.size > 1) [drag, lasso] = [null, null];
    else if (event.shiftKey || hasLasso) lasso = [toMap(x, y)];
    else drag = { x, y, moved: false };
  });

  over.addEventListener("pointermove", event => {
    const [x, y] = placeOf(event);
    const before = pointers.get(event.pointerId);
    if (!before) return event.pointerType === "mouse" ? point(pick(x, y), x, y) : undefined;
    if (pointers.size === 2) {
      const [[otherX, otherY]] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      pan((before[0] - x) / 2, (before[1] - y) / 2);
      zoom(Math.hypot(x - otherX, y - otherY) / Math.max(Math.hypot(before[0] - otherX, before[1] - otherY), 1), (x + otherX) / 2, (y + otherY) / 2);
    } else if (lasso) {
      if (Math.hypot(x - before[0], y - before[1]) < 3) return;
      lasso.push(toMap(x, y));
      mark();
    } else if (drag && (drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > CLICK)) {
      point(-1);
      pan(before[0] - x, before[1] - y);
    } else if (drag) return;
    pointers.set(event.pointerId, [x, y]);
  });

  function lift(event) {
    if (!pointers.delete(event.pointerId)) return;
    const [outline, dragged] = [lasso, drag];
    if (!pointers.size) [lasso, drag] = [null, null];
    if (event.type === "pointercancel") return mark();
    if (outline?.length > 2) {
      setLasso(false);
      select(rowsWithin(state.points, outline), event);
    } else if (dragged && !dragged.moved) search(pick(...placeOf(event)));
    mark();
  }
  for (const type of ["pointerup", "pointercancel"]) over.addEventListener(type, lift);
  over.addEventListener("pointerleave", () => { if (!hasKeyboard) point(-1); });
  over.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 16 : 1) * 0.002), ...placeOf(event));
  }, { passive: false });

  // --- keys -------------------------------------------------------------------------------------------------------
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function useBox(event) {
    const step = (event.shiftKey ? 10 : 20) / state.view.scale;
    if (event.key in ARROWS) {
      const [x, y] = ARROWS[event.key];
      if (event.shiftKey) Object.assign(box, { w: Math.max(box.w + x * step, step), h: Math.max(box.h + y * step, step) });
      else Object.assign(box, { x: box.x + x * step, y: box.y - y * step });
      said.textContent = `Box around ${rowsWithin(state.points, corners(box)).length.toLocaleString("en")} images`;
    } else if (event.key === "Enter") {
      const rows = rowsWithin(state.points, corners(box));
      box = null;
      select(rows, event);
    } else if (event.key === "Escape") box = null;
    else return false;
    mark();
    return true;
  }

  function useMap({ key }) {
    if (key in ARROWS) pan(...ARROWS[key].map(one => one * STEP));
    else if (key === "+" || key === "=") zoom(ZOOM);
    else if (key === "-" || key === "_") zoom(1 / ZOOM);
    else if (key === "0") showAll();
    else if (key === "Enter") search(nearestToCentre());
    else if (key === " ") toggle(nearestToCentre());
    else if (key === "Escape" && !card.hidden && !hasKeyboard) return point(-1) ?? true;
    else if (key === "Escape") select([]);
    else if (key.toLowerCase() === "r") {
      box = { x: state.view.x, y: state.view.y, w: state.width / 6 / state.view.scale, h: state.height / 6 / state.view.scale };
      said.textContent = `Box around ${rowsWithin(state.points, corners(box)).length.toLocaleString("en")} images`;
      card.hidden = true;
      mark();
      return true;
    } else return false;
    hasKeyboard = true;
    point(nearestToCentre());
    return true;
  }

  over.addEventListener("keydown", event => {
    if (event.altKey || (event.ctrlKey || event.metaKey) && event.key !== "Enter") return;
    if (!(box ? useBox(event) : useMap(event))) return;
    event.preventDefault();
    event.stopPropagation();
  });
  over.addEventListener("focus", () => {
    if (!over.matches(":focus-visible") || pointers.size || !state.view) return;
    hasKeyboard = true;
    point(nearestToCentre());
    mark();
  });
  over.addEventListener("blur", () => {
    [hasKeyboard, box] = [false, null];
    point(-1);
    mark();
  });
  leaveShortcuts(root, el);

  // --- beginning and end --------------------------------------------------------------------------------------------
  const resized = new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = over;
    if (!width || width === state.width && height === state.height && state.ratio === devicePixelRatio) return;
    const isFirst = !state.width;
    Object.assign(state, { width, height, ratio: devicePixelRatio });
    if (isFirst) takePoints(); else redraw();
  });
  const setHeight = () => { frame.style.height = `${model.get("height")}px`; };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themed = new MutationObserver(redraw); // JupyterLab's theme
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
  const listeners = { "change:selection": drawSelection, "change:_codes": drawColours, "change:_legend": drawColours, "change:color_by": drawChoices,
    "change:_choices": drawChoices, "change:_positions": takePoints, "change:query": redraw, "change:status": drawStatus, "change:height": setHeight, "msg:custom": told };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  dark.addEventListener("change", redraw);
  setHeight();
  drawChoices();
  drawStatus();
  resized.observe(frame);
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
    dark.removeEventListener("change", redraw);
    themed.disconnect();
    resized.disconnect();
    cancelAnimationFrame(frameWaits);
    clearTimeout(timer);
    pictures.close();
  };
}

export default { render };
