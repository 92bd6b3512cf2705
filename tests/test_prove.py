import itertools
from collections import Counter
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_params, train_run
from enumeration.walk import enumerate_contexts
from hypothesis import given, settings
from hypothesis import strategies as st
from own_rules import OWN_RULES, VOCABULARY

from scratchformer.analysis import cases
from scratchformer.analysis.bounds import hidden_ranges, supremum, weigh
from scratchformer.analysis.cases import contexts_of, run_kernel
from scratchformer.analysis.lazy_history import rule_cases
from scratchformer.analysis.query import make_query
from scratchformer.run.config import Config, DataConfig, ModelConfig, config_names
from scratchformer.run.data import Data, make_vocabulary
from scratchformer.run.model import Model
from scratchformer.run.rules import plus_last_even
from scratchformer.tools.prove.prove import margins_after, prove
from scratchformer.tools.prove.verdict import failures_text, prove_report

SMALL = ("data.numbers=4", "model.block_size=4", "training.steps=5")


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
        pytest.param(("training.dtype='float32'",), marks=pytest.mark.slow, id="float32"),
        ("model.embedding_std=0.000001", "model.num_heads=3"),
    ],
    ids=" ".join,
)
def test_every_context_is_judged(tmp_path, overrides):
    run = train_run(tmp_path / "run", *SMALL, *overrides)
    outcome = check_proof(run.at(5))
    assert outcome.any.total.total() > outcome.producible.total.total() > 0


@pytest.mark.parametrize("rule", OWN_RULES, ids=lambda rule: rule.__name__)
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


def test_ties_are_too_close_to_call(tmp_path):
    def all_equal(params):
        for array in params:
            array[:] = 0

    outcome = prove(with_params(train_run(tmp_path / "run", *SMALL), all_equal))
    assert outcome.any.margin == 0 and not outcome.any.wrong
    assert outcome.any.close == outcome.any.total and outcome.producible.close == outcome.producible.total
    assert outcome.exit_code == 1
    assert len(outcome.settled.cases) == outcome.judged         # none of them is split in vain
    text = prove_report(outcome)
    assert f"too close to call, producible: {outcome.producible.total.total():,} within rounding of 0" in text
    assert "are left open" in text.splitlines()[-1]


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
    few = prove(run.at(5), most_listed=3)
    assert len(few.any.failures) == 6 and few.any.wrong == outcome.any.wrong


def test_a_rule_that_never_speaks(tmp_path):
    run = train_run(tmp_path / "run", *SMALL, "data.operators=[]")
    outcome = check_proof(run.at(5))
    assert outcome.exit_code == 0
    assert prove_report(outcome).endswith("nothing to prove: the rule constrains no producible context")


class Bare(Model):
    """A Model without a run."""

    def __init__(self, params, rule, vocabulary, use_residual):
        self.params, self.rule, self.step = params, rule, 0
        sizes = ModelConfig(block_size=len(params.W_pos), use_residual=use_residual)
        self.config = Config(name="bare", model=sizes, data=DataConfig(numbers=len(vocabulary) - 1))

    @property
    def vocabulary(self):
        return tuple(map(str, make_vocabulary(self.config)))

    @property
    def data(self):
        return Data(make_vocabulary(self.config), [], [], np.zeros((0, 1)), np.zeros((0, 1)))


