"""Rebuilds docs/explore.html, the explorer of the default run, and, where there is Chromium, its pictures.

    python docs/explorer.py

docs/build.py does so as well.
"""

import io
import os
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "tests")]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # the matrices are too small to share out

from browser import CHROMIUM, open_browser  # noqa: E402
from PIL import Image  # noqa: E402

from scratchformer.figures.explorer.page import explorer_page  # noqa: E402
from scratchformer.run import job  # noqa: E402
from scratchformer.run.config import load_config  # noqa: E402
from scratchformer.run.run import Run  # noqa: E402
from scratchformer.system.files import write_atomically  # noqa: E402
from scratchformer.tools.explore.javascript import page_code, table  # noqa: E402

CONFIG = "plus_last_even"
PAGE = REPO / "docs" / "explore.html"
PICTURE, FILM = (REPO / "docs" / "pictures" / f"explore.{ending}" for ending in ("png", "gif"))
MOMENT = "#s=5+8+3+%2B&pin=scores:3,1"                  # what the picture shows
WIDTH, COLORS = 800, 160                                # of the film


def write_explorer(run):
    """The page of a run, and its pictures."""
    write_atomically(PAGE, explorer_page(run.last, page_code(run.last), table()).encode())
    if CHROMIUM is None:
        print("the explorer's pictures are left as they are: Chromium is not installed")
        return
    with open_browser() as browser:
        browser.open(PAGE, MOMENT, 1280, 1180)
        browser.screenshot(PICTURE, whole=False)
        write_film(browser)


def write_film(browser):
    """The page in use: the snapshots played with the planes in view, then a token dragged there and back."""
    frames = []

    def take(milliseconds):
        path = Path(folder) / "frame.png"
        browser.settle()
        browser.screenshot(path, whole=False)
        with Image.open(path) as image:
            size = WIDTH, WIDTH * image.height // image.width
            frames.append((image.convert("RGB").resize(size, Image.LANCZOS), milliseconds))

    with tempfile.TemporaryDirectory() as folder:
        browser.open(PAGE, "#s=10+%2B+10+6+%2B&at=4", 1280, 560)
        browser.run("document.querySelector('#planes').scrollIntoView();"
                    "window.scrollBy(0, -$('controls').offsetHeight - 6)")
        steps = browser.run("RUN.steps.length") - 1
        for i in range(0, 19):
            browser.run(f"go_to({round(steps * i / 18)})")
            take(1500 if i == 18 else 150)
        for i in range(1, 11):
            move = f"drag('W_token:6', [0, {-0.4 * min(i, 10 - i)}])"
            browser.run("theta.set(base); planes_panel.embed_plane.held = true;"
                        f"planes_panel.embed_plane.{move}; changed()")
            take(1500 if i == 5 else 150)
    images, times = zip(*frames, strict=True)
    palette = images[-5].quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=1)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=times, loop=0)
    write_atomically(FILM, buffer.getvalue())


def main():
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / CONFIG, load_config(CONFIG))
        job.train_run(run)
        write_explorer(run)


if __name__ == "__main__":
    main()
