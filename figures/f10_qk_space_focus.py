"""One query among the keys: the plane is coloured by the score that a key would get there."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from figures.f08_qkv_transforms import head_shown
from figures.f09_qk_space import attention_shares, describe_shares, label_pairs, legend, mark_origin, qk_plane
from figures.labels import at_position
from figures.planes import scatter_tokens
from figures.style import GREY, INK, K, Q, family, inches, panel, set_plane, title

SIZE = (10, 9.45)
SCORES = LinearSegmentedColormap.from_list("scores", ["#c6b4da", "#f9f9f9", "#b7d9af"])
CELLS = 120                                             # of the background, each way


def draw(fig, run, step):
    """The query in blue, keys that it may read in red, later ones in grey."""
    grid, vocabulary = run.grid(step), run.vocabulary
    count, H, T, D = grid.q.shape
    token, position = focus(vocabulary, T)
    name = at_position(vocabulary[token], position)
    windows = run.data.held_out_windows[:, :-1]
    windows = windows[windows[:, position] == token]
    chosen = np.tile(np.arange(T) == position, (len(windows), 1))
    shares = attention_shares(run.forward(step, windows), vocabulary, chosen) if len(windows) else {}
    title(
        fig, f"The query {name} of {run.config.name} at step {step:,}{head_shown(H)}",
        f"attention of {name} in the {len(windows):,} held-out windows with {vocabulary[token]} at position "
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
