"""Anything may stand on the command line and in a config: an exit code and a line or more, no traceback."""

import contextlib
import gc
import io
import sys
import warnings
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scratchformer.commands.main import main
from scratchformer.run.config import SECTIONS, ConfigError, load_config, to_toml
from scratchformer.run.config_checks import check_together
from scratchformer.run.memory import check_memory, machine_memory, needs

KEYS = [f"{section}.{key}" for section, kind in SECTIONS.items() for key in kind.__dataclass_fields__]
SMALL = """
[data]
num_sequences = 20
[training]
steps = 2
eval_every = 1
checkpoint_every = 1
eval_windows = 10
"""

many = settings(max_examples=60, suppress_health_check=list(HealthCheck))
few = settings(max_examples=25, suppress_health_check=list(HealthCheck))


def call(*args):
    """`run.py` with these arguments, in this process: (exit code, stdout, stderr)."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), warnings.catch_warnings(), \
            mock.patch.object(sys, "argv", ["run.py"]):
        warnings.simplefilter("ignore")         # a sign that the font has not: a user sees a warning
        try:
            code = main([str(arg) for arg in args])
        finally:
            gc.unfreeze()                       # Hypothesis asks who refers to what
    assert code in (0, 1, 2, 130)
    assert (code == 0) or stderr.getvalue().strip()
    assert "Traceback" not in stderr.getvalue()
    return code, stdout.getvalue(), stderr.getvalue()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """An output folder with a small run named `small`, and its config."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "small.toml").write_text(SMALL)
    assert call(folder / "small.toml", "--figure", "5", "--out", folder)[0] == 0
    return folder


# the command line

texts = st.text(max_size=12)
values = st.one_of(
    texts, st.integers().map(str), st.floats().map(str), st.just("1" * 5000),
    st.sampled_from(["", "-1", "0", "nan", "inf", "5 8 3 +", "3,1", "scores", "10", "[", "\x00", "[" * 5000]),
)
flags = st.sampled_from([
    "--visualize", "--step", "--figure", "--seed", "--set", "--resume", "--gradcheck", "--format", "--dpi",
    "--sequence", "--fps", "--every", "--rule", "--explain", "--name", "--at", "--target", "--list",
])
pairs = st.one_of(
    st.tuples(flags, values), st.tuples(flags), st.tuples(values),
    st.tuples(st.just("--set"), st.tuples(st.sampled_from([*KEYS, "model", "x.y", "data.rule"]), values)
              .map("=".join)),
)
commands = st.lists(pairs, max_size=4).map(lambda parts: [word for part in parts for word in part])


@many
@given(commands)
@example(["--set", "description.x=1"])
@example(["--set", "model.n_embd=0x" + "f" * 5000])
@example(["--rule", "~nobody_of_that_name/rule.py"])
@example(["--rule", "a\x00.py"])
@example(["--rule", "\udcff.py"])
@example(["--sequence", "\udcff"])
@example(["--explain", "5 8 3 +", "--step", "1"])
@example(["--gradcheck", "--dpi", "30"])
@example(["--list", "--list"])
def test_any_command_line(out, command):
    alone = {"--explain", "--list", "--gradcheck"} & {*command}       # commands that use less
    if alone == {"--explain"}:
        call(out / "small.toml", "--visualize", *command, "--out", out)
    elif alone:
        call(*command)
    else:
        call(out / "small.toml", "--visualize", "--figure", "5", *command, "--out", out)


verbs = st.sampled_from(["train", "explain", "prove", "ablate", "causal", "video", "list", "quiz", "seeds",
                         "explore"])


@many
@given(verbs, commands)
@example("explain", ["5 8 3 +", "--name", "scores"])
@example("ablate", ["v", "q[even]=mean"])
@example("prove", ["--"])
@example("seeds", ["-1"])
def test_any_words_after_a_verb(out, verb, command):
    """Without a step to draw or film: --step 99 is refused, video has no --step."""
    known = [] if verb in ("list", "quiz", "seeds") else [out / "small.toml", "--visualize", "--out", out]
    code, _, stderr = call(verb, *known, *command, "--step", "99")
    assert code == 2 and stderr or "--help" in command


@few
@given(values)
@example("a" * 5000)
@example(".toml")
def test_any_name_of_a_config(out, name):
    call(name, "--visualize", "--figure", "5", "--out", out)


@few
@given(st.sampled_from(["--explain", "--sequence", "--at", "--name", "--target"]), values, values)
def test_any_input_of_a_trained_model(out, option, value, other):
    explain = ["--explain", "5 8 3"] if option in ("--at", "--name", "--target") else []
    name = ["--name", "scores"] if option == "--at" else []
    figure = ["--figure", "5"] if option == "--sequence" else []
    code, _, _ = call(
        out / "small.toml", "--visualize", *figure, *explain, *name, f"{option}={value}", "--out", out
    )
    assert code in (0, 2)


# configs

scalars = st.one_of(
    st.integers(), st.integers(-2, 70), st.floats(), st.booleans(), texts, st.integers(10**300, 10**310),
    st.lists(texts, max_size=3), st.lists(st.integers(), max_size=2), st.just({}), st.just({"a": 1}),
)


