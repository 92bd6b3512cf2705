"""decompile: write the trained model as a short Python function, proved to say the same."""

from scratchformer.commands.arguments import DPI, STEP, TRAINED, Argument
from scratchformer.commands.trained import requested_run, train_model

HELP = "write the model as a short program, and prove it"
EXAMPLE = "decompile plus_last_even_robust"
FLAGS = (Argument("--decompile", HELP),)
ARGUMENTS = (
    *TRAINED, STEP, DPI,
    Argument(
        "--decompile-limit", "then stop, with what is known (default: 600)", "SECONDS", float, 600.0,
        must="be above 0", test=lambda value: value > 0,
    ),
)


def run(args):
    """Write program.py, print it and what it is worth: 0 if it is proved to be the model, else 1."""
    model, _ = train_model(args, requested_run(args))
    from scratchformer.figures.draw import drawn, write_figure
    from scratchformer.figures.program import SIZE, draw_program
    from scratchformer.system.progress import Progress
    from scratchformer.tools.decompile.decompile import decompile, decompile_report

    progress = Progress()
    program = decompile(model, args.decompile_limit, progress.show)
    progress.clear()
    print(program.path.read_text().partition("def says")[2].partition("\n\n\n")[0].join(("def says", "\n")))
    print(decompile_report(program))
    picture = program.path.with_suffix(".png")
    write_figure(picture, args.dpi, drawn, SIZE, draw_program, model, program)
    print(f"picture: {picture}")
    return 0 if program.exact else 1
