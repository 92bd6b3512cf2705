// Where in the plane of resid_mid which token is the top prediction.
//
// From there on the model is piecewise linear: the plane is cut where a hidden unit is 0, and inside a piece
// every logit is linear. So polygons are exact; values at their corners come from the engine.

const MOST_CELLS = 4000;

// Values that the engine computes from points of resid_mid: (N, C) -> the array `name`, (N, 1, ...).
function from_stream(points, name) {
  const cache = empty_cache(TABLE, SIZES, points.length, 1, RESIDUAL);
  points.forEach((point, n) => point.forEach((x, c) => (cache.resid_mid.data[n * SIZES.C + c] = x)));
  run_after("resid_mid", cache, name);
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
  const values = a.values.map((value, i) => value + share * (b.values[i] - value));
  return { x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y), values, n: -1 };
}

// [{token, corners}] that cover a box {x0, x1, y0, y1}; null if there are too many pieces.
function exact_regions({ x0, x1, y0, y1 }) {
  const corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  const { F, V } = SIZES, pre = from_stream(corners, "ffn_pre").data;
  let cells = [corners.map(([x, y], n) => ({ x, y, values: Array.from(pre.subarray(n * F, (n + 1) * F)), n: -1 }))];
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
  const all = [];
  for (const cell of cells) for (const corner of cell) if (corner.n < 0) corner.n = all.push(corner) - 1;
  const logits = from_stream(all.map(({ x, y }) => [x, y]), "logits").data, found = [];
  for (const cell of cells) {
    const best = argmax(logits, cell[0].n * V, V), rivals = [best];
    for (let j = 0; j < V; j++) {                   // a token that another beats at every corner wins nowhere
      if (j !== best && cell.some(({ n }) => logits[n * V + j] >= logits[n * V + best])) rivals.push(j);
    }
    if (rivals.length === 1) {
      found.push({ token: best, corners: cell });
      continue;
    }
    const here = cell.map(({ x, y, n }) => ({ x, y, values: rivals.map((j) => logits[n * V + j]), n }));
    rivals.forEach((token, j) => {
      let part = here;
      for (let k = 0; k < rivals.length && part; k++) if (k !== j) part = clip_polygon(part, ({ values }) => values[j] - values[k]);
      if (part) found.push({ token, corners: part });
    });
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

function area(corners) {
  let sum = 0;
  for (let i = 0; i < corners.length; i++) {
    const here = corners[i], next = corners[(i + 1) % corners.length];
    sum += here.x * next.y - next.x * here.y;
  }
  return Math.abs(sum) / 2;
}
