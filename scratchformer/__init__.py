"""A transformer small enough to see, trained from scratch in NumPy with hand-written backprop.

    import scratchformer as sf

    run = sf.train("plus_last_even", seed=14)           # trained now, or found trained
    model = run.last
    cache = model("5 8 3 +", target="8")                # every intermediate by name
    dparams, dcache = model.backward(cache)             # and every gradient, under the same names
    model.figure("13_qk_attention")

What there is: `sf.train`, `sf.open_run`, `sf.load`, `sf.rule`, `sf.gradcheck`, `sf.sweep`, `sf.course`; see
face.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchformer.face import Model, Run, course, gradcheck, load, open_run, rule, sweep, train

__all__ = ["Model", "Run", "course", "gradcheck", "load", "open_run", "rule", "sweep", "train"]

# In a checkout figures/ and configs/ lie beside this folder; an installed wheel has them inside it.
CHECKOUT = Path(__file__).resolve().parent.parent
if (CHECKOUT / "setup.cfg").is_file() and (CHECKOUT / "figures").is_dir():
    __path__.append(str(CHECKOUT))


def __getattr__(name: str) -> object:
    """The face is imported when it is first used: the command line starts without it."""
    if name in __all__:
        from scratchformer import face

        return getattr(face, name)
    raise AttributeError(f"module 'scratchformer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
