// The filters of a page: a field for each column, which is asked for when the row is opened first. It follows hits.js.

/** Return the row of filters, and its listeners. */
function filtering({ model, ask }) {
  const fields = h("div", { class: "similar-images-controls" });
  const none = h("button", { type: "button", onclick: () => ask({ do: "where", where: {} }) }, "Clear filters");
  const reading = h("span", { role: "status" });
  const part = h("details", { class: "similar-images-filters",
    ontoggle: () => { if (part.open && !model.get("filters").length) model.send({ do: "filters" }); } }, h("summary", {}, "Filter"), fields, reading);
  let controls = []; // {column, inputs, read}

  function newField({ column, kind, texts, ends }) {
    const changed = () => search();
    if (kind === "text") {
      const list = h("select", { onchange: changed }, h("option", { value: "" }, "any"), ...texts.map(text => h("option", { value: text }, text)));
      return { column, inputs: [list], label: h("label", {}, column, list), read: () => list.value };
    }
    if (kind === "part") {
      const text = h("input", { type: "search", placeholder: "part of it", onchange: changed });
      return { column, inputs: [text], label: h("label", {}, column, text), read: () => text.value };
    }
    const [low, high] = ["from", "to"].map((end, i) => h("input", { type: kind, step: "any", min: ends[0], max: ends[1],
      placeholder: ends[i], "aria-label": `${column} ${end}`, onchange: changed }));
    // A whole number that JavaScript cannot hold stays a text.
    const isNumber = text => kind === "number" && (Number.isSafeInteger(Number(text)) || !/^-?\d+$/.test(text));
    const value = input => (input.value === "" ? null : isNumber(input.value) ? Number(input.value) : input.value);
    return { column, inputs: [low, high], label: h("span", { class: "range" }, `${column} `, low, " to ", high), read: () => [value(low), value(high)] };
  }

  const search = () => ask({ do: "where", where: Object.fromEntries(controls.map(({ column, read }) => [column, read()])) });

  function drawFields() {
    controls = model.get("filters").map(newField);
    fields.replaceChildren(...controls.map(({ label }) => label), none);
    drawChosen();
  }

  function drawChosen() {
    const where = model.get("where");
    for (const { column, inputs } of controls) {
      const value = where[column];
      inputs.forEach((input, i) => { input.value = (inputs.length > 1 || Array.isArray(value) ? value?.[i] : value) ?? ""; });
    }
    part.classList.toggle("chosen", Object.keys(where).length > 0);
    none.disabled = !Object.keys(where).length;
  }

  const drawReading = () => { reading.textContent = model.get("reading"); };
  drawFields();
  drawReading();
  return { part, listeners: [["change:filters", drawFields], ["change:where", drawChosen], ["change:reading", drawReading]] };
}

