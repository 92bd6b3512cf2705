"""An exhaustive check: what a trained model says after every context that the rule constrains.

A context is a string of 1 to block_size tokens. Two sets of them are judged:

    producible   the context itself breaks the rule nowhere: each of its tokens that the rule
                 constrains, given the tokens before it in the context, is allowed
    any          every string of tokens

The producible ones are exactly the starts of the sequences that the generator can draw (with
operator_probability strictly between 0 and 1; at 0 or 1 it draws fewer). Every window of such a
sequence is one too: a rule says of a window nothing that the longer history contradicts.

`rule_table.py` finds what the rule answers, `margins.py` how sure the model is; `proof.py` reports.
"""

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf

import numpy as np

from scratchformer.system.errors import RunError
from scratchformer.tools.prove.margins import exact_margins, fast_margins, half_sums, older_positions
from scratchformer.tools.prove.rule_table import RuleTable
from scratchformer.tools.prove.verdict import LISTED, Failure, Proof, Verdict

TABLE = 40_000_000                      # entries of the largest array
CHUNK = 1 << 18                         # contexts a thread judges at a time


def prove(model, limit_seconds=600, progress=None):
    """Judge a saved step's model after every context of 1 to block_size tokens -> Proof.

    progress: called with a text now and then

    Raises RunError where it would take longer than `limit_seconds`, as soon as that shows.
    """
    start = time.perf_counter()
    walk = Walk(model, progress or (lambda text: None))
    V, T = len(model.vocabulary), model.config.model.block_size
    for length in range(1, T + 1):
        began, before = time.perf_counter(), walk.count()
        walk.judge_length(length)
        now, contexts = time.perf_counter(), walk.count() - before
        rest = sum(V**more for more in range(1, min(T - length, 80) + 1))       # 80: a float holds it
        total = now - start + (now - began) * rest
        if rest and now - began > 0.3 and total > limit_seconds:
            raise RunError(
                f"--prove: {contexts * rest:.2g} contexts of up to {T} tokens, "
                f"about {duration(total)}; --prove-limit SECONDS allows it"
            )
    producible, others = (
        replace(verdict, failures=walk.list_failures(flag)) for flag, verdict in walk.verdicts.items()
    )
    return Proof(model.name, model.step, T, time.perf_counter() - start, producible, producible + others)


def duration(seconds):
    """A span of time in one rough number."""
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.0f} s"


class Walk:
    """The walk over all contexts, and what it found."""

    def __init__(self, model, progress):
        self.progress = progress
        self.params, self.use_residual = model.params, model.use_residual
        self.grid = model.grid
        self.vocabulary = model.data.vocabulary
        self.table = RuleTable(model.rule, self.vocabulary)
        self.verdicts = {True: Verdict(), False: Verdict()}     # of producible contexts, of others
        self.wrong = {True: [], False: []}                      # (ids, answers) of the contexts that failed
        progress("compiling; the machine code is kept for next time")
        fast_margins(
            self.params, half_sums(self.grid, 1, (0,)), self.use_residual, np.zeros(1, np.uint16),
            self.table.allowed,
        )

    def count(self):
        """How many contexts are judged so far."""
        return sum(verdict.total.total() for verdict in self.verdicts.values())

    def judge_length(self, length):
        """Judge all contexts of a length, in tables that are not too large."""
        V, H, _, D = self.grid.q.shape
        known = length - 1
        while max(V**known, V ** (known - older_positions(V, known)) * H * (D + 1)) > TABLE:
            known -= 1
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for suffix in itertools.product(range(V), repeat=length - known):
                self.progress(f"contexts of {length} tokens; {self.count():,} judged")
                answers = self.table.read(length, suffix)
                if answers.any():
                    self.judge_table(length, suffix, answers, pool)

    def judge_table(self, length, suffix, answers, pool):
        """Judge the contexts of one table (see RuleTable), in chunks."""
        V = len(self.vocabulary)
        producible = self.table.producible(length, suffix)
        allowed, names = self.table.allowed, list(self.table.answers)
        sums = half_sums(self.grid, length, suffix)
        J = len(sums.older)
        rows = max(1, CHUNK // J)

        def contexts(entries):
            """The contexts at some entries of the table: (N, length) ids."""
            starts = entries[:, None] // V ** np.arange(length - len(suffix)) % V
            return np.hstack([starts, np.tile(suffix, (len(entries), 1))])

        def judge(row):
            """(start, counts of producible contexts, counts of others) of the newer halves from `row` on."""
            start, stop = row * J, (row + rows) * J
            answer = answers[start:stop]
            chunk = sums._replace(newer=sums.newer[row : row + rows])
            margins = fast_margins(self.params, chunk, self.use_residual, answer, allowed)
            wrong = margins < 0
            (close,) = np.isnan(margins).nonzero()
            margins[close], says = exact_margins(
                self.params, contexts(start + close), self.use_residual, allowed[answer[close]]
            )
            wrong[close] = ~allowed[answer[close], says]
            constrained = answer > 0
            return start, *(
                count(answer, margins, wrong, (producible[start:stop] == flag) & constrained, len(names))
                for flag in (True, False)
            )

        for start, *counts in pool.map(judge, range(0, len(sums.newer), rows)):
            for flag, (total, wrong, margin, least, entries) in zip((True, False), counts, strict=True):
                verdict = self.verdicts[flag]
                verdict.total.update({(length, names[a]): int(total[a]) for a in total.nonzero()[0]})
                verdict.wrong.update({(length, names[a]): int(wrong[a]) for a in wrong.nonzero()[0]})
                if margin < verdict.margin:
                    verdict.margin = float(margin)
                    verdict.context = self.words(contexts(start + least[None])[0])
                if len(entries) and sum(len(ids) for ids, _ in self.wrong[flag]) < LISTED:
                    self.wrong[flag].append((contexts(start + entries), answers[start + entries]))

    def list_failures(self, flag):
        """The first LISTED failures after producible contexts, or after others: list of Failure."""
        failures = []
        names, allowed = list(self.table.answers), self.table.allowed
        for ids, answers in self.wrong[flag]:
            ids, answers = ids[: LISTED - len(failures)], answers[: LISTED - len(failures)]
            margins, says = exact_margins(self.params, ids, self.use_residual, allowed[answers])
            for n, margin in enumerate(margins.tolist()):
                context, said = self.words(ids[n]), self.vocabulary[says[n]]
                failures.append(Failure(flag, context, said, names[answers[n]], margin))
        return failures

    def words(self, ids):
        """The tokens of some ids."""
        return tuple(self.vocabulary[i] for i in ids)


def count(answers, margins, wrong, members, size):
    """(contexts by answer, wrong ones by answer, smallest margin, its entry, wrong entries) of `members`."""
    least = np.where(members, margins, inf).argmin()
    return (
        np.bincount(answers[members], minlength=size),
        np.bincount(answers[members & wrong], minlength=size),
        margins[least] if members[least] else inf,
        least,
        (members & wrong).nonzero()[0],
    )
