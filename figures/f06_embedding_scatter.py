"""The embeddings as points at full size: where every token at every position starts out."""

from scratchformer.analysis.followed import at_position
from scratchformer.analysis.geometry import closest_and_farthest, straightness
from scratchformer.figures.labels import shown_positions
from scratchformer.figures.marks import family_legend
from scratchformer.figures.planes import position_plane, sum_plane, token_plane
from scratchformer.figures.style import figure_title, panel
from scratchformer.figures.words import code, counted

HEADING = "Embedding planes"
QUESTION = "Where does each token at each position start?"
LOOK = "one token's positions in the large panel: the same pattern recurs around each token"
SIZE = (10, 14)


def draw(fig, model):
    """Tokens, positions, and below them every token at every position."""
    params, vocabulary = model.params, model.vocabulary
    V, T = len(params.W_token), len(params.W_pos)
    where = f"{V} tokens × {counted(T, 'position')} = {counted(V * T, 'point')}"
    figure_title(fig, model, f"Positions shift every token alike: {where}")
    left, right = panel(fig, 0.65, 9.0, 4.1, 4.1), panel(fig, 5.65, 9.0, 4.1, 4.1)
    bottom = panel(fig, 0.65, 0.8, 9.1, 7.4)
    token_plane(left, params, vocabulary, size=10, marker=5)
    position_plane(right, params, size=10, marker=5)
    sum_plane(bottom, model.grid.embed, vocabulary, 8.5, 3.5, each=len(shown_positions(V, T)) == T)
    left.set_title("tokens")
    right.set_title("positions, joined in order")
    bottom.set_title("token + position, such as 8₄; tokens that coincide share a label")
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.18)


def caption(model):
    """What the figure shows, and which tokens and positions of this run are neighbours."""
    params, names = model.params, [code(token) for token in model.vocabulary]
    V, T = len(params.W_token), len(params.W_pos)
    near, far, low, high = closest_and_farthest(params.W_token)
    pairs = (
        f"{names[near[0]]} and {names[near[1]]} are the closest tokens ({low:.3g} apart), "
        f"{names[far[0]]} and {names[far[1]]} the farthest ({high:.3g})" if V > 2
        else f"{names[0]} and {names[1]} are {low:.3g} apart"
    )
    return (
        "These are the planes of the figure before at full size. Above on the left lie the tokens, on the "
        "right the positions, joined in order; below lie all "
        f"{counted(V * T, 'sum')} of a token and a position, such as token {names[-1]} at position {T - 1}, "
        f"written {code(at_position(model.vocabulary[-1], T - 1))}. "
        "Tokens that lie close together look alike "
        f"to everything that follows; here {pairs}. {describe_positions(params.W_pos)} "
        "Adding a position shifts every token by the same arrow, so around each token the lower panel "
        "repeats the pattern of the panel of positions. What the model would predict at each point of this "
        "space comes next."
    )


def describe_positions(W_pos):
    """Whether the positions lie on a line and in order, in a sentence."""
    if len(W_pos) < 3:
        return f"With {counted(len(W_pos), 'position')} there is no order to see."
    share, turns = straightness(W_pos)
    return (
        f"Of the positions' variance, {share:.0%} lies along one direction, "
        + ("on which they follow one another in order." if not turns
           else f"on which their path turns back {'once' if turns == 1 else f'{turns} times'}.")
    )
