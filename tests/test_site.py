"""The site: built from docs/ without a warning, so every link leads somewhere, and it can be searched."""

import json
import subprocess
import sys

import pytest
from conftest import REPO

sys.path.insert(0, str(REPO / "docs"))
import build_site  # noqa: E402

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")
DOORS = ("You are a student", "You are a lecturer", "You are a researcher", "You want to contribute")
ASKED = {                               # what one looks for, and the page that tells
    "How to cite": "export.html", "A rule of your own": "own_rule.html", "Proving a model": "prove.html",
    "Out to other tools": "export.html", "A lecture of 90 minutes": "lecture.html",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, REPO / "docs" / "build_site.py", out, "--gallery"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_the_start_page_has_four_doors(site):
    text = (site / "index.html").read_text("utf-8")
    assert all(door in text for door in DOORS)
    pages = {path.stem for path in (REPO / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    assert "explorer" in (site / "explorer_page.html").read_text("utf-8")[:2000].lower()


def test_it_can_be_searched(site):
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))["docs"]
    titles = {(entry["title"], entry["location"].partition("#")[0]) for entry in index}
    for words, page in ASKED.items():
        assert any(words.lower() in title.lower() and place == page for title, place in titles), words
    text = " ".join(entry["text"] + entry["title"] for entry in index)
    assert "attention_backward" in text and "count_wrong" in text           # of the docstrings


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.glob("*.html"):
        text = path.read_text("utf-8")
        assert 'src="http' not in text and 'stylesheet" href="http' not in text, path


def test_a_broken_link_ends_the_build(tmp_path, monkeypatch):
    gather = build_site.gather_pages

    def broken(stage, configs):
        gather(stage, configs)
        (stage / "index.md").write_text("[nowhere](nowhere.md)\n")

    monkeypatch.setattr(build_site, "gather_pages", broken)
    assert build_site.build_site(tmp_path / "out", []) == 1
