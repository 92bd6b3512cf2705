"""The hostile trials of tests/hostile/, and their table: `python -m pytest tests/test_hostile.py`.

The slow ones, which start Python from nothing or wait: `-m slow`. Each kind is a module there.
"""

import gc
import importlib
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import REPO

HERE = Path(__file__).parent / "hostile"
sys.path.insert(0, str(HERE))

import harness  # noqa: E402

KINDS = [importlib.import_module(path.stem) for path in sorted(HERE.glob("trials_*.py"))]
TRIALS = [trial for module in KINDS for trial in module.TRIALS]
FAST = 3                                # of a kind, by default
COUNTS = {"trials": Counter(), "passed": Counter()}

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished tiny run; what the program imports and compiles is here afterwards."""
    from scratchformer.engine.warm import compile_engine
    from scratchformer.figures import draw, film
    from scratchformer.run.config import load_config
    from scratchformer.run.job import train_run
    from scratchformer.run.place import find_place
    from scratchformer.tools.seeds import sweep

    assert draw and film and sweep
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(harness.TINY)
    compile_engine("float64")
    run = find_place(load_config(str(folder / "tiny.toml")), folder)
    train_run(run)
    draw.draw_all(run.last, ["05_token_embeddings"], run.folder / "plots")
    gc.unfreeze()
    release(run.folder)
    return run.folder


def release(folder):
    """Let go of the lock on a run's folder."""
    import os

    from scratchformer.system.files import LOCKS

    for held in [held for held in LOCKS if held == folder]:
        os.close(LOCKS.pop(held))


@pytest.fixture(scope="module", autouse=True)
def table():
    """Afterwards: kind, trials, passed."""
    yield
    lines = [f"{'kind':<34}{'trials':>8}{'passed':>8}"]
    for kind in COUNTS["trials"]:
        lines.append(f"{kind:<34}{COUNTS['trials'][kind]:>8}{COUNTS['passed'][kind]:>8}")
    lines.append(f"{'all':<34}{COUNTS['trials'].total():>8}{COUNTS['passed'].total():>8}")
    TABLE[:] = lines


TABLE = []


def fast_ones():
    """Names of the trials that are run by default."""
    kinds = {}
    for trial in TRIALS:
        if not trial.slow:
            kinds.setdefault(trial.kind, []).append(trial.id)
    return {name for names in kinds.values() for name in names[:: max(1, -(-len(names) // FAST))]}


@pytest.mark.parametrize("trial", [
    pytest.param(trial, id=trial.id, marks=[] if trial.id in fast_ones() else [pytest.mark.slow])
    for trial in TRIALS
])
def test_trial(trial, finished, tmp_path):
    COUNTS["trials"][trial.kind] += 1
    folder = tmp_path / "trial"
    folder.mkdir()
    problems = harness.attempt(trial, folder, finished)
    stderr = (tmp_path / "trial.stderr").read_text("utf-8", "replace")
    assert not problems, f"{trial.id}: {'; '.join(problems)}\n{stderr}"
    COUNTS["passed"][trial.kind] += 1


def test_the_trials_are_many_and_have_names_of_their_own():
    names = Counter(trial.id for trial in TRIALS)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(TRIALS) >= 300
    kinds = Counter(trial.kind for trial in TRIALS)
    assert min(kinds.values()) >= 3, kinds
    assert REPO.is_dir()
