// Choose the near-duplicates to keep: a section of checkboxes for each group, and the choice as a file.
// Each checkbox has data-row, data-bytes, data-sha256, data-cell (its name for CSV) and data-quoted (name, bytes and SHA-256
// for the shell), the last two as JSON. A file that could not be read has no SHA-256.

/** Return the choice as CSV. */
function choiceAsCsv(groups, columns) {
  return columns + groups.flatMap((boxes, i) =>
    boxes.map(box => `${JSON.parse(box.dataset.cell)},${box.checked ? "keep" : "move"},${i + 1},${fileOf(box.dataset)}\n`)).join("");
}

/** Return the bytes and the SHA-256 of a file as cells of a CSV; empty if it could not be read. */
function fileOf({ bytes, sha256 }) {
  return sha256 ? `${bytes},${sha256}` : ",";
}

/** Return the choice as a shell script. */
function choiceAsScript(groups, head, tail) {
  return head + groups.flatMap(boxes => {
    const kept = boxes.find(box => box.checked);
    return boxes.filter(box => !box.checked).map(box => `move ${JSON.parse(box.dataset.quoted)} ${JSON.parse(kept.dataset.quoted)}\n`);
  }).join("") + tail;
}

/** Save a text as a file of the user's. */
function saveText(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * Let the user choose in `root`, with a section of checkboxes for each group. `keep` are the first rows to keep.
 * changed(rows) gets the new ones, tell(moves, bytes) the number and size of the files to move. Each group keeps at
 * least one image. Return { groups, set(rows) }.
 */
function choosing(root, { keep, proposed, changed, tell }) {
  const groups = [...root.querySelectorAll("section")].map(section => [...section.querySelectorAll("input[data-row]")]);
  const boxes = groups.flat();
  const groupOf = box => groups.find(group => group.includes(box));
  const isProposed = new Set(proposed);

  function drawn() {
    const moved = boxes.filter(box => !box.checked);
    for (const box of boxes) box.closest("li").classList.toggle("moved", !box.checked);
    tell(moved.length, moved.reduce((sum, box) => sum + Number(box.dataset.bytes), 0));
  }

  function set(rows) {
    const kept = new Set(rows);
    for (const group of groups) {
      const has = group.some(box => kept.has(Number(box.dataset.row)));
      for (const box of group) box.checked = (has ? kept : isProposed).has(Number(box.dataset.row));
    }
    drawn();
  }

  function choose(group, isKept) {
    for (const box of group) box.checked = isKept(box);
    told();
  }

  function told() {
    drawn();
    changed(boxes.filter(box => box.checked).map(box => Number(box.dataset.row)));
  }

  function move(box, key) {
    const group = groupOf(box);
    if (key === "ArrowLeft" || key === "ArrowRight") return group[group.indexOf(box) + (key === "ArrowLeft" ? -1 : 1)];
    return groups[groups.indexOf(group) + (key === "ArrowUp" ? -1 : 1)]?.[0];
  }

  root.addEventListener("change", event => {
    if (!boxes.includes(event.target)) return;
    if (!groupOf(event.target).some(box => box.checked)) event.target.checked = true;
    told();
  });
  root.addEventListener("keydown", event => {
    if (!boxes.includes(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const group = groupOf(event.target);
    if (event.key.startsWith("Arrow")) move(event.target, event.key)?.focus();
    else if (group[Number(event.key) - 1]) choose(group, box => box === group[Number(event.key) - 1]);
    else if (event.key === "a") choose(group, () => true);
    else if (event.key === "p") choose(group, box => isProposed.has(Number(box.dataset.row)));
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  set(keep);
  return { groups, set };
}

/** Return what would be moved in one sentence. */
function sentence(moves, bytes) {
  return `${moves.toLocaleString("en")} image${moves === 1 ? "" : "s"} to move, ${(bytes / 1e6).toFixed(1)} MB`;
}
