import pytest

from scratchformer.run.config import ConfigError, config_names, load_config, to_toml


def test_plus_last_even_holds_the_documented_numbers():
    config = load_config("plus_last_even")
    model, data, training = config.model, config.data, config.training
    assert (model.n_embd, model.block_size, model.num_heads, model.head_size) == (2, 8, 1, 2)
    assert (model.ffn_mult, model.use_residual) == (16, True)
    assert (data.numbers, data.operators, data.operator_probability) == (11, ("+",), 0.3)
    assert (data.num_sequences, data.min_length, data.max_length) == (2000, 20, 50)
    assert (training.steps, training.batch_size, training.learning_rate) == (20_000, 8, 0.001)
    assert (training.schedule, training.warmup_steps, training.weight_decay) == ("constant", 0, 0.01)
    assert training.checkpoint_every == 100


@pytest.mark.parametrize("name", config_names())
def test_every_config_loads_and_says_what_it_is(name, tmp_path):
    config = load_config(name)
    assert config.name == name and config.description
    path = tmp_path / f"{name}.toml"
    path.write_text(to_toml(config))
    assert load_config(str(path)) == config


def test_extends_keeps_what_is_not_given():
    base, robust = load_config("plus_last_even"), load_config("plus_last_even_robust")
    assert robust.data == base.data
    assert robust.training.batch_size == base.training.batch_size
    assert robust.training.schedule == "cosine"


def test_extends_is_relative_to_the_file_that_says_it(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    files = {
        "a.toml": "extends = 'sub/b.toml'", "sub/b.toml": "extends = '../c.toml'\n[model]\nn_embd = 5",
        "c.toml": "extends = 'default'\n[training]\nsteps = 77", "sub/c.toml": "[training]\nsteps = 3",
        "sub/d.toml": "extends = 'my.py:f'", "sub/my.py": "def f(history):\n    return {1}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path / "sub")
    for name in ("../a.toml", str(tmp_path / "a.toml")):
        config = load_config(name)
        assert (config.model.n_embd, config.training.steps) == (5, 77)
    monkeypatch.chdir(tmp_path)
    assert load_config("a.toml").training.steps == 77
    assert load_config("sub/d.toml").data.rule == f"{tmp_path}/sub/my.py:f"
    (tmp_path / "c.toml").write_text("extends = 'sub/b.toml'")
    with pytest.raises(ConfigError, match="^sub/b.toml: extends itself by way of a.toml, sub/b.toml, c.toml"):
        load_config("a.toml")


def test_all_mistakes_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("""
        extra = 1
        [model]
        n_emb = 2
        block_size = 2.5
        use_residual = 1
        [data]
        rule = "plus_last_evn"
        operators = "+"
        min_length = 40
        max_length = 30
        [training]
        learning_rate = nan
        steps = -1
        schedule = "linear"
    """)
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), ["training.batch_size=true", "nonsense", "data.operator_probability=1.5"])
    message = str(caught.value)
    for part in (
        "--set nonsense: write section.key=value",
        "extra: unknown key",
        "model.n_emb: unknown key; did you mean 'n_embd'?",
        "model.block_size = 2.5: must be a whole number",
        "model.use_residual = 1: must be true or false",
        "data.rule = 'plus_last_evn': must be one of",
        "data.operators = '+': must be a list of strings",
        "training.learning_rate = nan: must be above 0",
        "training.steps = -1: must be at least 0",
        "training.schedule = 'linear': must be one of constant, cosine",
        "--set: training.batch_size = True: must be a whole number",
        "--set: data.operator_probability = 1.5: must be at least 0 and at most 1",
    ):
        assert part in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("data.max_length=15", "must be at least data.min_length"),
        ("model.block_size=20", "must be at least model.block_size + 1"),
        ("training.warmup_steps=30000", "more than training.steps"),
        ("data.held_out_fraction=0.0001", "leaves no sequence"),
        ("data.operators=[\"+\", \"+\"]", "twice"),
        ("model=3", "write section.key=value"),
    ],
)
def test_values_that_do_not_fit_together(override, part):
    with pytest.raises(ConfigError, match=part.replace("+", r"\+")):
        load_config("plus_last_even", [override])


def test_unknown_config_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'plus_last_even'"):
        load_config("plus_last_evn")


def test_files_that_cannot_be_read(tmp_path):
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"description = \"\xe9\"")
    broken = tmp_path / "broken.toml"
    broken.write_text("[model")
    loop = tmp_path / "loop.toml"
    loop.write_text(f"extends = '{loop}'")
    for path in (folder, latin, broken, loop, tmp_path / "missing.toml"):
        with pytest.raises(ConfigError, match=path.name):
            load_config(str(path))
