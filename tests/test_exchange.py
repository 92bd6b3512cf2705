"""Out to other tools and back in: the formats hold the cache's numbers, and load to the same model."""

import csv
import json
import struct

import numpy as np
import pytest
from conftest import ODD, SHORT, run_cli, train_run

import scratchformer as sf
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES
from scratchformer.figures.catalogue import figure_names
from scratchformer.figures.draw import draw_figure
from scratchformer.system.errors import RunError
from scratchformer.tools.exchange import (
    LENS, LENS_NAMES, find_parameters, gather_arrays, lens_parameters, read_arrays, safetensors_bytes,
    write_arrays,
)

SET = [word for setting in SHORT for word in ("--set", setting)]


@pytest.fixture
def arrays(tiny_run):
    tokens = np.array([5, 8, 3, 11])
    return gather_arrays(tiny_run.at(20), tokens, np.array([-1, -1, -1, 8]))


def test_all_there_is_is_gathered(tiny_run, arrays):
    model = tiny_run.at(20)
    cache = model.forward(np.array([[5, 8, 3, 11]]), np.array([[-1, -1, -1, 8]]))
    for name in PARAMETER_NAMES:
        np.testing.assert_array_equal(arrays[name], getattr(model.params, name))
        assert f"gradients.{name}" in arrays and LENS + LENS_NAMES[name] in arrays
    for name in ACTIVATION_NAMES:
        np.testing.assert_array_equal(arrays[f"activations.{name}"], getattr(cache, name))
    assert "gradients.q" in arrays and np.abs(arrays["gradients.W_q"]).max() > 0
    assert not any(name.startswith("activations") for name in gather_arrays(model))


def test_safetensors_is_as_specified(arrays, tiny_run):
    content = safetensors_bytes(arrays, {"vocabulary": "[]"})
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0 and header.pop("__metadata__") == {"vocabulary": "[]"}
    assert list(header) == list(arrays)
    place = 0
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        assert start == place and entry["shape"] == list(arrays[name].shape)
        kind = {"F64": "<f8", "I64": "<i8"}[entry["dtype"]]
        values = np.frombuffer(content[8 + length + start : 8 + length + stop], kind)
        np.testing.assert_array_equal(values.reshape(entry["shape"]), arrays[name])
        place = stop
    assert place == len(content) - 8 - length


def test_the_other_formats_hold_the_same_numbers(arrays, tiny_run, tmp_path):
    for format in ("npz", "json", "csv"):
        write_arrays(tmp_path / f"x.{format}", arrays, tiny_run.config, tiny_run.vocabulary)
    with np.load(tmp_path / "x.npz") as file:
        for name, array in arrays.items():
            np.testing.assert_array_equal(file[name], array)
        assert json.loads(str(file["vocabulary"])) == list(tiny_run.vocabulary)
    found = json.loads((tmp_path / "x.json").read_text())
    np.testing.assert_array_equal(found["parameters"]["W_q"], arrays["W_q"])
    np.testing.assert_array_equal(found["gradients"]["q"], arrays["gradients.q"])
    np.testing.assert_array_equal(found["activations"]["attention"], arrays["activations.attention"])
    rows = list(csv.reader((tmp_path / "x.csv").read_text().splitlines()))
    assert rows[0] == ["array", "index", "value"] and len(rows) == 1 + sum(a.size for a in arrays.values())
    values = {(name, at): float(value) for name, at, value in rows[1:]}
    assert values["W_q", "1 0 1"] == arrays["W_q"][1, 0, 1]
    with pytest.raises(RunError, match="the format must be npz, safetensors, json or csv"):
        write_arrays(tmp_path / "x.pt", arrays, tiny_run.config, tiny_run.vocabulary)


@pytest.mark.parametrize("lens", [False, True])
@pytest.mark.parametrize("format", ["npz", "safetensors"])
def test_round_trip_of_any_model(odd_run, tmp_path, format, lens):
    model, path = odd_run.last, tmp_path / f"x.{format}"
    arrays = lens_parameters(model.params) if lens else gather_arrays(model)
    write_arrays(path, arrays, odd_run.config, odd_run.vocabulary)
    params = find_parameters(path, read_arrays(path), odd_run.config)
    for array, own in zip(params, model.params, strict=True):
        np.testing.assert_array_equal(array, own)


