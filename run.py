"""scratchformer's command line: train a tiny transformer on a rule and draw everything in it."""

import argparse
import gc
import os
import sys
import time
from pathlib import Path


def parse(argv):
    """The arguments; argparse ends the program with exit code 2 where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, allow_abbrev=False,
        epilog="python run.py plus_last_even trains that config and draws its figures",
    )
    parser.add_argument("config", nargs="?", help="name of a config (see --list) or path of a .toml file")
    parser.add_argument("--list", action="store_true", help="list the configs")
    parser.add_argument("--visualize", action="store_true", help="draw from the saved run, do not train")
    parser.add_argument("--step", type=int, metavar="N", help="draw the snapshot of step N")
    parser.add_argument("--figure", nargs="+", metavar="K", help="draw only these figures, by number")
    parser.add_argument("--seed", type=int, help="same as --set training.seed=SEED")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="change one value of the config, as in --set training.learning_rate=0.01",
    )
    parser.add_argument("--out", default="runs", metavar="DIR", help="where runs are kept (default: runs)")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--retrain", action="store_true", help="train anew even if the run is finished")
    parser.add_argument("--gradcheck", action="store_true", help="check every gradient and stop")
    parser.add_argument("--debug", action="store_true", help="run the maths as plain Python, for a debugger")
    parser.add_argument("--format", default="png", choices=["png", "svg", "pdf"], help="of the figures")
    parser.add_argument("--dpi", type=int, default=150, help="resolution of the figures (default: 150)")
    args = parser.parse_args(argv)
    if not args.config and not args.list:
        parser.error("name a config, for example plus_last_even; --list shows all")
    if args.visualize and (args.resume or args.retrain):
        parser.error("--visualize does not train: leave out --resume and --retrain")
    if args.resume and args.retrain:
        parser.error("--resume and --retrain exclude each other")
    if not 10 <= args.dpi <= 1000:
        parser.error(f"--dpi {args.dpi}: must be from 10 to 1000")
    if args.seed is not None:
        args.overrides.append(f"training.seed={args.seed}")
    return args


def main(argv=None):
    """Run the command line; returns the exit code: 0 fine, 1 a check failed, 2 usage, 130 interrupted."""
    args = parse(argv)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # the matrices are too small to share out
    if args.debug:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    from scratchformer.config import ConfigError, load_config
    from scratchformer.run_folder import RunError
    from scratchformer.train import Diverged

    try:
        if args.list:
            code = list_configs()
        else:
            config = load_config(args.config, args.overrides)
            code = check_gradients(config) if args.gradcheck else train_and_draw(args, config)
        sys.stdout.flush()
        return code
    except (ConfigError, RunError) as error:
        return fail(error, 2)
    except Diverged as error:
        return fail(f"training diverged {error}; the snapshots before are kept. A lower "
                    f"training.learning_rate may help (it is {config.training.learning_rate})", 1)
    except BrokenPipeError:             # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return fail(f"cannot write: {error}", 2)
    except KeyboardInterrupt:
        return fail(f"interrupted; python run.py {args.config} --resume goes on from the last snapshot", 130)


def fail(message, code):
    """Say what went wrong on stderr, return the exit code."""
    print(f"run.py: {message}", file=sys.stderr)
    return code


def list_configs():
    """Print the configs with one line each."""
    from scratchformer.config import config_names, load_config

    for name in config_names():
        print(f"{name:<24}{load_config(name).description}")
    return 0


def check_gradients(config):
    """Check every gradient of the config's untrained model on one window: 0 if all are right, else 1."""
    from scratchformer.gradcheck import gradcheck, report
    from scratchformer.model import parameter_shapes, unflatten
    from scratchformer.progress import Progress
    from scratchformer.train import prepare

    progress = Progress()
    data, _, state = prepare(config)
    params = unflatten(state.theta.astype("float64"), parameter_shapes(config.model, len(data.vocabulary)))
    window = data.train_windows[:1]
    checks = gradcheck(
        params, window[:, :-1], window[:, 1:], config.model.use_residual,
        progress=lambda name: progress.show(f"checking {name}"),
    )
    progress.clear()
    print(report(checks))
    return 0 if all(check.passed for check in checks) else 1


