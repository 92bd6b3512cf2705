import numpy as np
import pytest
from conftest import train_run

from scratchformer.run.config import load_config
from scratchformer.run.run import Run
from scratchformer.system.errors import RunError
from scratchformer.system.files import write_atomically


def test_open_gives_back_what_was_trained(tiny_run):
    run = Run.open(tiny_run.folder)
    assert run.config == tiny_run.config
    assert run.files.holds(tiny_run.config) and not run.files.holds(load_config("plus_last_even"))
    for mine, theirs in zip(run.at(20).params, tiny_run.at(20).params, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_step_that_is_not_saved(tiny_run):
    with pytest.raises(RunError, match="no snapshot of step 7 .* snapshots exist every 5 steps, 0 to 20"):
        tiny_run.at(7).params


def test_no_run(tmp_path):
    with pytest.raises(RunError, match="no run in"):
        Run.open(tmp_path)
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(RunError, match="no snapshot"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"\x93NUMPY", "cannot be read"),
        (b"not a snapshot", "cannot be read"),
        (np.zeros(3), "holds \\(3,\\) values, this config's model has"),
        ("nan", "not finite"),
    ],
)
def test_damaged_or_foreign_snapshots(tmp_path, content, message):
    run = train_run(tmp_path / "run", "training.steps=5")
    path = run.files.snapshot_path(5)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        vector = np.load(path)
        vector[3] = np.nan
        np.save(path, vector)
    else:
        np.save(path, content)
    with pytest.raises(RunError, match=message):
        run.at(5).params


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nonsense"])
def test_damaged_state(tmp_path, content):
    run = train_run(tmp_path / "run", "training.steps=5")
    (run.files.checkpoints / "state.npz").write_bytes(content)
    with pytest.raises(RunError, match="cannot be read"):
        run.files.load_state()


def test_no_pickle_in_the_files(tiny_run):
    with np.load(tiny_run.files.checkpoints / "state.npz", allow_pickle=False) as file:
        assert set(file) == {"step", "theta", "m", "v", "rng", "history"}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_starting_anew_clears_the_older_run(tmp_path):
    run = train_run(tmp_path / "run")
    (run.files.checkpoints / ".step_000005.npy.1.tmp").write_bytes(b"left by a killed process")
    fresh = Run(run.folder, run.config)
    fresh.files.start(fresh.data)
    assert fresh.steps == [] and list(fresh.files.checkpoints.iterdir()) == []


def test_history_matches_the_columns(tiny_run):
    assert list(tiny_run.history) == [
        "step", "train_loss", "held_out_loss", "rule_error", "generated_rule_error",
    ]


def test_grid_holds_what_each_token_at_each_position_is_in_any_context(tiny_run):
    grid = tiny_run.at(20).grid
    tokens = tiny_run.data.held_out_windows[:1, :-1]
    cache = tiny_run.at(20).forward(tokens)
    for t, token in enumerate(tokens[0]):
        np.testing.assert_allclose(grid.embed[token, t], cache.embed[0, t])
        np.testing.assert_allclose(grid.k[token, :, t], cache.k[0, :, t], rtol=1e-12)


def test_demos(tiny_run):
    vocabulary = tiny_run.vocabulary
    first, *others = ([vocabulary[i] for i in demo] for demo in tiny_run.demos)
    assert first == "10 + 10 6 + 6 4 8".split()
    assert len(others) == 2
    held_out = tiny_run.data.held_out_windows[:, :-1].tolist()
    for demo, tokens in zip(tiny_run.demos[1:], others, strict=True):
        assert demo.tolist() in held_out and "+" in tokens


def test_demos_of_a_small_vocabulary_and_window(tmp_path):
    run = train_run(tmp_path / "run", "training.steps=1", "data.numbers=4", "model.block_size=3")
    assert [len(demo) for demo in run.demos] == [3, 3, 3]
