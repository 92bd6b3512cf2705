"""Configs: frozen dataclasses read from TOML, checked as a whole before anything is written.

A file in `configs/` may say `extends = "other"` and give only what differs. The keys are the fields
below. All mistakes are reported at once, each with file, dotted key, value and what is allowed.
"""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from scratchformer.errors import ConfigError, close, nearest
from scratchformer.own_rule import absolute, check_own_rule, describe_rule, is_reference
from scratchformer.rules import RULES

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
FOR_OWN_RULES = "plus_last_even_robust"     # the config that a rule of the user's own is put into


def number(default, low, high=math.inf, *, above=False):
    """A field for a number in low..high (in ]low, high] with `above`)."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


def choice(default, options, others=None):
    """A field for one of a few words, or another for which `others` is true."""
    return field(default=default, metadata={"options": tuple(options), "others": others})


@dataclass(frozen=True)
class Model:
    n_embd: int = number(2, 1, 1024)                # C
    block_size: int = number(8, 1, 1024)            # T
    num_heads: int = number(1, 1, 64)               # H
    head_size: int = number(2, 1, 1024)             # D
    ffn_mult: int = number(16, 1, 64)               # F = ffn_mult * n_embd
    use_residual: bool = True
    embedding_std: float = number(1.0, 0, 100, above=True)      # of the initial embeddings


@dataclass(frozen=True)
class DataConfig:
    rule: str = choice("plus_last_even", RULES, is_reference)   # or the user's own: file.py:function
    rule_digest: str = choice("", [""], str.isalnum)            # of that file, filled in on loading
    numbers: int = number(11, 2, 1000)              # the numbers 0 .. numbers - 1
    operators: tuple = ("+",)
    operator_probability: float = number(0.3, 0, 1)
    num_sequences: int = number(2000, 2, 1_000_000)
    min_length: int = number(20, 2, 10_000)
    max_length: int = number(50, 2, 10_000)
    held_out_fraction: float = number(0.1, 0, 0.9, above=True)


@dataclass(frozen=True)
class Training:
    steps: int = number(20_000, 1, 100_000_000)
    batch_size: int = number(8, 1, 65_536)
    learning_rate: float = number(0.001, 0, above=True)         # its peak, if it has a schedule
    schedule: str = choice("constant", ["constant", "cosine"])  # cosine falls to 0 at the last step
    warmup_steps: int = number(0, 0, 100_000_000)               # linear rise to the peak
    weight_decay: float = number(0.01, 0, 10)
    beta1: float = number(0.9, 0, 0.9999)
    beta2: float = number(0.999, 0, 0.999999)
    epsilon: float = number(1e-8, 0, 1, above=True)
    checkpoint_every: int = number(100, 1, 100_000_000)
    checkpoint_schedule: str = choice("linear", ["linear", "log"])   # log: also at 1, 2, 4, ..., 64
    eval_every: int = number(200, 1, 100_000_000)
    eval_windows: int = number(400, 1, 1_000_000)  # how many windows a loss is measured on
    seed: int = number(0, 0, 2**63 - 1)
    dtype: str = choice("float64", ["float64", "float32"])


@dataclass(frozen=True)
class Config:
    name: str = ""
    description: str = ""
    model: Model = Model()
    data: DataConfig = DataConfig()
    training: Training = Training()


SECTIONS = {"model": Model, "data": DataConfig, "training": Training}


def config_names():
    """Names of the configs that come with the project, sorted."""
    return sorted(path.stem for path in CONFIGS.glob("*.toml"))


def load_config(name, overrides=()):
    """The config of that name (or path to a .toml file), with `section.key=value` overrides.

    The path of a Python file with one function (or `file.py:function`) is the config of that rule.
    Raises ConfigError with every mistake found.
    """
    tree, path = read_tree(name)
    where = {}
    errors = []
    for override in overrides:
        key, separator, text = override.partition("=")
        section, dot, entry = key.strip().partition(".")
        if not (separator and dot and section and entry):
            errors.append(f"--set {override}: write section.key=value")
            continue
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        tree.setdefault(section, {})[entry] = value
        if (section, entry) == ("data", "rule"):
            tree["data"] |= {"rule": absolute(value, "."), "rule_digest": ""}
            tree.pop("description", None)       # it tells of the rule that is replaced
        where[section, entry] = "--set"
    return build_config(Path(path).stem, tree, str(path), where, errors)


def read_tree(name, seen=()):
    """The nested dict of a config file, laid over the one it extends, and the file's path."""
    if is_reference(str(name)):
        tree, _ = read_tree(FOR_OWN_RULES)
        tree["data"]["rule"] = absolute(str(name), ".")
        del tree["description"]
        return tree, Path(Path(name).name.partition(":")[0])
    path = Path(name) if str(name).endswith(".toml") else CONFIGS / f"{name}.toml"
    if path in seen:
        raise ConfigError(f"{path}: extends itself by way of {', '.join(map(str, seen))}")
    if path.parent == CONFIGS and not path.exists():
        raise ConfigError(f"no config {name!r}{nearest(str(name), config_names())}")
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    data = tree.get("data")
    if isinstance(data, dict) and "rule" in data:
        data["rule"] = absolute(data["rule"], path.parent)
    if "extends" in tree:
        base, _ = read_tree(tree.pop("extends"), (*seen, path))
        for section in SECTIONS:
            if isinstance(tree.get(section, {}), dict):
                tree[section] = base.get(section, {}) | tree.get(section, {})
    return tree, path


