"""video: draw the films of training, or film any figure."""

import time

from scratchformer.commands.arguments import FIGURE, SEQUENCE, TRAINED, Argument, UsageError
from scratchformer.commands.trained import requested_run, train_model

FRAMES = 120
GIF_RATES = [rate for rate in range(1, 51) if 100 % rate == 0]
VIDEO_QKV = Argument("--video-qkv", "only the film of embeddings, q, k and v")

HELP = "draw the films of training, or film a --figure"
EXAMPLE = "video plus_last_even --figure 9 --every 10"
FLAGS = (Argument("--video", HELP), VIDEO_QKV)
ARGUMENTS = (
    *TRAINED, SEQUENCE, FIGURE,
    Argument(
        "--format", "gif (the default) or mp4", "F", default="gif",
        must="be gif or mp4", test=lambda value: value in ("gif", "mp4"),
    ),
    Argument(
        "--fps", "frames a second (default: 20)", "N", int, 20,
        must="be from 1 to 50", test=lambda value: 1 <= value <= 50,
    ),
    Argument(
        "--every", "a frame every N snapshots (default: where most changes)", "N", int,
        must="be at least 1", test=lambda value: value >= 1,
    ),
)


def run(args):
    """Draw films and report what each took."""
    if args.figure and args.video_qkv:
        raise UsageError("--figure and --video-qkv: one at a time")
    if args.sequence is not None and not args.figure:
        raise UsageError("--sequence: the films follow no sequence; choose a figure that does, with --figure")
    from scratchformer.figures.catalogue import pick_figures

    names = pick_figures(args.figure)
    if args.format == "gif" and 100 % args.fps:
        nearest = sorted(GIF_RATES, key=lambda rate: (abs(rate - args.fps), rate))[:2]
        raise UsageError(f"--fps {args.fps}: a GIF shows each frame for whole hundredths of a second: "
                         f"{' or '.join(map(str, sorted(nearest)))} is possible, any with --format mp4")
    from scratchformer.figures import film
    from scratchformer.figures.encode import require_ffmpeg
    from scratchformer.system.errors import plain
    from scratchformer.system.progress import Progress

    if args.format == "mp4":
        require_ffmpeg()
    if not args.figure:
        names = [name for name in film.film_names() if "qkv" in name or not args.video_qkv]
    run = train_model(args, requested_run(args))[0].run
    reasons = {name: film.left_out(run, name) for name in names}
    for name, reason in reasons.items():
        if reason:
            print(f"{name}: left out: {reason}")
    films = [name for name in names if not reasons[name]]
    from scratchformer.analysis.snapshots import spaced_steps

    by_step = args.every is not None
    steps = sorted({*run.steps[:: args.every], run.steps[-1]}) if by_step else spaced_steps(run, FRAMES)
    folder = run.folder / "plots" / "learning_dynamics"
    progress = Progress()
    start = time.perf_counter()
    costs = film.draw_films(run, steps, films, folder, args.format, args.fps, progress.show)
    progress.clear()
    seconds = time.perf_counter() - start
    print(f"films: {plain(folder)} ({len(films)} of {len(steps)} frames, in {seconds:.1f} s)")
    print(f"{'ms of one core a frame':<36}{'data':>8}{'drawing':>10}{'encoding':>10}{'MB':>7}")
    for name, cost in costs.items():
        data, drawing, encoding = (1000 * seconds / len(steps) for seconds in cost[:3])
        print(f"{name:<36}{data:>8.0f}{drawing:>10.0f}{encoding:>10.0f}{cost.bytes / 1e6:>7.2f}")
    return 0
