"""One query among the keys: the plane is coloured by the score that a key would get there."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from scratchformer.analysis.families import family, present_families
from scratchformer.analysis.followed import at_position
from scratchformer.analysis.scores import (
    focus, focus_shares, in_reach, key_scores, looked_for, rank_keys,
)
from scratchformer.figures.insets import border, enlarge
from scratchformer.figures.labels import add_labels_beside, name_ends, shown_positions
from scratchformer.figures.planes import scatter_tokens
from scratchformer.figures.qk import label_pairs, mark_origin, pair_legend, qk_plane
from scratchformer.figures.style import (
    GREY, INK, K, MARKERS, Q, color_bar, figure_title, held, panel, set_plane, token_colors,
)
from scratchformer.figures.words import code, counted, head_shown, listed, minus

HEADING = "One query"
QUESTION = "What does one query look for, and in which order?"
LOOK = "the lower panel: which tokens are on top, and that a line rises to the right where the later key wins"
SIZE = (10, 12.3)
LOW = 3.0                                               # room for the scores by position, below the plane
SCORES = LinearSegmentedColormap.from_list("scores", ["#c6b4da", "#f9f9f9", "#b7d9af"])
NEAR = 0.05                                             # of the height: lines that share a name
MOST = 16                                               # tokens that are named
CELLS = 120                                             # of the background, each way


def draw(fig, model):
    """The query in blue, keys that it may read in red, later ones in grey."""
    grid, vocabulary = model.grid, model.vocabulary
    count, _, T, D = grid.q.shape
    token, position = focus(model)
    name = at_position(vocabulary[token], position)
    shares, windows, constrained = focus_shares(model)
    figure_title(fig, model, f"What {name} looks for{head_shown(model)}: {describe_best(model)}")
    q, k, origin, names = qk_plane(grid)
    query = q[token * T + position][None]
    ax = panel(fig, 0.85, 0.8 + LOW, 7.95, 7.55)
    set_plane(ax, np.concatenate([k, query, origin]), names, margin=0.06)
    tie = np.linspace(origin[0], query[0], 200)
    insets = enlarge(ax, np.concatenate([k, query]), tie)
    if D <= 2:
        draw_scores([ax, *(new for new, _ in insets)], query[0] / np.sqrt(D))
    else:
        ax.set_title(f"No scores behind the points: keys have {D} dimensions and the page shows two of them.")
    seen = in_reach(count, T, token, position).ravel()
    best = set(rank_keys(grid, token, position)[:3])
    tokens, positions = np.repeat(vocabulary, T), np.tile(np.arange(T), count)
    one = np.isin(positions, shown_positions(count, T)) | np.isin(np.arange(count * T), [*best])
    named = np.flatnonzero(seen & one)
    rest = np.setdiff1d(named, [i for _, shown in insets for i in shown])
    clear = np.concatenate([np.delete(k, rest, axis=0), query, origin, tie, border(ax, insets)])
    everything = np.concatenate([k, query, origin, tie])
    for axes, labelled, others in (
        (ax, rest, clear),
        *((new, np.intersect1d(shown, named), everything) for new, shown in insets),
    ):
        mark_origin(axes, origin)
        for part, color in ((seen, K), (~seen, GREY)):
            scatter_tokens(axes, k[part], tokens[part], np.array([color] * int(part.sum())), 4)
        axes.plot(*tie[[0, -1]].T, color=Q, linewidth=1, zorder=2, scalex=False, scaley=False)
        scatter_tokens(axes, query, [vocabulary[token]], np.array([Q]), 8)
        label_pairs(
            axes, k[labelled], tokens[labelled].tolist(), positions[labelled].tolist(), [K] * len(labelled),
            8.5, 5, others, {n for n, i in enumerate(labelled) if i in best},
        )
    add_labels_beside(ax, query, [name], [Q], 8.5, 4.5, np.concatenate([k, origin]))
    colors = {f"query {name}": Q, "key that it can meet": K}
    if not seen.all():
        colors["key that it cannot: not labelled"] = GREY
    pair_legend(fig, vocabulary, colors, 0.18 + LOW)
    draw_ladder(panel(fig, 0.85, 0.55, 7.95, 2.1), model, token, position)


def describe_best(model):
    """What scores highest, and whether the later or the earlier key does, in words."""
    best, rising = looked_for(model)
    return best + {1: ", the later the better", -1: ", the earlier the better", 0: ""}[rising]


def describe_windows(count, constrained):
    """The windows that `focus_shares` counts, in words."""
    return f"{counted(count, 'held-out window')} " + (
        "where it stands and the rule says what comes next" if constrained else "where it stands"
    )


def draw_ladder(ax, model, token, position):
    """Scores of the keys that the query can meet, by position: a line a token."""
    vocabulary, colors = model.vocabulary, token_colors(model.vocabulary)
    scores = key_scores(model.grid, token, position)
    scores = np.where(in_reach(*scores.shape, token, position), scores, np.nan)
    ends, reach = {}, {}
    for i in np.flatnonzero(np.isfinite(scores).any(axis=1)):
        where = np.flatnonzero(np.isfinite(scores[i]))
        shape = MARKERS[family(vocabulary[i])]
        ax.plot(where, scores[i, where], color=colors[i], marker=shape, markersize=4)
        ends[i], reach[i] = scores[i, where[-1]], where[-1]
        ax.plot((reach[i], position + 0.15), [ends[i]] * 2, color=colors[i], linewidth=0.6, linestyle=":")
    ax.set(xlim=(-0.15, position + 0.15), xlabel="position of the key", ylabel="score q · k / √D")
    ax.set_xticks(range(position + 1))
    ax.axhline(0, color=GREY, linewidth=0.7, linestyle="--")
    ax.set_ylim(*held(ax.figure, "hold_colors", *ax.get_ylim()))
    close = NEAR * np.ptp(ax.get_ylim())
    groups = [[i for i in ends if (family(vocabulary[i]), reach[i]) == (name, last)]
              for name in present_families(vocabulary) for last in sorted(set(reach.values()))]
    together = [group for group in groups if len(group) > 2 and np.ptp([ends[i] for i in group]) < close]
    alone = [[i] for group in groups if group not in together for i in group]
    if len(together) + len(alone) <= MOST:
        named = together + alone
        texts = [f"{family(vocabulary[group[0]])} tokens" if group in together else vocabulary[group[0]]
                 for group in named]
        name_ends(ax, [np.mean([ends[i] for i in group]) for group in named], texts,
                  [colors[group[len(group) // 2]] for group in named])


def draw_scores(axes, slope):
    """Colour planes by their dot product with `slope`, zero dashed: all in the colours of the first, with a
    colour bar at its right.
    """
    limit = None
    for ax in axes:
        (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
        middles = (np.arange(CELLS) + 0.5) / CELLS
        across, up = left + (right - left) * middles, low + (high - low) * middles
        scores = slope[0] * across + slope[1] * up[:, None]
        if limit is None:
            limit = np.abs(scores).max() or 1.0
            _, limit = held(ax.figure, "hold_colors", -limit, limit)
        ax.imshow(
            scores, cmap=SCORES, vmin=-limit, vmax=limit, extent=(left, right, low, high), origin="lower",
            aspect="equal", interpolation="nearest", zorder=-1,
        )
        if slope.any():
            along = np.array([-slope[1], slope[0]]) / np.hypot(*slope)
            ax.axline((0, 0), along, color=INK, linestyle="--", linewidth=0.8, alpha=0.6, zorder=1)
    color_bar(
        axes[0].images[0], "score of a key that lies here: q · k / √D (dashed: 0)", (0.15, 0.16), bins=None,
        labelpad=4, ticks={},
    )


def caption(model):
    """What the figure shows, and which keys the query of this run scores highest."""
    grid, vocabulary = model.grid, model.vocabulary
    D = grid.q.shape[-1]
    token, position = focus(model)
    name = code(at_position(vocabulary[token], position))
    background = (
        "The colour behind it is the score a key would get there: green above zero, purple below, zero on "
        "the dashed line." if D <= 2 else
        f"Since keys have {D} dimensions, the plane shows the two widest and no scores behind the points."
    )
    shares, windows, constrained = focus_shares(model)
    reading = [f"{share:.1%} to {key} keys" for key, share in shares.items()]
    return (
        f"One query{head_shown(model, ' of ')} is left, {name}, with a line to the origin. "
        f"{background} Red keys are those it can meet; grey ones come later or are other tokens at its "
        "position. Below are their scores by position, a line a token. "
        + describe_scores(grid, vocabulary, token, position)
        + (f"In the {describe_windows(windows, constrained)}, its attention goes {listed(reading)}. "
           if windows else "No held-out window has this query. ")
        + "What such reading does to the predictions comes next."
    )


def describe_scores(grid, vocabulary, token, position):
    """Which of the keys that can occur with the query score highest and which lowest, in a sentence."""
    order, scores = rank_keys(grid, token, position), key_scores(grid, token, position)
    if len(order) == 1:
        return "At this position it can meet none but its own key. "
    ranked = []
    for place in order:
        i, t = divmod(place, scores.shape[1])
        ranked.append(f"{code(at_position(vocabulary[i], t))} ({minus(f'{scores[i, t]:.3g}')})")
    return (
        f"Of the {len(ranked)} red keys, the highest scores go to {listed(ranked[:3])}, the lowest to "
        f"{ranked[-1]}; a lead of 1 means 2.7 times the attention. "
    )
