"""The notebooks in docs/, executed as they stand: on this checkout, each in an empty folder."""

import json
import sys

import pytest
from conftest import REPO

sys.path.insert(0, str(REPO / "docs"))
import notebooks  # noqa: E402

SAID = {                                # in the outputs of each
    "tour": ("2 of 8,192 constrained held-out positions wrong", "all gradients right", "scores[3,1]",
             "answers that flip", "rule error", "every context of 1 to 8 tokens"),
    "backprop_by_hand": ("complex step", "right: all gradients agree", "all gradients right"),
    "own_rule": ("0 of 7,835 constrained", "of 6 seeds learned the rule", "every context of 1 to 8 tokens"),
    "research_note": ("rule error", "of 4 seeds learned the rule", "the same model: True"),
}
PICTURES = {"tour": 3, "backprop_by_hand": 0, "own_rule": 5, "research_note": 2}


def outputs(notebook):
    """(all texts, how many pictures, whether a table) of a notebook's outputs; every output is a good one."""
    found = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    assert {output["output_type"] for output in found} <= {"stream", "execute_result", "display_data"}
    texts = [output.get("text") or output["data"].get("text/plain", "") for output in found]
    texts = ["".join(text) for text in texts]
    shown = [output.get("data", {}) for output in found]
    return "\n".join(texts), sum("image/png" in data for data in shown), any("text/html" in d for d in shown)


def test_there_are_four():
    assert {path.stem for path in notebooks.NOTEBOOKS.glob("*.ipynb")} == set(SAID)


@pytest.mark.parametrize("name", [
    *sorted(SAID.keys() - {"own_rule"}), pytest.param("own_rule", marks=pytest.mark.slow),
])
@pytest.mark.filterwarnings("ignore")           # of the notebooks' machinery
def test_a_notebook_runs_and_shows_what_it_says(name, tmp_path):
    pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = notebooks.execute_notebook(notebooks.NOTEBOOKS / f"{name}.ipynb", tmp_path)
    texts, pictures, table = outputs(notebook)
    assert all(said in texts for said in SAID[name]) and pictures == PICTURES[name]
    assert table or name != "tour"
    assert len(texts) < 20_000                  # no repr of a thousand lines


@pytest.mark.parametrize("name", SAID)
def test_the_outputs_kept_in_docs_are_whole(name):
    path = notebooks.NOTEBOOKS / f"{name}.ipynb"
    texts, pictures, _ = outputs(json.loads(path.read_text("utf-8")))
    assert all(said in texts for said in SAID[name]) and pictures == PICTURES[name]
    assert path.stat().st_size < 1_000_000 and str(REPO) not in texts
