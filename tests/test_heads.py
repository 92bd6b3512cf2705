"""--head: a figure of another head than the first."""

import numpy as np
import pytest
from conftest import SHORT, run_cli, run_name, train_run

from scratchformer.figures.catalogue import every_figure, figure_module
from scratchformer.figures.draw import make_figure
from scratchformer.system.errors import RunError

HEADS = ("model.num_heads=3", "model.n_embd=2", "model.head_size=2")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("heads") / "run", *SHORT, *HEADS).last


def test_the_model_is_the_same_with_another_head_first(model):
    other = model.with_head(2)
    tokens = model.run.held_out.tokens[:4]
    one, two = model.forward(tokens), other.forward(tokens)
    np.testing.assert_allclose(one.logits, two.logits, rtol=1e-12)
    np.testing.assert_array_equal(one.attention[:, 1], two.attention[:, 0])
    np.testing.assert_array_equal(one.attention[:, [0, 2]], two.attention[:, 1:])
    assert model.head == 1 and other.head == 2
    for head in (0, 4):
        with pytest.raises(RunError, match=f"--head {head}: this model has heads 1 to 3"):
            model.with_head(head)


@pytest.mark.slow
def test_every_figure_that_shows_a_head_says_which(model):
    said = 0
    for name in every_figure():
        texts = []
        for head in (1, 2):
            fig = make_figure(model.with_head(head), name)
            texts.append(" ".join(text.get_text() for text in fig.texts))
            texts[-1] += figure_module(name).caption(model.with_head(head))
        if "head 1 of 3" in texts[0]:
            said += 1
            assert "head 2 of 3" in texts[1] and "head 1 of 3" not in texts[1], name
    assert said >= 8


def test_through_the_command_line(tmp_path):
    settings = [f"--set={entry}" for entry in (*SHORT, *HEADS)]
    command = ["plus_last_even", *settings, "--out", tmp_path, "--figure", "13", "--dpi", "40"]
    done = run_cli(*command, "--head", "4")
    assert done.returncode == 2 and "heads 1 to 3" in done.stderr and not list(tmp_path.iterdir())
    assert run_cli(*command, "--head", "2").returncode == 0 and run_cli(*command).returncode == 0
    plots = tmp_path / run_name(*SHORT, *HEADS) / "plots"
    name = "13_qk_attention.png"
    assert (plots / "head_2" / name).read_bytes() != (plots / name).read_bytes()