@st.composite
def bare_models(draw, longest=4, scales=(0.7, 3, 60)):
    """Models of random weights over five tokens, of one or two heads, with one of many rules."""
    sizes = ModelConfig(
        n_embd=draw(st.integers(1, 3)), num_heads=draw(st.integers(1, 2)), head_size=draw(st.integers(1, 2)),
        block_size=draw(st.integers(1, longest)), ffn_mult=draw(st.integers(1, 4)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    params = make_params(sizes, len(VOCABULARY), rng, draw(st.sampled_from(scales)))
    return Bare(params, draw(st.sampled_from(OWN_RULES)), VOCABULARY, draw(st.booleans()))


@pytest.mark.parametrize("few", [1, 64])
@given(bare_models())
@settings(max_examples=60)
def test_counts_of_any_model_and_rule(few, model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "FEW", few)
        outcome = prove(model)
        if not outcome.any.close:
            check_proof(model)
        assert not outcome.any.undecided


@given(bare_models(longest=5, scales=(0.7, 3, 200)), st.integers(0, 2**32))
@settings(max_examples=150)
def test_bounds_hold_over_random_cases(model, seed):
    rng = np.random.default_rng(seed)
    L, V = len(model.params.W_pos), len(VOCABULARY)
    members = rng.random((L, V)) < rng.choice([0.3, 0.6, 0.9])
    members[np.arange(L), rng.integers(0, V, L)] = True
    members[-1] = np.arange(V) == rng.integers(0, V)
    answer = tuple(np.flatnonzero(np.arange(V) % rng.integers(2, 4) == 0).tolist())
    key = L, int(members[-1].argmax())
    query, rounding = make_query(model, *key)
    (lower,), (upper,), (attained,), (context,), _, _ = run_kernel(query, rounding, members[None], [answer])
    contexts = contexts_of(members)
    margins, _ = margins_after(model, contexts, answer)
    assert lower - rounding <= margins.min() and margins.max() <= upper + rounding
    assert members[np.arange(L), context].all()
    at = (contexts == context).all(axis=1)
    assert abs(margins[at] - attained) <= rounding
    each, *_ = run_kernel(query, rounding, contexts[..., None] == np.arange(V), [answer] * len(contexts))
    assert (abs(each - margins) <= rounding).all()
    if len(contexts) > 1:
        low, high = np.empty(len(query.pre)), np.empty(len(query.pre))
        weights = np.empty(query.scores.shape)
        for scores, own in zip(query.scores, weights, strict=True):
            weigh(scores, members, own)
        hidden_ranges(query, weights, members, low, high, np.empty(L, np.int64))
        hidden = model.forward(contexts).ffn_pre[:, -1]
        assert (hidden >= low - 1e-12 * abs(hidden)).all() and (hidden <= high + 1e-12 * abs(hidden)).all()


@given(st.integers(1, 4), st.integers(2, 5), st.sampled_from([0.1, 3, 200]), st.integers(0, 2**32))
def test_the_supremum_is_attained(L, V, scale, seed):
    rng = np.random.default_rng(seed)
    scores, heights = rng.normal(0, scale, (L, V)), rng.normal(0, 1, (L, V))
    members = rng.random((L, V)) < 0.6
    members[np.arange(L), rng.integers(0, V, L)] = True
    weights, context = np.empty((L, V)), members.argmax(axis=1)
    weigh(scores, members, weights)
    bound = supremum(weights, heights, members, 1.0, context)
    assert members[np.arange(L), context].all()
    if weights[0, 0] < 0:                       # scores too far apart: nothing but the greatest height
        assert bound == heights[members].max()
        return
    w, y = ([[Fraction(x) for x in row] for row in array.tolist()] for array in (weights, heights))
    exact = max(
        sum(w[t][x] * y[t][x] for t, x in enumerate(choice)) / sum(w[t][x] for t, x in enumerate(choice))
        for choice in contexts_of(members).tolist()
    )
    assert exact <= Fraction(float(bound))
    assert scale > 3 or float(bound) <= exact + Fraction(1, 10**10)


def test_the_time_is_up(tmp_path, monkeypatch):
    monkeypatch.setattr(cases, "ROUND", 2)
    monkeypatch.setattr(cases, "FEW", 1)
    run = train_run(tmp_path / "run", *SMALL)
    whole = prove(run.last)
    clock = itertools.count()
    monkeypatch.setattr(cases, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    outcome = prove(run.last, limit_seconds=3)
    assert outcome.any.undecided and outcome.any.total == whole.any.total
    for found, exact in ((outcome.any, whole.any), (outcome.producible, whole.producible)):
        wrong, most = found.wrong.total(), found.wrong.total() + found.open
        assert wrong <= exact.wrong.total() <= most
        assert found.floor <= exact.margin <= found.margin
    text = prove_report(outcome)
    least, most = outcome.any.wrong.total(), outcome.any.wrong.total() + outcome.any.open
    assert "not all is settled, producible: " in text
    assert f"    wrong are at least {least:,}\n    and at most       {most:,}\n" in text
    assert outcome.exit_code == 1


def test_progress_says_what_share_is_settled(tmp_path):
    lines = []
    prove(train_run(tmp_path / "run", *SMALL).last, progress=lines.append)
    assert "compiling" in lines[0] and lines[-1].startswith("100.0000% of 116 contexts settled")


def check_against_enumeration(model):
    """Both verdicts of a proof against every context one by one."""
    outcome, one_by_one = prove(model), enumerate_contexts(model)
    producible, others = one_by_one[True], one_by_one[False]
    assert not outcome.any.close and not outcome.any.undecided
    assert outcome.producible.total == producible.total and outcome.producible.wrong == producible.wrong
    assert outcome.any.total == producible.total + others.total
    assert outcome.any.wrong == producible.wrong + others.wrong
    assert outcome.producible.margin == pytest.approx(producible.margin, rel=1e-6, abs=1e-9)
    assert outcome.any.margin == pytest.approx(min(producible.margin, others.margin), rel=1e-6, abs=1e-9)
    return outcome


@pytest.mark.parametrize("name", config_names())
def test_every_config_against_the_enumeration(tmp_path, name):
    overrides = ("model.block_size=4", "training.warmup_steps=5", "training.steps=300")
    check_against_enumeration(train_run(tmp_path / name, *overrides, config=name).last)


def test_few_cases_suffice_for_a_model_that_scans():
    """The number of cases grows with the window, not with the number of contexts."""
    lengths = [len(rule_cases(plus_last_even, VOCABULARY, length)) for length in range(1, 33)]
    counts = [sum(lengths[:T]) for T in (8, 16, 32)]
    assert counts == [72, 272, 1056]
