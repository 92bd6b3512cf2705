"""A digest of the maths: whether weights were trained by the engine as it is now."""

import ast
import hashlib
import inspect

from scratchformer.engine import adam, attention, embedding, feed_forward, linear, lm_head, passes, training

MATHS = (linear, embedding, attention, feed_forward, lm_head, passes, adam, training)


def engine_digest():
    """16 hex digits of the maths' source: comments, docstrings and layout do not count."""
    sources = hashlib.sha256()
    for module in MATHS:
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
        sources.update(ast.unparse(tree).encode())
    return sources.hexdigest()[:16]
