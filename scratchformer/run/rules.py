"""The rules. A rule is one function of the history.

`rule(history)` gets the tokens so far, oldest first (numbers as int, operators as str), and
returns the set of tokens that may come next, or None where any token may come. A rule that must know
how many numbers there are takes them as a second argument: `rule(history, numbers)`. The generator,
the constrained positions, the rule error and the green and red of the figures all follow from it.

A rule's answer to a window must not contradict its answer to the longer history: what it cannot
know from the tokens it is given, it leaves open (None).
"""

import functools
import random

RULES = {}


def rule(function):
    """Enter a function among the rules, under its own name."""
    RULES[function.__name__] = function
    return function


def is_number(token):
    """Whether a token is a number, not an operator."""
    return isinstance(token, int)


def is_even(token):
    """Whether a token is an even number; zero is."""
    return is_number(token) and token % 2 == 0


def is_odd(token):
    """Whether a token is an odd number."""
    return is_number(token) and token % 2 == 1


def same_parity(history):
    """Whether the last two tokens are both even or both odd; None where they are not two numbers."""
    last_two = history[-2:]
    if len(last_two) < 2 or not all(map(is_number, last_two)):
        return None
    return is_even(last_two[0]) == is_even(last_two[1])


# looking for a token of some kind


@rule
def plus_last_even(history):
    """After +, the most recent even number.

    Our choice: with no even number before it, + leaves the next token open.
    """
    if history[-1] != "+":
        return None
    for token in reversed(history):
        if is_even(token):
            return {token}
    return None


@rule
def even_repeat_last_odd(history):
    """After an even number, the most recent odd number."""
    if not is_even(history[-1]):
        return None
    for token in reversed(history):
        if is_odd(token):
            return {token}
    return None


@rule
def plus_max_of_two(history):
    """After +, the larger of the two most recent numbers."""
    if history[-1] != "+":
        return None
    found = []
    for token in reversed(history):
        if is_number(token):
            found.append(token)
        if len(found) == 2:
            return {max(found)}
    return None


# looking so many tokens back


@rule
def lucky7(history):
    """After 7, the token before the 7."""
    if history[-1] != 7 or len(history) < 2:
        return None
    return {history[-2]}


@rule
def recall_three_back(history):
    """After 9, the token three before the 9."""
    if history[-1] != 9 or len(history) < 4:
        return None
    return {history[-4]}


@rule
def copy_modulo(history):
    """Token i is token i modulo 3: from the fourth on, each is the one three before."""
    return {history[-3]} if len(history) >= 3 else None


@rule
def even_abs_diff(history):
    """After an even number, the difference (without its sign) of the two numbers before it.

    Our choice: of the two tokens just before the even number, and only if both are numbers.
    """
    if not is_even(history[-1]) or len(history) < 3:
        return None
    first, second = history[-3:-1]
    return {abs(first - second)} if is_number(first) and is_number(second) else None


# a function of the last number


@rule
def successor(history, numbers):
    """Each number is one more than the one before; after the largest comes 0."""
    return {(history[-1] + 1) % numbers} if is_number(history[-1]) else None


@rule
def step_back(history, numbers):
    """Each number is one less than the one before; after 0 comes the largest."""
    return {(history[-1] - 1) % numbers} if is_number(history[-1]) else None


@rule
def conditional_transform(history, numbers):
    """After an even number, its half; after an odd one, one more (after the largest, 0)."""
    if is_even(history[-1]):
        return {history[-1] // 2}
    return {(history[-1] + 1) % numbers} if is_odd(history[-1]) else None


@rule
def lookup_permutation(history, numbers):
    """After each number, the one that a fixed shuffled table names."""
    return {shuffled(numbers)[history[-1]]} if is_number(history[-1]) else None


@functools.cache
def shuffled(numbers):
    """The numbers below `numbers` in an order that is the same everywhere (random.random's is kept)."""
    draw = random.Random(0)
    return sorted(range(numbers), key=lambda _: draw.random())


# several tokens allowed


@rule
def plus_means_even(history, numbers):
    """After +, any even number."""
    return set(range(0, numbers, 2)) if history[-1] == "+" else None


@rule
def odd_even_index(history, numbers):
    """Odd and even numbers alternate.

    Our choice: told from the parity of the last number, not from its place in the sequence.
    """
    if not is_number(history[-1]):
        return None
    return set(range(1 - history[-1] % 2, numbers, 2))


@rule
def even_to_odd_transition(history, numbers):
    """After an even number, an odd one."""
    return set(range(1, numbers, 2)) if is_even(history[-1]) else None


@rule
def parity_based(history, numbers):
    """After two numbers of the same parity, an even number; of different parity, an odd one."""
    same = same_parity(history)
    return None if same is None else set(range(0 if same else 1, numbers, 2))


@rule
def parity_gt_10(history, numbers):
    """After two numbers of the same parity, a number below 10; of different parity, 10 or more."""
    same = same_parity(history)
    if same is None:
        return None
    return set(range(min(10, numbers))) if same else set(range(10, numbers)) or None


@rule
def even_greater_than_10(history, numbers):
    """After an even number, one above 10; after an odd one, one below 10."""
    if is_even(history[-1]):
        return set(range(11, numbers)) or None
    return set(range(min(10, numbers))) if is_odd(history[-1]) else None
