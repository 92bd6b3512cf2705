import itertools
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_params, train_run
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.engine.model import empty_cache, forward_pass
from scratchformer.run.config import ModelConfig, config_names, load_config
from scratchformer.run.data import make_vocabulary
from scratchformer.run.own_rule import find_rule
from scratchformer.run.rules import plus_last_even
from scratchformer.system.errors import RunError
from scratchformer.tools.prove import prove as proving
from scratchformer.tools.prove.margins import exact_margins, fast_margins, half_sums, older_positions
from scratchformer.tools.prove.prove import duration, prove
from scratchformer.tools.prove.rule_table import RuleTable
from scratchformer.tools.prove.verdict import failures_text, prove_report

VOCABULARY = (0, 1, 2, 3, "+")
SMALL = ("data.numbers=4", "model.block_size=4", "training.steps=5")


def third_last(history):
    """Answers from one token far back; several tokens."""
    return {history[-3], 0} if len(history) >= 3 else None


def slices(history):
    return {1} if history[-2:] == [1, "+"] or history[::2] == ["+", "+"] else None


def oldest_first(history):
    """Looks from the other end, in an order that depends on what it finds."""
    for token in history:
        if token == "+":
            return {2, 3} if history[-1] == 0 else None
    return {history.index(1)} if 1 in history else None


def looks_at_all(history):
    return {sum(token for token in history if token != "+") % 4}


def by_length(history):
    return {len(history) % 4} if history.count("+") == 2 else None


def equals(history):
    return {0} if history == ["+", 1, 0] else None


def even_length(history):
    """Nothing is constrained until four tokens are there; then everything is allowed."""
    return set(VOCABULARY) if len(history) == 4 else None


OWN_RULES = [third_last, slices, oldest_first, looks_at_all, by_length, equals, even_length, plus_last_even]


def check_table(rule, vocabulary, length, known):
    """A rule's tables against calls of the rule for every context, answers and producible alike."""
    table = RuleTable(rule, vocabulary)

    def allowed(tokens):
        return tuple(sorted((rule(list(tokens)) if tokens else None) or (), key=vocabulary.index))

    def producible(tokens):
        before = (allowed(tokens[:t]) for t in range(len(tokens)))
        return all(not answer or token in answer for token, answer in zip(tokens, before, strict=True))

    for suffix in itertools.product(range(len(vocabulary)), repeat=length - known):
        answers = table.read(length, suffix)
        starts = table.producible(length, suffix)
        names = list(table.answers)
        ends = tuple(vocabulary[i] for i in suffix)
        contexts = [newest_first[::-1] + ends for newest_first in itertools.product(vocabulary, repeat=known)]
        assert [names[a] for a in answers] == [allowed(context) for context in contexts]
        assert starts.tolist() == [producible(context) for context in contexts]


@pytest.mark.parametrize("known", [0, 2, 4])
@pytest.mark.parametrize("rule", OWN_RULES, ids=lambda rule: rule.__name__)
def test_rule_tables(rule, known):
    for length in range(known, 5):
        check_table(rule, VOCABULARY, length, known)


@pytest.mark.parametrize("name", config_names())
def test_rule_tables_of_every_config(name):
    config = load_config(name)
    for length in (1, 2, 3):
        check_table(find_rule(config.data), make_vocabulary(config), length, length - 1)


def test_a_rule_is_asked_once_for_all_it_can_look_at():
    calls = []

    def rule(history):
        calls.append(len(history))
        return plus_last_even(history)

    table = RuleTable(rule, VOCABULARY)
    table.read(6, (1,))                         # ends in an odd number: nothing else matters
    assert len(calls) == 1
    table.read(6, (4,))                         # after +: at each position back 2 of 5 tokens end the search
    assert len(calls) == 1 + 2 * (1 + 3 + 9 + 27 + 81) + 3**5


def test_rules_that_cannot_be_tabled():
    with pytest.raises(RunError, match=r"\{9\}, which is not in the vocabulary"):
        RuleTable(lambda history: {9}, VOCABULARY).read(2, ())
    with pytest.raises(RunError, match="what no Sequence answers: .*copy"):
        RuleTable(lambda history: history.copy(), VOCABULARY).read(2, ())


