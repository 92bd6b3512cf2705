"""explain: the forward pass of an input in numbers, or one entry of it."""

import os
import sys
from shutil import get_terminal_size

from scratchformer.commands.arguments import STEP, TRAINED, Argument, UsageError
from scratchformer.commands.trained import requested_run, train_model

HELP = "walk through the maths of an input in numbers"
EXAMPLE = 'explain plus_last_even "5 8 3 +" --name scores --at 3,1'
FLAGS = (Argument("--explain", 'tokens to read, as in "5 8 3 +"', "TOKENS"),)
ARGUMENTS = (
    *TRAINED, STEP,
    Argument("--name", "only this quantity, as in scores", "NAME"),
    Argument("--at", "with --name: only this entry, as in 3,1", "INDEX"),
    Argument("--target", "the next token, for the loss and gradients", "TOKEN"),
    Argument("--brief", "only what the rule asks, what is read and predicted"),
    Argument("--why", "what the logit of this token is made of", "TOKEN"),
    Argument("--pdb", "with --name: stop in the debugger when it is complete"),
)


def run(args):
    """Print the explanation, or stop in the debugger where the quantity is computed."""
    if args.pdb and not args.name:
        raise UsageError("--pdb stops at a quantity: give its --name")
    run = requested_run(args)
    from scratchformer.engine.names import ACTIVATION_NAMES
    from scratchformer.tools.explain.debugger import stop_in_debugger
    from scratchformer.tools.explain.explain import check_name, explain

    if args.pdb:
        check_name(args.name, ACTIVATION_NAMES)
    if args.brief and (args.name or args.why):
        raise UsageError("--brief shows neither a --name nor a --why")
    if args.why and (args.name or args.pdb):
        raise UsageError("--why follows a logit: leave out --name and --pdb")
    question, more = (args.explain, args.name, args.at, args.target), {"brief": args.brief, "why": args.why}
    if not args.visualize:
        explain(run.untrained, *question, **more)           # mistakes are told before training
    model, _ = train_model(args, run)
    if args.pdb:
        stop_in_debugger(model, args.explain, args.name, args.target)
    else:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print(explain(model, *question, get_terminal_size().columns, color, **more))
    return 0
