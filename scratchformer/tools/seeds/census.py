"""A census of seeds: after how many contexts each is wrong, of all there are, not of the held-out ones.

A seed that makes no held-out error may still be wrong somewhere. `--prove` tells, seed by seed.
"""

import csv
import io
from typing import NamedTuple

from scratchformer.run.model import Model
from scratchformer.run.run import Run
from scratchformer.system.files import write_atomically
from scratchformer.system.pool import fork_pool, in_order
from scratchformer.tools.prove.prove import prove
from scratchformer.tools.seeds.sweep import with_seed

SHOWN = 12                              # seeds named in a line of the report


class Entry(NamedTuple):
    """What is proved of one seed; the columns of census.csv."""

    seed: int
    held_out_wrong: int
    producible_wrong: int
    producible: int
    any_wrong: int
    any: int
    open: int                           # contexts, of any, that are too close to call or not settled in time
    margin: float                       # the smallest after producible contexts
    seconds: float

    @property
    def right(self):
        """Whether the seed is proved right after every producible context."""
        return self.producible_wrong == 0 and self.open == 0


def take_census(sweep, limit_seconds=60, progress=lambda text: None):
    """The Entry of each seed of a Sweep that was trained to its end; written to census.csv in its folder.

    limit_seconds: for each seed
    """
    results = [result for result in sweep.results if not result.note]
    jobs, entries = [(sweep, result, limit_seconds) for result in results], []
    if jobs:
        entries.append(prove_seed(*jobs[0]))    # compiles before the other processes are forked
    with fork_pool(None, len(jobs) - 1) as pool:
        for entry in in_order(pool, prove_seed, jobs[1:]):
            entries.append(entry)
            progress(f"{len(entries)} of {len(jobs)} seeds proved or refuted")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([Entry._fields, *entries])
    write_atomically(sweep.folder / "census.csv", buffer.getvalue().encode())
    return entries


def prove_seed(sweep, result, limit_seconds):
    """The Entry of one seed."""
    config = with_seed(sweep.config, result.seed)
    model = Model(Run(sweep.folder, config), config.training.steps, result.params(config))
    proof = prove(model, limit_seconds, most_listed=0)
    return Entry(
        result.seed, result.wrong, proof.producible.wrong.total(), proof.producible.total.total(),
        proof.any.wrong.total(), proof.any.total.total(), proof.any.open, proof.producible.margin,
        round(proof.seconds, 3),
    )


def census_report(entries):
    """A census in a few lines: how many are right everywhere, and how many only look right."""
    deceptive = [entry for entry in entries if entry.held_out_wrong == 0 and entry.producible_wrong]
    rows = (
        ("right after every producible context", [entry for entry in entries if entry.right]),
        ("right after every context at all", [one for one in entries if not (one.any_wrong or one.open)]),
        ("no held-out error, yet wrong somewhere", deceptive),
        ("not settled in time, or too close to call", [entry for entry in entries if entry.open]),
    )
    lines = [f"census of {len(entries)} seeds: after every context of the window"]
    for name, some in rows:
        more = ["..."] if len(some) > SHOWN else []
        seeds = ", ".join([*(str(entry.seed) for entry in some[:SHOWN]), *more])
        named = f"   seeds {seeds}" if 0 < len(some) < len(entries) else ""
        lines.append(f"{name:<42}{len(some):>4}{named}")
    for entry in deceptive[:SHOWN]:
        lines.append(f"seed {entry.seed}: wrong after {entry.producible_wrong:,} of {entry.producible:,}")
    return "\n".join(lines)
