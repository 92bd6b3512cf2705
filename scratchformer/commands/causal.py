"""causal: draw the figures of causal evidence."""

from scratchformer.commands.arguments import DPI, FORMAT, HEAD, SEQUENCE, STEP, TRAINED, Argument
from scratchformer.commands.trained import check_head, plots_folder, requested_run, train_model

HELP = "draw the figures of causal evidence"
EXAMPLE = "causal plus_last_even --step 5000"
FLAGS = (Argument("--causal", HELP),)
ARGUMENTS = (*TRAINED, STEP, SEQUENCE, HEAD, FORMAT, DPI)


def run(args):
    """Draw the figures and print where they are."""
    model = train_model(args, check_head(args, requested_run(args)))[0].with_head(args.head)
    from scratchformer.figures.catalogue import figure_names
    from scratchformer.figures.draw import draw_all

    plots, names = plots_folder(args, model), figure_names("causal")
    draw_all(model, names, plots, args.format, args.dpi)
    print(f"figures: {plots / 'causal'} ({len(names)} files)")
    return 0
