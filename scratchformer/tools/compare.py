"""Two models side by side: answers that flip, attention that moves, what is proved of each.

Both read the same windows: all held-out ones of the first model's run, judged by its rule.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scratchformer.engine.names import PARAMETER_NAMES
from scratchformer.run.judge import count_wrong, lands_right
from scratchformer.system.errors import RunError
from scratchformer.tools.prove.prove import prove

PROVING = 20.0                          # seconds for the proof of each model, at most
SHOWN = 5                               # answers that flip, in the report
KINDS = {                               # of flips: (right before, right after) -> what became of the answer
    (False, True): "become right", (True, False): "become wrong", (False, False): "stay wrong, another way",
    (True, True): "stay right, another way",
}


class Flip(NamedTuple):
    """A constrained position at which the two predict differently."""

    context: tuple                      # tokens of the window up to it
    allowed: tuple                      # what the rule allows
    before: str                         # the top prediction of the first model
    after: str                          # and of the second


class Moved(NamedTuple):
    """How differently the two attend from one token."""

    token: str
    distance: float                     # mean of half the sum of |A - A'| over a query's keys, 0 to 1
    share: float                        # of its queries: another key is read most
    queries: int


@dataclass
class Comparison:
    """What differs between two models; shown as text."""

    names: tuple                        # of the two, such as "step 5,000"
    title: str
    windows: int
    constrained: int
    wrong: tuple                        # constrained held-out positions, of each
    losses: tuple
    kinds: Counter                      # of flips, by KINDS
    flips: list                         # a Flip each: the first of a context only
    attention: list                     # a Moved a token, the most moved first
    parameters: list                    # (name, |difference| / |first|), the most moved first
    proofs: tuple                       # a Proof each; () where the rule constrains nothing

    def __repr__(self):
        return comparison_report(self)


def compare(first, second, names=None, progress=lambda text: None):
    """The Comparison of two Models with one vocabulary and window.

    Raises RunError for two that cannot read the same windows.
    """
    if first.vocabulary != second.vocabulary:
        raise RunError(f"{first.name} and {second.name} have different tokens: they cannot be compared")
    T = first.config.model.block_size
    if T != second.config.model.block_size:
        raise RunError(f"{first.name} has block_size {T}, {second.name} "
                       f"{second.config.model.block_size}: they cannot be compared")
    progress("reading the held-out windows")
    one, allowed = first.held_out, first.run.held_out.allowed
    other = second.forward(one.tokens, one.targets)
    flips, kinds = find_flips(first.vocabulary, one, other, allowed)
    proofs = ()
    if allowed.any():
        proofs = tuple(prove(model, PROVING, progress, most_listed=0) for model in (first, second))
    return Comparison(
        tuple(names or differing_names(first, second)), first.name, len(one.tokens),
        int(allowed.any(axis=-1).sum()),
        tuple(count_wrong(cache.logits, allowed)[0] for cache in (one, other)),
        (float(one.loss), float(other.loss)), kinds, flips,
        moved_attention(first.vocabulary, one, other), moved_parameters(first.params, second.params), proofs,
    )


def differing_names(first, second):
    """What tells two models apart: their steps, or their runs."""
    if first.run.folder == second.run.folder:
        return f"step {first.step:,}", f"step {second.step:,}"
    return first.name, second.name


def find_flips(vocabulary, one, other, allowed):
    """(a Flip for each context after which the answer differs, a Counter of all such positions by kind)."""
    before, after = one.logits.argmax(axis=-1), other.logits.argmax(axis=-1)
    rights = [lands_right(cache.logits, allowed) for cache in (one, other)]
    kinds, found = Counter(), {}
    for b, t in zip(*np.nonzero((before != after) & allowed.any(axis=-1)), strict=True):
        kinds[KINDS[tuple(bool(right[b, t]) for right in rights)]] += 1
        context = tuple(vocabulary[i] for i in one.tokens[b, : t + 1])
        found.setdefault(context, Flip(
            context, tuple(vocabulary[i] for i in np.flatnonzero(allowed[b, t])),
            vocabulary[before[b, t]], vocabulary[after[b, t]],
        ))
    return sorted(found.values(), key=lambda flip: (len(flip.context), flip.context)), kinds


def moved_attention(vocabulary, one, other):
    """A Moved for each token that reads somewhere, the most moved first; [] if the heads differ in number."""
    if one.attention.shape != other.attention.shape:
        return []
    distance = np.abs(one.attention - other.attention).sum(axis=-1).mean(axis=1) / 2        # (B, T)
    another = (one.attention.argmax(axis=-1) != other.attention.argmax(axis=-1)).mean(axis=1)
    moved = []
    for token, word in enumerate(vocabulary):
        at = one.tokens == token
        if at.any():
            moved.append(Moved(word, float(distance[at].mean()), float(another[at].mean()), int(at.sum())))
    return sorted(moved, key=lambda each: -each.distance)


def moved_parameters(one, other):
    """(name, |difference| / |first|) of every parameter of the same shape, the most moved first."""
    found = []
    for name in PARAMETER_NAMES:
        before, after = getattr(one, name), getattr(other, name)
        if before.shape == after.shape and before.size:
            size = float(np.linalg.norm(before)) or 1.0
            found.append((name, float(np.linalg.norm(after - before)) / size))
    return sorted(found, key=lambda each: -each[1])


def comparison_report(found):
    """A Comparison as text, at most 80 columns wide."""
    width = max(12, *map(len, found.names))
    rows = [("", *found.names)]
    if found.constrained:
        rows.append(("rule error", *(f"{wrong / found.constrained:.2%}" for wrong in found.wrong)))
        rows.append((f"wrong of {found.constrained:,} positions", *(f"{wrong:,}" for wrong in found.wrong)))
    rows.append(("loss", *(f"{loss:.4f}" for loss in found.losses)))
    for kind in ("any", "producible") if found.proofs else ():
        verdicts = [getattr(proof, kind) for proof in found.proofs]
        of = "contexts there are" if kind == "any" else "producible contexts"
        rows.append((f"wrong of all {of}", *(
            f"{verdict.wrong.total():,}" + "+" * bool(verdict.open) for verdict in verdicts
        )))
        rows.append(("  of", *(f"{verdict.total.total():,}" for verdict in verdicts)))
    if found.proofs:
        rows.append(("cases of the proof", *(f"{proof.judged:,}" for proof in found.proofs)))
    names = " and ".join(found.names)
    lines = [f"{found.title}: {names} on {found.windows:,} held-out windows", ""]
    lines += [f"{left:<34}" + "".join(f"{cell:>{width + 2}}" for cell in cells) for left, *cells in rows]
    if found.constrained:
        count = found.kinds.total()
        what = "; ".join(f"{n:,} {kind}" for kind, n in found.kinds.most_common())
        lines += ["", f"answers that flip: {count:,} of {found.constrained:,}" + f": {what}" * bool(what)]
        for flip in found.flips[:SHOWN]:
            asked = " or ".join(flip.allowed)
            lines.append(f"  {' '.join(flip.context):<26} asked {asked}: {flip.before} -> {flip.after}")
        if len(found.flips) > SHOWN:
            lines.append(f"  and after {len(found.flips) - SHOWN:,} other contexts")
    if found.attention:
        lines += ["", "attention that moves, by query: mean distance (0 to 1), another key is read most"]
        lines += [
            f"  {each.token:<6}{each.distance:>8.3f}{each.share:>9.1%}" for each in found.attention[:SHOWN]
        ]
    moved = ", ".join(f"{name} {share:.0%}" for name, share in found.parameters[:SHOWN])
    return "\n".join([*lines, "", f"parameters that moved most: {moved}"])
