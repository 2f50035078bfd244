// The layers of the map: colours and dots, pictures, and the marks over them. It follows points.js.

const CROWD = 2000; // points in view; with fewer, pictures are shown
const PICTURE = [56, 160]; // pixels; sides of the pictures on the map
const KEPT = 600; // pictures; some 50 MB
const DOT = [1.2, 7]; // pixels; radii
const PLAIN = "#6f8fb0"; // of points without a colour of their own
const UNKNOWN = "#8a8f94"; // of points without a value, where others have one
const PAUSE = 80; // ms without a move until pictures are asked for

const clamp = (value, [least, most]) => Math.min(Math.max(value, least), most);

/** Return [red, green, blue] of a CSS colour. */
function channels(colour) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data.slice(0, 3);
}

const mixed = (one, other, share) => one.map((value, i) => Math.round(value + (other[i] - value) * share));
const packed = ([red, green, blue]) => red | green << 8 | blue << 16;
const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

/** Return [r, g, b] for each code of a legend. */
function paints(legend) {
  const all = Array(256).fill([...channels(legend.entries?.length || legend.colours ? UNKNOWN : PLAIN)]);
  (legend.entries ?? []).forEach((entry, i) => { all[i + 1] = [...channels(entry.colour)]; });
  if (legend.colours) {
    const stops = legend.colours.map(colour => [...channels(colour)]);
    for (let step = 0; step < legend.steps; step++) {
      const at = step / (legend.steps - 1) * (stops.length - 1);
      const stop = Math.min(Math.floor(at), stops.length - 2);
      all[step + 1] = mixed(stops[stop], stops[stop + 1], at - stop);
    }
  }
  return all;
}

/** Pictures of rows, as bitmaps: asked for when the view rests, the least recently used are dropped. */
function keptPictures(request, changed) {
  const kept = new Map();
  const absent = new Set();
  let timer;

  async function add(row, bytes) {
    if (!bytes.byteLength) return absent.add(row);
    try {
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      kept.get(row)?.close();
      kept.set(row, bitmap);
    } catch {
      absent.add(row);
    }
  }

  return {
    /** Return the picture of a row, if it is here. */
    get(row) {
      const bitmap = kept.get(row);
      if (bitmap) {
        kept.delete(row); // to the end
        kept.set(row, bitmap);
      }
      return bitmap;
    },
    /** Ask for those of the rows that are not here. */
    want(rows) {
      clearTimeout(timer);
      const missing = rows.filter(row => !kept.has(row) && !absent.has(row));
      if (missing.length) timer = setTimeout(() => request(missing), PAUSE);
    },
    async receive(rows, buffers) {
      await Promise.all(rows.map((row, i) => add(row, buffers[i])));
      for (const [row, bitmap] of kept) {
        if (kept.size <= KEPT) break;
        bitmap.close();
        kept.delete(row);
      }
      changed();
    },
    close() {
      clearTimeout(timer);
      for (const bitmap of kept.values()) bitmap.close();
      kept.clear();
    },
  };
}

/** Draw dots and pictures of a state into a canvas, rather of the query and of what is selected; return what is in view: its rows, and the pictures' places. */
function drawMap(canvas, state, pictures, query) {
  const { points, view, selected, codes, width, height, ratio, colours } = state;
  const context = canvas.getContext("2d");
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    state.image = context.createImageData(canvas.width, canvas.height);
  }
  const count = rowsInView(points, view, width, height).length;
  const radius = clamp(Math.sqrt(0.04 * width * height / Math.max(count, 1)), DOT) * ratio;
  drawPoints(state.image, points, { ...state, radius, view: { ...view, scale: view.scale * ratio } });
  context.putImageData(state.image, 0, 0);
  const places = [];
  if (!count || count > CROWD) {
    pictures.want([]);
    return { count, places };
  }
  const side = clamp(Math.sqrt(width * height / count) * 0.8, PICTURE);
  const near = rowsInView(points, view, width + 2 * side, height + 2 * side);
  const isFirst = row => row === query || selected?.[row];
  const shown = spread(points, [...near.filter(isFirst), ...near.filter(row => !isFirst(row))], 2 ** Math.round(Math.log2(side / view.scale)));
  pictures.want(shown);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.imageSmoothingQuality = "high";
  for (const row of shown.reverse()) { // the first ones over the others
    const bitmap = pictures.get(row);
    if (!bitmap) continue;
    const fitting = side / Math.max(bitmap.width, bitmap.height);
    const [w, h] = [bitmap.width * fitting, bitmap.height * fitting];
    const [x, y] = [width / 2 + (points.xs[row] - view.x) * view.scale - w / 2, height / 2 - (points.ys[row] - view.y) * view.scale - h / 2];
    context.drawImage(bitmap, x, y, w, h);
    if (selected && !selected[row]) {
      context.globalAlpha = 0.65;
      context.fillStyle = state.paper;
      context.fillRect(x, y, w, h);
    }
    context.lineWidth = codes || selected?.[row] ? 3 : 1;
    if (selected && !selected[row]) context.globalAlpha = 0.3;
    context.strokeStyle = selected?.[row] ? state.accent : css(colours.named[codes ? codes[row] : 0]);
    context.strokeRect(x, y, w, h);
    context.globalAlpha = 1;
    places.push({ row, x, y, w, h });
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  return { count, places };
}

/** Draw the marks over the map: the query, what is pointed at, the centre of the keyboard, a lasso or a box. */
function drawMarks(canvas, state, { query, current, hasKeyboard, outline }) {
  const { points, view, width, height, ratio, accent, ink, paper } = state;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)]; // which clears it
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const place = ([x, y]) => [width / 2 + (x - view.x) * view.scale, height / 2 - (y - view.y) * view.scale];
  const stroke = (colour, line, dash = []) => {
    for (const [style, wide] of [[paper, line + 2], [colour, line]]) { // with a rim, to be seen on any picture
      context.setLineDash(style === colour ? dash : []);
      context.strokeStyle = style;
      context.lineWidth = wide;
      context.stroke();
    }
  };
  for (const [row, radius, colour] of [[query, 11, accent], [current, 8, ink]]) {
    if (row === null || row < 0 || !(row < points.n) || Number.isNaN(points.xs[row])) continue;
    context.beginPath();
    context.arc(...place([points.xs[row], points.ys[row]]), radius, 0, 2 * Math.PI);
    stroke(colour, 2);
  }
  if (hasKeyboard) {
    context.beginPath();
    for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(width / 2 + 3 * x, height / 2 + 3 * y);
      context.lineTo(width / 2 + 9 * x, height / 2 + 9 * y);
    }
    stroke(ink, 2);
  }
  if (outline?.length > 1) {
    context.beginPath();
    outline.forEach((one, i) => context[i ? "lineTo" : "moveTo"](...place(one)));
    context.closePath();
    stroke(accent, 2, [6, 4]);
  }
}
