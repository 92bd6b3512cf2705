"""The texts of --help: of a command, and of the program."""

from scratchformer.commands.arguments import CONFIG, OUT, SET
from scratchformer.commands.parsing import arguments_of, asked_by_flag, find_commands, given_flags
from scratchformer.system.program import command_line

MAIN = (SET, OUT)           # what the program's help shows of the arguments
SCREEN = 24                                                 # lines
LEFT = 23                                                   # columns of the left side


def wants_help(words):
    """Whether a command line asks for help."""
    return "-h" in words or "--help" in given_flags(words)


def help_text(words):
    """The help that a command line asks for: of its verb, of the first command its flags name, or of all."""
    commands = find_commands()
    for name in [*words[:1], *(name for name, _ in asked_by_flag(given_flags(words)))]:
        if name in commands:
            return command_help(name, commands[name])
    return program_help(commands)


def command_help(name, command):
    """How a command is called, as a verb and by its flag, what it uses, and an example."""
    config = "CONFIG " if CONFIG in command.ARGUMENTS else ""
    calls = [verb_form(name, command)]
    calls += [config + flag_form(entry) for entry in command.FLAGS[:1]] or ["CONFIG"]
    options = [line(flag_form(entry), entry.help) for entry in arguments_of(command)
               if entry not in command.FLAGS[:1]]
    words = [line(entry.metavar, entry.help) for entry in command.FLAGS[:1] if entry.metavar]
    if config:
        words.insert(0, options.pop(0))
    gap = [""] * (len(words) + len(options) < SCREEN - 7)       # it goes first where the screen is full
    return "\n".join([
        f"usage: {command_line(calls[0])}{' [options]' * bool(options)}",
        f"   or: {command_line(calls[1])}{' [options]' * bool(options)}",
        "", f"{command.HELP[0].upper()}{command.HELP[1:]}.", "", *words, *options, *gap,
        f"example: {command_line(command.EXAMPLE)}",
    ])


def program_help(commands):
    """How the program is called, its verbs and its main flags."""
    verbs = [line(verb_form(name, command), command.HELP) for name, command in commands.items()]
    return "\n".join([
        f"usage: {command_line('CONFIG [options]')}",
        f"   or: {command_line('VERB ... [options]')}", "",
        *verbs, "", *(line(flag_form(entry), entry.help) for entry in MAIN),
        f"example: {command_line('plus_last_even')}",
        f"{command_line('VERB --help')} shows all that a verb takes",
    ])


def verb_form(name, command):
    """How a command is called as a verb: explain CONFIG TOKENS."""
    words = [entry.metavar + " ..." * bool(entry.many) for entry in command.FLAGS[:1] if entry.metavar]
    return " ".join([name, *["CONFIG"] * (CONFIG in command.ARGUMENTS), *words])


def flag_form(entry):
    """An Argument as it is written: --step N."""
    return entry.flag if entry.metavar in ("", entry.flag) else f"{entry.flag} {entry.metavar}"


def line(left, right, width=LEFT):
    """One line of two columns."""
    return f"  {left:<{width}}{right}"
