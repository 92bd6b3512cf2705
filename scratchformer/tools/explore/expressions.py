"""Expressions of the engine's Python as JavaScript; see translate.py."""

import ast

from scratchformer.engine.names import TABLE

BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
CALLS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
COMPARE = {ast.Eq: "===", ast.NotEq: "!==", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
MATHS = {"exp": "Math.exp", "log": "Math.log", "sqrt": "Math.sqrt", "max": "Math.max"}
RESERVED = {
    "case", "catch", "const", "debugger", "default", "delete", "do", "enum", "export", "extends", "function",
    "instanceof", "let", "new", "null", "static", "super", "switch", "this", "throw", "typeof", "undefined",
    "var", "void",
}
ATTRIBUTES = {"shape", "T", "itemsize", *TABLE}         # of arrays, and the arrays of a container
STRONG = (ast.Name, ast.Constant, ast.Call, ast.Subscript, ast.Attribute, ast.Tuple)     # need no brackets


class Untranslatable(Exception):
    """A construct that has no counterpart: file:line and what it is."""


class Expressions:
    """What turns an expression into text.

    file: of the source, for messages; functions: names of those that may be called; symbolic: arithmetic as
    calls; scopes: the names that are set, block by block
    """

    def __init__(self, file, functions, symbolic):
        self.file, self.functions, self.symbolic = file, functions, symbolic
        self.scopes = [set()]

    def fail(self, node, what):
        return Untranslatable(f"{self.file}:{node.lineno}: {what} has no JavaScript here")

    def value(self, node):
        """An expression as text."""
        method = getattr(self, f"on_{type(node).__name__}", None)
        if method is None:
            raise self.fail(node, f"the expression {type(node).__name__}")
        return method(node)

    def part(self, node):
        """An operand: in brackets unless it holds together by itself."""
        text = self.value(node)
        return text if isinstance(node, STRONG) else f"({text})"

    def name(self, node, name):
        if name in RESERVED:
            raise self.fail(node, f"the name {name}, which JavaScript keeps for itself,")
        return name

    def on_Name(self, node):
        if node.id == "nan":
            return "NaN"
        if not any(node.id in scope for scope in self.scopes):
            raise self.fail(node, f"{node.id}, which is not set in this block or around it,")
        return self.name(node, node.id)

    def on_Constant(self, node):
        if isinstance(node.value, bool):
            return str(node.value).lower()
        if not isinstance(node.value, int | float):
            raise self.fail(node, f"the constant {node.value!r}")
        return repr(node.value)

    def on_Attribute(self, node):
        if node.attr not in ATTRIBUTES:
            raise self.fail(node, f"the attribute {node.attr}")
        return f"{self.value(node.value)}.{node.attr}"

    def on_Subscript(self, node):
        """x[i, j] is an entry; where an array is wanted (`array`), the rows under those indices."""
        x = self.value(node.value)
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            return f"{x}[{self.value(node.slice)}]"
        entries = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return f"{x}.data[{x}.at({', '.join(map(self.value, entries))})]"

    def array(self, node):
        """An expression that is an array, such as q[b, h] or k[b, h].T."""
        if isinstance(node, ast.Subscript):
            entries = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return f"{self.value(node.value)}.row({', '.join(map(self.value, entries))})"
        if isinstance(node, ast.Attribute):
            return f"{self.array(node.value)}.{node.attr}"
        return self.value(node)

    def on_Tuple(self, node):
        return f"[{', '.join(map(self.value, node.elts))}]"

    def on_BinOp(self, node):
        kind = type(node.op)
        if kind not in BINARY:
            raise self.fail(node, f"the operator {kind.__name__}")
        if self.symbolic:
            return f"{CALLS[kind]}({self.value(node.left)}, {self.value(node.right)})"
        left, right = self.part(node.left), self.part(node.right)
        if kind in (ast.Add, ast.Sub) and isinstance(node.left, ast.BinOp):
            left = self.value(node.left)        # a + b + c, a * b + c
        if kind in (ast.Add, ast.Sub) and isinstance(getattr(node.right, "op", None), ast.Mult | ast.Div):
            right = self.value(node.right)
        if kind is ast.Mult and isinstance(getattr(node.left, "op", None), ast.Mult):
            left = self.value(node.left)
        return f"{left} {BINARY[kind]} {right}"

    def on_UnaryOp(self, node):
        if isinstance(node.op, ast.USub):
            operand = self.part(node.operand)
            return f"neg({operand})" if self.symbolic else f"-{operand}"
        if isinstance(node.op, ast.Not):
            return f"!{self.part(node.operand)}"
        raise self.fail(node, "this sign")

    def on_BoolOp(self, node):
        sign = " || " if isinstance(node.op, ast.Or) else " && "
        return sign.join(f"({self.value(entry)})" if isinstance(entry, ast.BoolOp) else self.value(entry)
                         for entry in node.values)

    def on_Compare(self, node):
        if len(node.ops) != 1 or type(node.ops[0]) not in COMPARE:
            raise self.fail(node, "this comparison")
        left, right = self.value(node.left), self.value(node.comparators[0])
        return f"{left} {COMPARE[type(node.ops[0])]} {right}"       # a Term compares by its valueOf

    def on_IfExp(self, node):
        return f"{self.part(node.test)} ? {self.part(node.body)} : {self.part(node.orelse)}"

    def on_Call(self, node):
        function, named = node.func, {entry.arg: entry.value for entry in node.keywords}
        if isinstance(function, ast.Attribute):
            if ast.unparse(function) == "np.dot" and named.keys() <= {"out"} and len(node.args) == 2:
                return f"dot({', '.join(map(self.array, [*node.args, *named.values()]))})"
            if ast.unparse(function) == "np.empty" and len(node.args) == 2 and not named:
                return f"empty({self.value(node.args[0])})"         # of one dtype: float64
            if function.attr == "reshape" and not named:
                return f"{self.array(function.value)}.reshape({', '.join(map(self.value, node.args))})"
            raise self.fail(node, f"{ast.unparse(function)}()")
        if named:
            raise self.fail(node, "an argument by name")
        arguments = [self.value(entry) for entry in node.args]
        if function.id == "len":
            return f"{arguments[0]}.shape[0]"
        if function.id == "float":
            return arguments[0]
        if function.id in MATHS and not self.symbolic:
            return f"{MATHS[function.id]}({', '.join(arguments)})"
        if function.id not in self.functions and function.id not in MATHS:
            raise self.fail(node, f"{function.id}()")
        return f"{self.name(function, function.id)}({', '.join(arguments)})"
