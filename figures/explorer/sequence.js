// The top of the page: the sequence, what the model predicts after each token, the step of training.

function said(field, sentence) {
  $(`${field}-problem`).textContent = sentence;
  if ($(field)) $(field).setAttribute("aria-invalid", sentence ? "true" : "false");
}

// The ids of typed tokens, or a sentence that says what is wrong.
function read_tokens(text) {
  const words = text.trim().split(/\s+/).filter(Boolean);
  const shown = WORDS.length <= 40 ? WORDS.join(" ") : `${WORDS.slice(0, 3).join(" ")} … ${WORDS.slice(-3).join(" ")}`;
  const unknown = words.find((word) => !WORDS.includes(word));
  if (!words.length) return `Type at least one token: ${shown}.`;
  if (unknown !== undefined) return `“${unknown.slice(0, 20)}” is not a token; the tokens are ${shown}, with spaces between.`;
  if (words.length > SIZES.T) return `${words.length} tokens are too many: the model reads at most ${SIZES.T}.`;
  return words.map((word) => WORDS.indexOf(word));
}

// Show another sequence, its last position selected.
function follow(ids) {
  S.ids = ids;
  S.position = ids.length - 1;
  S.target = null;
  S.pinned = null;
  $("sequence").value = ids.map((id) => WORDS[id]).join(" ");
  said("sequence", "");
  changed();
}

function select_position(t) {
  S.position = t;
  S.target = null;
  changed();
}

const MARKS = { 1: "✓", 0: "✗", "-1": "·", null: "?" };
const VERDICTS = {
  1: "follows the rule", 0: "breaks the rule", "-1": "the rule allows any token here",
  null: "this rule's file cannot be asked here",
};

const sequence_panel = {
  playing: null,

  setup() {
    $("sequence").addEventListener("input", () => {
      const found = read_tokens($("sequence").value);
      if (typeof found === "string") said("sequence", found);
      else {
        const text = $("sequence").value;
        follow(found);
        $("sequence").value = text;
      }
    });
    WORDS.slice(0, 60).forEach((word, id) => $("palette").append(make("button", {
      type: "button", class: "token", text: word, title: `append ${word}`,
      onclick: () => (S.ids.length < SIZES.T ? follow([...S.ids, id]) : said("sequence", `The model reads at most ${SIZES.T} tokens: remove one first.`)),
    })));
    $("remove").addEventListener("click", () => (S.ids.length > 1 ? follow(S.ids.slice(0, -1)) : said("sequence", "The last token stays: the model must read something.")));
    $("random").addEventListener("click", () => {
      const row = held_out.row(Math.floor(Math.random() * held_out.shape[0])).values();
      follow(Array.from(row.slice(0, SIZES.T)));
    });
    const slider = $("step");
    slider.max = RUN.steps.length - 1;
    slider.addEventListener("input", () => go_to(Number(slider.value)));
    $("play").addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    $("undo").addEventListener("click", () => step_back(undone.back, undone.forward));
    $("redo").addEventListener("click", () => step_back(undone.forward, undone.back));
    $("reset").addEventListener("click", () => {
      remember();
      theta.set(base);
      stop_training();
      changed();
    });
  },

  play() {
    if (S.step === RUN.steps.length - 1) go_to(0);
    $("play").textContent = "❚❚ pause";
    let last = performance.now();
    const frame = (now) => {
      if (!this.playing) return;
      if (now - last >= 30) {                       // 30 snapshots a second, at 60 frames
        last = now;
        if (S.step === RUN.steps.length - 1) return this.pause();
        go_to(S.step + 1);
      }
      this.playing = requestAnimationFrame(frame);
    };
    this.playing = requestAnimationFrame(frame);
  },

  pause() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    $("play").textContent = "▶ play";
  },

  render() {
    const chips = $("chips"), T = S.ids.length;
    while (chips.children.length > T) chips.lastChild.remove();
    while (chips.children.length < T) {
      const t = chips.children.length;
      chips.append(make("button", { type: "button", class: "chip", onclick: () => select_position(t) },
        make("span", { class: "word" }), make("span", { class: "says" })));
    }
    const probs = computed.cache.probs.data;
    for (let t = 0; t < T; t++) {
      const chip = chips.children[t], mark = verdict(t), best = prediction(t);
      const p = percent(probs[t * SIZES.V + best]);
      set(chip, {
        "aria-pressed": String(t === S.position), "data-verdict": String(mark),
        title: `position ${t}: after ${WORDS[S.ids[t]]} the model predicts ${WORDS[best]} (${p}): ${VERDICTS[mark]}`,
        "aria-label": `position ${t}, token ${WORDS[S.ids[t]]}: predicts ${WORDS[best]}, ${VERDICTS[mark]}`,
      });
      set(chip.children[0], { text: WORDS[S.ids[t]] });
      set(chip.children[1], { text: `${MARKS[mark]} ${WORDS[best]} ${p}` });
    }
    const t = S.position, found = computed.allowed[t], best = prediction(t), mark = verdict(t);
    const names = found && found.length > 8 ? `${found.slice(0, 8).map((id) => WORDS[id]).join(", ")} …` : found && found.map((id) => WORDS[id]).join(", ");
    const rule = found === null ? VERDICTS.null : found.length ? `the rule allows ${names}` : "the rule allows any token";
    set($("sentence"), {
      text: `After ${history_of(S.ids, t + 1).join(" ")} ${rule}; the model predicts ${WORDS[best]} with ${percent(probs[t * SIZES.V + best])}${mark === 1 ? " ✓" : mark === 0 ? " ✗ wrong" : ""}.`,
      "data-verdict": String(mark),
    });
    const slider = $("step");
    if (Number(slider.value) !== S.step) slider.value = S.step;
    const step = RUN.steps[S.step].toLocaleString("en");
    set(slider, { "aria-valuetext": `step ${step}` });
    set($("step-text"), { text: `step ${step} of ${RUN.steps[RUN.steps.length - 1].toLocaleString("en")}` });
    this.render_change();
  },

  // The "what changed" line.
  render_change() {
    const edits = edit_count(), total = sample.places.length;
    const flipped = computed.answers.filter((answer, i) => answer !== computed.base_answers[i]).length;
    const wrong = `${computed.wrong} of ${total.toLocaleString("en")} wrong (${percent(total ? computed.wrong / total : 0)})`;
    const where = `where the rule decides in ${sample.N} held-out windows`;
    const text = !total ? "The rule decides nothing in the held-out windows."
      : !edits ? `As the snapshot has it: ${wrong} ${where}.`
      : `${training.trainer ? "Trained here" : `${edits} of ${P} weights changed`}: ${flipped} ${flipped === 1 ? "answer flips" : "answers flip"}; now ${wrong} ${where}.`;
    set($("change"), { text, "data-changed": edits ? "yes" : "no" });
    $("undo").disabled = !undone.back.length;
    $("redo").disabled = !undone.forward.length;
    $("reset").disabled = !edits;
  },
};
