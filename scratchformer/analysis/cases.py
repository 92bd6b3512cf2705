"""Every context there is, settled in cases: where a model follows a rule, where not, with exact counts.

A case is a product set of contexts: each position has its own set of tokens. The rule answers all of a case
alike (lazy_history.py), and bounds of the margin (bounds.py) hold for all of it:

    right   the margin is above rounding after every context of the case
    wrong   it is below minus rounding after every one
    close   it is within rounding of 0 after every one: too close to call
    mixed   few enough contexts to judge each by itself

Where the bounds decide nothing, one position's set is split in two, the largest cases first. This ends, for
any model: a single context's bounds are its margin. Rounding is that of `make_query`, so a verdict is a
theorem on the real-number model and on `model.forward` in float64 alike. Branch and bound with a trade of
compute for tightness as in Gross et al. 2024 (arXiv 2406.11779), here carried on until the counts are exact.
"""

import heapq
import time
from dataclasses import dataclass
from math import inf, prod

import numpy as np

from scratchformer.analysis.bounds import judge_cases
from scratchformer.analysis.lazy_history import as_masks
from scratchformer.analysis.query import make_query

FEW = 64                                # contexts of a case that are judged one by one
TINY = np.finfo(float).tiny
ROUND = 4096                            # cases judged between two looks at the clock


@dataclass(eq=False)
class Case:
    """Contexts of one length that end in one token: all that take a token of each position's set."""

    members: np.ndarray                 # (L, V) bool
    answer: tuple                       # ids of the tokens that the rule allows, all contexts alike
    verdict: str = ""                   # right, wrong, close or mixed; "" undecided
    lower: float = -inf                 # the margin of every context is at least that
    margin: float = inf                 # that of `context`, near the least
    context: tuple = ()                 # ids
    where: tuple = ()                   # (position, gains (V,)) to split at; none where it is judged by each
    each: tuple = ()                    # where judged by each: ids (N, L) and margins (N,) of its contexts
    rounding: float = 0.0

    @property
    def sizes(self):
        """How many tokens each position's set has."""
        return self.members.sum(axis=1).tolist()

    @property
    def size(self):
        """How many contexts these are."""
        return prod(self.sizes)

    @property
    def key(self):
        """(length, last token's id): what its Query depends on."""
        return len(self.members), int(self.members[-1].argmax())

    @property
    def split(self):
        """Two (L, V) masks: what to judge if it is not decided."""
        return split_members(self.members, *self.where)

    def count(self):
        """(right, wrong, close) contexts."""
        if self.verdict == "mixed":
            _, margins = self.each
            right, wrong = int((margins > self.rounding).sum()), int((margins < -self.rounding).sum())
            return right, wrong, len(margins) - right - wrong
        return tuple(self.size if self.verdict == verdict else 0 for verdict in ("right", "wrong", "close"))


class Judge:
    """Judges cases of a model, a batch at a time."""

    def __init__(self, model):
        self.model = model
        self.queries = {}

    def query(self, key):
        """(Query, rounding) of contexts of a length that end in a token."""
        if key not in self.queries:
            self.queries[key] = make_query(self.model, *key)
        return self.queries[key]

    def judge(self, cases):
        """Fill in what is found of each of some cases."""
        groups = {}
        for case in cases:
            groups.setdefault(case.key, []).append(case)
        for key, group in groups.items():
            few = [case for case in group if case.size <= FEW]
            for case in few:
                self.judge_each(case, key)
            many = [case for case in group if case.size > FEW]
            if many:
                self.judge_group(many, key)

    def judge_group(self, cases, key):
        """The same for cases of one query, each by its bounds."""
        query, rounding = self.query(key)
        members, answers = np.array([case.members for case in cases]), [case.answer for case in cases]
        lower, upper, margins, contexts, positions, gains = run_kernel(query, rounding, members, answers)
        for n, case in enumerate(cases):
            case.lower, case.margin, case.rounding = float(lower[n]), float(margins[n]), rounding
            case.context = tuple(contexts[n].tolist())
            if lower[n] > rounding:
                case.verdict = "right"
            elif upper[n] < -rounding:
                case.verdict = "wrong"
            elif lower[n] >= -rounding and upper[n] <= rounding:
                case.verdict = "close"
            case.where = positions[n], gains[n]

    def judge_each(self, case, key):
        """Judge a case by each of its contexts."""
        query, rounding = self.query(key)
        contexts = contexts_of(case.members)
        V = case.members.shape[1]
        singles = contexts[..., None] == np.arange(V)
        lower, *_ = run_kernel(query, rounding, singles, [case.answer] * len(contexts))
        least = int(lower.argmin())
        case.rounding, case.lower, case.margin = rounding, float(lower[least]), float(lower[least])
        case.context, case.each = tuple(contexts[least].tolist()), (contexts, lower)
        case.verdict = "mixed"
        if lower.min() > rounding:
            case.verdict = "right"
        elif lower.max() < -rounding:
            case.verdict = "wrong"
        elif abs(lower).max() <= rounding:
            case.verdict = "close"


def run_kernel(query, rounding, members, answers):
    """`judge_cases` with its arrays made: members (N, L, V), answers: N tuples of ids."""
    N, L, V = members.shape
    allowed = np.zeros((N, V), bool)
    for row, answer in zip(allowed, answers, strict=True):
        row[list(answer)] = True
    outputs = (
        np.empty(N), np.empty(N), np.empty(N), np.empty((N, L), np.int64), np.empty(N, np.int64),
        np.empty((N, V)),
    )
    judge_cases(query, members, allowed, rounding, *outputs)
    return outputs


