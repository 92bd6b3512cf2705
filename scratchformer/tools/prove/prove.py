"""A proof about a trained model: what it says after every context that the rule constrains.

A context is a string of 1 to block_size tokens. Two sets of them are judged:

    producible   the context itself breaks the rule nowhere: each of its tokens that the rule
                 constrains, given the tokens before it in the context, is allowed
    any          every string of tokens

The producible ones are exactly the starts of the sequences that the generator can draw (with
operator_probability strictly between 0 and 1; at 0 or 1 it draws fewer). Every window of such a
sequence is one too: a rule says of a window nothing that the longer history contradicts.

Contexts are not gone through one by one but in cases (scratchformer/analysis/cases.py); producible.py counts
the producible ones of a case. What came out is a `Proof`; verdict.py reports it.
"""

import time
from dataclasses import replace
from itertools import islice
from math import inf

import numpy as np

from scratchformer.analysis.cases import Judge, contexts_of, least_margin_of, settle
from scratchformer.analysis.lazy_history import as_masks, rule_cases
from scratchformer.analysis.producible import Producible
from scratchformer.engine.model import forward
from scratchformer.run.data import make_vocabulary
from scratchformer.tools.prove.verdict import LISTED, Failure, Proof, Verdict

FOR_CASES, FOR_MARGINS = 0.6, 0.1       # of the time, what may go into cases, and into smallest margins


def prove(model, limit_seconds=600, progress=None, most_listed=LISTED):
    """Judge a saved step's model after every context of 1 to block_size tokens -> Proof.

    progress: called with a text now and then; most_listed: failures of each set that are listed

    After `limit_seconds` it stops and gives the bounds that are certified by then.
    """
    start = time.perf_counter()
    progress = progress or (lambda text: None)
    progress("compiling; the machine code is kept for next time")
    vocabulary, T = make_vocabulary(model.config), model.config.model.block_size
    tables = [rule_cases(model.rule, vocabulary, length) for length in range(1, T + 1)]
    judge = Judge(model)
    rule_answers = [case for table in tables for case in table]
    settled = settle(judge, rule_answers, FOR_CASES * limit_seconds, progress)
    settled.cases.sort(key=lambda case: (len(case.members), contexts_key(case)))
    automaton = Producible(tables, len(vocabulary))
    producible = count_producible(settled, tables, automaton, vocabulary)
    everything = count_all(settled, vocabulary)
    deadline = time.perf_counter() + FOR_MARGINS * limit_seconds
    find_margins(judge, settled, automaton, producible, everything, deadline)
    failures = list_failures(model, settled, automaton, most_listed)
    return Proof(
        model.name, model.step, T, time.perf_counter() - start, settled.judged, settled,
        [case for table in tables for case in table if not case.answer],
        replace(producible, failures=failures[True]),
        replace(everything, failures=failures[True] + failures[False]),
    )


def contexts_key(case):
    """Cases by their first context, the newest tokens first."""
    return tuple(case.members.argmax(axis=1)[::-1].tolist())


def group_of(case, vocabulary):
    """(length, allowed tokens) of a case."""
    return len(case.members), tuple(vocabulary[i] for i in case.answer)


def count_all(settled, vocabulary):
    """The Verdict of all contexts, counted."""
    verdict = Verdict()
    for case in settled.cases:
        group, (right, wrong, close) = group_of(case, vocabulary), case.count()
        verdict.add(group, right + wrong + close, wrong, close)
    for case in settled.undecided:
        verdict.add(group_of(case, vocabulary), case.size, undecided=case.size)
    return verdict


def count_producible(settled, tables, automaton, vocabulary):
    """The Verdict of the producible contexts, counted."""
    verdict = Verdict()
    for table in tables:
        for case in table:
            if case.answer:
                (members,) = as_masks([case], len(vocabulary))
                group = len(case.sets), tuple(vocabulary[i] for i in case.answer)
                verdict.add(group, automaton.count(members))
    for case in settled.cases:
        group = group_of(case, vocabulary)
        if case.verdict == "mixed":
            contexts, margins = case.each
            off = margins <= case.rounding
            margins = margins[off][automaton.are(contexts[off])]
            wrong = int((margins < -case.rounding).sum())
            verdict.add(group, 0, wrong, len(margins) - wrong)
        elif case.verdict in ("wrong", "close"):
            verdict.add(group, 0, **{case.verdict: automaton.count(case.members)})
    for case in settled.undecided:
        verdict.add(group_of(case, vocabulary), 0, undecided=automaton.count(case.members))
    return verdict


def find_margins(judge, settled, automaton, producible, everything, deadline):
    """Fill in the smallest margin of both Verdicts, with a context that has it."""
    vocabulary = make_vocabulary(judge.model.config)
    cases = [case for case in settled.cases if case.lower < inf]
    judge.judge([case for case in settled.undecided if not case.where])
    cases += settled.undecided
    for verdict, among in ((everything, None), (producible, automaton)):
        if among:
            cases = [case for case in cases if automaton.count(case.members)]
        verdict.margin, context, verdict.floor = least_margin_of(judge, cases, among, deadline)
        verdict.context = tuple(vocabulary[i] for i in context)


def list_failures(model, settled, automaton, most):
    """The first `most` failures after producible contexts, and after others: lists of Failure by that
    flag."""
    vocabulary, failures = make_vocabulary(model.config), {True: [], False: []}
    for case in settled.cases:
        if case.verdict in ("wrong", "mixed"):
            for flag, listed in failures.items():
                ids = wrong_contexts(case, automaton, flag, most - len(listed))
                if len(ids):
                    margins, says = margins_after(model, ids, case.answer)
                    _, allowed = group_of(case, vocabulary)
                    rows = zip(ids.tolist(), says.tolist(), margins.tolist(), strict=True)
                    listed += [
                        Failure(flag, tuple(vocabulary[i] for i in ids), vocabulary[said], allowed, margin)
                        for ids, said, margin in rows
                    ]
    return failures


def wrong_contexts(case, automaton, flag, most):
    """At most so many of a case's wrong contexts, all producible or all not (`flag`): (N, L) ids."""
    if most <= 0:
        return []
    if case.verdict == "mixed":
        contexts, margins = case.each
        contexts = contexts[margins < -case.rounding]
        return contexts[automaton.are(contexts) == flag][:most]
    if flag:
        return np.array(list(islice(automaton.contexts(case.members), most)), int)
    if automaton.count(case.members) == case.size:
        return []
    contexts = first_contexts(case, 4 * most)
    return contexts[~automaton.are(contexts)][:most]


def first_contexts(case, most):
    """The first contexts of a case, at most about so many: (N, L) ids, the newest tokens varying slowest."""
    members, size = case.members.copy(), case.size
    for t in range(len(members) - 1, -1, -1):
        while size > most and members[t].sum() > 1:
            size = size // int(members[t].sum()) * (int(members[t].sum()) - 1)
            members[t, members[t].nonzero()[0][-1]] = False
    return contexts_of(members)


def margins_after(model, ids, answer):
    """(margins, likeliest tokens) by `model.forward` after contexts with one answer: ids (N, L) -> (N,)
    twice."""
    margins, says = np.empty(len(ids)), np.empty(len(ids), np.int64)
    allowed = np.isin(np.arange(len(model.vocabulary)), answer)
    for first in range(0, len(ids), 4096):
        part = slice(first, first + 4096)
        logits = forward(model.params, ids[part], None, model.use_residual).logits[:, -1]
        margins[part] = logits[:, allowed].max(axis=1) - logits[:, ~allowed].max(axis=1)
        says[part] = logits.argmax(axis=1)
    return margins, says
