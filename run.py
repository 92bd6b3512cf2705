"""scratchformer's command line in a checkout: `python run.py plus_last_even`. See scratchformer/commands/.

This file is read by any Python, to say which one is needed. A file of the user's in this folder must not
stand in for a module of Python's own (random.py): the package is loaded by its path, and the folder is not
searched.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("run.py: needs Python 3.11 or newer, this is %d.%d" % sys.version_info[:2])

import os  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != os.path.realpath(HERE)]


def load_package():
    """Import scratchformer/ from beside this file, whatever else is called so."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("scratchformer", os.path.join(HERE, "scratchformer", "__init__.py"))
    sys.modules["scratchformer"] = package = module_from_spec(spec)
    spec.loader.exec_module(package)


load_package()

if __name__ == "__main__":
    from scratchformer.commands.door import program

    sys.exit(program())
