"""The second sequence on the landscapes of all next tokens: see value_demo.py."""

from functools import partial

from scratchformer.figures.value_demo import SIZE, demo_caption, draw_demo

HEADING = "Second sequence on the landscape"
QUESTION = "Does it work where the answer lies further back and has a rival?"
LOOK = "the arrows on the map: two answers, two regions"
__all__ = ["HEADING", "LOOK", "QUESTION", "SIZE", "caption", "draw"]
draw, caption = partial(draw_demo, number=1), partial(demo_caption, number=1)
