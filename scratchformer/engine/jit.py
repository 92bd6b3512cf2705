"""How the maths is compiled: one decorator for every function of the engine.

Numba compiles each decorated function on its first call and keeps the machine code on disk.
With `NUMBA_DISABLE_JIT=1` (what `--debug` sets) the decorator returns the function unchanged, and the same
lines run as plain Python: to the same bits in float64. In float32, compiled code keeps a scalar such as 1 /
√D in float64 where NumPy rounds it to float32 first, and sums in float64 where plain Python sums in float32:
the two agree to a few units in the last place of a step.

Numba notices an edit of a function's own file only, not of the files it calls, so an edited
`attention.py` would leave an old `train_steps` in the cache. The cache therefore lies in a
folder named after a hash of the engine: any edit of it starts a fresh one.

Numba's settings are global. Ours hold only while a function of ours is decorated or compiled; what else a
notebook compiles keeps its own.
"""

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numba

from scratchformer.engine.cache_files import seal_cache

ENGINE = Path(__file__).parent
NAME = "scratchformer-"                 # of the folders of machine code, before the hash


def cache_folder():
    """The folder of compiled code for the engine as it is now, made if need be; None if none can be.

    In NUMBA_CACHE_DIR if that is set, else beside the engine, else in the user's temporary folder.
    """
    sources = hashlib.sha256()
    for path in sorted(ENGINE.glob("*.py")):
        sources.update(path.read_bytes())
    for parent in cache_places():
        folder = parent / f"{NAME}{sources.hexdigest()[:16]}"
        if can_write(folder):
            for stale in parent.glob(f"{NAME}{'[0-9a-f]' * 16}"):
                if stale != folder:
                    shutil.rmtree(stale, ignore_errors=True)
            return folder
    return None


def cache_places():
    """Where the folder may lie; a temporary folder only if nobody else can write to it."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        yield Path(given)
        return
    yield ENGINE / "__pycache__"
    user = getattr(os, "getuid", int)()
    try:
        folder = Path(tempfile.gettempdir()) / f"scratchformer-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()          # of the folder itself: a link may lead anywhere
        ours = found.st_uid == user and stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022
        if os.name != "posix" or ours:
            yield folder
    except OSError:                     # no temporary folder either
        pass


def can_write(folder):
    """Whether files can be made in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


FOLDER = None if numba.config.DISABLE_JIT else cache_folder()
if FOLDER is None and not numba.config.DISABLE_JIT:
    hint = " (see NUMBA_CACHE_DIR)" if os.environ.get("NUMBA_CACHE_DIR") else ""
    print(f"scratchformer: no folder for compiled code can be written{hint}: every start compiles anew",
          file=sys.stderr)

# At level 2 a cold start compiles in half the time of level 3; a training step takes 10% longer.
SETTINGS = {"CACHE_DIR": str(FOLDER or "")}
if "NUMBA_OPT" not in os.environ:
    SETTINGS["OPT"] = type(numba.config.OPT)(2)


@contextmanager
def our_settings():
    """Numba's global settings as the engine wants them, and back."""
    before = {name: getattr(numba.config, name) for name in SETTINGS}
    vars(numba.config).update(SETTINGS)
    try:
        yield
    finally:
        vars(numba.config).update(before)


def jit(function):
    """The function, compiled at its first call for each combination of argument types."""
    if numba.config.DISABLE_JIT:
        return function
    with our_settings():                # where its machine code lies is settled here
        dispatcher = numba.njit(
            cache=FOLDER is not None, error_model="numpy", nogil=True, no_cfunc_wrapper=True
        )(function)
        if FOLDER is not None:
            seal_cache(dispatcher)
    compile_with_theirs = dispatcher.compile

    def compile(signature):
        with our_settings():
            return compile_with_theirs(signature)

    dispatcher.compile = compile
    return dispatcher
