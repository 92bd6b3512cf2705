"""What the values of a config may be, each by itself and all together."""

import math
import sys

from scratchformer.run.own_function import is_reference
from scratchformer.system.errors import close


def check_value(entry, value):
    """(value in the field's type, None) or (value, what is wrong with it)."""
    limits = entry.metadata
    if entry.type is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            return value, "must be a list of strings"
        if not all(map(is_operator, value)):
            return value, "must be signs or words, up to 20 characters without spaces, and not numbers"
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
    if not (low < value if above else low <= value) or not value <= min(high, sys.float_info.max):
        bound = f"above {low}" if above else f"at least {low}"
        return value, f"must be {bound}" + (f" and at most {high}" if high < math.inf else "")
    return entry.type(value), None


def is_operator(text):
    """Whether a text can stand among others, with spaces between, and be seen not to be a number."""
    return 1 <= len(text) <= 20 and text.isprintable() and " " not in text and not text.isdecimal()


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
