"""The figures. Matplotlib is imported here first, where no `matplotlibrc` of the user can break it."""

import os
import sys

if "matplotlib" not in sys.modules and os.path.exists("matplotlibrc"):
    HERE = os.getcwd()
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    try:
        import matplotlib
    finally:
        os.chdir(HERE)
    assert matplotlib
