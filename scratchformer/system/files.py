"""How the files of a run are written: whole or not at all, and by one training at a time."""

import errno
import os
import re
import stat
from pathlib import Path

from scratchformer.system import supervise
from scratchformer.system.errors import RunError

try:
    import fcntl
except ImportError:                     # Windows
    fcntl = None

TEMPORARY = re.compile(r"\..+\.(\d{1,9})\.tmp(\.\w+)?")      # .name.pid.tmp, and .name.pid.tmp.mp4
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def read_file(path, most=None):
    """The bytes of a file, or the first `most`; OSError for a pipe or a device, which may never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    with open(handle, "rb") as file:
        return file.read(most) if most is not None else file.read()


def temporary_path(path):
    """Where a file is written before it is whole: beside it. An older one there is of a dead process."""
    ending = path.suffix if path.suffix == ".mp4" else ""      # by which ffmpeg knows what is wanted
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{ending}")
    temporary.unlink(missing_ok=True)
    return temporary


def write_atomically(path, content, durable=True):
    """Put bytes under `path` whole or not at all: a new file beside it, then one rename.

    durable: have them on the disk before the rename, for the case that the machine fails

    Raises OSError with the path in its message.
    """
    check_links(path)
    try:
        temporary = temporary_path(path)
        try:
            with open(os.open(temporary, NEW, 0o666), "wb") as file:
                put(file, content, durable)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:            # that of a full disk names no file
        raise OSError(error.errno, error.strerror, str(path)) from error


def put(file, content, durable):
    """Write bytes to an open file, down to the disk if they are to be durable."""
    file.write(content)
    if durable:
        file.flush()
        os.fsync(file.fileno())


def check_links(path):
    """OSError if a folder on the way to a path, from that of the run that is held on, is a symbolic link."""
    path = os.path.abspath(path)
    for held in map(str, LOCKS):
        if path.startswith(held + os.sep):
            while len(path) > len(held):
                path = os.path.dirname(path)
                if os.path.islink(path):
                    raise OSError(errno.ELOOP, "is a symbolic link, and is not followed", path)
            return


def remove_leftovers(folder):
    """Remove temporary files, at any depth, of processes that were killed and are no more."""
    for path in folder.rglob(".*.tmp*"):
        match = TEMPORARY.fullmatch(path.name)
        if match and not is_alive(int(match[1])):
            try:
                path.unlink(missing_ok=True)
            except OSError:             # in a folder that may only be read
                pass


def is_alive(pid):
    """Whether there is a process of that number, as far as can be asked without harm; not one that has ended
    and whose parent has not asked how."""
    if os.name != "posix":              # elsewhere os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        return read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] != b"Z"
    except (OSError, IndexError):       # no /proc, or it has ended by now
        return True


LOCKS = {}                              # folder: the open file of its lock, as long as this process lives


def sweep_held():
    """Remove what killed processes have left in the folders that this one holds."""
    for folder in LOCKS:
        remove_leftovers(folder)


def lock_folder(folder, alone=False):
    """Hold a folder: keep other processes from training into it, or with `alone` from reading it as well.

    The kernel lets go of the lock when its process ends, in whatever way. A folder that cannot be written,
    or a file system without locks, keeps nobody off. A later call changes what the process holds.

    Raises RunError if another process holds it in a way that does not go with this, or if the folder or
    its lock is a symbolic link, or the lock no file.
    """
    key, path = Path(os.path.abspath(folder)), folder / ".lock"
    for place in (folder, path):
        if place.is_symlink():
            raise RunError(f"{place} is a symbolic link, and is not followed")
    if path.exists() and not path.is_file():
        raise RunError(f"{path} is not a regular file")
    supervise.note_folder(folder)
    if fcntl is None:
        LOCKS[key] = None
        return
    try:
        if key not in LOCKS:
            LOCKS[key] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        fcntl.flock(LOCKS[key], (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        doing = "using" if alone else "training in"
        raise RunError(
            f"another process is {doing} {folder}: wait for it, or choose another folder with --out"
        ) from None
    except OSError:
        pass