def test_more_answers_than_a_table_can_number():
    vocabulary = tuple(range(17))
    table = RuleTable(lambda history: {16}, vocabulary)
    for n in range(1, 2**16):                           # every set of the first 16 tokens
        assert table.number({token for token in range(16) if n >> token & 1}) == n
    assert table.number({15, 0}) == 2**15 + 1                   # met before
    with pytest.raises(RunError, match="^--prove: the rule has more than 65,535 different answers[^\n]*$"):
        table.read(1, ())


def grid(params, use_residual):
    """The Cache of every token at every position."""
    V, T = len(params.W_token), len(params.W_pos)
    tokens = np.repeat(np.arange(V)[:, None], T, axis=1)
    cache = empty_cache(params, tokens, tokens, use_residual)
    forward_pass(params, cache)
    return cache


@given(
    st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(2, 6),
    st.booleans(), st.sampled_from([0.7, 3]), st.integers(0, 2**32),
)
def test_margins_agree_with_the_model(n_embd, heads, size, T, V, use_residual, scale, seed):
    model = ModelConfig(n_embd=n_embd, num_heads=heads, head_size=size, block_size=T, ffn_mult=2)
    rng = np.random.default_rng(seed)
    params = make_params(model, V, rng, scale)
    allowed = np.vstack([np.zeros(V, bool), rng.random((6, V)) < 0.4])
    allowed[1:, 0] |= ~allowed[1:].any(axis=1)
    length = int(rng.integers(1, T + 1))
    known = int(rng.integers(0, length))
    suffix = tuple(rng.integers(0, V, length - known).tolist())
    contexts = np.array([c[::-1] + suffix for c in itertools.product(range(V), repeat=known)])
    answers = rng.integers(0, 7, len(contexts)).astype(np.uint16)
    sums = half_sums(grid(params, use_residual), length, suffix)
    margins = fast_margins(params, sums, use_residual, answers, allowed)
    exact, _ = exact_margins(params, contexts, use_residual, allowed[answers])
    assert np.isposinf(margins[answers == 0]).all()
    judged = (answers > 0) & ~np.isnan(margins)
    np.testing.assert_allclose(margins[judged], exact[judged], rtol=1e-9, atol=1e-9)
    assert judged.sum() >= 0.9 * (answers > 0).sum() or scale > 1


def test_a_softmax_that_loses_its_digits_is_left_to_the_model():
    model = ModelConfig(n_embd=2, num_heads=1, head_size=2, block_size=3)
    params = make_params(model, 3, np.random.default_rng(5))
    params.W_token[:] *= 100                        # scores apart by thousands: most weights are 0
    contexts = np.array([c[::-1] + (1,) for c in itertools.product(range(3), repeat=2)])
    allowed = np.array([[False] * 3, [True, False, False]])
    answers = np.ones(9, np.uint16)
    margins = fast_margins(params, half_sums(grid(params, True), 3, (1,)), True, answers, allowed)
    exact, _ = exact_margins(params, contexts, True, allowed[answers])
    lost = np.isnan(margins)
    assert 0 < lost.sum() < 9
    np.testing.assert_allclose(margins[~lost], exact[~lost], rtol=1e-9)


def test_older_half():
    assert [older_positions(12, known) for known in (0, 1, 2, 7)] == [0, 1, 2, 2]
    assert older_positions(1000, 3) == 1


def brute(model):
    """The counts of both sets, and the failures, by a loop over all contexts."""
    vocabulary, T = model.data.vocabulary, model.config.model.block_size
    found = {}
    margins = {}
    for length in range(1, T + 1):
        for ids in itertools.product(range(len(vocabulary)), repeat=length):
            tokens = [vocabulary[i] for i in ids]
            answer = model.rule(tokens)
            if not answer:
                continue
            before = [model.rule(tokens[:t]) for t in range(1, length)]
            producible = all(not a or t in a for t, a in zip(tokens[1:], before, strict=True))
            logits = model.forward([ids]).logits[0, -1]
            allowed = np.array([token in answer for token in vocabulary])
            says = vocabulary[logits.argmax()]
            margin = logits[allowed].max() - logits[~allowed].max(initial=-np.inf)
            key = (tuple(tokens), length, tuple(sorted(answer, key=vocabulary.index)))
            found[key] = (producible, says in answer)
            margins[key] = margin
    return found, margins


