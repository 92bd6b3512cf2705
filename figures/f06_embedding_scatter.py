"""The embeddings as points at full size: where every token at every position starts out."""

from figures.labels import at_position
from figures.planes import position_plane, sum_plane, token_plane
from figures.style import family_legend, panel, title

SIZE = (10, 14)


def draw(fig, run, step):
    """Tokens, positions, and below them every token at every position."""
    params, vocabulary = run.params(step), run.vocabulary
    V, T = len(params.W_token), len(params.W_pos)
    title(
        fig, f"Embedding planes of {run.config.name} at step {step:,}",
        f"{V} tokens, {T} positions, and their {V * T} sums: {at_position(vocabulary[0], T - 1)} is token "
        f"{vocabulary[0]} at position {T - 1}; points too close to tell apart share a label",
    )
    left, right = panel(fig, 0.65, 9.0, 4.1, 4.1), panel(fig, 5.65, 9.0, 4.1, 4.1)
    bottom = panel(fig, 0.65, 0.8, 9.1, 7.4)
    token_plane(left, params, vocabulary, size=10, marker=5)
    position_plane(right, params, size=10, marker=5)
    sum_plane(bottom, params, vocabulary, size=8.5, marker=3.5)
    left.set_title("tokens")
    right.set_title("positions, joined in order")
    bottom.set_title("token + position")
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.18)