def build_config(name, tree, path, where, errors):
    """Check a nested dict against the dataclasses and build the Config; ConfigError lists all errors."""
    sections = {}
    for section, value in tree.items():
        if section == "description" and isinstance(value, str):
            continue
        if section not in SECTIONS:
            allowed = [*SECTIONS, "description", "extends"]
            errors.append(f"{path}: {section}: unknown key{nearest(section, allowed)}")
        elif not isinstance(value, dict):
            errors.append(f"{path}: {section} = {value!r}: must be a section [{section}]")
    for section, kind in SECTIONS.items():
        values = tree.get(section, {})
        fields = {entry.name: entry for entry in dataclasses.fields(kind)}
        checked = {}
        for key, value in values.items() if isinstance(values, dict) else ():
            source = where.get((section, key), path)
            if key not in fields:
                errors.append(f"{source}: {section}.{key}: unknown key{nearest(key, fields)}")
                continue
            value, problem = check_value(fields[key], value)
            if problem:
                errors.append(f"{source}: {section}.{key} = {value!r}: {problem}")
            else:
                checked[key] = value
        sections[section] = kind(**checked)
    config = Config(name, str(tree.get("description", "")), **sections)
    if not errors:
        errors += [f"{path}: {problem}" for problem in check_together(config)]
    if errors:
        raise ConfigError("\n".join(errors))
    rule, digest = check_own_rule(config.data) if is_reference(config.data.rule) else (config.data.rule, "")
    data = dataclasses.replace(config.data, rule=rule, rule_digest=digest)
    return dataclasses.replace(config, data=data, description=config.description or describe_rule(rule))


def check_value(entry, value):
    """(value in the field's type, None) or (value, what is wrong with it)."""
    limits = entry.metadata
    if entry.type is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
            return value, "must be a list of strings"
        if len(set(value)) < len(value):
            return value, "has a token twice"
        return tuple(value), None
    if entry.type is bool:
        return value, None if isinstance(value, bool) else "must be true or false"
    if entry.type is str:
        options, others = limits["options"], limits["others"]
        if value in options or others and isinstance(value, str) and others(value):
            return value, None
        also = " or file.py:function" if others is is_reference else ""
        return value, f"must be one of {', '.join(options)}{also}{close(str(value), options)}"
    if isinstance(value, bool) or not isinstance(value, int if entry.type is int else int | float):
        return value, f"must be {'a whole number' if entry.type is int else 'a number'}"
    low, high, above = limits["low"], limits["high"], limits["above"]
    inside = (low < value if above else low <= value) and value <= high
    if not inside or not math.isfinite(value):
        bound = f"above {low}" if above else f"at least {low}"
        return value, f"must be {bound}" + (f" and at most {high}" if high < math.inf else "")
    return entry.type(value), None


def check_together(config):
    """What no single key shows: a list of problems."""
    data, model = config.data, config.model
    if data.max_length < data.min_length:
        yield f"data.max_length = {data.max_length}: must be at least data.min_length = {data.min_length}"
    if data.min_length < model.block_size + 1:
        yield (
            f"data.min_length = {data.min_length}: must be at least model.block_size + 1 = "
            f"{model.block_size + 1}, so that every sequence holds a window"
        )
    held_out = round(data.held_out_fraction * data.num_sequences)
    if not 0 < held_out < data.num_sequences:
        yield f"data.held_out_fraction = {data.held_out_fraction}: leaves no sequence on one side"
    if config.training.warmup_steps > config.training.steps:
        yield f"training.warmup_steps = {config.training.warmup_steps}: more than training.steps"


def to_toml(config):
    """The resolved config as TOML that `load_config` reads back to an equal one."""
    lines = [f"description = {toml_value(config.description)}"]
    for section in SECTIONS:
        lines.append(f"\n[{section}]")
        for key, value in dataclasses.asdict(getattr(config, section)).items():
            lines.append(f"{key} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def toml_value(value):
    """One value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(entry) for entry in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)
