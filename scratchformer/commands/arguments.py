"""The command line's arguments."""

import argparse

DESCRIPTION = "Train a tiny transformer on a rule, and draw everything in it."


def parse(argv):
    """The arguments; argparse ends the program with exit code 2 where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="run.py", description=DESCRIPTION, allow_abbrev=False,
        epilog="python run.py plus_last_even trains that config and draws its figures",
    )
    parser.add_argument(
        "config", nargs="?", help="name of a config (see --list), a .toml file, or a .py file with a rule"
    )
    parser.add_argument("--list", action="store_true", help="list the configs")
    parser.add_argument("--rule", metavar="FILE", help="your own rule, as in my_rule.py or my_rule.py:name")
    parser.add_argument("--seed", type=int, help="same as --set training.seed=SEED")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="change one value of the config, as in --set training.learning_rate=0.01",
    )
    parser.add_argument("--out", default="runs", metavar="DIR", help="where runs are kept (default: runs)")
    run = parser.add_argument_group("training")
    run.add_argument("--visualize", action="store_true", help="draw from the saved run, do not train")
    run.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    run.add_argument("--retrain", action="store_true", help="train anew even if the run is finished")
    run.add_argument("--gradcheck", action="store_true", help="check every gradient and stop")
    run.add_argument("--debug", action="store_true", help="run the maths as plain Python, for a debugger")
    figures = parser.add_argument_group("figures")
    figures.add_argument("--figure", nargs="+", metavar="K", help="draw only these, by number or name")
    figures.add_argument("--step", type=int, metavar="N", help="draw the snapshot of step N")
    figures.add_argument("--sequence", metavar="TOKENS", help='one to follow, as in "4 9 + 4 10 7 + 10"')
    figures.add_argument("--causal", action="store_true", help="draw the figures of causal evidence")
    figures.add_argument(
        "--format", choices=["png", "svg", "pdf", "gif", "mp4"],
        help="of the figures: png (the default), svg or pdf; of films: gif (the default) or mp4",
    )
    figures.add_argument("--dpi", type=int, default=150, help="resolution of the figures (default: 150)")
    films = parser.add_argument_group("films of training")
    films.add_argument(
        "--video", action="store_true", help="draw the films of training, or with --figure that figure's"
    )
    films.add_argument("--video-qkv", action="store_true", help="draw the film of embeddings, q, k and v")
    films.add_argument("--fps", type=int, default=20, help="frames a second of films (default: 20)")
    films.add_argument(
        "--every", type=int, default=1, metavar="N", help="only every N-th snapshot is a frame of a film"
    )
    look = parser.add_argument_group("a trained model")
    look.add_argument("--explain", metavar="TOKENS", help='walk through the maths of an input: "5 8 3 +"')
    look.add_argument("--name", help="with --explain: only this quantity, as in scores")
    look.add_argument("--at", metavar="INDEX", help="with --name: only this entry, as in 3,1")
    look.add_argument("--target", metavar="TOKEN", help="with --explain: the next token, for gradients")
    look.add_argument("--pdb", action="store_true", help="with --name: stop there in the debugger")
    look.add_argument("--prove", action="store_true", help="judge the model after every context there is")
    look.add_argument(
        "--prove-limit", type=float, default=600, metavar="SECONDS", help="longest proof (default: 600)"
    )
    look.add_argument(
        "--ablate", action="append", default=[], metavar="WHAT", help='zero this, as in "attention[+ -> odd]"'
    )
    seeds = parser.add_argument_group("many seeds")
    seeds.add_argument("--seeds", type=int, metavar="N", help="train seeds 0 to N - 1 and compare them")
    seeds.add_argument("--compare", metavar="CONFIG", help="with --seeds: another config, side by side")
    learn = parser.add_argument_group("learn backprop")
    learn.add_argument(
        "--quiz", metavar="NAME", help="hand out a function with an error in it, or judge it; list shows all"
    )
    learn.add_argument("--hint", action="store_true", help="with --quiz: say what kind of error it is")
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
    beside = {
        "--retrain": args.retrain, "--resume": args.resume, "--visualize": args.visualize,
        "--step": args.step is not None, "--figure": args.figure, "--sequence": args.sequence is not None,
    }
    unused = [name for name, value in beside.items() if value]
    if args.seeds is not None and unused:
        parser.error(f"--seeds does not go with {', '.join(unused)}")
    if asked and asked != ["--video"] and args.figure:
        parser.error(f"{asked[0]} does not go with --figure")
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
