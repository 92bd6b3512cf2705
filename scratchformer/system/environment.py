"""The settings around the program: what of the user's environment is not meant for it, or cannot be used, is
left out of the process, so that it changes no picture and stops nothing. For the command line alone; a
notebook is the user's own process."""

import os
import re
import sys

NUMBA = {                               # settings of Numba's that are meant for us, and what they may be
    "NUMBA_CACHE_DIR": ".+", "NUMBA_DISABLE_JIT": "[01]", "NUMBA_OPT": "[0-3]|max", "NUMBA_CPU_NAME":
    "generic", "NUMBA_CPU_FEATURES": r"([+-][\w.-]+(,[+-][\w.-]+)*)?",
}
FIGURES = ("MPLBACKEND", "MATPLOTLIBRC", "MPLSTYLE", "SOURCE_DATE_EPOCH")


def tidy():
    """Leave out settings that would break or change what we do: those of Numba's that cannot be used."""
    wrong = []
    for name in [name for name in os.environ if name.startswith("NUMBA_")]:
        if not re.fullmatch(NUMBA.get(name, ""), os.environ[name]):
            value = os.environ.pop(name)
            wrong += [f"{name}={value}"] * (name in NUMBA)
    for name in FIGURES:
        os.environ.pop(name, None)
    own = packaged_settings()
    if own:
        os.environ["MATPLOTLIBRC"] = own
    return wrong


def packaged_settings():
    """The file of Matplotlib's own defaults, to be read instead of the user's; None if there is none."""
    for folder in sys.path:
        path = os.path.join(folder, "matplotlib", "mpl-data", "matplotlibrc")
        if os.path.isfile(path):
            return path
    return None
