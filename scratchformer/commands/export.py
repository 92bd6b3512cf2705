"""export: the parameters, and with a sequence all activations and gradients, for other tools."""

import time

from scratchformer.commands.arguments import STEP, TRAINED, Argument, UsageError
from scratchformer.commands.trained import requested_run, train_model

FORMATS = ("npz", "safetensors", "json", "csv")

HELP = "write parameters and activations for other tools"
EXAMPLE = 'export plus_last_even npz --sequence "5 8 3 +"'
FLAGS = (Argument(
    "--export", "npz, safetensors, json or csv", "FORMAT", must=f"be {', '.join(FORMATS[:-1])} or csv",
    test=lambda value: value in FORMATS,
),)
ARGUMENTS = (
    *TRAINED, STEP,
    Argument("--sequence", "activations on these tokens too, as in \"5 8 3 +\"", "TOKENS"),
    Argument("--target", "with --sequence: the next token, for gradients too", "TOKEN"),
)


def run(args):
    """Write the file and say where it is."""
    if args.target is not None and args.sequence is None:
        raise UsageError("--target is the token after a --sequence: give that too")
    run = requested_run(args)
    import numpy as np

    from scratchformer.run.data import make_vocabulary, parse_tokens
    from scratchformer.system.errors import RunError, plain
    from scratchformer.tools.exchange import gather_arrays, write_arrays

    tokens = targets = None
    if args.sequence is not None:
        vocabulary = make_vocabulary(run.config)
        tokens = parse_tokens(args.sequence, vocabulary, run.config.model.block_size)
    if args.target is not None:
        targets = np.full(len(tokens), -1)
        try:
            targets[-1:] = parse_tokens(args.target, vocabulary, 1)
        except ValueError as error:
            raise RunError(f"--target: {error}") from error
    model, _ = train_model(args, run)
    arrays = gather_arrays(model, tokens, targets)
    path = run.folder / "export" / f"step_{model.step:06d}.{args.export}"
    path.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    write_arrays(path, arrays, run.config, model.vocabulary)
    print(f"{plain(path)}: {len(arrays)} arrays, {path.stat().st_size:,} bytes, "
          f"in {time.perf_counter() - start:.2f} s")
    return 0
