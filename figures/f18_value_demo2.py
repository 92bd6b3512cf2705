"""The third sequence on the landscapes of all next tokens: see value_demo.py."""

from functools import partial

from scratchformer.figures.value_demo import SIZE, demo_caption, draw_demo

__all__ = ["SIZE", "caption", "draw"]
draw, caption = partial(draw_demo, number=2), partial(demo_caption, number=2)
