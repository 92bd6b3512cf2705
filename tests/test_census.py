"""The census of a sweep against the proof of each seed."""

import csv

import numpy as np
from conftest import TINY, run_cli
from matplotlib.figure import Figure

from scratchformer.figures.seeds import census
from scratchformer.run.config import load_config
from scratchformer.run.model import Model
from scratchformer.run.run import Run
from scratchformer.tools.prove.prove import prove
from scratchformer.tools.seeds.census import Entry, census_report, take_census
from scratchformer.tools.seeds.sweep import sweep, with_seed

SMALL = ("data.numbers=4", "model.block_size=4", "training.warmup_steps=5", "training.steps=400")


def test_a_census_says_what_each_proof_says(tmp_path):
    config = load_config("plus_last_even_robust", (*TINY, *SMALL))
    found = sweep(config, range(4), tmp_path)
    lines = []
    entries = take_census(found, progress=lines.append)
    for entry, result in zip(entries, found.results, strict=True):
        model = Model(Run(tmp_path, with_seed(config, entry.seed)), 400, result.params(config))
        proof = prove(model)
        assert entry.seed == result.seed and entry.held_out_wrong == result.wrong
        assert entry.producible_wrong == proof.producible.wrong.total()
        assert (entry.any_wrong, entry.any) == (proof.any.wrong.total(), proof.any.total.total())
        assert entry.right == (proof.exit_code == 0)
    assert lines[-1] == "4 of 4 seeds proved or refuted"
    rows = list(csv.DictReader((tmp_path / "census.csv").read_text().splitlines()))
    assert [int(row["producible_wrong"]) for row in rows] == [entry.producible_wrong for entry in entries]


def test_the_report_names_the_seeds_that_only_look_right(tmp_path):
    config = load_config("plus_last_even_robust", (*TINY, *SMALL))
    (entry,) = take_census(sweep(config, [3], tmp_path))
    fine = entry._replace(held_out_wrong=0, producible_wrong=0, any_wrong=0, open=0)
    text = census_report([fine, fine._replace(seed=4, producible_wrong=7), fine._replace(seed=5, open=1)])
    assert "right after every producible context         1   seeds 3" in text
    assert "no held-out error, yet wrong somewhere       1   seeds 4" in text
    assert f"seed 4: wrong after 7 of {entry.producible:,}" in text
    assert "not settled in time, or too close to call    1   seeds 5" in text


def test_a_seed_that_failed_is_left_out(tmp_path):
    config = load_config("plus_last_even_robust", (*TINY, *SMALL))
    found = sweep(config, [0, 1], tmp_path)
    failed = found._replace(results=[found.results[0]._replace(note="diverged"), found.results[1]])
    assert [entry.seed for entry in take_census(failed)] == [1]
    assert take_census(found._replace(results=[failed.results[0]])) == []


def test_the_picture_shows_each_seed_once_in_its_kind(tmp_path):
    fine = Entry(0, 0, 0, 1000, 0, 2000, 0, 1.0, 0.1)
    entries = [
        fine, fine._replace(seed=1), fine._replace(seed=2, producible_wrong=10),
        fine._replace(seed=3, held_out_wrong=5, producible_wrong=100), fine._replace(seed=4, open=3),
    ]
    fig = Figure(census.SIZE)
    census.draw(fig, "some", entries, dict.fromkeys(range(5), 100))
    (ax,) = fig.axes
    counts = {dots.get_label(): len(dots.get_offsets()) for dots in ax.collections}
    assert counts == {
        "right after every producible context: 2": 2, "no held-out error, yet wrong somewhere: 1": 1,
        "wrong on held-out windows: 1": 1, "not settled in time: 1": 1,
    }
    places = np.concatenate([dots.get_offsets() for dots in ax.collections])
    assert len(np.unique(places.round(6), axis=0)) == len(entries)
    shown = [text.get_text() for text in fig.texts + ax.texts]
    assert "some: 2 of 5 seeds are proved right everywhere" in shown and "seed 2" in shown
    np.testing.assert_allclose(places[3], [np.log10(0.05), np.log10(0.1)])


def test_the_command(tmp_path):
    sets = [word for change in (*TINY, *SMALL) for word in ("--set", change)]
    done = run_cli("--seeds", 2, "plus_last_even_robust", "--prove", "--out", tmp_path, *sets)
    assert done.returncode == 0, done.stderr
    assert "census of 2 seeds: after every context of the window" in done.stdout
    assert len([*tmp_path.glob("*/seeds/seeds_census.png")]) == 1
    done = run_cli("--seeds", 2, "--prove", "--explain", "1", "plus_last_even_robust")
    assert done.returncode == 2 and "one at a time" in done.stderr
    done = run_cli("--seeds", 2, "--prove-limit", "1", "plus_last_even_robust")
    assert done.returncode == 2 and "does not go with seeds" in done.stderr
