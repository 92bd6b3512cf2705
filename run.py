"""scratchformer's command line: train a tiny transformer on a rule and draw everything in it."""

import os
import sys
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path

from scratchformer.commands.arguments import parse
from scratchformer.system.errors import ConfigError, Diverged, RunError


def main(argv=None):
    """Run the command line; returns the exit code: 0 fine, 1 a check failed, 2 usage, 130 interrupted."""
    args = parse(argv)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # the matrices are too small to share out
    if args.debug or args.pdb:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")   # where it can't show a sign, say which it is
    try:
        from scratchformer.run.config import load_config

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
    except KeyboardInterrupt:
        again = "the same command" if args.seeds is not None else "training: the same command with --resume"
        return fail(f"interrupted; {again} goes on from where it was", 130)
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
    from scratchformer.figures.catalogue import pick_figures

    args.all_figures = not args.figure
    args.figure = pick_figures(args.figure)
    if args.format == "mp4":
        from scratchformer.figures.encode import require_ffmpeg

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
    from scratchformer.system.progress import Progress

    Progress().clear()
    print(f"run.py: {message}", file=sys.stderr)
    return code


def list_configs():
    """Print the configs with one line each."""
    from scratchformer.run.config import config_names, load_config

    for name in config_names():
        print(f"{name:<24}{load_config(name).description}")
    return 0


def take_quiz(args):
    """Hand out a quiz, or judge what the learner made of it: 1 if it is wrong."""
    from scratchformer.tools.quiz.quiz import quiz

    text, code = quiz(args.quiz, hint=args.hint)
    print(text)
    return code


def check_gradients(config):
    """Check every gradient of the config's untrained model on one window: 0 if all are right, else 1."""
    from scratchformer.engine.gradcheck import gradcheck, report
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
    print(report(checks))
    return 0 if all(check.passed for check in checks) else 1


def train_seeds(args, config, other):
    """Train many seeds of a config, and of another if given; draw and report what they have in common."""
    from scratchformer.figures.seeds.draw import draw_compare, draw_seeds
    from scratchformer.system.progress import Progress
    from scratchformer.tools.seeds.report import compare, report
    from scratchformer.tools.seeds.sweep import sweep

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
    """Train the run, or find it trained; then `command(args, model, seconds)`, which returns the exit
    code. seconds: what training took, None if it was done before"""
    from scratchformer.analysis.interventions import parse_intervention
    from scratchformer.engine.names import ACTIVATION_NAMES
    from scratchformer.run.job import check_step, find_run, train
    from scratchformer.run.run import Run
    from scratchformer.tools.explain.explain import check_name, explain

    folder = Path(args.out) / config.name
    if args.visualize:
        run = find_run(config, folder, args.overrides)
    else:
        check_step(args.step, config.training)
        run = Run(folder, config)
    if args.sequence is not None:
        run.follow(args.sequence)
    if args.pdb:
        check_name(args.name, ACTIVATION_NAMES)
    if args.explain is not None and not args.visualize:
        explain(run.untrained, args.explain, args.name, args.at, args.target)
    args.ablate = [parse_intervention(text, run.untrained) for text in args.ablate]
    seconds = None if args.visualize else train(run, args.resume, args.retrain)
    return command(args, run.last if args.step is None else run.at(args.step), seconds)


def plots_folder(args, model):
    """Where the run's figures go: those of a step asked for into a folder of their own."""
    return model.run.folder / "plots" / (f"step_{model.step:06d}" if args.step is not None else "")


def draw(args, model, seconds):
    """The main job: draw figures and, where all are, their captions; report."""
    from scratchformer.figures.draw import draw_all
    from scratchformer.run.job import summarize

    plots = plots_folder(args, model)
    start = time.perf_counter()
    times = draw_all(model, args.figure, plots, args.format, args.dpi, captions=args.all_figures)
    summarize(model, plots, seconds, time.perf_counter() - start, times)
    return 0


def draw_films(args, model, seconds):
    """Draw films and report what each took."""
    from scratchformer.figures import film
    from scratchformer.system.progress import Progress

    run = model.run
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


def explain(args, model, seconds):
    """Print the forward pass of an input, or one entry of it, or stop there in the debugger."""
    from shutil import get_terminal_size

    from scratchformer.tools.explain import explain

    if args.pdb:
        explain.stop_in_debugger(model, args.explain, args.name)
    else:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        width = get_terminal_size().columns
        print(explain.explain(model, args.explain, args.name, args.at, args.target, width, color))
    return 0


def prove(args, model, seconds):
    """Judge the model after every context there is: 0 if it is always right where it can come to be."""
    from scratchformer.system.files import write_atomically
    from scratchformer.system.progress import Progress
    from scratchformer.tools.prove.prove import prove
    from scratchformer.tools.prove.verdict import failures_text, report

    progress = Progress()
    proof = prove(model, args.prove_limit, progress.show)
    progress.clear()
    path = model.run.folder / f"failures_step_{model.step:06d}.tsv"
    write_atomically(path, failures_text(proof).encode())
    print(report(proof))
    print(f"failures: {path}")
    return proof.exit_code


def ablate(args, model, seconds):
    """Print what interventions, all at once, do to the answers."""
    from scratchformer.analysis import interventions

    print(interventions.report(interventions.ablate(model, args.ablate)))
    return 0


def draw_causal(args, model, seconds):
    """Draw the figures of causal evidence and print where they are."""
    from scratchformer.figures.catalogue import figure_names
    from scratchformer.figures.draw import draw_all

    names = figure_names("causal")
    plots = plots_folder(args, model)
    draw_all(model, names, plots, args.format, args.dpi)
    print(f"figures: {plots / 'causal'} ({len(names)} files)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
