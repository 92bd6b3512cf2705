"""scratchformer's command line: train a tiny transformer on a rule and draw everything in it."""

import argparse
import os
import sys
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path


def parse(argv):
    """The arguments; argparse ends the program with exit code 2 where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, allow_abbrev=False,
        epilog="python run.py plus_last_even trains that config and draws its figures",
    )
    parser.add_argument(
        "config", nargs="?", help="name of a config (see --list), a .toml file, or a .py file with a rule"
    )
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
    parser.add_argument("--rule", metavar="FILE", help="your own rule, as in my_rule.py or my_rule.py:name")
    parser.add_argument("--explain", metavar="TOKENS", help='walk through the maths of an input: "5 8 3 +"')
    parser.add_argument("--name", help="with --explain: only this quantity, as in scores")
    parser.add_argument("--at", metavar="INDEX", help="with --name: only this entry, as in 3,1")
    parser.add_argument("--target", metavar="TOKEN", help="with --explain: the next token, for gradients")
    parser.add_argument("--pdb", action="store_true", help="with --name: stop there in the debugger")
    parser.add_argument("--prove", action="store_true", help="judge the model after every context there is")
    parser.add_argument(
        "--prove-limit", type=float, default=600, metavar="SECONDS", help="longest proof (default: 600)"
    )
    parser.add_argument("--causal", action="store_true", help="draw the figures of causal evidence")
    parser.add_argument(
        "--ablate", action="append", default=[], metavar="WHAT", help='zero this, as in "attention[+ -> odd]"'
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="train seeds 0 to N - 1 and compare them")
    parser.add_argument("--compare", metavar="CONFIG", help="with --seeds: another config, side by side")
    parser.add_argument(
        "--quiz", metavar="NAME", help="hand out a function with an error in it, or judge it; list shows all"
    )
    parser.add_argument("--hint", action="store_true", help="with --quiz: say what kind of error it is")
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    check_tools(parser, args)
    return args


def check_arguments(parser, args):
    """End with a usage error where arguments do not go together; fill in what follows from others."""
    if not args.config and not args.list and not args.quiz:
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
    if args.rule is not None:
        args.overrides.append(f"data.rule={args.rule}")
    if args.seed is not None:
        args.overrides.append(f"training.seed={args.seed}")


def check_tools(parser, args):
    """End with a usage error where the tools' arguments do not go together."""
    tools = {
        "--list": args.list, "--gradcheck": args.gradcheck, "--quiz": args.quiz, "--video": args.video,
        "--explain": args.explain is not None, "--prove": args.prove, "--ablate": args.ablate,
        "--causal": args.causal, "--seeds": args.seeds is not None,
    }
    asked = [name for name, value in tools.items() if value]
    if len(asked) > 1:
        parser.error(f"{' and '.join(asked)}: one at a time")
    if args.seeds is not None and (args.seed is not None or args.seeds < 1):
        parser.error("--seeds trains seeds from 0: give how many, at least 1, and no --seed")
    if args.compare and args.seeds is None:
        parser.error("--compare goes with --seeds")
    if args.hint and not args.quiz:
        parser.error("--hint goes with --quiz")
    if args.explain is None and (args.name or args.at or args.target or args.pdb):
        parser.error("--name, --at, --target and --pdb go with --explain")
    if args.pdb and not args.name:
        parser.error("--pdb stops at a quantity: give its --name")
    if not args.prove_limit > 0:
        parser.error(f"--prove-limit {args.prove_limit:g}: must be above 0")


