"""The captions: their numbers are the run's, and their sentences hold for every shape of model."""

import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import SHORT, train_run

from scratchformer.analysis.families import family
from scratchformer.figures import (
    f06_embedding_scatter, f07_output_probs_embed, f11_probability_heatmap_with_values, f14_value_output,
)
from scratchformer.figures.captions import captions, describe_name
from scratchformer.figures.catalogue import every_figure, figure_module, figure_names
from scratchformer.run.data import judge_sequence, parse_tokens
from scratchformer.run.model import Model
from scratchformer.run.rules import RULES
from scratchformer.run.run import Run

NAMES = figure_names()[:15]
DOUBTFUL = re.compile(r"nan|inf\b|\b1 \w*(tokens|positions|windows|steps|sequences|keys)\b|  |\.\.|None")
READS_1 = re.compile(r"\d[,.]1 \w+")                    # the 1 is the end of a longer number


def caption(model, number):
    return figure_module(NAMES[number - 1]).caption(model)


def check(text):
    """One paragraph of sentences of a sensible length, without signs of a number gone wrong."""
    assert "\n" not in text and text[0].isupper() and text.endswith(".")
    assert 50 <= len(text.split()) <= 140
    assert text.count("`") % 2 == 0
    assert not DOUBTFUL.search(READS_1.sub("", text)), text


@pytest.mark.parametrize("name", NAMES)
def test_captions_read_well(tiny_run, odd_run, name):
    for model in (tiny_run.at(0), tiny_run.at(20), odd_run.at(0), odd_run.at(4)):
        check(figure_module(name).caption(model))


def countdown(history):
    """Everywhere: one less than the number before, 0 or 1 after anything else."""
    return {history[-1] - 1} if history[-1] not in (0, "+") else {0, 1}


def lucky7(history):
    """After 7, the token before it."""
    return {history[-2]} if history[-1] == 7 and len(history) > 1 else None


@pytest.mark.parametrize("rule", [countdown, lucky7])
def test_captions_read_well_for_other_rules(tmp_path, monkeypatch, rule):
    monkeypatch.setitem(RULES, "plus_last_even", rule)
    run = train_run(tmp_path / "other", *SHORT)
    run.demos[0] = parse_tokens("10 + 10 6 + 6 4 8", run.data.vocabulary, 8)
    for name in NAMES:
        check(figure_module(name).caption(run.at(4)))
    everywhere = rule is countdown
    assert f"at {'8' if everywhere else 'none'} of its positions" in caption(run.at(4), 12)
    _, constrained = run.at(4).count_wrong()
    assert (constrained == run.data.held_out_windows[:, 1:].size) == everywhere
    assert f"of {constrained:,} constrained positions" in caption(run.at(4), 11)


def test_text_holds_every_figure_in_reading_order(tiny_run):
    text = captions(tiny_run.at(20), [NAMES[7], NAMES[0]], "svg")
    parts = text.rstrip("\n").split("\n\n")
    (wrong, constrained), loss = tiny_run.at(20).count_wrong(), tiny_run.at(20).held_out.loss
    assert parts[:2] == ["# plus_last_even at step 20", "Rule: after +, the most recent even number."]
    assert parts[2].startswith("Verdict: the rule is not learned.")
    assert f"at {wrong:,} of {constrained:,} constrained" in parts[2] and f"{loss:.3f}" in parts[2]
    assert parts[3:] == [
        "## 01 The whole model", "![The whole model](01_architecture_overview.svg)",
        "**What is computed from what, and in which shape?** Look at the thick stream on the left: each "
        "layer reads it and adds to it.", caption(tiny_run.at(20), 1),
        "## 08 Queries, keys and values", "![Queries, keys and values](08_qkv_transforms.svg)", parts[9],
        caption(tiny_run.at(20), 8),
    ]


