// A plane of the model's space as a drawing: points, arrows, labels that keep clear of one another.

// How points of a space are put on a plane: two dimensions stay as they are, of more the two principal axes.
function principal(points) {
  const C = points[0].length;
  if (C === 1) return { flat: true, project: (v) => [v[0], 0], lift: ([x]) => [x], turn: ([x]) => [x], note: "one dimension" };
  if (C === 2) return { flat: true, project: (v) => [v[0], v[1]], lift: (p) => p, turn: (p) => p, note: "" };
  const middle = Array.from({ length: C }, (_, c) => points.reduce((sum, p) => sum + p[c], 0) / points.length);
  const spread = Array.from({ length: C }, (_, a) => Array.from({ length: C }, (__, b) => (
    points.reduce((sum, p) => sum + (p[a] - middle[a]) * (p[b] - middle[b]), 0))));
  const total = spread.reduce((sum, row, i) => sum + row[i], 0) || 1;
  const axes = [0, 1].map(() => {                   // power iteration, then without what was found
    let axis = Array.from({ length: C }, (_, c) => Math.sin(c + 1)), size = 0;
    for (let n = 0; n < 200; n++) {
      const next = spread.map((row) => row.reduce((sum, x, c) => sum + x * axis[c], 0));
      size = Math.hypot(...next);
      if (!size) break;
      axis = next.map((x) => x / size);
    }
    const length = Math.hypot(...axis);
    axis = axis.map((x) => x / length);
    const largest = axis.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best), 0);
    if (largest < 0) axis = axis.map((x) => -x);
    spread.forEach((row, a) => row.forEach((_, b) => (row[b] -= size * axis[a] * axis[b])));
    return { axis, share: size / total };
  });
  const project = (v) => axes.map(({ axis }) => axis.reduce((sum, x, c) => sum + x * (v[c] - middle[c]), 0));
  const turn = ([x, y]) => axes[0].axis.map((a, c) => x * a + y * axes[1].axis[c]);
  return {
    flat: false, project, turn, lift: (p) => turn(p).map((x, c) => x + middle[c]),
    note: `two principal axes of ${C}, ${axes.map(({ share }) => percent(share)).join(" and ")} of variance`,
  };
}

