"""Films: frames show what the stills show, files hold what was drawn, and nothing is left half-written."""

import io

import matplotlib
import numpy as np
import pytest
from conftest import ODD, SHORT, run_cli, train_run
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from scratchformer.analysis.landscape import landscapes
from scratchformer.analysis.scores import pair_scores
from scratchformer.analysis.snapshots import spaced_steps, take_snapshots
from scratchformer.figures import film
from scratchformer.figures.draw import make_figure
from scratchformer.figures.encode import choose_palette, gif_frame, gif_header, quantize, require_ffmpeg
from scratchformer.figures.film import Film, draw_films, film_names, left_out
from scratchformer.figures.scenes import Points, held_box, shorten
from scratchformer.figures.style import RC, K, Q, V
from scratchformer.run.run import Run
from scratchformer.system import pool
from scratchformer.system.errors import RunError

NAMES = [
    "01_embeddings_scatterplots", "02_embedding_qkv_comprehensive", "03_qk_embedding_space",
    "04_qk_space_plus_attention", "05_output_heatmaps_with_embeddings",
]


@pytest.fixture(scope="module")
def snapshots(tiny_run):
    return take_snapshots(tiny_run, tiny_run.steps)


def decoded(path):
    """(frames (N, H, W, 3), milliseconds of each) of a GIF."""
    frames, times = [], []
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(np.array(image.convert("RGB")))
            times.append(image.info["duration"])
        assert image.info["loop"] == 0
    return np.array(frames), times


def shown(picture, i):
    """The artists that move, once the i-th snapshot is drawn."""
    with matplotlib.rc_context(RC):
        picture.pixels(i)
    return picture.artists


def markers(artists):
    return [a for a in artists if isinstance(a, PathCollection) and not hasattr(a, "texts")]


def points(artists):
    return sorted(row for a in artists for row in a.get_offsets().tolist())


def test_names():
    assert film_names() == NAMES


def test_snapshots_hold_what_the_run_holds(tiny_run, snapshots):
    rows = {int(step): i for i, step in enumerate(tiny_run.history["step"])}
    for i, step in enumerate(tiny_run.steps):
        np.testing.assert_array_equal(snapshots.W_token[i], tiny_run.at(step).params.W_token)
        np.testing.assert_array_equal(snapshots.q[i], tiny_run.at(step).grid.q[:, 0])
        if step in rows:
            assert snapshots.loss[i] == tiny_run.history["held_out_loss"][rows[step]]
            assert snapshots.rule_error[i] == tiny_run.history["rule_error"][rows[step]]
    assert len(rows) >= 3


@pytest.mark.parametrize("i", [0, 2, 4])
def test_a_frame_and_the_still_of_its_step_show_the_same(tiny_run, snapshots, i):
    step = tiny_run.steps[i]
    with matplotlib.rc_context(RC):
        films = {name: Film(snapshots, name).picture for name in NAMES}
        still = make_figure(tiny_run.at(step), "06_embedding_scatter")
    marks = markers(shown(films[NAMES[0]], i))
    for title in ("tokens", "token + position"):
        (ax,) = [ax for ax in still.axes if ax.get_title().partition(",")[0] == title]
        assert points(a for a in marks if a.axes.get_title() == title) == points(markers(ax.collections))
    grid = tiny_run.at(step).grid
    for name in NAMES[2:4]:
        drawn = {color: [] for color in (Q, K)}
        for artist in markers(shown(films[name], i)):
            for color in drawn:
                if tuple(artist.get_facecolors()[0][:3]) == to_rgb(color):
                    drawn[color] += artist.get_offsets().tolist()
        assert sorted(drawn[Q]) == sorted(grid.q[:, 0].reshape(-1, 2).tolist())
        assert sorted(drawn[K]) == sorted(grid.k[:, 0].reshape(-1, 2).tolist())
    (image,) = [a for a in shown(films[NAMES[3]], i) if hasattr(a, "get_array") and hasattr(a, "get_extent")]
    V, T = grid.tokens.shape
    square = pair_scores(tiny_run.at(step)).transpose(0, 2, 1, 3).reshape(V * T, V * T)
    weights = np.exp(square - np.nanmax(square, axis=1, keepdims=True))
    shares = weights / np.nansum(weights, axis=1, keepdims=True)
    np.testing.assert_allclose(image.get_array().filled(np.nan), shares, rtol=1e-12)
    artists = shown(films[NAMES[4]], i)
    ground, *images = [a for a in artists if hasattr(a, "get_extent")]
    probs = landscapes(tiny_run.at(step), images[0].get_extent())
    assert len(images) == V
    for token, picture in enumerate(images):
        np.testing.assert_array_equal(picture.get_array(), probs[:, :, token])
    best = probs.argmax(axis=-1)
    for token in np.unique(best):
        assert len(np.unique(ground.get_array()[best == token], axis=0)) == 1
    windows = tiny_run.judge.held_out_windows[:200, :-1]
    resid_mid = tiny_run.at(step).forward(windows).resid_mid
    answers = artists[-1]
    for token, place in zip(answers.texts, answers.get_offsets(), strict=True):
        reached = [
            resid_mid[n, t] for n, window in enumerate(windows) for t in np.flatnonzero(window == 11)
            if [i for i in window[:t] if i % 2 == 0 and i < 11][-1:] == [tiny_run.vocabulary.index(token)]
        ]
        np.testing.assert_allclose(place, np.mean(reached, axis=0), rtol=1e-9)


