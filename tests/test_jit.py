"""Compiled code on disk: nothing stale is run, and nothing damaged."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPO

CODE = (
    "import numpy as np; from scratchformer.engine.adam import AdamSettings, adam_update\n"
    "theta = np.ones(2); z = np.zeros(2)\n"
    "adam_update(theta, np.ones(2), z.copy(), z.copy(), 1, 0.5, AdamSettings(0.9, 0.999, 1e-8, 0.0))\n"
    "print(theta[0].round(6), len(adam_update.stats.cache_hits))"
)


def start(folder, package=REPO):
    """(what a new Python says that has Adam's update compiled or loaded, its stderr)."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=package, capture_output=True, text=True, timeout=200,
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numba")
    assert start(folder) == (["0.5", "0"], "") and start(folder) == (["0.5", "1"], "")
    return folder


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped at 14", "flipped at 50", "flipped at the end"])
def test_damaged_files_are_compiled_again_with_one_line_said(compiled, tmp_path, kind, damage):
    folder = shutil.copytree(compiled, tmp_path / "numba")
    (path,) = folder.rglob(f"*adam_update*.{kind}")
    content = bytearray(path.read_bytes())
    if damage == "empty":
        content = b""
    elif damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[{"14": 14, "50": 50, "end": -2}[damage.split()[-1]]] ^= 16
    path.write_bytes(bytes(content))
    said, error = start(folder)
    assert said == ["0.5", "0"]
    assert error.count("\n") <= 1 and ("is damaged: compiling it again" in error or not error)
    assert start(folder) == (["0.5", "1"], "")


def test_an_edited_engine_is_compiled_anew_also_in_a_folder_of_the_users(compiled, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPO / "scratchformer", package / "scratchformer", ignore=ignored)
    folder = tmp_path / "numba"
    assert start(folder, package) == (["0.5", "0"], "") and start(folder, package) == (["0.5", "1"], "")
    path = package / "scratchformer" / "engine" / "linear.py"
    path.write_text(path.read_text() + "\n")                    # another file of the engine than Adam's
    assert start(folder, package) == (["0.5", "0"], "")
    assert len(list(folder.glob("scratchformer-*"))) == 1        # the stale folder is gone
