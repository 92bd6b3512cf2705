// Train here: the engine's training step on the run's own windows, a little of it between two frames.

// Numbers from a seed, uniform in [0, 1): mulberry32. Not NumPy's, so the batches are not those of the run.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

const FIELDS = {                        // least, greatest, whole number
  rate: [0, 10, false], batch: [1, 256, true], decay: [0, 10, false], seed: [0, 4294967295, true],
};
const SLICE = [30, 90];                 // least and greatest milliseconds of training between two redraws

const training = {
  trainer: null, running: 0, curve: [], batch_loss: null, speed: 0,

  setup() {
    const { learning_rate: rate, batch_size: batch, weight_decay: decay } = RUN.training;
    this.settings = { rate, batch: Math.min(batch, 256), decay, seed: RUN.training.seed >>> 0 };
    for (const field of Object.keys(FIELDS)) {
      $(field).value = this.settings[field];
      $(field).addEventListener("input", () => this.read(field));
    }
    $("train-1").addEventListener("click", () => this.one_step());
    $("train-100").addEventListener("click", () => this.steps(100));
    $("train-run").addEventListener("click", () => (this.running ? this.stop() : this.run()));
    $("train-stop").addEventListener("click", () => stop_training());
  },

  // A field's value if it can be used; else a sentence, and the last good value stays.
  read(field) {
    const text = $(field).value.trim(), value = Number(text.replace(",", ".")), [low, high, whole] = FIELDS[field];
    const good = text && Number.isFinite(value) && value >= low && value <= high && (!whole || Number.isInteger(value));
    said(field, good ? "" : `Must be a ${whole ? "whole " : ""}number from ${low.toLocaleString("en")} to ${high.toLocaleString("en")}; it stays ${this.settings[field]}.`);
    if (!good) return;
    this.settings[field] = value;
    if (["batch", "seed"].includes(field)) this.begin_again();
  },

  // The arrays of another batch size; Adam's means stay.
  begin_again() {
    const before = this.trainer;
    this.random = generator(this.settings.seed);
    if (!before) return;
    this.trainer = new_trainer(TABLE, SIZES, theta, this.settings.batch, RESIDUAL);
    Object.assign(this.trainer, { m: before.m, v: before.v, step: before.step });
  },

  ready() {
    if (train_windows === null) train_windows = cut_windows(RUN.train);
    if (!this.trainer) {
      remember();                       // undo goes back to before the training
      this.trainer = new_trainer(TABLE, SIZES, theta, this.settings.batch, RESIDUAL);
      this.random = generator(this.settings.seed);
      this.curve = [];
      this.note();
    }
  },

  draw_batch(steps) {
    const batches = empty([steps, this.settings.batch]);
    for (let i = 0; i < batches.data.length; i++) batches.data[i] = Math.floor(this.random() * train_windows.shape[0]);
    return batches;
  },

  // Take steps; false if a weight has grown out of all bounds: then the ones before are put back.
  take(steps) {
    const { trainer, settings } = this, { beta1, beta2, epsilon } = RUN.training, before = theta.slice();
    const batches = this.draw_batch(steps);
    run_steps(trainer, train_windows, batches, settings.rate, [beta1, beta2, epsilon, settings.decay]);
    this.batch_loss = trainer.cache.loss.data[0];
    if (theta.every(usable)) return batches;
    theta.set(before);
    stop_training();
    said("train", "Training diverged: a weight grew beyond a million. The weights from before are kept; try a lower learning rate.");
    changed();
    return false;
  },

  steps(n) {
    this.ready();
    said("train", "");
    const start = performance.now();
    if (!this.take(n)) return;
    this.speed = (1000 * n) / (performance.now() - start);
    changed();
  },

  // One step, told in full: which windows, which gradient, which update.
  one_step() {
    this.ready();
    said("train", "");
    const before = theta.slice(), batches = this.take(1);
    if (!batches) return;
    const change = theta.map((x, i) => x - before[i]), g = this.trainer.gradient.data;
    const largest = (values) => values.reduce((best, x, i) => (Math.abs(x) > Math.abs(values[best]) ? i : best), 0);
    const label = (i) => {
      const name = Object.keys(params).find((key) => i >= params[key].offset && i < params[key].offset + params[key].size);
      return entry_label(name, index_of(SHAPES[name], i - params[name].offset));
    };
    const [a, b] = [largest(g), largest(change)];
    const windows = Array.from(batches.data, (row) => Array.from(train_windows.row(row).values(), (id) => WORDS[id]).join(" "));
    $("one-step").replaceChildren(
      make("p", { text: `1. These ${windows.length} windows are read; after each token the next one is the target.` }),
      make("ul", { class: "windows" }, ...windows.slice(0, 8).map((text) => make("li", { text })), ...(windows.length > 8 ? [make("li", { text: `… and ${windows.length - 8} more` })] : [])),
      make("p", { text: `2. Their mean loss was ${number(this.batch_loss)}.` }),
      make("p", { text: `3. The largest gradient: by ${label(a)}, ${number(g[a])}.` }),
      make("p", { text: `4. Adam divides each gradient's running mean by its running size, so all weights move by about the learning rate. The largest update: ${label(b)} went from ${number(before[b])} to ${number(theta[b])} (${number(change[b])}).` }));
    $("one-step-details").open = true;
    changed();
  },

  run() {
    this.ready();
    said("train", "");
    $("train-run").textContent = "❚❚ pause";
    let steps = 20, slice = SLICE[0], end = performance.now();
    const turn = () => {
      if (!this.running) return;
      const start = performance.now();
      slice = Math.max(SLICE[0], Math.min(SLICE[1], 2 * (start - end)));     // twice what the last drawing took
      let done = 0;
      while (performance.now() - start < slice) {
        if (!this.take(steps)) return;
        done += steps;
      }
      end = performance.now();
      this.speed = (1000 * done) / (end - start);
      steps = Math.max(1, Math.round((this.speed * slice) / 4000));
      if (theta.length < 2000 || this.trainer.step % 4 === 0) redraw(false);
      this.running = setTimeout(turn, 0);
    };
    this.running = setTimeout(turn, 0);
  },

  stop() {
    clearTimeout(this.running);
    this.running = 0;
    $("train-run").textContent = "▶ run";
    changed();
  },

  note() {
    const error = sample.places.length ? computed.wrong / sample.places.length : 0;
    const loss = sample.cache.loss.data[0];
    this.curve.push({ step: this.trainer ? this.trainer.step : 0, loss, error });
    if (this.curve.length > 600) this.curve = this.curve.filter((_, i) => i % 2 === 0);
  },

  render() {
    const live = this.trainer;
    if (live && (!this.curve.length || this.curve[this.curve.length - 1].step !== live.step)) this.note();
    set($("train-text"), {
      text: live
        ? `${live.step.toLocaleString("en")} ${live.step === 1 ? "step" : "steps"} from step ${RUN.steps[S.step].toLocaleString("en")}; held-out loss ${number(sample.cache.loss.data[0])}, rule error ${percent(sample.places.length ? computed.wrong / sample.places.length : 0)}${this.speed ? `; ${Math.round(this.speed).toLocaleString("en")} steps a second` : ""}.`
        : "Training here starts from the weights as they are now, with Adam's means at 0. Its batches are drawn by this page, not those of the run.",
    });
    $("train-stop").disabled = !live;
    this.draw_curves();
  },

  // Loss and rule error: the run's own, and those of the training here.
  draw_curves() {
    const W = 460, H = 190, L = 40, R = 44, B = 26, T = 10, here = this.trainer && this.curve.length > 1;
    const steps = here ? this.curve.map(({ step }) => step) : RUN.history.step;
    const losses = here ? this.curve.map(({ loss }) => loss) : RUN.history.held_out_loss;
    const errors = here ? this.curve.map(({ error }) => error) : RUN.history.rule_error;
    const most = Math.max(1, ...steps), top = Math.max(...losses.filter(Number.isFinite), 0.1) * 1.05, low = Math.min(...losses.filter(Number.isFinite)) * 0.9;
    const x = (step) => L + ((W - L - R) * step) / most, y = (share) => T + (H - T - B) * (1 - share);
    const path = (values, to) => `M${values.map((value, i) => `${x(steps[i]).toFixed(1)} ${y(to(value)).toFixed(1)}`).join("L")}`;
    const share = (loss) => (loss - low) / (top - low);
    const now = here ? most : RUN.steps[S.step];
    const text = (px, py, anchor, words, color = "var(--soft)") => make("svg:text", { x: px, y: py, "text-anchor": anchor, class: "label", fill: color, text: words });
    const last = (values) => values[values.length - 1];
    const loss_at = Math.max(T + 10, y(share(last(losses))) - 6);
    let error_at = Math.max(T + 10, y(last(errors)) - 6);
    if (Math.abs(error_at - loss_at) < 14) error_at = loss_at + (error_at < loss_at && loss_at > T + 26 ? -14 : 14);
    $("curves").replaceChildren(
      make("svg:path", { class: "axis", d: `M${L} ${T}V${H - B}H${W - R}V${T}` }),
      make("svg:path", { d: `M${x(now)} ${T}V${H - B}`, class: "now" }),
      make("svg:path", { d: path(losses, share), fill: "none", stroke: "var(--loss)", "stroke-width": 2 }),
      make("svg:path", { d: path(errors, (e) => e), fill: "none", stroke: "var(--error)", "stroke-width": 2, "stroke-dasharray": "5 3" }),
      text(L - 4, T + 6, "end", number(top, 2), "var(--loss)"), text(L - 4, H - B, "end", number(low, 2), "var(--loss)"),
      text(W - R + 4, T + 6, "start", "100%", "var(--error)"), text(W - R + 4, H - B, "start", "0%", "var(--error)"),
      text(L, H - 8, "start", "0"), text(W - R, H - 8, "end", `${most.toLocaleString("en")} steps${here ? " here" : " of the run"}`),
      text(W - R - 6, loss_at, "end", `held-out loss ${number(last(losses), 2)}`, "var(--loss)"),
      text(W - R - 6, error_at, "end", `rule error ${percent(last(errors))} (dashed)`, "var(--error)"));
  },
};

// Leave the training, with its weights as edits.
function stop_training() {
  if (training.running) training.stop();
  training.trainer = null;
  training.curve = [];
  training.speed = 0;
  if ($("one-step-details")) $("one-step-details").open = false;
}