def main(argv=None):
    """Run the command line; returns the exit code: 0 fine, 1 a check failed, 2 usage, 130 interrupted."""
    args = parse(argv)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # the matrices are too small to share out
    if args.debug or args.pdb:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")   # where it can't show a sign, say which it is
    try:
        from scratchformer.config import ConfigError, load_config
        from scratchformer.run_folder import RunError
        from scratchformer.train import Diverged

        if args.list:
            code = list_configs()
        elif args.quiz:
            code = take_quiz(args)
        else:
            config = load_config(args.config, args.overrides)
            check_against_files(args)
            if args.gradcheck:
                code = check_gradients(config)
            elif args.seeds is not None:
                other = args.compare and load_config(args.compare, args.overrides)
                code = train_seeds(args, config, other)
            else:
                code = with_run(args, config, pick_command(args))
        print(end="", flush=True)
        return code
    except KeyboardInterrupt:           # first, as it may come before the errors below are imported
        again = f"python run.py {args.config} --resume goes on from the last snapshot"
        if not args.config or args.seeds is not None:
            again = "the same command goes on"
        return fail(f"interrupted; {again}", 130)
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
    except MemoryError as error:
        return fail(f"not enough memory: {error}", 1)
    except BrokenExecutor:
        return fail("a process that drew was killed, perhaps for want of memory", 1)


def check_against_files(args):
    """RunError for what argparse can't know; the figures asked for by their names."""
    args.all_figures = not args.figure
    args.figure = pick_figures(args.figure)
    if args.format == "mp4":
        from figures.encode import require_ffmpeg

        require_ffmpeg()


def pick_command(args):
    """What to do with the trained run."""
    if args.explain is not None:
        return explain
    if args.prove:
        return prove
    if args.ablate:
        return ablate
    if args.causal:
        return draw_causal
    return draw_films if args.video else draw


def fail(message, code):
    """Say what went wrong on stderr, where the line of progress may be; return the exit code."""
    from scratchformer.progress import Progress

    Progress().clear()
    print(f"run.py: {message}", file=sys.stderr)
    return code


def list_configs():
    """Print the configs with one line each."""
    from scratchformer.config import config_names, load_config

    for name in config_names():
        print(f"{name:<24}{load_config(name).description}")
    return 0


def take_quiz(args):
    """Hand out a quiz, or judge what the learner made of it: 1 if it is wrong."""
    from scratchformer.quiz import quiz

    text, code = quiz(args.quiz, hint=args.hint)
    print(text)
    return code


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


def train_seeds(args, config, other):
    """Train many seeds of a config, and of another if given; draw and report what they have in common."""
    from figures.seeds.draw import draw_compare, draw_seeds
    from scratchformer.progress import Progress
    from scratchformer.sweep import sweep
    from scratchformer.sweep_report import compare, report

    progress = Progress()
    studies = []
    for each in filter(None, (config, other)):
        folder = Path(args.out) / each.name / "seeds"
        studies.append(sweep(each, range(args.seeds), folder, progress=progress.show))
        progress.clear()
        print(draw_seeds(studies[-1], args.format, args.dpi))
        print(report(studies[-1]))
    if other:
        print(compare(*studies))
        draw_compare(*studies, studies[0].folder, args.format, args.dpi)
    return 0


def with_run(args, config, command):
    """Train the run, or find it trained; then `command(args, run, step, seconds)`, which returns the exit
    code. seconds: what training took, None if it was done before"""
    from scratchformer.explain import check
    from scratchformer.interventions import parse_intervention
    from scratchformer.job import check_step, find_run, train
    from scratchformer.run_folder import Run

    folder = Path(args.out) / config.name
    if args.visualize:
        run = find_run(config, folder, args.overrides)
    else:
        check_step(args.step, config.training)
        run = Run(folder, config)
    run.follow(args.sequence)
    if args.explain is not None and not args.visualize:
        check(run, args.explain, args.name, args.at, args.target)
    args.ablate = [parse_intervention(text, run) for text in args.ablate]
    seconds = None if args.visualize else train(run, args.resume, args.retrain)
    step = run.steps[-1] if args.step is None else args.step
    run.params(step)                                        # says which steps there are, if not this one
    return command(args, run, step, seconds)


def plots_folder(args, run, step):
    """Where the run's figures go: those of a step asked for into a folder of their own."""
    return run.folder / "plots" / (f"step_{step:06d}" if args.step is not None else "")