def test_a_loaded_model_goes_through_figures_and_tools(tiny_run, tmp_path):
    tiny_run_model = tiny_run.at(20)
    path = tmp_path / "weights.safetensors"
    write_arrays(path, lens_parameters(tiny_run_model.params), tiny_run.config, tiny_run.vocabulary)
    settings = {"data.num_sequences": 40, "training.eval_windows": 50}
    run = sf.load(path, "plus_last_even", settings, tmp_path)
    model = run.last
    logits = tiny_run_model.forward(np.array([[5, 8, 3, 11]])).logits
    np.testing.assert_array_equal(model("5 8 3 +").logits, logits)
    assert run.steps == [0] and run.history["rule_error"][0] == run.judge.measure(model.params)[2]
    assert "8" in model.explain("5 8 3 +", brief=True)
    assert model.ablate("v=0").constrained and model.prove(2).producible.total.total() > 1e6
    for name in figure_names():
        draw_figure(model, name, tmp_path / "plots", dpi=30)
    again = sf.open_run(run.folder).last
    np.testing.assert_array_equal(again.params.W_q, tiny_run_model.params.W_q)
    warm = sf.load(path, "plus_last_even_robust", settings, tmp_path)       # a config that warms up
    np.testing.assert_array_equal(warm.last.params.W_q, tiny_run_model.params.W_q)


def test_what_does_not_fit_is_told_in_a_line(tiny_run, tmp_path):
    arrays = gather_arrays(tiny_run.at(20))
    own = {name: array for name, array in arrays.items() if not name.startswith(LENS)}
    for change, message in (
        ({"W_k": None}, r"has no W_k \(or blocks.0.attn.W_K\)"),
        ({"W_k": None, "W_K": own["W_k"]}, "did you mean 'W_K'"),
        ({"W_q": np.zeros((3, 1, 2))}, r"W_q is \(3, 1, 2\), the config's model asks for \(2, 1, 2\)"),
        ({"b_out": np.array([np.nan, 0])}, "b_out holds values that are not finite"),
    ):
        found = {name: array for name, array in (own | change).items() if array is not None}
        with pytest.raises(RunError, match=message):
            find_parameters(tmp_path / "x.npz", found, tiny_run.config)
    (tmp_path / "x.safetensors").write_bytes(b"\0" * 7)
    with pytest.raises(RunError, match="cannot be read as weights"):
        read_arrays(tmp_path / "x.safetensors")
    with pytest.raises(RunError, match="cannot be read as weights"):
        read_arrays(tmp_path / "missing.npz")


def test_the_command(tmp_path):
    words = ["plus_last_even", *SET, "--out", tmp_path]
    done = run_cli(*words, "--export", "safetensors", "--sequence", "5 8 3 +", "--target", "8")
    assert done.returncode == 0 and "arrays, " in done.stdout, done.stderr
    (path,) = tmp_path.glob("*/export/step_000004.safetensors")
    assert read_arrays(path)["activations.attention"].shape == (1, 1, 4, 4)
    for more, message in (
        (["--export", "pt"], "--export pt: must be npz, safetensors, json or csv"),
        (["--export", "npz", "--target", "8"], "--target is the token after a --sequence"),
        (["--export", "npz", "--sequence", "5 x"], "'x' is not a token"),
        (["--export", "npz", "--sequence", "5", "--target", "y"], "--target: 'y' is not a token"),
    ):
        done = run_cli("plus_last_even", *SET, *more, "--out", tmp_path / "none")
        assert done.returncode == 2 and message in done.stderr and not (tmp_path / "none").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_transformer_lens_computes_the_same(tmp_path):
    """In its HookedTransformer, in float64: logits and attention patterns."""
    lens = pytest.importorskip("transformer_lens")
    torch = pytest.importorskip("torch")
    if not hasattr(lens, "HookedTransformer"):
        pytest.skip("TransformerLens 4 has another class")
    for overrides in ((), *ODD[:2]):
        run = train_run(tmp_path / str(len(overrides)), *SHORT, *overrides)
        model, params = run.last, run.last.params
        C, H, D = params.W_q.shape
        config = lens.HookedTransformerConfig(
            n_layers=1, d_model=C, n_heads=H, d_head=D, d_mlp=len(params.b_in), n_ctx=len(params.W_pos),
            d_vocab=len(params.W_token), act_fn="relu", normalization_type=None, dtype=torch.float64,
        )
        theirs = lens.HookedTransformer(config)
        state = theirs.state_dict()
        for name, array in lens_parameters(params).items():
            assert state[name].shape == array.shape
            state[name] = torch.tensor(array)
        theirs.load_state_dict({
            name: torch.zeros_like(value) if ".b_" in name and "attn" in name else value
            for name, value in state.items()
        })
        tokens = run.data.held_out_windows[:50, :-1]
        logits, hooks = theirs.run_with_cache(torch.tensor(tokens))
        cache = model.forward(tokens)
        np.testing.assert_allclose(logits.detach().numpy(), cache.logits, rtol=0, atol=1e-10)
        pattern = hooks["blocks.0.attn.hook_pattern"].detach().numpy()
        np.testing.assert_allclose(pattern, cache.attention, rtol=0, atol=1e-10)
