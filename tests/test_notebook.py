"""The notebook in docs/, executed as it stands: on the installed package, in an empty folder."""

import os

import pytest
from conftest import REPO

NOTEBOOK = REPO / "docs" / "notebooks" / "face.ipynb"


def execute(folder, **environment):
    """The notebook with the outputs of a run in that folder, without ones before."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, 4)
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        resources = {"metadata": {"path": str(folder)}}
        return nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.filterwarnings("ignore")           # of the notebook's machinery
def test_the_notebook_runs_and_shows_what_it_says(tmp_path):
    notebook = execute(tmp_path, PYTHONPATH=str(REPO), JUPYTER_PLATFORM_DIRS="1")
    shown = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                assert output.output_type in ("stream", "execute_result", "display_data"), output
                shown.setdefault(cell.source.splitlines()[-1], []).append(output)
    texts = "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "") for outputs in shown.values()
        for output in outputs
    )
    assert "constrained held-out positions wrong" in texts and "all gradients right" in texts
    assert "rule error" in texts and "scores[3,1]" in texts
    assert any("image/png" in output.get("data", {}) for outputs in shown.values() for output in outputs)
    assert any("text/html" in output.get("data", {}) for output in shown["cache"])
    assert (tmp_path / "runs" / "plus_last_even" / "history.csv").is_file()
