"""Which command a command line asks for, and with which arguments.

A command is a module of this folder with

    HELP            one line that says what it does
    EXAMPLE         how it may be called, without the program's name
    FLAGS           the Arguments that ask for it: `--explain TOKENS`. As a verb, `explain CONFIG TOKENS`,
                    the value of the first stands as a word. `train` has none: it is what is done without.
    ARGUMENTS       the Arguments that it uses besides; any other is refused
    run(args)       does it; returns the exit code

and is called by its module's name. Modules without HELP are what the commands share.
"""

import argparse
from functools import cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path

from scratchformer.commands.arguments import CONFIG, UsageError
from scratchformer.system.errors import close
from scratchformer.system.program import command_line

DEFAULT = "train"
NO_CONFIG = "name a config, for example plus_last_even"


@cache
def find_commands():
    """The commands by name, the default one first."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    modules = {name: import_module(f"scratchformer.commands.{name}") for name in names}
    commands = {name: module for name, module in modules.items() if hasattr(module, "HELP")}
    return {DEFAULT: commands.pop(DEFAULT), **commands}


def command_name(command):
    """A command's name: its verb."""
    return command.__name__.rpartition(".")[2]


def arguments_of(command):
    """All Arguments of a command."""
    return (*command.ARGUMENTS, *command.FLAGS)


def flags_of(command):
    """The flags of all Arguments of a command."""
    return [entry.flag for entry in arguments_of(command)]


def given_flags(words):
    """The flags among the words of a command line, in order."""
    before = takewhile(lambda word: word != "--", words)
    return [word.partition("=")[0] for word in before if word.startswith("--")]


def choose_command(words):
    """(command, the words after its verb, whether a verb names it) of a command line.

    Raises UsageError where several are asked for, or an argument is given that the one does not use.
    """
    commands, given = find_commands(), given_flags(words)
    by_verb = bool(words) and words[0] in commands
    asked = {words[0]: words[0]} if by_verb else {}
    for name, flag in asked_by_flag(given):
        asked.setdefault(name, flag)
    users = [commands[name] for name in asked]
    asked = {
        name: word for name, word in asked.items()
        if not any(takes_over(user, commands[name], given) for user in users)
    }
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked.values())}: one at a time")
    name = next(iter(asked), DEFAULT)
    for flag in given:
        users = [other for other, command in commands.items() if flag in flags_of(command)]
        if users and name not in users:
            only = f", only with {', '.join(users)}" if len(users) <= 3 else ""
            raise UsageError(f"{flag} does not go with {name}{only}", name)
    return commands[name], words[by_verb:], by_verb


def takes_over(command, other, given):
    """Whether the flags given that ask for another command are arguments of this one: `--seeds 9 --prove`."""
    own = {entry.flag for entry in command.ARGUMENTS}
    flags = {entry.flag for entry in other.FLAGS} & set(given)
    return bool(flags) and flags <= own


def asked_by_flag(given):
    """(name of a command, flag that asks for it) for all such flags of those given."""
    return [
        (name, entry.flag) for name, command in find_commands().items()
        for entry in command.FLAGS if entry.flag in given
    ]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError where argparse would print and exit."""

    def error(self, message):
        raise UsageError(message)


def parse_arguments(command, words, by_verb):
    """The arguments of a command as a namespace; UsageError where they are wrong or missing."""
    name = command_name(command)
    parser = Parser(prog=name, add_help=False, allow_abbrev=False)
    words_too = (CONFIG, *command.FLAGS[:1]) if by_verb else (CONFIG,)
    for entry in arguments_of(command):
        add_argument(parser, entry, as_word=entry in words_too)
    args, unknown = parser.parse_known_intermixed_args(words)
    if CONFIG in command.ARGUMENTS:
        args.config = args.config or take_config(command, args)
    if unknown:
        given = " ".join(unknown)
        raise UsageError(f"unrecognized arguments for {name}: {given}{hint(words, unknown)}")
    if CONFIG in command.ARGUMENTS and not args.config:
        raise UsageError(f"{NO_CONFIG}; {command_line('--list')} shows all")
    for entry in command.FLAGS[:1]:
        others = any(getattr(args, other.dest) is not None for other in command.FLAGS[1:])
        if entry.metavar and entry.many != "?" and getattr(args, entry.dest) in (None, []) and not others:
            raise UsageError(f"{entry.metavar} is missing: {entry.help}")
    for entry in arguments_of(command):
        value = getattr(args, entry.dest)
        if value is None:
            setattr(args, entry.dest, entry.default)
        elif not entry.test(value):
            shown = f"{value:g}" if isinstance(value, float) else value
            raise UsageError(f"{entry.flag} {shown}: must {entry.must}")
    return args


def add_argument(parser, entry, as_word):
    """Let a parser know an Argument; `as_word`: its value, if it has one, stands without a flag."""
    if not entry.metavar:
        parser.add_argument(entry.flag, action="store_true")
    elif as_word:
        nargs = "*" if entry.many in ("+", "append") else "?"
        parser.add_argument(entry.dest, type=entry.type, metavar=entry.metavar, nargs=nargs)
    else:
        how = {"append": {"action": "append"}, "+": {"nargs": "+"}, "?": {"nargs": "?", "const": ""}}.get(
            entry.many, {}
        )
        parser.add_argument(entry.flag, type=entry.type, metavar=entry.metavar, **how)


def take_config(command, args):
    """The config that an argument for several values has swallowed, as in `--figure 5 plus_last_even`."""
    from scratchformer.run.config import config_names
    from scratchformer.run.own_function import is_reference

    for entry in command.ARGUMENTS:
        values = getattr(args, entry.dest, None) if entry.many == "+" else None
        for word in values or ():
            if len(values) > 1 and (word in config_names() or word.endswith(".toml") or is_reference(word)):
                values.remove(word)
                return word
    return None


def hint(words, unknown):
    """'; did you mean ...?' for the first argument that is unknown, or the verb, if one is close."""
    commands = find_commands()
    every = {flag for other in commands.values() for flag in flags_of(other)}
    return close(unknown[0], every) or close(words[0], [*commands])
