"""compare: two steps of a run, or two runs, side by side."""

from scratchformer.commands.arguments import DPI, FIGURE, TRAINED, Argument, UsageError, whole_folder
from scratchformer.commands.trained import requested_run, train_model

HELP = "two steps, or two runs, side by side: what differs"
EXAMPLE = "compare plus_last_even 5000 20000 --figure 10 13"
FLAGS = (
    Argument("--compare-steps", "two steps of the run", "N", int, many="+"),
    Argument("--compare-run", "its last step with that of the run in a folder", "DIR", whole_folder),
)
ARGUMENTS = (*TRAINED, FIGURE, DPI)


def run(args):
    """Print what differs, draw each figure of both models with one scale, and say where they are."""
    if args.compare_steps and (args.compare_run is not None or len(set(args.compare_steps)) != 2):
        raise UsageError("give two steps, or another run with --compare-run", "compare")
    from scratchformer.figures.catalogue import pick_figures
    from scratchformer.figures.side_by_side import SHOWN

    names = pick_figures(args.figure) if args.figure else SHOWN
    run = requested_run(args)
    if args.compare_steps:
        from scratchformer.run.job import check_step

        for step in args.compare_steps:
            check_step(step, run.config.training)
    second = None if args.compare_run is None else open_other(args.compare_run)
    model, _ = train_model(args, run)
    if second is None:
        models = tuple(run.at(step) for step in args.compare_steps)
        folder = "compare_" + "_".join(f"{step:06d}" for step in args.compare_steps)
    else:
        models, folder = (model, second.last), f"compare_{second.folder.name}"
    compare_models(args, models, run.folder / "plots" / folder, names)
    return 0


def open_other(folder):
    """The Run in a folder, held for reading; RunError if there is none."""
    from pathlib import Path

    from scratchformer.run.run import Run
    from scratchformer.system.files import lock_folder

    run = Run.open(Path(folder))
    lock_folder(run.folder)
    return run


def compare_models(args, models, plots, names):
    """Print and write what differs, and draw the figures."""
    from scratchformer.figures.draw import write_figure
    from scratchformer.figures.side_by_side import draw_pair
    from scratchformer.system.files import write_atomically
    from scratchformer.system.progress import Progress
    from scratchformer.tools.compare import compare, comparison_report

    progress = Progress()
    report = comparison_report(compare(*models, progress=progress.show))
    progress.clear()
    print(report, flush=True)
    for number, name in enumerate(names):
        progress.show(f"drawing: {number} of {len(names)}")
        write_figure(plots / f"{name}.png", args.dpi, draw_pair, models, name, args.dpi)
    progress.clear()
    write_atomically(plots / "comparison.txt", f"{report}\n".encode())
    print(f"figures: {plots} ({len(names)} files)")
