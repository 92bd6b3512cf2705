"""All figures together: nothing that the model computes stays unseen, and all are drawn by one command."""

import re

import matplotlib
import numpy as np
import pytest
from conftest import SHORT, run_cli, train_run
from matplotlib.text import Text

from scratchformer.analysis.followed import follow
from scratchformer.engine.names import ACTIVATION_NAMES
from scratchformer.figures import catalogue
from scratchformer.figures.captions import captions
from scratchformer.figures.catalogue import every_figure, figure_module, figure_names, pick_figures
from scratchformer.figures.draw import make_figure
from scratchformer.figures.film import film_names
from scratchformer.figures.style import RC
from scratchformer.run.data import Data, cut_windows
from scratchformer.run.demos import choose_demos, sequence_numbers
from scratchformer.run.judge import HeldOut
from scratchformer.run.rules import RULES
from scratchformer.system.errors import RunError

FILES = [
    "01_architecture_overview", "02_learning_curve", "03_training_data", "04_generated_sequences",
    "05_token_embeddings", "06_embedding_scatter", "07_output_probs_embed", "08_qkv_transforms",
    "09_qk_space", "10_qk_space_focus", "11_probability_heatmap_with_values", "12_sequence_embeddings",
    "13_qk_attention", "14_value_output", "15_residuals", "16_value_demo0", "17_value_demo1",
    "18_value_demo2", "supplementary/07_qkv_overview", "supplementary/09_qk_full_heatmap",
    "supplementary/11_decision_map", "supplementary/14_attention_matrix", "supplementary/15_feed_forward",
    "supplementary/16_value_arrows",
    "extended/08_qkv_transforms_extended",
]


def arrays(fig):
    """What the images and the points of a figure hold, as matrices."""
    for ax in fig.axes:
        for image in ax.images:
            yield np.ma.filled(image.get_array(), np.nan)
        for artist in ax.collections:
            if hasattr(artist, "get_offsets") and not hasattr(artist, "texts"):
                yield np.asarray(artist.get_offsets())


def rows_within(rows, matrix):
    """Whether each of the rows is one of the matrix'."""
    return matrix.ndim == 2 and rows.shape[1] == matrix.shape[1] and all(
        (matrix == row).all(axis=1).any() for row in rows
    )


def test_every_activation_is_shown(tiny_run):
    seen, texts = [], []
    with matplotlib.rc_context(RC):
        for name in figure_names():
            fig = make_figure(tiny_run.at(20), name)
            seen += arrays(fig)
            texts += [text.get_text() for text in fig.findobj(Text)]
    cache = tiny_run.at(20).forward(tiny_run.demos[0][None])
    missing = []
    for name in ACTIVATION_NAMES:
        value = getattr(cache, name)
        if name == "loss":
            found = any(f"{tiny_run.at(20).held_out.loss:.3f}" in text for text in texts)
        elif name in ("scores", "attention"):             # without what lies in the future
            past = np.where(np.tri(8), value[0, 0], np.nan)
            found = any(a.shape == (8, 8) and np.array_equal(a, past, equal_nan=True) for a in seen)
        else:
            rows = value.reshape(-1, value.shape[-1])
            found = any(rows_within(rows, matrix) for matrix in seen)
        if not found:
            missing.append(name)
    assert not missing


def test_names_of_all_figures():
    assert figure_names() == FILES


def test_one_command_draws_all_and_their_captions(tmp_path):
    run = train_run(tmp_path / "plus_last_even", *SHORT)
    own = ["--sequence", "4 9 + 4 10 7 +"]
    done = run_cli("plus_last_even", "--visualize", "--out", tmp_path, "--dpi", 30, *own)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    plots = run.folder / "plots"
    (plots,) = plots.glob("sequence_*")                         # a folder of their own
    assert sorted(str(path.relative_to(plots)) for path in plots.rglob("*") if path.is_file()) == sorted(
        [f"{name}.png" for name in FILES] + ["captions.md"]
    )
    run.follow(own[1])
    text = (plots / "captions.md").read_text("utf-8")
    assert text == captions(run.at(4), FILES) and "`4 9 + 4 10 7 +`" in text


@pytest.mark.parametrize("sequence, message", [
    ("4 x +", "--sequence: 'x' is not a token; the tokens are 0 1 2 3 4 5 6 7 8 9 10 +"),
    ("", "--sequence: '' has 0 tokens; allowed are 1 to 8"),
    ("1 " * 9, "has 9 tokens; allowed are 1 to 8"),
])
def test_wrong_sequences(tmp_path, sequence, message):
    done = run_cli("plus_last_even", "--sequence", sequence, "--out", tmp_path)
    assert done.returncode == 2 and message in done.stderr and not list(tmp_path.iterdir())


def test_what_a_user_types_finds_a_figure():
    assert pick_figures([]) == figure_names()
    causal = figure_names("causal")
    assert len(causal) == 5 and not set(causal) & set(figure_names())
    assert set(every_figure()) == {*figure_names(), *causal}
    words = ["5", "05", "05_token_embeddings", "token_embeddings", "causal/02_patching", "patching"]
    assert pick_figures(words) == ["05_token_embeddings", "causal/02_patching"]
    for name in every_figure():
        assert pick_figures([name]) == [name]
        assert figure_module(name).SIZE and figure_module(name).draw and figure_module(name).caption
    first = figure_names()
    assert pick_figures(["1-3,7", "qk_attention"]) == [*first[:3], first[6], "13_qk_attention"]
    near = {"patchin": "; did you mean 'patching'?", "03_qk_embedding_space": "; did you mean"}
    for word in ("0", "99", "", "3-1", "patchin", "03_qk_embedding_space"):
        said = f"--figure {word}: no such figure" + re.escape(
            near.get(word, f"; there are {', '.join(map(str, range(1, 19)))}, and by name")
        )
        with pytest.raises(RunError, match=said):
            pick_figures(["5", word])


