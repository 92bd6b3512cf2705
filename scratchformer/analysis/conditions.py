"""A rule whose conditions are asked as wholes: `token != "+" and token > 5` is one question about a token.

Python asks a condition piece by piece. A token that is still a set of tokens (lazy_history.py) then falls
into as many parts as there are pieces to tell apart: +, small numbers, large ones. The condition itself tells
only two kinds apart, and a rule that scans over n tokens goes 2^n ways instead of n. So the rule's own source
is read, and each of its conditions over one lazy token becomes one question. The rule is otherwise run as it
is; where its source cannot be had, it is asked piece by piece.
"""

import ast
import inspect
import textwrap
from functools import partial
from types import FunctionType

ASK = "ask_as_a_whole"                  # what the rewritten source calls the function that asks


def with_whole_conditions(rule, ask):
    """The rule with `ask(condition, *values)` for each of its conditions; partials are looked through.

    condition: function of the values of the local names that it reads
    """
    if isinstance(rule, partial):
        function, *args = (
            with_whole_conditions(part, ask) if callable(part) else part for part in (rule.func, *rule.args)
        )
        return partial(function, *args, **rule.keywords)
    if not isinstance(rule, FunctionType) or rule.__code__.co_freevars:
        return rule
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(rule)))
    except (OSError, SyntaxError):
        return rule
    (function, *more) = tree.body
    if more or not isinstance(function, ast.FunctionDef):
        return rule
    function.decorator_list = []
    plain = run_source(tree, rule, {})[function.name].__code__
    if (plain.co_code, plain.co_names) != (rule.__code__.co_code, rule.__code__.co_names):
        return rule                     # the file has changed since
    Rewriter(local_names(function)).visit(function)
    return run_source(tree, rule, {ASK: ask})[function.name]


def run_source(tree, rule, names):
    """The names that a piece of source makes, run among those of a rule's own module and some more."""
    namespace = {**rule.__globals__, **names}
    exec(compile(ast.fix_missing_locations(tree), inspect.getsourcefile(rule), "exec"), namespace)
    return namespace


def local_names(tree):
    """The names that a piece of source binds: arguments and what is assigned."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return stored | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


class Rewriter(ast.NodeTransformer):
    """Puts `ask(lambda names: condition, names)` for each condition that reads local names."""

    def __init__(self, names):
        self.names = names

    def wrap(self, node):
        """The condition as a call of `ask`."""
        inside = {type(part) for part in ast.walk(node)}
        own = local_names(node)
        read = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} & self.names - own
        if not read or inside & {ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom}:
            return node
        names = sorted(read)
        arguments = ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
        values = [ast.Name(name, ast.Load()) for name in names]
        return ast.Call(ast.Name(ASK, ast.Load()), [ast.Lambda(arguments, node), *values], [])

    def visit_test(self, node):
        """A statement or expression with a `test`: only whether that is true matters."""
        self.generic_visit(node)
        if not self.is_wrapped(node.test):
            truth = ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), node.test))
            node.test = self.wrap(truth)
        return node

    visit_If = visit_While = visit_IfExp = visit_Assert = visit_test

    def visit_comprehension(self, node):
        """The `if` of a comprehension."""
        self.generic_visit(node)
        node.ifs = [test if self.is_wrapped(test) else self.wrap(test) for test in node.ifs]
        return node

    def visit_BoolOp(self, node):
        """`a and b`, outermost: its parts stay as they are."""
        return self.wrap(node)

    def visit_Compare(self, node):
        """A comparison that stands alone, as in `return token > 5`."""
        return self.wrap(node)

    def is_wrapped(self, node):
        """Whether a condition is a call of `ask` already."""
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == ASK