class Plane {
  // drag(key, delta): a point that can be dragged was moved by delta, a vector of the space
  constructor(id, { drag = null, width = 380, height = 300 } = {}) {
    Object.assign(this, { id, drag, width, height, held: false, zoom: 1 });
    const clip = `${id}-clip`;
    this.back = make("svg:g", { "clip-path": `url(#${clip})` });
    this.front = make("svg:g");
    this.svg = make("svg:svg", { class: "plane", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": $(id).querySelector("h3").textContent },
      make("svg:clipPath", { id: clip }, make("svg:rect", { x: 0, y: 0, width, height })),
      make("svg:rect", { class: "paper", x: 0, y: 0, width, height }), this.back, this.front);
    $(id).querySelector(".place").append(this.svg);
    const title = $(id).querySelector("h3"), zoom = (text, name, factor) => make("button", {
      type: "button", text, title: name, "aria-label": `${name}: ${title.textContent}`,
      onclick: () => {
        this.zoom = Math.max(1, Math.min(1024, this.zoom * factor));
        changed();
      },
    });
    title.after(make("span", { class: "tools" }, zoom("+", "zoom in on the selected position", 2), zoom("−", "zoom out", 0.5)));
    this.svg.addEventListener("pointerdown", (event) => this.grab(event));
    this.svg.addEventListener("keydown", (event) => this.nudge(event));
    this.svg.addEventListener("click", (event) => {
      const at = event.target.closest("[data-position]");
      if (at) select_position(Number(at.dataset.position));
    });
  }

  // Show all of these points, one scale for both axes, or zoomed in what lies around `focus`; while something
  // is dragged the frame stays.
  frame(points, focus) {
    if (this.held) return;
    const shown = points.filter((point) => point.every(Number.isFinite));
    if (!shown.length) shown.push([0, 0]);
    const xs = shown.map(([x]) => x), ys = shown.map(([, y]) => y);
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const across = (x1 - x0) || 1e-9, up = (y1 - y0) || 1e-9;
    this.scale = Math.min((this.width - 56) / across, (this.height - 48) / up, 1e6);
    this.middle = [(x0 + x1) / 2, (y0 + y1) / 2];
    if (this.zoom > 1 && focus.every(Number.isFinite)) {
      this.scale *= this.zoom;
      this.middle = focus;
    }
  }

  to([x, y]) {
    return [this.width / 2 + (x - this.middle[0]) * this.scale, this.height / 2 - (y - this.middle[1]) * this.scale];
  }

  box() {
    const w = this.width / 2 / this.scale, h = this.height / 2 / this.scale, [x, y] = this.middle;
    return { x0: x - w, x1: x + w, y0: y - h, y1: y + h };
  }

  grab(event) {
    const point = event.target.closest("[data-drag]");
    if (!point || !this.drag) return;
    event.preventDefault();
    point.focus({ preventScroll: true });
    const key = point.dataset.drag, pixels = this.width / this.svg.getBoundingClientRect().width;
    let [x, y] = [event.clientX, event.clientY], moved = false;
    this.held = true;
    const move = (now) => {
      if (!moved) remember();
      moved = true;
      this.drag(key, [((now.clientX - x) * pixels) / this.scale, (-(now.clientY - y) * pixels) / this.scale]);
      [x, y] = [now.clientX, now.clientY];
    };
    const end = () => {
      this.held = false;
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
      changed();
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  }

  nudge(event) {
    const way = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    const point = event.target.closest("[data-drag]");
    if (!way || !point || !this.drag) return;
    event.preventDefault();
    remember();
    const far = (event.shiftKey ? 40 : 8) / this.scale;
    this.drag(point.dataset.drag, way.map((x) => x * far));
  }

  start() {
    this.focused = document.activeElement && this.svg.contains(document.activeElement) ? document.activeElement.dataset.drag : null;
    this.behind = [];
    this.drawn = [];
    this.labels = [];
    const [x, y] = this.to([0, 0]);
    this.axes = [make("svg:path", { class: "axis", d: `M0 ${y}H${this.width}M${x} 0V${this.height}` })];
  }

  dot(p, { r = 3.5, fill = "currentColor", kind = "", shape = "o", label = "", drag = null, position = null, title = "", color = fill, opacity = null, family = "" }) {
    const [x, y] = this.to(p);
    const d = { o: `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`, s: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`, d: `M${x} ${y - 1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}z` }[shape];
    const path = make("svg:path", {
      d, fill, class: `dot ${kind}${drag ? " drag" : ""}`, "data-drag": drag, "data-position": position, opacity,
      tabindex: drag ? 0 : null, role: drag ? "button" : null, "aria-label": drag ? `${title}: arrow keys move it` : null,
    });
    if (title) path.append(make("svg:title", { text: title }));
    this.drawn.push(path);
    if (label) this.labels.push({ x, y, r, label, color, kind, family: family || kind + color });
  }

  arrow(from, to, { stroke = "currentColor", width = 1.2, kind = "", opacity = 1 }) {
    const [[a, b], [c, d]] = [this.to(from), this.to(to)], length = Math.hypot(c - a, d - b);
    if (length < 2) return;
    const [u, v] = [(c - a) / length, (d - b) / length], tip = Math.min(6, length / 2);
    this.behind.push(make("svg:path", {
      class: `arrow ${kind}`, stroke, fill: "none", "stroke-width": width, opacity,
      d: `M${a} ${b}L${c} ${d}M${c - tip * (u + 0.5 * v)} ${d - tip * (v - 0.5 * u)}L${c} ${d}L${c - tip * (u - 0.5 * v)} ${d - tip * (v + 0.5 * u)}`,
    }));
  }

  // Points that all but coincide share a label; labels move aside for those before them.
  write_labels() {
    const groups = [];
    for (const label of this.labels) {
      const near = groups.find((group) => group.family === label.family && Math.hypot(group.x - label.x, group.y - label.y) < 5);
      if (near) near.label += ` ${label.label}`;
      else groups.push({ ...label });
    }
    const taken = [], texts = [];
    for (const { x, y, r, label, color, kind } of groups) {
      const w = 6.4 * label.length + 2, h = 12;
      let place = null;
      for (const far of [0, 7, 14, 22, 32]) {
        for (const [i, j] of [[1, -0.2], [-1, -0.2], [0, -1], [0, 1], [0.8, -1], [0.8, 1], [-0.8, -1], [-0.8, 1]]) {
          const left = x + i * (r + 3 + far) + (i > 0 ? 0 : i < 0 ? -w : -w / 2), top = y + j * (r + 4 + far) - h / 2;
          const spot = { left, top, right: left + w, bottom: top + h };
          const free = left > 1 && top > 1 && spot.right < this.width - 1 && spot.bottom < this.height - 1
            && !taken.some((other) => spot.left < other.right && spot.right > other.left && spot.top < other.bottom && spot.bottom > other.top);
          if (free) {
            place = spot;
            break;
          }
        }
        if (place) break;
      }
      if (!place) continue;
      taken.push(place);
      texts.push(make("svg:text", { x: place.left + 1, y: place.top + h / 2, "dominant-baseline": "central", class: `name ${kind}`, fill: color, text: label }));
      if (Math.hypot((place.left + place.right) / 2 - x, place.top + h / 2 - y) > w / 2 + 14) {
        this.behind.push(make("svg:path", { class: "leader", d: `M${x} ${y}L${Math.max(place.left, Math.min(place.right, x))} ${place.top + h / 2}` }));
      }
    }
    return texts;
  }

  finish(background = []) {
    const texts = this.write_labels();
    this.back.replaceChildren(...background, ...this.axes);
    this.front.replaceChildren(...this.behind, ...this.drawn, ...texts);
    if (this.focused) {
      const again = this.svg.querySelector(`[data-drag="${this.focused}"]`);
      if (again) again.focus({ preventScroll: true });
    }
  }
}
