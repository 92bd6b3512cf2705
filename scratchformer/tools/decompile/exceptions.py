"""Where a function of the history and a model differ: counted, and as product sets with one answer each."""

import time
from functools import partial
from math import prod

import numpy as np

from scratchformer.analysis.cases import Case, settle
from scratchformer.analysis.lazy_history import rule_cases
from scratchformer.run.data import make_vocabulary

BATCH = 512                             # cases judged at a time


def hold_against(judge, says, limit_seconds, progress):
    """(contexts that agree, exceptions, contexts left open, all contexts) of a function against its model."""
    model = judge.model
    T = model.config.model.block_size
    rule = partial(only, says)
    tables = [rule_cases(rule, make_vocabulary(model.config), length) for length in range(1, T + 1)]
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
    """([(members, token)], contexts left open): what the model says in cases where it does not say their
    answer."""
    waiting, labelled, left = [], [], 0
    for case in cases:
        left += take_apart(case, waiting)
    while waiting:
        if time.perf_counter() > deadline:
            return merged(labelled), left + sum(map(mask_size, waiting))
        masks, waiting = waiting[:BATCH], waiting[BATCH:]
        said = first_answers(judge, masks)
        trials = [Case(members, (token,)) for members, token in zip(masks, said, strict=True)]
        judge.judge(trials)
        for trial in trials:
            labelled += [(members, trial.answer[0]) for members in right_parts(trial)]
            left += take_apart(trial, waiting)
    return merged(labelled), left


def right_parts(case):
    """The masks of a judged Case's contexts that are right, as far as that is decided."""
    if case.verdict == "right":
        return [case.members]
    contexts, margins = case.each if len(case.each) else (np.zeros((0, 1), int), np.zeros(0))
    return list(contexts[margins > case.rounding][..., None] == np.arange(case.members.shape[1]))


def take_apart(case, waiting):
    """Put the masks of what is wrong or undecided in a judged Case to `waiting`; returns how many are too
    close."""
    if len(case.each):
        contexts, margins = case.each
        waiting += list(contexts[margins < -case.rounding][..., None] == np.arange(case.members.shape[1]))
        return int((abs(margins) <= case.rounding).sum())
    if case.verdict == "wrong":
        waiting.append(case.members)
    elif not case.verdict:
        waiting += case.split
    return case.size if case.verdict == "close" else 0


def first_answers(judge, masks):
    """What the model says after one context of each of some masks: ids."""
    answers = np.empty(len(masks), int)
    lengths = np.array([len(members) for members in masks])
    for length in np.unique(lengths):
        at = np.flatnonzero(lengths == length)
        contexts = np.array([masks[i].argmax(axis=1) for i in at])
        answers[at] = judge.model.forward(contexts).logits[:, -1].argmax(axis=-1)
    return answers.tolist()


def mask_size(members):
    """How many contexts a mask holds."""
    return prod(members.sum(axis=1).tolist())


def merged(labelled):
    """Product sets with the same answer that differ at one position only, made one: as long as there are
    some."""
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
