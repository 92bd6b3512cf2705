// Four planes: embeddings, queries and keys, values, and the stream on the map of predictions.

const Q = "var(--q)", K = "var(--k)", VALUE = "var(--v)", MIXED = "var(--mixed)";
const FAMILY = { even: "o", odd: "s", operator: "d" };
const row_of = (array, ...index) => {
  const width = array.shape[array.shape.length - 1], start = array.at(...index);
  return array.data.subarray(start, start + width);
};

const planes_panel = {
  setup() {
    const move = (key, delta) => {
      const [name, row] = key.split(":"), turned = this.embedding.turn(delta);
      const start = params[name].at(Number(row), 0);
      if (turned.every((x, c) => usable(theta[start + c] + x))) turned.forEach((x, c) => (theta[start + c] += x));
      changed();
    };
    this.embed_plane = new Plane("plane-embed", { drag: move });
    this.score_plane = new Plane("plane-scores");
    this.value_plane = new Plane("plane-values");
    this.stream_plane = new Plane("plane-stream");
    if (!RESIDUAL) $("stream-note").textContent = "This model has no residual connections: attention replaces the stream, so the points before it are shown for comparison only. ";
  },

  // All (token, position) pairs of an array of the grid.
  everywhere(name, head) {
    const found = [];
    for (let i = 0; i < SIZES.V; i++) for (let t = 0; t < SIZES.T; t++) found.push(head === undefined ? row_of(grid[name], i, t) : row_of(grid[name], i, head, t));
    return found;
  },

  backdrop(plane, axes, points) {
    const d = points.map((point) => {
      const [x, y] = plane.to(axes.project(point));
      return `M${Math.round(10 * x) / 10} ${Math.round(10 * y) / 10}h.01`;
    }).join("");
    return make("svg:path", { class: "backdrop", d });
  },

  render() {
    this.t = S.position;
    this.words = S.ids.map((_, t) => word_at(t));
    this.weights = row_of(computed.cache.attention, 0, S.head, this.t);
    this.render_embed();
    this.render_scores();
    this.render_values();
    this.render_stream();
  },

  note(id, axes) {
    set($(`${id}-note`), { text: axes.note ? `Shown: ${axes.note}.` : "" });
  },

  render_embed() {
    const plane = this.embed_plane, all = this.everywhere("embed");
    if (!plane.held) this.embedding = principal(all);
    const axes = this.embedding, tokens = params.W_token, positions = params.W_pos;
    this.note("plane-embed", axes);
    const V = Array.from({ length: SIZES.V }, (_, i) => axes.project(row_of(tokens, i)));
    const Ps = Array.from({ length: SIZES.T }, (_, t) => axes.project(row_of(positions, t)));
    const id = S.ids[this.t], sum = axes.project(row_of(computed.cache.embed, 0, this.t));
    plane.frame([...V, ...Ps, ...all.map(axes.project)], V[id]);
    plane.start();
    plane.arrow(V[id], sum, { stroke: "var(--ink)", width: 1.6 });
    Ps.forEach((p, t) => plane.dot(p, {
      r: 3, kind: `position${t === this.t ? " lit" : ""}`, fill: "var(--soft)", color: "var(--soft)", label: t === 0 || t === SIZES.T - 1 || t === this.t ? `p${t}` : "", drag: `W_pos:${t}`, title: `position ${t}, row of W_pos`,
    }));
    V.forEach((p, i) => plane.dot(p, {
      r: i === id ? 6 : 4.5, shape: FAMILY[RUN.families[i]], fill: token_color(i), label: SIZES.V <= 40 || i === id ? WORDS[i] : "", kind: `token${i === id ? " lit" : ""}`, family: RUN.families[i],
      drag: `W_token:${i}`, title: `token ${WORDS[i]}, row of W_token`,
    }));
    S.ids.forEach((_, t) => plane.dot(axes.project(row_of(computed.cache.embed, 0, t)), {
      r: t === this.t ? 7 : 4, fill: "none", kind: `sum${t === this.t ? " lit" : ""}`, position: t, title: `${this.words[t]}: token plus position`,
      label: t === this.t ? this.words[t] : "", color: "var(--ink)",
    }));
    plane.finish([this.backdrop(plane, axes, all)]);
  },

  render_scores() {
    const plane = this.score_plane, h = S.head, cache = computed.cache;
    const keys = this.everywhere("k", h), queries = this.everywhere("q", h), axes = principal([...keys, ...queries]);
    this.note("plane-scores", axes);
    const most = this.weights.indexOf(Math.max(...this.weights));
    plane.frame([...keys, ...queries].map(axes.project).concat([[0, 0]]), axes.project(row_of(cache.k, 0, h, Math.max(0, most))));
    plane.start();
    const q = row_of(cache.q, 0, h, this.t), origin = axes.flat ? [0, 0] : axes.project(new Float64Array(SIZES.D));
    for (let s = 0; s < S.ids.length; s++) {
      const seen = s <= this.t;
      plane.dot(axes.project(row_of(cache.k, 0, h, s)), {
        r: seen ? 3.5 + 5 * Math.sqrt(this.weights[s]) : 3, fill: K, opacity: seen ? 1 : 0.3, label: this.words[s], position: s, kind: "lit",
        title: `key of ${this.words[s]}: ${seen ? `score ${number(cache.scores.data[cache.scores.at(0, h, this.t, s)], 2)}, attention ${percent(this.weights[s])}` : "comes later: masked"}`,
      });
    }
    plane.arrow(origin, axes.project(q), { stroke: Q, width: 2.4 });
    plane.dot(axes.project(q), { r: 4, fill: Q, label: `query of ${this.words[this.t]}`, kind: "lit" });
    plane.finish([...this.score_background(plane, axes, q), this.backdrop(plane, axes, keys)]);
  },

  // The score that the query would give a key at each point: linear, so one gradient of colour is exact.
  score_background(plane, axes, q) {
    const { x0, x1, y0, y1 } = plane.box(), D = SIZES.D;
    const corners = [[x0, y0], [x1, y0], [x0, y1], [x1, y1]];
    const queries = empty([4, 1, 1, D]), keys = empty([4, 1, 1, D]), scores = empty([4, 1, 1, 1]);
    corners.forEach((p, n) => {
      queries.data.set(q, n * D);
      keys.data.set(axes.lift(p), n * D);
    });
    engine.scores_forward(queries, keys, scores);
    const [a, b, c, d] = scores.data, limit = Math.max(...[a, b, c, d].map(Math.abs)) || 1;
    const slope = [(b - a) / (x1 - x0), axes.note === "one dimension" ? 0 : (c - a) / (y1 - y0)], steep = slope[0] ** 2 + slope[1] ** 2;
    if (!steep) return [];
    const middle = (a + d) / 2, [mx, my] = plane.middle;
    const at = (value) => plane.to([mx + (slope[0] * (value - middle)) / steep, my + (slope[1] * (value - middle)) / steep]);
    const [[g, h], [i, j]] = [at(-limit), at(limit)], map = RUN.colors.signed;
    const stops = Array.from({ length: 9 }, (_, n) => make("svg:stop", { offset: n / 8, "stop-color": css(color_of(map, n / 8)) }));
    return [
      make("svg:linearGradient", { id: "score-gradient", gradientUnits: "userSpaceOnUse", x1: g, y1: h, x2: i, y2: j }, ...stops),
      make("svg:rect", { x: 0, y: 0, width: plane.width, height: plane.height, fill: "url(#score-gradient)", class: "wash" }),
    ];
  },

  render_values() {
    const plane = this.value_plane, h = S.head, cache = computed.cache;
    const all = this.everywhere("v", h), axes = principal(all);
    this.note("plane-values", axes);
    const mixed = axes.project(row_of(cache.mixed, 0, h, this.t));
    plane.frame([...all.map(axes.project), [0, 0]], mixed);
    plane.start();
    for (let s = 0; s < S.ids.length; s++) {
      const seen = s <= this.t, p = axes.project(row_of(cache.v, 0, h, s));
      if (seen) plane.arrow(p, mixed, { stroke: VALUE, width: 0.6 + 3 * this.weights[s], opacity: 0.25 + 0.75 * this.weights[s] });
      plane.dot(p, {
        r: seen ? 3 + 6 * Math.sqrt(this.weights[s]) : 3, fill: VALUE, opacity: seen ? 1 : 0.3, label: this.words[s], position: s, kind: "lit",
        title: `value of ${this.words[s]}, attention ${seen ? percent(this.weights[s]) : "none: comes later"}`,
      });
    }
    plane.dot(mixed, { r: 5, shape: "d", fill: MIXED, label: `mixed at ${this.words[this.t]}`, kind: "lit" });
    plane.finish([this.backdrop(plane, axes, all)]);
  },

  render_stream() {
    const plane = this.stream_plane, cache = computed.cache;
    const seen = [];
    for (let n = 0; n < sample.N; n += 8) for (let t = 0; t < SIZES.T; t++) seen.push(row_of(sample.cache.resid_mid, n, t));
    const here = S.ids.map((_, t) => row_of(cache.resid_mid, 0, t)), before = S.ids.map((_, t) => row_of(cache.embed, 0, t));
    const axes = principal([...this.everywhere("embed"), ...seen, ...here]);
    this.note("plane-stream", axes.flat ? { note: "" } : { note: `${axes.note}; the colours are a slice through their middle, points lie off it` });
    plane.frame([...this.everywhere("embed"), ...seen, ...here].map(axes.project), axes.project(here[this.t]));
    plane.start();
    S.ids.forEach((_, t) => {
      const lit = t === this.t, [a, b] = [axes.project(before[t]), axes.project(here[t])];
      plane.arrow(a, b, { stroke: "var(--ink)", width: lit ? 2.4 : 1, opacity: lit ? 1 : 0.35 });
      plane.dot(a, { r: lit ? 4.5 : 3, fill: "var(--paper)", kind: `sum${lit ? " lit" : ""}`, position: t, opacity: lit ? 1 : 0.6, title: `${this.words[t]} before attention` });
      plane.dot(b, { r: lit ? 6 : 4, shape: "d", fill: MIXED, position: t, opacity: lit ? 1 : 0.6, label: lit ? this.words[t] : "", kind: lit ? "lit" : "", title: `${this.words[t]} after attention: predicts ${WORDS[prediction(t)]}` });
    });
    const regions = (SIZES.C === 2 && exact_regions(plane.box())) || sampled_regions(plane.box(), (p) => Array.from(axes.lift(p)));
    plane.finish(this.draw_regions(plane, regions));
  },

  // One path a token, and its name where it has room.
  draw_regions(plane, regions) {
    const tokens = new Map();
    for (const { token, corners } of regions) {
      const entry = tokens.get(token) || { d: "", size: 0, largest: 0, corners: null };
      const size = area(corners) * plane.scale ** 2;
      let letter = "M";
      for (const { x, y } of corners) {
        const [px, py] = plane.to([x, y]);
        entry.d += `${letter}${Math.round(10 * px) / 10} ${Math.round(10 * py) / 10}`;
        letter = "L";
      }
      entry.d += "Z";
      entry.size += size;
      if (size > entry.largest) Object.assign(entry, { largest: size, corners });
      tokens.set(token, entry);
    }
    const paths = [], names = [];
    for (const [token, { d, size, corners }] of [...tokens].sort(([one], [other]) => one - other)) {
      const [x, y] = plane.to(["x", "y"].map((axis) => corners.reduce((sum, corner) => sum + corner[axis], 0) / corners.length));
      const opacity = [0.16, 0.4, 0.27][token % 3];         // neighbours of like colours stay apart
      paths.push(make("svg:path", { d, fill: token_color(token), class: "region", opacity }));
      if (size > 250) names.push(make("svg:text", { x, y, class: "region-name", "text-anchor": "middle", "dominant-baseline": "central", fill: token_color(token), text: WORDS[token] }));
    }
    return [...paths, ...names];
  },
};
