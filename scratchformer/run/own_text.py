"""Sequences of the user's own: a text file, one a line, tokens with spaces between, instead of a rule.

Numbers are tokens from 0 to the largest there is; every other word is an operator.
"""

import os
from pathlib import Path

from scratchformer.system.errors import ConfigError, shown
from scratchformer.system.files import read_file

LONGEST = 100_000_000                   # bytes of such a file


def is_text(name):
    """Whether a config's name points to a text file."""
    return str(name).endswith(".txt")


def whole_text_path(name):
    """The whole path of a text file, ~ included, a relative one taken from the current folder."""
    return os.path.abspath(Path(name).expanduser())


def read_text(path):
    """(number, words) of every line of a text file that is not empty: a list. Raises ConfigError."""
    try:
        content = read_file(path, LONGEST + 1)
        if len(content) > LONGEST:
            raise ConfigError(f"{path}: larger than {LONGEST:,} bytes")
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"{shown(str(path), quote=False, most=250)}: cannot be read: {why}") from error
    return [(number, line.split()) for number, line in enumerate(lines, 1) if line.split()]


def describe_text(path, block_size):
    """What a text file makes of the settings of a config's data: {key: value}.

    Raises ConfigError, naming file and line, where a line is too short for a window, or there are too few.
    """
    lines = read_text(path)
    for number, words in lines:
        if len(words) <= block_size:
            raise ConfigError(f"{path}:{number}: {len(words)} tokens; a line needs more than "
                              f"model.block_size = {block_size}")
    if len(lines) < 2:
        raise ConfigError(f"{path}: holds {len(lines)} sequences; at least 2 are needed, one to be held out")
    words = {word for _, line in lines for word in line}
    numbers = {int(word) for word in words if is_number_word(word)}
    odd = next((word for word in sorted(words) if word.isdecimal() and not is_number_word(word)), None)
    if odd is not None or max(numbers, default=0) >= 1000:
        which = odd or max(numbers)
        raise ConfigError(f"{path}: token {which}: numbers are 0, 1, ..., 999, in their usual form")
    lengths = [len(line) for _, line in lines]
    return {
        "numbers": max(2, *(number + 1 for number in numbers), 2), "num_sequences": len(lines),
        "operators": sorted(word for word in words if not is_number_word(word)),
        "min_length": min(lengths), "max_length": max(lengths),
    }


def is_number_word(word):
    """Whether a word is a number as the model's vocabulary writes it."""
    return word.isascii() and word.isdecimal() and str(int(word)) == word


def read_sequences(path, vocabulary):
    """The sequences of a text file: list of lists of ids. ConfigError where the file has changed since."""
    ids = {str(token): i for i, token in enumerate(vocabulary)}
    try:
        return [[ids[word] for word in words] for _, words in read_text(path)]
    except KeyError as error:
        raise ConfigError(f"{path}: token {error} is new: has the file changed?") from None
