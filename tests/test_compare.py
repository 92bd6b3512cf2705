"""Two models side by side: what differs is counted, and figures share one scale."""

import numpy as np
import pytest
from conftest import SHORT, TINY, run_cli
from PIL import Image

import scratchformer as sf
from scratchformer.figures.side_by_side import draw_pair
from scratchformer.figures.style import own_look
from scratchformer.run.judge import count_wrong
from scratchformer.system.errors import RunError
from scratchformer.tools.compare import compare, comparison_report

SETTINGS = dict(entry.split("=") for entry in TINY)
SET = [word for setting in (*SHORT, "model.block_size=4") for word in ("--set", setting)]


@pytest.fixture(scope="module")
def found(tiny_run):
    return compare(tiny_run.at(5), tiny_run.at(20))


def test_what_flips_is_counted(tiny_run, found):
    one, other = tiny_run.at(5), tiny_run.at(20)
    allowed = tiny_run.held_out.allowed
    before, after = one.held_out.logits.argmax(-1), other.held_out.logits.argmax(-1)
    differ = (before != after) & allowed.any(-1)
    assert found.kinds.total() == differ.sum() > 0
    assert found.wrong == tuple(count_wrong(model.held_out.logits, allowed)[0] for model in (one, other))
    gained, lost = found.kinds["become right"], found.kinds["become wrong"]
    assert found.wrong[0] - found.wrong[1] == gained - lost
    assert len({flip.context for flip in found.flips}) == len(found.flips)
    for flip in found.flips:
        assert flip.before != flip.after and flip.context[-1] == "+"


def test_attention_and_parameters(tiny_run, found):
    assert all(0 <= moved.distance <= 1 and 0 <= moved.share <= 1 for moved in found.attention)
    assert sum(moved.queries for moved in found.attention) == tiny_run.held_out.tokens.size
    one, other = tiny_run.at(5).params, tiny_run.at(20).params
    shares = dict(found.parameters)
    assert shares["W_q"] == pytest.approx(np.linalg.norm(other.W_q - one.W_q) / np.linalg.norm(one.W_q))
    assert "W_o" not in shares                              # it is empty


def test_a_model_beside_itself(tiny_run):
    same = compare(tiny_run.at(20), tiny_run.at(20))
    assert not same.flips and not same.kinds and {moved.distance for moved in same.attention} == {0}
    assert all(share == 0 for _, share in same.parameters)
    one, other = same.proofs
    assert one.any.wrong == other.any.wrong


def test_the_report(found):
    text = comparison_report(found)
    assert max(map(len, text.splitlines())) <= 90 and "step 5  " in text and "step 20" in text
    assert f"{found.wrong[1]:,}" in text and "answers that flip" in text and "cases of the proof" in text


@pytest.mark.parametrize("name", ["06_embedding_scatter", "08_qkv_transforms", "10_qk_space_focus",
                                  "supplementary/11_decision_map"])
def test_a_figure_twice_has_one_scale(name, tiny_run, monkeypatch):
    ranges = []
    models = tiny_run.at(5), tiny_run.at(20)

    def noted(module, model, scales):
        figure, scales = draw(module, model, scales)
        axes = figure.axes[:1] if name.startswith("10") else figure.axes           # its insets are its own
        ranges.append([(*ax.get_xlim(), *ax.get_ylim()) for ax in axes if ax.get_aspect() == 1.0]
                      + [image.get_clim() for ax in axes for image in ax.images])
        return figure, scales

    from scratchformer.figures import side_by_side

    draw = side_by_side.draw_scaled
    monkeypatch.setattr(side_by_side, "draw_scaled", noted)
    with own_look():
        fig = draw_pair(models, name, 40)
    first, second, one, other = ranges
    assert one == other and (first != second or "map" in name)          # a map has the frame from the start
    assert tuple(fig.get_size_inches()) and models[0].beside is None


def test_what_cannot_be_compared(tiny_run, tmp_path):
    other = sf.train("plus_last_even", settings=SETTINGS | {"data.numbers": 20}, out=tmp_path).last
    with pytest.raises(RunError, match="different tokens"):
        compare(tiny_run.at(20), other)
    other = sf.train("plus_last_even", settings=SETTINGS | {"model.block_size": 4}, out=tmp_path).last
    with pytest.raises(RunError, match="block_size"):
        compare(tiny_run.at(20), other)
    heads = sf.train("plus_last_even", settings=SETTINGS | {"model.num_heads": 2}, out=tmp_path).last
    found = compare(tiny_run.at(20), heads)
    assert not found.attention and "W_q" not in dict(found.parameters)
    with own_look():
        draw_pair((tiny_run.at(20), heads), "10_qk_space_focus", 40)


def test_through_the_command_line(tmp_path):
    done = run_cli("plus_last_even", *SET, "--compare-steps", "2", "4", "--figure", "6", "--dpi", "50",
                   cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").glob("*/plots/compare_000002_000004")
    assert (folder / "comparison.txt").read_text() in done.stdout
    with Image.open(folder / "06_embedding_scatter.png") as image:
        assert image.width > image.height
    (run,) = (tmp_path / "runs").iterdir()
    again = run_cli("compare", "plus_last_even", *SET, "--set", "training.seed=3", "--compare-run", run,
                    "--figure", "6", "--dpi", "50", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert run.name in again.stdout
    for words, said in (("--compare-steps 2", "two steps"), ("--compare-steps 2 3", "step 3"),
                        ("--compare-run nowhere", "no run in"), ("--compare-steps 2 2", "two steps")):
        wrong = run_cli("plus_last_even", *SET, *words.split(), cwd=tmp_path)
        assert wrong.returncode == 2 and said in wrong.stderr and wrong.stderr.count("\n") == 1, wrong.stderr


def test_in_a_notebook(tmp_path):
    run = sf.train("plus_last_even", settings=SETTINGS, out=tmp_path)
    found = run.at(5).compare(run.last)
    assert "answers that flip" in repr(found)
    picture = run.at(5).figure("6", beside=run.last, dpi=40)
    assert picture.figure.get_figwidth() > 15 and picture.render("png").startswith(b"\x89PNG")