def split_members(members, position, gains):
    """Split a case at a position: two (L, V) masks, the tokens with lower gains and those with higher.

    The cut is that of 2-means on a line: where i (n - i) (mean above - mean below)² is largest.
    """
    tokens = members[position].nonzero()[0]
    tokens = tokens[gains[tokens].argsort(kind="stable")]
    i, n = np.arange(1, len(tokens)), len(tokens)
    gains = gains[tokens] / max(abs(gains[tokens]).max(), TINY)
    below, total = gains.cumsum()[:-1], gains.sum()
    first = int((i * (n - i) * ((total - below) / (n - i) - below / i) ** 2).argmax()) + 1
    parts = members.copy(), members.copy()
    for part, gone in zip(parts, (tokens[first:], tokens[:first]), strict=True):
        part[position, gone] = False
    return parts


def contexts_of(members):
    """All contexts of a case, the last position varying fastest: (L, V) bool -> (N, L) ids."""
    grids = np.meshgrid(*(row.nonzero()[0] for row in members), indexing="ij")
    return np.stack(grids, axis=-1).reshape(-1, len(members))


@dataclass(eq=False)
class Settled:
    """What is known of all contexts of 1 to block_size tokens that the rule constrains."""

    cases: list                         # of decided Cases
    undecided: list                     # of Cases that time did not suffice for
    trace: list                         # (seconds, share of constrained contexts not settled) now and then
    judged: int                         # how many cases were judged, those that were split included


def settle(judge, rule_cases, limit_seconds=inf, progress=lambda text: None):
    """Settle every context that a rule constrains: Settled. Not all of them, if the time is up before.

    It also ends where fewer contexts are left than are too close to call anyway: no count would be exact.
    judge: Judge of the model; rule_cases: RuleCases of any lengths, disjoint
    """
    start = time.perf_counter()
    settled, heap, total = Settled([], [], [], 0), [], 0
    for rule_case in rule_cases:
        for case in split_last_token(rule_case, len(judge.model.vocabulary)) if rule_case.answer else ():
            total += case.size
            if len(case.answer) == len(judge.model.vocabulary):     # everything is allowed
                case.verdict, case.lower = "right", inf
                settled.cases.append(case)
            else:
                heap.append((-case.size, len(heap), case))
    heapq.heapify(heap)
    order, left, close = len(heap), sum(-size for size, *_ in heap), 0
    while heap and left >= close and time.perf_counter() - start < limit_seconds:
        taken = [heapq.heappop(heap)[2] for _ in range(min(ROUND, len(heap)))]
        judge.judge(taken)
        settled.judged += len(taken)
        for case in taken:
            if case.verdict:
                settled.cases.append(case)
                left, close = left - case.size, close + case.count()[2]
                continue
            for members in case.split:
                order += 1
                part = Case(members, case.answer)
                heapq.heappush(heap, (-part.size, order, part))
        settled.trace.append((time.perf_counter() - start, left / total))
        progress(f"{1 - left / total:.4%} of {total:.3g} contexts settled in {len(settled.cases):,} cases; "
                 f"{len(heap):,} to go")
    settled.undecided = [case for *_, case in heap]
    return settled


def split_last_token(rule_case, size):
    """The Cases of a RuleCase: one for each last token."""
    (members,) = as_masks([rule_case], size)
    for token in rule_case.sets[-1]:
        own = members.copy()
        own[-1] = False
        own[-1, token] = True
        yield Case(own, rule_case.answer)


def least_margin_of(judge, cases, among=None, deadline=inf):
    """(margin, context, floor): the smallest margin of the contexts in some judged cases.

    among: a Producible: of its contexts only. floor: no such context has a smaller margin than that, which is
    the margin itself, but for rounding, unless the time was up before. (inf, (), inf) if there is no context.
    """
    best = min((found_in(case, among) for case in cases), default=(inf, ()))
    heap = [(case.lower, n, case) for n, case in enumerate(cases) if case.lower < best[0] and case.where]
    heapq.heapify(heap)
    order = len(heap)
    while heap and heap[0][0] < best[0] - 1e-12 * (1 + abs(best[0])):
        if time.perf_counter() > deadline:
            return *best, heap[0][0]
        taken = [heapq.heappop(heap) for _ in range(min(64, len(heap)))]
        parts = [
            (bound, Case(members, case.answer)) for bound, _, case in taken if bound < best[0]
            for members in (among and among.cut(case.members, case.context)) or case.split
            if among is None or among.count(members)
        ]
        judge.judge([part for _, part in parts])
        for bound, part in parts:
            best = min(best, found_in(part, among))
            if part.where:
                order += 1
                heapq.heappush(heap, (max(part.lower, bound), order, part))
    return *best, best[0]


def found_in(case, among):
    """(margin, context) of what is known of a case's contexts, or of those in `among`; (inf, ()) if nothing
    is."""
    contexts, margins = case.each if len(case.each) else (np.array([case.context]), np.array([case.margin]))
    if among is not None:
        inside = among.are(contexts)
        contexts, margins = contexts[inside], margins[inside]
    if not len(margins):
        return inf, ()
    least = int(margins.argmin())
    return float(margins[least]), tuple(contexts[least].tolist())
