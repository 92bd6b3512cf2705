"""What attention brings in three sequences: the values read, and their mixture at each position."""

import numpy as np

from scratchformer.figures.labels import add_labels_beside, at_position
from scratchformer.figures.landscapes import halo_labels
from scratchformer.figures.sequences import (
    MARKS, ROWS, TALL, attention_map, backdrop, bar, common_plane, demo_caches, flat, header, largest, legend,
    marker, rings, row_labels, show_plane, vector_map, verdicts,
)
from scratchformer.figures.style import INK, PALE, V, panel, title
from scratchformer.figures.words import counted, sentence

SIZE = (12, 10.4)
MIXED = "#7a3f9d"


def draw(fig, model):
    """One row a sequence: attention, values, their mixture, and the latter two on one plane."""
    caches = demo_caches(model)
    H = model.config.model.num_heads
    head = f", head 1 of {H}" if H > 1 else ""
    title(
        fig, f"Values and what attention makes of them in {model.name} at step {model.step:,}{head}",
        reading(model),
    )
    background = flat(model.grid.v[:, 0])
    vectors = [part[0, 0] for cache in caches for part in (cache.v, cache.mixed)]
    (back, *points), names = common_plane([background, *vectors])
    everything = np.concatenate([back, *points])
    limit = largest([cache.v[0, 0] for cache in caches])
    for row, (bottom, cache) in enumerate(zip(ROWS, caches, strict=False)):
        labels, state = row_labels(model, cache), verdicts(model, cache)
        header(fig, bottom, model, cache, state)
        image = attention_map(fig, 0.75, bottom, cache, labels)
        if not row:
            bar(fig, image, "share read, all rows")
        v, mixed = cache.v[0, 0], cache.mixed[0, 0]
        vector_map(panel(fig, 3.5, bottom, 0.9, TALL), v, labels, limit, "value v")
        image = vector_map(panel(fig, 4.6, bottom, 0.9, TALL), mixed, [], limit, "mixed")
        if not row:
            bar(fig, image, "value, all rows")
        texts = [at_position(label, t) for t, label in enumerate(labels)]
        marked = [text + MARKS[int(s)] for text, s in zip(texts, state, strict=True)]
        for left, name, shown, shape, color, beside in (
            (6.95, "values", points[2 * row], "o", V, texts),
            (9.65, "mixed", points[2 * row + 1], "s", MIXED, marked),
        ):
            ax = panel(fig, left, bottom, TALL, TALL)
            show_plane(ax, everything, names)
            backdrop(ax, back)
            ax.scatter(*shown.T, s=14, marker=shape, c=color, linewidths=0, zorder=3)
            if shape == "s":
                rings(ax, shown[state >= 0])
            add_labels_beside(ax, shown, beside, [color] * len(shown), 8, 4.6, shown)
            halo_labels(ax)
            ax.set_title(name)
    ringed = marker("o", INK, "where the rule says what comes next (✓ model right, ✗ wrong)")
    ringed.set(markerfacecolor="none", markersize=9)
    legend(fig, [
        marker("o", V, "value"), marker("s", MIXED, "mixed = attention @ v"),
        marker("o", PALE, "every value there is"), ringed,
    ])


def reading(model):
    """How close the mixture comes to the one value that is read most, in words."""
    found = most_read(model)
    if found is None:
        return "the rule constrains no position of the held-out windows"
    weight, distance, length = found
    return (
        "constrained positions in held-out windows: the key read most, whatever it holds, gets "
        f"{weight:.1%} of attention; mixed lies {distance:.2f} from its value (length {length:.2f})"
    )


def most_read(model):
    """Means over the constrained positions of held-out windows, None where there are none: (attention of the
    key read most, distance of the mixture from that key's value, length of that value)."""
    chosen = model.run.held_out.allowed.any(axis=-1)
    if not chosen.any():
        return None
    cache = model.held_out
    attention, v, mixed = cache.attention[:, 0], cache.v[:, 0], cache.mixed[:, 0]
    most = attention.argmax(axis=-1)
    read = np.take_along_axis(v, most[..., None], axis=1)
    means = [
        float(each[chosen].mean()) for each in
        (attention.max(axis=-1), np.linalg.norm(mixed - read, axis=-1), np.linalg.norm(read, axis=-1))
    ]
    return tuple(means)


def caption(model):
    """What the figure shows, and whether this run's attention copies values or blends them."""
    H = model.config.model.num_heads
    return (
        f"Each row follows one of {counted(len(model.demos), 'sequence')}"
        + (f" through head 1 of {H}" if H > 1 else "")
        + ": the attention of the figure before, the value of each position, and `mixed`, `attention @ v`: "
        "the mean of the values that a position reads, weighted by attention; then the values (green) and "
        "the mixtures (purple) on one plane, all values there are in grey. A position that reads a single "
        "key gets that key's value; one that reads several lands between theirs. "
        f"{sentence(copy_or_blend(model))} What this mixture does to the stream is the next step."
    )


def copy_or_blend(model):
    """`reading` with a conclusion: whether the mixture is one value or several."""
    found = most_read(model)
    if found is None:
        return reading(model)
    weight, distance, length = found
    verdict = (
        "so the mixture blends several values" if distance > length / 4
        else "so the mixture is close to a copy of one value" if weight > 0.75
        else "so the mixture comes close to that value although others are read as well"
    )
    return (
        "at constrained positions of held-out windows the key read most, whatever it holds, gets "
        f"{weight:.1%} of attention, and the mixture lies {distance:.3g} from its value, whose length is "
        f"{length:.3g}, {verdict}"
    )
