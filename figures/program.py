"""The program that a model was decompiled to, beside the scores that it stands for: see tools/decompile/."""

from scratchformer.analysis.followed import at_position
from scratchformer.analysis.scores import focus
from scratchformer.figures.f10_qk_space_focus import draw_ladder
from scratchformer.figures.style import INK, figure_title, panel

SIZE = (12, 5.2)
TEXT = 5.9                              # inches of width that the program has
LINE, LARGEST = 1.35, 9.5               # height of a line in font sizes; font size, in points


def draw_program(fig, model, program):
    """Left the function, right the scores of one query by position of the key, a line a token."""
    token, position = focus(model)
    name = at_position(model.vocabulary[token], position)
    agrees = f"it agrees after {program.agree / program.contexts:.2%} of all contexts"
    figure_title(fig, model, f"As a program of {program.lines} lines: {agrees}")
    lines = program.says.rstrip().splitlines()
    height = SIZE[1] - 1.2
    widest = max(map(len, lines))
    size = min(LARGEST, 72 * height / LINE / len(lines), 72 * TEXT / 0.602 / widest)
    ax = panel(fig, 0.3, 0.3, TEXT, height)
    ax.set_axis_off()
    ax.text(0, 1, "\n".join(lines), family="monospace", fontsize=size, linespacing=LINE, va="top", color=INK,
            transform=ax.transAxes)
    ax = panel(fig, TEXT + 1.1, 0.75, SIZE[0] - TEXT - 2.4, height - 0.75)
    ax.set_title(f"what {name} prefers: the higher the line, and then the further to the right", fontsize=9.5)
    draw_ladder(ax, model, token, position)
