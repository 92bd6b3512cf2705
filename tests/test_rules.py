import pytest

from scratchformer.rules import RULES


@pytest.mark.parametrize(
    ("history", "allowed"),
    [
        ([5, 3, 8, 7, "+"], {8}),
        ([5, 3, 8, 7, "+", 8, 10, 2, 4, "+"], {4}),
        ([10, "+", 10, 6, "+"], {6}),
        ([0, 1, "+"], {0}),                         # zero is even
        (["+", "+"], None),                         # no even number yet: nothing is constrained
        ([1, 3, "+"], None),
        ([2, "+", 2], None),
        ([2], None),
        ([2, "-", "+"], {2}),                       # another operator is no number
    ],
)
def test_plus_last_even(history, allowed):
    assert RULES["plus_last_even"](history) == allowed
