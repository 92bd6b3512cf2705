"""Which figures there are: the modules named f<number>_<name>.py in this folder and the folders below it.

Such a module has `SIZE`, the figure's width and height in inches, `draw(fig, model)`, and
`caption(model)`, a paragraph on what is to be seen in it, with the numbers of this run. Those of
learning_dynamics/ are films: see film.py.
"""

import importlib
import re
from pathlib import Path

from scratchformer.system.errors import RunError, close

HERE = Path(__file__).resolve().parent
PATTERN = "f[0-9][0-9]_*.py"
DEFAULT = ("", "supplementary", "extended")     # folders of what the main job draws, in reading order
FILMS = "learning_dynamics"


def figure_names(*folders):
    """Names of the figures in these folders, such as 02_learning_curve and causal/02_patching: also their
    files, without the ending; without folders, of what the main job draws, in reading order."""
    return [
        f"{folder}/{path.stem[1:]}".lstrip("/")
        for folder in folders or DEFAULT for path in sorted((HERE / folder).glob(PATTERN))
    ]


def every_figure():
    """Names of all figures but films, the main job's first."""
    others = {path.parent.name for path in HERE.glob(f"*/{PATTERN}")} - {*DEFAULT, FILMS}
    return figure_names(*DEFAULT, *sorted(others))


def figure_module(name):
    """The module that draws the figure of that name."""
    folder, _, stem = name.rpartition("/")
    return importlib.import_module(".".join(filter(None, ["scratchformer.figures", folder, f"f{stem}"])))


def pick_figures(words):
    """Names of the figures that a user asks for, each once; of what the main job draws if for none.

    words: numbers (5, 05), ranges (1-3), names (05_token_embeddings, causal/02_patching), or names without
    their number (token_embeddings, patching); several may stand in one word, with commas between. Raises
    RunError with the nearest, or with what there is, for any other.
    """
    if not words:
        return figure_names()
    words = [number for word in words for part in word.split(",") for number in numbers_of(part.strip())]
    names = every_figure()
    main = {str(int(name[:2])): name for name in names if "/" not in name}
    short = {name.rpartition("/")[2][3:]: name for name in reversed(names)}         # the main job's win
    known = short | main | {name: name for name in names}
    picked = [known.get(word.lstrip("0") if word.isdecimal() else word) for word in words]
    if None in picked:
        unknown = words[picked.index(None)]
        more = ", ".join(name for name in names if "/" in name)
        near = "" if unknown.isdecimal() else close(unknown, known)
        raise RunError(f"--figure {unknown}: no such figure"
                       + (near or f"; there are {', '.join(main)}, and by name {more}"))
    return list(dict.fromkeys(picked))


def numbers_of(word):
    """The numbers of a range such as 1-3 as texts; any other word as it is."""
    match = re.fullmatch(r"(\d{1,3})-(\d{1,3})", word)
    if match is None or int(match[1]) > int(match[2]):
        return [word]
    return [str(number) for number in range(int(match[1]), int(match[2]) + 1)]
