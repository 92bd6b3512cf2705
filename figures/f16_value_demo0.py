"""The first sequence on the landscapes of all next tokens: see value_demo.py."""

from functools import partial

from scratchformer.figures.value_demo import SIZE, demo_caption, draw_demo

HEADING = "First sequence on the landscape"
QUESTION = "How does a sequence come to its predictions?"
LOOK = (
    "the map at the top; then the framed columns, whose points with a pink label should lie in the "
    "bright part"
)
__all__ = ["HEADING", "LOOK", "QUESTION", "SIZE", "caption", "draw"]
draw, caption = partial(draw_demo, number=0), partial(demo_caption, number=0)
