"""One figure of two models, side by side and on one scale."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scratchformer.figures.catalogue import figure_module

SHOWN = ("06_embedding_scatter", "10_qk_space_focus", "13_qk_attention", "supplementary/11_decision_map")


class Scales:
    """The ranges that a figure's panels ask for, call by call; or, once known for both, what they get."""

    def __init__(self, given=None):
        self.asked, self.given = [], given

    def hold(self, low, high):
        """(lowest, highest) of the panel that asks: see `style.held`."""
        self.asked.append((low, high))
        if self.given is None:
            return low, high
        return self.given[len(self.asked) - 1]


def draw_pair(models, name, dpi):
    """A Figure with the figure of that name of two Models, drawn with the same ranges of axes and colours.

    Two models whose panels differ in number or kind keep their own. For use within `own_look()`.
    """
    for model, other in (models, models[::-1]):
        model.beside = other                    # one frame for both: see landscape.frame_points
    module = figure_module(name)
    asked = [draw_scaled(module, model, Scales())[1].asked for model in models]
    given = None
    if [np.shape(low) for low, _ in asked[0]] == [np.shape(low) for low, _ in asked[1]]:
        given = [
            (np.minimum(one[0], other[0]), np.maximum(one[1], other[1]))
            for one, other in zip(*asked, strict=True)
        ]
    pictures = []
    for model in models:
        fig, _ = draw_scaled(module, model, Scales(given))
        fig.set_dpi(dpi)
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba()))
        model.beside = None
    both = np.concatenate(pictures, axis=1)
    fig = Figure(figsize=(both.shape[1] / dpi, both.shape[0] / dpi), dpi=dpi)
    fig.figimage(both)
    return fig


def draw_scaled(module, model, scales):
    """(the figure of a model, its scales)."""
    fig = Figure(figsize=module.SIZE)
    fig.hold_extent = fig.hold_colors = scales.hold
    module.draw(fig, model)
    return fig, scales