def test_verdict_follows_the_counts(tiny_run, monkeypatch):
    def verdict(wrong, constrained, loss):
        monkeypatch.setattr(Model, "count_wrong", lambda model: (wrong, constrained))
        monkeypatch.setattr(Model, "held_out", SimpleNamespace(loss=loss))
        return captions(tiny_run.at(0), []).split("\n\n")[2]

    assert verdict(1, 100, 1.9).startswith("Verdict: the rule is learned.")
    assert "at 1 of 100 constrained positions, a rule error of 1.00%" in verdict(1, 100, 1.9)
    assert verdict(2, 100, 1.9).startswith("Verdict: the rule is not learned.")
    assert verdict(0, 0, 1.9).startswith("Verdict: none") and "1.900" in verdict(0, 0, 1.9)


def test_names_are_headings():
    assert describe_name("supplementary/11_decision_map") == "Supplementary: 11 The map of decisions"
    assert describe_name("16_value_demo0") == "16 First sequence on the landscape"


@pytest.mark.parametrize("name", every_figure())
def test_each_figure_has_a_heading_a_question_and_something_to_look_at(name):
    module = figure_module(name)
    assert module.QUESTION.endswith("?") and len(module.QUESTION.split()) <= 16
    assert len(module.HEADING.split()) <= 8 and not module.HEADING.endswith(".")
    assert 4 <= len(module.LOOK.split()) <= 26 and module.LOOK[0].islower() and module.LOOK[-1] != "."


def test_learning_curve_tells_when_the_rule_was_learned(tiny_run):
    run = Run.open(tiny_run.folder)
    losses, steps = np.array([2.5, 1.25, 1.5]), np.array([0, 1000, 2000])
    run.files.history = {
        "step": steps, "train_loss": losses, "held_out_loss": losses,
        "rule_error": np.array([0.9, 0.05, 0.02]), "generated_rule_error": np.array([0.9, 0.5, 0.125]),
    }
    text = caption(run.at(20), 2)
    assert "The held-out loss went from 2.500 to 1.500" in text
    assert "lowest, 1.250, at step 1,000" in text
    assert "began at 90.0%, was first below 10% at step 1,000, and ended at 2.0%" in text
    assert "ended at 12.5%" in text
    run.history["rule_error"] = np.array([0.9, 0.05, 0.001])
    assert "first below 10% at step 1,000 and below 1% at step 2,000, and ended" in caption(run.at(20), 2)
    run.history["rule_error"] = np.array([0.9, 0.8, 0.7])
    assert "was never below 10%, and ended at 70.0%" in caption(run.at(20), 2)
    assert "vertical line" not in caption(run.at(20), 2) and "line marks step 5," in caption(run.at(5), 2)


def test_sizes_and_shares_are_those_of_model_and_data(tiny_run):
    count = sum(array.size for array in tiny_run.at(20).params)
    assert f"Of {count:,} learned numbers, 40 are in embeddings" in caption(tiny_run.at(20), 1)
    sequences = tiny_run.data.train_sequences
    verdicts = [judge_sequence(tiny_run.rule, tiny_run.data.vocabulary, s, 99) for s in sequences]
    asked = sum(int((verdict >= 0).sum()) for verdict in verdicts)
    ((token, count),) = Counter(np.concatenate(sequences).tolist()).most_common(1)
    total = sum(map(len, sequences))
    text = caption(tiny_run.at(20), 3)
    assert f"constrains {asked / total:.1%} of them: {asked:,} of {asked:,} constrained" in text
    assert f"most frequent token is `{tiny_run.vocabulary[token]}` ({count / total:.1%})" in text


def test_generated_shares_are_those_of_both_steps(tiny_run):
    text = caption(tiny_run.at(20), 4)
    for place, step in (("Above", 0), ("below", 20)):
        sequences = tiny_run.at(step).generate(6, 40)
        verdicts = [judge_sequence(tiny_run.rule, tiny_run.data.vocabulary, s, 8) for s in sequences]
        right, asked = (sum(int(v.sum()) for v in (np.array(verdicts) >= low)) for low in (1, 0))
        assert f"{place}, {right:,} of {asked:,} constrained tokens correct" in text
    assert "There, " in caption(tiny_run.at(0), 4) and "below," not in caption(tiny_run.at(0), 4)


