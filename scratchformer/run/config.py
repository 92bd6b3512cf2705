"""Configs: frozen dataclasses read from TOML, checked as a whole before anything is written.

A file may say `extends = "other"`, a config in `configs/` or a .toml or .py file relative to itself, and
give only what differs. The keys are the fields below. All mistakes are reported at once, each with file,
dotted key, value and what is allowed.
"""

import dataclasses
import hashlib
import json
import math
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from scratchformer.run.config_checks import check_together, check_value
from scratchformer.run.own_function import absolute, is_reference
from scratchformer.run.own_rule import check_own_rule, describe_rule, may_run, trust_rule
from scratchformer.run.own_text import describe_text, is_text, whole_text_path
from scratchformer.run.rules import RULES
from scratchformer.system.errors import ConfigError, nearest, shown
from scratchformer.system.files import read_file

PACKAGE = Path(__file__).resolve().parent.parent
CONFIGS = next(home / "configs" for home in (PACKAGE, PACKAGE.parent) if (home / "configs").is_dir())
FOR_OWN_RULES = "plus_last_even_robust"     # the config that a rule of the user's own is put into
LONGEST = 1_000_000                         # bytes of a config file
MOST = 100                                  # configs that extend one another
LONGEST_NAME = 60                           # of a variant


def number_field(default, low, high=math.inf, *, above=False):
    """A field for a number in low..high (in ]low, high] with `above`)."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


def choice_field(default, options, others=None):
    """A field for one of a few words, or another for which `others` is true."""
    return field(default=default, metadata={"options": tuple(options), "others": others})


@dataclass(frozen=True)
class ModelConfig:
    n_embd: int = number_field(2, 1, 1024)                # C
    block_size: int = number_field(8, 1, 1024)            # T
    num_heads: int = number_field(1, 1, 64)               # H
    head_size: int = number_field(2, 1, 1024)             # D
    ffn_mult: int = number_field(16, 1, 64)               # F = ffn_mult * n_embd
    use_residual: bool = True
    embedding_std: float = number_field(1.0, 0, 100, above=True)      # of the initial embeddings


@dataclass(frozen=True)
class DataConfig:
    rule: str = choice_field("plus_last_even", RULES, is_reference)   # or the user's own: file.py:function
    rule_digest: str = choice_field("", [""], str.isalnum)            # of that file, filled in on loading
    text: str = choice_field("", [""], is_text)           # a file with sequences instead of a rule
    numbers: int = number_field(11, 2, 1000)              # the numbers 0 .. numbers - 1
    operators: tuple = ("+",)
    operator_probability: float = number_field(0.3, 0, 1)
    num_sequences: int = number_field(2000, 2, 1_000_000)
    min_length: int = number_field(20, 2, 10_000)
    max_length: int = number_field(50, 2, 10_000)
    held_out_fraction: float = number_field(0.1, 0, 0.9, above=True)


@dataclass(frozen=True)
class TrainingConfig:
    steps: int = number_field(20_000, 0, 100_000_000)
    batch_size: int = number_field(8, 1, 65_536)
    learning_rate: float = number_field(0.001, 0, above=True)         # its peak, if it has a schedule
    schedule: str = choice_field("constant", ["constant", "cosine"])  # cosine falls to 0 at the last step
    warmup_steps: int = number_field(0, 0, 100_000_000)               # linear rise to the peak
    weight_decay: float = number_field(0.01, 0, 10)
    beta1: float = number_field(0.9, 0, 0.9999)
    beta2: float = number_field(0.999, 0, 0.999999)
    epsilon: float = number_field(1e-8, 0, 1, above=True)
    checkpoint_every: int = number_field(100, 1, 100_000_000)
    checkpoint_schedule: str = choice_field("linear", ["linear", "log"])   # log: also at 1, 2, 4, ..., 64
    eval_every: int = number_field(200, 1, 100_000_000)
    eval_windows: int = number_field(400, 1, 1_000_000)  # how many windows a loss is measured on
    seed: int = number_field(0, 0, 2**63 - 1)
    dtype: str = choice_field("float64", ["float64", "float32"])


@dataclass(frozen=True)
class Config:
    name: str = ""
    description: str = ""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    variant: str = field(default="", compare=False)     # what the command line changed: a part of names


ELSEWHERE = {                           # keys that other projects have
    **dict.fromkeys(("num_layers", "n_layers", "n_layer"), "; there is one layer"),
    **dict.fromkeys(("n_head", "n_heads", "heads"), "; did you mean 'num_heads'?"),
    "dropout": "; there is none", "vocab_size": "; it is data.numbers and data.operators",
    "lr": "; did you mean 'learning_rate'?", "epochs": "; training runs for training.steps",
}
SECTIONS = {"model": ModelConfig, "data": DataConfig, "training": TrainingConfig}


def config_names():
    """Names of the configs that come with the project, sorted."""
    return sorted(path.stem for path in CONFIGS.glob("*.toml"))


def load_config(name, overrides=()):
    """The config of that name (or path to a .toml file), with `section.key=value` overrides.

    The path of a Python file with one function (or `file.py:function`) is the config of that rule: it, or one
    that an override names, is run; one that a .toml file names is not, and checked only where it may be. That
    of a .txt file is the config of the sequences in it.
    Raises ConfigError with every mistake found.
    """
    tree, path = read_tree(name)
    if is_reference(str(name)):
        trust_rule(tree["data"]["rule"])
    where = {}
    errors = []
    for override in overrides:
        key, separator, text = override.partition("=")
        section, dot, entry = key.strip().partition(".")
        if not (separator and dot and section and entry):
            errors.append(f"--set {override}: write section.key=value")
            continue
        if section not in SECTIONS:
            errors.append(f"--set {override}: unknown section{nearest(section, SECTIONS)}")
            continue
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text.strip()
        values = tree.setdefault(section, {})
        if isinstance(values, dict):            # else build_config says that it must be
            values[entry] = value
            if (section, entry) == ("data", "rule"):
                values |= {"rule": whole_path(value, "."), "rule_digest": ""}
                trust_rule(values["rule"]) if isinstance(values["rule"], str) else None
                tree.pop("description", None)   # it tells of the rule that is replaced
        where[section, entry] = "--set"
    if not Path(path).stem or Path(path).stem.startswith("."):
        raise ConfigError(f"{path}: needs a name before its ending: its run is named after it")
    if isinstance(tree.get("data"), dict) and is_text(tree["data"].get("text", "")):
        use_text(tree)
    config = build_config(Path(path).stem, tree, str(path), where, errors)
    if not where:
        return config
    return dataclasses.replace(config, variant=variant_name(config, load_config(name), where))


def use_text(tree):
    """Fill in what a config's text file says of its data, and who they are."""
    data, model = tree["data"], tree.get("model", {})
    data["text"] = whole_text_path(data["text"])
    block_size = model.get("block_size", ModelConfig.block_size) if isinstance(model, dict) else 0
    data |= describe_text(data["text"], block_size if isinstance(block_size, int) else 0)
    tree["description"] = f"the sequences of {Path(data['text']).name}"


