"""How time and memory grow with each size: a step, an evaluation, a proof, all figures.

    python tests/benchmarks/scaling.py [--figures]      # with the figures some ten minutes

Each row is a fresh process on one core, with one setting changed from plus_last_even: T (block_size), C
(n_embd), V (tokens), F (hidden units), B (batch). A step and an evaluation are timed as training does them,
medians; the proof has LIMIT seconds, and how much of all contexts it settles is told where it needs more; the
figures are the seconds of CPU that all stills take one after another, and the slowest of them. Memory is the
greatest that the process had.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
STEPS, LIMIT = 400, 10.0
SIZES = {                               # what is changed: (name, values, settings of a value)
    "T": ((16, 32, 64), lambda n: (f"model.block_size={n}", f"data.min_length={n + 2}",
                                   f"data.max_length={n + 12}")),
    "C": ((4, 16, 64), lambda n: (f"model.n_embd={n}",)),
    "V": ((24, 48, 101), lambda n: (f"data.numbers={n - 1}",)),
    "F": ((64, 128), lambda n: (f"model.ffn_mult={n // 2}",)),
    "B": ((32, 128), lambda n: (f"training.batch_size={n}",)),
    "T and C": ((32, 64), lambda n: (f"model.block_size={n}", f"model.n_embd={n}", f"data.min_length={n + 2}",
                                     f"data.max_length={n + 12}")),
}


def measure(settings, figures):
    """One row: in this process, in a temporary folder."""
    import resource
    import statistics
    import tempfile
    import time

    sys.path.insert(0, str(REPO))
    from scratchformer.run.config import load_config
    from scratchformer.run.job import train_run
    from scratchformer.run.run import Run
    from scratchformer.run.train import train
    from scratchformer.tools.prove.prove import prove

    short = (f"training.steps={STEPS}", f"training.eval_every={STEPS}", f"training.checkpoint_every={STEPS}")
    config = load_config("plus_last_even", [*short, *settings])
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run", config)
        train_run(run)
        data, judge, state = run.prepared
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            *_, last = train(config, data, judge, state, lambda state: None)
            seconds.append(time.perf_counter() - start)
        params, evaluations = run.last.params, []
        for _ in range(3):
            start = time.perf_counter()
            judge.measure(params)
            evaluations.append(time.perf_counter() - start)
        evaluation = statistics.median(evaluations)
        step = (statistics.median(seconds) - 2 * evaluation) / STEPS
        row = {"step": step * 1e6, "evaluation": evaluation * 1e3}
        start = time.perf_counter()
        verdict = prove(run.last, LIMIT, most_listed=0).any
        row |= {"proof": time.perf_counter() - start,
                "settled": 1 - verdict.undecided.total() / max(verdict.total.total(), 1)}
        if figures:
            from scratchformer.figures.catalogue import figure_names
            from scratchformer.figures.draw import draw_figure

            spent = {}
            for name in figure_names():
                start = time.process_time()
                draw_figure(run.last, name, folder)
                spent[name] = time.process_time() - start
            row |= {"figures": sum(spent.values()), "slowest": max(spent, key=spent.get)}
    row["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def main():
    """Measure each size in a process of its own; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", action="store_true")
    parser.add_argument("--row", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row is not None:
        print(json.dumps(measure(args.row, args.figures)))
        return
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    print("| size | step, µs | evaluation, ms | proof, s (settled) | all figures, s (slowest) | memory, MB |")
    print("|---|---|---|---|---|---|", flush=True)
    rows = [("T 8, C 2, V 12, F 32, B 8", ())]
    for name, (values, settings) in SIZES.items():
        rows += [(f"{name} {value}", settings(value)) for value in values]
    for name, settings in rows:
        command = [sys.executable, __file__, *["--figures"] * args.figures, "--row", *settings]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        drawn = f"{row['figures']:.0f} ({row['slowest']})" if args.figures else ""
        proof = f"{row['proof']:.1f} ({row['settled']:.2%})"
        print(f"| {name} | {row['step']:,.0f} | {row['evaluation']:,.1f} | {proof} | {drawn} "
              f"| {row['memory']:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
