"""explore: write the page in which the run is computed while one looks at it."""

from scratchformer.commands.arguments import SEQUENCE, STEP, TRAINED, Argument
from scratchformer.commands.trained import requested_run, train_model

HELP = "write a page to explore the model in a browser"
EXAMPLE = 'explore plus_last_even --sequence "2 1 1 1 1 +"'
FLAGS = (Argument("--explore", HELP),)
ARGUMENTS = (*TRAINED, STEP, SEQUENCE, Argument("--open", "open the page in the browser"))


def run(args):
    """Write the page and print where it is."""
    run = requested_run(args)
    from scratchformer.tools.explore.javascript import check_explorable, page_code, table

    check_explorable(run)
    model, _ = train_model(args, run)
    from scratchformer.figures.explorer.page import explorer_page
    from scratchformer.system.files import write_atomically

    path = model.run.folder / "explore.html"
    page = explorer_page(model, page_code(model), table())
    write_atomically(path, page.encode())
    print(f"explorer: {path} ({len(page.encode()) / 1e6:.2f} MB; open it in a browser, no network needed)")
    if args.open:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            print("no browser could be opened here: open the file yourself")
    return 0
