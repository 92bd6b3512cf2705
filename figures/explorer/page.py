"""The explorer: one HTML file that holds a run and computes it while one looks at it.

Its parts lie in this folder as HTML, CSS and JavaScript; the maths comes from the engine's own source,
translated, and is handed in as `code`. Nothing in the file asks for another.
"""

import html
import json
import re
from pathlib import Path

from scratchformer.figures.explorer.data import run_data

HERE = Path(__file__).parent
MODULES = (
    "state", "svg", "explain", "sequence", "forward", "regions", "plane", "planes", "weights", "training",
    "save", "tour", "main",
)


def explorer_page(model, code, table):
    """The page of a Model as text.

    code: JavaScript of the engine and of the rule (`engine`, `symbolic`, `allowed`); table: the table of
    names for the page
    """
    run = model.run
    scripts = [code, *((HERE / f"{name}.js").read_text("utf-8") for name in MODULES)]
    seed = run.config.training.seed
    parts = {
        "title": html.escape(model.name),
        "description": html.escape(model.config.description),
        "footer": html.escape(
            f"scratchformer · {model.name}, seed {seed}, trained {run.steps[-1]:,} steps. The maths of this "
            "page is the engine's own Python, translated line by line; it reads no network and sends nothing."
        ),
        "style": (HERE / "style.css").read_text("utf-8"),
        "data": json.dumps(run_data(model, table), ensure_ascii=False).replace("<", "\\u003c"),
        "code": "\n".join(scripts).replace("</", "<\\/"),
    }
    page = (HERE / "page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page)
