"""The third sequence on the landscapes of all next tokens: see value_demo.py."""

from functools import partial

from scratchformer.figures.value_demo import SIZE, demo_caption, draw_demo

HEADING = "Third sequence on the landscape"
QUESTION = "Where does the model fail, if it does anywhere?"
LOOK = "a red arrow on the map, which ends in another token's region"
__all__ = ["HEADING", "LOOK", "QUESTION", "SIZE", "caption", "draw"]
draw, caption = partial(draw_demo, number=2), partial(demo_caption, number=2)