def test_frames_are_spaced_by_change(tiny_run):
    assert spaced_steps(tiny_run, 5) == tiny_run.steps
    chosen = spaced_steps(tiny_run, 3)
    assert len(chosen) == 3 and (chosen[0], chosen[-1]) == (tiny_run.steps[0], tiny_run.steps[-1])
    embed = np.array([tiny_run.at(step).grid.embed for step in tiny_run.steps])
    still = Run.open(tiny_run.folder)
    still.at = lambda step: tiny_run.at(step if step < 10 else 20)              # after the third all is still
    assert embed.shape[0] == 5 and spaced_steps(still, 4)[:3] == tiny_run.steps[:3]


def test_four_colors_for_four_spaces(tiny_run, snapshots):
    with matplotlib.rc_context(RC):
        picture = Film(snapshots, NAMES[1]).picture
    artists, grid = markers(shown(picture, 4)), tiny_run.at(20).grid
    for title, color, vectors in (
        ("q = embed · W_q", Q, grid.q), ("k = embed · W_k", K, grid.k), ("v = embed · W_v", V, grid.v),
    ):
        own = [a for a in artists if a.axes.get_title() == title]
        assert {tuple(a.get_facecolors()[0][:3]) for a in own} == {to_rgb(color)}
        assert points(own) == sorted(vectors[:, 0].reshape(-1, 2).tolist())


def test_the_strip_tells_step_loss_and_rule_error(snapshots):
    with matplotlib.rc_context(RC):
        strip = Film(snapshots, NAMES[2]).strip
    texts = [a.get_text() for a in shown(strip, 3) if hasattr(a, "get_text")]
    assert texts == [
        "step 15", f"● held-out loss {snapshots.loss[3]:.3f}", f"■ rule error {snapshots.rule_error[3]:.1%}"
    ]
    dots = [a.get_xydata()[0].tolist() for a in strip.artists if hasattr(a, "get_xydata")]
    assert dots == [[15, snapshots.loss[3]], [15, 100 * snapshots.rule_error[3]]]


def test_files_hold_what_was_drawn(tiny_run, snapshots, tmp_path):
    costs = draw_films(tiny_run, tiny_run.steps, NAMES[:1] + NAMES[3:], tmp_path, fps=12)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.gif" for name in costs]
    for name, cost in costs.items():
        frames, times = decoded(tmp_path / f"{name}.gif")
        assert times == [80, 80, 80, 80, 2000]
        assert cost.bytes == (tmp_path / f"{name}.gif").stat().st_size - 1
        with matplotlib.rc_context(RC):
            drawn = Film(snapshots, name)
        for i, frame in enumerate(frames):
            error = np.abs(frame.astype(int) - drawn.frame(i)).max(axis=-1)
            assert (error <= 40).mean() > 0.999 and error.mean() < 1.5
        assert (frames[0][:5, :5] == 255).all()


def test_frames_are_the_palettes_nearest_colors():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (3, 1, 1, 3), np.uint8)
    frames = [np.broadcast_to(base[0], (20, 30, 3)).copy() for _ in range(3)]
    frames[1][4:9, 2:7], frames[2][4:9, 2:7] = base[1], base[1]
    palette = choose_palette(frames, base[:, 0, 0] / 255)
    indices = [quantize(frame, palette) for frame in frames]
    content = gif_header(palette, indices[0].shape) + gif_frame(indices[0], None, 50)
    content += gif_frame(indices[1], indices[0], 50) + gif_frame(indices[2], indices[1], 50) + b";"
    path = io.BytesIO(content)
    shown_frames, _ = decoded(path)
    np.testing.assert_array_equal(shown_frames, frames)


def test_same_bytes_in_parallel_and_in_turn(tiny_run, tmp_path, monkeypatch):
    for folder, parallel in (("a", True), ("b", False)):
        monkeypatch.setattr(pool, "can_fork", lambda parallel=parallel: parallel)
        draw_films(tiny_run, tiny_run.steps, NAMES[2:3], tmp_path / folder)
    assert (tmp_path / f"a/{NAMES[2]}.gif").read_bytes() == (tmp_path / f"b/{NAMES[2]}.gif").read_bytes()