def draw(args, run, step, seconds):
    """The main job: draw figures and, where all are, their captions; report."""
    from figures.draw import draw_all
    from scratchformer.job import summarize

    plots = plots_folder(args, run, step)
    start = time.perf_counter()
    times = draw_all(run, step, args.figure, plots, args.format, args.dpi, captions=args.all_figures)
    summarize(run, step, plots, seconds, time.perf_counter() - start, times)
    return 0


def draw_films(args, run, step, seconds):
    """Draw films and report what each took."""
    from figures import film
    from scratchformer.progress import Progress

    films = film.film_names() if args.all_figures else args.figure
    if args.video_qkv:
        films = [name for name in film.film_names() if "qkv" in name]
    reasons = {name: film.left_out(run, name) for name in films}
    for name in films:
        if reasons[name]:
            print(f"{name}: left out: {reasons[name]}")
    films = [name for name in films if not reasons[name]]
    steps = sorted({*run.steps[:: args.every], run.steps[-1]})
    folder = run.folder / "plots" / "learning_dynamics"
    progress = Progress()
    start = time.perf_counter()
    costs = film.draw_films(run, steps, films, folder, args.format, args.fps, progress.show)
    progress.clear()
    print(f"films: {folder} ({len(films)} of {len(steps)} frames, in {time.perf_counter() - start:.1f} s)")
    print(f"{'ms of one core a frame':<36}{'data':>8}{'drawing':>10}{'encoding':>10}{'MB':>7}")
    for name, cost in costs.items():
        data, drawing, encoding = (1000 * seconds / len(steps) for seconds in cost[:3])
        print(f"{name:<36}{data:>8.0f}{drawing:>10.0f}{encoding:>10.0f}{cost.bytes / 1e6:>7.2f}")
    return 0


def explain(args, run, step, seconds):
    """Print the forward pass of an input, or one entry of it, or stop there in the debugger."""
    from shutil import get_terminal_size

    from scratchformer import explain

    if args.pdb:
        explain.stop_in_debugger(run, step, args.explain, args.name)
    else:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        width = get_terminal_size().columns
        print(explain.explain(run, step, args.explain, args.name, args.at, args.target, width, color))
    return 0


def prove(args, run, step, seconds):
    """Judge the model after every context there is: 0 if it is always right where it can come to be."""
    from scratchformer.progress import Progress
    from scratchformer.proof import failures_text, report
    from scratchformer.prove import prove
    from scratchformer.run_folder import write_atomically

    progress = Progress()
    proof = prove(run, step, args.prove_limit, progress.show)
    progress.clear()
    path = run.folder / f"failures_step_{step:06d}.tsv"
    write_atomically(path, failures_text(proof).encode())
    print(report(proof))
    print(f"failures: {path}")
    return proof.exit_code


def ablate(args, run, step, seconds):
    """Print what interventions, all at once, do to the answers."""
    from scratchformer import interventions

    print(interventions.report(interventions.ablate(run, step, args.ablate)))
    return 0


def draw_causal(args, run, step, seconds):
    """Draw the figures of causal evidence and print where they are."""
    from figures.causal import NAMES
    from figures.draw import draw_all

    plots = plots_folder(args, run, step)
    draw_all(run, step, list(NAMES), plots, args.format, args.dpi)
    print(f"figures: {plots / 'causal'} ({len(NAMES)} files)")
    return 0


def pick_figures(numbers):
    """The figures of those numbers or names, all without any; RunError where there is none."""
    from figures.catalogue import figure_names
    from scratchformer.run_folder import RunError

    names = figure_names()
    if not numbers:
        return names
    main = {str(int(name[:2])): name for name in names if "/" not in name}
    known = main | {name: name for name in names}
    picked = [known.get(n.lstrip("0") if n.isdecimal() else n) for n in numbers]
    if None in picked:
        unknown = numbers[picked.index(None)]
        more = ", ".join(name for name in names if "/" in name)
        raise RunError(f"--figure {unknown}: there are {', '.join(main)}, and by name {more}")
    return list(dict.fromkeys(picked))


if __name__ == "__main__":
    sys.exit(main())
