"""The colours: what means different things in one picture can be told apart, also by colour-blind eyes."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from scratchformer.figures import f02_learning_curve as learning
from scratchformer.figures import style
from scratchformer.figures.regions import ANSWERS

TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
SIGHT = {                               # linear RGB as it is seen: Viénot, Brettel and Mollon, 1999
    "normal": np.eye(3),
    "protanopia": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "deuteranopia": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
}
TOGETHER = {                            # what stands in one picture
    "attention": (style.Q, style.K, style.WRONG, style.LINES[1]),
    "values": (style.V, style.MIXED, style.WRONG),
    "four spaces": (style.INK, style.Q, style.K, style.V),
    "learning curve": (style.TRAIN, style.HELD_OUT, style.WRONG, learning.GENERATED, learning.METRIC),
    "verdicts": (style.CORRECT, style.WRONG, style.OPEN), "arrows": tuple(style.LINES.values()),
    "answers": ANSWERS,
}


def lab(color, sight):
    """CIE Lab of a colour (D65)."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(SIGHT[sight] @ linear, 0, 1) / (0.95047, 1, 1.08883)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("picture", TOGETHER)
def test_colours_that_stand_together_are_apart(picture, sight):
    for one, other in combinations(TOGETHER[picture], 2):
        assert np.linalg.norm(lab(one, sight) - lab(other, sight)) > 12, (one, other)


def test_white_and_black_by_hand():
    np.testing.assert_allclose(lab("white", "normal"), (100, 0, 0), atol=0.02)
    np.testing.assert_allclose(lab("black", "normal"), (0, 0, 0), atol=0.02)


@pytest.mark.parametrize("color", [
    style.INK, style.Q, style.K, style.V, style.HELD_OUT, style.WRONG, style.ANSWER, learning.GENERATED,
])
def test_text_in_colour_can_be_read_on_white(color):
    """Contrast of 2.8 at least; WCAG asks 3 of large text and of marks, which the orange just misses."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (TO_XYZ[1] @ linear + 0.05) >= 2.8
