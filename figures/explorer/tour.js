// A tour in stops: what to look at, and why it matters. {panel, title, text(), go()}; left at any time.

const last_step = () => RUN.steps.length - 1;
const decided = () => S.ids.map((_, t) => t).filter((t) => computed.allowed[t] && computed.allowed[t].length).pop();

function show(ids, step = last_step()) {
  if (S.step !== step) go_to(step);
  if (ids) follow(ids);
  S.gradient = false;
  S.view = "values";
  changed();
}

const STOPS = [
  {
    panel: "panel-sequence", title: "The task", go: () => show(RUN.sequence),
    text: () => `The rule: ${RUN.description}. The model reads at most ${SIZES.T} tokens and predicts the next one after each. A cell tells what it predicts there: ✓ follows the rule, ✗ breaks it, · the rule does not care. Click a cell: all panels follow that position.`,
  },
  {
    panel: "panel-forward", title: "The whole computation", go: () => {},
    text: () => `All numbers of one forward pass, from left to right: ${P} learned ones make them. A row is a position, the selected one is bold. Red is positive, blue negative; attention and probabilities go from dark (0) to yellow (1).`,
  },
  {
    panel: "plane-embed", title: "A token is a point", go: () => decided() !== undefined && select_position(decided()),
    text: () => "Each token owns a point (a row of W_token), each position another (p0, p1, …, rows of W_pos). Their sum is where the stream starts: follow the arrow. Look who lies together: tokens that the rule treats alike.",
  },
  {
    panel: "plane-scores", title: "Who is asked", go: () => decided() !== undefined && select_position(decided()),
    text: () => `The blue arrow is the query of ${word_at(S.position)}. A key on red ground gets a high score, on blue ground a low one. Softmax makes shares of the scores: the larger a dot, the more is read from it.`,
  },
  {
    panel: "plane-values", title: "What is handed over", go: () => {},
    text: () => "Every position offers a value. The shares weigh them, and the purple diamond is their average. If nearly all attention lies on one position, the diamond lies on its value.",
  },
  {
    panel: "plane-stream", title: "From point to prediction", go: () => {},
    text: () => `The colours tell which token would be predicted if the stream lay there. Attention carries ${word_at(S.position)} along the bold arrow, and it ends where ${WORDS[prediction(S.position)]} is predicted. Moving points into the right region: that is all that attention does here.`,
  },
  {
    panel: "panel-forward", title: "Any number, worked out", go: () => {
      S.pinned = { name: "scores", cell: [S.position, Math.max(0, S.position - 1)] };
      changed();
    },
    text: () => "One score is pinned: below the boxes stand its formula, its operands and the line of the code. Solid frames show where it came from, dashed ones where it goes.",
  },
  {
    panel: "panel-forward", title: "Backwards", go: () => {
      S.pinned = null;
      S.gradient = true;
      changed();
    },
    text: () => `The same boxes, now with the gradient of the loss for one target. It starts at the logits and runs back by every route by which a number had a part in the loss. Where attention is sure of itself, almost nothing arrives at q and k.`,
  },
  {
    panel: "panel-weights", title: "Change a number", go: () => {
      S.gradient = false;
      changed();
    },
    text: () => "Drag any weight up or down, or a point of the first plane. All panels follow, and the line at the top counts how many held-out answers flip. Undo brings it back.",
  },
  {
    panel: "panel-train", title: "How it came about", go: () => show(null, Math.min(last_step(), Math.floor(last_step() / 3))),
    text: () => `Here is the model at step ${RUN.steps[S.step].toLocaleString("en")}: play the slider to see the points part and the error fall. Or press “run” and train it yourself from here.`,
  },
  {
    panel: "panel-sequence", title: "Where it fails", go: () => show(RUN.hard.length ? RUN.hard : RUN.sequence),
    text: () => (RUN.hard.length
      ? `The finished model is wrong here. Find out why: look at the attention of the last position, then at where the stream ends. Is it the wrong place that is read, or a neighbouring region that is hit?`
      : "On the held-out windows this page carries, the finished model is right wherever the rule decides. Try to find a sequence on which it is not."),
  },
];

const tour = {
  at: -1,

  setup() {
    $("tour").addEventListener("click", () => this.go(0));
    $("tour-next").addEventListener("click", () => this.go(this.at + 1));
    $("tour-back").addEventListener("click", () => this.go(this.at - 1));
    $("tour-end").addEventListener("click", () => this.end());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.at >= 0 && this.end());
  },

  go(i) {
    document.querySelectorAll(".toured").forEach((panel) => panel.classList.remove("toured"));
    if (i < 0 || i >= STOPS.length) return this.end();
    this.at = i;
    const stop = STOPS[i], panel = $(stop.panel);
    stop.go();
    redraw();
    panel.classList.add("toured");
    $("tour-title").textContent = `${i + 1} of ${STOPS.length} · ${stop.title}`;
    $("tour-text").textContent = stop.text();
    $("tour-back").disabled = i === 0;
    $("tour-next").textContent = i === STOPS.length - 1 ? "done" : "next";
    $("tour-box").hidden = false;
    const covered = getComputedStyle($("controls")).position === "sticky" ? $("controls").offsetHeight : 0;
    const top = panel.getBoundingClientRect().top + window.scrollY - covered - 8;
    window.scrollTo({ top: stop.panel === "panel-sequence" ? 0 : top });
    $("tour-next").focus({ preventScroll: true });
  },

  end() {
    document.querySelectorAll(".toured").forEach((panel) => panel.classList.remove("toured"));
    this.at = -1;
    $("tour-box").hidden = true;
    $("tour").focus({ preventScroll: true });
  },
};
