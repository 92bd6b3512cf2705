"""Causal evidence: what the answers depend on, shown by changing it. Drawn on request, in this order."""

from pathlib import Path

NAMES = tuple(f"causal/{path.stem[1:]}" for path in sorted(Path(__file__).parent.glob("f[0-9][0-9]_*.py")))
