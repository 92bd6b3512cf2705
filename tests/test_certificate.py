"""The certificate of a proof, and its checker, which must refuse every certificate that was tampered with."""

import ast
import copy
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import run_cli, train_run

from scratchformer.analysis import cases
from scratchformer.tools.prove.certificate import write_certificate
from scratchformer.tools.prove.check_certificate import check
from scratchformer.tools.prove.prove import prove

CHECKER = Path(__file__).resolve().parent.parent / "scratchformer/tools/prove/check_certificate.py"
SMALL = ("data.numbers=5", "model.block_size=4", "training.steps=600", "training.learning_rate=0.02")


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """(path of the certificate, its content) of a small model with right, wrong and free cases."""
    run = train_run(tmp_path_factory.mktemp("runs") / "small", *SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "FEW", 4)          # so that there are cases of all kinds
        path = write_certificate(run.last, prove(run.last))
    return path, json.loads(path.read_text())


def verdict(path):
    """(exit code, output) of the checker as a stranger runs it: no package of ours, no environment."""
    done = subprocess.run([sys.executable, "-I", CHECKER, path], capture_output=True, text=True, cwd="/")
    return done.returncode, done.stdout + done.stderr


def test_the_checker_says_yes(certified):
    path, content = certified
    kinds = {case[0] for case in content["cases"]}
    assert kinds == {"right", "wrong", "each", "free"}
    assert check(path) == content["counts"]
    code, text = verdict(path)
    assert code == 0 and text.startswith("yes: ")


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.n_embd=4", "model.num_heads=2"), ("model.use_residual=false",), ("training.dtype='float32'",),
        ("model.n_embd=3", "model.head_size=1", "model.num_heads=2"), ("model.embedding_std=60",),
    ],
    ids=" ".join,
)
def test_certificates_of_other_models(tmp_path, overrides):
    run = train_run(tmp_path / "run", "data.numbers=4", "model.block_size=4", *overrides)
    outcome = prove(run.last)
    counts = check(write_certificate(run.last, outcome))
    assert counts["right"] + counts["wrong"] + counts["open"] == outcome.any.total.total()
    assert counts["wrong"] == outcome.any.wrong.total() and not counts["open"]


def test_the_checker_is_one_short_file_of_the_standard_library():
    source = CHECKER.read_text()
    assert len(source.splitlines()) <= 200
    imports = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imports <= sys.stdlib_module_names


def mutate(content, draw):
    """(what was done, a certificate that is wrong in one thing)."""
    content = copy.deepcopy(content)
    listed = content["cases"]
    what = draw.choice(("verdict", "enlarged", "shrunk", "dropped", "doubled", "count", "claim", "allowed"))
    n = draw.randrange(len(listed))
    case = listed[n]
    if what == "verdict":
        case[0] = draw.choice([kind for kind in ("right", "wrong", "open", "free") if kind != case[0]])
    elif what in ("enlarged", "shrunk"):
        position = draw.randrange(len(case[2]))
        bits = [1 << i for i in range(6) if bool(case[2][position] >> i & 1) == (what == "shrunk")]
        if not bits:
            return mutate(content, draw)
        case[2][position] ^= draw.choice(bits)
    elif what == "dropped":
        del listed[n]
    elif what == "doubled":
        listed.insert(draw.randrange(len(listed)), copy.deepcopy(case))
    elif what == "count":
        name = draw.choice(list(content["counts"]))
        content["counts"][name] += draw.choice((-1, 1, 1000))
    elif what == "claim":
        case = draw.choice([case for case in listed if case[0] == "each"])
        case[3] = [case[3][0] + draw.choice((-1, 1)), case[3][1] + draw.choice((0, 1, -1))]
    else:                               # another token allowed than the one that decides
        case = draw.choice([case for case in listed if case[0] in ("right", "wrong")])
        model_says = case[0] == "wrong"
        case[1] = [i for i in range(6) if i not in case[1]] if model_says else [5]
    return what, content


def refused(certified, count, seed):
    """By kind of mutation, how many of so many mutated certificates were refused, and how many there were."""
    path, content = certified
    draw, found = random.Random(seed), {}
    mutated = path.with_name("mutated.json")
    for _ in range(count):
        what, wrong = mutate(content, draw)
        mutated.write_text(json.dumps(wrong))
        try:
            check(mutated)
            no = 0
        except (ValueError, IndexError, KeyError, TypeError):
            no = 1
        before = found.get(what, (0, 0))
        found[what] = before[0] + no, before[1] + 1
    return found


def test_mutated_certificates_are_refused(certified):
    for what, (no, total) in refused(certified, 40, 0).items():
        assert no == total, what


@pytest.mark.slow
def test_a_thousand_mutated_certificates_are_refused(certified):
    found = refused(certified, 1000, 1)
    assert sum(total for _, total in found.values()) == 1000
    assert all(no == total for no, total in found.values()), found


def test_other_weights_are_refused(certified):
    path, content = certified
    weights = path.parent / f"checkpoints/step_{content['step']:06d}.npy"
    before = weights.read_bytes()
    try:
        for n in (0, 17, -1):
            theta = np.load(weights)
            theta[n] *= 1.01
            np.save(weights, theta)
            code, text = verdict(path)
            assert code == 1 and text.startswith("NO: ") and "is not the file" in text
            weights.write_bytes(before)
    finally:
        weights.write_bytes(before)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": 600}', "null"])
def test_damaged_certificates_are_one_line(certified, text):
    damaged = certified[0].with_name("damaged.json")
    damaged.write_text(text)
    code, text = verdict(damaged)
    assert code == 1 and text.startswith("NO: ") and text.count("\n") == 1


def test_the_command_writes_a_certificate(tmp_path):
    run = train_run(tmp_path / "plus_last_even", *SMALL)
    sets = [word for change in SMALL for word in ("--set", change)]
    done = run_cli("prove", run.folder / "config.toml", "--out", tmp_path / "out", "--visualize")
    assert done.returncode == 2                 # nothing trained there
    (tmp_path / "out").mkdir()
    run.folder.rename(tmp_path / "out/config")
    done = run_cli("prove", tmp_path / "out/config/config.toml", "--out", tmp_path / "out", "--visualize")
    assert done.returncode in (0, 1), done.stderr + " ".join(sets)
    path = next((tmp_path / "out/config").glob("certificate_step_*.json"))
    assert f"certificate: {path}" in done.stdout
    assert verdict(path)[0] == 0
