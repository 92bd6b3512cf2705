"""course: hand out a function to be written, or judge what the learner wrote."""

from scratchformer.commands.arguments import FRESH, HINT, Argument

HELP = "write the maths yourself: twelve judged lessons"
EXAMPLE = "course softmax --hint"
FLAGS = (Argument("--course", "which one, or train; without a name: where you are", "NAME", many="?"),)
ARGUMENTS = (HINT, FRESH, Argument("--solution", "show the engine's own lines"))


def run(args):
    """Print what the course says: 0 if it was handed out or is right, else 1."""
    from scratchformer.tools.course.course import course

    text, code = course(args.course or None, hint=args.hint, solution=args.solution, fresh=args.fresh)
    print(text)
    return code
