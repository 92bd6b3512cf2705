// What one can take away: the state as an address, all numbers as JSON and CSV, a panel as SVG and PNG.

function write_address() {
  clearTimeout(write_address.later);
  write_address.later = setTimeout(() => history.replaceState(null, "", address()), 250);
}

// The state as the part of an address behind #.
function address() {
  const query = new URLSearchParams({ s: S.ids.map((id) => WORDS[id]).join(" "), step: RUN.steps[S.step], at: S.position });
  if (S.head) query.set("head", S.head);
  if (S.gradient) query.set("mode", "gradient");
  if (S.target !== null) query.set("target", WORDS[S.target]);
  if (S.view !== "values") query.set("view", S.view);
  if (S.pinned) query.set("pin", `${S.pinned.name}:${S.pinned.cell.join(",")}`);
  const edits = [...theta.keys()].filter((i) => theta[i] !== base[i]);
  if (edits.length && edits.length <= 24) query.set("edit", edits.map((i) => `${i}:${theta[i]}`).join(" "));
  else if (edits.length) query.set("weights", text_of(theta.buffer));
  return `#${query}`;
}

// Take over what an address says; what it gets wrong is left as it is, and told.
function read_address() {
  const query = new URLSearchParams(location.hash.slice(1)), wrong = [];
  theta.set(base);
  const get = (key, use) => query.has(key) && use(query.get(key)) === false && wrong.push(key);
  get("step", (text) => {
    const i = RUN.steps.indexOf(Number(text));
    if (i < 0) return false;
    S.step = i;
    base = snapshot(i).slice();
    theta.set(base);
  });
  get("s", (text) => {
    const ids = read_tokens(text);
    if (typeof ids === "string") return false;
    S.ids = ids;
    S.position = ids.length - 1;
    S.target = null;
  });
  const whole = (text, most) => (/^\d{1,6}$/.test(text) && Number(text) < most ? Number(text) : null);
  get("at", (text) => {
    const t = whole(text, S.ids.length);
    if (t === null) return false;
    S.position = t;
  });
  get("head", (text) => {
    const h = whole(text, SIZES.H);
    if (h === null) return false;
    S.head = h;
  });
  get("mode", (text) => {
    S.gradient = text === "gradient";
    return S.gradient || text === "forward";
  });
  get("view", (text) => {
    if (!["values", "gradient", "change"].includes(text)) return false;
    S.view = text;
  });
  get("target", (text) => {
    if (!WORDS.includes(text)) return false;
    S.target = WORDS.indexOf(text);
  });
  get("pin", (text) => {
    const [name, cell] = text.split(":");
    if (!forward_panel.boxes[name] || !/^\d+,\d+$/.test(cell || "")) return false;
    S.pinned = { name, cell: cell.split(",").map(Number) };
  });
  get("edit", (text) => {
    const edits = text.split(" ").map((entry) => entry.split(":").map(Number));
    if (!edits.every(([i, x]) => Number.isInteger(i) && i >= 0 && i < P && usable(x))) return false;
    edits.forEach(([i, x]) => (theta[i] = x));
  });
  get("weights", (text) => {
    try {
      const values = new Float64Array(bytes_of(text));
      if (values.length !== P || !values.every(usable)) return false;
      theta.set(values);
    } catch {
      return false;
    }
  });
  said("address", wrong.length ? `The address says something this page does not know (${wrong.join(", ")}); that part is left as it was.` : "");
}

