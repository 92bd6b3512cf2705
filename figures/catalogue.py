"""Which figures there are. A figure is a module named f<number>_<name>.py, in this folder or in
supplementary/ or extended/ below it.

Such a module has `SIZE`, the figure's width and height in inches, `draw(fig, model)`, and
`caption(model)`, a paragraph on what is to be seen in it, with the numbers of this run.
"""

import importlib
from pathlib import Path

HERE = Path(__file__).resolve().parent


def figure_names():
    """Names of all figures in reading order, such as 02_learning_curve and supplementary/07_qkv_overview:
    also their files, without the ending."""
    return [
        folder + path.stem[1:]
        for folder in ("", "supplementary/", "extended/")
        for path in sorted((HERE / folder).glob("f[0-9][0-9]_*.py"))
    ]


def figure_module(name):
    """The module that draws the figure of that name."""
    folder, _, stem = name.rpartition("/")
    return importlib.import_module(".".join(filter(None, ["scratchformer.figures", folder, f"f{stem}"])))