def toml(value):
    """Any value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        escaped = "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000)
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else repr(value)


@many
@given(st.one_of(
    st.binary(max_size=60), st.text(alphabet="[]{}=.,\"'#\n 1aデ\x00", max_size=60).map(str.encode)
))
@example(b"extends = 3")
@example(b"extends = ['a']\ndata = 3")
@example(b'extends = "\\u0000.toml"')
@example(b"description = 3")
@example(b"[" * 100_000)
@example(b"x = " + b"[" * 100_000)
@example(b"x = " + b"9" * 5000)
@example(b"\xef\xbb\xbf[model]\nn_embd = 0")
@example(b"#" * 2_000_000)
def test_any_bytes_for_a_config(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "config.toml").write_bytes(content)
    code, _, stderr = call(folder / "config.toml", "--visualize", "--out", folder)
    assert code == 2 and stderr.startswith("run.py: ")


@many
@given(st.dictionaries(st.sampled_from([*KEYS, "model", "description", "extends", "data.x", "x"]), scalars,
                       min_size=1, max_size=4))
def test_any_value_for_any_key(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("values")
    path = folder / "config.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in tree.items()), "utf-8")
    try:
        config = load_config(str(path))
    except ConfigError as error:
        assert str(path) in str(error) or "no config" in str(error) or "data.rule" in str(error)
        return
    again = folder / "again" / "config.toml"
    again.parent.mkdir()
    again.write_text(to_toml(config), "utf-8")
    assert load_config(str(again)) == config


signs = st.characters(categories=("Lu", "Ll", "Lo", "Sm", "Sc", "So", "Po", "Mn"))
tokens = st.one_of(st.sampled_from("+$^_×→😀"), st.text(signs, min_size=1, max_size=6))
valid = st.fixed_dictionaries({
    "model.n_embd": st.integers(1, 4),
    "model.block_size": st.integers(1, 9),
    "model.num_heads": st.integers(1, 3),
    "model.head_size": st.integers(1, 4),
    "model.ffn_mult": st.integers(1, 3),
    "model.use_residual": st.booleans(),
    "model.embedding_std": st.floats(1e-300, 100),
    "data.numbers": st.one_of(st.just(2), st.integers(2, 40)),
    "data.operators": st.lists(tokens, max_size=3, unique=True),
    "data.operator_probability": st.floats(0, 1),
    "data.num_sequences": st.integers(8, 12),
    "data.min_length": st.integers(10, 12),
    "data.max_length": st.integers(11, 14),
    "data.held_out_fraction": st.floats(0.1, 0.9),
    "training.steps": st.just(2),
    "training.batch_size": st.integers(1, 9),
    "training.learning_rate": st.one_of(st.floats(1e-300, 1), st.floats(1, 1e308)),
    "training.schedule": st.sampled_from(["constant", "cosine"]),
    "training.warmup_steps": st.integers(0, 2),
    "training.weight_decay": st.floats(0, 10),
    "training.beta1": st.floats(0, 0.9999),
    "training.beta2": st.floats(0, 0.999999),
    "training.epsilon": st.floats(1e-300, 1),
    "training.checkpoint_every": st.integers(1, 3),
    "training.checkpoint_schedule": st.sampled_from(["linear", "log"]),
    "training.eval_every": st.integers(1, 3),
    "training.eval_windows": st.integers(1, 9),
    "training.seed": st.integers(0, 2**63 - 1),
    "training.dtype": st.sampled_from(["float64", "float32"]),
})


@few
@given(valid, st.sampled_from(["5", "6", "8", "2"]))
def test_whatever_is_valid_trains_and_draws(tmp_path_factory, tree, figure):
    folder = tmp_path_factory.mktemp("valid")
    path = folder / "any.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in tree.items()), "utf-8")
    code, _, stderr = call(path, "--figure", figure, "--out", folder)
    if code == 0:
        assert list(folder.rglob("*.png"))
    elif code == 1:
        assert "diverged" in stderr
    else:
        assert str(path) in stderr              # a refusal of the config


# absurd sizes


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["model.n_embd=1024", "model.ffn_mult=64", "training.batch_size=65536"], "training.batch_size"),
        (["data.num_sequences=1000000", "data.max_length=10000"], "data.num_sequences"),
        (["model.block_size=1024", "data.min_length=2000", "data.max_length=2000"], "model.block_size"),
        (["training.steps=100000000", "training.checkpoint_every=100000000",
          "training.eval_every=100000000", "training.batch_size=65536"], "training.steps"),
    ],
)
def test_a_config_too_large_for_the_machine(overrides, part, monkeypatch, tmp_path):
    monkeypatch.setattr("scratchformer.run.memory.machine_memory", lambda: 16 * 2**30)
    settings = [word for override in overrides for word in ("--set", override)]
    out = ["--out", tmp_path]
    for words in (
        out, ["--explain", "5", *out], ["--ablate", "v", *out], ["--gradcheck"], ["--seeds", "2", *out],
        ["--seeds", "2", "--compare", "default", *out], ["--sequence", "5", *out],
    ):
        code, _, stderr = call("plus_last_even", *settings, *words)
        assert code == 2
        assert "GB of memory, this machine has 16 GB; most of it is for" in stderr and part in stderr
        assert not list(tmp_path.iterdir())


def test_of_two_configs_the_second_is_too_large(monkeypatch, tmp_path):
    large = tmp_path / "large.toml"
    large.write_text("[data]\nnum_sequences = 1000000\nmax_length = 10000\n")
    monkeypatch.setattr("scratchformer.run.memory.machine_memory", lambda: 16 * 2**30)
    code, _, stderr = call("plus_last_even", "--seeds", "2", "--compare", large, "--out", tmp_path / "out")
    assert code == 2 and stderr.startswith("run.py: large: needs about ")
    assert not (tmp_path / "out").exists()


def test_the_project_s_own_configs_need_little():
    config = load_config("plus_last_even_robust")
    assert sum(needs(config).values()) < 2**30 < machine_memory()
    check_memory(config)
    assert list(check_together(config)) == []