function download(name, kind, content) {
  const link = make("a", { href: URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type: kind })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const file_name = (ending) => `${RUN.name}_step_${RUN.steps[S.step]}_${ending}`;

// Every number that the page shows: {name: {shape, values, gradient}}.
function all_numbers() {
  const found = {};
  for (const [values, gradients] of [[params, dparams], [computed.cache, computed.dcache]]) {
    for (const [name, array] of Object.entries(values)) {
      if (!(array instanceof NDArray)) continue;
      const given = ["tokens", "targets"].includes(name);
      found[name] = { shape: array.shape, values: Array.from(array.values()), gradient: given ? null : Array.from(gradients[name].values()) };
    }
  }
  return found;
}

function numbers_json() {
  return JSON.stringify({
    run: RUN.name, step: RUN.steps[S.step], sequence: S.ids.map((id) => WORDS[id]), position: S.position,
    target: WORDS[computed.target], edited: edit_count(), numbers: all_numbers(),
  }, null, 1);
}

function numbers_csv() {
  const rows = ["name,index,value,gradient"];
  for (const [name, { shape, values, gradient: slopes }] of Object.entries(all_numbers())) {
    values.forEach((value, i) => rows.push(`${name},${index_of(shape, i).join(" ")},${value},${slopes ? slopes[i] : ""}`));
  }
  return `${rows.join("\n")}\n`;
}

// A panel's drawings and their names as one SVG that stands by itself: colours written out.
function panel_svg(panel) {
  redraw();
  const frame = panel.getBoundingClientRect(), style = getComputedStyle(document.documentElement);
  const colors = {};
  for (const name of ["--ink", "--soft", "--paper", "--page", "--line", "--empty", "--q", "--k", "--v", "--mixed", "--loss", "--error", "--accent"]) colors[name] = style.getPropertyValue(name).trim();
  const all = make("svg:svg", { xmlns: SVG, width: frame.width, height: frame.height, viewBox: `0 0 ${frame.width} ${frame.height}` });
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule.selectorText && /^svg/.test(rule.selectorText)).map((rule) => rule.cssText);
  all.append(make("svg:style", { text: `svg{font-family:system-ui,sans-serif;color:${colors["--ink"]};${Object.entries(colors).map(([name, value]) => `${name}:${value}`).join(";")}}${rules.join("")}` }),
    make("svg:rect", { width: frame.width, height: frame.height, fill: colors["--page"] }));
  for (const title of panel.querySelectorAll("h2, h3, [data-caption]")) {
    const box = title.getBoundingClientRect();
    if (box.width) all.append(make("svg:text", { x: box.left - frame.left, y: box.top - frame.top + box.height * 0.75, "font-size": title.matches("h2") ? 17 : 13, "font-weight": 600, fill: colors["--ink"], text: [...title.childNodes].map((part) => part.textContent).join("  ") }));
  }
  for (const svg of panel.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect(), copy = svg.cloneNode(true);
    for (const [name, value] of Object.entries({ x: box.left - frame.left, y: box.top - frame.top, width: box.width, height: box.height })) copy.setAttribute(name, value);
    all.append(copy);
  }
  return new XMLSerializer().serializeToString(all);
}

function save_png(panel, name) {
  const frame = panel.getBoundingClientRect(), image = new Image(), sharp = 2;
  image.onload = () => {
    const canvas = make("canvas", { width: Math.ceil(sharp * frame.width), height: Math.ceil(sharp * frame.height) });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => {
      explorer.saved.push({ name, size: blob.size });
      download(name, "image/png", blob);
    }, "image/png");
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(panel_svg(panel))}`;
}

const save_panel = {
  setup() {
    $("save-json").addEventListener("click", () => download(file_name("numbers.json"), "application/json", numbers_json()));
    $("save-csv").addEventListener("click", () => download(file_name("numbers.csv"), "text/csv", numbers_csv()));
    $("copy-link").addEventListener("click", () => {
      const link = location.href.split("#")[0] + address();
      const field = $("link");
      field.hidden = false;
      field.value = link;
      field.select();
      if (navigator.clipboard) navigator.clipboard.writeText(link).catch(() => {});
      $("copy-link").textContent = "link to this moment (copied)";
    });
    for (const panel of document.querySelectorAll("[data-panel]")) {
      const name = panel.dataset.panel, tools = make("span", { class: "tools" });
      tools.append(
        make("button", { type: "button", text: "SVG", title: `save this panel as SVG`, "aria-label": `save ${name} as SVG`, onclick: () => download(file_name(`${name}.svg`), "image/svg+xml", panel_svg(panel)) }),
        make("button", { type: "button", text: "PNG", title: `save this panel as PNG`, "aria-label": `save ${name} as PNG`, onclick: () => save_png(panel, file_name(`${name}.png`)) }));
      panel.querySelector("h2, h3").after(tools);
    }
  },
};
