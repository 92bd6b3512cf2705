// The forward pass as boxes, one a named quantity; the same boxes hold the gradients.

const GROUPS = [
  { title: "1 · Embedding", text: "each token becomes a point, its position moves it", names: ["token_embed", "pos_embed", "embed"] },
  { title: "2 · Attention", text: "each position asks (q), is found by its key (k), hands over a value (v)", names: ["q", "k", "v", "scores", "attention", "mixed", "attn_out", "resid_mid"] },
  { title: "3 · Feed-forward", text: "each position by itself, through the hidden units", names: ["ffn_pre", "ffn_hidden", "ffn_out", "resid_post"] },
  { title: "4 · LM head", text: "a score, then a probability, for each next token", names: ["logits", "probs", "loss"] },
];

// Cells of a heat map so that it fits, with digits where there is room for them.
function cell_size(columns) {
  const room = (window.innerWidth - 84) / columns;      // on a phone
  return columns <= 14 ? [Math.min(34, Math.max(22, room)), 17] : columns <= 24 ? [20, 15] : columns <= 40 ? [9.5, 13] : [Math.max(2, 380 / columns), 12];
}

const forward_panel = {
  boxes: {}, hovered: null, T: 0,

  setup() {
    for (const mode of ["forward", "gradient"]) {
      $(`mode-${mode}`).addEventListener("click", () => {
        S.gradient = mode === "gradient";
        S.pinned = null;
        this.hovered = null;
        changed();
      });
    }
    WORDS.forEach((word, id) => $("target").append(make("option", { value: id, text: word })));
    $("target").addEventListener("change", () => {
      S.target = Number($("target").value);
      changed();
    });
    if (SIZES.H > 1) {
      for (let h = 0; h < SIZES.H; h++) $("head").append(make("option", { value: h, text: `head ${h}` }));
      $("head").addEventListener("change", () => {
        S.head = Number($("head").value);
        changed();
      });
      $("head-field").hidden = false;
    }
    for (const group of GROUPS) {
      const names = group.names.filter((name) => ROWS[name]);
      $("boxes").append(make("section", { class: "group" },
        make("h3", { text: group.title }), make("p", { class: "hint", text: group.text }),
        make("div", { class: "row" }, ...names.map((name) => this.box(name)))));
    }
    $("unpin").addEventListener("click", () => {
      S.pinned = null;
      this.hovered = null;
      this.render();
    });
  },

  box(name) {
    const place = make("div", { class: "place" });
    this.boxes[name] = { place, map: null };
    return make("div", { class: "box", "data-box": name },
      make("h4", { "data-caption": true }, make("span", { class: "name", text: name }), make("span", { class: "symbol", text: ROWS[name].symbol })),
      place, make("p", { class: "hint", text: ROWS[name].meaning }));
  },

  // The heat maps for sequences of another length.
  build(T) {
    this.T = T;
    for (const [name, box] of Object.entries(this.boxes)) {
      const dims = dims_of(name).filter((dim) => dim !== "H");
      const sizes = dims.map((dim) => (dim === "T" ? T : SIZES[dim]));
      const [rows, columns] = dims.length ? [sizes[0], sizes[1]] : [1, 1];
      const cell = name === "loss" ? [60, 22] : cell_size(columns);
      box.map = new Heatmap(rows, columns, {
        cell, left: name === "loss" ? 2 : 30, top: columns > 24 || !dims.length ? 4 : 14, name, label: `${name}: ${ROWS[name].meaning}`,
        kind: ["attention", "probs"].includes(name) ? "probability" : "signed",
      });
      box.place.replaceChildren(box.map.svg);
      box.map.svg.addEventListener("pointermove", (event) => this.hover(name, cell_of(event)));
      box.map.svg.addEventListener("pointerleave", () => this.hover(name, null));
      box.map.svg.addEventListener("click", (event) => this.pin(name, cell_of(event)));
      walk_cells(box.map, (cell) => this.hover(name, cell), (cell) => this.pin(name, cell));
    }
    $("probability-map").style.background = gradient_css(RUN.colors.probability);
    $("signed-map").style.background = gradient_css(RUN.colors.signed);
  },

  // The index of a cell: with the head that is shown.
  index(name, [i, j]) {
    const dims = dims_of(name);
    if (!dims.length) return [];
    return dims.length === 3 ? [S.head, i, j] : [i, j];
  },

  cell(name, index) {
    return index.length ? index.slice(-2) : [0, 0];
  },

  hover(name, cell) {
    this.hovered = cell ? { name, cell } : null;
    this.render_readout();
  },

  pin(name, cell) {
    if (!cell) return;
    const same = S.pinned && S.pinned.name === name && String(S.pinned.cell) === String(cell);
    S.pinned = same ? null : { name, cell };
    const dims = dims_of(name);
    if (!same && dims.includes("T") && cell[0] < S.ids.length) S.position = cell[0];
    changed();
  },

  render() {
    const T = S.ids.length;
    if (this.T !== T) this.build(T);
    for (const mode of ["forward", "gradient"]) set($(`mode-${mode}`), { "aria-pressed": String((mode === "gradient") === S.gradient) });
    $("target").value = computed.target;
    if (SIZES.H > 1) $("head").value = S.head;
    set($("loss-text"), { text: `loss −log p(${WORDS[computed.target]}) = ${number(computed.cache.loss.data[0])}` });
    set($("mode-text"), {
      text: S.gradient
        ? `Each box now holds the gradient of the loss: red, raising this number raises −log p(${WORDS[computed.target]}) after ${word_at(S.position)}; blue, it lowers it. Read from right to left.`
        : "Each box holds the numbers of the run's own forward pass: a row a position, read from left to right. Hover or tap a number for its formula.",
    });
    const source = S.gradient ? computed.dcache : computed.cache;
    for (const [name, { map }] of Object.entries(this.boxes)) {
      const array = source[name], dims = dims_of(name);
      const rank = dims.length, key = rank ? dims[rank - 1] : "";
      const at = rank === 3 ? (i, j) => array.data[array.at(0, S.head, i, j)]
        : name === "pos_embed" ? (i, j) => array.data[array.at(i, j)] : rank ? (i, j) => array.data[array.at(0, i, j)] : () => array.data[0];
      map.kind = !S.gradient && ["attention", "probs"].includes(name) ? "probability" : "signed";
      let limit = 0;
      const masked = key === "T" ? (i, j) => j > i : () => false;
      for (let i = 0; i < map.rows; i++) for (let j = 0; j < map.columns; j++) if (!masked(i, j)) limit = Math.max(limit, Math.abs(at(i, j)));
      map.draw(at, {
        limit: map.kind === "probability" ? 1 : name === "loss" && !S.gradient ? Math.max(limit, Math.log(SIZES.V)) : limit, lit: rank ? S.position : -1, masked,
        row: rank ? (i) => word_at(i) : undefined,
        column: map.columns > 24 ? undefined : key === "T" ? (j) => word_at(j) : key === "V" ? (j) => WORDS[j] : rank ? (j) => `${j}` : undefined,
      });
    }
    this.render_readout();
  },

  // Formula, operands and value of the hovered entry, else of the pinned one.
  render_readout() {
    const shown = this.hovered || S.pinned;
    const marks = {};
    const mark = (name, cell, kind) => (marks[name] = marks[name] || []).push({ cell, kind });
    const in_view = (name, index) => this.boxes[name] && (dims_of(name).length < 3 || index[0] === S.head);
    if (!shown || !this.boxes[shown.name] || shown.cell[0] >= this.boxes[shown.name].map.rows || shown.cell[1] >= this.boxes[shown.name].map.columns) {
      $("readout-text").replaceChildren(make("p", { class: "hint", text: "Hover or tap a number above: here stand its formula, its operands and its place in the code. A click pins it and frames where it came from (solid) and where it goes (dashed)." }));
      $("unpin").hidden = true;
    } else {
      const { name, cell } = shown, container = S.gradient ? "d" : "c", index = this.index(name, cell);
      const { label, value, meaning, lines, sources, code } = explanation(container, name, index);
      mark(name, cell, "self");
      for (const source of sources) {
        if (source.container === container && in_view(source.name, source.index)) mark(source.name, this.cell(source.name, source.index), "source");
      }
      const learned = sources.filter((source) => source.container === "p");
      const pinned = S.pinned && S.pinned.name === name && String(S.pinned.cell) === String(cell);
      const readers = pinned ? readers_of(container, name, index) : [];
      for (const reader of readers) if (in_view(reader.name, reader.index)) mark(reader.name, this.cell(reader.name, reader.index), "reader");
      weights_panel.ring(learned);
      const list = (items, most = 6) => items.slice(0, most).map((item) => entry_label(item.name, item.index, item.container.startsWith("d") ? "d" : "")).join(", ") + (items.length > most ? ` and ${items.length - most} more` : "");
      $("readout-text").replaceChildren(
        make("p", { class: "entry" }, make("b", { text: `${label} = ${number(value)}` }), make("span", { class: "hint", text: ` ${meaning}` })),
        ...lines.map(({ kind, text }) => make("p", { class: `line ${kind}`, text })),
        make("p", { class: "hint", text: [
          readers.length ? `goes to ${list(readers)}` : "", code.length ? `code: ${code.join("; ")}` : "",
        ].filter(Boolean).join(" · ") }));
      $("unpin").hidden = !S.pinned;
    }
    if (!shown) weights_panel.ring([]);
    for (const [name, { map }] of Object.entries(this.boxes)) map.ring(marks[name] || []);
  },
};

const gradient_css = (map) => `linear-gradient(to right, ${map.filter((_, i) => i % 4 === 0 || i === map.length - 1).map(css).join(",")})`;
