"""The engine's Python as JavaScript: the same functions, names and comments, line by line.

The engine is written in a small part of Python: loops over range, indexing, np.dot, reshape, .T, exp, log,
sqrt, max. Each construct of it has one counterpart here; any other raises Untranslatable with file and line,
so the page's maths cannot drift from the engine's. What the JavaScript calls (dot, empty, the array with its
strides) is ndarray.js.

With `symbolic`, arithmetic becomes calls, `mul(a, b)` for a * b, for numbers that remember how they came
about (terms.js).
"""

import ast
import inspect
import io
import tokenize
from pathlib import Path

from scratchformer.engine import adam, attention, embedding, feed_forward, linear, lm_head, passes, training
from scratchformer.tools.explore.expressions import BINARY, CALLS, Expressions

MODULES = (linear, embedding, attention, feed_forward, lm_head, passes, adam, training)
INDENT = "  "


def translate_engine(symbolic=False, modules=MODULES):
    """JavaScript of the functions of these modules, in the order in which they need each other."""
    known = function_names(MODULES)
    return "\n".join(
        Writer(inspect.getsource(module), Path(module.__file__).name, known, symbolic).text()
        for module in modules
    )


def function_names(modules):
    """Names of the functions that are written in these modules."""
    return [node.name for module in modules for node in ast.parse(inspect.getsource(module)).body
            if isinstance(node, ast.FunctionDef)]


class Writer(Expressions):
    """One module's Python source as JavaScript.

    source: Python; file: its name for messages; functions: names of those that it may call; symbolic:
    arithmetic as calls
    """

    def __init__(self, source, file, functions=(), symbolic=False):
        super().__init__(file, functions, symbolic)
        self.source = source
        self.lines, self.depth, self.parameters = [], 0, set()
        self.comments = {
            token.start[0]: token.string.removeprefix("#").strip()
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
        self.done = 0                           # the last line of Python whose comments are written

    def text(self):
        """The JavaScript."""
        tree = ast.parse(self.source)
        self.write(f"// {'-' * 20} {self.file}")
        self.docstring(tree)
        for node in tree.body:
            self.statement(node)
        return "\n".join(self.lines) + "\n"

    def write(self, text):
        self.lines.append(f"{INDENT * self.depth}{text}".rstrip())

    def statement(self, node):
        """One statement with its comments."""
        method = getattr(self, f"do_{type(node).__name__}", None)
        if method is None:
            raise self.fail(node, f"the statement {type(node).__name__}")
        for line in range(self.done + 1, node.lineno):
            if line in self.comments:
                self.write(f"// {self.comments[line]}")
        self.done = node.lineno - 1
        method(node)

    def simple(self, node, text):
        """Write a statement of one line; the comments beside it come along."""
        beside = [self.comments[line] for line in range(node.lineno, node.end_lineno + 1)
                  if line in self.comments]
        self.write(f"{text};{'   // ' * bool(beside)}{' '.join(beside)}")
        self.done = node.end_lineno

    def docstring(self, node):
        for line in (ast.get_docstring(node) or "").splitlines():
            self.write(f"// {line}")
        if ast.get_docstring(node):
            self.done = node.body[0].end_lineno

    def block(self, nodes):
        """The statements of a block, indented, in a scope of their own."""
        self.depth += 1
        self.scopes.append(set())
        for node in nodes:
            self.statement(node)
        self.scopes.pop()
        self.depth -= 1

    def do_Import(self, node):
        pass

    do_ImportFrom = do_Import

    def do_ClassDef(self, node):
        """A named tuple of settings: the functions take it apart, so it is an array."""
        if [base.id for base in node.bases] != ["NamedTuple"]:
            raise self.fail(node, "a class")
        fields = [entry.target.id for entry in node.body if isinstance(entry, ast.AnnAssign)]
        self.write("")
        self.write(f"// {node.name} is the array [{', '.join(fields)}]")
        self.done = node.end_lineno

    def do_FunctionDef(self, node):
        self.write("")
        arguments = [self.name(entry, entry.arg) for entry in node.args.args]
        self.write(f"function {self.name(node, node.name)}({', '.join(arguments)}) {{")
        self.parameters = set(arguments)
        self.scopes.append(set(arguments))
        self.depth += 1
        self.docstring(node)
        self.depth -= 1
        self.block(node.body[bool(ast.get_docstring(node)):])
        self.scopes.pop()
        self.write("}")

    def do_For(self, node):
        call = node.iter
        if node.orelse or not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "range":
            raise self.fail(node, "a loop over something else than range()")
        start, stop = ["0", *map(self.value, call.args)][-2:]
        if len(call.args) > 2:
            raise self.fail(node, "a range with a step")
        i = self.name(node, node.target.id)
        self.write(f"for (let {i} = {start}; {i} < {stop}; {i}++) {{")
        self.scopes.append({i})
        self.block(node.body)
        self.scopes.pop()
        self.write("}")

    def do_If(self, node):
        self.write(f"if ({self.value(node.test)}) {{")
        self.block(node.body)
        if node.orelse:
            self.write("} else {")
            self.block(node.orelse)
        self.write("}")

    def do_Return(self, node):
        self.simple(node, f"return {self.value(node.value)}")

    def do_Expr(self, node):
        if not isinstance(node.value, ast.Constant):            # a string by itself is a comment
            self.simple(node, self.value(node.value))

    def do_Assign(self, node):
        target, value = node.targets[0], self.value(node.value)
        if len(node.targets) > 1:
            raise self.fail(node, "this assignment")
        if isinstance(target, ast.Name):
            known = any(target.id in scope for scope in self.scopes)
            self.scopes[-1].add(target.id)
            self.simple(node, f"{'' if known else 'let '}{self.name(target, target.id)} = {value}")
        elif isinstance(target, ast.Tuple):
            names = ["" if entry.id == "_" else self.name(entry, entry.id) for entry in target.elts]
            self.scopes[-1].update(names)
            while names and not names[-1]:      # [B, H, , ] is [B, H]
                names.pop()
            self.simple(node, f"const [{', '.join(names)}] = {value}")
        elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice):
            if target.slice.lower or target.slice.upper or target.slice.step:
                raise self.fail(node, "a slice with bounds")
            self.simple(node, f"{self.value(target.value)}.fill({value})")
        elif isinstance(target, ast.Subscript):
            self.simple(node, f"{self.value(target)} = {value}")
        else:
            raise self.fail(node, "this assignment")

    def do_AugAssign(self, node):
        """x[i] += y of an entry; of an array that the function was given, all its entries."""
        target, value, kind = self.value(node.target), self.value(node.value), type(node.op)
        if isinstance(node.target, ast.Name) and node.target.id in self.parameters:
            if kind is not ast.Add:
                raise self.fail(node, "this change of a whole array")
            self.simple(node, f"add_to({target}, {value})")
        elif self.symbolic:
            self.simple(node, f"{target} = {CALLS[kind]}({target}, {value})")
        else:
            self.simple(node, f"{target} {BINARY[kind]}= {value}")
