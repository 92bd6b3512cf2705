"""A trained model as a short Python function of the history, proved to say what the model says.

The function is guessed (clauses.py, from a few thousand samples a last token) and written as source
(source.py). What it is worth is then proved, not sampled: taken as a rule that allows one token after every
context, it is held against the model over all contexts by the cases of `--prove`. Where the model says
something else, the cases are split until each has one answer; so the exceptions are listed as product sets,
and with them `predict(history)` of the file is the model's top prediction after every context.
"""

import textwrap
import time
import zlib
from typing import NamedTuple

from scratchformer.analysis.cases import Judge
from scratchformer.run.data import make_vocabulary
from scratchformer.run.foreign import execute
from scratchformer.system.files import write_atomically
from scratchformer.tools.decompile.clauses import choose_clause, draw_samples, rate_clauses
from scratchformer.tools.decompile.exceptions import hold_against, mask_size
from scratchformer.tools.decompile.source import program_lines

MOST_EXCEPTIONS = 50_000                # product sets that are written out
PRICES = (300, 3_000, 30_000, 300_000)  # bits that it may cost to be wrong about everything


class Program(NamedTuple):
    """A model decompiled."""

    path: object
    says: str                           # source of the function
    lines: int                          # of the function without its exceptions
    bits: int                           # of its source, compressed; and of the exceptions' table
    exception_bits: int
    contexts: int                       # all there are
    agree: int                          # after as many of them the function alone says what the model says
    exceptions: list                    # (members (L, V), token the model says) of the others
    listed: bool                        # whether the exceptions stand in the file
    open: int                           # contexts that are too close to call, or the time did not suffice
    seconds: float

    @property
    def cost(self):
        """What a function is chosen by: the contexts left open, then bits."""
        return self.open, self.bits + self.exception_bits

    @property
    def exact(self):
        """Whether `predict` of the file is proved to be the model after every context."""
        return self.open == 0 and self.listed


def decompile(model, limit_seconds=600, progress=lambda text: None):
    """Write the Program of a model to program.py in its run's folder: of several, the one with the fewest
    bits.

    Bits are those of the function and of the table of its exceptions, which are known once it is held against
    the model. So a few prices of a mistake are tried, and each function that comes of it.
    """
    start = time.perf_counter()
    vocabulary, path = make_vocabulary(model.config), model.run.folder / "program.py"
    rated = [rate_clauses(draw_samples(model, token), len(vocabulary)) for token in range(len(vocabulary))]
    judge, best = Judge(model), None
    bodies = set()
    for price in PRICES:
        bodies.add(tuple(program_lines([choose_clause(entries, price) for entries in rated], vocabulary)))
    for number, body in enumerate(sorted(bodies, key=len), 1):
        spent = time.perf_counter() - start
        if best and spent > limit_seconds / 4:
            break
        says = f"def says(history):\n{indent(body)}\n"
        write_atomically(path, says.encode())   # conditions are read from the source: see conditions.py
        agree, exceptions, left, total = hold_against(
            judge, execute(path, says.encode()).says, limit_seconds - spent,
            lambda text, number=number: progress(f"function {number} of {len(bodies)}: {text}"),
        )
        exceptions.sort(key=lambda entry: (len(entry[0]), entry[0].argmax(axis=1)[::-1].tolist(), entry[1]))
        table = "\n".join(exception_lines(exceptions, vocabulary))
        program = Program(
            path, says, 1 + len(body), compressed_bits(says), compressed_bits(table), total, agree,
            exceptions, len(exceptions) <= MOST_EXCEPTIONS, left, time.perf_counter() - start,
        )
        if best is None or program.cost < best.cost:
            best = program
    best = best._replace(seconds=time.perf_counter() - start)
    write_atomically(path, file_text(model, best).encode())
    return best


def exception_lines(exceptions, vocabulary):
    """The exceptions as lines of a table: for each position the tokens, and what the model says."""
    lines = []
    for members, token in exceptions:
        words = [[repr(vocabulary[i]) for i in row.nonzero()[0]] for row in members]
        sets = ["ANY" if len(row) == len(vocabulary) else "{" + ", ".join(row) + "}" for row in words]
        lines.append(f"    ([{', '.join(sets)}], {vocabulary[token]!r}),")
    return lines


def compressed_bits(source):
    """Length of a text in bits, compressed."""
    return 8 * len(zlib.compress(source.encode(), 9))


def indent(lines):
    """Lines, four spaces in."""
    return "\n".join(f"    {line}" for line in lines)


def file_text(model, program):
    """The file: docstring with the evidence, the function, its exceptions, and how to run it."""
    vocabulary = make_vocabulary(model.config)
    table = "\n".join(exception_lines(program.exceptions, vocabulary)) if program.listed else ""
    evidence = textwrap.fill(
        f"says(history) agrees with the model after {program.agree:,} of {program.contexts:,} contexts, "
        f"which are all there are of 1 to {model.config.model.block_size} tokens. "
        f"{describe_exceptions(program)} Length: {program.lines} lines, {program.bits:,} bits; "
        f"the exceptions {program.exception_bits:,} bits (zlib).", 100,
    )
    return f'''"""What {model.name} at step {model.step:,} says, as a function of the history.

{evidence}

    python program.py {" ".join(map(str, vocabulary[-3:]))}
"""

import sys

ANY = {set(vocabulary)!r}


{program.says}

# Contexts after which the model says something else: a set of tokens for each position, and what it says.
EXCEPTIONS = [
{table}
]


def predict(history):
    """What the model says."""
    for sets, answer in EXCEPTIONS:
        if len(sets) == len(history) and all(token in tokens for token, tokens in zip(history, sets)):
            return answer
    return says(history)


if __name__ == "__main__":
    print(predict([int(word) if word.isdigit() else word for word in sys.argv[1:]]))
'''


def describe_exceptions(program):
    """What is proved of a Program, in sentences."""
    others = sum(mask_size(members) for members, _ in program.exceptions)
    text = f"It says something else after {others:,}, in {len(program.exceptions):,} sets of contexts"
    text += "." if program.listed else ", too many to list here."
    if program.exact:
        text += " With these, predict(history) is the model's top prediction after every context: proved."
    if program.open:
        text += f" Too close to call, or not settled in time: {program.open:,}."
    return text


def decompile_report(program):
    """What was found, in a few lines."""
    share = program.agree / program.contexts
    lines = [
        f"{program.path}: {program.lines} lines, {program.bits:,} bits",
        f"agrees with the model after {program.agree:,} of {program.contexts:,} contexts ({share:.6%})",
        f"exceptions: {len(program.exceptions):,} sets of contexts, {program.exception_bits:,} bits"
        + ("" if program.listed else "; too many to list"),
    ]
    if program.open:
        lines.append(f"too close to call, or not settled in time: {program.open:,} contexts")
    if program.exact:
        lines.append("proved: with its exceptions it is the model after every context")
    return "\n".join(lines)
