"""quiz: hand out a backward function with an error in it, or judge the learner's repair."""

from scratchformer.commands.arguments import FRESH, HINT, Argument

HELP = "hand out a function with an error, or judge your fix"
EXAMPLE = "quiz attention --hint"
FLAGS = (Argument("--quiz", "which one; without a name all are listed", "NAME", many="?"),)
ARGUMENTS = (HINT, FRESH)


def run(args):
    """Print what the quiz says: 0 if it was handed out or is right, else 1."""
    from scratchformer.tools.quiz.quiz import quiz

    text, code = quiz(args.quiz or None, hint=args.hint, fresh=args.fresh)
    print(text)
    return code
