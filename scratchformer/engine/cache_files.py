"""Numba's files of machine code, each sealed with a digest: one that is damaged is compiled again, not run.

An index (.nbi) lists the data files (.nbc) of a function. Numba unpickles either without a look: a file that
was cut ends in a traceback at every start, a flipped byte may even be executed.
"""

import hashlib
import pickle
import sys
from pathlib import Path

from numba.core.caching import FunctionCache, IndexDataCacheFile

SIZE = hashlib.sha256().digest_size
NEEDED = ("_dump", "_load_data", "_load_index", "_data_path")  # of Numba's class, which is not public


class SealedFiles(IndexDataCacheFile):
    """The index and data files of one function."""

    def _dump(self, obj):
        content = super()._dump(obj)
        return hashlib.sha256(content).digest() + content

    def _load_data(self, name):
        path = Path(self._data_path(name))
        return pickle.loads(unsealed(path, path.read_bytes()))

    def _load_index(self):
        path = Path(self._index_path)
        try:
            with open(path, "rb") as file:
                version = pickle.load(file)
                stamp, overloads = pickle.loads(unsealed(path, file.read()))
        except FileNotFoundError:
            return {}
        except Exception:               # a damaged pickle can raise nearly anything
            note(path)
            return {}
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}


class SealedCache(FunctionCache):
    """The cache of one function's machine code."""

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = SealedFiles(
            cache_path=self.cache_path, filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )


def seal_cache(dispatcher):
    """Have a dispatcher keep its machine code in sealed files, where this version of Numba allows it."""
    if all(hasattr(IndexDataCacheFile, name) for name in NEEDED) and hasattr(dispatcher, "_cache"):
        dispatcher._cache = SealedCache(dispatcher.py_func)


def unsealed(path, content):
    """What stands behind the digest; OSError, which Numba takes for a missing file, if they do not agree."""
    digest, rest = content[:SIZE], content[SIZE:]
    if hashlib.sha256(rest).digest() != digest:
        note(path)
        raise OSError(f"{path} is damaged")
    return rest


NOTED = []


def note(path):
    """Say it once in a process that machine code is damaged."""
    if not NOTED:
        NOTED.append(path)
        print(f"scratchformer: compiled code in {path.parent} is damaged: compiling it again",
              file=sys.stderr)
