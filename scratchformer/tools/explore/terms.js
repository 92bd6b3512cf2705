// Numbers that remember how they were computed: the engine's own functions run on them, so an expression that
// is shown is the one that the code evaluates. As --explain has it: 0 + x and 1 * x are x, 0 * x is 0.

class Term {
  // value; operation: "" for an operand, + - * / or a function such as "exp("; parts: Terms, or {name, index, label}
  constructor(value, operation, parts) {
    this.value = value;
    this.operation = operation;
    this.parts = parts;
  }

  valueOf() {
    return this.value;
  }

  // The entries it was computed from, each once, by label.
  operands(found = new Map()) {
    let term = this;
    while (term.operation && term.parts.length === 2) {          // sums are long and lean to the left
      term.parts[1].operands(found);
      term = term.parts[0];
    }
    if (term.operation) for (const part of term.parts) part.operands(found);
    else if (term.parts[0].name) found.set(term.parts[0].label, term.parts[0]);
    return found;
  }

  // The expression as text, with show(operand) for each operand.
  text(show) {
    const [first, second] = this.parts;
    switch (this.operation) {
      case "": return first.name ? show(first) : first.label;
      case "+": return `${first.text(show)} + ${second.wrapped(show, second.operation !== "-")}`;
      case "-": return second ? `${first.text(show)} - ${second.wrapped(show, !/^[+-]$/.test(second.operation))}`
        : `-${first.wrapped(show, !/^[-+*/]$/.test(first.operation))}`;
      case "*": return `${first.wrapped(show, !/^[+-]$/.test(first.operation))} * ${second.wrapped(show, !/^[-+*/]$/.test(second.operation))}`;
      case "/": return `${first.wrapped(show, !/^[+-]$/.test(first.operation))} / ${second.wrapped(show, !/^[-+*/]$/.test(second.operation))}`;
      default: return `${this.operation}${this.parts.map((part) => part.text(show)).join(", ")})`;
    }
  }

  wrapped(show, bare) {
    return bare ? this.text(show) : `(${this.text(show)})`;
  }
}

const Terms = (() => {
  const constant = (value, label = String(value)) => new Term(value, "", [{ name: "", label, value }]);
  const term = (x) => (x instanceof Term ? x : constant(x));
  const plain = (x, y) => !(x instanceof Term) && !(y instanceof Term);      // an index, a dim, a count
  const is = (x, value) => x.operation === "" && !x.parts[0].name && x.value === value;

  function add(x, y) {
    if (plain(x, y)) return x + y;
    [x, y] = [term(x), term(y)];
    return is(x, 0) ? y : is(y, 0) ? x : new Term(x.value + y.value, "+", [x, y]);
  }

  function sub(x, y) {
    if (plain(x, y)) return x - y;
    [x, y] = [term(x), term(y)];
    if (is(x, 0)) return new Term(-y.value, "-", [y]);
    return is(y, 0) ? x : new Term(x.value - y.value, "-", [x, y]);
  }

  function mul(x, y) {
    if (plain(x, y)) return x * y;
    [x, y] = [term(x), term(y)];
    if (x.value === 0 || y.value === 0) return constant(x.value * y.value, "0");
    return is(x, 1) ? y : is(y, 1) ? x : new Term(x.value * y.value, "*", [x, y]);
  }

  function div(x, y) {
    if (plain(x, y)) return x / y;
    [x, y] = [term(x), term(y)];
    return is(y, 1) || is(x, 0) ? x : new Term(x.value / y.value, "/", [x, y]);
  }

  const neg = (x) => (x instanceof Term ? sub(0, x) : -x);
  const pow = (x, y) => x ** y;
  const exp = (x) => new Term(Math.exp(x.value), "exp(", [x]);
  const log = (x) => new Term(Math.log(x.value), "log(", [x]);
  const sqrt = (x) => constant(Math.sqrt(x), `sqrt(${x})`);              // of a dim: as it is written

  // Of two entries it is one of them; of an entry and a constant it is shown.
  function max(x, y) {
    if (plain(x, y)) return Math.max(x, y);
    if (x instanceof Term && y instanceof Term && !is(y, y.value)) return y.value > x.value ? y : x;
    [x, y] = [term(x), term(y)];
    return new Term(Math.max(x.value, y.value), "max(", [x, y]);
  }

  function empty(shape) {
    return new NDArray(new Array(count(shape)).fill(0), shape);
  }

  function add_to(a, b) {
    for (let i = 0; i < a.size; i++) a.data[a.offset + i] = add(a.data[a.offset + i], b.data[b.offset + i]);
  }

  function dot(a, b, out = empty([a.shape[0], b.shape[1]])) {
    for (let i = 0; i < a.shape[0]; i++) {
      for (let j = 0; j < b.shape[1]; j++) {
        let sum = 0;
        for (let n = 0; n < a.shape[1]; n++) sum = add(sum, mul(a.data[a.at(i, n)], b.data[b.at(n, j)]));
        out.data[out.at(i, j)] = sum;
      }
    }
    return out;
  }

  return { constant, term, add, sub, mul, div, neg, pow, exp, log, sqrt, max, empty, add_to, dot };
})();

// One step of a pass on Terms: every entry of what it fills, by container.name. leaf(container, name) is the
// array of operands that it reads.
function trace_step(step, shapes, leaf) {
  const filled = {};
  for (const [container, name] of step.fills) filled[`${container}.${name}`] = Terms.empty(shapes(container, name));
  const given = step.arguments.map(([container, name]) => filled[`${container}.${name}`] || leaf(container, name));
  symbolic[step.function](...given);
  return filled;
}