def check_proof(model):
    """`prove` against `brute`."""
    outcome = prove(model)
    found, margins = brute(model)
    for verdict, members in (
        (outcome.producible, [key for key in found if found[key][0]]), (outcome.any, list(found)),
    ):
        wrong = [key for key in members if not found[key][1]]
        assert verdict.total == Counter(key[1:] for key in members)
        assert verdict.wrong == Counter(key[1:] for key in wrong)
        assert {failure.context for failure in verdict.failures} == {key[0] for key in wrong}
        tolerance = 1e-4 if model.config.training.dtype == "float32" else 1e-9
        least = min(members, key=margins.get, default=None)
        if least is not None and np.isfinite(margins[least]):
            assert verdict.margin == pytest.approx(margins[least], rel=tolerance, abs=tolerance)
            at = next(key for key in members if key[0] == verdict.context)
            assert margins[at] == pytest.approx(margins[least], rel=tolerance, abs=tolerance)
    assert outcome.exit_code == int(any(producible and not right for producible, right in found.values()))
    return outcome


@pytest.mark.parametrize(
    "overrides",
    [
        (), ("model.num_heads=2", "model.n_embd=4"), ("model.use_residual=false",),
        ("training.dtype='float32'",),
        ("model.embedding_std=0.000001", "model.num_heads=3"),
    ],
    ids=" ".join,
)
def test_every_context_is_judged(tmp_path, overrides):
    run = train_run(tmp_path / "run", *SMALL, *overrides)
    outcome = check_proof(run.at(5))
    assert outcome.any.total.total() > outcome.producible.total.total() > 0


@pytest.mark.parametrize("rule", OWN_RULES[:-1], ids=lambda rule: rule.__name__)
def test_every_context_of_other_rules(tmp_path, rule):
    run = train_run(tmp_path / "run", *SMALL)
    run.rule = rule
    assert check_proof(run.at(5)).any.total


def with_params(run, edit):
    """The run's last model, edited."""
    model = run.last
    edit(model.params)
    return model


def test_a_model_that_always_says_the_same(tmp_path):
    def always_2(params):
        params.b_unembed[2] += 1000

    outcome = check_proof(with_params(train_run(tmp_path / "run", *SMALL), always_2))
    assert outcome.exit_code == 1
    assert {answer for _, answer in outcome.any.wrong} == {(0,)}
    assert outcome.any.wrong.total() == sum(n for (_, a), n in outcome.any.total.items() if a == (0,))
    assert all(failure.predicted == 2 and failure.margin < -900 for failure in outcome.any.failures)
    assert "NOT proved: wrong after" in prove_report(outcome)


def test_ties_go_to_the_first_token(tmp_path):
    def all_equal(params):
        for array in params:
            array[:] = 0

    outcome = check_proof(with_params(train_run(tmp_path / "run", *SMALL), all_equal))
    assert outcome.any.margin == 0
    assert {answer for _, answer in outcome.any.wrong} == {(2,)}        # of 0 and 2, argmax is 0


def test_a_model_that_is_right(tmp_path):
    run = train_run(tmp_path / "run", *SMALL)
    run.rule = lambda history: {2, 3} if history[-1] == "+" else None

    def always_2(params):
        params.b_unembed[2] += 1000

    outcome = check_proof(with_params(run, always_2))
    assert outcome.exit_code == 0 and not outcome.any.failures and outcome.producible.margin > 900
    assert prove_report(outcome).splitlines()[-1] == (
        f"proved: right after each of {outcome.producible.total.total():,} producible contexts"
    )
    assert failures_text(outcome) == "producible\tcontext\tpredicted\tallowed\tmargin\n"