def test_embedding_distances(tiny_run):
    W = tiny_run.at(20).params.W_token
    even, odd = W[0:11:2], W[1:11:2]
    spreads = [np.sqrt(((rows - rows.mean(0)) ** 2).sum(1).mean()) for rows in (even, odd)]
    apart = np.linalg.norm(even.mean(0) - odd.mean(0))
    text = caption(tiny_run.at(20), 5)
    assert f"even–odd ({apart:.3g} against {sum(spreads):.3g})" in text
    lead = "these pairs are apart:" if apart > sum(spreads) else "these are not:"
    assert text.index(lead) < text.index("even–odd") < text.index("At step 0")
    distances = {
        np.linalg.norm(W[a] - W[b]): (a, b) for a in range(12) for b in range(a + 1, 12)
    }
    (near, far), names = (distances[min(distances)], distances[max(distances)]), tiny_run.vocabulary
    text = caption(tiny_run.at(20), 6)
    assert f"`{names[near[0]]}` and `{names[near[1]]}` are the closest tokens ({min(distances):.3g}" in text
    assert f"`{names[far[0]]}` and `{names[far[1]]}` the farthest ({max(distances):.3g})" in text


def test_positions_on_a_line_and_off_it():
    line = np.outer([0, 1, 3, 4], [0.6, 0.8])
    describe = f06_embedding_scatter.describe_positions
    assert "100% lies" in describe(line) and "in order" in describe(line)
    assert "turns back once" in describe(line[[0, 1, 3, 2]])
    assert "turns back 2 times" in describe(line[[0, 2, 1, 3]])
    assert "With 1 position " in describe(line[:1])


def test_plane_is_shared_out(tiny_run):
    areas = np.zeros(12, int)
    describe = f07_output_probs_embed.describe_areas
    areas[3] = 5
    assert describe(tiny_run.last, areas) == "On the whole plane drawn, `3` is the likeliest."
    areas[11] = 15
    text = describe(tiny_run.last, areas)
    assert "2 of 12 tokens" in text and "`+` on 75.0% and `3` on 25.0%." in text
    embed = tiny_run.at(20).grid.embed.reshape(-1, 2)
    ((token, count), *_) = Counter(tiny_run.at(20).landscape(embed).argmax(1).tolist()).most_common()
    assert f"`{tiny_run.vocabulary[token]}` is the likeliest at {count}" in caption(tiny_run.at(20), 7)


def test_spaces_are_compared_in_their_spread(tiny_run):
    grid = tiny_run.at(20).grid
    apart = {}
    for name, points in (
        ("embeddings", grid.embed), ("queries", grid.q[:, 0]), ("keys", grid.k[:, 0]),
        ("values", grid.v[:, 0]),
    ):
        points = points.reshape(12, 8, -1)
        even, odd = points[0:11:2].mean((0, 1)), points[1:11:2].mean((0, 1))
        spread = np.sqrt(((points - points.mean((0, 1))) ** 2).sum(-1).mean())
        apart[np.linalg.norm(even - odd) / spread] = name
    most, least = max(apart), min(apart)
    assert (
        f"even and odd tokens are furthest apart among the {apart[most]} ({most:.2f}) and closest among the "
        f"{apart[least]} ({least:.2f})"
    ) in caption(tiny_run.at(20), 8)


def by_hand(model):
    """For each constrained position: (attention, the ids it sees, the answer, Cache, window, position)."""
    windows = model.data.held_out_windows[:, :-1]
    cache = model.forward(windows)
    for n, window in enumerate(windows):
        tokens = [model.data.vocabulary[i] for i in window]
        for t in range(len(tokens)):
            answer = model.rule(tokens[: t + 1])
            if answer is not None:
                (token,) = answer
                yield cache.attention[n, 0, t, : t + 1], window[: t + 1], token, cache, n, t


