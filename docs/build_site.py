"""Builds the site from the pages of docs/: with a gallery of every rule, the docstrings and a search.

    python -m pip install -e ".[docs]"
    python docs/build_site.py site          # some minutes: it trains every config for the gallery
    python docs/build_site.py site --gallery lucky7         # of this alone; without a name: of none
    python -m http.server -d site           # to read it, and search it

Every link is checked; a broken one ends the build. The site is static files, for any server.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "docs")]

from gallery import write_gallery  # noqa: E402

DOCS = REPO / "docs"
COPIED = ("*.md", "*.png", "notebooks/*.ipynb", "pictures/**/*.png", "pictures/**/*.gif")
EXPLORER = "explorer_page.html"
SOURCE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\.py\)")          # a link to a file of the source
API = (                                 # what the reference tells of: heading, modules
    ("Notebooks and scripts", ("face",)),
    ("The engine", (
        "engine.names", "engine.passes", "engine.embedding", "engine.linear", "engine.attention",
        "engine.feed_forward", "engine.lm_head", "engine.adam", "engine.model", "engine.gradcheck",
    )),
    ("A run", ("run.config", "run.data", "run.rules", "run.run", "run.model", "run.judge")),
    ("What is measured", (
        "analysis.interventions", "analysis.patching", "analysis.decision_map", "analysis.cases",
    )),
    ("What can be asked", ("tools.compare", "tools.prove.prove", "tools.prove.verdict", "tools.exchange")),
)


def gather_pages(stage, configs):
    """Put the site's pages into a folder: those of docs/, the changelog, the reference, the gallery."""
    for pattern in COPIED:
        for path in sorted(DOCS.glob(pattern)):
            target = stage / path.relative_to(DOCS)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".md":
                text = SOURCE.sub(r"\1", path.read_text("utf-8"))
                target.write_text(text.replace("(explore.html)", f"({EXPLORER})"), "utf-8")
            else:
                shutil.copy(path, target)
    shutil.copy(DOCS / "explore.html", stage / EXPLORER)        # under its own name explore.md would hide it
    shutil.copy(REPO / "CHANGELOG.md", stage / "changelog.md")
    (stage / "api.md").write_text(reference(), "utf-8")
    write_gallery(stage, configs)


def reference():
    """The page from which MkDocs makes the reference, of the docstrings."""
    lines = ["# API", "", "From the docstrings. `import scratchformer as sf` gives the first part."]
    for heading, modules in API:
        lines += ["", f"# {heading}"]
        for module in modules:
            lines += ["", f"::: scratchformer.{module}"]
    return "\n".join(lines) + "\n"


def build_site(out, configs):
    """Write the site into a folder; returns MkDocs's exit code, 1 if a link leads nowhere."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "pages"
        stage.mkdir()
        gather_pages(stage, configs)
        config = Path(folder) / "mkdocs.yml"
        config.write_text(f"docs_dir: {stage}\n" + (DOCS / "mkdocs.yml").read_text("utf-8"), "utf-8")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean",
                   "--config-file", str(config), "--site-dir", str(Path(out).absolute())]
        environment = os.environ | {"PYTHONPATH": str(REPO), "NO_MKDOCS_2_WARNING": "1"}
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
        print("\n".join(lines), file=sys.stderr)
    return done.returncode


def main():
    """Read the arguments, build."""
    from scratchformer.run.config import config_names

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--gallery", nargs="*", metavar="CONFIG", default=config_names())
    args = parser.parse_args()
    return build_site(args.out, args.gallery)


if __name__ == "__main__":
    sys.exit(main())
