"""How the files of a run are written: whole or not at all, and by one training at a time."""

import os
import re

from scratchformer.system.errors import RunError

try:
    import fcntl
except ImportError:                     # Windows
    fcntl = None

TEMPORARY = re.compile(r"\..+\.(\d{1,9})\.tmp(\.\w+)?")      # .name.pid.tmp, and .name.pid.tmp.mp4


def write_atomically(path, content):
    """Put bytes under `path` whole or not at all: a temporary file beside it, then one rename.

    Raises OSError with the path in its message.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:            # that of a full disk names no file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def remove_leftovers(folder):
    """Remove temporary files, at any depth, of processes that were killed and are no more."""
    for path in folder.rglob(".*.tmp*"):
        match = TEMPORARY.fullmatch(path.name)
        if match and not is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def is_alive(pid):
    """Whether there is a process of that number, as far as can be asked without harm."""
    if os.name != "posix":              # elsewhere os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


LOCKS = {}                              # folder: the open file of its lock, as long as this process lives


def lock_folder(folder, alone=False):
    """Hold a folder: keep other processes from training into it, or with `alone` from reading it as well.

    The kernel lets go of the lock when its process ends, in whatever way. A folder that cannot be written,
    or a file system without locks, keeps nobody off. A later call changes what the process holds.

    Raises RunError if another process holds the folder in a way that does not go with this.
    """
    if fcntl is None:
        return
    key = folder.resolve()
    try:
        if key not in LOCKS:
            LOCKS[key] = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        fcntl.flock(LOCKS[key], (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        doing = "using" if alone else "training in"
        raise RunError(
            f"another process is {doing} {folder}: wait for it, or choose another folder with --out"
        ) from None
    except OSError:
        pass
