"""What the commands share that work on a trained run."""

import re

from scratchformer.commands.arguments import UsageError


def overrides(args):
    """What --set, --rule and --seed change in a config: `section.key=value` each."""
    changes = [*args.set]
    if getattr(args, "data", None) is not None:
        changes.append(f"data.text={args.data}")
    if args.rule is not None:
        changes.append(f"data.rule={args.rule}")
    if getattr(args, "seed", None) is not None:
        changes.append(f"training.seed={args.seed}")
    return changes


def requested_run(args):
    """The Run that the arguments name: the saved one with --visualize, else the one to find or train.

    Raises UsageError, ConfigError or RunError; writes nothing.
    """
    if args.visualize and (args.resume or args.retrain):
        raise UsageError("--visualize does not train: leave out --resume and --retrain")
    if args.resume and args.retrain:
        raise UsageError("--resume and --retrain exclude each other")
    from scratchformer.run.config import load_config

    config = load_config(args.config, overrides(args))
    from scratchformer.run.job import check_step
    from scratchformer.run.place import find_place, find_saved

    if args.visualize:
        run = find_saved(config, args.out, overrides(args))
    else:
        check_step(getattr(args, "step", None), config.training)
        run = find_place(config, args.out, args.retrain)
    if getattr(args, "sequence", None) is not None:
        run.follow(args.sequence)
    return run


def train_model(args, run, looking=True):
    """(the Model to work on, seconds that training took): trained now, or found so with seconds None.

    looking: a run that is there is looked at as it is, finished or not, unless --resume or --retrain is given
    """
    import scipy                        # of which Numba's compiled code needs the BLAS, and aborts without

    from scratchformer.run.job import train_run
    from scratchformer.run.place import look_at

    assert scipy
    seconds = None
    looking = looking and run.steps and run.files.can_resume() and not (args.resume or args.retrain)
    if args.visualize or looking:
        look_at(run)
    else:
        seconds = train_run(run, args.resume, args.retrain)
    step = getattr(args, "step", None)
    return run.last if step is None else run.at(step), seconds


def read_metric(args):
    """The Metric of --metric, None without; ConfigError if it cannot be used."""
    from scratchformer.run.own_metric import load_metric

    return None if args.metric is None else load_metric(args.metric)


def check_head(args, run):
    """The run, if it has the head that is asked for; RunError, before it is trained, if not."""
    if args.head != 1:
        run.untrained.with_head(args.head)
    return run


def plots_folder(args, model):
    """Where the run's figures go: those of a step, head or sequence asked for into a folder of their own."""
    parts = [f"step_{model.step:06d}"] if getattr(args, "step", None) is not None else []
    parts += [f"head_{model.head}"] * (model.head > 1)
    if getattr(args, "sequence", None) is not None:
        parts.append("sequence_" + "-".join(re.sub(r"[^\w+]", "_", word) for word in args.sequence.split()))
    return model.run.folder / "plots" / "_".join(parts)
