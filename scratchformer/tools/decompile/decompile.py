"""A trained model as a short Python function of the history, proved to say what the model says.

The function is guessed (clauses.py, from a few thousand samples a last token) and written as source (source.py).
What it is worth is then proved, not sampled: taken as a rule that allows one token after every context, it is
held against the model over all contexts by the cases of `--prove`. Where the model says something else, the
cases are split until each has one answer; so the exceptions are listed as product sets, and with them
`predict(history)` of the file is the model's top prediction after every context.
"""

import time
import zlib
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np

from scratchformer.analysis.cases import Case, Judge, settle
from scratchformer.analysis.lazy_history import rule_cases
from scratchformer.run.own_rule import execute
from scratchformer.system.files import write_atomically
from scratchformer.tools.decompile.clauses import draw_samples, fit_clause
from scratchformer.tools.decompile.source import program_lines

MOST_EXCEPTIONS = 400                   # product sets that are written out


class Program(NamedTuple):
    """A model decompiled."""

    path: object
    lines: int                          # of the function without its exceptions
    bits: int                           # of its source, compressed; and of the exceptions' table
    exception_bits: int
    contexts: int                       # all there are
    agree: int                          # after as many of them the function alone says what the model says
    exceptions: list                    # (members (L, V), token the model says) of the others
    listed: bool                        # whether the exceptions stand in the file
    open: int                           # contexts for which the time did not suffice, or that are too close to call
    seconds: float

    @property
    def exact(self):
        """Whether `predict` of the file is proved to be the model after every context."""
        return self.open == 0 and self.listed


def decompile(model, limit_seconds=600, progress=lambda text: None):
    """Write the Program of a model to program.py in its run's folder; its path is in what is returned."""
    start = time.perf_counter()
    vocabulary = model.data.vocabulary
    progress("looking for what it does after each token")
    clauses = [fit_clause(draw_samples(model, token), len(vocabulary)) for token in range(len(vocabulary))]
    body = program_lines(clauses, vocabulary)
    path = model.run.folder / "program.py"
    says = f"def says(history):\n{indent(body)}\n"
    write_atomically(path, says.encode())       # conditions are read from the source: see conditions.py
    agree, exceptions, left, total = hold_against(model, execute(path, says.encode()).says, limit_seconds, progress)
    exceptions.sort(key=lambda entry: (len(entry[0]), entry[0].argmax(axis=1)[::-1].tolist(), entry[1]))
    listed = len(exceptions) <= MOST_EXCEPTIONS
    table = exception_lines(exceptions, vocabulary) if listed else []
    program = Program(
        path, 1 + len(body), compressed_bits(says), compressed_bits("\n".join(table)) if table else 0, total, agree,
        exceptions, listed, left, time.perf_counter() - start,
    )
    write_atomically(path, file_text(model, program, says, table).encode())
    return program


def hold_against(model, says, limit_seconds, progress):
    """(contexts that agree, exceptions, contexts left open, all contexts) of a function against its model."""
    T = model.config.model.block_size
    rule = partial(only, says)
    tables = [rule_cases(rule, model.data.vocabulary, length) for length in range(1, T + 1)]
    judge = Judge(model)
    deadline = time.perf_counter() + limit_seconds
    settled = settle(judge, [case for table in tables for case in table], limit_seconds / 2, progress)
    agree = sum(case.count()[0] for case in settled.cases)
    exceptions, unclear = label(judge, [case for case in settled.cases if case.verdict != "right"], deadline)
    left = unclear + sum(case.size for case in settled.undecided)
    return agree, exceptions, left, sum(len(model.vocabulary) ** length for length in range(1, T + 1))


def only(says, history):
    """A function of the history as a rule: the one token that it says."""
    return {says(history)}


