"""Rebuilds docs/explore.html, the explorer of the default run, and, where there is Chromium, its picture.

    python docs/explorer.py

docs/build.py does so as well.
"""

import os
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "tests")]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # the matrices are too small to share out

from browser import CHROMIUM, open_browser  # noqa: E402

from scratchformer.figures.explorer.page import explorer_page  # noqa: E402
from scratchformer.run import job  # noqa: E402
from scratchformer.run.config import load_config  # noqa: E402
from scratchformer.run.run import Run  # noqa: E402
from scratchformer.system.files import write_atomically  # noqa: E402
from scratchformer.tools.explore.javascript import page_code, table  # noqa: E402

CONFIG = "plus_last_even"
PAGE, PICTURE = REPO / "docs" / "explore.html", REPO / "docs" / "pictures" / "explore.png"
MOMENT = "#s=5+8+3+%2B&pin=scores:3,1"                  # what the picture shows


def write_explorer(run):
    """The page of a run, and its picture."""
    write_atomically(PAGE, explorer_page(run.last, page_code(run.last), table()).encode())
    if CHROMIUM is None:
        print(f"{PICTURE} is left as it is: Chromium is not installed")
        return
    with open_browser() as browser:
        browser.open(PAGE, MOMENT, 1280, 1180)
        browser.screenshot(PICTURE, whole=False)


def main():
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / CONFIG, load_config(CONFIG))
        job.train_run(run)
        write_explorer(run)


if __name__ == "__main__":
    main()
