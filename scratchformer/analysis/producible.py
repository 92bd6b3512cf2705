"""Which contexts break the rule nowhere, and how many of a case do: counted by an automaton, not one by one.

A context is producible if each of its tokens is one that the rule allows after the tokens before it, or comes
where the rule says nothing. Of a prefix only this matters: what the rule will answer after it, whatever
follows. Two prefixes that lie in the same RuleCases of all greater lengths, up to what these say of the
tokens to come, are one state (Myhill and Nerode); for `plus_last_even` a state is the last even number. The
strings of a case that reach each state are counted from the oldest position to the newest.
"""

import numpy as np

from scratchformer.analysis.lazy_history import as_masks

MOST_STATES = 50_000                    # at one position


class TooManyStates(Exception):
    """The rule remembers too much of the past for its states to be told apart."""


class Producible:
    """The automaton of a rule over contexts of at most T tokens.

    tables: RuleCases of each length, 1, 2, ..., T; size: of the vocabulary

    steps[t]: (S, V), the state at t + 1 after each state at t and token, -1 where the rule forbids it
    Raises TooManyStates.
    """

    def __init__(self, tables, size):
        self.size, self.T = size, len(tables)
        self.dtype = np.int64 if size ** self.T < 2**62 else object
        cases = [case for table in tables[:-1] for case in table if case.answer]
        lengths = np.array([len(case.sets) for case in cases], int)
        sets = np.zeros((len(cases), self.T, size), bool)
        for length in range(1, self.T):
            (at,) = (lengths == length).nonzero()
            if len(at):
                sets[at, :length] = as_masks([cases[i] for i in at], size)
        answers = [np.isin(np.arange(size), case.answer) for case in cases]
        futures = label_futures(cases, sets, lengths)
        self.steps, self.arrows, self.reached = [], {}, {}
        states = {(): np.arange(len(cases))}                    # the RuleCases that a state's prefixes lie in
        for t in range(self.T):
            step, after, numbers = np.full((len(states), size), -1), {}, {}
            for state, inside in enumerate(states.values()):
                allows = np.ones(size, bool)
                for case in inside[lengths[inside] == t]:
                    allows &= answers[case]
                longer = inside[lengths[inside] > t]
                columns = sets[longer, t]
                known = {}
                for token in allows.nonzero()[0]:
                    left = longer[columns[:, token]]
                    name = known.setdefault(left.tobytes(), tuple(sorted({*futures[t + 1][left].tolist()})))
                    after.setdefault(name, left)
                    step[state, token] = numbers.setdefault(name, len(numbers))
            if len(after) > MOST_STATES:
                raise TooManyStates
            self.steps.append(step)
            states = after

    def count(self, members):
        """How many contexts of a case are producible: (L, V) bool -> int."""
        return int(self.counts(members, len(members)).sum())

    def counts(self, members, length):
        """How many strings of a case's first positions reach each state: (S,)."""
        if length == 0:
            return np.ones(1, self.dtype)
        key = members[:length].tobytes()
        if key not in self.reached:
            before = self.counts(members, length - 1)
            source, target, states = self.arrows_of(length - 1, members[length - 1])
            after = np.zeros(states, self.dtype)
            np.add.at(after, target, before[source])
            self.reached[key] = after
        return self.reached[key]

    def arrows_of(self, t, tokens):
        """(sources, targets, states after) of all steps at a position with one of some tokens (V,) bool."""
        key = t, tokens.tobytes()
        if key not in self.arrows:
            step = np.where(tokens, self.steps[t], -1)
            source, token = (step >= 0).nonzero()
            self.arrows[key] = source, step[source, token], int(self.steps[t].max()) + 1
        return self.arrows[key]

    def are(self, contexts):
        """Whether each of some contexts is producible: (N, L) ids -> (N,) bool."""
        contexts = np.asarray(contexts)
        state, alive = np.zeros(len(contexts), int), np.ones(len(contexts), bool)
        for t in range(contexts.shape[1]):
            state = self.steps[t][state, contexts[:, t]]
            alive &= state >= 0
            state = np.maximum(state, 0)
        return alive

    def cut(self, members, context):
        """Split a case at what makes one of its contexts (L,) not producible: two (L, V) masks, None if it
        is.

        Where its token is forbidden: between tokens allowed there and others. Where all of the case's are: at
        the newest position before with a choice, between tokens after which one is allowed and others.
        """
        context, state = np.array(context), 0
        for t, token in enumerate(context):
            after, before = self.steps[t][state, token], state
            if after < 0:
                break
            state = after
        else:
            return None
        good = members[t] & (self.steps[t][before] >= 0)
        position = t
        if not good.any():
            position = max((s for s in range(t) if members[s].sum() > 1), default=t)
            path = members.copy()
            for x in members[position].nonzero()[0]:
                path[position] = np.arange(self.size) == x
                path[:position] = context[:position, None] == np.arange(self.size)
                good[x] = self.count(path[: t + 1]) > 0
        parts = members.copy(), members.copy()
        parts[0][position] &= good
        parts[1][position] &= ~good
        return parts if parts[0].any(axis=1).all() and parts[1].any(axis=1).all() else None

    def contexts(self, members):
        """The producible contexts of a case, one by one, as tuples of ids; none is tried in vain."""
        L = len(members)
        leads_on = [np.ones(int(self.steps[L - 1].max(initial=0)) + 1, bool)]      # to a context of the case
        for t in range(L - 1, -1, -1):
            step = self.steps[t]
            leads_on.insert(0, ((step >= 0) & leads_on[0][step] & members[t]).any(axis=1))
        waiting = [((), 0)] if leads_on[0][0] else []
        while waiting:
            context, state = waiting.pop()
            t = len(context)
            if t == L:
                yield context
                continue
            for token in members[t].nonzero()[0][::-1].tolist():
                after = self.steps[t][state, token]
                if after >= 0 and leads_on[t + 1][after]:
                    waiting.append(((*context, token), after))


def label_futures(cases, sets, lengths):
    """futures[t][i]: a number for what case i says of the tokens from position t on, and answers: (T + 1,
    M)."""
    M, T, _ = sets.shape
    labels, futures = np.zeros(M, int), [None] * (T + 1)
    for t in range(T, -1, -1):
        numbers = {}
        for i in range(M):
            if lengths[i] == t:
                key = cases[i].answer
            elif lengths[i] > t:
                key = labels[i], sets[i, t].tobytes()
            else:
                continue
            labels[i] = numbers.setdefault((lengths[i] == t, key), len(numbers))
        futures[t] = labels.copy()
    return futures
