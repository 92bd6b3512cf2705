"""gradcheck: check every gradient of an untrained model."""

from scratchformer.commands.arguments import SETTINGS, Argument
from scratchformer.commands.trained import overrides

HELP = "check every gradient of the untrained model, two ways"
EXAMPLE = "gradcheck plus_last_even --set model.num_heads=2"
FLAGS = (Argument("--gradcheck", HELP),)
ARGUMENTS = SETTINGS


def run(args):
    """Print a line for each parameter and intermediate: 0 if all gradients are right, else 1."""
    from scratchformer.run.config import load_config

    config = load_config(args.config, overrides(args))
    from scratchformer.engine.gradcheck import gradcheck, gradcheck_report
    from scratchformer.engine.model import parameter_shapes, unflatten
    from scratchformer.run.train import prepare
    from scratchformer.system.progress import Progress

    progress = Progress()
    data, _, state = prepare(config)
    params = unflatten(state.theta.astype("float64"), parameter_shapes(config.model, len(data.vocabulary)))
    window = data.train_windows[:1]
    checks = gradcheck(
        params, window[:, :-1], window[:, 1:], config.model.use_residual,
        progress=lambda name: progress.show(f"checking {name}"),
    )
    progress.clear()
    print(gradcheck_report(checks))
    return 0 if all(check.passed for check in checks) else 1
