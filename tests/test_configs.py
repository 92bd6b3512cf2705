"""Every config that comes with the project works: its data can be made, and a model trained on it."""

from itertools import takewhile

import numpy as np
import pytest
from conftest import REPO, SHORT, train_run

from scratchformer.run.config import CONFIGS, config_names, load_config
from scratchformer.run.data import judge_sequence
from scratchformer.run.rules import RULES

EACH_CONFIG = pytest.mark.parametrize("name", config_names())


def test_there_is_a_config_for_every_rule():
    assert {load_config(name).data.rule for name in config_names()} == set(RULES)
    assert len(config_names()) >= 20


@EACH_CONFIG
def test_a_config_says_what_it_is_and_what_there_is_to_see(name):
    lines = (CONFIGS / f"{name}.toml").read_text("utf-8").splitlines()
    rule, *choices, to_see = takewhile(lambda line: line.startswith("# "), lines)
    assert to_see.startswith("# To see: ") and not any("To see" in line for line in (rule, *choices))
    assert len(load_config(name).description) > 10


@EACH_CONFIG
def test_a_few_training_steps(name, tmp_path):
    run = train_run(tmp_path / name, *SHORT, "training.warmup_steps=0", config=name)
    for sequence in run.data.train_sequences:
        assert not (judge_sequence(run.rule, run.data.vocabulary, sequence, len(sequence)) == 0).any()
    wrong, constrained = run.at(4).count_wrong()
    assert 0 <= wrong <= constrained and constrained > 0 and np.isfinite(run.at(4).held_out.loss)
    assert not np.array_equal(run.at(0).params.W_token, run.at(4).params.W_token)


def test_default_is_plus_last_even():
    default, base = load_config("default"), load_config("plus_last_even")
    assert (default.model, default.data, default.training) == (base.model, base.data, base.training)


def test_lucky7_is_the_same_with_and_without_residual_connections():
    with_them, without = load_config("lucky7"), load_config("lucky7_no_resid")
    assert with_them.model.use_residual and not without.model.use_residual
    assert with_them.data == without.data


def test_the_recipes_tell_of_every_config_with_its_size():
    rows = (REPO / "docs" / "recipes.md").read_text("utf-8").splitlines()
    for name in set(config_names()) - {"plus_last_even"}:
        assert any(row.startswith(f"| `{name}` | {load_config(name).model.n_embd} |") for row in rows), name