@pytest.mark.parametrize(("name", "value"), [("TABLE", 6), ("CHUNK", 10)])
def test_small_tables_and_chunks_change_nothing(tmp_path, monkeypatch, name, value):
    run = train_run(tmp_path / "run", *SMALL)
    whole = prove(run.at(5))
    monkeypatch.setattr(proving, name, value)
    pieces = prove(run.at(5))
    assert pieces.any.total == whole.any.total and pieces.producible.wrong == whole.producible.wrong
    assert pieces.any.margin == pytest.approx(whole.any.margin, rel=1e-9)
    assert {f.context for f in pieces.any.failures} == {f.context for f in whole.any.failures}


def test_report_and_failures(tmp_path, monkeypatch):
    operators = "data.operators=['+', 'a-sign-of-20-letters']"
    run = train_run(tmp_path / "run", *SMALL, operators)
    outcome = prove(run.at(5))
    text = prove_report(outcome)
    assert max(map(len, text.splitlines())) <= 80
    assert f"{outcome.any.total.total():,}" in text and f"{outcome.producible.wrong.total():,}" in text
    rows = failures_text(outcome).splitlines()[1:]
    assert len(rows) == outcome.any.wrong.total()
    flags = [row.split("\t")[0] for row in rows]
    assert flags == sorted(flags, reverse=True) and set(flags) == {"yes", "no"}
    first = outcome.any.failures[0]
    assert rows[0].split("\t")[:4] == [
        "yes", " ".join(map(str, first.context)), str(first.predicted), " ".join(map(str, first.allowed)),
    ]
    monkeypatch.setattr(proving, "LISTED", 3)
    few = prove(run.at(5))
    assert len(few.any.failures) == 6 and few.any.wrong == outcome.any.wrong


def test_a_rule_that_never_speaks(tmp_path):
    run = train_run(tmp_path / "run", *SMALL, "data.operators=[]")
    outcome = check_proof(run.at(5))
    assert outcome.exit_code == 0
    assert prove_report(outcome).endswith("nothing to prove: the rule constrains no producible context")


def test_what_would_take_too_long_is_refused(tmp_path, monkeypatch):
    run = train_run(tmp_path / "run", *SMALL)
    seconds = itertools.count()                 # each length takes 1 s, and so does what lies between two
    monkeypatch.setattr(proving, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    message = "contexts of up to 4 tokens, about 2.6 min; --prove-limit SECONDS allows it"
    with pytest.raises(RunError, match=re.escape(message)):
        prove(run.at(5), limit_seconds=156)     # 2 s, then 5 + 25 + 125 times as long as the last 1 s
    seconds = itertools.count()
    assert prove(run.at(5), limit_seconds=157).any.total


def test_the_limit_counts_what_is_spent_but_refuses_nothing_that_is_done(tmp_path, monkeypatch):
    run = train_run(tmp_path / "run", *SMALL)
    for times, limit in (([0, 9, 9.1, 9.1, 9.2, 9.2, 9.6], 11.5), ([0, 0, 0.1, 0.1, 0.2, 0.2, 0.6], 2.5)):
        # 0.4 s for contexts of 3 tokens, so 2 s for those of 4, which then take 50
        for allowed in (limit - 0.1, limit + 0.2):
            clock = iter([*times, times[-1], times[-1] + 50, times[-1] + 50])
            monkeypatch.setattr(proving, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
            if allowed < limit:
                with pytest.raises(RunError, match=f"about {duration(times[-1] + 2)};"):
                    prove(run.at(5), limit_seconds=allowed)
            else:
                assert prove(run.at(5), limit_seconds=allowed).seconds == times[-1] + 50


def test_durations():
    spans = [duration(s) for s in (80, 600, 10_800, 400_000, 1e12)]
    assert spans == ["80 s", "10 min", "3 h", "4.6 days", "3.2e+04 years"]


def test_progress(tmp_path):
    lines = []
    prove(train_run(tmp_path / "run", *SMALL).last, progress=lines.append)
    assert any("contexts of 4 tokens" in line for line in lines)
