"""Proves, checks, samples and decompiles the model of every config: what the docs claim of proofs.

    python tests/prove_all.py                   # some ten minutes
    python tests/prove_all.py --seeds 10        # at block_size 5, seeds 0 to 9 against the enumeration

For each config: cases and seconds of the proof, what the checker says of the certificate and in which
time, how many of SAMPLE contexts drawn at random contradict the verdict of their case (must be 0), and the
program.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from enumeration.walk import enumerate_contexts  # noqa: E402

from scratchformer.run import job  # noqa: E402
from scratchformer.run.config import config_names, load_config  # noqa: E402
from scratchformer.run.run import Run  # noqa: E402
from scratchformer.tools.decompile.decompile import decompile  # noqa: E402
from scratchformer.tools.prove import check_certificate  # noqa: E402
from scratchformer.tools.prove.certificate import write_certificate  # noqa: E402
from scratchformer.tools.prove.prove import prove  # noqa: E402

SAMPLE, AT_ONCE = 10**6, 10**5
PROVING, CHECKING, DECOMPILING = 60, 120, 30            # seconds, at most
HALF = 1500                             # steps of a model that is half trained


def contradictions(model, proof, count):
    """How many of so many contexts drawn at random, of each length alike, are judged otherwise than the case
    they lie in."""
    rng, T, V = np.random.default_rng(0), model.config.model.block_size, len(model.vocabulary)
    wrong = 0
    for length in range(1, T + 1):
        left = count // T
        cases = [case for case in proof.settled.cases if len(case.members) == length]
        while left > 0 and cases:
            contexts = rng.integers(0, V, (min(left, AT_ONCE), length))
            left -= len(contexts)
            predicted = model.forward(contexts).logits[:, -1].argmax(axis=1)
            ending = {token: np.flatnonzero(contexts[:, -1] == token) for token in range(V)}
            for case in cases:
                if case.verdict in ("right", "wrong"):
                    among = ending[case.key[1]]                 # all of a case end in one token
                    for t in range(length - 1):
                        among = among[case.members[t, contexts[among, t]]]
                    right = np.isin(predicted[among], case.answer)
                    wrong += int((right != (case.verdict == "right")).sum())
    return wrong


def row(name, folder):
    """The table's cells of a config."""
    run = Run(Path(folder) / name, load_config(name))
    job.train_run(run)
    model = run.last
    model.landscape(np.zeros((1, run.config.model.n_embd)))     # what is compiled is compiled
    proof = prove(model, PROVING, most_listed=0)
    certificate = write_certificate(model, proof)
    start = time.perf_counter()
    checked = "too many cases"
    if certificate:
        command = [sys.executable, check_certificate.__file__, certificate]
        try:
            done = subprocess.run(command, capture_output=True, timeout=CHECKING)
            checked = f"{'yes' if done.returncode == 0 else 'NO'}, {time.perf_counter() - start:.1f} s"
        except subprocess.TimeoutExpired:
            checked = f"not done in {CHECKING} s"
    program = decompile(model, DECOMPILING)
    listed = "all" if program.exact else f"not all: {program.open:,} open"
    return (
        name, f"{proof.any.wrong.total():,} of {proof.any.total.total():,}", f"{proof.any.open:,}",
        f"{proof.judged:,}", f"{proof.seconds:.2f}", checked, contradictions(model, proof, SAMPLE),
        program.lines, f"{program.bits:,} + {program.exception_bits:,}",
        f"{program.agree:,} of {program.contexts:,}",
        f"{len(program.exceptions):,}", listed,
    )


def against_enumeration(name, seeds, folder):
    """The seeds of a config, half trained every second one, that have another count than the enumeration."""
    differ = []
    for seed in range(seeds):
        settings = ["model.block_size=5", f"training.seed={seed}", "data.num_sequences=400"]
        settings += [f"training.steps={HALF}"] * (seed % 2)
        run = Run(Path(folder) / f"{name}-{seed}", load_config(name, settings))
        job.train_run(run)
        proof, found = prove(run.last, PROVING, most_listed=0), enumerate_contexts(run.last)
        same = (proof.producible.wrong == found[True].wrong and proof.producible.total == found[True].total
                and proof.any.wrong == found[True].wrong + found[False].wrong and not proof.any.open)
        differ += [] if same else [seed]
    return differ


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("configs", nargs="*", default=config_names())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.seeds:
            for name in args.configs:
                differ = against_enumeration(name, args.seeds, folder)
                print(f"{name}: {args.seeds} seeds, {len(differ)} differ {differ or ''}", flush=True)
            return
        titles = ("config", "wrong contexts", "open", "cases", "s", "checker", "of 10^6 contradict", "lines",
                  "bits", "agree", "exceptions", "accounted for")
        print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|", flush=True)
        for name in args.configs:
            print("| " + " | ".join(map(str, row(name, folder))) + " |", flush=True)


if __name__ == "__main__":
    main()
