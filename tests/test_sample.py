"""Samples: drawn from the model's own probabilities, judged by the rule, the same at every call."""

import numpy as np
import pytest
from conftest import SHORT, run_cli

import scratchformer as sf
from scratchformer.run.data import parse_tokens
from scratchformer.tools.sample import describe_samples, write_on, softmax

SET = [word for setting in SHORT for word in ("--set", setting)]


def prompt(run, text):
    return parse_tokens(text, run.data.vocabulary, 99)


def test_each_token_has_its_probability_and_its_verdict(tiny_run):
    model = tiny_run.at(20)
    found = write_on(model, prompt(tiny_run, "5 8 3 +"), 7, 9)
    assert found.tokens.shape == found.probs.shape == found.verdicts.shape == (7, 9)
    for tokens, probs, verdicts in zip(*found[1:], strict=True):
        history = [5, 8, 3, "+"]
        for token, prob, verdict in zip(tokens, probs, verdicts, strict=True):
            ids = [tiny_run.data.vocabulary.index(entry) for entry in history[-8:]]
            assert prob == pytest.approx(model.forward(np.array([ids])).probs[0, -1, token], rel=1e-9)
            allowed = tiny_run.rule(history[-8:])
            assert verdict == (-1 if allowed is None else tiny_run.data.vocabulary[token] in allowed)
            history.append(tiny_run.data.vocabulary[token])
    again = write_on(model, prompt(tiny_run, "5 8 3 +"), 7, 9)
    np.testing.assert_array_equal(found.tokens, again.tokens)


def test_temperature(tiny_run):
    logits = np.array([[0.0, 2, 1], [5, 5, 0]])
    np.testing.assert_array_equal(softmax(logits, 0), [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(softmax(logits, 1)[0], np.exp(logits[0]) / np.exp(logits[0]).sum())
    np.testing.assert_allclose(softmax(logits, 1000), 1 / 3, atol=2e-3)
    np.testing.assert_allclose(softmax(logits, 1e-3), [[0, 1, 0], [0.5, 0.5, 0]])
    cold = write_on(tiny_run.at(20), prompt(tiny_run, "5"), 3, 6, 0)
    assert (cold.tokens == cold.tokens[0]).all() and (cold.probs == 1).all()


def test_frequencies_are_the_probabilities(tiny_run):
    model = tiny_run.at(20)
    first = write_on(model, prompt(tiny_run, "5 8 3 +"), 4000, 1).tokens[:, 0]
    shares = np.bincount(first, minlength=12) / len(first)
    probs = model.forward(prompt(tiny_run, "5 8 3 +")[None]).probs[0, -1]
    np.testing.assert_allclose(shares, probs, atol=4 * np.sqrt(0.25 / 4000))


def test_any_model_goes_on_from_any_prompt(odd_run):
    model, start = odd_run.last, np.zeros(odd_run.config.model.block_size + 3, int)
    text = describe_samples(model, write_on(model, start, 2, 3))
    assert text.count("|") == 2 and "the rule says what comes" in text


def test_through_the_command_line_and_in_a_notebook(tmp_path):
    words = ["generate", "plus_last_even", "5 8 3 +", "--count", 2, "--length", 3, *SET, "--out", tmp_path]
    done = run_cli(*words)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 3 and lines[0].startswith("5 8 3 + | "), done.stderr
    run = sf.open_run(next(tmp_path.glob("plus_last_even*")))
    assert str(run.last.generate_text("5 8 3 +", 2, 3)) == done.stdout.rstrip("\n")
    for wrong, message in (
        ("5 x", "run.py: --generate: 'x' is not a token"), ("", "run.py: --generate: '' has 0 tokens"),
    ):
        done = run_cli("plus_last_even", "--generate", wrong, *SET, "--out", tmp_path / "other")
        assert done.returncode == 2 and done.stderr.startswith(message) and not (tmp_path / "other").exists()
    done = run_cli("plus_last_even", "--generate", "5", "--temperature", "-1")
    assert done.returncode == 2 and "--temperature -1: must be from 0 to 1000" in done.stderr
    done = run_cli("plus_last_even", "--generate", "5", "--temperature", "nan")
    assert done.returncode == 2
