"""Sequences of one's own: what a text file says, and a run of it, from training to figures and tools."""

import numpy as np
import pytest
from conftest import SHORT, run_cli

from scratchformer.figures.captions import captions
from scratchformer.figures.catalogue import figure_names
from scratchformer.run.config import load_config, to_toml
from scratchformer.run.data import make_data
from scratchformer.run.run import Run
from scratchformer.system.errors import ConfigError

SET = [
    word for setting in (*SHORT, "training.warmup_steps=0") if "num_sequences" not in setting
    for word in ("--set", setting)
]


@pytest.fixture
def text(tmp_path):
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(["0", "1", "4", "a", "b"], 14)) for _ in range(30)]
    path = tmp_path / "mine.txt"
    path.write_text("\n".join([*lines[:3], "", *lines[3:]]) + "\n")
    return path


def test_the_config_says_what_the_file_says(text):
    config = load_config(str(text), ["training.warmup_steps=0"])
    assert config.name == "mine" and config.description == "the sequences of mine.txt"
    assert config.data.numbers == 5 and config.data.operators == ("a", "b")
    assert (config.data.num_sequences, config.data.min_length, config.data.max_length) == (30, 14, 14)
    other = load_config("plus_last_even", [f"data.text={text}"])
    assert other.data.text == str(text) and other.variant.endswith("text-mine")
    assert "text" not in to_toml(load_config("plus_last_even"))


def test_all_sequences_are_used_and_some_held_out(text):
    data = make_data(load_config(str(text)), np.random.default_rng(1))
    vocabulary = [str(token) for token in data.vocabulary]
    assert (len(data.train_sequences), len(data.held_out_sequences)) == (27, 3)
    lines = sorted(" ".join(vocabulary[i] for i in sequence)
                   for sequence in [*data.train_sequences, *data.held_out_sequences])
    assert lines == sorted(line for line in text.read_text().splitlines() if line)


@pytest.mark.parametrize(("content", "message"), [
    ("1 2 3 4 5 6 7 8 9\n1 2 3\n", r"mine.txt:2: 3 tokens; a line needs more than model.block_size = 8"),
    ("1 2 3 4 5 6 7 8 9\n", "holds 1 sequences; at least 2 are needed"),
    ("", "holds 0 sequences"), ("1 2 3 4 5 6 7 8 1000\n" * 2, "token 1000: numbers are 0, 1, ..., 999"),
    ("1 2 3 4 5 6 7 8 01\n" * 2, "token 01: numbers are"), (b"\xff\xfe\x00", "cannot be read"),
])
def test_what_cannot_be_used_is_told_with_file_and_line(tmp_path, content, message):
    path = tmp_path / "mine.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message):
        load_config(str(path))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(str(tmp_path / "none.txt"))


def test_it_trains_draws_and_goes_through_the_tools(text, tmp_path):
    out = tmp_path / "runs"
    done = run_cli(text, *SET, "--out", out, "--dpi", 30)
    assert done.returncode == 0, done.stderr
    assert "no verdict: the rule constrains no position" in done.stdout
    (folder,) = out.iterdir()
    run = Run.open(folder)
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {
        name for name in figure_names() if "/" not in name}
    assert "Verdict: none" in captions(run.last, [])
    assert "odds of each draw" not in captions(run.last, ["02_learning_curve"])     # nobody drew them
    for words in (("--explain", "1 4 a"), ("--ablate", "v=0"), ("--generate", "1 a"), ("--export", "json")):
        done = run_cli(text, *SET, *words, "--out", out)
        assert done.returncode == 0, (words, done.stderr)
    with text.open("a") as file:
        file.write("0 0 0 0 0 0 0 0 0 0\n")
    done = run_cli(folder / "config.toml", "--explain", "1 4 a", "--visualize", "--out", out)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
