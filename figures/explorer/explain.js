// One entry of the forward or backward pass as an expression of other entries: the engine's own functions, run
// on numbers that remember how they came about.

const CONTAINERS = { p: () => params, c: () => computed.cache, dp: () => dparams, d: () => computed.dcache };

const dims_of = (name) => ROWS[name].dims.split(" ").filter((dim) => dim && dim !== "B");

// How an entry is written: no batch axis, with one head no head.
function entry_label(name, index, prefix = "") {
  const shown = dims_of(name).map((dim, i) => (dim === "H" && SIZES.H === 1 ? null : index[i])).filter((i) => i !== null);
  return shown.length ? `${prefix}${name}[${shown.join(",")}]` : `${prefix}${name}`;
}

// The index of the i-th number of an array.
function index_of(shape, i) {
  const index = [];
  for (let d = shape.length - 1; d >= 0; d--) {
    index.unshift(i % shape[d]);
    i = Math.floor(i / shape[d]);
  }
  return index;
}

function leaf(container, name) {
  const array = CONTAINERS[container]()[name];
  if (!(array instanceof NDArray) || ["tokens", "targets"].includes(name)) return array;
  const batched = ROWS[name].dims.startsWith("B"), prefix = container.startsWith("d") ? "d" : "";
  const data = Array.from(array.values(), (value, i) => {
    const index = index_of(array.shape, i).slice(batched ? 1 : 0);
    return new Term(value, "", [{ name, container, index, label: entry_label(name, index, prefix), value }]);
  });
  return new NDArray(data, array.shape);
}

const shape_in = (container, name) => CONTAINERS[container]()[name].shape;

function entry_of(filled, container, name, index) {
  const array = filled[`${container}.${name}`];
  return Terms.term(array.data[array.at(...(ROWS[name].dims.startsWith("B") ? [0, ...index] : index))]);
}

const where = (step) => `${RUN.code[step.function].file}:${RUN.code[step.function].line} ${step.function}, called in passes.py:${step.line}`;

// How an activation's entry was computed: {step, term}; null for a parameter.
function forward_of(name, index) {
  const step = RUN.forward.find((candidate) => candidate.name === name);
  return step ? { step, term: entry_of(trace_step(step, shape_in, leaf), "c", name, index) } : null;
}

// The routes by which the loss's gradient arrives at an entry: [{step, term}].
function routes_of(name, index) {
  const found = [];
  for (const step of RUN.backward) {
    for (const [container, filled] of step.fills) {
      if (filled === name) found.push({ step, term: entry_of(trace_step(step, shape_in, leaf), container, name, index) });
    }
  }
  return found;
}

// The entries that read an entry: labels of {container, name, index}, forward or backward.
function readers_of(container, name, index) {
  const found = [], label = entry_label(name, index, container.startsWith("d") ? "d" : "");
  const steps = container.startsWith("d") ? RUN.backward : RUN.forward;
  for (const step of steps) {
    const reads = step.arguments.some(([c, n]) => c === container && n === name);
    if (!reads || step.fills.every(([c, n]) => c === container && n === name)) continue;
    const filled = trace_step(step, shape_in, leaf);
    for (const [c, n] of step.fills) {
      const array = filled[`${c}.${n}`], batched = ROWS[n].dims.startsWith("B");
      array.data.forEach((term, i) => {
        if (term instanceof Term && term.operands().has(label)) {
          found.push({ container: c, name: n, index: index_of(array.shape, i).slice(batched ? 1 : 0) });
        }
      });
    }
  }
  return found;
}

// What the readout says of an entry: {title, value, meaning, lines, sources, code}.
function explanation(container, name, index) {
  const gradient = container.startsWith("d"), prefix = gradient ? "d" : "";
  const array = CONTAINERS[container]()[name];
  const value = array.data[array.at(...(ROWS[name].dims.startsWith("B") ? [0, ...index] : index))];
  const label = entry_label(name, index, prefix);
  const parts = gradient ? routes_of(name, index) : [forward_of(name, index)].filter(Boolean);
  const lines = [], sources = new Map(), code = [];
  for (const { step, term } of parts) {
    const names = term.text((operand) => operand.label), numbers = term.text((operand) => number(operand.value));
    const shown = [...new Set([clip(names), clip(numbers), number(term.value)])];
    if (gradient && parts.length > 1) lines.push({ kind: "route", text: `through ${step.name}: ${shown.join(" = ")}` });
    else {
      if (!gradient) lines.push({ kind: "formula", text: step.formula });
      for (const text of shown) lines.push({ kind: text === number(term.value) ? "value" : "names", text: `= ${text}` });
    }
    for (const [key, operand] of term.operands()) sources.set(key, operand);
    code.push(where(step));
  }
  if (gradient && name === "loss") lines.push({ kind: "names", text: "= 1: the loss by itself" });
  if (parts.length > 1) lines.push({ kind: "value", text: `in all ${number(value)}` });
  if (!parts.length && !gradient) lines.push({ kind: "names", text: "a learned number: the weights panel changes it" });
  const meaning = gradient ? `how the loss at the target ${WORDS[computed.target]} changes with ${label.slice(1)} (${ROWS[name].meaning})` : ROWS[name].meaning;
  return { label, value, meaning, lines, sources: [...sources.values()], code };
}

const clip = (text, most = 900) => (text.length > most ? `${text.slice(0, most)} …` : text);
