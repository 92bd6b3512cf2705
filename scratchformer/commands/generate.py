"""generate: what the model writes after a prompt."""

from scratchformer.commands.arguments import STEP, TRAINED, Argument
from scratchformer.commands.trained import requested_run, train_model

LONGEST = 10_000                        # tokens of a prompt, and of what is written

HELP = "write on from a prompt, judged by the rule"
EXAMPLE = 'generate plus_last_even "5 8 3 +" --temperature 0.5'
FLAGS = (Argument("--generate", 'tokens to go on from, as in "5 8 3 +"', "TOKENS"),)
ARGUMENTS = (
    *TRAINED, STEP,
    Argument(
        "--count", "how many samples (default: 5)", "N", int, 5,
        must="be from 1 to 1000", test=lambda value: 1 <= value <= 1000,
    ),
    Argument(
        "--length", "tokens that each is written on by (default: 8)", "N", int, 8,
        must=f"be from 1 to {LONGEST}", test=lambda value: 1 <= value <= LONGEST,
    ),
    Argument(
        "--temperature", "0: always the likeliest; above 1: bolder (default: 1)", "X", float, 1.0,
        must="be from 0 to 1000", test=lambda value: 0 <= value <= 1000,
    ),
)


def run(args):
    """Print the samples."""
    run = requested_run(args)
    from scratchformer.run.data import make_vocabulary, parse_tokens
    from scratchformer.system.errors import RunError
    from scratchformer.tools.sample import describe_samples, write_on

    try:
        prompt = parse_tokens(args.generate, make_vocabulary(run.config), LONGEST)
    except ValueError as error:
        raise RunError(f"--generate: {error}") from error
    model, _ = train_model(args, run)
    print(describe_samples(model, write_on(model, prompt, args.count, args.length, args.temperature)))
    return 0
