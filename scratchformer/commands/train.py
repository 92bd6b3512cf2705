"""train: the main job, also what is done without a verb. Train a run, or find it trained, and draw it."""

import time

from scratchformer.commands.arguments import DATA, DPI, FIGURE, FORMAT, HEAD, METRIC, SEQUENCE, STEP, TRAINED
from scratchformer.commands.trained import check_head, plots_folder, read_metric, requested_run, train_model

HELP = "train, or find it trained, and draw all figures"
EXAMPLE = "train plus_last_even --seed 3 --figure 5 6"
FLAGS = ()
ARGUMENTS = (*TRAINED, DATA, STEP, SEQUENCE, HEAD, FIGURE, FORMAT, DPI, METRIC)


def run(args):
    """Draw the figures and, where all are drawn, their captions; report."""
    from scratchformer.figures.catalogue import pick_figures

    names = pick_figures(args.figure)
    run = check_head(args, requested_run(args))
    run.metric = read_metric(args)
    if run.metric:
        run.untrained.measure(run.metric)       # what is wrong with it shows before anything is trained
    model, seconds = train_model(args, run, looking=False)
    model = model.with_head(args.head)
    from scratchformer.figures.draw import draw_all
    from scratchformer.run.job import print_outcome

    plots = plots_folder(args, model)
    start = time.perf_counter()
    times = draw_all(model, names, plots, args.format, args.dpi, captions=not args.figure)
    print_outcome(model, plots, seconds, time.perf_counter() - start, times)
    return 0
