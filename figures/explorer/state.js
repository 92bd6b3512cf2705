// The run's data, what the page shows of it (S), and what follows from that (computed).

const RUN = JSON.parse(document.getElementById("run-data").textContent);
const { sizes: SIZES, table: TABLE, words: WORDS, tokens: TOKENS, use_residual: RESIDUAL } = RUN;
const SHAPES = parameter_shapes(TABLE, SIZES);
const ROWS = Object.fromEntries([...TABLE.parameters, ...TABLE.inputs, ...TABLE.activations].map((row) => [row.name, row]));
const LARGEST = 1e6;                    // of a weight, so that all that follows from it is finite
const usable = (x) => Number.isFinite(x) && Math.abs(x) <= LARGEST;
const SAMPLE = 400;                     // held-out windows that are read at every change

function bytes_of(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

function text_of(buffer) {
  let text = "";
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
  return btoa(text);
}

const snapshots = new (RUN.snapshots.kind === "float64" ? Float64Array : Float32Array)(bytes_of(RUN.snapshots.values));
const last_snapshot = new Float64Array(bytes_of(RUN.snapshots.last));
const P = last_snapshot.length;

// The parameters of the i-th saved step.
function snapshot(i) {
  return i === RUN.steps.length - 1 ? last_snapshot : Float64Array.from(snapshots.subarray(i * P, (i + 1) * P));
}

// Every stretch of T + 1 tokens that lies within one sequence: (N, T + 1).
function cut_windows({ lengths, ids }) {
  const all = new (RUN.wide ? Uint16Array : Uint8Array)(bytes_of(ids));
  const width = SIZES.T + 1, rows = [];
  let start = 0;
  for (const length of lengths) {
    for (let i = start; i + width <= start + length; i++) rows.push(all.subarray(i, i + width));
    start += length;
  }
  const windows = empty([rows.length, width]);
  rows.forEach((row, i) => windows.data.set(row, i * width));
  return windows;
}

const held_out = cut_windows(RUN.held_out);
let train_windows = null;               // cut when training first asks for them

const S = {                             // what is shown: all of it can be put into an address
  ids: RUN.sequence, step: RUN.start, position: 0, head: 0,
  gradient: false, target: null, pinned: null, view: "values",
};
const theta = snapshot(S.step).slice();             // the parameters as they are now, edits and training included
let base = theta.slice();                           // and as the snapshot has them
const undone = { back: [], forward: [] };

const params = unflatten(theta, SHAPES);
const gradient = new Float64Array(P);
const dparams = unflatten(gradient, SHAPES);
const caches = {};                      // by length, so that nothing is allocated while one drags

// The cache of a length and its gradients.
function caches_for(T) {
  if (!caches[T]) {
    const cache = empty_cache(TABLE, SIZES, 1, T, RESIDUAL);
    caches[T] = { cache, dcache: gradient_cache(TABLE, SIZES, cache) };
  }
  return caches[T];
}

// Run the forward pass from behind an activation that is filled in, up to another.
function run_after(name, cache, last) {
  let waiting = true;
  for (const step of RUN.forward) {
    if (!waiting) run_step(step, { p: params, c: cache });
    if (step.name === last) return;
    waiting = waiting && step.name !== name;
  }
}

function run_step(step, containers) {
  engine[step.function](...step.arguments.map(([container, name]) => containers[container][name]));
}

// Ids of a sequence as tokens: what a rule reads.
const history_of = (ids, length) => Array.from(ids).slice(0, length).map((id) => TOKENS[id]);

// Ids that the rule allows after a history: [] where any may come, null where it is not known.
function allowed_ids(history) {
  const found = allowed(history);
  return found === undefined ? null : (found || []).map((token) => TOKENS.indexOf(token));
}

function argmax(array, start, length) {
  let best = 0;
  for (let j = 1; j < length; j++) if (array[start + j] > array[start + best]) best = j;
  return best;
}

// Held-out windows, spread evenly over all of them, with what the rule allows at each position.
const sample = (() => {
  const N = Math.min(SAMPLE, held_out.shape[0]), T = SIZES.T;
  const cache = empty_cache(TABLE, SIZES, N, T, RESIDUAL), places = [];
  for (let n = 0; n < N; n++) {
    const row = held_out.row(Math.floor((n * held_out.shape[0]) / N)).values();
    for (let t = 0; t < T; t++) {
      cache.tokens.data[n * T + t] = row[t];
      cache.targets.data[n * T + t] = row[t + 1];
      const ids = allowed_ids(history_of(row, t + 1));
      if (ids && ids.length) places.push({ n, t, ids });
    }
  }
  return { cache, places, N };
})();

// The top prediction at each place of the sample that the rule decides.
function answers() {
  if (sample.N) engine.forward_pass(params, sample.cache);
  const { V, T } = SIZES, logits = sample.cache.logits.data;
  return sample.places.map(({ n, t }) => argmax(logits, (n * T + t) * V, V));
}

const grid = empty_cache(TABLE, SIZES, SIZES.V, SIZES.T, RESIDUAL);         // every token at every position
for (let i = 0; i < SIZES.V; i++) for (let t = 0; t < SIZES.T; t++) grid.tokens.data[i * SIZES.T + t] = i;
grid.targets.fill(-1);

const computed = { cache: null, dcache: null, target: 0, allowed: [], answers: [], wrong: 0, base_answers: null, base_step: -1 };

// Everything that follows from the state.
function compute() {
  const T = S.ids.length;
  S.position = Math.min(S.position, T - 1);
  const { cache, dcache } = caches_for(T);
  computed.cache = cache;
  computed.dcache = dcache;
  cache.tokens.data.set(S.ids);
  cache.targets.fill(-1);
  computed.allowed = S.ids.map((_, t) => allowed_ids(history_of(S.ids, t + 1)));
  engine.forward_pass(params, cache);
  computed.target = S.target === null ? usual_target() : S.target;
  cache.targets.data[S.position] = computed.target;
  engine.forward_pass(params, cache);
  engine.backward_pass(params, cache, dparams, dcache);
  engine.forward_pass(params, grid);
  if (computed.base_step !== S.step && edit_count()) {          // what the snapshot answers, before edits
    const edited = theta.slice();
    theta.set(base);
    computed.base_answers = answers();
    computed.base_step = S.step;
    theta.set(edited);
  }
  computed.answers = answers();
  if (computed.base_step !== S.step) computed.base_answers = computed.answers;
  computed.base_step = S.step;
  computed.wrong = sample.places.filter(({ ids }, i) => !ids.includes(computed.answers[i])).length;
}

// The target that nobody chose: what the rule asks for, else what came next, else the top prediction.
function usual_target() {
  const found = computed.allowed[S.position];
  if (found && found.length) return found[0];
  if (S.position + 1 < S.ids.length) return S.ids[S.position + 1];
  return prediction(S.position);
}

function prediction(t) {
  return argmax(computed.cache.logits.data, t * SIZES.V, SIZES.V);
}

// 1 right, 0 wrong, -1 the rule says nothing, null it is not known.
function verdict(t) {
  const found = computed.allowed[t];
  if (found === null) return null;
  return found.length ? Number(found.includes(prediction(t))) : -1;
}

// ---- changes

const panels = [];                      // {render(), root}; main.js lists them
let waiting = false;
const timings = [];                     // milliseconds of each redraw, by the page's own clock

// Compute and draw what is in view, once for all changes of this moment.
function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => redraw(false));
}

// A panel out of view is drawn when it comes into view, or with `everything`.
function redraw(everything = true) {
  waiting = false;
  const start = performance.now();
  compute();
  for (const panel of panels) {
    panel.stale = !everything && panel.hidden;
    if (!panel.stale) panel.render();
  }
  write_address();
  timings.push(performance.now() - start);
}

function remember() {
  undone.back.push(theta.slice());
  if (undone.back.length > 200) undone.back.shift();
  undone.forward.length = 0;
}

function step_back(from, to) {
  if (!from.length) return;
  to.push(theta.slice());
  theta.set(from.pop());
  stop_training();
  changed();
}

// Go to a saved step: edits are left behind.
function go_to(i) {
  S.step = Math.max(0, Math.min(RUN.steps.length - 1, i));
  base = snapshot(S.step).slice();
  theta.set(base);
  undone.back.length = undone.forward.length = 0;
  stop_training();
  changed();
}

function edit_count() {
  let n = 0;
  for (let i = 0; i < P; i++) n += theta[i] !== base[i];
  return n;
}
