"""What a rule answers after every context, found by asking it once for all it can look at.

A rule is a Python function; calling it for each of millions of contexts would take minutes. But it
answers from the tokens it looks at. So it gets a history whose tokens are decided only when it looks
at them, and is called once for each way its looks can turn out; its answer holds for all contexts
that agree there. `plus_last_even`, asked about a context that ends in an odd number, looks at one token.
"""

from functools import lru_cache

import numpy as np

from scratchformer.system.errors import RunError
from scratchformer.tools.explore.history import History

MOST = np.iinfo(np.uint16).max          # answers that a table can number


class RuleTable:
    """A rule's answers, as tables.

    A table holds the contexts of a length that end in the same tokens (`suffix`): one entry for each
    string of the tokens before, the newest of them varying slowest. Entries number the `answers`,
    0 being no constraint.
    """

    def __init__(self, rule, vocabulary):
        self.rule, self.vocabulary = rule, vocabulary
        self.ids = {token: i for i, token in enumerate(vocabulary)}
        self.answers = {(): 0}
        self.read = lru_cache(maxsize=4)(self.read)
        self.producible = lru_cache(maxsize=4)(self.producible)

    def read(self, length, suffix):
        """The table of contexts of `length` tokens that end in the ids `suffix`: (V**known,) uint16."""
        V, known = len(self.vocabulary), length - len(suffix)
        table = np.zeros((V,) * known, np.uint16)
        history = History(self.vocabulary, [-1] * known + list(suffix))
        ids, looked = history.ids, history.looked
        while length:
            try:
                answer = self.rule(history)
            except (AttributeError, TypeError) as error:
                raise RunError(f"--prove: the rule asks what no Sequence answers: {error}") from error
            if answer:
                index = tuple(slice(None) if i < 0 else i for i in ids[:known][::-1])
                table[index] = self.number(answer)
            while looked and ids[looked[-1]] == V - 1:          # the next way in which it can go
                ids[looked.pop()] = -1
            if not looked:
                break
            ids[looked[-1]] += 1
        return table.ravel()

    def number(self, answer):
        """The number of an answer; RunError if it is none in this vocabulary, or one too many."""
        if not self.ids.keys() >= set(answer):
            raise RunError(f"--prove: the rule answers {answer}, which is not in the vocabulary of the run")
        number = self.answers.setdefault(tuple(sorted(answer, key=self.ids.get)), len(self.answers))
        if number > MOST:
            raise RunError(f"--prove: the rule has more than {MOST:,} different answers, too many to number")
        return number

    @property
    def allowed(self):
        """Whether each answer allows each token: (A, V) bool, row 0 all False."""
        return np.array([[token in answer for token in self.vocabulary] for answer in self.answers])

    def producible(self, length, suffix):
        """Whether each context of a table is producible: (V**known,) bool."""
        if length == 0:
            return np.ones(1, bool)
        if not suffix:
            return np.concatenate([self.producible(length - 1, ()) & self.allows(length - 1, (), token)
                                   for token in range(len(self.vocabulary))])
        return self.producible(length - 1, suffix[:-1]) & self.allows(length - 1, suffix[:-1], suffix[-1])

    def allows(self, length, suffix, token):
        """Whether a token may follow the contexts of a table: (V**known,) bool."""
        answers = self.read(length, suffix)
        allows = self.allowed[:, token]
        allows[0] = True
        return allows[answers]