def train_and_draw(args, config):
    """The main job: train (or find the run trained), draw, report."""
    from figures.draw import draw_all, figure_names

    from scratchformer.run_folder import Run, RunError

    names = pick_figures(args.figure, figure_names())
    folder = Path(args.out) / config.name
    if args.visualize:
        run = Run.open(folder)
        if args.overrides and not run.holds(config):
            raise RunError(f"the run in {folder} has other settings than --seed or --set ask for")
        seconds = None
    else:
        check_step(args.step, config.training)
        run = Run(folder, config)
        seconds = train(run, args)
    step = run.steps[-1] if args.step is None else args.step
    run.params(step)                                        # says which steps there are, if not this one
    plots = run.folder / "plots" / (f"step_{step:06d}" if args.step is not None else "")
    start = time.perf_counter()
    times = draw_all(run, step, names, plots, args.format, args.dpi)
    summarize(run, step, plots, seconds, time.perf_counter() - start, times)
    return 0


def pick_figures(numbers, names):
    """The figures of those numbers, all without numbers; RunError where there is none."""
    from scratchformer.run_folder import RunError

    if not numbers:
        return names
    by_number = {int(name[:2]): name for name in names}
    unknown = [n for n in numbers if not n.isdecimal() or int(n) not in by_number]
    if unknown:
        raise RunError(f"--figure {' '.join(unknown)}: there are {', '.join(map(str, by_number))}")
    return [by_number[int(n)] for n in numbers]


def check_step(step, settings):
    """RunError unless training will save that step."""
    from scratchformer.run_folder import RunError

    saved = step is None or step == settings.steps or step % settings.checkpoint_every == 0
    if not saved or step is not None and not 0 <= step <= settings.steps:
        raise RunError(
            f"--step {step}: saved are 0 to {settings.steps}, every {settings.checkpoint_every}"
        )


def train(run, args):
    """Train the run unless it is finished; returns the seconds it took, or None."""
    from scratchformer import train as training
    from scratchformer.progress import Progress
    from scratchformer.run_folder import RunError

    gc.freeze()                         # what the imports made stays: no need to look through it again
    config = run.config
    resumable = run.holds(config) and (run.checkpoints / "state.npz").is_file()
    if args.resume and not resumable:
        raise RunError(f"--resume: no run of these settings in {run.folder}")
    state = run.load_state() if resumable and not args.retrain else None
    if state and state.step == config.training.steps:
        return None
    progress = Progress()
    start = time.perf_counter()
    if args.resume:
        data, judge = run.data, run.judge
    else:
        if state:
            print(f"an unfinished run stood at step {state.step:,} and is started anew; "
                  "--resume would have gone on", file=sys.stderr)
        run.start()
        data, judge, state = run.prepared
    progress.show("compiling the model; the machine code is kept for next time", force=True)
    first = state.step
    for state in training.train(config, data, judge, state, run.save):
        _, train_loss, _, rule_error, _ = state.history[-1]
        rate = (state.step - first) / (time.perf_counter() - start)
        progress.show(
            f"{state.step / config.training.steps:4.0%}  step {state.step:,}  {rate:,.0f} steps/s  "
            f"loss {train_loss:.3f}  rule error {rule_error:.1%}"
        )
    progress.clear()
    return time.perf_counter() - start


def summarize(run, step, plots, train_seconds, draw_seconds, times):
    """Print where the figures are, how long it took, and whether the rule was learned."""
    from scratchformer.config import config_names
    from scratchformer.judge import GENERATED_RULE_ERROR, RULE_ERROR

    steps = run.config.training.steps
    wrong, constrained, loss = run.held_out(step)
    bad, judged = run.judge.judge_generated(run.generate(step, 200, 50))
    print(f"figures: {plots} ({len(times)} files, drawn in {draw_seconds:.1f} s)")
    if train_seconds is None:
        print(f"training: already done, {run.steps[-1]:,} of {steps:,} steps")
    else:
        print(f"training: {steps:,} steps in {train_seconds:.1f} s, evaluations and snapshots included")
    row = min(range(len(run.history["step"])), key=lambda i: abs(run.history["step"][i] - step))
    train_loss = run.history["train_loss"][row]
    print(f"loss at step {step:,}: {train_loss:.4f} train (sample), {loss:.4f} held out")
    print(RULE_ERROR)
    print(GENERATED_RULE_ERROR)
    print(f"generated rule error {bad / max(judged, 1):.2%} ({bad} of {judged} constrained tokens wrong)")
    error = wrong / max(constrained, 1)
    verdict = "rule learned" if error <= 0.01 else "rule NOT learned"
    count = f"{wrong} of {constrained} constrained positions wrong"
    print(f"{verdict}: held-out rule error {error:.2%} ({count})")
    robust = f"{run.config.name}_robust"
    if error > 0.01 and robust in config_names():
        print(f"a recipe that learns it: python run.py {robust}")


if __name__ == "__main__":
    sys.exit(main())
