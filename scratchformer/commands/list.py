"""list: the configs that come with the program."""

from scratchformer.commands.arguments import Argument

HELP = "list the configs"
EXAMPLE = "list"
FLAGS = (Argument("--list", HELP),)
ARGUMENTS = ()


def run(args):
    """Print the configs, a line each."""
    from scratchformer.run.config import config_names, load_config

    for name in config_names():
        print(f"{name:<24}{load_config(name).description}")
    return 0
