"""What a sweep came to, as text: the table of its seeds, its report, and two sweeps side by side."""

import csv
import io

import numpy as np

COLUMNS = (
    "seed", "learned", "settled_step", "train_loss", "held_out_loss", "rule_error", "wrong", "constrained",
    "seconds", "note",
)


def make_table(results):
    """Results as CSV, a row a seed; see Result for what the columns say, empty where there is nothing."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        numbers = [""] * 5 if result.note else [
            f"{result.column('train_loss')[-1]:.6f}", f"{result.loss:.6f}", f"{result.rule_error:.6f}",
            result.wrong, result.constrained,
        ]
        seconds = "" if np.isnan(result.seconds) else f"{result.seconds:.2f}"
        learned = "yes" if result.learned else "no"
        writer.writerow([result.seed, learned, result.settled_step, *numbers, seconds, result.note])
    return buffer.getvalue()


def sweep_report(sweep):
    """A Sweep in a few lines; the last says how many seeds learned the rule."""
    lines = [f"{'':<42}{'median':>10}{'worst':>10}"]
    for name, middle, worst in summary_rows(sweep.results):
        lines.append(f"{name:<42}{middle:>10}{worst:>10}")
    for result in sweep.results:
        if not result.learned:
            reason = result.note or f"rule error {result.rule_error:.1%}"
            lines.append(f"seed {result.seed}: not learned: {reason}")
    lines.append(f"table: {sweep.folder / 'seeds.csv'}")
    lines.append(f"{count_learned(sweep.results)} seeds learned the rule")
    return "\n".join(lines)


def comparison(one, other):
    """Two Sweeps side by side in a few lines."""
    names = [sweep.config.name for sweep in (one, other)]
    width = max(14, *(len(name) + 2 for name in names))
    rows = [("", *names), ("learned", *(count_learned(sweep.results) for sweep in (one, other)))]
    for (name, *a), (_, *b) in zip(summary_rows(one.results), summary_rows(other.results), strict=True):
        rows += [(f"{name}, {kind}", *pair) for kind, *pair in zip(("median", "worst"), a, b, strict=True)]
    return "\n".join(f"{name:<48}{a:>{width}}{b:>{width}}" for name, a, b in rows)


def count_learned(results):
    """How many of the seeds learned the rule, as in 63 of 64."""
    return f"{sum(result.learned for result in results)} of {len(results)}"


def summary_rows(results):
    """(name, median, worst) as text of what the Results were measured by, of the seeds that have it."""
    finished = [result for result in results if not result.note]
    settled = [result.settled_step for result in results if result.settled_step is not None]
    return [
        ("held-out rule error", *median_and_worst([result.rule_error for result in finished], "{:.2%}")),
        ("held-out loss", *median_and_worst([result.loss for result in finished], "{:.4f}")),
        ("steps until rule error stays at most 1%", *median_and_worst(settled, "{:,.0f}")),
        ("seconds a seed", *median_and_worst([result.seconds for result in finished], "{:.2f}")),
    ]


def median_and_worst(values, form):
    """The median and the highest of some values as text; a dash for none."""
    return [form.format(function(values)) if values else "–" for function in (np.median, np.max)]
