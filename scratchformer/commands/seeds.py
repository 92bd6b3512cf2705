"""seeds: train one config from many seeds, or many settings of it, and draw what comes of it."""

import re

from scratchformer.commands.arguments import (
    CONFIG, DEBUG, DPI, FORMAT, METRIC, OUT, RULE, SET, TRUST, Argument, UsageError,
)
from scratchformer.commands.trained import overrides, read_metric

HELP = "train many seeds of a config and compare them"
EXAMPLE = "seeds plus_last_even 64 --compare plus_last_even_robust"
FLAGS = (Argument("--seeds", "how many from seed 0 on, or which: 5-9, or 1,4,7", "N"),)
ARGUMENTS = (
    CONFIG, RULE, SET, TRUST, DEBUG, OUT, FORMAT, DPI, METRIC,
    Argument("--compare", "another config, side by side", "CONFIG2"),
    Argument("--grid", "all combinations: model.n_embd=2,3 ...", "KEY=A,B", many="+"),
    Argument("--prove", "judge each seed after every context there is"),
)
MOST = 1_000_000                        # seeds


def run(args):
    """Train the seeds of the config, and of the other if there is one; draw and report each, then both."""
    if args.compare and args.grid:
        raise UsageError("--compare and --grid: one at a time")
    if args.prove and args.grid:
        raise UsageError("--grid trains and judges on held-out windows: leave out --prove")
    chosen = read_seeds(args.seeds)
    try:
        return train_grid(args, chosen) if args.grid else train_seeds(args, chosen)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command continues: finished seeds are kept") from None


def read_seeds(text):
    """The seeds that a text asks for: a count, a range such as 5-9, or several with commas between."""
    if not re.fullmatch(r"\d{1,19}([-,]\d{1,19})*", text):
        raise UsageError(f"--seeds {text}: write how many, at least 1, or which: 5-9, or 1,4,7")
    if text.isdecimal():
        seeds = range(min(int(text), MOST + 1))             # len() of more than 2**63 fails
    else:
        parts = [[int(end) for end in part.split("-")] for part in text.split(",")]
        if any(len(part) > 2 or part[0] > part[-1] for part in parts):
            raise UsageError(f"--seeds {text}: a range goes up, as in 5-9")
        if sum(part[-1] - part[0] + 1 for part in parts) > MOST:
            raise UsageError(f"--seeds {text}: at most {MOST:,} seeds")
        seeds = [seed for part in parts for seed in range(part[0], part[-1] + 1)]
    if not 1 <= len(seeds) <= MOST:
        raise UsageError(f"--seeds {text}: must be at least 1 and at most {MOST:,}")
    return seeds


def train_seeds(args, chosen):
    """Train and report the seeds of one config, or of two side by side."""
    from scratchformer.run.config import load_config
    from scratchformer.run.memory import check_memory
    from scratchformer.run.place import own_folder

    metric = read_metric(args)
    configs = [load_config(name, overrides(args)) for name in (args.config, args.compare) if name is not None]
    check_memory(configs[-1])           # that of the first is checked where it is trained
    from scratchformer.figures.seeds.draw import draw_census, draw_compare, draw_seeds
    from scratchformer.system.progress import Progress
    from scratchformer.tools.seeds.census import census_report, take_census
    from scratchformer.tools.seeds.report import comparison, sweep_report
    from scratchformer.tools.seeds.sweep import sweep

    progress = Progress()
    sweeps = []
    for config in configs:
        folder = own_folder(config, args.out) / "seeds"
        sweeps.append(sweep(config, chosen, folder, progress=progress.show))
        progress.clear()
        print(draw_seeds(sweeps[-1], args.format, args.dpi))
        print(sweep_report(sweeps[-1]))
        if metric:
            print(report_metric(sweeps[-1], metric, progress)[1])
        if args.prove:
            entries = take_census(sweeps[-1], progress=progress.show)
            progress.clear()
            print(census_report(entries))
            if entries:
                print(f"picture: {draw_census(sweeps[-1], entries, args.format, args.dpi)}")
    if args.compare is not None:
        print(comparison(*sweeps))
        draw_compare(*sweeps, sweeps[0].folder, args.format, args.dpi)
    return lost(sweeps)


def train_grid(args, chosen):
    """Train and report the seeds of every combination of settings."""
    from pathlib import Path

    from scratchformer.run.config import load_config
    from scratchformer.tools.seeds.grid import grid_report, grid_table, read_grid, run_grid

    metric, configs = read_metric(args), {}
    for values in read_grid(args.grid):
        changes = [f"{key}={value}" for key, value in values]
        configs[values] = load_config(args.config, [*overrides(args), *changes])
    from scratchformer.figures.seeds.draw import draw_grid
    from scratchformer.system.files import write_atomically
    from scratchformer.system.progress import Progress

    progress = Progress()
    cells = run_grid(configs, chosen, args.out, progress=progress.show)
    progress.clear()
    name = load_config(args.config).name
    values = [report_metric(cell.sweep, metric, progress) for cell in cells] if metric else []
    column = (metric.name, [found for found, _ in values]) if metric else None
    picture = draw_grid(name, cells, Path(args.out), args.format, args.dpi, column)
    table = picture.with_suffix(".csv")
    write_atomically(table, grid_table(cells).encode())
    print(grid_report(cells))
    print(f"picture: {picture}\ntable: {table}")
    for cell, (_, line) in zip(cells, values, strict=False):
        print(f"{cell.name}  {line}")
    return lost([cell.sweep for cell in cells])


def report_metric(sweep, metric, progress):
    """Measure the metric of every seed of a study and write the table: (values, a line that says what came
    out)."""
    from scratchformer.system.files import write_atomically
    from scratchformer.tools.seeds.metric import measure_seeds, metric_summary, metric_table

    values = measure_seeds(sweep, metric, progress.show)
    progress.clear()
    path = sweep.folder / f"metric_{metric.name}.csv"
    write_atomically(path, metric_table(("seed",), values.items(), metric.name).encode())
    return [*values.values()], f"metric {metric.name}: {metric_summary(values.values())}; table: {path}"


def lost(sweeps):
    """1 if a seed's process was lost, or it raised, so that nothing is known of it; else 0."""
    return int(any(not len(result.history) for done in sweeps for result in done.results))
