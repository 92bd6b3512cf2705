// Where in the plane of resid_mid which token is the top prediction.
//
// From there on the model is piecewise linear: the plane is cut where a hidden unit is 0, and inside a piece
// every logit is linear. So polygons are exact; values at their corners come from the engine.

const MOST_CELLS = 4000;

// Values that the engine computes from points of resid_mid: (N, C) -> the array `name`, (N, 1, ...).
function from_stream(points, name) {
  const cache = empty_cache(TABLE, SIZES, points.length, 1, RESIDUAL);
  points.forEach((point, n) => point.forEach((x, c) => (cache.resid_mid.data[n * SIZES.C + c] = x)));
  run_after("resid_mid", cache);
  return cache[name];
}

// The part of a polygon where f(corner) >= 0. A corner is {x, y, values}; what is linear is interpolated.
function clip_polygon(corners, f) {
  const kept = [];
  for (let i = 0; i < corners.length; i++) {
    const a = corners[i], b = corners[(i + 1) % corners.length], u = f(a), v = f(b);
    if (u >= 0) kept.push(a);
    if ((u > 0 && v < 0) || (u < 0 && v > 0)) kept.push(between(a, b, u / (u - v)));
  }
  return kept.length > 2 ? kept : null;
}

function between(a, b, share) {
  const values = new Float64Array(a.values.length);
  for (let i = 0; i < values.length; i++) values[i] = a.values[i] + share * (b.values[i] - a.values[i]);
  return { x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y), values };
}

// [{token, corners}] that cover a box {x0, x1, y0, y1}; null if there are too many pieces.
function exact_regions({ x0, x1, y0, y1 }) {
  const corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  const { F, V } = SIZES, pre = from_stream(corners, "ffn_pre").data;
  let cells = [corners.map(([x, y], n) => ({ x, y, values: pre.slice(n * F, (n + 1) * F) }))];
  for (let f = 0; f < F; f++) {
    const next = [];
    for (const cell of cells) {
      let low = false, high = false;
      for (const corner of cell) {
        low = low || corner.values[f] < 0;
        high = high || corner.values[f] > 0;
      }
      if (!low || !high) next.push(cell);
      else for (const sign of [1, -1]) {
        const part = clip_polygon(cell, (corner) => sign * corner.values[f]);
        if (part) next.push(part);
      }
    }
    cells = next;
    if (cells.length > MOST_CELLS) return null;
  }
  const all = [...new Set(cells.flat())];
  const logits = from_stream(all.map(({ x, y }) => [x, y]), "logits").data;
  const located = new Map(all.map(({ x, y }, n) => [n, { x, y, values: logits.subarray(n * V, (n + 1) * V) }]));
  const number_of = new Map(all.map((corner, n) => [corner, n]));
  const found = [];
  for (const cell of cells) {
    const here = cell.map((corner) => located.get(number_of.get(corner)));
    let rivals = [];
    for (let j = 0; j < V; j++) {                   // a token that another beats at every corner wins nowhere
      const best = argmax(here[0].values, 0, V);
      if (j === best || !here.every(({ values }) => values[best] > values[j])) rivals.push(j);
    }
    if (rivals.length === 1) found.push({ token: rivals[0], corners: here });
    else for (const j of rivals) {
      let part = here;
      for (const k of rivals) if (k !== j && part) part = clip_polygon(part, ({ values }) => values[j] - values[k]);
      if (part) found.push({ token: j, corners: part });
    }
  }
  return found;
}

// The same on a grid of squares, for a plane through a space of more dimensions.
function sampled_regions({ x0, x1, y0, y1 }, to_space, count = 44) {
  const w = (x1 - x0) / count, h = (y1 - y0) / count, points = [], found = [];
  for (let i = 0; i < count; i++) for (let j = 0; j < count; j++) points.push(to_space([x0 + (j + 0.5) * w, y0 + (i + 0.5) * h]));
  const logits = from_stream(points, "logits").data;
  for (let i = 0; i < count; i++) {
    for (let j = 0, start = 0; j < count; j++) {
      const token = argmax(logits, (i * count + j) * SIZES.V, SIZES.V);
      const next = j + 1 < count ? argmax(logits, (i * count + j + 1) * SIZES.V, SIZES.V) : -1;
      if (next === token) continue;
      const [a, b, c, d] = [x0 + start * w, x0 + (j + 1) * w, y0 + i * h, y0 + (i + 1) * h];
      found.push({ token, corners: [{ x: a, y: c }, { x: b, y: c }, { x: b, y: d }, { x: a, y: d }] });
      start = j + 1;
    }
  }
  return found;
}

const area = (corners) => Math.abs(corners.reduce((sum, { x, y }, i) => {
  const next = corners[(i + 1) % corners.length];
  return sum + x * next.y - next.x * y;
}, 0)) / 2;