def label(judge, cases, deadline):
    """([(members, token)], contexts left open): what the model says in cases where it does not say their answer."""
    waiting, labelled, left = [], [], 0
    for case in cases:
        if len(case.each):
            contexts, margins = case.each
            for context in contexts[margins < -case.rounding]:
                waiting.append(Case(context[:, None] == np.arange(case.members.shape[1]), ()))
            left += int((abs(margins) <= case.rounding).sum())
        elif case.verdict == "close":
            left += case.size
        else:
            waiting.append(Case(case.members, ()))
    while waiting:
        if time.perf_counter() > deadline:
            return labelled, left + sum(case.size for case in waiting)
        case = waiting.pop()
        first = case.members.argmax(axis=1)
        logits = judge.model.forward([first]).logits[0, -1]
        trial = Case(case.members, (int(logits.argmax()),))
        judge.judge([trial])
        if trial.verdict == "right":
            labelled.append((trial.members, trial.answer[0]))
        elif len(trial.each):
            contexts, margins = trial.each
            inside = contexts[margins > trial.rounding]
            labelled += [(c[:, None] == np.arange(case.members.shape[1]), trial.answer[0]) for c in inside]
            waiting += [
                Case(c[:, None] == np.arange(case.members.shape[1]), ()) for c in contexts[margins < -trial.rounding]
            ]
            left += int((abs(margins) <= trial.rounding).sum())
        elif trial.verdict == "close":
            left += trial.size
        else:
            waiting += [Case(members, ()) for members in trial.split]
    return merged(labelled), left


def merged(labelled):
    """Product sets with the same answer that differ at one position only, made one: as long as there are some."""
    before = None
    while before != len(labelled):
        before = len(labelled)
        longest = max((len(members) for members, _ in labelled), default=0)
        for position in range(longest):
            groups, rest = {}, []
            for members, token in labelled:
                if len(members) <= position:
                    rest.append((members, token))
                    continue
                others = np.delete(members, position, axis=0)
                key = len(members), token, others.tobytes()
                if key in groups:
                    groups[key][0][position] |= members[position]
                else:
                    groups[key] = (members.copy(), token)
            labelled = rest + list(groups.values())
    return labelled


def exception_lines(exceptions, vocabulary):
    """The exceptions as lines of a table: for each position the tokens, and what the model says."""
    lines = []
    for members, token in exceptions:
        sets = [
            "ANY" if row.all() else "{" + ", ".join(repr(vocabulary[i]) for i in row.nonzero()[0]) + "}" for row in members
        ]
        lines.append(f"    ([{', '.join(sets)}], {vocabulary[token]!r}),")
    return lines


def compressed_bits(source):
    """Length of a text in bits, compressed."""
    return 8 * len(zlib.compress(source.encode(), 9))


def indent(lines):
    """Lines, four spaces in."""
    return "\n".join(f"    {line}" for line in lines)


def file_text(model, program, says, table):
    """The file: docstring with the evidence, the function, its exceptions, and how to run it."""
    others = sum(prod(members.sum(axis=1).tolist()) for members, _ in program.exceptions)
    proved = (
        "With the exceptions, predict(history) is the model's top prediction after each of them: proved, by cases."
        if program.exact else
        f"Too close to call, or not settled in time: {program.open:,}."
        + ("" if program.listed else f" {len(program.exceptions):,} sets of exceptions are too many to list here.")
    )
    exceptions = "\n".join(table)
    sizes = f"{program.lines} lines, {program.bits:,} bits; the exceptions: {program.exception_bits:,} bits"
    return f'''"""What {model.name} at step {model.step:,} says, as a function of the history.

says(history) agrees with the model after {program.agree:,} of {program.contexts:,} contexts, which are all there
are of 1 to {model.config.model.block_size} tokens. The exceptions are {others:,} contexts in {len(program.exceptions):,} sets.
{proved}
Length: {sizes} (zlib).

    python program.py 5 8 3 +
"""

import sys

ANY = {set(model.data.vocabulary)!r}


{says}

# Contexts after which the model says something else: a set of tokens for each position, and what it says.
EXCEPTIONS = [
{exceptions}
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
