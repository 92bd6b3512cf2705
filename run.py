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
    parser.add_argument("--figure", nargs="+", metavar="K", help="draw only these figures, by number or name")
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
    parser.add_argument(
        "--format", choices=["png", "svg", "pdf", "gif", "mp4"],
        help="of the figures: png (the default), svg or pdf; of films: gif (the default) or mp4",
    )
    parser.add_argument("--dpi", type=int, default=150, help="resolution of the figures (default: 150)")
    parser.add_argument("--sequence", metavar="TOKENS", help='one to follow, as in "4 9 + 4 10 7 + 10"')
    parser.add_argument(
        "--video", action="store_true", help="draw the films of training, or with --figure that figure's"
    )
    parser.add_argument("--video-qkv", action="store_true", help="draw the film of embeddings, q, k and v")
    parser.add_argument("--fps", type=int, default=20, help="frames a second of films (default: 20)")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="only every N-th snapshot is a frame of a film"
    )
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    return args


def check_arguments(parser, args):
    """End with a usage error where arguments do not go together; fill in what follows from others."""
    if not args.config and not args.list:
        parser.error("name a config, for example plus_last_even; --list shows all")
    if args.visualize and (args.resume or args.retrain):
        parser.error("--visualize does not train: leave out --resume and --retrain")
    if args.resume and args.retrain:
        parser.error("--resume and --retrain exclude each other")
    if not 10 <= args.dpi <= 1000:
        parser.error(f"--dpi {args.dpi}: must be from 10 to 1000")
    if not 1 <= args.fps <= 50:
        parser.error(f"--fps {args.fps}: must be from 1 to 50")
    if args.every < 1:
        parser.error(f"--every {args.every}: must be at least 1")
    args.video |= args.video_qkv
    formats = ("gif", "mp4") if args.video else ("png", "svg", "pdf")
    args.format = args.format or formats[0]
    if args.format not in formats:
        kind = "films" if args.video else "figures"
        parser.error(f"--format {args.format}: {kind} are {', '.join(formats)}")
    if args.video and args.step is not None:
        parser.error("--video shows all steps: leave out --step")
    if args.seed is not None:
        args.overrides.append(f"training.seed={args.seed}")


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
    from figures.catalogue import figure_names
    from figures.film import require_ffmpeg
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
    run.follow(args.sequence)
    if args.format == "mp4":
        require_ffmpeg()
    if not args.visualize:
        seconds = train(run, args)
    step = run.steps[-1] if args.step is None else args.step
    run.params(step)                                        # says which steps there are, if not this one
    if args.video:
        film_all(args, run, names)
    else:
        draw(args, run, step, names, seconds)
    return 0


def draw(args, run, step, names, seconds):
    """Draw figures and, where all are, their captions; report."""
    from figures.draw import draw_all

    plots = run.folder / "plots" / (f"step_{step:06d}" if args.step is not None else "")
    start = time.perf_counter()
    times = draw_all(run, step, names, plots, args.format, args.dpi, captions=not args.figure)
    summarize(run, step, plots, seconds, time.perf_counter() - start, times)


def film_all(args, run, names):
    """Draw films and report what each took."""
    from figures.film import draw_films, film_names, left_out
    from scratchformer.progress import Progress

    films = [name for name in film_names() if "qkv" in name] if args.video_qkv else film_names()
    if args.figure:
        films = names
    for name in films:
        if left_out(run, name):
            print(f"{name}: left out: {left_out(run, name)}")
    films = [name for name in films if not left_out(run, name)]
    steps = sorted({*run.steps[:: args.every], run.steps[-1]})
    folder = run.folder / "plots" / "learning_dynamics"
    progress = Progress()
    start = time.perf_counter()
    costs = draw_films(run, steps, films, folder, args.format, args.fps, progress.show)
    progress.clear()
    print(f"films: {folder} ({len(films)} of {len(steps)} frames, in {time.perf_counter() - start:.1f} s)")
    print(f"{'':<40}{'ms a frame: drawing':>19}{'encoding':>10}{'MB':>7}")
    for name, cost in costs.items():
        print(
            f"{name:<40}{1000 * cost.drawing / len(steps):>19.0f}{1000 * cost.encoding / len(steps):>10.0f}"
            f"{cost.bytes / 1e6:>7.2f}"
        )


def pick_figures(numbers, names):
    """The figures of those numbers, all without numbers; RunError where there is none."""
    from scratchformer.run_folder import RunError

    if not numbers:
        return names
    main = {str(int(name[:2])): name for name in names if "/" not in name}
    known = main | {name: name for name in names}
    picked = [known.get(str(int(n)) if n.isdecimal() else n) for n in numbers]
    if None in picked:
        unknown = numbers[picked.index(None)]
        more = ", ".join(name for name in names if "/" in name)
        raise RunError(f"--figure {unknown}: there are {', '.join(main)}, and by name {more}")
    return list(dict.fromkeys(picked))


def check_step(step, settings):
    """RunError unless training will save that step."""
    from scratchformer.run_folder import RunError
    from scratchformer.train import is_checkpoint

    if step is not None and not (0 <= step <= settings.steps and is_checkpoint(step, settings)):
        more = ", and 1, 2, 4, ..., 64" if settings.checkpoint_schedule == "log" else ""
        raise RunError(
            f"--step {step}: saved are 0 to {settings.steps}, every {settings.checkpoint_every}{more}"
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
