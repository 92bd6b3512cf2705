"""One query among the keys: the plane is coloured by the score that a key would get there."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from figures.labels import at_position
from figures.planes import scatter_tokens
from figures.qk import (
    attention_shares, describe_shares, head_shown, label_pairs, legend, mark_origin, qk_plane,
)
from figures.style import GREY, INK, K, Q, family, inches, panel, set_plane, title
from figures.words import code, counted, listed

SIZE = (10, 9.45)
SCORES = LinearSegmentedColormap.from_list("scores", ["#c6b4da", "#f9f9f9", "#b7d9af"])
CELLS = 120                                             # of the background, each way


def draw(fig, run, step):
    """The query in blue, keys that it may read in red, later ones in grey."""
    grid, vocabulary = run.grid(step), run.vocabulary
    count, H, T, D = grid.q.shape
    token, position = focus(vocabulary, T)
    name = at_position(vocabulary[token], position)
    shares, windows = focus_shares(run, step)
    title(
        fig, f"The query {name} of {run.config.name} at step {step:,}{head_shown(H)}",
        f"attention of {name} in the {windows:,} held-out windows with {vocabulary[token]} at position "
        f"{position}:\n{describe_shares(shares)}",
    )
    q, k, origin, names = qk_plane(grid)
    query = q[token * T + position][None]
    ax = panel(fig, 0.85, 0.8, 7.95, 7.55)
    set_plane(ax, np.concatenate([k, query, origin]), names, margin=0.06)
    if D <= 2:
        draw_scores(ax, query[0] / np.sqrt(D), "score of a key that lies here: q · k / √D")
    else:
        ax.set_title(f"No scores behind the points: keys have {D} dimensions and the page shows two of them.")
    mark_origin(ax, origin)
    seen = np.tile(np.arange(T) <= position, count)
    tokens = np.repeat(vocabulary, T)
    for part, color in ((seen, K), (~seen, GREY)):
        scatter_tokens(ax, k[part], tokens[part], np.array([color] * int(part.sum())), 4)
    ax.plot(*np.concatenate([origin, query]).T, color=Q, linewidth=1, zorder=2)
    scatter_tokens(ax, query, [vocabulary[token]], np.array([Q]), 8)
    label_pairs(
        ax, np.concatenate([query, k[seen]]), [vocabulary[token], *tokens[seen]],
        [position, *np.tile(np.arange(T), count)[seen]], [Q] + [K] * int(seen.sum()), 8.5, 8,
        np.concatenate([k[~seen], origin]),
    )
    colors = {f"query {name}": Q, f"key at position ≤ {position}": K}
    if not seen.all():
        colors["later key, masked: not labelled"] = GREY
    legend(fig, vocabulary, colors)


def focus(vocabulary, T):
    """(token id, position) of the query shown: the first operator, or else the last token."""
    operators = [i for i, token in enumerate(vocabulary) if family(token) == "operator"]
    return (operators or [len(vocabulary) - 1])[0], min(5, T - 1)


def focus_shares(run, step):
    """Of the attention of the query shown, (the share by family of key, in how many held-out windows)."""
    token, position = focus(run.vocabulary, run.config.model.block_size)
    windows = run.held_out_tokens
    windows = windows[windows[:, position] == token]
    if not len(windows):
        return {}, 0
    chosen = np.tile(np.arange(windows.shape[1]) == position, (len(windows), 1))
    return attention_shares(run.forward(step, windows), run.vocabulary, chosen), len(windows)


def draw_scores(ax, slope, label):
    """Colour the plane by its dot product with `slope`, zero dashed, and a colour bar at the right."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    middles = (np.arange(CELLS) + 0.5) / CELLS
    scores = slope[0] * (left + (right - left) * middles) + slope[1] * (low + (high - low) * middles)[:, None]
    limit = np.abs(scores).max() or 1.0
    image = ax.imshow(
        scores, cmap=SCORES, vmin=-limit, vmax=limit, extent=(left, right, low, high), origin="lower",
        aspect="equal", interpolation="nearest", zorder=-1,
    )
    if slope.any():
        across = np.array([-slope[1], slope[0]]) / np.hypot(*slope)
        ax.axline((0, 0), across, color=INK, linestyle="--", linewidth=0.8, alpha=0.6, zorder=1)
    x, y, width, height = ax.get_position().bounds
    inch = width / inches(ax)[0]
    bar = ax.figure.colorbar(image, cax=ax.figure.add_axes((x + width + 0.15 * inch, y, 0.16 * inch, height)))
    bar.set_label(label + " (dashed: 0)")
    bar.outline.set_visible(False)


def caption(run, step):
    """What the figure shows, and which keys the query of this run scores highest."""
    grid, vocabulary = run.grid(step), run.vocabulary
    H, T, D = grid.q.shape[1:]
    token, position = focus(vocabulary, T)
    name = code(at_position(vocabulary[token], position))
    background = (
        "The colour behind it is the score a key would get there: green above zero, purple below, zero on "
        "the dashed line." if D <= 2 else
        f"Since keys have {D} dimensions, the plane shows the two widest and no scores behind the points."
    )
    shares, windows = focus_shares(run, step)
    reading = [f"{share:.1%} to {key} keys" for key, share in shares.items()]
    return (
        f"One query{f' of head 1 of {H}' if H > 1 else ''} is left, {name}, tied to the origin by a line. "
        f"{background} Red keys are at positions up to {position}, which it may read"
        + ("; grey ones come later and are masked. " if position < T - 1 else ". ")
        + describe_scores(grid, vocabulary, token, position)
        + (f"In the {counted(windows, 'held-out window')} with this query, its attention goes "
           f"{listed(reading)}. " if windows else "No held-out window has this query. ")
        + "What such reading does to the predictions comes next."
    )


def describe_scores(grid, vocabulary, token, position):
    """Which of the keys that can occur with the query score highest and which lowest, in a sentence."""
    keys, query = grid.k[:, 0, : position + 1], grid.q[token, 0, position]
    scores = keys @ query / np.sqrt(len(query))                                 # (V, position + 1)
    keys = [
        (-scores[i, t], code(at_position(text, t))) for i, text in enumerate(vocabulary)
        for t in range(position + 1) if t < position or i == token
    ]
    if len(keys) == 1:
        return "At this position it can read none but its own key. "
    ranked = [f"{name} ({-score:.3g})" for score, name in sorted(keys)]
    return (
        f"Of the {len(keys)} keys that can come before it, or are its own, the highest scores go to "
        f"{listed(ranked[:3])}, the lowest to {ranked[-1]}; a lead of 1 means 2.7 times the attention. "
    )
