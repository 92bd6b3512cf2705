"""What a proof found (see `prove.py`), and its text."""

import textwrap
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

LISTED = 100_000                        # failures listed of each set at most; all are counted
WIDTH = 80                              # of the report


class Failure(NamedTuple):
    """A context after which the likeliest token is not allowed."""

    producible: bool
    context: tuple
    predicted: object                       # the likeliest token
    allowed: tuple
    margin: float


@dataclass
class Verdict:
    """What came out of one set of contexts."""

    total: Counter = field(default_factory=Counter)     # contexts by (length, allowed tokens)
    wrong: Counter = field(default_factory=Counter)     # of these, as many fail
    close: Counter = field(default_factory=Counter)     # as many are too close to call: within rounding of 0
    undecided: Counter = field(default_factory=Counter)     # and for as many the time did not suffice
    margin: float = inf                 # the smallest: top allowed logit minus best logit not allowed
    floor: float = inf                  # none is smaller: the margin itself unless the time was up before
    context: tuple = ()                 # the tokens it belongs to
    failures: list = field(default_factory=list)        # the first LISTED, by length

    def add(self, group, total, wrong=0, close=0, undecided=0):
        """Count contexts of a group: (length, allowed tokens)."""
        for counter, count in (
            (self.total, total), (self.wrong, wrong), (self.close, close), (self.undecided, undecided),
        ):
            if count:
                counter[group] += count

    @property
    def open(self):
        """How many contexts are neither proved right nor proved wrong."""
        return self.close.total() + self.undecided.total()


class Proof(NamedTuple):
    """The outcome of `prove`."""

    name: str
    step: int
    block_size: int
    seconds: float
    judged: int                         # cases, those that were split included
    settled: object                     # the Settled cases that the counts come from
    free: list                          # RuleCases of the contexts that the rule says nothing about
    producible: Verdict
    any: Verdict                        # its failures: the producible ones, then the others

    @property
    def exit_code(self):
        """0 if the model is proved right after all producible contexts, else 1."""
        return 1 if self.producible.wrong or self.producible.open else 0

    def __repr__(self):
        return prove_report(self)


def prove_report(proof):
    """The outcome as text, at most 80 columns wide."""
    verdicts = (("producible", proof.producible), ("any string", proof.any))
    lines = textwrap.wrap(
        f"{proof.name} at step {proof.step:,}: every context of 1 to {proof.block_size} tokens that the rule "
        f"constrains, in {proof.judged:,} cases, judged in {proof.seconds:.1f} s", WIDTH,
    )
    lines.append(f"\n{'contexts':<11}{'number':>23}{'wrong':>23}{'share':>9}{'least margin':>14}")
    for name, verdict in verdicts:
        total, wrong = verdict.total.total(), verdict.wrong.total()
        share = f"{wrong / max(total, 1):.4%}"
        lines.append(f"{name:<11}{amount(total):>23}{amount(wrong):>23}{share:>9}{verdict.margin:>14.3g}")
    for name, verdict in verdicts:
        if verdict.close:
            lines.append(f"too close to call, {name}: {amount(verdict.close.total())} within rounding of 0")
        if verdict.undecided:
            least, most = verdict.wrong.total(), verdict.wrong.total() + verdict.open
            left = amount(verdict.undecided.total())
            lines.append(f"not all is settled, {name}: {left} contexts are left;")
            lines.append(f"    wrong are at least {least:,}")
            lines.append(f"    and at most       {most:,}")
    for name, verdict in verdicts:
        if verdict.context:
            least = "smallest margin" if verdict.floor >= verdict.margin else f"margin {verdict.margin:.3g}"
            lines.append(cut_line(f"{least}, {name}: after {join(verdict.context)}"))
            if verdict.floor < verdict.margin:
                lines.append(f"    none is below {verdict.floor:.3g}; the time was up before it was found")
    if proof.any.wrong:
        lines += groups("wrong, by length", proof, lambda key: f"{key[0]} tokens")
        lines += groups("wrong, by answer", proof, lambda key: join(key[1]))
        lines.append("\nfailures, the first ten")
        for failure in proof.any.failures[:10]:
            lines.append(cut_line(
                f"  {join(failure.context)}: predicts {failure.predicted}, allowed {join(failure.allowed)}, "
                f"margin {failure.margin:.3g}" + ("" if failure.producible else " (not producible)")
            ))
    lines.append(f"\n{conclusion(proof.producible)}")
    return "\n".join(lines)


def conclusion(verdict):
    """The last line of the report: what is proved of the producible contexts."""
    total, wrong = verdict.total.total(), verdict.wrong.total()
    if wrong:
        least = "at least " if verdict.undecided else ""
        return f"NOT proved: wrong after {least}{amount(wrong)} of {amount(total)} producible contexts"
    if verdict.open:
        return f"NOT proved: {amount(verdict.open)} of {amount(total)} producible contexts are left open"
    if total:
        return f"proved: right after each of {amount(total)} producible contexts"
    return "nothing to prove: the rule constrains no producible context"


def amount(count, longest=22):
    """A count with commas, or in powers of ten where that would be too long."""
    text = f"{count:,}"
    return text if len(text) <= longest else f"{count:.6g}"


def groups(title, proof, name):
    """Lines that count wrong contexts by a name made of (length, answer): the twelve worst groups."""
    counts = [Counter() for _ in range(4)]
    for group, counter in zip(counts, (
        proof.producible.wrong, proof.producible.total, proof.any.wrong, proof.any.total,
    ), strict=True):
        for key, count in counter.items():
            group[name(key)] += count
    lines = [f"\n{title:<20}{'producible':>15}{'of':>15}{'any':>15}{'of':>15}"]
    worst = counts[2].most_common(12)
    for group, _ in worst:
        columns = "".join(f"{amount(count[group], 14):>15}" for count in counts)
        lines.append(f"{cut_line(group, 19):<20}{columns}")
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