def test_a_broken_film_leaves_the_one_before(tiny_run, tmp_path, monkeypatch):
    draw_films(tiny_run, tiny_run.steps[:2], NAMES[2:3], tmp_path)
    before = (tmp_path / f"{NAMES[2]}.gif").read_bytes()
    for error in (KeyboardInterrupt, RuntimeError):
        def stop(*_, error=error):
            raise error

        monkeypatch.setattr(pool, "can_fork", lambda: False)
        monkeypatch.setattr(film, "gif_frame", stop)
        with pytest.raises(error):
            draw_films(tiny_run, tiny_run.steps, NAMES[2:3], tmp_path)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_limits_hold_the_last_snapshot_and_not_the_outliers():
    points = np.zeros((100, 10, 2))
    points[:, :, 0] = np.linspace(0, 1, 1000).reshape(100, 10)
    points[0, 0], points[-1, -1] = (-1000, 1000), (2, -3)
    low, high = held_box(points)
    assert -0.1 < low[0] <= 0.01 and high[0] == 2 and low[1] == -3 and high[1] == 0


def test_a_figure_can_be_filmed(tiny_run, snapshots, tmp_path):
    costs = draw_films(tiny_run, tiny_run.steps[:3], ["06_embedding_scatter"], tmp_path)
    assert list(costs) == ["06_embedding_scatter"]
    assert len(decoded(tmp_path / "06_embedding_scatter.gif")[0]) == 3
    with matplotlib.rc_context(RC):
        picture = Film(snapshots, "06_embedding_scatter").picture
        limits = [
            [ax.get_xlim() for ax in picture.draw(i, lambda plane, low, high: picture.boxes[plane]).axes]
            for i in (0, 4)
        ]
    assert limits[0] == limits[1]


def test_every_model_is_filmed(odd_run, tmp_path):
    names = [name for name in film_names() if not left_out(odd_run, name)]
    assert (NAMES[4] in names) == (odd_run.config.model.n_embd == 2)
    for name, cost in draw_films(odd_run, odd_run.steps, names, tmp_path).items():
        assert cost.bytes > 10_000, name


def test_mp4_needs_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(RunError, match=r"\[video\]"):
        require_ffmpeg()


def test_mp4(tiny_run, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    draw_films(tiny_run, tiny_run.steps, NAMES[2:3], tmp_path, "mp4", 10)
    assert [path.suffix for path in tmp_path.iterdir()] == [".mp4"]


def test_films_of_an_interrupted_run(tmp_path):
    train_run(tmp_path / "plus_last_even", *SHORT, stop_at=2)
    done = run_cli("plus_last_even", "--visualize", "--video-qkv", "--out", tmp_path)
    assert done.returncode == 0 and "(1 of 2 frames" in done.stdout, done.stderr
    folder = tmp_path / "plus_last_even" / "plots" / "learning_dynamics"
    assert [path.name for path in folder.iterdir()] == [f"{NAMES[1]}.gif"]


def test_a_film_that_needs_a_plane_is_left_out_with_the_reason(tmp_path):
    train_run(tmp_path / "plus_last_even", *SHORT, *ODD[0])
    done = run_cli("plus_last_even", "--visualize", "--video", "--every", 2, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{NAMES[4]}: left out: a landscape needs a plane: n_embd = 2, here it is 4" in done.stdout


@pytest.mark.parametrize("arguments, message", [
    (["--fps", "0", "--video"], "--fps 0: must be from 1 to 50"),
    (["--every", "0", "--video"], "--every 0: must be at least 1"),
    (["--format", "gif"], "--format gif: must be png, svg or pdf"),
    (["--format", "png", "--video"], "--format png: must be gif or mp4"),
    (["--step", "5", "--video"], "--step does not go with video"),
])
def test_wrong_arguments(tmp_path, arguments, message):
    done = run_cli("plus_last_even", *arguments, "--out", tmp_path)
    assert done.returncode == 2 and message in done.stderr and not list(tmp_path.iterdir())


def test_labels_stay_within_the_axes():
    fig = Figure(figsize=(4, 4), dpi=100)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 1), ylim=(0, 1))
    marks = Points(ax, ["0", "2", "1"], np.zeros((3, 3)), {0: "long label", 1: "long label", 2: "x"})
    marks.move(np.array([[0.9, 0.1], [0.1, 0.5], [0.5, 0.9]]))
    left = [path.vertices[:, 0].min() < 0 for path in marks.texts.get_paths()]
    assert left == [True, False, False]
    marks.move(np.array([[0.5, 0.5], [0.5, 0.5], [0.9, 0.9]]))
    assert marks.texts.texts == ["long label,long label", "x"]
    assert shorten(list("0123456")) == "0,1,…,6"


def test_a_supplementary_figure_is_filmed_into_its_folder(tiny_run, tmp_path):
    name = "supplementary/09_qk_full_heatmap"
    draw_films(tiny_run, tiny_run.steps[:2], [name], tmp_path)
    assert [path.name for path in (tmp_path / "supplementary").iterdir()] == ["09_qk_full_heatmap.gif"]
