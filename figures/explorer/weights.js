// All parameters as heat maps; each can be typed, dragged up and down, or moved with the arrow keys.

const weights_panel = {
  maps: {}, chosen: ["W_q", 0],         // name, and the number's place in its array

  setup() {
    const list = $("weights-list");
    for (const { name, dims, symbol, meaning } of TABLE.parameters) {
      const shape = SHAPES[name];
      if (!count(shape)) continue;
      let columns = name === "W_o" ? shape[2] : shape.length > 1 ? count(shape.slice(1)) : shape[0];
      let rows = count(shape) / columns;
      const turned = name === "W_out";              // its rows are many: they lie across
      if (turned) [rows, columns] = [columns, rows];
      const map = new Heatmap(rows, columns, { cell: cell_size(columns), left: shape.length > 1 ? 30 : 4, top: columns > 24 ? 4 : 14, name, label: `${name}: ${meaning}` });
      this.maps[name] = { map, rows, columns, turned };
      list.append(make("div", { class: "box", "data-weights": name },
        make("h4", { "data-caption": true }, make("span", { class: "name", text: name }), make("span", { class: "symbol", text: `${symbol} · ${dims.replaceAll(" ", "×")}${turned ? ", turned" : ""}` })),
        make("div", { class: "place" }, map.svg), make("p", { class: "hint", text: meaning })));
      map.svg.addEventListener("pointerdown", (event) => this.grab(name, event));
      map.svg.addEventListener("pointermove", (event) => {
        const cell = cell_of(event);
        map.svg.style.cursor = cell ? "ns-resize" : "";
        if (cell) set($("weight-hover"), { text: this.describe(name, this.place(name, cell)) });
      });
      walk_cells(map, (cell) => this.choose(name, this.place(name, cell)), () => $("weight").focus());
    }
    const field = $("weight");
    field.addEventListener("keydown", (event) => {
      const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (way) {
        event.preventDefault();
        remember();
        this.write(this.value() + way * (event.shiftKey ? 0.5 : 0.05));
      }
      if (event.key === "Enter") this.typed();
    });
    field.addEventListener("change", () => this.typed());
    for (const view of ["values", "gradient", "change"]) {
      $(`view-${view}`).addEventListener("click", () => {
        S.view = view;
        changed();
      });
    }
  },

  // The place of a cell's number in its array, and back.
  place(name, [i, j]) {
    const { rows, columns, turned } = this.maps[name];
    return turned ? j * rows + i : i * columns + j;
  },

  cell(name, place) {
    const { rows, columns, turned } = this.maps[name];
    return turned ? [place % rows, Math.floor(place / rows)] : [Math.floor(place / columns), place % columns];
  },

  index(name, place) {
    return index_of(SHAPES[name], place);
  },

  label(name, place) {
    return entry_label(name, this.index(name, place));
  },

  // A weight in a sentence; with the gradients in view, how its gradient comes about.
  describe(name, place) {
    const at = params[name].offset + place;
    if (S.view === "gradient") {
      const { label, lines } = explanation("dp", name, this.index(name, place));
      return `${label} ${lines.map(({ text }) => text).join(" ")}`;
    }
    return `${this.label(name, place)} = ${number(theta[at])}, gradient ${number(gradient[at])}`;
  },

  value() {
    const [name, place] = this.chosen;
    return theta[params[name].offset + place];
  },

  choose(name, place) {
    this.chosen = [name, place];
    said("weight", "");
    this.render();
  },

  write(value) {
    const [name, place] = this.chosen;
    theta[params[name].offset + place] = Math.max(-LARGEST, Math.min(LARGEST, value));
    said("weight", "");
    changed();
  },

  typed() {
    const text = $("weight").value.trim().replace(/−/g, "-").replace(",", "."), value = Number(text);
    if (!text || Number.isNaN(value)) return said("weight", `“${text.slice(0, 20)}” is not a number; the weight stays ${number(this.value())}.`);
    if (!usable(value)) return said("weight", `A weight must lie between −1,000,000 and 1,000,000; it stays ${number(this.value())}.`);
    if (value === this.value()) return said("weight", "");
    remember();
    this.write(value);
  },

  // Choose a weight; up and down changes it, a pixel is a fiftieth of its array's size.
  grab(name, event) {
    const cell = cell_of(event);
    if (!cell) return;
    this.choose(name, this.place(name, cell));
    if (event.pointerType === "touch") return;          // there it scrolls the page; the field below changes it
    event.preventDefault();
    const start = event.clientY, before = this.value();
    const size = Math.max(0.2, ...params[name].values().map(Math.abs)) / 50;
    let moved = false;
    const move = (now) => {
      if (!moved && Math.abs(now.clientY - start) < 3) return;
      if (!moved) remember();
      moved = true;
      this.write(before + (start - now.clientY) * size);
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  },

  // Frame the weights that the readout's expression reads.
  ring(operands) {
    this.read = operands;
    this.render_rings();
  },

  render_rings() {
    const marks = {};
    const mark = (name, place, kind) => this.maps[name] && (marks[name] = marks[name] || []).push({ cell: this.cell(name, place), kind });
    for (const { name, index } of this.read || []) mark(name, params[name].at(...index) - params[name].offset, "source");
    mark(...this.chosen, "self");
    for (const [name, { map }] of Object.entries(this.maps)) map.ring(marks[name] || []);
  },

  render() {
    const views = { values: theta, gradient, change: theta.map((x, i) => x - base[i]) }, shown = views[S.view];
    for (const view of Object.keys(views)) set($(`view-${view}`), { "aria-pressed": String(view === S.view) });
    set($("view-text"), {
      text: {
        values: "The learned numbers. Drag one up or down, type below, or use the arrow keys; red is positive, blue negative.",
        gradient: `The gradient of −log p(${WORDS[computed.target]}) after ${word_at(S.position)} by each weight: a step of training goes against it.`,
        change: "What you or training here have changed since the snapshot.",
      }[S.view],
    });
    for (const [name, { map, rows, columns }] of Object.entries(this.maps)) {
      const start = params[name].offset, at = (i, j) => shown[start + this.place(name, [i, j])];
      let limit = 0;
      for (let i = 0; i < rows * columns; i++) limit = Math.max(limit, Math.abs(shown[start + i]));
      const dims = ROWS[name].dims.split(" "), last = dims[dims.length - 1];
      map.draw(at, {
        limit, lit: name === "W_token" ? S.ids[S.position] : name === "W_pos" ? S.position : -1,
        row: dims.length === 1 ? undefined : (i) => (dims[0] === "V" ? WORDS[i] : dims[0] === "T" ? `p${i}` : `${i}`),
        column: columns > 24 ? undefined : (j) => (last === "V" ? WORDS[j] : `${j}`),
      });
    }
    const [name, place] = this.chosen, field = $("weight");
    set($("weight-name"), { text: this.label(name, place) });
    const text = String(Number(this.value().toPrecision(8))), key = `${name} ${place} ${text}`;
    if (this.shown !== key) field.value = text;         // what is being typed is left alone
    this.shown = key;
    set($("weight-hover"), { text: this.describe(name, place) });
    this.render_rings();
  },
};
