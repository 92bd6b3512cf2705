"""docs/walkthrough.md: its numbers are those of the run that it tells of, and its pictures are there."""

import importlib.util
import re

import pytest
from conftest import REPO
from PIL import Image

from scratchformer.figures.catalogue import figure_module
from scratchformer.run import job
from scratchformer.run.config import load_config
from scratchformer.run.run import Run

TEXT = (REPO / "docs" / "walkthrough.md").read_text("utf-8")
LINK = re.compile(r"\]\(([^)]+)\)")


@pytest.fixture(scope="session")
def build():
    """docs/build.py as a module."""
    spec = importlib.util.spec_from_file_location("build_docs", REPO / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def values(build, tmp_path_factory):
    """The numbers of the run, trained here."""
    run = Run(tmp_path_factory.mktemp("walk") / build.CONFIG, load_config(build.CONFIG))
    job.train_run(run)
    return build.numbers(run.last)


def outdated(build, text, values):
    """{name: (what the text says, what holds)} of the numbers that no longer match."""
    return {name: (said, values[name]) for name, said in build.MARKER.findall(text) if said != values[name]}


def loose_digits(build, text):
    """Digits outside markers, code, headings and links, but for those of figures: each with its line."""
    text = re.sub(r"^(#.*|    .*)$", "", build.MARKER.sub("", text), flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "", LINK.sub("]", text))
    text = re.sub(r"\bfigures? \d\d\b", "", text)
    return [line for line in text.splitlines() if re.search(r"\d", line)]


def test_every_number_is_that_of_the_run(build, values):
    for path in build.TEXTS:
        text = path.read_text("utf-8")
        assert not outdated(build, text, values), path
        assert build.fill(text, values) == text
    assert {name for name, _ in build.MARKER.findall(TEXT)} == set(values)


def test_wrong_and_unknown_numbers_are_caught(build, values):
    wrong = TEXT.replace(f"-->{values['error']}<", "-->0.03%<")
    assert outdated(build, wrong, values) == {"error": ("0.03%", values["error"])}
    assert build.fill(wrong, values) == TEXT
    with pytest.raises(KeyError, match="eror"):
        build.fill("<!--n:eror-->0.02%<!--/n-->", values)


def test_markers_do_not_show(build):
    for path in build.TEXTS:
        text = path.read_text("utf-8")
        count = len(build.MARKER.findall(text))
        assert text.count("<!--n:") == text.count("<!--/n-->") == count
        marked = build.MARKER.sub("\0", text)
        assert not re.search(r"^ *\0", marked, re.MULTILINE), "a line that begins so ends the paragraph"
        assert "\0" not in "".join(re.findall(r"`[^`]*`", marked)), "code shows its markers"
        assert not re.search(r"^(#|!|    ).*\0", marked, re.MULTILINE)


def test_no_number_stands_outside_a_marker(build):
    assert loose_digits(build, TEXT) == []
    claim = "the loss of figure 07 falls to 1.9"
    assert loose_digits(build, f"{TEXT}\n{claim}\n") == ["the loss of  falls to 1.9"]


def test_every_picture_is_there_and_shown(build):
    links = LINK.findall(TEXT)
    missing = [link for link in links if not (REPO / "docs" / link).is_file()]
    assert not missing
    files = {path.relative_to(REPO / "docs").as_posix() for path in build.PICTURES.rglob("*.*")}
    pages = [REPO / "README.md", *(REPO / "docs").glob("*.md")]
    shown = {link.removeprefix("docs/") for page in pages for link in LINK.findall(page.read_text("utf-8"))}
    assert {link for link in shown if link.startswith("pictures/")} == files
    for name in build.figure_names():
        assert f"pictures/{name}.png" in files
        if "/" not in name:
            assert re.search(rf"^!\[[^]]+\]\(pictures/{name}\.png\)$", TEXT, re.MULTILINE)
    films = {name for name in files if name.endswith(".gif")} - {"pictures/explore.gif"}
    assert len(films) == len(build.film_names())


def test_each_section_says_what_to_look_at(build):
    for name in build.figure_names():
        if "/" not in name:
            assert f"](pictures/{name}.png)\n\n*Look at {figure_module(name).LOOK}.*\n" in TEXT, name


def test_pictures_are_small(build):
    sizes = {path: path.stat().st_size for path in (REPO / "docs").rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 12e6
    for path, size in sizes.items():
        if path.suffix == ".gif":
            assert size < (2e6 if path.stem == "embeddings" else 1.2e6), path
    for name in build.figure_names():
        with Image.open(build.PICTURES / f"{name}.png") as image:
            assert image.mode == "P" and 1000 <= image.width <= 1500


def test_pictures_are_the_same_at_every_call(build, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "figure_names", lambda: ["02_learning_curve"])
    monkeypatch.setattr(build, "film_names", lambda: ["01_embeddings_scatterplots", "03_qk_embedding_space"])
    found = []
    for name in ("one", "two"):
        monkeypatch.setattr(build, "PICTURES", tmp_path / name)
        build.draw_stills(tiny_run, tmp_path)
        build.draw_moving(tiny_run, tmp_path)
        found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert found[0] == found[1]
    assert set(found[0]) == {"02_learning_curve.png", "embeddings.gif", "03_qk_embedding_space.gif"}
