"""Rebuilds docs/walkthrough.md: trains the run it tells of, draws its pictures, refills its numbers; and
docs/explore.html, the explorer of that run; and the outputs of the notebooks.

    python docs/build.py

A number in the text stands between two comments, <!--n:name-->0.02%<!--/n-->, which GitHub does not show.
No line may begin with one: Markdown would end the paragraph there. README.md may hold such numbers as well.
What they are is told in walkthrough_numbers.py.
"""

import io
import os
import re
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "docs")]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # the matrices are too small to share out

import tables  # noqa: E402
from explorer import write_explorer  # noqa: E402
from notebooks import fill_notebooks  # noqa: E402
from PIL import Image  # noqa: E402
from walkthrough_numbers import numbers  # noqa: E402

from scratchformer.analysis.snapshots import spaced_steps  # noqa: E402
from scratchformer.figures.catalogue import figure_names  # noqa: E402
from scratchformer.figures.draw import draw_all  # noqa: E402
from scratchformer.figures.film import draw_films, film_names  # noqa: E402
from scratchformer.run import job  # noqa: E402
from scratchformer.run.config import load_config  # noqa: E402
from scratchformer.run.run import Run  # noqa: E402
from scratchformer.system.files import write_atomically  # noqa: E402

CONFIG = "plus_last_even"
TEXTS = [REPO / "docs" / "walkthrough.md", REPO / "README.md"]
PICTURES = REPO / "docs" / "pictures"
MARKER = re.compile(r"<!--n:(\w+)-->(.*?)<!--/n-->")
DPI, COLORS = 100, 256                                  # of the stills
FPS = 10                                                # of the films


def main():
    """Train, draw, fill in."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / CONFIG, load_config(CONFIG))
        job.train_run(run)
        draw_stills(run, Path(folder))
        draw_moving(run, Path(folder))
        write_explorer(run)
        values = numbers(run.last)
    backprop = REPO / "docs" / "backprop.md"
    write_atomically(backprop, tables.fill_tables(backprop.read_text("utf-8")).encode())
    for path in TEXTS:
        write_atomically(path, fill(path.read_text("utf-8"), values).encode())
    fill_notebooks()


def fill(text, values):
    """The text with these values, {name: text}, between its markers; KeyError if it names another."""
    return MARKER.sub(lambda match: f"<!--n:{match[1]}-->{values[match[1]]}<!--/n-->", text)


def draw_stills(run, folder):
    """Every figure with few colours into PICTURES; folder: for what lies in between."""
    draw_all(run.last, figure_names(), folder, dpi=DPI)
    for name in figure_names():
        buffer = io.BytesIO()
        with Image.open(folder / f"{name}.png") as image:
            few = image.convert("RGB").quantize(
                COLORS, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
            )
        few.save(buffer, "PNG", optimize=True)
        path = PICTURES / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())


def draw_moving(run, folder):
    """The film of the embeddings, which the README shows as well, and with fewer frames the others."""
    first, *others = film_names()
    draw_films(run, spaced_steps(run, 100), [first], folder, fps=2 * FPS)
    write_atomically(PICTURES / "embeddings.gif", (folder / f"{first}.gif").read_bytes())
    draw_films(run, spaced_steps(run, 50), others, PICTURES, fps=FPS)


if __name__ == "__main__":
    main()
