"""What an exhaustive check found (see `prove.py`), and its text."""

import textwrap
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter
from typing import NamedTuple

LISTED = 100_000                        # failures listed of each set at most; all are counted
WIDTH = 80                              # of the report


class Failure(NamedTuple):
    """A context after which the top prediction is not allowed."""

    producible: bool
    context: tuple
    predicted: object                   # the top prediction
    allowed: tuple
    margin: float


@dataclass
class Verdict:
    """What came out of one set of contexts."""

    total: Counter = field(default_factory=Counter)     # contexts by (length, allowed tokens)
    wrong: Counter = field(default_factory=Counter)     # of these, as many fail
    margin: float = inf                 # the smallest: top allowed logit minus best logit not allowed
    context: tuple = ()                 # the tokens it belongs to
    failures: list = field(default_factory=list)        # the first LISTED, by length

    def __add__(self, other):
        """The Verdict of both sets together."""
        margin, context = min((self.margin, self.context), (other.margin, other.context), key=itemgetter(0))
        failures = self.failures + other.failures
        return Verdict(self.total + other.total, self.wrong + other.wrong, margin, context, failures)


class Proof(NamedTuple):
    """The outcome of `prove`."""

    name: str
    step: int
    block_size: int
    seconds: float
    producible: Verdict
    any: Verdict                        # its failures: the producible ones, then the others

    @property
    def exit_code(self):
        """0 if the model is right after all producible contexts, else 1."""
        return 1 if self.producible.wrong else 0


def prove_report(proof):
    """The outcome as text, at most 80 columns wide."""
    lines = textwrap.wrap(
        f"{proof.name} at step {proof.step:,}: every context of 1 to {proof.block_size} tokens "
        f"that the rule constrains, judged in {proof.seconds:.1f} s", WIDTH,
    )
    lines.append(f"\n{'contexts':<14}{'number':>16}{'wrong':>14}{'share':>11}   smallest margin")
    for name, verdict in (("producible", proof.producible), ("any string", proof.any)):
        total, wrong = verdict.total.total(), verdict.wrong.total()
        share = f"{wrong / max(total, 1):.4%}"
        lines.append(f"{name:<14}{total:>16,}{wrong:>14,}{share:>11}{verdict.margin:>18.3g}")
    for name, verdict in (("producible", proof.producible), ("any string", proof.any)):
        if verdict.context:
            lines.append(cut_line(f"smallest margin, {name}: after {join(verdict.context)}"))
    if proof.any.wrong:
        lines += groups("wrong, by length", proof, lambda key: f"{key[0]} tokens")
        lines += groups("wrong, by answer", proof, lambda key: join(key[1]))
        lines.append("\nthe first ten failures")
        for failure in proof.any.failures[:10]:
            lines.append(cut_line(
                f"  {join(failure.context)}: predicts {failure.predicted}, allowed {join(failure.allowed)}, "
                f"margin {failure.margin:.3g}" + ("" if failure.producible else " (not producible)")
            ))
    total, wrong = proof.producible.total.total(), proof.producible.wrong.total()
    if wrong:
        lines.append(f"\nNOT proved: wrong after {wrong:,} of {total:,} producible contexts")
    elif total:
        lines.append(f"\nproved: right after each of {total:,} producible contexts")
    else:
        lines.append("\nnothing to prove: the rule constrains no producible context")
    return "\n".join(lines)


def groups(title, proof, name):
    """Lines that count wrong contexts by a name made of (length, answer): the twelve worst groups."""
    counts = [Counter() for _ in range(4)]
    for group, counter in zip(counts, (
        proof.producible.wrong, proof.producible.total, proof.any.wrong, proof.any.total,
    ), strict=True):
        for key, count in counter.items():
            group[name(key)] += count
    lines = [f"\n{title:<22}{'producible':>12}{'of':>16}{'any':>12}{'of':>16}"]
    worst = counts[2].most_common(12)
    for group, _ in worst:
        wrong, total, wrong_any, total_any = (count[group] for count in counts)
        lines.append(f"{cut_line(group, 20):<22}{wrong:>12,}{total:>16,}{wrong_any:>12,}{total_any:>16,}")
    if len(counts[2]) > len(worst):
        lines.append(f"and {len(counts[2]) - len(worst):,} more")
    return lines


def join(tokens):
    """Tokens as text."""
    return " ".join(map(str, tokens))


def cut_line(text, width=WIDTH):
    """The text, cut to a width."""
    return text if len(text) <= width else text[: width - 3] + "..."


def failures_text(proof):
    """The listed failures as a table with tabs between columns: at most LISTED of each set."""
    lines = ["producible\tcontext\tpredicted\tallowed\tmargin"]
    for failure in proof.any.failures:
        lines.append("\t".join((
            "yes" if failure.producible else "no", join(failure.context), str(failure.predicted),
            join(failure.allowed), f"{failure.margin:.6g}",
        )))
    return "\n".join(lines) + "\n"
