"""A rule as JavaScript: translated where it is written in plain Python, else as a tree of what it looks at.

The rules that come with the project and most of a user's own are loops, comparisons, slices and sets: each
has its counterpart. A rule that does more is asked what it answers for each way its looks at the history can
turn out, up to MOST questions; where those do not suffice, the page says that it does not know.
"""

import ast
import inspect
import json
import textwrap
import types
from functools import partial

from scratchformer.tools.explore.expressions import COMPARE, Untranslatable
from scratchformer.tools.explore.history import History
from scratchformer.tools.explore.translate import Writer

MOST = 20_000                           # calls of a rule that becomes a tree
UNKNOWN = -1
HELP = """\
const truthy = (x) => (Array.isArray(x) ? x.length > 0 : Boolean(x));
const range = (...bounds) => {
  const [start, stop, step] = bounds.length > 1 ? [...bounds, 1] : [0, ...bounds, 1], found = [];
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) found.push(i);
  return found;
};
const mod = (x, y) => x - y * Math.floor(x / y);
"""


def rule_code(rule, vocabulary, block_size):
    """JavaScript of a function `allowed(history)`: the tokens that may come next, null where any may, or
    undefined where it is not known.

    rule: a function of the history; vocabulary: tokens in id order; history: at most block_size tokens
    """
    function, numbers = rule, None
    while isinstance(function, partial):        # with the count of numbers filled in, or guarded
        numbers = function.keywords.get("numbers", numbers)
        function = function.args[0] if function.args else function.func
    try:
        code = translate_rule(function)
        arguments = "history" if numbers is None else f"history, {numbers}"
        return f"{HELP}{code}\nconst allowed = (history) => {function.__name__}({arguments});\n"
    except (Untranslatable, OSError, AttributeError, TypeError):
        nodes, roots = rule_trees(rule, vocabulary, block_size)
        given = ", ".join(map(json.dumps, (nodes, roots, list(vocabulary))))
        return f"{TREE}const allowed = from_trees({given});\n"


def translate_rule(function):
    """JavaScript of a function and of those of its module that it calls."""
    found, waiting = {}, [function]
    while waiting:
        current = waiting.pop()
        if current.__name__ in found:
            continue
        if not isinstance(current, types.FunctionType):
            raise Untranslatable(f"{current.__name__} is no plain function")
        source = textwrap.dedent(inspect.getsource(current))
        writer = RuleWriter(source, current.__name__)
        found[current.__name__] = writer.text()
        names = current.__globals__
        waiting += [names[name] for name in sorted(writer.called) if name in names]
    return "\n".join(found.values())


