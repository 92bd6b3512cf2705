"""Executes the notebooks of docs/notebooks/ and keeps their outputs: part of docs/build.py.

    python docs/notebooks.py            # needs nbclient and ipykernel, which the test extra has
"""

import os
import tempfile
import warnings
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
NOTEBOOKS = REPO / "docs" / "notebooks"
SECONDS = 600                           # that a cell may take


def execute_notebook(path, folder):
    """A notebook with the outputs of a run in an empty folder, on this checkout, and no other ones."""
    import nbclient
    import nbformat

    notebook, before = nbformat.read(path, 4), dict(os.environ)
    os.environ.update(PYTHONPATH=str(REPO), JUPYTER_PLATFORM_DIRS="1")
    try:
        resources = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=SECONDS, resources=resources).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    for cell in notebook.cells:
        cell.metadata = {}                                  # when each was run
    return notebook


def fill_notebooks():
    """Execute every notebook and write it with its outputs."""
    import nbformat

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")                 # of the notebooks' machinery
            nbformat.write(execute_notebook(path, folder), path)


if __name__ == "__main__":
    fill_notebooks()
