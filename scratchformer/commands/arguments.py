"""The arguments that several commands share. What one command alone uses is declared in its own file."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass


class UsageError(Exception):
    """A command line that cannot be followed; the message is one line.

    verb: of the command whose help tells more, "" for that of the program
    """

    def __init__(self, message, verb=""):
        super().__init__(message)
        self.verb = verb


@dataclass(frozen=True)
class Argument:
    """One argument of the command line. A switch has no metavar."""

    flag: str                           # as in --dpi
    help: str                           # at most 55 characters: a line of the help
    metavar: str = ""                   # what its value is called
    type: Callable = str
    default: object = None
    many: str = ""                      # "+": several values; "append": may be repeated; "?": may be left out
    must: str = ""                      # what the value must be, in words
    test: Callable = lambda value: True     # and whether it is

    @property
    def dest(self):
        """Its name among the parsed arguments."""
        return self.flag.strip("-").replace("-", "_").lower()


def whole_folder(text):
    """A folder's path as a shell would have it: ~ is the home, here in --out=~/runs as well."""
    path = os.path.expanduser(text)
    if "\0" in path:
        raise argparse.ArgumentTypeError("there is no path with a null byte")
    if path.startswith("~"):
        raise argparse.ArgumentTypeError(f"{text}: there is no such home")
    return path


CONFIG = Argument("CONFIG", "a config's name, or a .toml, .py or .txt file", "CONFIG")
RULE = Argument("--rule", "your own rule, as in my_rule.py or my_rule.py:name", "FILE")
DATA = Argument("--data", "a .txt file with sequences, instead of a rule", "FILE")
SEED = Argument("--seed", "same as --set training.seed=N", "N", int)
SET = Argument(
    "--set", "change a value, as in training.learning_rate=0.01", "KEY=VALUE", default=(), many="append"
)
TRUST = Argument("--trust", "run the rule file that a config names: it is code")
OUT = Argument("--out", "where runs are kept (default: runs)", "DIR", whole_folder, "runs")
DEBUG = Argument("--debug", "run the maths as plain Python, for a debugger")

HINT = Argument("--hint", "say a hint; in the course each time a stronger one")
FRESH = Argument("--fresh", "hand it out again, as it was")
METRIC = Argument("--metric", "a metric of your own too, as in my_metric.py:name", "FILE")

VISUALIZE = Argument("--visualize", "use the saved run, do not train")
RESUME = Argument("--resume", "continue an interrupted run; refuse if there is none")
RETRAIN = Argument("--retrain", "start over, replacing the run that is there")

STEP = Argument("--step", "use the snapshot of step N (default: the last)", "N", int)
SEQUENCE = Argument("--sequence", 'tokens to follow, as in "4 9 + 4 10 7 + 10"', "TOKENS")
HEAD = Argument("--head", "the head that figures show, from 1 on (default: 1)", "N", int, 1)
FIGURE = Argument("--figure", "only these, by number or name", "K", many="+")
FORMAT = Argument(
    "--format", "png (the default), svg or pdf", "F", default="png",
    must="be png, svg or pdf", test=lambda value: value in ("png", "svg", "pdf"),
)
DPI = Argument(
    "--dpi", "resolution of the figures (default: 150)", "N", int, 150,
    must="be from 10 to 1000", test=lambda value: 10 <= value <= 1000,
)

SETTINGS = (CONFIG, RULE, SEED, SET, TRUST, DEBUG)                 # of a config
TRAINED = (*SETTINGS, OUT, VISUALIZE, RESUME, RETRAIN)      # of a run that is found or trained
