"""The third sequence on the landscapes of all next tokens."""

from scratchformer.figures.value_demo import SIZE, demo_caption, draw_demo

__all__ = ["SIZE", "caption", "draw"]


def draw(fig, model):
    """One column a next token: the sequence's values, how attention moves it, where it lies then."""
    draw_demo(fig, model, 2)


def caption(model):
    """What is to be seen, with this run's numbers."""
    return demo_caption(model, 2)
