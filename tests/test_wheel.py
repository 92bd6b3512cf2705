"""What an installed scratchformer is: one package with its figures and configs, and a command."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest
from conftest import REPO
from test_notebook import notebooks

from scratchformer.run.config import config_names

FOLDERS = {
    "scratchformer": "scratchformer", "figures": "scratchformer/figures", "configs": "scratchformer/configs",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the sources: a build leaves files behind, and takes those of an earlier one along."""
    folder = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "numba-*"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, folder)
    return folder


def expected():
    """The files that the package is to hold, by their paths in it."""
    return {
        f"{target}/{path.relative_to(REPO / folder).as_posix()}"
        for folder, target in FOLDERS.items() for path in (REPO / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_file_gets_into_the_package(source, tmp_path):
    """A new folder must be named in setup.cfg, or an installed package lacks it."""
    pytest.importorskip("setuptools")
    build = "import setuptools; setuptools.setup()"
    done = subprocess.run(
        [sys.executable, "-c", build, "-q", "build_py", "--build-lib", tmp_path],
        cwd=source, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    built = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert built == expected()
    assert "scratchformer/py.typed" in built and "scratchformer/configs/plus_last_even.toml" in built


def test_pyproject_names_the_build_system_alone():
    assert len((REPO / "pyproject.toml").read_text().splitlines()) == 3


@pytest.mark.slow
def test_an_installed_wheel_in_an_empty_folder(source, tmp_path):
    """Needs the package index, for the build and for what the package depends on."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
    subprocess.run([*pip, "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
        assert names == expected()
    home, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    venv.create(home, with_pip=True)
    folder = home / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([folder / "python", "-m", "pip", "install", "-q", wheel], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def call(*words):
        """The installed command in the empty folder: the completed process."""
        return subprocess.run(
            [folder / "scratchformer", *words], cwd=empty, env=environment, capture_output=True, text=True
        )

    (packages,) = home.rglob("site-packages")
    ours = {"scratchformer", "figures", "configs", "run.py", "tests"}
    assert {path.name for path in packages.iterdir()} & ours == {"scratchformer"}
    done = call("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == config_names()
    assert "usage: scratchformer CONFIG" in call("--help").stdout
    done = call("plus_last_even", "--set", "training.steps=200")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "a recipe that learns it: scratchformer plus_last_even_robust" in done.stdout
    assert [path.name for path in empty.iterdir()] == ["runs"]
    plots = empty / "runs" / "plus_last_even.steps-200" / "plots"
    assert len(list(plots.rglob("*.png"))) == 25 and (plots / "captions.md").is_file()
    done = call("explain", "plus_last_even", "5 8 3 +", "--set", "training.steps=200", "--name", "scores")
    assert done.returncode == 0 and "scores" in done.stdout, done.stderr
    done = call("plus_last_evn")
    assert done.returncode == 2 and done.stderr.startswith("scratchformer: no config 'plus_last_evn'")
    done = call("--figure")
    assert done.returncode == 2 and done.stderr.endswith("; see scratchformer train --help\n")
    subprocess.run([folder / "python", "-m", "pip", "install", "-q", "nbclient", "ipykernel"], check=True)
    code = (
        "import nbclient, nbformat, sys; notebook = nbformat.read(sys.argv[1], 4)\n"
        "nbclient.NotebookClient(notebook, timeout=300).execute(); print('executed')"
    )
    done = subprocess.run(
        [folder / "python", "-c", code, notebooks.NOTEBOOKS / "tour.ipynb"], cwd=empty, env=environment,
        capture_output=True, text=True,
    )
    assert done.stdout == "executed\n", done.stderr
