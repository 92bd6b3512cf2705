"""How the maths is compiled: one decorator for every function of the engine.

Numba compiles each decorated function on its first call and keeps the machine code on disk.
With `NUMBA_DISABLE_JIT=1` (what `run.py --debug` sets) the decorator returns the function
unchanged, and the same lines run as plain Python, to the same bits.

Numba notices an edit of a function's own file only, not of the files it calls, so an edited
`attention.py` would leave an old `train_steps` in the cache. The cache therefore lies in a
folder named after a hash of the whole package: any edit starts a fresh one.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# At level 2 a cold start compiles in half the time of level 3; a training step takes 10% longer.
os.environ.setdefault("NUMBA_OPT", "2")

import numba  # noqa: E402

PACKAGE = Path(__file__).parent


def cache_folder():
    """The folder of compiled code for the sources as they are now (created when missing).

    Beside the package where that can be written, else in the user's temporary folder.
    """
    sources = hashlib.sha256()
    for path in sorted(PACKAGE.glob("*.py")):
        sources.update(path.read_bytes())
    name = f"numba-{sources.hexdigest()[:16]}"
    for parent in cache_places():
        folder = parent / name
        if can_write(folder):
            for stale in parent.glob("numba-*"):
                if stale != folder:
                    shutil.rmtree(stale, ignore_errors=True)
            return folder
    return None


def cache_places():
    """Where the folder may lie: beside the package, or in a temporary folder that nobody else can write."""
    yield PACKAGE / "__pycache__"
    user = getattr(os, "getuid", int)()
    try:
        folder = Path(tempfile.gettempdir()) / f"scratchformer-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.name != "posix" or folder.stat().st_uid == user:
            yield folder
    except OSError:                     # no temporary folder either
        pass


def can_write(folder):
    """Whether files can be made in a folder, which is made when missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


CACHED = not numba.config.DISABLE_JIT
if CACHED:
    given = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(given) if given else cache_folder()
    CACHED = folder is not None and can_write(folder)
    if CACHED:
        numba.config.CACHE_DIR = str(folder)
    else:
        print("scratchformer: no folder for compiled code can be written"
              f"{' (see NUMBA_CACHE_DIR)' if given else ''}: every start compiles anew", file=sys.stderr)

jit = numba.njit(cache=CACHED, error_model="numpy", nogil=True, no_cfunc_wrapper=True)


def compile_in_child(function_name, statement):
    """Let a second process compile a function while this one compiles another.

    The child runs the statement, which is to call the function; the machine code comes back by way
    of the cache on disk. Returns a function that waits for the child. Where the function is cached
    already or nothing is, no child is started; should the child fail, this process compiles it all.
    """
    folder = numba.config.CACHE_DIR
    if not CACHED or any(Path(folder).rglob(f"*.{function_name}-*.nbi")):
        return lambda: None
    child = subprocess.Popen(
        [sys.executable, "-c", statement], env=os.environ | {"PYTHONPATH": str(PACKAGE.parent.parent)},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    return child.wait
