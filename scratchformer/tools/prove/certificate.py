"""The certificate of a proof: its cases, as a file that check_certificate.py checks on its own.

    {"format": 1, "step": 20000, "sha256": {"config.toml": "...", "step_020000.npy": "..."},
     "rule": "...", "vocabulary": ["0", ..., "+"],
     "counts": {"right": n, "wrong": n, "open": n, "free": n}, "cases": [...]}

A case is [kind, allowed, masks, ...]: ids of the tokens that the rule allows; for each position, oldest
first, a whole number whose bit i says whether token i is in the position's set. The kinds:

    right   the top prediction is an allowed token after every context
    wrong   the top prediction is a token that is not allowed after every context
    each    few contexts, to be judged one by one; a fourth entry [right, wrong] says how many are
    open    nothing is claimed: too close to call, or the time was up
    free    the rule says nothing
"""

import hashlib
import json
from math import prod

from scratchformer.system.files import write_atomically

MOST = 200_000                          # cases that a certificate holds


def write_certificate(model, proof):
    """Write the certificate of a Proof beside the run; its path, or None if it would have too many cases."""
    run = model.run
    if len(proof.settled.cases) + len(proof.settled.undecided) + len(proof.free) > MOST:
        return None
    snapshot = run.files.snapshot_path(model.step)
    cases = [certificate_case(case) for case in proof.settled.cases + proof.settled.undecided]
    cases += [["free", [], [sum(1 << i for i in ids) for ids in case.sets]] for case in proof.free]
    content = {
        "format": 1, "step": model.step,
        "sha256": {path.name: digest(path) for path in (run.folder / "config.toml", snapshot)},
        "rule": model.config.data.rule, "vocabulary": list(model.vocabulary),
        "counts": count_kinds(proof), "cases": cases,
    }
    lines = ",\n".join(f"  {json.dumps(case)}" for case in content.pop("cases"))
    head = json.dumps(content, indent=1).removesuffix("\n}")
    path = run.folder / f"certificate_step_{model.step:06d}.json"
    write_atomically(path, f'{head},\n "cases": [\n{lines}\n]}}\n'.encode())
    return path


def certificate_case(case):
    """A decided or undecided Case as the list that stands in a certificate."""
    masks = [sum(1 << i for i in row.nonzero()[0].tolist()) for row in case.members]
    head = [list(case.answer), masks]
    right, wrong, close = case.count()
    if len(case.each):
        return ["open", *head] if close else ["each", *head, [right, wrong]]
    return [case.verdict if case.verdict in ("right", "wrong") else "open", *head]


def count_kinds(proof):
    """How many contexts are right, wrong, open and free in the certificate."""
    counts = {"right": 0, "wrong": 0, "open": 0, "free": 0}
    for case in proof.settled.cases:
        right, wrong, close = case.count()
        if close:                       # such a case is left open as a whole
            right, wrong, close = 0, 0, case.size
        counts["right"], counts["wrong"] = counts["right"] + right, counts["wrong"] + wrong
        counts["open"] += close
    counts["open"] += sum(case.size for case in proof.settled.undecided)
    counts["free"] = sum(prod(map(len, case.sets)) for case in proof.free)
    return counts


def digest(path):
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
