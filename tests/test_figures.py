"""The figures: what their artists show is what the run holds, in every shape of model."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from conftest import SHORT, check_texts, train_run
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from PIL import Image

from scratchformer.analysis.families import group_distances
from scratchformer.analysis.followed import at_position
from scratchformer.engine.names import TABLE
from scratchformer.figures.catalogue import figure_module, figure_names
from scratchformer.figures.cells import PITCH
from scratchformer.figures.draw import draw_all, draw_figure, make_figure
from scratchformer.figures.f01_architecture_overview import shape_text
from scratchformer.figures.f05_token_embeddings import describe_pairs
from scratchformer.figures.labels import free_places, label_widths
from scratchformer.figures.planes import close_groups
from scratchformer.figures.style import CORRECT, RC, WRONG, plane_of, token_colors
from scratchformer.run.data import judge_sequence
from scratchformer.run.run import Run

FIRST_SIX = [
    "01_architecture_overview", "02_learning_curve", "03_training_data", "04_generated_sequences",
    "05_token_embeddings", "06_embedding_scatter",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("figures") / "tiny", *SHORT)


def figure(model, number):
    with matplotlib.rc_context(RC):
        return make_figure(model, FIRST_SIX[number - 1])


def module(number):
    return figure_module(FIRST_SIX[number - 1])


def texts(fig):
    return [text.get_text() for text in fig.findobj(matplotlib.text.Text)]


def labels(ax):
    return [artist for artist in ax.collections if hasattr(artist, "texts")]


def markers(ax):
    """Offsets of the markers, in the order drawn."""
    return np.concatenate([
        artist.get_offsets() for artist in ax.collections
        if isinstance(artist, PathCollection) and not hasattr(artist, "texts")
    ])


def by_rows(points):
    return points[np.lexsort(np.asarray(points).T)]


def test_names_are_the_modules():
    assert figure_names()[:6] == FIRST_SIX


def test_architecture_states_every_live_shape(run):
    shown = texts(figure(run.at(4), 1))
    cache = run.at(4).forward(run.data.train_windows[:1, :-1], run.data.train_windows[:1, 1:])
    for name, array in (run.at(4).params._asdict() | cache._asdict()).items():
        if name in ("use_residual", "W_o"):
            assert name not in shown
        else:
            assert name in shown
            assert shape_text(TABLE[name].dims, array) in shown
    assert shape_text("B H T T", np.ones((8, 1, 4, 4))) == "(B, H, T, T) = (8, 1, 4, 4)"
    assert "V = 12" in shown and "F = 32" in shown and "(in training 8)" in shown
    sequence = " ".join(run.vocabulary[token] for token in run.data.train_windows[0, :-1])
    assert f"here: {sequence}" in shown and f"of this window: {cache.loss:.3f}" in shown


def test_architecture_follows_the_model(odd_run):
    shown = texts(figure(odd_run.at(4), 1))
    assert ("W_o" in shown) == (odd_run.at(4).params.W_o.size > 0)
    assert ("residual\nconnection" in shown) == odd_run.config.model.use_residual
    assert ("residual\nconnection\noff" in shown) != odd_run.config.model.use_residual


def test_learning_curve_is_the_history(run):
    fig = figure(run.at(4), 2)
    lines = {line.get_label(): line for ax in fig.axes for line in ax.lines}
    shown = " ".join(texts(fig))
    for label, end, column, form in (
        ("training loss", "training sample", "train_loss", ".3f"),
        ("held-out loss", "held-out sample", "held_out_loss", ".3f"),
        ("rule error", "in held-out text", "rule_error", ".1%"),
        ("generated rule error", "in its own text", "generated_rule_error", ".1%"),
    ):
        np.testing.assert_array_equal(lines[label].get_xdata(), run.history["step"])
        np.testing.assert_array_equal(lines[label].get_ydata(), run.history[column])
        assert f"{end} {run.history[column][-1]:{form}}" in shown
    assert lines["rule error"].get_linestyle() == "--"
    assert lines["generated rule error"].get_linestyle() == ":"
    assert set(lines["guessing evenly"].get_ydata()) == {np.log(12)}
    np.testing.assert_allclose(lines["knowing rule and odds"].get_ydata(), lowest_by_hand(run), rtol=1e-12)
    assert f"its error ends at {run.history['rule_error'][-1]:.1%}" in shown
    assert " step 2" not in texts(fig) and " step 2" in texts(figure(run.at(2), 2))


def lowest_by_hand(run):
    """The loss of a model that knows the rule and the odds of a free draw, on the held-out sample."""
    data, costs = run.config.data, []
    for window in run.judge.held_out_windows:
        tokens = [run.data.vocabulary[i] for i in window]
        for t in range(1, len(tokens)):
            allowed = run.rule(tokens[:t])
            if allowed:
                costs.append(np.log(len(allowed)))
            elif tokens[t] == "+":
                costs.append(-np.log(data.operator_probability))
            else:
                costs.append(-np.log((1 - data.operator_probability) / data.numbers))
    return np.mean(costs)


def test_when_the_rule_was_learned_is_marked(run):
    other = Run.open(run.folder)
    steps = np.array([0, 2, 4])
    other.files.history = dict(other.history) | {
        "step": steps, "train_loss": np.ones(3), "held_out_loss": np.ones(3),
        "rule_error": np.array([0.9, 0.05, 0.001]), "generated_rule_error": np.ones(3),
    }
    shown = texts(figure(other.at(4), 2))
    assert "The rule is learned: in held-out text its error is first below 1% at step 4" in shown
    assert " below 10% at 2" in shown and " below 1% at 4" in shown
    other.files.history["rule_error"] = np.array([0.9, 0.8, 0.5])
    shown = texts(figure(other.at(4), 2))
    assert "The rule is not learned: in held-out text its error ends at 50.0%" in shown


def check_cells(ax, run, sequences, context):
    meshes = [artist for artist in ax.collections if isinstance(artist, QuadMesh)]
    right, judged, verdicts, arcs = 0, 0, [], set()
    for row, (mesh, sequence) in enumerate(zip(meshes, sequences, strict=True)):
        verdict = judge_sequence(run.rule, run.data.vocabulary, sequence, context or len(sequence))
        np.testing.assert_array_equal(mesh.get_array().ravel(), verdict)
        right, judged = right + (verdict == 1).sum(), judged + (verdict >= 0).sum()
        verdicts.append(verdict)
        mesh.update_scalarmappable()
        for value, color in ((0, WRONG), (1, CORRECT)):
            for shown in mesh.get_facecolors()[verdict == value]:
                assert tuple(shown) == matplotlib.colors.to_rgba(color)
        seen = context or len(sequence)
        for t in np.flatnonzero(verdict >= 0):          # after +, the most recent even number
            evens = [s for s in range(max(0, t - seen), t) if sequence[s] < 11 and sequence[s] % 2 == 0]
            arcs.add((evens[-1] + 0.5, t + 0.5, row))
    written = {}
    for artist in labels(ax):
        for (x, y), text in zip(artist.get_offsets(), artist.texts, strict=True):
            place = round((y - 0.5) / PITCH), int(x)
            written[place] = written.get(place, "") + text
    marks = {-1: "", 0: "✗", 1: "✓"}
    for (row, t), text in written.items():
        assert text == run.vocabulary[sequences[row][t]] + marks[verdicts[row][t]]
    assert len(written) == sum(map(len, sequences))
    (lines,) = [artist for artist in ax.collections if isinstance(artist, LineCollection)]
    assert {
        (round(arc[0, 0], 6), round(arc[-1, 0], 6), round(arc[0, 1] / PITCH)) for arc in lines.get_segments()
    } == arcs
    return f"{right:,} of {judged:,} constrained tokens correct"


def test_training_data_cells(run):
    fig = figure(run.at(4), 3)
    check_cells(fig.axes[0], run, run.data.train_sequences[:6], None)
    verdicts = np.concatenate([
        judge_sequence(run.rule, run.data.vocabulary, sequence, len(sequence))
        for sequence in run.data.train_sequences
    ])
    count = (verdicts >= 0).sum()
    assert f"{count:,} of {count:,} constrained tokens correct (100.0%)" in module(3).caption(run.at(4))
    tokens = sum(map(len, run.data.train_sequences))
    fixed = f"the rule fixes {count / tokens:.0%} of all {tokens:,} tokens"
    assert f"Training data: {fixed}, and each follows it" in texts(fig)


def test_generated_cells(run):
    fig = figure(run.at(4), 4)
    for ax, step in zip(fig.axes, (0, 4), strict=True):
        counts = check_cells(ax, run, run.at(step).generate(6, 40), run.config.model.block_size)
        assert counts in ax.get_title(loc="left")
    (ax,) = figure(run.at(0), 4).axes
    assert check_cells(ax, run, run.at(0).generate(6, 40), 8) in ax.get_title(loc="left")


def test_embeddings_are_the_parameters(run):
    params = run.at(4).params
    fig = figure(run.at(4), 5)
    images = [ax.images[0] for ax in fig.axes if ax.images]
    total = params.W_token[:, 0, None] + params.W_pos[:, 0]
    for image, values in zip(images, (params.W_token, params.W_pos, total), strict=True):
        np.testing.assert_array_equal(image.get_array(), values)
        assert image.norm.vmin == -image.norm.vmax == -np.abs(values).max()
    cells = labels(images[0].axes)[0]
    assert [float(text.replace("−", "-")) for text in cells.texts] == [
        float(f"{value:.2f}") for value in params.W_token.ravel()
    ]
    shown = " ".join(texts(fig))
    apart = {
        np.linalg.norm(params.W_token[a] - params.W_token[b]): f"{run.vocabulary[a]} and {run.vocabulary[b]}"
        for b in range(12) for a in range(b)
    }
    assert f"{apart[min(apart)]} lie closest; {apart[max(apart)]} lie farthest apart" in shown
    gathered = params.W_token.copy()
    gathered[1:10:2] = gathered[1]
    other = run.at(4)
    assert describe_pairs(SimpleNamespace(
        params=params._replace(W_token=gathered), vocabulary=other.vocabulary
    )).startswith("odd tokens share one place; ")
    gathered[2] = gathered[0]
    gathered[1:10:2] += np.arange(5)[:, None]
    assert describe_pairs(SimpleNamespace(
        params=params._replace(W_token=gathered), vocabulary=other.vocabulary
    )).startswith("0 and 2 share one place; ")


@pytest.mark.parametrize("number", [5, 6])
def test_planes_show_the_embeddings(run, number):
    params = run.at(4).params
    planes = [ax for ax in figure(run.at(4), number).axes if ax.get_xlabel() == "dim 0"]
    sums = (params.W_token[:, None] + params.W_pos).reshape(-1, 2)
    expected = (params.W_token, params.W_pos, sums)
    for ax, points in zip(planes, expected, strict=True):
        np.testing.assert_array_equal(by_rows(markers(ax)), by_rows(points))
        assert ax.get_aspect() == 1
        xlim, ylim = ax.get_xlim(), ax.get_ylim()
        assert (points.min(axis=0) > (xlim[0], ylim[0])).all()
        assert (points.max(axis=0) < (xlim[1], ylim[1])).all()
    named = ",".join(labels(planes[0])[0].texts)
    tokens = named.replace("odd", "1,3,5,7,9").replace("even", "0,2,4,6,8,10").split(",")
    assert sorted(tokens) == sorted(run.vocabulary)


def test_a_token_has_one_color(run):
    fig = figure(run.at(4), 5)
    ticks = [tick.get_color() for tick in fig.axes[0].get_yticklabels()]
    colors = token_colors(run.vocabulary)
    np.testing.assert_array_equal(ticks, colors)
    assert len({tuple(color) for color in colors}) == len(colors)
    plane = next(ax for ax in fig.axes if ax.get_title() == "tokens")
    even = plane.collections[0]
    np.testing.assert_array_equal(even.get_offsets(), run.at(4).params.W_token[0:11:2])
    np.testing.assert_allclose(even.get_facecolors()[:, :3], colors[0:11:2])


@pytest.mark.parametrize("step", [0, 4])
@pytest.mark.parametrize("name", FIRST_SIX)
def test_draws_every_model(odd_run, name, step, tmp_path):
    draw_figure(odd_run.at(step), name, tmp_path, dpi=40)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size[0] == 400


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_same_bytes_in_parallel_and_in_turn(run, tmp_path, format, monkeypatch):
    files = []
    for folder, parallel in (("a", True), ("b", False)):
        monkeypatch.setattr("scratchformer.system.pool.can_fork", lambda parallel=parallel: parallel)
        times = draw_all(run.at(4), FIRST_SIX[4:], tmp_path / folder, format, 50)
        assert list(times) == FIRST_SIX[4:]
        files.append([(tmp_path / folder / f"{name}.{format}").read_bytes() for name in FIRST_SIX[4:]])
    assert files[0] == files[1]


def test_settings_stay_as_they_were(run, tmp_path):
    before = dict(matplotlib.rcParams)
    draw_figure(run.at(4), FIRST_SIX[1], tmp_path, dpi=40)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("step", [0, 2, 4])
@pytest.mark.parametrize("number", range(1, 7))
def test_no_text_is_clipped_or_covers_another(run, number, step, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(run.at(step), FIRST_SIX[number - 1]), monkeypatch, 11)


def test_labels_find_free_places():
    rng = np.random.default_rng(0)
    anchors = np.concatenate([rng.normal(300, 4, (20, 2)), rng.uniform(50, 550, (40, 2))])
    widths = rng.uniform(8, 16, 60)
    centres = free_places(anchors, widths, 8.0, np.array([0, 0, 600, 600]), 2.0, anchors)
    apart = np.abs(centres[:, None] - centres)
    clear = (apart[..., 0] >= (widths[:, None] + widths) / 2) | (apart[..., 1] >= 8)
    assert clear[~np.eye(60, dtype=bool)].all()
    from_marker = np.abs(centres[:, None] - anchors)
    assert ((from_marker[..., 0] >= widths[:, None] / 2 + 2) | (from_marker[..., 1] >= 4 + 2)).all()


def test_label_texts():
    assert at_position("8", 7) == "8₇" and at_position("+", 12) == "+₁₂"
    assert label_widths(["11111", "1"], 10).argmax() == 0
    assert label_widths(["8"], 20) == pytest.approx(2 * label_widths(["8"], 10))


def test_close_points_share_a_group_only_within_their_key():
    ax = matplotlib.figure.Figure((2, 2)).add_axes((0, 0, 1, 1), xlim=(0, 144), ylim=(0, 144))
    points = np.array([[10.0, 10], [11, 10], [11, 11], [100, 100]])
    assert [group.tolist() for group in close_groups(ax, points, ["a", "a", "b", "a"])] == [[0, 1], [2], [3]]


def test_plane_of_more_dimensions_keeps_the_largest_axes():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(40, 4)) * (0.1, 5, 1, 0.1)
    plane, names = plane_of(points)
    assert abs(np.corrcoef(plane[:, 0], points[:, 1])[0, 1]) > 0.99
    share = plane[:, 0].var() / points.var(axis=0).sum()
    assert names[0] == f"principal axis 1 ({share:.0%} of variance)"
    assert plane_of(points[:1].astype(np.float32))[0].tolist() == [[0, 0]]


def test_group_distances_by_hand():
    W = np.array([[0.0, 0], [4, 0], [2, 0], [4, 0], [1, 3]])
    apart, spread = group_distances(W, ("0", "1", "2", "3", "+"))
    assert apart == {("even", "odd"): 3, ("even", "operator"): 3, ("odd", "operator"): pytest.approx(18**0.5)}
    assert spread == {"even": 1, "odd": 0}


@pytest.mark.parametrize("count", [1, 2, 100_000])
def test_principal_axes_of_few_points_and_of_many(count):
    points = np.random.default_rng(0).normal(size=(count, 4)) * (1, 9, 3, 1)
    plane, names = plane_of(points)
    assert plane.shape == (count, 2) and len(names) == 2
    if count > 2:
        np.testing.assert_allclose(plane.std(axis=0), (9, 3), rtol=0.02)
