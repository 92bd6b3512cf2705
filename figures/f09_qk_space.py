"""Queries and keys on one plane: a query reads most from the keys that lie furthest along its direction."""

import numpy as np

from scratchformer.analysis.attention import attention_shares, even_attention
from scratchformer.analysis.families import families_of, family, group_distances, present_families
from scratchformer.analysis.followed import at_position
from scratchformer.analysis.scores import focus, looked_for
from scratchformer.figures.insets import border, covered, enlarge
from scratchformer.figures.labels import add_labels, free_places, label_widths, shown_positions
from scratchformer.figures.planes import scatter_tokens
from scratchformer.figures.qk import label_pairs, mark_origin, pair_legend, qk_plane
from scratchformer.figures.style import K, Q, figure_title, panel, set_plane
from scratchformer.figures.words import counted, head_shown, listed

HEADING = "Queries and keys together"
QUESTION = "Which keys lie in the direction of which queries?"
LOOK = "a query and the keys that lie furthest on its side of the ring"
SIZE = (10, 10.2)
LARGE, FAR = 11, 60                     # font size of the names of clouds, and how far off they may stand


def draw(fig, model):
    """Every query and every key, labelled with its token and position."""
    grid, vocabulary = model.grid, model.vocabulary
    count, _, T, _ = grid.q.shape
    q, k, origin, names = qk_plane(grid)
    points = np.concatenate([q, k])
    ax = panel(fig, 0.85, 0.8, 8.9, 8.25)
    set_plane(ax, np.concatenate([points, origin]), names, margin=0.05)
    insets = enlarge(ax, points)
    token, position = focus(model)
    query, best = at_position(vocabulary[token], position), looked_for(model)[0]
    ray = np.stack([origin[0], q[token * T + position]])
    figure_title(fig, model, f"Queries and keys{head_shown(model, ' of ')}: {query} points to {best}")
    tokens, positions = np.repeat(vocabulary, T).tolist() * 2, list(range(T)) * count * 2
    colors = np.array([Q] * len(q) + [K] * len(k))
    rest = np.setdiff1d(np.arange(len(points)), [i for _, shown in insets for i in shown])
    named = np.isin(positions, shown_positions(count, T))
    along_ray = ray[0] + np.linspace(0, 1, 60)[:, None] * (ray[1] - ray[0])
    clouds = name_clouds(ax, model, q, k, np.concatenate([points, along_ray, covered(ax, insets)]))
    others = np.concatenate([origin, np.delete(points, rest, axis=0), border(ax, insets), clouds])
    for axes, marked, labelled, clear in (
        (ax, np.arange(len(points)), rest[named[rest]], others),
        *((new, shown, shown[named[shown]], np.concatenate([origin, points[shown]]))
          for new, shown in insets),
    ):
        mark_origin(axes, origin)
        axes.plot(*ray.T, color=Q, linewidth=1, zorder=2, scalex=False, scaley=False)
        for color in (Q, K):
            part = marked[colors[marked] == color]
            scatter_tokens(axes, points[part], [tokens[i] for i in part], colors[part], 3.5)
        label_pairs(
            axes, points[labelled], [tokens[i] for i in labelled], [positions[i] for i in labelled],
            colors[labelled].tolist(), 7.5, 3.5, clear,
        )
    pair_legend(fig, vocabulary, {f"query (line: {query})": Q, "key": K})


def name_clouds(ax, model, q, k, others):
    """What lies where, in large letters: the families whose queries, or keys, are clouds apart; points all
    over these names, (M, 2). others: (N, 2) points that they keep clear of"""
    vocabulary = model.vocabulary
    T = len(q) // len(vocabulary)
    families = np.repeat(families_of(vocabulary), T)
    texts, middles, colors = [], [], []
    for points, what, color in ((q, "queries", Q), (k, "keys", K)):
        apart, spread = group_distances(points.reshape(len(vocabulary), T, -1), vocabulary)
        if all(gap > spread.get(a, 0) + spread.get(b, 0) for (a, b), gap in apart.items()):
            for name in present_families(vocabulary):
                members = [token for token in vocabulary if family(token) == name]
                texts.append(f"{what} of {members[0] if len(members) == 1 else f'{name} tokens'}")
                middles.append(points[families == name].mean(axis=0))
                colors.append(color)
    if not texts:
        return np.empty((0, 2))
    point = ax.figure.dpi / 72
    half = np.column_stack([label_widths(texts, LARGE), np.full(len(texts), LARGE)]) / 2
    places = ax.transData.transform(middles) / point
    clear = ax.transData.transform(others) / point
    centres = free_places(places, 2 * half[:, 0], LARGE, ax.bbox.extents / point, 9, clear)
    near = np.hypot(*np.maximum(np.abs(centres - places) - half, 0).T) < FAR
    add_labels(ax, ax.transData.inverted().transform(centres[near] * point),
               np.array(texts)[near].tolist(), np.array(colors)[near].tolist(), LARGE)
    along = centres[near] + np.linspace(-1, 1, 25)[:, None, None] * half[near] * (1, 0)
    return ax.transData.inverted().transform(along.reshape(-1, 2) * point)


def constrained_shares(model):
    """(where the rule says what comes next in held-out windows, the share of attention by family of key
    there, the shares if all keys were read evenly)."""
    cache, constrained = model.held_out, model.run.held_out.allowed.any(axis=-1)
    attention = cache.attention[:, 0]
    return constrained, *(
        attention_shares(weights, cache.tokens, model.vocabulary, constrained)
        for weights in (attention, even_attention(attention.shape))
    )


def caption(model):
    """What the figure shows, and which family of keys the constrained positions of this run read."""
    constrained, shares, even = constrained_shares(model)
    D = model.config.model.head_size
    head = head_shown(model, " of ")
    plane = "" if D <= 2 else f" Both have {D} dimensions, of which the plane shows the two widest."
    reading = [f"{share:.1%} ({even[name]:.1%}) to {name} keys" for name, share in shares.items()]
    facts = (
        f"At the {counted(int(constrained.sum()), 'constrained position')} of held-out windows, attention "
        f"goes {listed(reading)}; in brackets, what reading all keys in reach evenly would give."
        if shares else "The rule constrains no position of the held-out windows, so no query stands out."
    )
    return (
        f"Every query (blue) and every key (red){head} lies on one plane, labelled with its token and "
        "position. The score of a pair is the product of the two vectors, seen from the ring at the origin: "
        "a query reads most from the keys that lie furthest in its own direction and least from those on the "
        f"opposite side, and the longer the query, the sharper its choice.{plane} {facts} Among so "
        "many, single pairs are hard to follow, so the next figure keeps one query only."
    )
