"""Numbers that remember how they were computed.

The engine's own functions are run on arrays of Terms in place of numbers (`trace.py`), so an expression that
is shown is the one that the code evaluates, and its value is that of the code's own arithmetic.
"""

import math
from typing import NamedTuple

SUM, PRODUCT, ATOM = range(3)           # how tightly an expression holds together


class Operand(NamedTuple):
    """A number in an expression, and what it is called."""

    name: str                           # of the array, such as q or dq; "" for a constant
    label: str                          # of the entry, such as q[3,0]
    value: float


class Term:
    """A value and its expression: an operand, or an operation on two Terms, or a function of one.

    An expression is shown as simply as it can be: 0 + x and 1 * x are x, and 0 * x is 0, so a product
    with a factor 0 is left out of its sum.
    """

    __slots__ = ("value", "operation", "parts")

    def __init__(self, value, operation, parts):
        self.value, self.operation, self.parts = value, operation, parts

    def __add__(self, other):
        other = as_term(other)
        value = self.value + other.value
        if is_zero(self):
            return Term(value, other.operation, other.parts)
        return self if is_zero(other) else Term(value, "+", (self, other))

    def __radd__(self, other):
        return as_term(other) + self

    def __sub__(self, other):
        other = as_term(other)
        value = self.value - other.value
        if is_zero(self):
            return Term(value, "-", (other,))
        return self if is_zero(other) else Term(value, "-", (self, other))

    def __rsub__(self, other):
        return as_term(other) - self

    def __mul__(self, other):
        other = as_term(other)
        value = self.value * other.value
        if self.value == 0 or other.value == 0:
            return constant(value)
        if is_one(self):
            return other
        return self if is_one(other) else Term(value, "*", (self, other))

    def __rmul__(self, other):
        return as_term(other) * self

    def __truediv__(self, other):
        other = as_term(other)
        value = self.value / other.value
        if is_one(other) or is_zero(self):
            return self
        return Term(value, "/", (self, other))

    def __rtruediv__(self, other):
        return as_term(other) / self

    def __gt__(self, other):
        return self.value > as_term(other).value

    def pieces(self):
        """The expression as a list: operands, and the text between them."""
        return list(flatten(self))

    def holds(self):
        """How tightly the expression holds together: what may stand beside it without brackets."""
        if self.operation in ("+", "-"):
            return SUM
        return PRODUCT if self.operation in ("*", "/") else ATOM


def constant(value, label=None):
    """A Term for a number that is no entry of an array."""
    if label is None:
        label = str(int(value)) if float(value).is_integer() else repr(value)
    return Term(value, "", (Operand("", label, value),))


def as_term(value):
    return value if isinstance(value, Term) else constant(value)


def is_zero(term):
    """Whether a Term is the constant 0, which a sum need not show."""
    return is_constant(term) and term.value == 0


def is_one(term):
    return is_constant(term) and term.value == 1


def is_constant(term):
    return term.operation == "" and not term.parts[0].name


def exp(term):
    return Term(math.exp(term.value), "exp(", (term,))


def log(term):
    return Term(math.log(term.value), "log(", (term,))


def sqrt(number):
    """The root of a dim: shown as it is written, and not as its decimals."""
    return constant(math.sqrt(number), f"sqrt({number})")


def largest(one, other):
    """max, as the engine uses it: of a Term and a constant it is shown, of two entries it is one of them."""
    if isinstance(one, Term) and isinstance(other, Term):
        return other if other > one else one
    one, other = as_term(one), as_term(other)
    return Term(max(one.value, other.value), "max(", (one, other))


def flatten(term):
    """The pieces of an expression, in order. Sums are long and lean to the left: no recursion along them."""
    spine = []
    while term.operation in ("+", "-") and len(term.parts) == 2:
        spine.append((term.operation, term.parts[1]))
        term = term.parts[0]
    yield from flatten_one(term)
    for sign, part in reversed(spine):
        yield sign
        yield from bracketed(part, part.holds() > SUM or sign == "+" and len(part.parts) == 2)


def flatten_one(term):
    """The same of a Term that is no sum."""
    operation, parts = term.operation, term.parts
    if operation == "":
        (operand,) = parts
        yield operand if operand.label[0].isalpha() else operand.label
    elif operation == "-":
        first, *rest = bracketed(parts[0], parts[0].operation.endswith("("))
        yield "-" + first
        yield from rest
    elif operation in ("*", "/"):
        yield from bracketed(parts[0], parts[0].holds() > SUM)
        yield operation
        yield from bracketed(parts[1], parts[1].holds() == ATOM)
    else:
        yield operation
        for i, part in enumerate(parts):
            if i:
                yield ","
            yield from flatten(part)
        yield ")"


def bracketed(term, bare):
    """The pieces of an expression, in brackets unless it may stand bare."""
    if bare:
        yield from flatten(term)
    else:
        yield "("
        yield from flatten(term)
        yield ")"