def variant_name(config, plain, keys):
    """In which of the keys a config differs from the plain one, as part of a folder's name: seed-3, or
    n_embd-4_steps-500."""
    values = {key: [getattr(getattr(one, section), key) for one in (config, plain)] for section, key in keys}
    if "rule" in values:                        # of a rule's path, the file's name
        values["rule"] = [str(value).rpartition("/")[2].partition(".py")[0] for value in values["rule"]]
    if "text" in values:
        values["text"] = [Path(value).stem for value in values["text"]]
    parts = [f"{key}-{value}" for key, (value, usual) in sorted(values.items()) if value != usual]
    name = re.sub(r"[^\w.+-]+", "-", "_".join(parts)).strip("-.")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def read_tree(name, seen=()):
    """The nested dict of a config file, laid over the one it extends, and the file's path."""
    if is_reference(str(name)):
        tree, _ = read_tree(FOR_OWN_RULES)
        tree["data"]["rule"] = whole_path(str(name), ".")
        del tree["description"]
        return tree, Path(Path(name).name.partition(":")[0])
    if is_text(name):
        tree, _ = read_tree(FOR_OWN_RULES)
        tree["data"]["text"] = str(name)
        return tree, Path(Path(name).name)
    path = Path(name) if str(name).endswith(".toml") else CONFIGS / f"{name}.toml"
    if len(seen) >= MOST:
        raise ConfigError(f"{seen[0]}: extends more than {MOST} configs, one after the other")
    if path in seen:
        raise ConfigError(f"{path}: extends itself by way of {', '.join(map(str, seen))}")
    try:
        content = read_file(path, LONGEST + 1)
        if len(content) > LONGEST:
            raise ConfigError(f"{path}: larger than {LONGEST:,} bytes: is this a config?")
        tree = tomllib.loads(content.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        if path.parent == CONFIGS and isinstance(error, FileNotFoundError):
            raise ConfigError(f"no config {shown(name)}{nearest(str(name), config_names())}") from error
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"{shown(str(path), quote=False, most=250)}: cannot be read: {why}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    data = tree.get("data")
    if isinstance(data, dict) and "rule" in data:
        data["rule"] = whole_path(data["rule"], path.parent)
    if "extends" in tree:
        base, _ = read_tree(beside(tree.pop("extends"), path.parent), (*seen, path))
        for section in SECTIONS:
            own, inherited = tree.get(section, {}), base.get(section, {})
            if isinstance(own, dict) and isinstance(inherited, dict):
                tree[section] = inherited | own
            elif section not in tree:
                tree[section] = inherited       # build_config says that it must be a section
    return tree, path


def beside(name, folder):
    """A config's name as a file in `folder` gives it: a .toml or .py file is looked up in that folder."""
    if isinstance(name, str) and name.endswith(".toml"):
        return os.path.normpath(folder / name)          # so that a circle comes back to the same path
    return whole_path(name, folder)


def whole_path(rule, folder):
    """A rule's name, with its whole path if it lies in a file: see `absolute`."""
    try:
        path = absolute(rule, folder)
        str(path).encode()                      # it is to stand in a file
    except (OSError, RuntimeError, ValueError) as error:    # no such home, links in a circle, a null byte
        raise ConfigError(f"data.rule = {shown(rule)}: {error}") from error
    return path


def build_config(name, tree, path, where, errors):
    """Check a nested dict against the dataclasses and build the Config; ConfigError lists all errors."""
    sections = {}
    for section, value in tree.items():
        if section == "description":
            if not isinstance(value, str):
                errors.append(f"{path}: description = {shown(value)}: must be a text")
        elif section not in SECTIONS:
            allowed = [*SECTIONS, "description", "extends"]
            errors.append(f"{path}: {section}: unknown key{nearest(section, allowed)}")
        elif not isinstance(value, dict):
            errors.append(f"{path}: {section} = {shown(value)}: must be a section [{section}]")
    for section, kind in SECTIONS.items():
        values = tree.get(section, {})
        fields = {entry.name: entry for entry in dataclasses.fields(kind)}
        checked = {}
        for key, value in values.items() if isinstance(values, dict) else ():
            source = where.get((section, key), path)
            if key not in fields:
                hint = ELSEWHERE.get(key) or nearest(key, fields)
                errors.append(f"{source}: {section}.{key}: unknown key{hint}")
                continue
            value, problem = check_value(fields[key], value)
            if problem:
                errors.append(f"{source}: {section}.{key} = {shown(value)}: {problem}")
            else:
                checked[key] = value
        sections[section] = kind(**checked)
    config = Config(name, str(tree.get("description", "")), **sections)
    if not errors:
        errors += [f"{blamed(problem, where) or path}: {problem}" for problem in check_together(config)]
    rule, digest = config.data.rule, config.data.rule_digest if is_reference(config.data.rule) else ""
    if is_reference(rule) and may_run(rule):
        try:
            rule, digest = check_own_rule(config.data)
        except ConfigError as error:
            errors.append(str(error))
    if errors:
        raise ConfigError("\n".join(errors))
    data = dataclasses.replace(config.data, rule=rule, rule_digest=digest)
    return dataclasses.replace(config, data=data, description=config.description or describe_rule(rule))


def blamed(problem, where):
    """'--set' if a problem of several values is with one that was given there, else None."""
    keys = re.findall(r"(\w+)\.(\w+)", problem)
    return next((where[key] for key in keys if key in where), None)


def to_toml(config):
    """The resolved config as TOML that `load_config` reads back to an equal one."""
    lines = [f"description = {toml_value(config.description)}"]
    for section in SECTIONS:
        lines.append(f"\n[{section}]")
        for key, value in dataclasses.asdict(getattr(config, section)).items():
            if key != "text" or value:                  # files of earlier versions do not have it
                lines.append(f"{key} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def toml_value(value):
    """One value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(entry) for entry in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
