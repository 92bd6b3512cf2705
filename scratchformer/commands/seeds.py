"""seeds: train one config from many seeds and draw what the seeds have in common."""

from scratchformer.commands.arguments import CONFIG, DEBUG, DPI, FORMAT, OUT, RULE, SET, TRUST, Argument
from scratchformer.commands.trained import overrides

HELP = "train seeds 0 to N - 1 and compare them"
EXAMPLE = "seeds plus_last_even 64 --compare plus_last_even_robust"
FLAGS = (
    Argument(
        "--seeds", "how many seeds to train, from seed 0 on", "N", int,
        must="be from 1 to 1000000", test=lambda value: 1 <= value <= 1_000_000,
    ),
)
ARGUMENTS = (
    CONFIG, RULE, SET, TRUST, DEBUG, OUT, FORMAT, DPI,
    Argument("--compare", "another config, side by side", "CONFIG2"),
)


def run(args):
    """Train the seeds of the config, and of the other if there is one; draw and report each, then both."""
    from scratchformer.run.config import load_config
    from scratchformer.run.memory import check_memory
    from scratchformer.run.place import own_folder

    configs = [load_config(name, overrides(args)) for name in (args.config, args.compare) if name is not None]
    check_memory(configs[-1])           # that of the first is checked where it is trained
    from scratchformer.figures.seeds.draw import draw_compare, draw_seeds
    from scratchformer.system.progress import Progress
    from scratchformer.tools.seeds.report import comparison, sweep_report
    from scratchformer.tools.seeds.sweep import sweep

    progress = Progress()
    sweeps = []
    for config in configs:
        folder = own_folder(config, args.out) / "seeds"
        try:
            sweeps.append(sweep(config, range(args.seeds), folder, progress=progress.show))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command continues: finished seeds are kept") from None
        progress.clear()
        print(draw_seeds(sweeps[-1], args.format, args.dpi))
        print(sweep_report(sweeps[-1]))
    if args.compare is not None:
        print(comparison(*sweeps))
        draw_compare(*sweeps, sweeps[0].folder, args.format, args.dpi)
    broken = [result for done in sweeps for result in done.results if not len(result.history)]
    return 1 if broken else 0
