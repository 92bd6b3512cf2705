"""A history whose tokens are decided only when a rule looks at them."""

from collections.abc import Sequence


class History(Sequence):
    """A history whose tokens are chosen when the rule looks at them: the first look gives token 0.

    ids: (length,) list of token ids, -1 where nobody has looked; looked: positions in order of looks
    """

    def __init__(self, vocabulary, ids):
        self.vocabulary, self.ids, self.looked = vocabulary, ids, []

    def __len__(self):
        return len(self.ids)

    def __eq__(self, other):
        return list(self) == other

    def copy(self):
        """As a list, as that of a list is."""
        return list(self)

    def __add__(self, other):
        return list(self) + other

    def __radd__(self, other):
        return other + list(self)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self.ids))[index]]
        token = self.ids[index]
        if token < 0:
            self.looked.append(index)
            token = self.ids[index] = 0
        return self.vocabulary[token]
