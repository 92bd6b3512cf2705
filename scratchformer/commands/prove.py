"""prove: judge a trained model after every context there is."""

from scratchformer.commands.arguments import STEP, TRAINED, Argument
from scratchformer.commands.trained import requested_run, train_model

HELP = "judge the model after every context there is"
EXAMPLE = "prove plus_last_even_robust"
FLAGS = (Argument("--prove", HELP),)
ARGUMENTS = (
    *TRAINED, STEP,
    Argument(
        "--prove-limit", "then stop, with the bounds so far (default: 600)", "SECONDS", float, 600.0,
        must="be above 0", test=lambda value: value > 0,
    ),
)


def run(args):
    """Print the report, write failures and certificate: 0 if what is producible is proved right, else 1."""
    model, _ = train_model(args, requested_run(args))
    from scratchformer.system.files import write_atomically
    from scratchformer.system.progress import Progress
    from scratchformer.tools.prove.certificate import write_certificate
    from scratchformer.tools.prove.prove import prove
    from scratchformer.tools.prove.verdict import failures_text, prove_report

    progress = Progress()
    proof = prove(model, args.prove_limit, progress.show)
    progress.clear()
    path = model.run.folder / f"failures_step_{model.step:06d}.tsv"
    print(prove_report(proof), flush=True)      # first: it has taken long, and may not find room on the disk
    write_atomically(path, failures_text(proof).encode())
    print(f"failures: {path}")
    certificate = write_certificate(model, proof)
    print(f"certificate: {certificate or 'none: too many cases'}")
    return proof.exit_code
