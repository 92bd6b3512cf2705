"""The gallery: every rule with its map of decisions, the verdict of the proof, a film. See build_site.py."""

import tempfile
from pathlib import Path

from PIL import Image

from scratchformer.analysis.snapshots import spaced_steps
from scratchformer.figures.draw import draw_figure
from scratchformer.figures.film import draw_films
from scratchformer.run import job
from scratchformer.run.config import load_config
from scratchformer.run.run import Run
from scratchformer.tools.prove.prove import prove
from scratchformer.tools.prove.verdict import amount

MAP, ATTENTION = "supplementary/11_decision_map", "13_qk_attention"
DECISIONS, EMBEDDINGS = "05_output_heatmaps_with_embeddings", "01_embeddings_scatterplots"
FRAMES, DPI, SECONDS = 40, 60, 60       # of a film, of a picture, for a proof


def write_gallery(stage, configs):
    """Write gallery.md and its pictures into a folder; it trains each of the configs."""
    lines = [
        "# Gallery", "",
        "Every rule that comes with the program: what a model of it decides, what is proved of it, and how "
        "that came about in training.", "",
        "For models in the plane the picture is the exact map of decisions, for others who reads from whom.",
    ]
    for name in configs:
        lines += ["", *write_entry(stage, name)]
    (stage / "gallery.md").write_text("\n".join(lines) + "\n", "utf-8")


def write_entry(stage, name):
    """The lines on one config; its pictures go into the folder gallery/."""
    folder = stage / "gallery" / name
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(Path(temporary) / name, load_config(name))
        job.train_run(run)
        model, plane = run.last, run.config.model.n_embd == 2
        picture, film = (MAP, DECISIONS) if plane else (ATTENTION, EMBEDDINGS)
        draw_figure(model, picture, temporary, dpi=DPI)
        with Image.open(Path(temporary) / f"{picture}.png") as image:
            few = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        few.save(folder / "map.png", optimize=True)
        draw_films(run, spaced_steps(run, FRAMES), [film], temporary, fps=10)
        (Path(temporary) / f"{film}.gif").rename(folder / "film.gif")
        wrong, constrained = model.count_wrong()
        verdict = prove(model, SECONDS, most_listed=0).any
    proof = f"proved: {amount(verdict.wrong.total())} of all {amount(verdict.total.total())} contexts wrong"
    if verdict.open:
        proof += f", {amount(verdict.open)} not settled after {SECONDS} s"
    size = f"{run.config.model.n_embd} dimensions, {sum(array.size for array in model.params):,} parameters"
    error = f"held-out rule error {wrong / max(constrained, 1):.2%} ({wrong:,} of {constrained:,})"
    return [
        f"## {name}", "", run.config.description, "",
        f"{size}; {error}; {proof}.", "", f"    python run.py {name}", "",
        f"![What {name} decides](gallery/{name}/map.png) ![Film of its training](gallery/{name}/film.gif)",
    ]