def test_a_new_figure_edits_no_list(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "f01_mine.py").touch()
    (tmp_path / "f19_another.py").touch()
    (tmp_path / "learning_dynamics").mkdir()
    (tmp_path / "learning_dynamics" / "f01_film.py").touch()
    monkeypatch.setattr(catalogue, "HERE", tmp_path)
    assert figure_names() == ["19_another"] and every_figure() == ["19_another", "own/01_mine"]
    assert pick_figures(["mine", "19"]) == ["own/01_mine", "19_another"] and film_names() == ["01_film"]


def test_figures_by_number_and_name(tmp_path):
    run = train_run(tmp_path / "plus_last_even", *SHORT)
    done = run_cli(
        "plus_last_even", "--visualize", "--out", tmp_path, "--dpi", 30, "--format", "svg",
        "--figure", "3", "03", FILES[-1], "causal/05_circuits",
    )
    assert done.returncode == 0, done.stderr
    plots = run.folder / "plots"
    assert sorted(path.stem for path in plots.rglob("*.*")) == [
        "03_training_data", "05_circuits", FILES[-1].split("/")[1],
    ]
    done = run_cli("plus_last_even", "--visualize", "--out", tmp_path, "--figure", "99")
    assert done.returncode == 2 and "--figure 99: no such figure; there are 1, 2, 3" in done.stderr


def test_a_short_sequence_is_followed(tiny_run):
    demos = tiny_run.demos
    try:
        tiny_run.follow("6 +")
        with matplotlib.rc_context(RC):
            for name in FILES[11:18] + FILES[20:22]:
                make_figure(tiny_run.at(20), name).canvas.draw()
        assert [len(tokens) for tokens in tiny_run.demos] == [2, 8, 8]
    finally:
        tiny_run.followed, tiny_run.demos = (), demos


def test_the_chosen_sequences_put_the_rule_to_the_test():
    """Answers two or more back, with a rival before them; from sequences of their own; one that is wrong."""
    plus, vocabulary = 11, (*range(11), "+")
    sequences = [np.array(sequence) for sequence in (
        [1, 2, plus, 2, 4, plus, 4, 7, 7, 7], [8, 3, 5, plus, 8, 6, 1, plus, 6, 1],
        [3, 5, plus, 1, 7, 2, plus, 2, 9, 9], [1, 8, plus, 8, 4, 6, 9, plus, 6, 5],
        [4, 1, 3, plus, 4, 0, 9, plus, 0, 1], [7, 6, plus, 6, 3, 2, 1, plus, 2, 2],
    )]
    data = Data(vocabulary, [], sequences, None, cut_windows(sequences, 8))
    held_out = HeldOut.of(RULES["plus_last_even"], data)
    assert sequence_numbers(data, 8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    wrong = np.zeros(held_out.tokens.shape, bool)
    first, *others = choose_demos(RULES["plus_last_even"], data, held_out, wrong)
    assert [vocabulary[i] for i in first] == [10, "+", 10, 6, "+", 6, 4, 8]
    assert [demo.tolist() for demo in others] == [sequences[1][:8].tolist(), sequences[4][:8].tolist()]
    wrong[2 * 3 + 1, 6] = True                                          # in the second window of the fourth
    _, second, third = choose_demos(RULES["plus_last_even"], data, held_out, wrong)
    assert (second.tolist(), third.tolist()) == (sequences[1][:8].tolist(), sequences[3][1:9].tolist())


def test_the_last_sequence_is_one_that_the_model_gets_wrong(tiny_run):
    model = tiny_run.last
    wrong = [(follow(model, tokens).state == 0).any() for tokens in tiny_run.demos]
    assert wrong[2] and model.count_wrong()[0] > 0


@pytest.mark.parametrize("config", [
    pytest.param(name, marks=pytest.mark.slow) for name in ("plus_last_even", "lucky7", "copy_modulo")
])
def test_titles_have_at_most_25_words(config, tmp_path):
    run = train_run(tmp_path / config, *SHORT, "training.warmup_steps=0", config=config)
    for step in (0, 4):
        for name in every_figure():
            with matplotlib.rc_context(RC):
                fig = make_figure(run.at(step), name)
            titles = [text for text in fig.texts if text.get_fontsize() == 13]
            assert len(titles) == 1 and titles[0].get_position()[1] > 0.95
            lines = [titles[0], next(text for text in fig.texts if text.get_fontsize() == 9.5)]
            assert sum(len(text.get_text().split()) for text in lines) <= 25, (name, lines)


@pytest.mark.parametrize("name", every_figure())
def test_no_text_is_smaller_than_9_pixels_on_a_page_of_1000(tiny_run, name):
    with matplotlib.rc_context(RC):
        fig = make_figure(tiny_run.at(20), name)
        fig.canvas.draw()
    pixels = 1000 / fig.get_size_inches()[0] / 72
    texts = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text().strip()]
    sizes = [(text.get_fontsize(), text.get_text()) for text in texts]
    sizes += [
        (artist.get_sizes()[0] ** 0.5, artist.texts[0])
        for ax in fig.axes for artist in ax.collections if len(getattr(artist, "texts", ()))
    ]
    small, text = min(sizes)
    assert small * pixels >= 9, text
