"""A page of plain text: prose, tables and worked expressions, no line wider than the page."""

import re
import textwrap

ANSI = re.compile(r"\033\[[0-9;]*m")
COLORS = {"q": "34", "k": "31", "v": "32"}      # query blue, key red, value green, as in the figures
BOLD, REVERSE = "1", "7"


def number(value):
    """A number with four decimals, or with four significant digits below 0.001 and from 100,000 on."""
    value = float(value)
    if value == 0:
        return "0"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def visible(text):
    """The text without colours."""
    return ANSI.sub("", text)


class Page:
    """Lines of at most `width` columns, at least 60; with `color`, ANSI codes besides."""

    def __init__(self, width, color):
        self.width, self.color = max(width, 60), color
        self.lines = []

    def text(self):
        return "\n".join(self.lines)

    def paint(self, text, *codes):
        """The text in those ANSI codes, if the page has colours."""
        codes = [code for code in codes if code]
        return f"\033[{';'.join(codes)}m{text}\033[0m" if self.color and codes else text

    def named(self, text, name, *codes):
        """Text in the colour of q, k or v if `name` is one of them, its weights or its gradient."""
        return self.paint(text, COLORS.get(name.removeprefix("d").removeprefix("W_")), *codes)

    def prose(self, text, indent=0, first=""):
        """A paragraph, after a blank line if it is not indented; `first` is its first word, in colour."""
        if not indent and self.lines:
            self.lines.append("")
        plain = visible(first)
        wrapped = textwrap.wrap(
            plain + text, self.width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2),
            break_on_hyphens=False,
        )
        self.lines += [wrapped[0].replace(plain, first, 1), *wrapped[1:]]

    def wrapped(self, text):
        """A line of its own, continued with an indent where it is too long."""
        self.lines += textwrap.wrap(text, self.width, subsequent_indent="  ", break_on_hyphens=False)

    def table(self, rows, columns, cells, mark=None):
        """Cells of text under their columns, in as many blocks of columns as the width asks for.

        rows, columns: labels; cells: one list of texts a row; mark: (row, column) of the cell to highlight
        """
        rows, columns = [str(row) for row in rows], [str(column) for column in columns]
        left = 2 + max(map(len, rows))
        cell = 2 + max(len(str(text)) for texts in (columns, *cells) for text in texts)
        count = max(1, (self.width - left) // cell)
        for first in range(0, len(columns), count):
            block = range(first, min(first + count, len(columns)))
            self.lines.append(" " * left + "".join(columns[j].rjust(cell) for j in block))
            for i, row in enumerate(rows):
                line = "  " + row.ljust(left - 2)
                for j in block:
                    text = str(cells[i][j])
                    shown = self.paint(text, BOLD, REVERSE) if (i, j) == mark else text
                    line += " " * (cell - len(text)) + shown
                self.lines.append(line)

    def worked(self, label, pieces, value, operands=False):
        """What equals what: an expression in names, in numbers, and its value.

        With `operands`, each operand of the expression stands before it, with its value.
        """
        self.lines.append(f"  {label}")
        if operands:
            different = dict.fromkeys(piece for piece in pieces if not isinstance(piece, str))
            texts = [self.named(f"{label} = {number(amount)}", name) for name, label, amount in different]
            self.flow(texts, 6, gap="   ")
        in_names = self.chunks(pieces, lambda operand: operand.label)
        in_numbers = self.chunks(pieces, lambda operand: number(operand.value))
        for chunks in dict.fromkeys(map(tuple, (in_names, in_numbers))):
            if visible(" ".join(chunks)) not in (label, number(value)):
                self.flow(["    = " + chunks[0], *chunks[1:]], 6)
        self.lines.append(f"    = {number(value)}")

    def chunks(self, pieces, show):
        """An expression in parts that need not share a line: it is broken before + - and /, not in exp()."""
        chunks, previous = [""], "("
        inside_exp = False
        for piece in pieces:
            text = piece if isinstance(piece, str) else self.named(show(piece), piece.name)
            inside_exp = piece == "exp(" or inside_exp and piece != ")"
            if piece in ("+", "-", "/") and not inside_exp:
                chunks.append(text)
            elif previous.endswith("(") or piece in (")", ","):
                chunks[-1] += text
            else:
                chunks[-1] += " " + text
            previous = piece if isinstance(piece, str) else ""
        return chunks

    def flow(self, texts, indent, gap=" "):
        """Texts one after the other, as many to a line as fit; a line is indented unless its text is."""
        line = ""
        for text in texts:
            if line and len(visible(line + gap + text)) <= self.width:
                line += gap + text
                continue
            self.lines += [line] if line else []
            line = text if text.startswith(" ") else " " * indent + text
        self.lines += [line] if line else []
