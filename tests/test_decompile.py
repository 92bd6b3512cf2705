"""A model as a program: what `says` and `predict` claim is held against the model, context by context."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from conftest import run_cli, train_run
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.analysis.cases import Judge
from scratchformer.run.foreign import execute
from scratchformer.tools.decompile import decompile as decompiling
from scratchformer.tools.decompile.clauses import Back, Constant, Scan, most_recent
from scratchformer.tools.decompile.decompile import decompile, decompile_report, indent
from scratchformer.tools.decompile.exceptions import hold_against, merged
from scratchformer.tools.decompile.source import function_text, one_of, program_lines

SMALL = ("data.numbers=4", "model.block_size=4", "training.steps=400", "training.learning_rate=0.02")
LUCKY = ("data.numbers=8", "data.rule='lucky7'", "data.operators=[]")
WORDS = (0, 1, 2, 3, "+")


def top_predictions(model):
    """(history, what the model says) of every context."""
    vocabulary = model.data.vocabulary
    for length in range(1, model.config.model.block_size + 1):
        contexts = np.array(list(itertools.product(range(len(vocabulary)), repeat=length)))
        says = model.forward(contexts).logits[:, -1].argmax(axis=1)
        for context, said in zip(contexts, says, strict=True):
            yield [vocabulary[i] for i in context], vocabulary[said]


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ("plus_last_even", ()), ("lucky7", LUCKY),
        ("plus_last_even", ("model.n_embd=4", "model.num_heads=2")),
        ("plus_last_even", ("model.block_size=1",)), ("plus_last_even", ("model.use_residual=false",)),
    ],
)
def test_a_program_is_its_model(tmp_path, config, overrides):
    model = train_run(tmp_path / "run", *SMALL, *overrides).last
    program = decompile(model)
    module = execute(program.path, program.path.read_bytes())
    agree = total = 0
    for history, said in top_predictions(model):
        assert module.predict(history) == said
        agree += module.says(history) == said
        total += 1
    assert program.exact and (program.agree, program.contexts) == (agree, total)
    assert f"agrees with the model after {agree:,} of {total:,} contexts" in decompile_report(program)
    assert f"{agree:,}" in module.__doc__ and f"{total:,}" in " ".join(module.__doc__.split())
    others = {tuple(history) for history, said in top_predictions(model) if module.says(history) != said}
    listed = [context for sets, _ in module.EXCEPTIONS for context in itertools.product(*sets)]
    assert len(listed) == len(set(listed)) and set(listed) == others


def test_a_program_runs_by_itself(tmp_path):
    model = train_run(tmp_path / "run", *SMALL).last
    path = decompile(model).path
    for history, said in itertools.islice(top_predictions(model), 0, None, 97):
        done = subprocess.run(
            [sys.executable, "-I", path, *map(str, history)], capture_output=True, text=True, cwd="/"
        )
        assert done.stdout.strip() == str(said), done.stderr


def test_a_changed_weight_is_noticed(tmp_path):
    """A program of one model does not pass for another that differs in a single answer."""
    model = train_run(tmp_path / "run", *SMALL).last
    program = decompile(model)
    predict = execute(program.path, program.path.read_bytes()).predict
    agree, exceptions, left, total = hold_against(Judge(model), predict, 60, lambda text: None)
    assert (agree, exceptions, left) == (total, [], 0)
    before = dict((tuple(history), said) for history, said in top_predictions(model))
    for step in range(1, 40):
        model.params.b_unembed[0] += 0.02
        model.__dict__.pop("grid", None)
        flipped = sum(before[tuple(history)] != said for history, said in top_predictions(model))
        agree, exceptions, left, total = hold_against(Judge(model), predict, 60, lambda text: None)
        assert total - agree - left == flipped and not left
        if flipped:
            return
    raise AssertionError("no weight flipped an answer")


def test_too_many_exceptions_are_not_listed_but_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(decompiling, "MOST_EXCEPTIONS", 0)
    model = train_run(tmp_path / "run", *SMALL, *LUCKY).last
    program = decompile(model)
    assert not program.exact and not program.listed and program.exceptions
    assert "too many to list" in decompile_report(program) and "too many to list" in program.path.read_text()
    assert execute(program.path, program.path.read_bytes()).EXCEPTIONS == []


def test_the_time_is_up(tmp_path):
    model = train_run(tmp_path / "run", *SMALL).last
    program = decompile(model, limit_seconds=1e-9)
    assert program.open == program.contexts and not program.exact
    assert "not settled in time" in decompile_report(program)


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_source_says_what_its_clauses_say(seed, T):
    rng = np.random.default_rng(seed)
    V = len(WORDS)

    def function():
        return tuple(rng.integers(0, V, V).tolist()) if rng.random() < 0.7 else tuple(range(V))

    clauses = []
    for _ in WORDS:
        kind = rng.integers(0, 3)
        if kind == 0:
            clauses.append(Constant(int(rng.integers(0, V))))
        elif kind == 1 and T > 1:
            clauses.append(Back(int(rng.integers(1, T)), function(), int(rng.integers(0, V))))
        else:
            tokens = tuple(sorted(rng.choice(V, rng.integers(1, V + 1), replace=False).tolist()))
            late = [token for token in tokens if rng.random() < 0.3]
            far = tuple((token, int(rng.integers(1, 4)), int(rng.integers(0, V))) for token in late)
            clauses.append(Scan(tokens, function(), int(rng.integers(0, V)), far))
        if rng.random() < 0.4:
            clauses[-1] = clauses[0]
    namespace = {}
    exec(f"def says(history):\n{indent(program_lines(clauses, WORDS))}", namespace)
    for _ in range(40):
        length = int(rng.integers(1, T + 1))
        ids = rng.integers(0, V, length)
        padded = np.concatenate([np.full(T - length, -1), ids])[None]
        (expected,) = clauses[ids[-1]].says(padded)
        assert namespace["says"]([WORDS[i] for i in ids]) == WORDS[expected], (clauses[ids[-1]], ids)


def test_functions_as_text():
    n = tuple(range(4))
    cases = {
        (0, 1, 2, 3): "x", (1, 2, 3, 0): "(x + 1) % 4", (3, 0, 1, 2): "(x - 1) % 4", (0, 0, 1, 1): "x // 2",
        (2, 2, 2, 2): "2", (0, 1, 3, 3): "{2: 3}.get(x, x)", (1, 1, 1, 0): "{3: 0}.get(x, 1)",
        (3, 2, 0, 1): "{0: 3, 1: 2, 2: 0, 3: 1}[x]",
    }
    for values, text in cases.items():
        assert function_text(dict(enumerate(values)), "x", n) == text
        assert [eval(text, {"x": x}) for x in n] == list(values)
    assert one_of("x", [4], WORDS) == "x == '+'" and one_of("x", [0, 1, 2, 3], WORDS) == "x != '+'"
    assert one_of("x", [0, 2], WORDS) == "x in (0, 2)"


def test_most_recent():
    contexts = np.array([[3, 1, 2, 2, 4], [-1, -1, -1, 2, 4], [-1, -1, -1, -1, 4], [4, 4, 4, 4, 4]])
    token, distance = most_recent(contexts, (1, 3))
    assert token.tolist() == [1, -1, -1, -1] and distance.tolist() == [3, -1, -1, -1]
    token, distance = most_recent(contexts, (4,))
    assert token.tolist() == [-1, -1, -1, 4] and distance.tolist() == [-1, -1, -1, 1]


def test_merging_keeps_the_contexts():
    rng = np.random.default_rng(0)
    contexts = np.array(list(itertools.product(range(3), repeat=3)))
    labelled = [
        (context[:, None] == np.arange(3), int(context[0] == 1)) for context in rng.permutation(contexts)
    ]
    whole = merged(labelled)
    assert len(whole) == 2
    assert sorted((token, int(members.sum(axis=1).prod())) for members, token in whole) == [(0, 18), (1, 9)]


def test_the_command(tmp_path):
    run = train_run(tmp_path / "small", *SMALL)
    done = run_cli("decompile", run.folder / "config.toml", "--out", tmp_path, "--visualize")
    assert done.returncode == 2                 # the run of that name is another folder
    run.folder.rename(tmp_path / "config")
    done = run_cli("--decompile", tmp_path / "config/config.toml", "--out", tmp_path, "--visualize")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("def says(history):\n    ") and (tmp_path / "config/program.py").is_file()
    assert "proved: with its exceptions it is the model after every context" in done.stdout
    assert (tmp_path / "config/program.png").is_file()
    done = run_cli("decompile", tmp_path / "config/config.toml", "--decompile-limit", "0")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
