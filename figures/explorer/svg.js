// Drawing by hand: elements, numbers, colours, and the heat map of a matrix.

const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const minus = (text) => text.replace(/-/g, "−");

// An element of HTML, or of SVG where its name begins with "svg:", with attributes and children.
function make(kind, attributes = {}, ...children) {
  const element = kind.startsWith("svg:") ? document.createElementNS(SVG, kind.slice(4)) : document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element[`_${name}`] === value) continue;            // writing what is there costs as much as a change
    element[`_${name}`] = value;
    if (name !== "text") element.setAttribute(name, value);
    else if (element.firstChild) element.firstChild.nodeValue = value;
    else element.textContent = value;
  }
  return element;
}

// As --explain writes numbers, with `digits` decimals.
function number(value, digits = 4) {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value < 0 ? "−∞" : "∞";
  const size = Math.abs(value);
  return minus(size >= 1e-3 && size < 1e5 ? value.toFixed(digits) : value.toExponential(3));
}

// A number for a cell of a heat map: short; of a share, what is next to nothing is ~0.
function short(value, kind) {
  const size = Math.abs(value);
  if (size === 0 || !Number.isFinite(value)) return number(value);
  if (size < 0.005) return kind === "signed" ? minus(value.toExponential(0)) : "~0";
  const text = value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
  return minus(size < 9999.5 ? text : value.toExponential(0));
}

const percent = (p) => (p > 0.9995 && p < 1 ? "99.9%" : p < 0.0005 && p > 0 ? "<0.1%" : `${(100 * p).toFixed(p < 0.1 ? 1 : 0)}%`);
const subscript = (t) => String(t).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
const word_at = (t) => `${WORDS[S.ids[t]]}${subscript(t)}`;

// A colour of a map, 0 to 1; the maps are lists of [r, g, b], of one length.
function color_of(map, x) {
  const place = Math.max(0, Math.min(1, Number.isFinite(x) ? x : 0.5)) * (map.length - 1);
  return map[Math.round(place)];
}

const css = ([r, g, b]) => `rgb(${r},${g},${b})`;
const is_dark = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b < 140;
const dark_page = () => document.documentElement.dataset.theme === "dark";

// A token's colour: that of the figures, lighter on a dark page.
function token_color(id) {
  const color = RUN.colors.tokens[id];
  return css(dark_page() ? color.map((c) => Math.round(0.5 * c + 127)) : color);
}

class Heatmap {
  // A matrix as cells of SVG. rows, columns: how many; cell: [width, height]; options: see below.
  constructor(rows, columns, { cell = [34, 17], left = 30, top = 13, label = "", kind = "signed", digits = true, name = "" }) {
    Object.assign(this, { rows, columns, cell, left, top, kind, name, digits: digits && cell[0] >= 22 });
    const width = left + columns * cell[0] + 2, height = top + rows * cell[1] + 2;
    this.svg = make("svg:svg", {
      class: "heatmap", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, tabindex: 0,
      "data-name": name,
    });
    this.rects = [];
    this.texts = [];
    this.row_labels = [];
    this.column_labels = [];
    for (let i = 0; i < rows; i++) {
      this.row_labels.push(this.text(left - 4, top + (i + 0.5) * cell[1], "end", "label"));
      for (let j = 0; j < columns; j++) {
        const rect = make("svg:rect", {
          x: left + j * cell[0], y: top + i * cell[1], width: cell[0], height: cell[1], class: "cell", "data-cell": `${i},${j}`,
        });
        this.svg.append(rect);
        this.rects.push(rect);
      }
    }
    for (let j = 0; j < columns; j++) this.column_labels.push(this.text(left + (j + 0.5) * cell[0], top - 6, "middle", "label"));
    if (this.digits) {
      for (let i = 0; i < rows * columns; i++) {
        const row = Math.floor(i / columns), column = i % columns;
        this.texts.push(this.text(left + (column + 0.5) * cell[0], top + (row + 0.5) * cell[1], "middle", "digits"));
        if (cell[0] < 30) this.texts[i].style.fontSize = "8px";
      }
    }
    this.rings = make("svg:g", { class: "rings" });
    this.svg.append(this.rings);
  }

  text(x, y, anchor, kind) {
    const text = make("svg:text", { x, y, "text-anchor": anchor, "dominant-baseline": "central", class: kind });
    this.svg.append(text);
    return text;
  }

  // value(i, j) of each cell; limit: the value of full colour; row, column: labels; masked(i, j): not there
  draw(value, { limit, row = () => "", column = () => "", lit = -1, masked = () => false, row_color = () => "" }) {
    const map = this.kind === "signed" ? RUN.colors.signed : RUN.colors.probability;
    const scale = limit || 1;
    for (let i = 0; i < this.rows; i++) {
      set(this.row_labels[i], { text: row(i), class: i === lit ? "label lit" : "label", fill: row_color(i) || "currentColor" });
      for (let j = 0; j < this.columns; j++) {
        const x = value(i, j), index = i * this.columns + j, none = masked(i, j);
        const color = color_of(map, this.kind === "signed" ? 0.5 + 0.5 * (x / scale) : x / scale);
        set(this.rects[index], { fill: none ? "var(--empty)" : css(color) });
        if (!this.digits) continue;
        const text = none ? "" : short(x, this.kind);
        set(this.texts[index], { text, fill: is_dark(color) ? "#fff" : "#111", class: text.length > 5 || text.includes("e") ? "digits long" : "digits" });
      }
    }
    for (let j = 0; j < this.columns; j++) set(this.column_labels[j], { text: column(j) });
  }

  // Frames around cells: [{cell: [i, j], kind}].
  ring(marks) {
    const key = JSON.stringify(marks);
    if (this.key === key) return;
    this.key = key;
    this.rings.replaceChildren(...marks.map(({ cell: [i, j], kind }) => make("svg:rect", {
      x: this.left + j * this.cell[0] + 1, y: this.top + i * this.cell[1] + 1,
      width: this.cell[0] - 2, height: this.cell[1] - 2, class: `ring ${kind}`,
    })));
  }
}

// The cell under an event in a heat map, [i, j], or null.
function cell_of(event) {
  const cell = event.target.closest && event.target.closest("[data-cell]");
  return cell ? cell.dataset.cell.split(",").map(Number) : null;
}

// Let arrow keys walk over the cells of a heat map: move([i, j]) is told of each, open([i, j]) of Enter.
function walk_cells(map, move, open) {
  let here = [0, 0];
  map.svg.addEventListener("focus", () => map.svg.matches(":focus-visible") && move(here));
  map.svg.addEventListener("keydown", (event) => {
    const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (way && !event.shiftKey) {
      here = [Math.max(0, Math.min(map.rows - 1, here[0] + way[0])), Math.max(0, Math.min(map.columns - 1, here[1] + way[1]))];
      move(here);
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      open(here, event);
      event.preventDefault();
    }
  });
}