class RuleWriter(Writer):
    """The Python that rules are written in. Tokens are numbers and strings, sets are lists."""

    def __init__(self, source, file):
        super().__init__(source, file)
        self.called = set()

    def do_FunctionDef(self, node):
        for decorator in node.decorator_list:
            if getattr(decorator, "id", "") != "rule":
                raise self.fail(node, "this decorator")
        super().do_FunctionDef(node)

    def do_For(self, node):
        if node.orelse:
            raise self.fail(node, "else after a loop")
        self.write(f"for (const {self.name(node, node.target.id)} of {self.value(node.iter)}) {{")
        self.scopes.append({node.target.id})
        self.block(node.body)
        self.scopes.pop()
        self.write("}")

    def do_If(self, node):
        node.test = ast.Call(ast.Name("truthy"), [node.test], [])
        super().do_If(node)

    def on_Constant(self, node):
        if node.value is None:
            return "null"
        return json.dumps(node.value) if isinstance(node.value, str) else super().on_Constant(node)

    def on_Set(self, node):
        return f"[{', '.join(map(self.value, node.elts))}]"

    on_List = on_Tuple = on_Set

    def on_Subscript(self, node):
        if isinstance(node.slice, ast.Slice):
            if node.slice.step is not None:
                raise self.fail(node, "a slice with a step")
            low = self.value(node.slice.lower) if node.slice.lower else "0"
            high = f", {self.value(node.slice.upper)}" if node.slice.upper else ""
            return f"{self.value(node.value)}.slice({low}{high})"
        return f"{self.value(node.value)}.at({self.value(node.slice)})"

    def on_BinOp(self, node):
        if isinstance(node.op, ast.Mod | ast.FloorDiv):
            left, right = self.value(node.left), self.value(node.right)
            rest = isinstance(node.op, ast.Mod)
            return f"mod({left}, {right})" if rest else f"Math.floor(({left}) / ({right}))"
        return super().on_BinOp(node)

    def on_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            return f"!truthy({self.value(node.operand)})"
        return super().on_UnaryOp(node)

    def on_BoolOp(self, node):
        """As in Python, the operand that decides is the value."""
        *first, last = [self.value(entry) for entry in node.values]
        for text in reversed(first):
            last = f"truthy({text}) ? {text} : ({last})" if isinstance(node.op, ast.Or) else (
                f"truthy({text}) ? ({last}) : {text}")
        return f"({last})"

    def on_IfExp(self, node):
        return f"(truthy({self.value(node.test)}) ? {self.value(node.body)} : {self.value(node.orelse)})"

    def on_Compare(self, node):
        kind, (right,) = type(node.ops[0]), node.comparators if len(node.ops) == 1 else (None,)
        if kind in (ast.In, ast.NotIn) and right is not None:
            sign = "!" * (kind is ast.NotIn)
            return f"{sign}{self.value(right)}.includes({self.value(node.left)})"
        if kind in (ast.Is, ast.IsNot) and getattr(right, "value", 0) is None:
            return f"{self.part(node.left)} {'===' if kind is ast.Is else '!=='} null"
        if right is not None and kind in COMPARE:
            return f"{self.part(node.left)} {COMPARE[kind]} {self.part(right)}"
        raise self.fail(node, "this comparison")

    def on_Call(self, node):
        function = node.func
        named = getattr(function, "id", "") in ("isinstance", "all", "any")     # of a type, of a function
        arguments = [] if named else [self.value(entry) for entry in node.args]
        if node.keywords:
            raise self.fail(node, "an argument by name")
        if isinstance(function, ast.Attribute):
            if function.attr != "append":
                raise self.fail(node, f"the method {function.attr}")
            return f"{self.value(function.value)}.push({arguments[0]})"
        if function.id == "isinstance":
            kind = {"int": "number", "str": "string"}.get(ast.unparse(node.args[1]))
            if kind is None:
                raise self.fail(node, "this isinstance")
            return f"(typeof {self.value(node.args[0])} === '{kind}')"
        if function.id in ("all", "any") and ast.unparse(node.args[0]).startswith("map("):
            test, items = node.args[0].args
            self.called.add(test.id)
            every = {"all": "every", "any": "some"}[function.id]
            return f"{self.value(items)}.{every}((x) => {test.id}(x))"
        known = {"len": "{0}.length", "reversed": "[...{0}].reverse()", "set": "{0}", "list": "[...{0}]",
                 "abs": "Math.abs({0})", "truthy": "truthy({0})", "sorted": "[...{0}].sort((x, y) => x - y)"}
        if function.id in known and len(arguments) == 1:
            return known[function.id].format(*arguments)
        if function.id in ("max", "min"):
            spread = "..." if len(arguments) == 1 else ""
            return f"Math.{function.id}({spread}{', '.join(arguments)})"
        if function.id == "range":
            return f"range({', '.join(arguments)})"
        if function.id in __builtins__:
            raise self.fail(node, f"{function.id}()")
        self.called.add(function.id)
        return f"{self.name(node, function.id)}({', '.join(arguments)})"


TREE = """\
// A rule that is no plain Python: nodes are [place from the end, node for each token], answers {allowed}.
const from_trees = (nodes, roots, vocabulary) => (history) => {
  let node = nodes[roots[history.length]];
  while (Array.isArray(node)) {
    const next = node[1][vocabulary.indexOf(history.at(node[0]))];
    node = next < 0 ? undefined : nodes[next];
  }
  return node && node.allowed;
};
"""


def rule_trees(rule, vocabulary, block_size):
    """(nodes, the root's number by length): see TREE; the same subtree is one node."""
    nodes, numbers, left = [], {}, [MOST]

    def number(node):
        key = repr(node)
        if key not in numbers:
            numbers[key] = len(nodes)
            nodes.append(node)
        return numbers[key]

    def grow(ids):
        """The number of the node of histories of which `ids` (-1 for the rest) are known."""
        if not left[0]:
            return UNKNOWN
        left[0] -= 1
        history = History(vocabulary, list(ids))
        try:
            answer = rule(history)
        except (AttributeError, TypeError):     # it asks what no Sequence answers
            return UNKNOWN
        if not history.looked:
            return number({"allowed": sorted(answer, key=vocabulary.index) if answer else None})
        place = history.looked[0] % len(ids)
        below = [grow([*ids[:place], i, *ids[place + 1:]]) for i in range(len(vocabulary))]
        return below[0] if len({*below}) == 1 else number([place - len(ids), below])

    roots = [UNKNOWN, *(grow([-1] * length) for length in range(1, block_size + 1))]
    return nodes, roots
