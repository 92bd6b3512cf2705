"""Clauses as Python source: the shortest that says the same of all last tokens."""

from collections import Counter

from scratchformer.tools.decompile.clauses import Back, Constant


def program_lines(clauses, vocabulary):
    """The body of `says(history)`, as lines: what it answers after each last token.

    clauses: one for each token, in id order; vocabulary: tokens in id order
    """
    groups = {}
    for token, clause in enumerate(clauses):
        groups.setdefault(clause if not isinstance(clause, Constant) else "constant", []).append(token)
    constants = groups.pop("constant", [])
    blocks = sorted(groups.items(), key=lambda item: len(item[1]))
    if not constants:
        blocks, last = blocks[:-1], blocks[-1]
    lines = []
    for clause, tokens in blocks:
        lines.append(f"if {one_of('history[-1]', tokens, vocabulary)}:")
        lines += [f"    {line}" for line in clause_lines(clause, vocabulary)]
    if constants:
        lines += constant_lines({token: clauses[token].answer for token in constants}, vocabulary)
    else:
        lines += clause_lines(last[0], vocabulary)
    return lines


def constant_lines(answers, vocabulary):
    """Lines that answer by the last token alone: ids by id."""
    common, count = Counter(answers.values()).most_common(1)[0]
    if count == len(answers):
        return [f"return {vocabulary[common]!r}"]
    numbers = {x: y for x, y in answers.items() if isinstance(vocabulary[x], int)}
    others = {x: y for x, y in answers.items() if x not in numbers}
    lines = []
    for token, answer in others.items():
        lines += [f"if history[-1] == {vocabulary[token]!r}:", f"    return {vocabulary[answer]!r}"]
    return lines + [f"return {function_text(numbers, 'history[-1]', vocabulary)}"]


def clause_lines(clause, vocabulary):
    """A clause that looks at other tokens, as lines."""
    default = f"return {vocabulary[clause.answer]!r}"
    if isinstance(clause, Back):
        function = dict(enumerate(clause.function))
        name = f"history[-{clause.distance + 1}]"
        return [
            f"if len(history) > {clause.distance}:",
            f"    return {function_text(function, name, vocabulary)}", default,
        ]
    lines = ["for distance, token in enumerate(reversed(history[:-1]), 1):"]
    lines.append(f"    if {one_of('token', clause.kind, vocabulary)}:")
    far = {}
    for token, least, answer in clause.far:
        far.setdefault((least, answer), []).append(token)
    for (least, answer), tokens in sorted(far.items()):
        lines.append(f"        if {one_of('token', tokens, vocabulary)} and distance >= {least}:")
        lines.append(f"            return {vocabulary[answer]!r}")
    if not far:
        lines[0] = "for token in reversed(history[:-1]):"
    function = {token: clause.function[token] for token in clause.kind}
    return [*lines, f"        return {function_text(function, 'token', vocabulary)}", default]


def one_of(name, tokens, vocabulary):
    """The condition that a name is one of some tokens."""
    words = [vocabulary[token] for token in tokens]
    if len(words) == 1:
        return f"{name} == {words[0]!r}"
    left = [word for word in vocabulary if word not in words]
    if len(left) == 1:
        return f"{name} != {left[0]!r}"
    if len(left) < len(words) and left:
        return f"{name} not in {tuple(left)!r}"
    return f"{name} in {tuple(words)!r}"


def function_text(function, name, vocabulary):
    """A function of a token (ids by id) as an expression of its name: arithmetic where that says it, else a
    table."""
    words = {vocabulary[x]: vocabulary[y] for x, y in function.items()}
    common, count = Counter(words.values()).most_common(1)[0]
    if count == len(words):
        return repr(common)
    n = sum(isinstance(word, int) for word in vocabulary)
    if all(isinstance(x, int) for x in words):
        for text, value in (
            (name, lambda x: x), (f"({name} + 1) % {n}", lambda x: (x + 1) % n),
            (f"({name} - 1) % {n}", lambda x: (x - 1) % n), (f"{name} // 2", lambda x: x // 2),
        ):
            if all(value(x) == y for x, y in words.items()):
                return text
    different = {x: y for x, y in words.items() if x != y}
    if len(different) < len(words) - count:
        return f"{different!r}.get({name}, {name})" if different else name
    if count > 1:
        different = {x: y for x, y in words.items() if y != common}
        return f"{different!r}.get({name}, {common!r})"
    return f"{words!r}[{name}]"
