"""Every context one by one: the oracle that the proof by cases is held against, for small windows.

`rule_table.py` finds what the rule answers, `margins.py` how sure the model is.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from math import inf

import numpy as np

from enumeration.margins import exact_margins, fast_margins, half_sums, older_positions
from enumeration.rule_table import RuleTable
from scratchformer.tools.prove.verdict import Verdict

TABLE = 40_000_000                      # entries of the largest array
CHUNK = 1 << 18                         # contexts a thread judges at a time


def enumerate_contexts(model):
    """{producible or not: (contexts by (length, answer), wrong ones so, smallest margin)} of all contexts."""
    walk = Walk(model)
    for length in range(1, model.config.model.block_size + 1):
        walk.judge_length(length)
    return walk.verdicts


class Walk:
    """The walk over all contexts, and what it found."""

    def __init__(self, model):
        self.params, self.use_residual = model.params, model.use_residual
        self.grid = model.grid
        self.vocabulary = model.data.vocabulary
        self.table = RuleTable(model.rule, self.vocabulary)
        self.verdicts = {True: Verdict(), False: Verdict()}     # of producible contexts, of others

    def judge_length(self, length):
        """Judge all contexts of a length, in tables that are not too large."""
        V, H, _, D = self.grid.q.shape
        known = length - 1
        while max(V**known, V ** (known - older_positions(V, known)) * H * (D + 1)) > TABLE:
            known -= 1
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for suffix in itertools.product(range(V), repeat=length - known):
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
            for flag, (total, wrong, margin) in zip((True, False), counts, strict=True):
                verdict = self.verdicts[flag]
                verdict.total.update({(length, names[a]): int(total[a]) for a in total.nonzero()[0]})
                verdict.wrong.update({(length, names[a]): int(wrong[a]) for a in wrong.nonzero()[0]})
                verdict.margin = min(verdict.margin, margin)


def count(answers, margins, wrong, members, size):
    """(contexts by answer, wrong ones by answer, smallest margin) of `members`."""
    return (
        np.bincount(answers[members], minlength=size),
        np.bincount(answers[members & wrong], minlength=size),
        float(margins[members].min(initial=inf)),
    )
