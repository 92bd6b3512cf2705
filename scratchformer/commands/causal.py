"""causal: draw the figures of causal evidence."""

from scratchformer.commands.arguments import DPI, FORMAT, SEQUENCE, STEP, TRAINED, Argument
from scratchformer.commands.trained import plots_folder, requested_run, train_model

HELP = "draw the figures of causal evidence"
EXAMPLE = "causal plus_last_even --step 5000"
FLAGS = (Argument("--causal", HELP),)
ARGUMENTS = (*TRAINED, STEP, SEQUENCE, FORMAT, DPI)


def run(args):
    """Draw the figures and print where they are."""
    model, _ = train_model(args, requested_run(args))
    from scratchformer.figures.catalogue import figure_names
    from scratchformer.figures.draw import draw_all

    plots, names = plots_folder(args, model), figure_names("causal")
    draw_all(model, names, plots, args.format, args.dpi)
    print(f"figures: {plots / 'causal'} ({len(names)} files)")
    return 0
