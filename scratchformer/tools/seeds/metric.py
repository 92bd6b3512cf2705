"""A metric of the user's own over the seeds of a study: measured of what each seed came to."""

import csv
import io

import numpy as np


def measure_seeds(sweep, metric, progress=lambda text: None):
    """{seed: value} of a Metric on all held-out windows, of the seeds of a Sweep that were trained."""
    trained = [result.seed for result in sweep.results if not result.note]
    values = {}
    for number, seed in enumerate(trained, 1):
        progress(f"metric {metric.name}: seed {number} of {len(trained)}")
        model = sweep.model(seed)
        values[seed] = metric.measure(model.held_out, model.run.held_out.allowed)
    return values


def metric_summary(values):
    """Values in a few words: the median, the lowest, the highest."""
    found = [value for value in values if not np.isnan(value)]
    if not found:
        return "no value"
    return f"median {np.median(found):.4g}, from {min(found):.4g} to {max(found):.4g}"


def metric_table(keys, rows, name):
    """Rows (*key, value) as CSV under the names of the keys and the metric's."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([(*keys, name), *((*row[:-1], f"{row[-1]:.6g}") for row in rows)])
    return buffer.getvalue()