def test_attention_goes_where_the_captions_say(tiny_run):
    shares, even, to_answer, evenly, most = [], [], [], [], []
    for attention, ids, answer, *_ in by_hand(tiny_run.at(20)):
        is_even = np.array([family(tiny_run.vocabulary[i]) == "even" for i in ids])
        shares.append(attention[is_even].sum())
        even.append(is_even.mean())
        to_answer.append(attention[ids == answer].sum())
        evenly.append((ids == answer).mean())
        most.append(attention.max())
    text = caption(tiny_run.at(20), 9)
    assert f"At the {len(shares):,} constrained positions" in text
    assert f"goes {np.mean(shares):.1%} ({np.mean(even):.1%}) to even keys" in text
    text = caption(tiny_run.at(20), 13)
    assert f"{np.mean(to_answer):.1%} of attention goes to positions that hold an answer" in text
    assert f"evenly would give {np.mean(evenly):.1%}, so they get" in text
    assert f"so they get {np.mean(to_answer) / np.mean(evenly):.2f} times it" in text
    assert f"whatever it holds, gets {np.mean(most):.1%} of attention" in caption(tiny_run.at(20), 14)


def test_focused_query_ranks_the_keys_it_can_meet(tiny_run):
    grid = tiny_run.at(20).grid
    scores = {
        grid.q[11, 0, 5] @ grid.k[i, 0, t] / np.sqrt(2): f"`{token}{'₀₁₂₃₄₅'[t]}`"
        for i, token in enumerate(tiny_run.vocabulary) for t in range(6) if t < 5 or i == 11
    }
    text = caption(tiny_run.at(20), 10)
    assert f"Of the {len(scores)} red keys" in text
    assert f"highest scores go to {scores[max(scores)]} ({max(scores):.3g})" in text
    assert min(scores) < 0
    assert f"the lowest to {scores[min(scores)]} (−{-min(scores):.3g})" in text


def test_landings_with_attention_and_without(tiny_run):
    right, still, count = 0, 0, 0
    for _, _, answer, cache, n, t in by_hand(tiny_run.at(20)):
        right += int(cache.logits[n, t].argmax() == answer)
        still += int(tiny_run.at(20).landscape(cache.embed[n, t][None]).argmax() == answer)
        count += 1
    text = caption(tiny_run.at(20), 11)
    assert f"{right:,} of {count:,} constrained positions" in text
    assert f"attention added nothing, {still:,} position{'s' * (still != 1)} would land right" in text
    change = (
        "makes no difference" if right == still else f"brings {right - still:,} more there" if right > still
        else f"leads {still - right:,} astray"
    )
    assert change in text


def test_the_answer_missed_most_is_named_only_if_it_is_one(tiny_run):
    allowed = np.zeros((4, 1, 12), bool)
    allowed[[0, 1, 2, 3], 0, [2, 2, 4, 4]] = True
    cache = tiny_run.at(20).held_out
    cache = cache._replace(embed=cache.embed[:4, :1])
    compare = f11_probability_heatmap_with_values.compare
    for right, expected in (
        ([0, 0, 0, 0], ""), ([1, 1, 1, 1], ""), ([1, 0, 1, 1], "`2`, with 1 of 2 right"),
        ([1, 1, 0, 0], "`4`, with 0 of 2 right"),
    ):
        text = compare(tiny_run.at(20), cache, allowed, np.array(right, bool)[:, None])
        assert ("The answer missed most is" in text) == bool(expected) and expected in text


def test_the_first_sequence(tiny_run):
    demo = caption(tiny_run.at(20), 12)
    assert "`10 + 10 6 + 6 4 8`" in demo and "after `+₁` and `+₄`" in demo and "5 of 12 tokens" in demo


def test_answers_with_attention_and_without(tiny_run):
    right = still = count = 0
    for _, _, answer, cache, n, t in by_hand(tiny_run.at(20)):
        right += int(cache.logits[n, t].argmax() == answer)
        still += int(tiny_run.at(20).landscape(cache.embed[n, t][None]).argmax() == answer)
        count += 1
    expected = f"{right / count:.2%} of answers right with it, {still / count:.2%} without"
    assert expected in caption(tiny_run.at(20), 15)


@pytest.mark.parametrize("found, words", [
    ((0.9, 0.1, 2.0), "copy of one value"), ((0.5, 0.1, 2.0), "others are read"), ((0.5, 1.0, 2.0), "blends"),
])
def test_copy_or_blend(tiny_run, monkeypatch, found, words):
    monkeypatch.setattr(f14_value_output, "most_read", lambda model: found)
    assert words in caption(tiny_run.at(20), 14)
